"""`cape why VARIABLE`: what set each part of a value, as a table or JSON."""

from __future__ import annotations

import argparse
import re
from dataclasses import asdict
from typing import TYPE_CHECKING

from cape.cli.living import environment_name
from cape.cli.output import show_json, table

if TYPE_CHECKING:
    from cape.operations.project import Project
    from cape.operations.values import Value

_LIKE = re.compile(r"\$?\{?[A-Za-z_][A-Za-z0-9_]*\}?\Z")


def is_meant(project: Project, arguments: argparse.Namespace) -> bool:
    """Whether the argument means a variable: `$NAME` always, a bare name if no locked package has it."""
    text: str = arguments.package
    if not _LIKE.match(text):
        return False
    if text.startswith("$"):
        return True
    from cape.errors import CapeError
    from cape.operations.inspecting import environment_with, locked, rows_of
    from cape.operations.values import is_variable

    try:
        whole = locked(project)
        if environment_with(whole, text) is not None or rows_of(whole, text):
            return False
    except CapeError:
        pass
    return is_variable(project, text, environment=environment_name(arguments))


def why_variable(project: Project, arguments: argparse.Namespace) -> int:
    """Tell where the parts of a variable come from."""
    from cape.operations.project import Workshop
    from cape.operations.values import why_variable as explained

    store = Workshop.open().store
    found = explained(project, store, arguments.package, environment=environment_name(arguments))
    if arguments.json:
        show_json(asdict(found))
    else:
        _tell(found)
    return 0


def _tell(found: Value) -> None:
    if found.unset_by is not None:
        print(f"{found.name} is not set: taken away by {found.unset_by}")
        return
    shown = found.value if found.value is not None else "(a secret)" if found.secret else ""
    print(found.name if found.is_list else f"{found.name}={shown}")
    rows = [
        (
            "  " + (part.text if part.text is not None else "(a secret)"),
            part.origin + (f" of {part.variable}" if _is_other(part.variable, found, part.origin) else ""),
        )
        for part in found.parts
    ]
    print(table(rows))
    if not found.inside:
        print(f"(as it is inside {found.environment}, entered from here)")
    if found.elsewhere is not None:
        print(f"this process has another value, set after entering: {found.elsewhere}")


def _is_other(variable: str, found: Value, origin: str) -> bool:
    return variable != found.name and not origin.endswith(f".{variable}")
