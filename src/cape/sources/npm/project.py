"""A project's own `package.json`, and the `package-lock.json` beside it, read.

Owns their errors with file, line and column, what of them counts for a lock, whether the two are in step,
and the dependencies that no registry has. It asks no npm and no network.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cape.errors import InputError
from cape.names import Digest

LOCK = "package-lock.json"
SHRINKWRAP = "npm-shrinkwrap.json"
"""npm's other name for the lock; it wins over `package-lock.json`."""

KINDS = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies")
"""The fields of a `package.json` that name packages."""

COUNTS = (*KINDS, "peerDependenciesMeta", "overrides", "workspaces", "bundleDependencies")
"""The fields that count for a lock."""


class BadProjectFile(InputError):
    """A `package.json` or `package-lock.json` that is not what its name says."""

    slug = "bad-project-file"


class NotFromRegistry(InputError):
    """A dependency of a `package.json` that comes from no registry, and that cape cannot lock."""

    slug = "not-from-a-registry"


@dataclass(frozen=True, kw_only=True, slots=True)
class NpmProject:
    """A `package.json` with its lock, if it has one.

    `locals` are the directories of packages that are part of the project (workspaces, and `file:` below
    it), each with what its `package.json` says; relative, sorted. `lock_text` is None where there is no
    lock.
    """

    file: Path
    described: Mapping[str, Any]
    lock_file: Path
    lock_text: str | None
    lock: Mapping[str, Any] | None
    locals: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def content(self) -> Digest:
        """The digest of what counts for a lock: other fields may change without it."""
        described = {key: self.described[key] for key in COUNTS if key in self.described}
        members = {
            place: {key: one[key] for key in ("name", *COUNTS) if key in one}
            for place, one in self.locals.items()
        }
        lock = None if self.lock is None else _what_counts(self.lock)
        return Digest.of(json.dumps([described, members, lock], sort_keys=True).encode())

    def named(self, *, dev: bool) -> dict[str, str]:
        """The packages that it asks for by itself, with what it says of each."""
        kinds = [kind for kind in KINDS if dev or kind != "devDependencies"]
        return {name: wanted for kind in kinds for name, wanted in _wanted(self.described, kind)}

    def optional(self) -> frozenset[str]:
        """Those that may be left out where they do not run."""
        meta = self.described.get("peerDependenciesMeta") or {}
        return frozenset(
            [name for name, _ in _wanted(self.described, "optionalDependencies")]
            + [name for name, one in meta.items() if isinstance(one, dict) and one.get("optional")]
        )

    def drift(self) -> tuple[str, ...]:
        """How the lock is out of step, a sentence for each package; empty when it answers all of it."""
        if self.lock is None:
            return ()
        entries: Mapping[str, Any] = self.lock["packages"]
        found = list(_drift(self.described, entries.get("") or {}, ""))
        for place, one in self.locals.items():
            found += _drift(one, entries.get(place) or {}, f" of `{place}`")
        return tuple(found)


def read_project(file: Path) -> NpmProject:
    """The project of a `package.json`. Raises `BadProjectFile`, `NotFromRegistry`."""
    described = read_json(file, what="dependencies")
    _check_fields(described, file)
    lock_file = next(
        (file.parent / name for name in (SHRINKWRAP, LOCK) if (file.parent / name).exists()), None
    )
    lock_text, lock = _read_lock(lock_file) if lock_file else (None, None)
    members = dict(sorted(_locals(file, described)))
    for place, one in {"": described, **members}.items():
        _check_registries(one, file.parent / place / "package.json", file.parent)
    return NpmProject(
        file=file,
        described=described,
        lock_file=lock_file or file.parent / LOCK,
        lock_text=lock_text,
        lock=lock,
        locals=members,
    )


def read_json(file: Path, *, what: str) -> dict[str, Any]:
    """The object in a file of npm's. Raises `BadProjectFile`, with line and column."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise BadProjectFile(
            f"there is no `{file.name}`, which the manifest names for the project's {what}",
            where=str(file),
            hint="write it with `npm init`, or take `project` out of `[npm]`",
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadProjectFile(f"`{file.name}` cannot be read as text", where=str(file)) from error
    try:
        found = json.loads(text)
    except RecursionError:
        raise BadProjectFile(f"`{file.name}` is nested too deeply", where=str(file)) from None
    except json.JSONDecodeError as error:
        raise BadProjectFile(
            f"`{file.name}` is not JSON: {error.msg[:1].lower()}{error.msg[1:]}",
            where=f"{file}:{error.lineno}:{error.colno}",
            hint=_json_hint(text, error),
        ) from None
    if not isinstance(found, dict):
        raise BadProjectFile(f"`{file.name}` holds no object", where=f"{file}:1:1", hint="it starts with `{`")
    return found


def _json_hint(text: str, error: json.JSONDecodeError) -> str | None:
    before = text[: error.pos].rstrip()
    if text[error.pos : error.pos + 7] in ("<<<<<<<", "=======", ">>>>>>>") or "<<<<<<< " in text:
        return "it holds both sides of a merge: settle it, then run the command again"
    if text[error.pos : error.pos + 2] in ("//", "/*"):
        return "JSON has no comments"
    if before.endswith(",") and text[error.pos : error.pos + 1] in ("}", "]", '"', ""):
        return "no comma may stand before the closing bracket"
    return None


def _read_lock(file: Path) -> tuple[str, Mapping[str, Any] | None]:
    """Text and value of a lock; a version of npm's lock that has no `packages` counts as none to keep to."""
    lock = read_json(file, what="lock")
    version = lock.get("lockfileVersion")
    if version in (2, 3) and not isinstance(lock.get("packages"), dict):
        raise BadProjectFile(
            f"`{file.name}` says that it is of version {version}, and has no `packages`",
            where=str(file),
            hint="write it anew with `npm install --package-lock-only`",
        )
    if not isinstance(version, int) or version > 3 or version < 1:
        raise BadProjectFile(
            f"`{file.name}` is of version `{version}`, and cape reads 2 and 3",
            where=str(file),
            hint="write it anew with `npm install --package-lock-only --lockfile-version=3`",
        )
    if version == 1:
        raise BadProjectFile(
            f"`{file.name}` is of version 1, which does not say which packages need which",
            where=str(file),
            hint="`npm install --package-lock-only --lockfile-version=3` writes it anew with its versions",
        )
    for path, entry in lock["packages"].items():
        if not isinstance(entry, dict) or path.startswith("/") or "\\" in path:
            raise BadProjectFile(f"`{file.name}` has a strange entry `{path}`", where=str(file))
    return file.read_bytes().decode("utf-8-sig"), lock


def _what_counts(lock: Mapping[str, Any]) -> Mapping[str, Any]:
    return dict(lock["packages"])


def _check_fields(described: Mapping[str, Any], file: Path) -> None:
    for kind in KINDS:
        value = described.get(kind)
        if value is None:
            continue
        if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
            raise BadProjectFile(
                f"`{kind}` of `{file.name}` does not map names to versions",
                where=_place_of(file, kind),
                hint='for example `"dependencies": { "left-pad": "^1.3.0" }`',
            )


def _wanted(described: Mapping[str, Any], kind: str) -> Iterator[tuple[str, str]]:
    value = described.get(kind)
    if isinstance(value, dict):
        yield from value.items()


def _drift(described: Mapping[str, Any], locked: Mapping[str, Any], whose: str) -> Iterator[str]:
    for kind in KINDS:
        wanted, held = dict(_wanted(described, kind)), dict(_wanted(locked, kind))
        if kind == "dependencies":  # npm takes those out that are optional too
            for name, _ in _wanted(described, "optionalDependencies"):
                wanted.pop(name, None)
                held.pop(name, None)
        for name in sorted(wanted.keys() | held.keys()):
            if name not in held:
                yield f"`{name}`{whose} is not in it"
            elif name not in wanted:
                yield f"`{name}`{whose} is in it, and no longer asked for"
            elif wanted[name] != held[name]:
                yield f"`{name}`{whose} is `{wanted[name]}` now, and was `{held[name]}`"


# -- packages that are directories of the project -----------------------------------------------------


def _locals(file: Path, described: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Workspaces, and dependencies of the form `file:DIRECTORY` below the project."""
    home = file.parent
    for directory in _workspaces(home, described):
        place = directory.relative_to(home).as_posix()
        member = read_json(directory / "package.json", what="workspace")
        _check_fields(member, directory / "package.json")
        yield place, member
    for kind in KINDS:
        for _, wanted in _wanted(described, kind):
            directory = home / wanted.removeprefix("file:")
            if wanted.startswith("file:") and (directory / "package.json").is_file():
                relative = _below(directory, home)
                if relative:
                    yield relative, read_json(directory / "package.json", what="dependency")


def _below(directory: Path, home: Path) -> str | None:
    """The path of a directory relative to `home`; None when it leads out of it."""
    import os

    relative = os.path.relpath(directory, home)
    return None if relative.startswith("..") or relative == "." else Path(relative).as_posix()


def _workspaces(home: Path, described: Mapping[str, Any]) -> list[Path]:
    patterns = described.get("workspaces")
    if isinstance(patterns, dict):
        patterns = patterns.get("packages")
    if not isinstance(patterns, list):
        return []
    found: dict[Path, None] = {}
    for pattern in (str(one) for one in patterns):
        bare = pattern.removeprefix("!").removeprefix("./").strip("/")
        if not bare or ".." in bare.split("/"):
            continue
        matches = [one for one in sorted(home.glob(bare)) if (one / "package.json").is_file()]
        for directory in matches:
            if "node_modules" in directory.relative_to(home).parts:
                continue
            if pattern.startswith("!"):
                found.pop(directory, None)
            else:
                found[directory] = None
    return list(found)


def _check_registries(described: Mapping[str, Any], file: Path, home: Path) -> None:
    """Raise `NotFromRegistry` for a dependency that cape cannot lock."""
    for kind in KINDS:
        for name, wanted in _wanted(described, kind):
            if (problem := _not_of_registry(wanted, home)) is not None:
                what, hint = problem
                raise NotFromRegistry(
                    f"`{name}` of `{file.name}` is {what}, and cape locks npm packages of registries only",
                    where=_place_of(file, name),
                    hint=hint,
                )


def _not_of_registry(wanted: str, home: Path) -> tuple[str, str] | None:
    if wanted.startswith("npm:"):
        return None
    if wanted.startswith("file:") or wanted.startswith(("./", "../", "/", "~/")):
        directory = home / wanted.removeprefix("file:")
        if wanted.startswith("file:") and (directory / "package.json").is_file() and _below(directory, home):
            return None
        return (
            "a path that is no directory of a package below the project",
            'make it a workspace: `"workspaces": ["packages/*"]`, or publish it to a registry',
        )
    if wanted.startswith(("git+", "git:", "git@", "ssh:", "github:", "gitlab:", "bitbucket:", "gist:")):
        return "a git repository", "publish it to a registry, or keep it in the project as a workspace"
    if wanted.startswith(("http:", "https:")):
        return "a file at a web address", "name the package and a version, or keep it as a workspace"
    if "/" in wanted and not wanted.startswith("@") and " " not in wanted.strip():
        return "a git repository", "publish it to a registry, or keep it in the project as a workspace"
    if wanted.startswith(("workspace:", "catalog:", "link:", "portal:", "patch:")):
        kind = wanted.partition(":")[0]
        return f"of the form `{kind}:`, which npm does not know", "write a version that npm knows"
    return None


def _place_of(file: Path, key: str) -> str:
    """Where a key stands in a file, as far as a look at its text tells."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return str(file)
    at = text.find(f"{json.dumps(key)}:")
    at = text.find(json.dumps(key)) if at < 0 else at
    if at < 0:
        return str(file)
    return f"{file}:{text.count(chr(10), 0, at) + 1}:{at - text.rfind(chr(10), 0, at)}"


def local_links(project: NpmProject) -> Sequence[tuple[str, str]]:
    """Names of packages that are directories of the project, with these directories; sorted."""
    aliases = {
        _below(project.file.parent / wanted.removeprefix("file:"), project.file.parent): name
        for kind in KINDS
        for name, wanted in _wanted(project.described, kind)
        if wanted.startswith("file:")
    }
    found = [
        (str(aliases.get(place) or one.get("name") or place.rpartition("/")[2]), place)
        for place, one in project.locals.items()
    ]
    return sorted(found)
