"""Python packages that a system package stands for, as uv is told of them.

Owns the empty wheels that give uv their name and version, and the words about them in a conflict. uv then
judges what needs them as it judges everything else; none of the wheels is ever installed.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from cape.names import write_atomically
from cape.sources.protocol import Provided, Requirement, RequirementsConflict, ResolveContext

_OLD = (1980, 1, 1, 0, 0, 0)


def provided_lines(context: ResolveContext, cache: Path) -> list[str]:
    """The requirement lines that pin what is there already; its wheels are kept below `cache`."""
    return [
        f"{name} @ file://{quote(str(_wheel(name, provided, cache / 'provided')))}"
        for name, provided in sorted(context.provided.items())
    ]


def _wheel(name: str, provided: Provided, directory: Path) -> Path:
    """The empty wheel of that name and version, made where it is not there yet."""
    stem = f"{name.replace('-', '_')}-{provided.version}"
    file = directory / f"{stem}-py3-none-any.whl"
    if not file.exists():
        directory.mkdir(parents=True, exist_ok=True)
        written = io.BytesIO()
        with zipfile.ZipFile(written, "w") as archive:
            for entry, text in (
                ("METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {provided.version}\n"),
                ("WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
                ("RECORD", ""),
            ):
                archive.writestr(zipfile.ZipInfo(f"{stem}.dist-info/{entry}", _OLD), text)
        write_atomically(file, written.getvalue())
    return file


def provided_requirements(context: ResolveContext) -> list[Requirement]:
    """What is there already, as if it were asked for: for the words of a conflict."""
    return [
        Requirement(source="debian", name=name, package=name, constraint=f"=={one.version}", where=one.where)
        for name, one in sorted(context.provided.items())
    ]


def tell_provided(
    error: RequirementsConflict, requirements: Sequence[Requirement], context: ResolveContext
) -> None:
    """Say in a conflict which versions are a system package's."""
    told = tuple(
        f"`{name}` is Debian's `{one.package}` here, which has {one.version}"
        for name, one in sorted(context.provided.items())
        if f"`{name}`" in error.fact or name in (error.hint or "")
    )
    error.concerned = tuple(one for one in error.concerned if one in requirements)
    if told:
        error.reasons = (*told, *error.reasons)
        error.hint = "; ".join((*told, *([error.hint] if error.hint else [])))
