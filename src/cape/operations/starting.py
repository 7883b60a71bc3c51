"""`cape init`: a manifest for a directory, and a word to git about merging its lock."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cape.errors import StateError
from cape.manifest import new_manifest, parse_manifest
from cape.names import System, nearest, write_atomically
from cape.operations.adopting import Adopted, write_into
from cape.operations.project import LOCKFILE, MANIFEST, Workshop

_MERGE_RULE = f"{LOCKFILE} merge=union"


class AlreadyProject(StateError):
    """The directory has a manifest already."""

    slug = "already-a-project"


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """A new project: its manifest, what it took over from other tools' files, whether git was told, and
    what the machine still lacks."""

    manifest_path: Path
    name: str
    adopted: Adopted
    told_git: bool
    warnings: tuple[str, ...]


def start_project(
    directory: Path,
    workshop: Workshop,
    *,
    name: str | None,
    suite: str,
    bare: bool = False,
    template: str | None = None,
    dry_run: bool = False,
) -> Started:
    """Write `cape.toml` and a line of `.gitattributes`.

    With `template` the manifest begins with the tables of a starter (`ai`, `rag`, `serve`). Unless `bare`,
    it takes over what the directory's files of other tools ask for. Raises `AlreadyProject`,
    `UnknownTemplate`, and `ManifestError` for a name or suite that is none, before it writes.
    """
    path = directory / MANIFEST
    if path.exists():
        raise AlreadyProject(
            f"`{MANIFEST}` is there already",
            where=str(directory),
            hint="edit it, or let `cape install` add packages to it",
        )
    word = name or re.sub(r"[^A-Za-z0-9._-]+", "-", directory.name).strip("-._") or "project"
    systems = (System.X86_64_LINUX, System.AARCH64_LINUX)
    text = _first_text(word, systems, suite, template)
    parse_manifest(text, path=path)
    adopted = Adopted(text=text) if bare else _adopt(directory, text, workshop, suite)
    told_git = _tell_git(directory, dry_run=dry_run)
    if not dry_run:
        write_atomically(path, adopted.text.encode())
    return Started(
        manifest_path=path,
        name=word,
        adopted=adopted,
        told_git=told_git,
        warnings=_missing_registries(workshop, suite),
    )


def _first_text(name: str, systems: Sequence[System], suite: str, template: str | None) -> str:
    if template is None:
        return new_manifest(name, systems, suite)
    from cape.manifest.starters import starter_names
    from cape.manifest.template import started_manifest
    from cape.operations.service_templates import UnknownTemplate

    if template not in starter_names():
        close = nearest(template, starter_names())
        hint = f"did you mean `{close[0]}`?" if close else None
        listed = ", ".join(f"`{one}`" for one in starter_names())
        raise UnknownTemplate(f"there is no template `{template}`", hint=hint or f"there are {listed}")
    return started_manifest(name, systems, suite, template)


def _adopt(directory: Path, text: str, workshop: Workshop, suite: str) -> Adopted:
    """The manifest's text with what the directory has already; sources are asked only if that is needed."""
    from cape.adoption import adopt

    adoption = adopt(directory)
    if not adoption.files:
        return Adopted(text=text, unmapped=adoption.unmapped)
    return write_into(text, adoption, workshop.sources(suite), directory / MANIFEST)


def _tell_git(directory: Path, *, dry_run: bool) -> bool:
    attributes = directory / ".gitattributes"
    text = attributes.read_text() if attributes.exists() else ""
    if _MERGE_RULE in text.splitlines():
        return False
    if not dry_run:
        ending = "" if not text or text.endswith("\n") else "\n"
        write_atomically(attributes, f"{text}{ending}{_MERGE_RULE}\n".encode())
    return True


def _missing_registries(workshop: Workshop, suite: str) -> tuple[str, ...]:
    from cape.sources.debian.registry import places
    from cape.sources.protocol import RegistryUnknown

    try:
        places(suite, workshop.configuration)
    except RegistryUnknown as error:
        return (f"{error.fact}; {error.hint}",)
    return ()
