"""Lines of manifests, as they stand in a file and as they should be written.

Owns finding the line that a place names, and changing a constraint or a key in one. Edits of files are
`manifest.edit`'s; these lines are shown.
"""

from __future__ import annotations

import re
from pathlib import Path

from cape.manifest import Manifest
from cape.sources.protocol import Requirement

_PLACE = re.compile(r"(?P<file>.+?):(?P<line>\d+)(?::\d+)?\Z")


def order_in_file(requirement: Requirement) -> tuple[bool, str, int]:
    """By file and line; what is not in a file yet comes last."""
    match = _PLACE.match(requirement.where or "")
    return (match is None, match["file"] if match else "", int(match["line"]) if match else 0)


def line_at(where: str | None, manifest: Manifest | None) -> str | None:
    """The line of a file that a place names; None when there is none."""
    match = _PLACE.match(where or "")
    if match is None:
        return None
    try:
        if manifest is not None and match["file"] == str(manifest.path):
            text = manifest.text
        else:
            text = Path(match["file"]).read_text(encoding="utf-8")
        return text.split("\n")[int(match["line"]) - 1].strip() or None
    except (OSError, ValueError, IndexError):
        return None


def written_line(requirement: Requirement, constraint: str) -> str:
    """The line of a manifest that asks for a requirement with a constraint."""
    from cape.manifest.quoting import key_text, quoted, quoted_list

    parts = [f"{requirement.source} = {quoted(constraint)}"]
    if requirement.package != requirement.name:
        parts.append(f"name = {quoted(requirement.package)}")
    if extras := requirement.options.get("extras"):
        parts.append(f"extras = {quoted_list(extras.split(','))}")
    if requirement.systems:
        parts.append(f"systems = {quoted_list([str(system) for system in requirement.systems])}")
    value = quoted(constraint) if _is_plain(requirement) else "{ " + ", ".join(parts) + " }"
    return f"{key_text(requirement.name)} = {value}"


def _is_plain(requirement: Requirement) -> bool:
    is_named = requirement.package == requirement.name
    return requirement.source == "debian" and is_named and not requirement.systems


def changed_line(present: str, requirement: Requirement, constraint: str) -> str:
    """A line with another constraint; written anew where the present one does not show its own."""
    old = requirement.constraint
    for quote in ('"', "'"):
        if present.count(f"{quote}{old}{quote}") == 1:
            return present.replace(f"{quote}{old}{quote}", f"{quote}{constraint}{quote}")
    if old != "*" and present.count(old) == 1:
        return present.replace(old, constraint)
    return written_line(requirement, constraint)


def with_key(present: str, requirement: Requirement, key: str, value: str) -> str:
    """A line with one more key in its table; written anew where it has no table on one line."""
    line = present if present.endswith("}") else written_line(requirement, requirement.constraint)
    if re.search(rf"\b{re.escape(key)}\s*=", line):
        return re.sub(rf'(\b{re.escape(key)}\s*=\s*)"[^"]*"', rf'\g<1>"{value}"', line)
    return f'{line.rstrip("}").rstrip()}, {key} = "{value}" }}'


def place_of_suite(manifest: Manifest) -> str:
    where = line_of_suite(manifest)
    return f' (`debian = "{manifest.debian}"`{f", {where}" if where else ""})' if manifest.debian else ""


def line_of_suite(manifest: Manifest) -> str | None:
    for number, line in enumerate(manifest.text.split("\n"), start=1):
        if re.match(r"\s*debian\s*=", line):
            return f"{manifest.path}:{number}"
    return None
