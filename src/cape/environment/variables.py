"""The variables of an environment: those of its files, then those of `[vars]` over them, in order.

Owns reading the files that `env-files` names, as they are now, and where each variable stands. A file that
is not there has no variables. Values are for shells and `activation.json` (mode 0600) only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cape.manifest import Manifest
from cape.manifest.errors import BadVariableFile, VariableCycle
from cape.manifest.lines import shown, without_column
from cape.manifest.variables import Ring, in_order, read_variable_file


@dataclass(frozen=True, kw_only=True, slots=True)
class Variable:
    """One variable: text with references, or with none if `literal`. `where` is `FILE:LINE` and, in a
    manifest, the key."""

    name: str
    text: str
    where: str
    literal: bool = False


def files_of(manifest: Manifest, project: Path) -> tuple[Path, ...]:
    """The files that `env-files` names, there or not."""
    return tuple(project / name for name in manifest.env_files)


def variables_of(manifest: Manifest, project: Path) -> tuple[Variable, ...]:
    """All variables, each after those that it refers to.

    Raises `BadVariableFile`, and `VariableCycle` where a file closes a ring.
    """
    found = {one.name: one for file in files_of(manifest, project) for one in _of_file(file, project)}
    for name, text in manifest.vars.items():
        place = shown(manifest, without_column(manifest.origins.get(f"vars.{name}", str(manifest.path))))
        found[name] = Variable(name=name, text=text, where=f"{place} vars.{name}")
    try:
        ordered = in_order({name: "" if one.literal else one.text for name, one in found.items()})
    except Ring as ring:
        shown_ring = " -> ".join(f"`{name}`" for name in (*ring.members, ring.members[0]))
        raise VariableCycle(
            f"variables refer to each other in a ring: {shown_ring}",
            where=", ".join(found[name].where for name in ring.members),
            hint="break it at one of them",
        ) from None
    return tuple(found[name] for name in ordered)


def _of_file(file: Path, project: Path) -> list[Variable]:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise BadVariableFile(
            "the file of variables cannot be read as UTF-8 text", where=str(file)
        ) from error
    name = file.relative_to(project)
    return [
        Variable(name=one.name, text=one.value, where=f"{name}:{one.line}", literal=one.literal)
        for one in read_variable_file(text, path=file)
    ]
