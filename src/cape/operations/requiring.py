"""What files of the project that other tools read ask for, as requirements of its manifest.

Owns turning `[npm]` into requirements: the project's `package.json` becomes one, whose content is part of it,
so that another content makes the lock stale; and which install scripts may run is told to every npm one. Of
`[python]` each line of the project's `pyproject.toml` becomes one, and the project itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from cape.manifest import Manifest
from cape.operations.python_projects import own_python_notes, with_python_project
from cape.sources.protocol import CONTENT_OPTION, PROJECT_OPTION, Requirement

if TYPE_CHECKING:
    from cape.environment.kept import OwnFiles

NPM_PROJECT = "package.json"
"""The name of the requirement that stands for the project's own npm packages."""


def with_project_files(manifest: Manifest) -> Manifest:
    """The manifest, with what the project's own files ask for. Reads them.

    Raises `BadProjectFile`, `NotFromRegistry`, `BadPyproject`, `CircularPath`.
    """
    return _with_package_json(with_python_project(manifest))


def _with_package_json(manifest: Manifest) -> Manifest:
    if not manifest.npm and not any(_names_scripts(one) for one in _all(manifest)):
        return manifest
    told = manifest.npm.get("scripts", ())
    assert isinstance(told, tuple)
    scripts = {*told, *(one.package for one in _all(manifest) if _names_scripts(one))}
    owned = _npm_project(manifest)
    parts = {
        name: replace(part, manifest=_scripted(part.manifest, scripts))
        for name, part in manifest.environments.items()
    }
    whole = _scripted(replace(manifest, requirements=(*manifest.requirements, *owned)), scripts)
    return replace(whole, environments=MappingProxyType(parts))


def _all(manifest: Manifest) -> tuple[Requirement, ...]:
    parts = (part.manifest.requirements for part in manifest.environments.values())
    return (*manifest.requirements, *(one for requirements in parts for one in requirements))


def _names_scripts(requirement: Requirement) -> bool:
    return requirement.source == "npm" and "scripts" in requirement.options


def _npm_project(manifest: Manifest) -> tuple[Requirement, ...]:
    file = manifest.npm.get("project")
    if not isinstance(file, str):
        return ()
    from cape.sources.npm.project import read_project

    project = read_project(manifest.path.parent / file)
    options = {PROJECT_OPTION: file, CONTENT_OPTION: project.content().hex}
    if manifest.npm.get("dev") is False:
        options["dev"] = "false"
    return (
        Requirement(
            source="npm",
            name=NPM_PROJECT,
            package=NPM_PROJECT,
            options=options,
            where=str(project.file),
        ),
    )


def own_files(manifest: Manifest) -> OwnFiles:
    """The files of the project that a generation keeps: another content of them is looked at again."""
    from cape.environment.kept import OwnFiles
    from cape.operations.python_projects import own_python_files

    file = manifest.npm.get("project")
    python = own_python_files(manifest)
    if not isinstance(file, str):
        return OwnFiles(files=python)
    from cape.sources.npm.project import local_links, read_project

    project = read_project(manifest.path.parent / file)
    directory = Path(file).parent
    names = [file, (directory / project.lock_file.name).as_posix()]
    names += [(directory / place / "package.json").as_posix() for place in project.locals]
    return OwnFiles(files=(*names, *python), home=directory.as_posix(), locals=tuple(local_links(project)))


def own_notes(manifest: Manifest) -> tuple[str, ...]:
    """Sentences about what stands in the way of the project's own packages."""
    from cape.environment.node_modules import foreign_modules

    file = manifest.npm.get("project")
    told = foreign_modules((manifest.path.parent / file).parent) if isinstance(file, str) else None
    return (*((told,) if told else ()), *own_python_notes(manifest))


def _scripted(manifest: Manifest, scripts: set[str]) -> Manifest:
    if not scripts:
        return manifest

    def told(options: Mapping[str, str]) -> Mapping[str, str]:
        return MappingProxyType({**options, "scripts": " ".join(sorted(scripts))})

    return replace(
        manifest,
        requirements=tuple(
            replace(one, options=told(one.options)) if one.source == "npm" else one
            for one in manifest.requirements
        ),
    )
