"""Asking at the terminal whether somebody else's environment may run its hooks; without one: no."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cape.operations.agreeing import Agreement
    from cape.operations.entering import Question
    from cape.operations.project import Project


def require_agreement(project: Project, arguments: argparse.Namespace) -> None:
    """Ask for what is held back; `--allow-hooks` is a yes in advance. Raises `HooksNotAllowed`."""
    from cape.environment.consent import is_held_back

    if not is_held_back(project.directory):
        return
    from cape.operations import agreeing

    agreement: Agreement = agreeing.everything if arguments.allow_hooks else ask
    agreeing.require_agreement(project, agreement)


def ask(question: Question) -> bool:
    """Show what it would run, and ask."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    from cape.cli.entering import shown

    print(*shown(question, "run or set", "runs or sets"), sep="\n", file=sys.stderr)
    print("It came from somebody else. Let it? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
