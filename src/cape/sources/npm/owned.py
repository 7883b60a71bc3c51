"""The tree of a project's own `package.json`: its lock kept to, else npm's answer.

Owns what npm is given of a project, when npm is not asked at all, which of a lock's entries belong to the
environment, and where their tarballs are. Rows are made by `source`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from cape.names import System
from cape.sources.npm.project import LOCK, BadProjectFile, NotFromRegistry, NpmProject
from cape.sources.npm.tree import PackageTree, Position
from cape.sources.npm.unpacking import PROJECT_TREE
from cape.sources.protocol import RegistryGarbage

PLACE = PROJECT_TREE
"""Where the tree of a project stands below the environment: as it would beside its `package.json`."""

_GIVEN = ("name", "version", "engines", "os", "cpu")
_BEHAVIOUR = re.compile(
    r"(legacy-peer-deps|strict-peer-deps|prefer-dedupe|install-strategy|install-links)\s*="
)


def prepare(place: Path, project: NpmProject, seed: Mapping[str, Any]) -> None:
    """Put into a directory what npm needs to lock a project: descriptions, the lock to start from, and of
    its `.npmrc` what changes how trees are laid out."""
    from cape.sources.npm.project import COUNTS

    for where, described in {"": project.described, **project.locals}.items():
        directory = place / where
        directory.mkdir(parents=True, exist_ok=True)
        given = {key: described[key] for key in (*_GIVEN, *COUNTS) if key in described}
        (directory / "package.json").write_text(json.dumps(given), encoding="utf-8")
    if project.lock_text is not None:
        (place / LOCK).write_text(project.lock_text, encoding="utf-8")
    elif seed:
        (place / LOCK).write_text(json.dumps(seed), encoding="utf-8")
    (place / ".npmrc").write_text("".join(_behaviour(project.file.parent)), encoding="utf-8")


def _behaviour(directory: Path) -> Iterator[str]:
    try:
        lines = (directory / ".npmrc").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    yield from (f"{line}\n" for line in lines if _BEHAVIOUR.match(line))


def kept_tree(project: NpmProject) -> PackageTree | None:
    """The tree of the project's own lock where it answers all that is asked; else None.

    Raises `BadProjectFile` for a lock that lists too little to be read.
    """
    if project.lock_text is None or project.drift():
        return None
    try:
        return PackageTree.read(project.lock_text)
    except RegistryGarbage as error:
        raise BadProjectFile(
            f"`{project.lock_file.name}` cannot be read as a lock of npm's",
            where=str(project.lock_file),
            hint="write it anew with `npm install --package-lock-only`",
        ) from error


def needed(
    tree: PackageTree, project: NpmProject, systems: Sequence[System], *, dev: bool
) -> dict[str, list[System]]:
    """The places of packages of registries that the project needs, with the systems that need them."""
    found: dict[str, list[System]] = {}
    optional = project.optional()
    for system in systems:
        for path in tree.needed_from(_starts(tree, project, optional, system, dev=dev), system):
            position = tree.positions[path]
            if "node_modules/" not in path or position.is_link:
                continue
            found.setdefault(path, []).append(system)
    return found


def _starts(
    tree: PackageTree, project: NpmProject, optional: frozenset[str], system: System, *, dev: bool
) -> list[str]:
    """The places that the project and its own packages lead to by themselves."""
    starts = [
        path
        for name in project.named(dev=dev)
        if (path := tree.look_up("", name)) and (name not in optional or tree.positions[path].runs_on(system))
    ]
    for place, described in project.locals.items():
        member = NpmProject(
            file=project.file, described=described, lock_file=project.lock_file, lock_text=None, lock=None
        )
        found = (tree.look_up(place, name) for name in member.named(dev=dev))
        starts += [path for path in found if path]
    return starts


def missing(tree: PackageTree, project: NpmProject, *, dev: bool) -> list[str]:
    """Names that the project asks for and that the tree has not; optional ones are not counted."""
    optional = project.optional()
    return [
        name for name in project.named(dev=dev) if name not in optional and tree.look_up("", name) is None
    ]


def tarball_url(position: Position, location: str, registry: str, lock: Path) -> str:
    """Where this machine's registry has a tarball of the project's lock. Raises `NotFromRegistry`.

    The host in a `package-lock.json` is that of whoever wrote it; integrity says whether it is the same.
    """
    resolved = position.resolved
    if resolved is None:
        return registry + location
    path = unquote(urlsplit(resolved).path)
    if resolved.startswith(("https:", "http:")) and path.endswith("/" + location):
        return registry + location
    if resolved.startswith("git+"):
        what = "comes from a git repository"
    elif resolved.startswith(("https:", "http:")):
        what = "comes from a file at a web address"
    else:
        what = "comes from a path"
    raise NotFromRegistry(
        f"`{position.name}` {position.version} {what}, and cape locks npm packages of registries only",
        where=f"{lock}, `{position.path}`",
        hint="have what needs it use a release of a registry (`overrides` in `package.json` can say so)",
    )
