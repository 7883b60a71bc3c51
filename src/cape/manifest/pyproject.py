"""A project's own `pyproject.toml`, read as requirements.

Owns which of its lines ask for packages (dependencies, extras, groups, and where `[tool.uv.sources]` says
that one comes from), their places, and local projects that they lead to. It builds nothing, asks no index,
and writes nothing.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cape.errors import InputError
from cape.manifest.keys import KeyPath
from cape.manifest.places import Places, find_places
from cape.names import Digest, nearest
from cape.sources.protocol import CONTENT_OPTION, PROJECT_OPTION, Requirement

if TYPE_CHECKING:
    from packaging.requirements import Requirement as Line

FILE = "pyproject.toml"

_BUILD_FILES = ("setup.py", "setup.cfg", "meson.build", "CMakeLists.txt", "Cargo.toml")
_UNHEEDED = (
    *(
        "override-dependencies",
        "constraint-dependencies",
        "exclude-dependencies",
        "build-constraint-dependencies",
    ),
    *("index", "index-url", "extra-index-url", "environments", "conflicts", "prerelease", "resolution"),
)
"""Settings of `[tool.uv]` that would change what is resolved, and that cape does not read."""


class BadPyproject(InputError):
    """A `pyproject.toml` that is not TOML, or has a field of a wrong form."""

    slug = "bad-pyproject"


class CircularPath(InputError):
    """Local projects that lead to each other in a ring."""

    slug = "circular-path"


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What the manifest's `[python]` says. `groups` is None where it says nothing of them."""

    project: str
    groups: tuple[str, ...] | None = None
    extras: tuple[str, ...] = ()
    editable: bool | None = None

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Asked | None:
        """That of a checked table; None where no project is named."""
        if "project" not in table:
            return None
        groups = table.get("groups")
        return cls(
            project=table["project"],
            groups=tuple(groups) if groups is not None else None,
            extras=tuple(table.get("extras", ())),
            editable=table.get("editable"),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class PythonProject:
    """The requirements of a `pyproject.toml`; `files` are all that were read for it, `notes` sentences."""

    requirements: tuple[Requirement, ...]
    files: tuple[Path, ...]
    notes: tuple[str, ...]


def read_pyproject(directory: Path, asked: Asked) -> PythonProject:
    """What the project below `directory` asks for.

    A requirement's `path` is relative to `directory`. Local projects are read too, in depth; what they ask
    for is asked for by the whole. Raises `BadPyproject`, `CircularPath`.
    """
    reading = _Reading(directory)
    text = _Text.read(directory / asked.project)
    reading.notes += _notes(text)
    groups = _default_groups(text) if asked.groups is None else asked.groups
    name = text.name
    packaged = "build-system" in text.table if asked.editable is None else asked.editable
    if packaged:
        if name is None:
            raise text.bad(
                "the project has no name, and so cannot be installed", ("project",), 'add `name = "..."`'
            )
        reading.add_project(text, name, text.where(("project", "name")), editable=True)
    trail = ((text.file, name or FILE),)
    reading.add_lines(text, _lines(text, extras=asked.extras, groups=groups), trail)
    found = reading.found
    return PythonProject(
        requirements=tuple(found), files=tuple(reading.files), notes=tuple(dict.fromkeys(reading.notes))
    )


def read_directory(directory: Path, wanted: Requirement) -> tuple[Requirement, ...]:
    """A requirement of a manifest whose `path` is a directory, and after it what that project asks for.

    Raises `BadPyproject`, `CircularPath`.
    """
    from packaging.requirements import Requirement as Parsed

    reading = _Reading(directory)
    extras = wanted.options.get("extras", "")
    line = Parsed(wanted.package + (f"[{extras}]" if extras else ""))
    one = _Line(line=line, where=wanted.where or str(directory))
    place = Path(os.path.normpath(directory / wanted.options["path"]))
    reading.add_directory(one, place, editable="editable" in wanted.options, trail=())
    own, *others = reading.found
    options = {**own.options, **({"marker": wanted.options["marker"]} if "marker" in wanted.options else {})}
    return (replace(own, name=wanted.name, systems=wanted.systems, options=options), *others)


# -- the text -----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class _Text:
    """One file: its table, and where things stand in it."""

    file: Path
    table: Mapping[str, Any]
    places: Places = field(repr=False)

    @classmethod
    def read(cls, file: Path) -> _Text:
        from cape.manifest.errors import ManifestError
        from cape.manifest.parse import load_toml

        try:
            text = file.read_bytes().decode("utf-8")
        except (FileNotFoundError, NotADirectoryError):
            raise BadPyproject(
                f"there is no `{file.name}`, which the manifest names for the project's packages",
                where=str(file),
                hint="write it, or take `project` out of `[python]`",
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise BadPyproject(f"`{file.name}` cannot be read as text", where=str(file)) from error
        try:
            table = load_toml(text, file)
        except ManifestError as error:
            raise BadPyproject(
                f"`{file.name}` is not TOML: {error.fact}", where=error.where, hint=error.hint
            ) from None
        found = cls(file=file, table=table, places=find_places(text))
        found.check()
        return found

    @property
    def project(self) -> Mapping[str, Any]:
        return self.table.get("project", {})  # type: ignore[no-any-return]

    @property
    def uv(self) -> Mapping[str, Any]:
        tool = self.table.get("tool", {})
        uv = tool.get("uv", {}) if isinstance(tool, dict) else {}
        return uv if isinstance(uv, dict) else {}

    @property
    def name(self) -> str | None:
        return self.project.get("name")

    def where(self, path: KeyPath) -> str:
        line, column = self.places.line_and_column(self.places.of_value(path))
        return f"{self.file}:{line}:{column}"

    def bad(self, fact: str, path: KeyPath, hint: str | None = None) -> BadPyproject:
        return BadPyproject(fact, where=self.where(path), hint=hint)

    def check(self) -> None:
        """The forms of all fields that are read later. Raises `BadPyproject`."""
        self._want(("project",), dict, "a table")
        self._want(("project", "name"), str, "a string")
        self._want(("project", "dependencies"), list, "a list of strings")
        self._want(("project", "optional-dependencies"), dict, "a table of lists")
        self._want(("project", "dynamic"), list, "a list of strings")
        self._want(("dependency-groups",), dict, "a table of lists")
        self._want(("build-system",), dict, "a table")
        self._want(("build-system", "requires"), list, "a list of strings")
        self._want(("tool", "uv", "sources"), dict, "a table")
        for extra in self.project.get("optional-dependencies", {}):
            self._want(("project", "optional-dependencies", extra), list, "a list of strings")
        for group in self.table.get("dependency-groups", {}):
            self._want(("dependency-groups", group), list, "a list")
        if not self.project and "poetry" in self.table.get("tool", {}):
            raise self.bad(
                "the file has no `[project]`, only a table of Poetry's own",
                ("tool", "poetry"),
                "Poetry 2 reads `[project]`: move the dependencies there",
            )
        if "dependencies" in self.project.get("dynamic", ()):
            raise self.bad(
                "the dependencies are `dynamic`: only building the project would tell them",
                ("project", "dynamic"),
                "list them in `[project] dependencies`",
            )

    def _want(self, path: KeyPath, kind: type, words: str) -> None:
        value: Any = self.table
        for part in path:
            if not isinstance(value, dict) or part not in value:
                return
            value = value[part]
        if not isinstance(value, kind):
            dotted = ".".join(str(part) for part in path)
            raise self.bad(f"`{dotted}` is {words}, and here is something else", path)


# -- lines --------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class _Line:
    """One requirement, and where it stands."""

    line: Line
    where: str


def _lines(text: _Text, *, extras: Sequence[str], groups: Sequence[str]) -> list[_Line]:
    """What the project asks for, with these extras and groups."""
    found = _parsed(text, ("project", "dependencies"), text.project.get("dependencies", []))
    offered = text.project.get("optional-dependencies", {})
    for extra in extras:
        key = _named(extra, offered, text, ("project", "optional-dependencies"), "extra")
        found += _parsed(text, ("project", "optional-dependencies", key), offered[key])
    for group in groups:
        found += _group(text, group, ())
    return found


def _parsed(text: _Text, path: KeyPath, values: Sequence[Any]) -> list[_Line]:
    return [_line(text, (*path, index), value) for index, value in enumerate(values)]


def _line(text: _Text, path: KeyPath, value: Any) -> _Line:
    from packaging.requirements import InvalidRequirement
    from packaging.requirements import Requirement as Parsed

    try:
        if not isinstance(value, str):
            raise InvalidRequirement("it is no string")
        return _Line(line=Parsed(value), where=text.where(path))
    except InvalidRequirement as error:
        shown = f"`{value}`" if isinstance(value, str) else "this"
        said = str(error).splitlines()[0]
        raise text.bad(f"{shown} is no requirement: {said}", path, "write it as in `pandas>=2.2`") from None


def _named(name: str, offered: Mapping[str, Any], text: _Text, path: KeyPath, kind: str) -> str:
    """The key that a name of an extra or group means: they are compared as names of packages are."""
    by_name = {_canonical(key): key for key in offered}
    if _canonical(name) not in by_name:
        close = nearest(_canonical(name), sorted(by_name))
        hint = f"did you mean `{close[0]}`?" if close else f"it has {_listed(by_name)}"
        raise text.bad(f"`{text.file.name}` has no {kind} `{name}`", path, hint)
    return by_name[_canonical(name)]


def _group(text: _Text, name: str, trail: tuple[str, ...]) -> list[_Line]:
    """The lines of a dependency group and of those that it includes."""
    if (
        name == "dev"
        and "dev" not in text.table.get("dependency-groups", {})
        and "dev-dependencies" in text.uv
    ):
        return _parsed(text, ("tool", "uv", "dev-dependencies"), text.uv["dev-dependencies"])
    offered = text.table.get("dependency-groups", {})
    key = _named(name, offered, text, ("dependency-groups",), "group")
    path: KeyPath = ("dependency-groups", key)
    if _canonical(name) in trail:
        ring = " -> ".join([*trail, _canonical(name)])
        raise text.bad(f"groups include each other in a ring: {ring}", path, "take one `include-group` out")
    found: list[_Line] = []
    for index, value in enumerate(offered[key]):
        if isinstance(value, dict) and isinstance(value.get("include-group"), str) and len(value) == 1:
            found += _group(text, value["include-group"], (*trail, _canonical(name)))
        else:
            found.append(_line(text, (*path, index), value))
    return found


def _default_groups(text: _Text) -> tuple[str, ...]:
    """The groups that are wanted where nobody says: those that uv would take."""
    offered = text.table.get("dependency-groups", {})
    told = text.uv.get("default-groups", ["dev"])
    if told == "all":
        return tuple(offered)
    known = {_canonical(name) for name in offered} | ({"dev"} if "dev-dependencies" in text.uv else set())
    return tuple(name for name in told if isinstance(name, str) and _canonical(name) in known)


# -- requirements -------------------------------------------------------------------------------------


class _Reading:
    """Requirements as they are found, each under a name of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.found: list[Requirement] = []
        self.files: list[Path] = []
        self.notes: list[str] = []
        self._projects: dict[str, Requirement] = {}
        self._expanded: set[tuple[str, tuple[str, ...]]] = set()

    def add_lines(self, text: _Text, lines: Sequence[_Line], trail: tuple[tuple[Path, str], ...]) -> None:
        """Add what lines of a file ask for; `trail` are the projects that lead to it, itself last."""
        if text.file not in self.files:
            self.files.append(text.file)
        own = _canonical(text.name or "")
        for one in lines:
            if _canonical(one.line.name) == own:
                self.add_lines(
                    text, _lines(text, extras=sorted(one.line.extras), groups=())[_count(text) :], trail
                )
                continue
            source = self._source(text, one)
            if "path" in source:
                self._add_local(text, one, source, trail)
            else:
                self.found.append(_requirement(one, source))

    def add_project(self, text: _Text, name: str, where: str, *, editable: bool) -> None:
        """Ask for a local project itself."""
        place = os.path.relpath(text.file.parent, self.directory)
        canonical = _canonical(name)
        if canonical in self._projects:
            return
        requirement = Requirement(
            source="pypi",
            name=canonical,
            package=name,
            options={
                PROJECT_OPTION: os.path.relpath(text.file, self.directory),
                "path": place,
                **({"editable": "true"} if editable else {}),
                CONTENT_OPTION: _content(text).hex,
            },
            where=where,
        )
        self._projects[canonical] = requirement
        self.found.append(requirement)
        if text.file not in self.files:
            self.files.append(text.file)

    def _source(self, text: _Text, one: _Line) -> dict[str, str]:
        """Where a package comes from, as options; empty for an index."""
        if one.line.url:
            return direct_options(one.line.url, where=one.where)
        sources = {_canonical(key): key for key in text.uv.get("sources", {})}
        key = sources.get(_canonical(one.line.name))
        if key is None:
            return {}
        path: KeyPath = ("tool", "uv", "sources", key)
        said = text.uv["sources"][key]
        if not isinstance(said, dict):
            raise text.bad(
                f"several sources of `{key}` are not read", path, "name one, or use markers in the list"
            )
        return self._uv_source(text, key, said, path)

    def _uv_source(self, text: _Text, key: str, said: Mapping[str, Any], path: KeyPath) -> dict[str, str]:
        if "git" in said:
            ref = next((str(said[word]) for word in ("rev", "tag", "branch") if word in said), "")
            found = {"git": str(said["git"])}
            return found | ({"ref": ref} if ref else {}) | _subdirectory(said)
        if "url" in said:
            return {"url": str(said["url"])} | _subdirectory(said)
        if "path" in said:
            editable = said.get("editable", said.get("package", True))
            return {"path": str(said["path"]), **({"editable": "true"} if editable else {})}
        if said.get("workspace"):
            return {"path": self._member(text, key, path), "editable": "true"}
        self.notes.append(f"`[tool.uv.sources]` of `{key}` is not heeded: the index of this machine is asked")
        return {}

    def _member(self, text: _Text, name: str, path: KeyPath) -> str:
        """The directory of a member of the workspace, relative to the file."""
        members = text.uv.get("workspace", {}).get("members", [])
        for pattern in members:
            for directory in sorted(text.file.parent.glob(pattern)):
                if (directory / FILE).is_file() and _canonical(
                    _Text.read(directory / FILE).name or ""
                ) == _canonical(name):
                    return os.path.relpath(directory, text.file.parent)
        raise text.bad(
            f"`{name}` is no member of the workspace", path, "`[tool.uv.workspace] members` lists them"
        )

    def _add_local(
        self, text: _Text, one: _Line, source: Mapping[str, str], trail: tuple[tuple[Path, str], ...]
    ) -> None:
        place = Path(os.path.normpath(text.file.parent / source["path"]))
        if not place.is_dir():
            options = dict(source) | {"path": os.path.relpath(place, self.directory)}
            self.found.append(_requirement(one, options))
            return
        self.add_directory(one, place, editable="editable" in source, trail=trail)

    def add_directory(
        self, one: _Line, place: Path, *, editable: bool, trail: tuple[tuple[Path, str], ...]
    ) -> None:
        """A local project and, in depth, what it asks for. Raises `CircularPath`, `BadPyproject`."""
        local = _Text.read(place / FILE)
        name = local.name or one.line.name
        if any(file == local.file for file, _ in trail):
            at = next(index for index, (file, _) in enumerate(trail) if file == local.file)
            ring = " -> ".join(f"`{label}`" for label in [*(label for _, label in trail[at:]), name])
            raise CircularPath(
                f"local projects need each other in a ring: {ring}",
                where=one.where,
                hint="take one of these dependencies out, or move what both need into a third project",
            )
        if _canonical(name) != _canonical(one.line.name):
            raise BadPyproject(
                f"the project in `{place}` is called `{name}`, not `{one.line.name}`",
                where=one.where,
                hint="name it as its `pyproject.toml` does",
            )
        extras = tuple(sorted(one.line.extras))
        if (name, extras) in self._expanded:
            return
        self._expanded.add((name, extras))
        self.add_project(local, name, one.where, editable=editable)
        self.add_lines(local, _lines(local, extras=extras, groups=()), (*trail, (local.file, name)))


def _count(text: _Text) -> int:
    return len(text.project.get("dependencies", []))


def _subdirectory(said: Mapping[str, Any]) -> dict[str, str]:
    return {"subdirectory": str(said["subdirectory"])} if said.get("subdirectory") else {}


def direct_options(url: str, *, where: str) -> dict[str, str]:
    """The options that stand for a direct reference such as `git+https://...@v1` or `https://.../x.whl`.

    Raises `BadPyproject`.
    """
    from urllib.parse import parse_qs, unquote, urlsplit

    parts = urlsplit(url)
    more = parse_qs(parts.fragment)
    subdirectory = {"subdirectory": more["subdirectory"][0]} if "subdirectory" in more else {}
    bare = url.partition("#")[0]
    if bare.startswith("git+"):
        address = bare.removeprefix("git+")
        head, at, ref = address.rpartition("@")
        if at and "/" in head.partition("://")[2]:
            return {"git": head, "ref": ref, **subdirectory}
        return {"git": address, **subdirectory}
    if parts.scheme == "file":
        return {"path": unquote(parts.path), **subdirectory}
    if parts.scheme in ("http", "https"):
        return {"url": bare, **subdirectory}
    raise BadPyproject(
        f"`{url}` is no address that cape can lock",
        where=where,
        hint="`git+https://...@REF`, `https://...` and `file:` are",
    )


def _requirement(one: _Line, source: Mapping[str, str]) -> Requirement:
    options = dict(source)
    if one.line.extras:
        options["extras"] = ",".join(sorted(one.line.extras))
    if one.line.marker:
        options["marker"] = str(one.line.marker)
    return Requirement(
        source="pypi",
        name=_canonical(one.line.name),
        package=one.line.name,
        constraint=str(one.line.specifier) or "*",
        options=options,
        where=one.where,
    )


def with_own_names(found: Sequence[Requirement], taken: set[str]) -> tuple[Requirement, ...]:
    """The requirements, each under a name that no other has: `pandas`, else `pyproject:pandas`, ..."""
    used = set(taken)
    named = []
    single = {
        (one.package, one.constraint, tuple(sorted(one.options.items()))): one for one in reversed(found)
    }
    for one in reversed(single.values()):
        name, count = one.name, 1
        while name in used:
            name = f"pyproject:{one.name}" if count == 1 else f"pyproject:{one.name}:{count}"
            count += 1
        used.add(name)
        named.append(replace(one, name=name))
    return tuple(named)


def _content(text: _Text) -> Digest:
    """The digest of what building the project heeds, without what it asks for and its source files."""
    project = {
        key: value
        for key, value in text.project.items()
        if key in ("name", "version", "dynamic", "scripts", "gui-scripts", "entry-points", "requires-python")
    }
    tool = {
        key: value
        for key, value in text.table.get("tool", {}).items()
        if re.match(r"setuptools|hatch|flit|pdm|poetry|maturin|scikit-build|meson-python|uv\Z", key)
    }
    if isinstance(tool.get("uv"), dict):
        tool["uv"] = {"build-backend": tool["uv"].get("build-backend")}
    files = {}
    for name in _BUILD_FILES:
        try:
            files[name] = Digest.of((text.file.parent / name).read_bytes()).hex
        except OSError:
            continue
    said = [project, tool, files, text.table.get("build-system")]
    return Digest.of(json.dumps(said, sort_keys=True, default=str).encode())


def _notes(text: _Text) -> Iterator[str]:
    unheeded = [key for key in _UNHEEDED if key in text.uv]
    if unheeded:
        yield f"`[tool.uv]` of `{text.file.name}`: {_listed(unheeded)} is not heeded"


def _listed(words: Iterator[str] | Sequence[str] | Mapping[str, str]) -> str:
    return ", ".join(f"`{word}`" for word in words) or "none"


def _canonical(name: str) -> str:
    from packaging.utils import canonicalize_name

    return canonicalize_name(name)
