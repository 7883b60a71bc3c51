"""References among the variables of `[vars]`.

Owns finding them, ordering variables by them, and finding rings; files of variables; and what is wrong with
a secret. No variable is expanded and no secret looked up here: that is the shell's, when the environment is
activated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cape.manifest.errors import BadVariableFile

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_REFERENCE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)|([A-Za-z_][A-Za-z0-9_]*))")


class Ring(Exception):
    """Variables that refer to each other; `members` in the order of reference."""

    def __init__(self, members: tuple[str, ...]) -> None:
        super().__init__(" -> ".join(members))
        self.members = members


def references(value: str) -> tuple[str, ...]:
    """The variables that a value refers to, in order, each once."""
    return tuple(dict.fromkeys(braced or bare for braced, bare in _REFERENCE.findall(value)))


def in_order(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables, each after those that it refers to, and otherwise in their own order.

    A variable that refers to itself means its value from outside, and makes no ring. Raises `Ring`.
    """
    edges = {
        name: [other for other in references(value) if other in variables and other != name]
        for name, value in variables.items()
    }
    done: dict[str, str] = {}
    for name in variables:
        _visit(name, edges, variables, done)
    return done


def _visit(
    first: str, edges: Mapping[str, list[str]], variables: Mapping[str, str], done: dict[str, str]
) -> None:
    trail = [first]
    while trail:
        name = trail[-1]
        waiting = next((other for other in edges[name] if other not in done), None)
        if waiting is None:
            done.setdefault(name, variables[name])
            trail.pop()
        elif waiting in trail:
            raise Ring(tuple(trail[trail.index(waiting) :]))
        else:
            trail.append(waiting)


@dataclass(frozen=True, kw_only=True, slots=True)
class FileVariable:
    """A variable of a `.env` file. `literal` values, in single quotes, have no references."""

    name: str
    value: str
    line: int
    literal: bool = False


def read_variable_file(text: str, *, path: Path) -> tuple[FileVariable, ...]:
    """The variables of a `.env` file, each where it is set last, in the order of the text.

    Raises `BadVariableFile` with the first line that is none.
    """
    import io

    from dotenv.parser import parse_stream

    found: dict[str, FileVariable] = {}
    for binding in parse_stream(io.StringIO(text)):
        original = binding.original
        blank = original.string[: len(original.string) - len(original.string.lstrip())]
        line = original.line + blank.count("\n")
        if not binding.error and binding.key is None:
            continue
        name = binding.key or ""
        if binding.error or binding.value is None or not _NAME.match(name) or "\0" in binding.value:
            raise BadVariableFile(
                "a line that sets no variable", where=f"{path}:{line}", hint='it is written `NAME="value"`'
            )
        literal = original.string.partition("=")[2].lstrip().startswith("'")
        found.pop(name, None)
        found[name] = FileVariable(name=name, value=binding.value, line=line, literal=literal)
    return tuple(found.values())


def fault_of_secret(secret: Mapping[str, str]) -> tuple[str, str] | None:
    """What is wrong with how a secret is looked up, and a hint; None when nothing is."""
    if len(secret) != 1:
        return (
            "is looked up in one way",
            'write `{ command = "pass show api" }` or `{ keyring = "example/me" }`',
        )
    (kind, text), *_ = secret.items()
    if not text.strip() or "\0" in text:
        return f"has no `{kind}`", "say where it is looked up"
    service, _, user = text.rpartition("/")
    if kind == "keyring" and not (service and user):
        return "does not say which entry it is", 'the keyring has `SERVICE/USER`: `keyring = "example/me"`'
    return None
