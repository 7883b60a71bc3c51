"""JSON with comments, edited in place: what is not asked for keeps its bytes.

Owns finding the members of a text's outermost object, with comments and trailing commas as editors allow
them, and replacing, adding and removing members.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from cape.errors import InputError

_SPACE = re.compile(r"(?:\s+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_SCALAR = re.compile(r"[^\s,\]}\[{\"/]+")


class BadSettings(InputError):
    """A file of settings that is no object of JSON with comments."""

    slug = "bad-editor-settings"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Member:
    """Where a member stands: its name's start, its value, and the comma after it (None: there is none)."""

    name: str
    start: int
    value: tuple[int, int]
    comma: int | None


def edit_members(text: str, wanted: Mapping[str, object]) -> str:
    """The text with these members of its object; a value of None takes the member out.

    An empty text is an empty object. New members come last, indented as the first one is.
    Raises `BadSettings`.

    >>> edit_members('{\\n  "a": 1, // one\\n}\\n', {"b": True})
    '{\\n  "a": 1, // one\\n  "b": true\\n}\\n'
    """
    if not text.strip():
        text = "{\n}\n"
    for name, value in wanted.items():
        members, end = _members(text)
        found = next((member for member in reversed(members) if member.name == name), None)
        if found is None:
            text = text if value is None else _added(text, members, end, name, value)
        elif value is None:
            text = _removed(text, members, found)
        elif _value(text, found) != value:
            text = text[: found.value[0]] + _rendered(text, found.start, value) + text[found.value[1] :]
    return text


def members_of(text: str) -> dict[str, object]:
    """The members of the object by name; a value that has comments inside is None. Raises `BadSettings`."""
    if not text.strip():
        return {}
    return {member.name: _value(text, member) for member in _members(text)[0]}


def _value(text: str, member: _Member) -> object:
    try:
        return json.loads(text[slice(*member.value)])
    except ValueError:
        return None


def _added(text: str, members: list[_Member], end: int, name: str, value: object) -> str:
    """The text with a new member before the object's end; a comma comes last if one did before."""
    last = "," if members and members[-1].comma is not None else ""
    if members and members[-1].comma is None:
        at = members[-1].value[1]
        text, end = text[:at] + "," + text[at:], end + 1
    start = members[0].start if members else None
    indent = _indent(text, start) if start is not None else "    "
    member = f"{json.dumps(name)}: {_rendered(text, start, value, indent)}"
    before = text[:end].rstrip(" \t")
    broken = "" if before.endswith("\n") else "\n"
    return f"{before}{broken}{indent}{member}{last}\n{text[end:]}"


def _indent(text: str, start: int) -> str:
    line = text[text.rfind("\n", 0, start) + 1 : start]
    return line if not line.strip() else "    "


def _rendered(text: str, start: int | None, value: object, indent: str | None = None) -> str:
    own = indent if indent is not None else _indent(text, start or 0)
    return json.dumps(value, indent=4, ensure_ascii=False).replace("\n", f"\n{own}")


def _removed(text: str, members: list[_Member], member: _Member) -> str:
    """The text without a member, its comma, and its line where nothing else stands on it."""
    start, end = member.start, member.value[1]
    if member.comma is not None:
        end = member.comma + 1
    line = text.rfind("\n", 0, start) + 1
    rest = text.find("\n", end)
    if not text[line:start].strip() and rest >= 0 and not text[end:rest].strip():
        start, end = line, rest + 1
    text = text[:start] + text[end:]
    # What stands before the last member is last now, and had no comma of its own accord.
    before = members[-2].comma if member is members[-1] and len(members) > 1 else None
    if before is not None and member.comma is None:
        text = text[:before] + text[before + 1 :]
    return text


def _members(text: str) -> tuple[list[_Member], int]:
    """The members of the outermost object, and where its closing brace stands."""
    at = _skip(text, 1 if text.startswith("\ufeff") else 0)
    at = _skip(text, _expect(text, at, "{"))
    members = []
    while text[at : at + 1] != "}":
        start = at
        at = _after_string(text, at)
        name = str(_load(text, start, at))
        at = _skip(text, _expect(text, _skip(text, at), ":"))
        value = (at, _after_value(text, at))
        at = _skip(text, value[1])
        comma = at if text[at : at + 1] == "," else None
        members.append(_Member(name=name, start=start, value=value, comma=comma))
        if comma is None:
            break
        at = _skip(text, at + 1)
    _expect(text, at, "}")
    if _skip(text, at + 1) != len(text):
        raise _bad(text, at + 1)
    return members, at


def _load(text: str, start: int, end: int) -> object:
    try:
        return json.loads(text[start:end])
    except ValueError:
        raise _bad(text, start) from None


def _skip(text: str, at: int) -> int:
    """The place after spaces and comments."""
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()


def _expect(text: str, at: int, letter: str) -> int:
    if text[at : at + 1] != letter:
        raise _bad(text, at)
    return at + 1


def _after_string(text: str, at: int) -> int:
    found = _STRING.match(text, at)
    if found is None:
        raise _bad(text, at)
    return found.end()


def _after_value(text: str, at: int) -> int:
    """The place after the value that starts here; brackets are paired, not looked into."""
    closing: list[str] = []
    while True:
        letter = text[at : at + 1]
        if letter == '"':
            at = _after_string(text, at)
        elif letter in ("{", "["):
            closing.append("}" if letter == "{" else "]")
            at += 1
        elif closing and letter == closing[-1]:
            closing.pop()
            at += 1
        elif closing and letter in (",", ":"):
            at += 1
        elif scalar := _SCALAR.match(text, at):
            at = scalar.end()
        else:
            raise _bad(text, at)
        if not closing:
            return at
        at = _skip(text, at)


def _bad(text: str, at: int) -> BadSettings:
    line = text.count("\n", 0, at) + 1
    column = at - (text.rfind("\n", 0, at) + 1) + 1
    return BadSettings(
        "this is no object of JSON with comments",
        where=f"{line}:{column}",
        hint="mend the file, or move it away: it stays as it is",
    )
