"""Edits of a manifest's text: requirements added and removed, single values set.

Owns putting characters in and taking them out at the places that the scanner found; all else of the
text, comments, order, white space and line ends, stays as it is, byte for byte. A document model
(tomlkit) puts a table's new key behind the comment that introduces the next table. Each edit is checked:
what it gives must parse to what was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cape.manifest.argument import PackageArgument
from cape.manifest.errors import NameTaken, UnknownRequirement
from cape.manifest.keys import KeyPath
from cape.manifest.model import DEFAULT_SOURCE
from cape.manifest.models import fields_of_model
from cape.manifest.naming import PACKAGE_SOURCES, alike
from cape.manifest.places import Places, Statement, find_places
from cape.manifest.quoting import key_text, quoted, quoted_list
from cape.sources.protocol import Requirement

Value = str | bool | int | Sequence[str]

_SECTIONS = ("packages", "models")


def add_requirements(
    text: str, requirements: Sequence[Requirement | PackageArgument], *, environment: str | None = None
) -> str:
    """The text with these requirements in it, new ones after the last of their table.

    With `environment`, in the tables of `[environments.NAME]`.

    A requirement that is there already, from the same source, gets the new constraint and options; the
    constraint `*` and no options change nothing of it. Raises `NameTaken` when the name is taken by
    a package of another source, and `ManifestSyntax` when the text is no TOML.
    """
    for added in requirements:
        requirement = added.requirement() if isinstance(added, PackageArgument) else added
        text = _add(text, requirement, _around(environment))
    return text


def _around(environment: str | None) -> tuple[str, ...]:
    """The path of the table that holds an environment's tables."""
    return ("environments", environment) if environment else ()


def _at(table: dict[str, Any], path: Sequence[str]) -> dict[str, Any]:
    for part in path:
        table = table.get(part, {})
    return table


def remove_requirements(text: str, names: Sequence[str], *, environment: str | None = None) -> str:
    """The text without the requirements of these names; comments on lines of their own stay.

    Raises `UnknownRequirement` for a name that neither packages nor models have, before anything is removed.
    """
    around = _around(environment)
    table = _at(_load(text), around)
    known = [name for section in _SECTIONS for name in table.get(section, {})]
    for name in names:
        if name not in known:
            close = alike(name, known)
            hint = f"did you mean `{close[0]}`?" if close else "`cape list` shows what it asks for"
            raise UnknownRequirement(f"the manifest has no package `{name}`", hint=hint)
    for name in dict.fromkeys(names):
        section = next(section for section in _SECTIONS if name in table.get(section, {}))
        text = _remove(text, (*around, section, name))
    return text


def set_value(text: str, path: Sequence[str], value: Value) -> str:
    """The text with one value set: replaced where the key is, else added to its table."""
    expected = _load(text)
    table = expected
    for part in path[:-1]:
        table = table.setdefault(part, {})
    table[path[-1]] = list(value) if isinstance(value, list | tuple) else value
    return _checked(_set(text, tuple(path), _value_text(value)), expected)


def _load(text: str) -> dict[str, Any]:
    from cape.manifest.parse import load_toml

    return load_toml(text, Path("cape.toml"))


def _checked(text: str, expected: dict[str, Any]) -> str:
    assert _load(text) == expected, "an edit of the manifest gave another value than was asked for"
    return text


# -- requirements -------------------------------------------------------------------------------------


def _add(text: str, requirement: Requirement, around: tuple[str, ...]) -> str:
    section = "models" if requirement.source == "model" else "packages"
    table = _at(_load(text), around)
    present = table.get(section, {}).get(requirement.name)
    if present is None:
        new = _requirement_text(requirement)
        text = _insert(find_places(text), (*around, section), requirement.name, new)
        assert requirement.name in _at(_load(text), around)[section], (
            "the requirement was put outside its table"
        )
        return text
    source = _source_of(present)
    if source != requirement.source and section == "packages":
        raise NameTaken(
            f"`{requirement.name}` is in the manifest already, from `{source}`",
            hint=f"give the other a key of its own: `{requirement.source}-{requirement.name} = "
            f'{{ {requirement.source} = "{requirement.constraint}", name = "{requirement.package}" }}`',
        )
    return _change(text, (*around, section, requirement.name), present, requirement)


def _source_of(present: str | dict[str, Any]) -> str:
    if isinstance(present, str):
        return DEFAULT_SOURCE
    return next((source for source in PACKAGE_SOURCES if source in present), "model")


def _change(text: str, path: tuple[str, ...], present: str | dict[str, Any], requirement: Requirement) -> str:
    """Bring the entry of a requirement to its constraint and options, in the form that it is written."""
    new = _fields(requirement)
    if isinstance(present, str):
        plain = len(new) == 1
        if plain and requirement.constraint in ("*", present):
            return text
        if not plain and requirement.constraint == "*":
            new[requirement.source] = present
        return _set(text, path, quoted(requirement.constraint) if plain else _inline(new))
    for key, value in new.items():
        constrains = key in (requirement.source, "version")
        if present.get(key) != value and not (constrains and value == "*"):
            text = _set(text, (*path, key), _value_text(value))
    return text


def _requirement_text(requirement: Requirement) -> str:
    fields = _fields(requirement)
    plain = requirement.source == DEFAULT_SOURCE and len(fields) == 1
    return quoted(requirement.constraint) if plain else _inline(fields)


def _fields(requirement: Requirement) -> dict[str, Any]:
    """The keys and values of a requirement's table, in the order in which they are written."""
    options = requirement.options
    fields: dict[str, Any]
    if requirement.source == "model":
        fields = fields_of_model(requirement)
    else:
        fields = {requirement.source: requirement.constraint}
        if requirement.package != requirement.name:
            fields["name"] = requirement.package
        if "extras" in options:
            fields["extras"] = options["extras"].split(",")
        if "without" in options:
            fields["without"] = options["without"].split(",")
        for key in ("recommends", "force"):
            if options.get(key) == "true":
                fields[key] = True
    if requirement.systems:
        fields["systems"] = [str(system) for system in requirement.systems]
    return fields


def _inline(fields: dict[str, Any]) -> str:
    return "{ " + ", ".join(f"{key_text(key)} = {_value_text(value)}" for key, value in fields.items()) + " }"


def _value_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, dict):
        return _inline(value)
    return quoted(value) if isinstance(value, str) else quoted_list(value)


# -- text ---------------------------------------------------------------------------------------------


def _set(text: str, path: tuple[str, ...], value: str) -> str:
    places = find_places(text)
    for statement in places.statements:
        if statement.path == path and statement.value is not None:
            return text[: statement.value] + value + text[statement.end :]
    return _insert(places, path[:-1], path[-1], value)


def _insert(places: Places, table: tuple[str, ...], name: str, value: str) -> str:
    """Put `name = value` into a table, after its last entry, in the form in which the table is written."""
    written = f"{key_text(name)} = {value}"
    for found in places.statements:
        if found.path == table and found.value is not None:
            return _insert_inline(places, found, written)
    section = _section(places, table)
    if section is not None:
        return _insert_line(places.text, section[-1].end if section else None, written)
    dotted = [found for found in places.statements if _spells(found, table)]
    if dotted:
        last = dotted[-1]
        spelled = last.path[len(last.path) - last.relative : len(table)]
        prefix = "".join(f"{key_text(str(part))}." for part in spelled)
        return _insert_line(places.text, last.end, prefix + written)
    return _append_table(places.text, table, written)


def _section(places: Places, table: tuple[str, ...]) -> list[Statement] | None:
    """A table's header and the statements below it; None where it has no header."""
    lines = [found for found in places.statements if found.inline is None]
    if not table:
        headers = [index for index, found in enumerate(lines) if found.value is None]
        return lines[: headers[0]] if headers else lines
    for index, found in enumerate(lines):
        if found.path == table and found.value is None:
            after = (stop for stop in range(index + 1, len(lines)) if lines[stop].value is None)
            return lines[index : next(after, len(lines))]
    return None


def _spells(statement: Statement, table: tuple[str, ...]) -> bool:
    """Whether a statement names the table inside its own dotted key."""
    spelled_from = len(statement.path) - statement.relative
    inside = statement.path[: len(table)] == table and len(statement.path) > len(table)
    return statement.inline is None and statement.value is not None and inside and spelled_from < len(table)


def _line_end(text: str) -> str:
    first = text.find("\n")
    return "\r\n" if first > 0 and text[first - 1] == "\r" else "\n"


def _insert_line(text: str, after: int | None, written: str) -> str:
    """Put a line after the line that the offset `after` is on; at the top when it is None."""
    if after is None:
        return written + _line_end(text) + text
    stop = text.find("\n", after)
    if stop == -1:
        return text + _line_end(text) + written
    return text[: stop + 1] + written + _line_end(text) + text[stop + 1 :]


def _insert_inline(places: Places, table: Statement, written: str) -> str:
    text = places.text
    inside = [found for found in places.statements if found.inline == table.value]
    if inside:
        return text[: inside[-1].end] + ", " + written + text[inside[-1].end :]
    assert table.value is not None
    return text[: table.value] + "{ " + written + " }" + text[table.end :]


def _append_table(text: str, table: tuple[str, ...], written: str) -> str:
    end = _line_end(text)
    header = "[" + ".".join(key_text(part) for part in table) + "]"
    gap = "" if not text else end if text.endswith("\n") else end + end
    return f"{text}{gap}{header}{end}{written}{end}"


def _remove(text: str, path: KeyPath) -> str:
    """Take out every statement of that path or below it, and whole tables of it."""
    while True:
        places = find_places(text)
        found = next((each for each in places.statements if _stands_for(each, path)), None)
        if found is None:
            return text
        text = _cut(places, found)


def _stands_for(statement: Statement, path: KeyPath) -> bool:
    """Whether it sets the path or something below it. A statement inside another one that does is left
    to that one."""
    spelled_from = len(statement.path) - statement.relative
    below = statement.path[: len(path)] == path
    return below and (statement.inline is None or spelled_from < len(path))


def _cut(places: Places, found: Statement) -> str:
    if found.inline is not None:
        return _cut_inline(places, found)
    text = places.text
    last = found
    if found.value is None:
        lines = [each for each in places.statements if each.inline is None and each.key >= found.key]
        after = (index for index in range(1, len(lines)) if lines[index].value is None)
        last = lines[next(after, len(lines)) - 1]
    start = text.rfind("\n", 0, found.key) + 1
    stop = text.find("\n", last.end)
    if stop == -1:
        return re.sub(r"\r?\n\Z", "", text[:start])
    before, rest = text[:start], text[stop + 1 :]
    if found.value is None and re.match(r"\r?\n", rest) and re.search(r"(?:\A|\n)\r?\n\Z", before):
        rest = rest[rest.index("\n") + 1 :]
    return before + rest


def _cut_inline(places: Places, found: Statement) -> str:
    text = places.text
    beside = [each for each in places.statements if each.inline == found.inline]
    index = beside.index(found)
    if index + 1 < len(beside):
        return text[: found.key] + text[beside[index + 1].key :]
    if index:
        return text[: beside[index - 1].end] + text[found.end :]
    return text[: found.key] + text[found.end :]
