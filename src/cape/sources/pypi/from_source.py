"""Which Python packages are built, from what, and with which build requirements: rows of the lock.

Owns the choice of one file for packages that do not come from an index as wheels, the rows of local
directories, and the rows of what building needs (placement `build/NAME`: they are in no environment of the
project). How a build runs is `building`'s.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from cape.names import Digest
from cape.sources.protocol import (
    CONTENT_OPTION,
    PROJECT_OPTION,
    Artifact,
    LockedPackage,
    Platform,
    Requirement,
    ResolveContext,
)
from cape.sources.pypi.direct import (
    archive_of_commit,
    archive_of_directory,
    build_requires,
    described,
)
from cape.sources.pypi.wheels import PylockPackage, Wheel, minor
from cape.sources.tools import workplace

if TYPE_CHECKING:
    from cape.sources.pypi.source import PypiSource

BUILD = "build/"
"""How the placement of a build requirement begins; the name of the package that is built follows."""

FROM_SOURCE_OPTION = "from-source"


def is_project(requirement: Requirement) -> bool:
    """Whether it is a directory of this machine, whose own requirements stand beside it."""
    return PROJECT_OPTION in requirement.options


def is_editable(requirement: Requirement) -> bool:
    """Whether it is a directory whose source files are used where they are."""
    return is_project(requirement) and "editable" in requirement.options


def names_from_source(requirements: Sequence[Requirement]) -> tuple[str, ...]:
    """The packages whose source uv may take: those that the manifest lists, and those of git and archives."""
    names = _listed(requirements)
    for one in requirements:
        if "git" in one.options or _is_source(one.options.get("url")) or _is_source(one.options.get("path")):
            names.add(_canonical(one.package))
    return tuple(sorted(names))


def _listed(requirements: Sequence[Requirement]) -> set[str]:
    """The packages that the manifest says to build."""
    options = [one.options.get(FROM_SOURCE_OPTION, "") for one in requirements]
    return {_canonical(name) for option in options for name in option.split(",") if name}


def _is_source(place: str | None) -> bool:
    return place is not None and not urlsplit(place).path.endswith(".whl")


def direct_file(package: PylockPackage, requirements: Sequence[Requirement]) -> Wheel | None:
    """The one file of a package that comes from an address, git or this machine; None for an index's."""
    wanted = next(
        (
            one
            for one in requirements
            if _canonical(one.package) == package.name and {"git", "url", "path"} & one.options.keys()
        ),
        None,
    )
    if wanted is None or (package.archive is None and package.commit is None):
        return None
    options = wanted.options
    more = {"subdirectory": options["subdirectory"]} if options.get("subdirectory") else {}
    if package.commit is not None:
        return Wheel(
            file_name=f"{package.name}-{package.commit}.tar",
            url="",
            sha256=None,
            size_bytes=None,
            attributes={"build": "git", "git": options["git"], "commit": package.commit, **more},
        )
    assert package.archive is not None
    key = "url" if "url" in options else "path"
    place = options[key]
    name = unquote(urlsplit(place).path.rpartition("/")[2]) if key == "url" else os.path.basename(place)
    built = {} if name.endswith(".whl") else {"build": "source", **more}
    return replace(package.archive, file_name=name, attributes={key: place, **built})


def address_of_row(row: LockedPackage, source: PypiSource) -> str | None:
    """The address of a row that no index has; None for the others.

    Archives of commits and directories are made anew: equal content gives equal bytes.
    """
    attributes = row.attributes
    if "url" in attributes:
        return attributes["url"]
    if "git" not in attributes and "path" not in attributes:
        return None
    if source.artifacts.has(row.artifact.digest):
        return _file_url(source.artifacts.path(row.artifact.digest))
    made = source.cache / "archives" / row.artifact.location.rpartition("/")[2]
    made.parent.mkdir(parents=True, exist_ok=True)
    if "git" in attributes:
        archive_of_commit(
            attributes["git"], attributes["commit"], source.cache, made, directory=source.directory
        )
        return _file_url(made)
    place = Path(os.path.normpath((source.directory or Path.cwd()) / attributes["path"]))
    if place.is_dir():
        archive_of_directory(place, made)
        return _file_url(made)
    return _file_url(place)


def _file_url(path: Path) -> str:
    return f"file://{quote(str(path))}"


def versions_of_uv_lock(
    requirements: Sequence[Requirement], context: ResolveContext
) -> Mapping[str, Sequence[str]]:
    """The versions that a `uv.lock` beside the project has: a first lock prefers them. Empty without one."""
    import tomllib

    for one in requirements:
        place = (one.where or "").rpartition("pyproject.toml:")[0]
        if not place or context.directory is None:
            continue
        try:
            table = tomllib.loads((Path(place) / "uv.lock").read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
            continue
        return {
            row["name"]: [row["version"]]
            for row in table.get("package", ())
            if isinstance(row.get("name"), str) and "registry" in row.get("source", {}) and "version" in row
        }
    return {}


class Sources:
    """The rows that building adds to a resolution."""

    def __init__(
        self, source: PypiSource, requirements: Sequence[Requirement], context: ResolveContext
    ) -> None:
        self._source = source
        self._requirements = requirements
        self._context = context
        self._built_for: dict[str, set[str]] = {}
        """The packages that are built before one is, because building it needs them."""

    def rows(self, rows: Sequence[LockedPackage]) -> list[LockedPackage]:
        """Rows of local directories that are built, and of everything that building needs.

        What building needs is built itself where the manifest says so, and its build requirements are
        locked as well.
        """
        local = [row for one in self._requirements if is_project(one) for row in self._directory_rows(one)]
        found = [row for row in local if row.artifact.size_bytes]
        waiting = deque(row for row in [*rows, *local] if "build" in row.attributes)
        seen: set[tuple[str, Digest, str]] = set()
        while waiting:
            row = waiting.popleft()
            key = (row.name, row.artifact.digest, row.attributes["python"])
            if key in seen:
                continue
            seen.add(key)
            needs = self._needs(row)
            built = [one for one in needs if "build" in one.attributes]
            self._built_for.setdefault(row.name, set()).update(one.name for one in built)
            found += needs
            waiting.extend(replace(one, placement="") for one in built)
        return found

    def _may_be_built_for(self, name: str) -> tuple[str, ...]:
        """The packages that may be built for building another one: none whose own building needs that."""
        return tuple(sorted(one for one in _listed(self._requirements) if name not in self._before(one)))

    def _before(self, name: str) -> set[str]:
        """A package, and all that is built before it."""
        found = {name}
        waiting = [name]
        while waiting:
            new = self._built_for.get(waiting.pop(), set()) - found
            found |= new
            waiting += new
        return found

    def _directory_rows(self, requirement: Requirement) -> list[LockedPackage]:
        """The row of a directory for each Python; of an editable one it is not locked, only built."""
        from cape.sources.pypi.source import targets_of

        return [
            LockedPackage(
                source=self._source.name,
                name=_canonical(requirement.package),
                version=self._version(requirement),
                systems=tuple(sorted(platform.system for platform in platforms)),
                artifact=self._artifact(requirement),
                attributes={
                    "python": minor(target.python),
                    "path": requirement.options["path"],
                    "build": "editable" if is_editable(requirement) else "directory",
                },
            )
            for target, platforms in targets_of(self._context, [requirement])
        ]

    def _version(self, requirement: Requirement) -> str:
        """What the directory's `pyproject.toml` says; `0` where only building it tells."""
        import tomllib

        file = self._home(requirement.options["path"]) / "pyproject.toml"
        project = tomllib.loads(file.read_text(encoding="utf-8")).get("project", {})
        return str(project.get("version", "0"))

    def _artifact(self, requirement: Requirement) -> Artifact:
        name = _canonical(requirement.package)
        if is_editable(requirement):
            digest = Digest(requirement.options[CONTENT_OPTION])
            return Artifact(digest=digest, size_bytes=0, registry="path", location=name)
        source = self._source
        with workplace(source.cache, "directory") as place:
            file = place / "source.tar"
            archive_of_directory(self._home(requirement.options["path"]), file)
            digest, size_bytes = Digest.of_file(file), file.stat().st_size
            if not source.artifacts.has(digest):
                source.artifacts.admit(digest, file, size_bytes=size_bytes)
        location = f"{name}/{name}-{digest.short}.tar"
        return Artifact(digest=digest, size_bytes=size_bytes, registry="path", location=location)

    def _home(self, path: str) -> Path:
        return Path(os.path.normpath((self._context.directory or Path.cwd()) / path))

    def _needs(self, row: LockedPackage) -> list[LockedPackage]:
        """The rows of what building a package needs, locked for it alone."""
        editable = row.attributes["build"] == "editable"
        lines = build_requires(self._described(row), editable=editable)
        if not lines:
            return []
        found: list[LockedPackage] = []
        asked = _asked(lines, row, self._may_be_built_for(row.name))
        for target, platforms in self._targets(row):
            pylock = self._source.compiled_for_build(lines, asked, target, row.name, self._context)
            for package in pylock:
                for platform, wheel in self._source.chosen_for(package, platforms, asked):
                    one = self._source.locked_row(package, platform, wheel, (), self._context.progress)
                    found.append(replace(one, placement=f"{BUILD}{row.name}"))
        from cape.sources.pypi.source import merged_rows

        return [replace(one, placement=f"{BUILD}{row.name}") for one in merged_rows(found)]

    def _targets(self, row: LockedPackage) -> list[tuple[Any, list[Platform]]]:
        from cape.sources.pypi.source import targets_of

        wanted = Requirement(source="pypi", name=row.name, package=row.name, systems=row.systems)
        return [
            (
                replace(target, from_source=self._may_be_built_for(row.name)),
                [one for one in platforms if one.system in row.systems],
            )
            for target, platforms in targets_of(self._context, [wanted])
            if minor(target.python) == row.attributes["python"]
        ]

    def _described(self, row: LockedPackage) -> Mapping[str, Any]:
        """The `pyproject.toml` of what is built."""
        import tomllib

        if row.attributes["build"] == "editable":
            file = self._home(row.attributes["path"]) / "pyproject.toml"
            return tomllib.loads(file.read_text(encoding="utf-8"))
        self._source.bring(row, self._context.progress)
        archive = self._source.artifacts.path(row.artifact.digest)
        name = row.artifact.location.rpartition("/")[2]
        subdirectory = row.attributes.get("subdirectory", "")
        return described(archive, name, subdirectory=subdirectory, cache=self._source.cache)


def _asked(lines: Sequence[str], row: LockedPackage, from_source: Sequence[str]) -> list[Requirement]:
    """Build requirements as requirements, for messages and for the choice of their files."""
    from packaging.requirements import InvalidRequirement
    from packaging.requirements import Requirement as Parsed

    found = []
    for line in lines:
        try:
            parsed = Parsed(line)
        except InvalidRequirement:
            continue
        constraint = str(parsed.specifier) or "*"
        found.append(
            Requirement(
                source="pypi",
                name=parsed.name,
                package=parsed.name,
                constraint=constraint,
                where=f"building {row.name}",
                options={FROM_SOURCE_OPTION: ",".join(from_source)},
            )
        )
    return found


def _canonical(name: str) -> str:
    from packaging.utils import canonicalize_name

    return canonicalize_name(name)
