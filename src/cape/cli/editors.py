"""`cape editor`: what was, or would be, written for an editor."""

from __future__ import annotations

import argparse
import difflib
from pathlib import Path
from typing import TYPE_CHECKING

from cape.errors import UsageError

if TYPE_CHECKING:
    from cape.operations.editors import FileChange


class UnknownEditor(UsageError):
    """An editor that cape has no files for."""

    slug = "unknown-editor"


def editor(arguments: argparse.Namespace) -> int:
    """`cape editor NAME`."""
    from cape.cli.output import say
    from cape.operations.editors import EDITORS, tell_editor
    from cape.operations.project import find_project

    if arguments.editor not in EDITORS:
        raise UnknownEditor(
            f"there are no files for `{arguments.editor}`",
            hint=f"there are for {', '.join(f'`{one}`' for one in EDITORS)}",
        )
    told = tell_editor(
        find_project(Path.cwd()), arguments.editor, remove=arguments.remove, dry_run=arguments.dry_run
    )
    for change in told.changes:
        say(_sentence(change, dry_run=arguments.dry_run), quiet=arguments.quiet)
        if arguments.dry_run:
            print(_difference(change), end="")
    if not told.changes:
        say("nothing to change", quiet=arguments.quiet)
    for note in told.notes:
        say(f"note: {note}", quiet=arguments.quiet)
    return 0


def _sentence(change: FileChange, *, dry_run: bool) -> str:
    verb = "remove" if change.after is None else "write" if change.before is None else "change"
    past = {"remove": "removed", "write": "wrote", "change": "changed"}
    return f"would {verb} `{change.path}`" if dry_run else f"{past[verb]} `{change.path}`"


def _difference(change: FileChange) -> str:
    before, after = (change.before or "").splitlines(), (change.after or "").splitlines()
    lines = difflib.unified_diff(before, after, str(change.path), str(change.path), lineterm="")
    return "".join(f"{line}\n" for line in lines)
