"""What `[python]` of a manifest and its local Python packages come to, as requirements.

Owns adding the lines of the project's `pyproject.toml` to the manifest, reading the projects of `path`
packages, and telling every Python requirement which packages are built from source. Nothing is built here.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from cape.manifest import Manifest
from cape.sources.protocol import CONTENT_OPTION, PROJECT_OPTION, Requirement

if TYPE_CHECKING:
    from cape.manifest.pyproject import PythonProject

BUILD_OPTION = "from-source"
"""The option of a Python requirement that lists the packages to build from source."""


def with_python_project(manifest: Manifest) -> Manifest:
    """The manifest, with what the project's own `pyproject.toml` and local packages ask for. Reads them.

    Raises `BadPyproject`, `CircularPath`.
    """
    parts = [part.manifest for part in manifest.environments.values()]
    if not manifest.python and not any(
        _is_local(one) for each in (manifest, *parts) for one in each.requirements
    ):
        return manifest
    from cape.manifest.pyproject import with_own_names

    found = _read(manifest)
    whole = _with_locals(manifest)
    taken = {one.name for each in (whole, *parts) for one in each.requirements}
    own = with_own_names(found.requirements if found else (), taken)
    whole = replace(whole, requirements=(*whole.requirements, *own))
    whole = _with_contents(whole)
    environments = {
        name: replace(part, manifest=_told(_with_contents(_with_locals(part.manifest)), manifest))
        for name, part in manifest.environments.items()
    }
    return replace(_told(whole, manifest), environments=MappingProxyType(environments))


def own_python_files(manifest: Manifest) -> tuple[str, ...]:
    """The `pyproject.toml` files that the manifest's requirements were read from, relative to it."""
    directory = manifest.path.parent
    files = {os.path.relpath(file, directory) for file in _files(manifest)}
    return tuple(sorted(files))


def own_python_notes(manifest: Manifest) -> tuple[str, ...]:
    """Sentences about what of these files is not heeded."""
    found = _read(manifest)
    return found.notes if found else ()


def _read(manifest: Manifest) -> PythonProject | None:
    from cape.manifest.pyproject import Asked, read_pyproject

    asked = Asked.of(manifest.python)
    return read_pyproject(manifest.path.parent, asked) if asked else None


def _files(manifest: Manifest) -> list[Path]:
    found = _read(manifest)
    parts = [part.manifest for part in manifest.environments.values()]
    local = [
        manifest.path.parent / one.options[PROJECT_OPTION]
        for each in (manifest, *parts)
        for one in each.requirements
        if one.source == "pypi" and PROJECT_OPTION in one.options
    ]
    return [*(found.files if found else ()), *local]


def _is_local(requirement: Requirement) -> bool:
    return requirement.source == "pypi" and "path" in requirement.options


def _with_locals(manifest: Manifest) -> Manifest:
    """The manifest whose directories of `[packages]` are read: each with what it asks for in turn."""
    if not any(_is_local(one) for one in manifest.requirements):
        return manifest
    from cape.manifest.pyproject import read_directory, with_own_names

    directory = manifest.path.parent
    kept: list[Requirement] = []
    more: list[Requirement] = []
    for one in manifest.requirements:
        if _is_local(one) and (directory / one.options["path"]).is_dir():
            own, *others = read_directory(directory, one)
            kept.append(own)
            more += others
        else:
            kept.append(one)
    added = with_own_names(more, {one.name for one in kept})
    return replace(manifest, requirements=(*kept, *added))


def _with_contents(manifest: Manifest) -> Manifest:
    """The manifest whose directories that are not editable say what their files hold."""
    from cape.sources.pypi.direct import digest_of_directory

    def said(one: Requirement) -> Requirement:
        if PROJECT_OPTION not in one.options or one.source != "pypi" or "editable" in one.options:
            return one
        content = digest_of_directory(manifest.path.parent / one.options["path"])
        return replace(one, options=MappingProxyType({**one.options, CONTENT_OPTION: content.hex}))

    return replace(manifest, requirements=tuple(said(one) for one in manifest.requirements))


def _told(manifest: Manifest, whole: Manifest) -> Manifest:
    """The manifest whose Python requirements say which packages are built from source."""
    build = whole.python.get("build", ())
    assert isinstance(build, tuple)
    if not build:
        return manifest
    told = {BUILD_OPTION: ",".join(sorted(set(build)))}
    return replace(
        manifest,
        requirements=tuple(
            replace(one, options=MappingProxyType({**one.options, **told})) if one.source == "pypi" else one
            for one in manifest.requirements
        ),
    )
