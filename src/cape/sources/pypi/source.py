"""The Python index as a source of packages.

Owns the stages of a resolution: requirement lines, uv's pylock, one wheel per system, rows. The parts
that speak to uv, choose wheels and unpack them are modules beside this one.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from cape.configuration import Configuration
from cape.errors import CapeError, InputError, StateError
from cape.names import Digest, System, nearest, write_atomically
from cape.sources.download import Download, Published, disk_errors, download_all, measure_all
from cape.sources.protocol import (
    Artifact,
    ArtifactLookup,
    Candidate,
    LockedPackage,
    Platform,
    Progress,
    Requirement,
    RequirementsConflict,
    Resolution,
    ResolveContext,
    Snapshot,
    UnknownPackage,
    UnknownVersion,
)
from cape.sources.pypi.credentials import without_credentials
from cape.sources.pypi.from_source import direct_file, names_from_source, versions_of_uv_lock
from cape.sources.pypi.index import IndexChoice, choose_index
from cape.sources.pypi.naming import indices_of, indices_of_rows, with_index
from cape.sources.pypi.provided import provided_lines, provided_requirements, tell_provided
from cape.sources.pypi.tool import Target, Uv, UvFailure, explain, explain_age, marker_of, no_wheel
from cape.sources.pypi.unpacking import unpack_wheel
from cape.sources.pypi.wheels import (
    PylockPackage,
    Wheel,
    best_wheel,
    holds,
    minor,
    read_pylock,
    what_wheels_need,
)
from cape.sources.tools import BadConstraint, workplace


class NoInterpreter(StateError):
    """Python packages are asked for where the environment has no Python."""

    slug = "no-interpreter"


class PypiSource:
    """Python packages, as one machine's index serves them.

    `cache` is a directory of the store for what can be had again: uv's cache and the URLs of files.
    """

    name = "pypi"

    def __init__(
        self,
        *,
        configuration: Configuration,
        cache: Path,
        artifacts: ArtifactLookup,
        directory: Path | None = None,
    ) -> None:
        """`directory` is the project's: paths of locked packages are relative to it."""
        self.artifacts = artifacts
        self.cache = cache
        self.directory = directory
        self.index: IndexChoice = choose_index(configuration)
        self.uv = Uv(self.index, self.cache)

    def find(self, text: str, *, limit: int = 20) -> Sequence[Candidate]:
        """The package of exactly that name, if there is one: a Python index cannot be searched."""
        name = text.strip()
        if limit < 1 or not _is_name(name):
            return ()
        packages = self._glance(name)
        return tuple(
            Candidate(source=self.name, name=package.name, version=package.version, summary="")
            for package in packages[:1]
        )

    def has(self, package: str) -> bool:
        """Whether the index has a project of that name (names are compared as indices do)."""
        return _is_name(package) and bool(self._glance(package))

    def resolve(self, requirements: Sequence[Requirement], context: ResolveContext) -> Resolution:
        """See `Source.resolve`. Raises also `BadConstraint`, `NoInterpreter`, `NoWheel`."""
        from cape.sources.pypi.from_source import Sources, is_project

        if not requirements:
            return Resolution(packages=())
        self.uv.warnings.clear()
        asked = [requirement for requirement in requirements if not is_project(requirement)]
        lines = [requirement_line(requirement, context.directory) for requirement in asked]
        rows: list[LockedPackage] = []
        for target, platforms in targets_of(context, requirements):
            if asked:
                rows += self._resolve_target(lines, asked, target, platforms, context)
        rows = merged_rows(rows)
        rows += Sources(self, requirements, context).rows(rows)
        names = {row.name for row in rows}
        roots = {
            requirement.name: (_canonical(requirement.package),)
            for requirement in requirements
            if _canonical(requirement.package) in names
        }
        return Resolution(
            packages=tuple(sorted(rows, key=lambda row: row.key)),
            roots=roots,
            notes=tuple(dict.fromkeys(self.uv.warnings)),
        )

    def versions(self, requirements: Sequence[Requirement], context: ResolveContext) -> Mapping[str, str]:
        """See `Trying.versions`."""
        from cape.sources.pypi.from_source import is_project

        requirements = [requirement for requirement in requirements if not is_project(requirement)]
        lines = [requirement_line(requirement, context.directory) for requirement in requirements]
        found: dict[str, str] = {}
        for target, platforms in targets_of(context, requirements) if requirements else ():
            try:
                pylock, _ = self._compiled(lines, requirements, target, context)
            except UvFailure as failure:
                raise self._explained(failure, requirements, context)  # noqa: B904 - it has its cause
            for package in pylock:
                here = [one for one in platforms if holds(package.marker, one)]
                for platform in here:
                    _chosen(package, platform, requirements)
                if here:
                    found.setdefault(package.name, package.version)
        return found

    def locate(
        self, packages: Sequence[LockedPackage], *, snapshots: Sequence[Snapshot] = ()
    ) -> Mapping[Digest, Sequence[str]]:
        """See `Source.locate`; URLs that an earlier resolution saw are not asked for again."""
        from cape.sources.pypi.from_source import address_of_row

        direct = {row.artifact.digest: address_of_row(row, self) for row in packages}
        known = self._known_urls()
        missing = [
            row
            for row in packages
            if direct[row.artifact.digest] is None and row.artifact.digest.hex not in known
        ]
        if missing:
            self._look_up(missing)
            known = self._known_urls()
        found = {digest: url or known.get(digest.hex) for digest, url in direct.items()}
        return {digest: (self.index.with_credentials(url),) for digest, url in found.items() if url}

    def unpack(self, package: LockedPackage, artifact: Path, into: Path) -> None:
        """See `Source.unpack`; programs go to `bin/`, data files below the environment itself."""
        unpack_wheel(artifact, into, python=package.attributes["python"])

    def compiled_for_build(
        self,
        lines: Sequence[str],
        asked: Sequence[Requirement],
        target: Target,
        name: str,
        context: ResolveContext,
    ) -> Sequence[PylockPackage]:
        """What uv chooses of what building a package needs. Raises what `resolve` raises."""
        rows = [row for row in context.kept if row.placement == f"build/{name}"]
        kept = _kept_versions([replace(row, placement="") for row in rows])
        try:
            return read_pylock(self.uv.compile_pylock(lines, target, kept=kept))
        except UvFailure as failure:
            raise self._explained(failure, asked, context)  # noqa: B904 - it has its cause

    def chosen_for(
        self, package: PylockPackage, platforms: Sequence[Platform], requirements: Sequence[Requirement]
    ) -> list[tuple[Platform, Wheel]]:
        """The file of a package on each platform that wants it; where they are is remembered."""
        found = [
            (platform, _chosen(package, platform, requirements))
            for platform in platforms
            if holds(package.marker, platform)
        ]
        self._remember_urls({wheel.sha256: wheel.url for _, wheel in found if wheel.sha256})
        return found

    def bring(self, row: LockedPackage, progress: Progress) -> None:
        """Let the artifact of a row be in the store. Raises what downloads raise."""
        if self.artifacts.has(row.artifact.digest):
            return
        urls = tuple(self.locate([row]).get(row.artifact.digest, ()))
        wanted = Download(
            digest=row.artifact.digest,
            size_bytes=row.artifact.size_bytes,
            name=f"{row.name} {row.version}",
            urls=urls,
        )
        download_all([wanted], self.artifacts, progress=progress)

    def resolve_alone(self, requirement: Requirement, context: ResolveContext) -> tuple[LockedPackage, ...]:
        """The rows of one package without its dependencies, for those who take files out of wheels."""
        rows: list[LockedPackage] = []
        for target, platforms in targets_of(context, [requirement]):
            rows += self._resolve_target(
                [requirement_line(requirement, context.directory)],
                [requirement],
                target,
                platforms,
                context,
                deep=False,
            )
        return tuple(sorted(merged_rows(rows), key=lambda row: row.key))

    def _resolve_target(
        self,
        lines: Sequence[str],
        requirements: Sequence[Requirement],
        target: Target,
        platforms: Sequence[Platform],
        context: ResolveContext,
        *,
        deep: bool = True,
    ) -> list[LockedPackage]:
        try:
            pylock, target = self._compiled(lines, requirements, target, context, deep=deep)
            lines = [*lines, *provided_lines(context, self.cache)]
            pins = [f"{package.name}=={package.version}" for package in pylock if package.version]
            reasons = read_reasons(self.uv.compile_reasons(lines, target, pins)) if deep else {}
        except UvFailure as failure:
            raise self._explained(failure, requirements, context)  # noqa: B904 - it has its cause
        chosen = [
            (package, platform, _chosen(package, platform, requirements))
            for package in pylock
            for platform in platforms
            if holds(package.marker, platform)
        ]
        self._remember_urls(
            {wheel.sha256: wheel.url for _, _, wheel in chosen if wheel.sha256 and not wheel.attributes}
        )
        chosen = [(one, at, with_index(wheel, one.name, target)) for one, at, wheel in chosen]
        return [
            self.locked_row(package, platform, wheel, reasons.get(package.name, ()), context.progress)
            for package, platform, wheel in chosen
        ]

    def _compiled(
        self,
        lines: Sequence[str],
        requirements: Sequence[Requirement],
        target: Target,
        context: ResolveContext,
        *,
        deep: bool = True,
    ) -> tuple[list[PylockPackage], Target]:
        """What uv chooses of what is old enough, and the target that says what that is."""
        from cape.sources.pypi.ages import compiled_with_age

        kept = _kept_versions(context.kept) or versions_of_uv_lock(requirements, context)
        lines = [*lines, *provided_lines(context, self.cache)]

        def compile_for(asked: Target) -> list[PylockPackage]:
            found = read_pylock(self.uv.compile_pylock(lines, asked, kept=kept, deep=deep))
            return [package for package in found if package.name not in context.provided]

        return compiled_with_age(compile_for, target, requirements, context, kept)

    def _explained(
        self, failure: UvFailure, requirements: Sequence[Requirement], context: ResolveContext
    ) -> CapeError:
        """The error for uv's; an unknown package gets the names like it that this machine has met."""
        said = [*requirements, *provided_requirements(context)]
        error = explain_age(failure, requirements, context) or explain(failure, said, self.index)
        if isinstance(error, RequirementsConflict):
            tell_provided(error, requirements, context)
        if isinstance(error, UnknownPackage):
            met = {row.name for row in context.kept if row.source == self.name}
            met |= {project_of(url) for url in self._known_urls().values()}
            met |= {_canonical(other.package) for other in requirements}
            wanted = error.requirement
            met.discard(_canonical(wanted.package))
            return UnknownPackage(wanted, nearest=nearest(_canonical(wanted.package), sorted(met)))
        if isinstance(error, UnknownVersion) and error.hint is None:
            wanted = next(r for r in requirements if f"`{r.package}`" in error.fact)
            newest = self._glance(wanted.package)
            error.hint = f"the newest is `{newest[0].version}`" if newest and newest[0].version else None
        return error

    def locked_row(
        self,
        package: PylockPackage,
        platform: Platform,
        wheel: Wheel,
        dependencies: Iterable[str],
        progress: Progress,
    ) -> LockedPackage:
        assert platform.python is not None
        if package.commit is not None or "path" in wheel.attributes:
            artifact = self._own_archive(package, wheel)
        else:
            artifact = self._artifact(package.name, wheel, progress)
        return LockedPackage(
            source=self.name,
            name=package.name,
            version=package.version,
            systems=(platform.system,),
            artifact=artifact,
            dependencies=tuple(sorted(dependencies)),
            attributes={"python": minor(platform.python), **wheel.attributes},
        )

    def _own_archive(self, package: PylockPackage, chosen: Wheel) -> Artifact:
        """The archive of a commit, or a file of this machine; in the store from now on."""
        from cape.sources.pypi.direct import archive_of_commit

        registry = "git" if package.commit is not None else "path"
        with workplace(self.cache, "archive") as place:
            file = place / chosen.file_name
            if package.commit is None:
                with disk_errors(file):
                    shutil.copyfile(chosen.url, file)
            else:
                url = chosen.attributes["git"]
                archive_of_commit(url, package.commit, self.cache, file, directory=self.directory)
            digest, size_bytes = Digest.of_file(file), file.stat().st_size
            if not self.artifacts.has(digest):
                self.artifacts.admit(digest, file, size_bytes=size_bytes)
        location = f"{package.name}/{chosen.file_name}"
        return Artifact(digest=digest, size_bytes=size_bytes, registry=registry, location=location)

    def _artifact(self, project: str, wheel: Wheel, progress: Progress) -> Artifact:
        """The wheel as the lock names it; one whose index gives no digest or size is brought to know them."""
        location = f"{project}/{wheel.file_name}"
        if wheel.sha256 is not None and wheel.size_bytes is not None:
            digest, size_bytes = Digest(wheel.sha256), wheel.size_bytes
        else:
            digest, size_bytes = self._measured(wheel, progress)
        return Artifact(digest=digest, size_bytes=size_bytes, registry=self.name, location=location)

    def _measured(self, wheel: Wheel, progress: Progress) -> tuple[Digest, int]:
        if wheel.sha256 is not None and self.artifacts.has(Digest(wheel.sha256)):
            return Digest(wheel.sha256), self.artifacts.path(Digest(wheel.sha256)).stat().st_size
        url = self.index.with_credentials(wheel.url)
        integrity = wheel.sha256 and f"sha256-{base64.b64encode(bytes.fromhex(wheel.sha256)).decode()}"
        published = Published(name=wheel.file_name, url=url, integrity=integrity)
        ((digest, size_bytes),) = measure_all([published], self.artifacts, progress=progress)
        self._remember_urls({digest.hex: wheel.url})
        return digest, size_bytes

    def _glance(self, package: str) -> tuple[PylockPackage, ...]:
        """The newest version of one package for any Python; empty when the index has no such package."""
        wanted = Requirement(source=self.name, name=package, package=package)
        target = Target(python="3.13", systems=(System.X86_64_LINUX,))
        try:
            return read_pylock(self.uv.compile_pylock([package], target, kept={}, deep=False))
        except UvFailure as failure:
            error = explain(failure, [wanted], self.index)
            if isinstance(error, UnknownPackage):
                return ()
            if isinstance(error, InputError):
                return (PylockPackage(name=_canonical(package), version="", marker=None, wheels=()),)
            raise error  # noqa: B904 - it has its cause

    def _look_up(self, packages: Sequence[LockedPackage]) -> None:
        """Ask uv where the files of locked packages are; what the index no longer has stays unknown."""
        for python in sorted({row.attributes.get("python", "3.13") for row in packages}):
            rows = [row for row in packages if row.attributes.get("python", "3.13") == python]
            for group in _without_repeated_names(rows):
                self._look_up_group(group, python)

    def _look_up_group(self, rows: Sequence[LockedPackage], python: str) -> None:
        systems = tuple(sorted({system for row in rows for system in row.systems}))
        lines = sorted({f"{row.name}=={row.version}" for row in rows})
        try:
            names = tuple(sorted({row.name for row in rows if "build" in row.attributes}))
            target = Target(python=python, systems=systems, from_source=names, indices=indices_of_rows(rows))
            text = self.uv.compile_pylock(lines, target, kept={}, deep=False)
        except UvFailure as failure:
            wanted = [Requirement(source=self.name, name=row.name, package=row.name) for row in rows]
            error = explain(failure, wanted, self.index)
            if not isinstance(error, InputError):
                raise error  # noqa: B904 - it has its cause
            if len(rows) > 1:
                for row in rows:
                    self._look_up_group([row], python)
            return
        packages = read_pylock(text)
        wheels = [wheel for package in packages for wheel in (*package.wheels, package.sdist) if wheel]
        wanted_digests = {row.artifact.digest.hex for row in rows}
        self._remember_urls({w.sha256: w.url for w in wheels if w.sha256 in wanted_digests and w.sha256})

    @property
    def _urls_file(self) -> Path:
        return self.cache / f"urls-{self.index.identity}.json"

    def _known_urls(self) -> dict[str, str]:
        try:
            known = json.loads(self._urls_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def _remember_urls(self, urls: Mapping[str, str]) -> None:
        urls = {digest: without_credentials(url) for digest, url in urls.items()}
        known = self._known_urls()
        if urls.items() <= known.items():
            return
        self.cache.mkdir(parents=True, exist_ok=True)
        merged = dict(sorted({**known, **urls}.items()))
        write_atomically(self._urls_file, json.dumps(merged, indent=0).encode())


def project_of(url: str) -> str:
    """The project that a wheel's file name begins with."""
    return _canonical(url.rpartition("/")[2].partition("-")[0])


def requirement_line(requirement: Requirement, directory: Path | None = None) -> str:
    """The requirement as uv reads it: `pandas[excel]>=2.2,<4 ; sys_platform == 'linux' and ...`.

    A bare version means that version: `2.2` any 2.2, `2.2.1` just that. Paths are relative to `directory`.
    Raises `BadConstraint`, `NoSuchPackageFile`.
    """
    from cape.sources.pypi.direct import address_of

    if not _is_name(requirement.package):
        raise BadConstraint(
            f"`{requirement.package}` is no name of a Python package", where=requirement.where
        )
    extras = [part for part in re.split(r"[\s,]+", requirement.options.get("extras", "")) if part]
    line = requirement.package + (f"[{','.join(sorted(extras))}]" if extras else "")
    address = address_of(requirement, directory)
    line += f" @ {address}" if address else _specifier(requirement)
    markers = [requirement.options["marker"]] if requirement.options.get("marker") else []
    if requirement.systems:
        markers.append(" or ".join(f"({marker_of(system)})" for system in requirement.systems))
    if markers:
        line += " ; " + (" and ".join(f"({one})" for one in markers) if len(markers) > 1 else markers[0])
    return line


def _specifier(requirement: Requirement) -> str:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    text = requirement.constraint.strip()
    if text in ("", "*"):
        return ""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        text = f"=={text}.*"
    elif re.fullmatch(r"\d[\w.+!]*", text):
        text = f"=={text}"
    try:
        return str(SpecifierSet(text))
    except InvalidSpecifier as error:
        raise BadConstraint(
            f"`{requirement.constraint}` is no constraint of Python packages",
            where=requirement.where,
            hint="write it as in `>=2.2,<4`, `==2.2.*` or `*`",
        ) from error


def read_reasons(text: str) -> Mapping[str, tuple[str, ...]]:
    """What each package needs, from uv's lines `name==version ; marker  # via a, b`."""
    needs: dict[str, set[str]] = {}
    for line in text.splitlines():
        pin, found, users = line.partition("# via ")
        if not found or ("==" not in pin and " @ " not in pin):
            continue
        name = _canonical(re.split(r"[=\[ ;]", pin.strip(), maxsplit=1)[0])
        for user in users.split(","):
            if not user.strip().startswith("-"):
                needs.setdefault(_canonical(user.strip().split("[")[0]), set()).add(name)
    return {user: tuple(sorted(names)) for user, names in needs.items()}


def targets_of(
    context: ResolveContext, requirements: Sequence[Requirement]
) -> list[tuple[Target, list[Platform]]]:
    """The systems of the context by their Python; a system without one takes that of the others."""
    known = {platform.system: platform for platform in context.platforms}
    pythons = [platform.python for platform in context.platforms if platform.python]
    groups: dict[str, list[Platform]] = {}
    for system in context.systems:
        if not any(not r.systems or system in r.systems for r in requirements):
            continue
        given = known.get(system, Platform(system=system))
        python = given.python or (pythons[0] if pythons and not system.is_linux else None)
        if python is None:
            raise NoInterpreter(
                f"`{requirements[0].package}` needs Python, and the environment has none on `{system}`",
                where=requirements[0].where,
                hint='add `python = "*"` to the packages',
            )
        groups.setdefault(python, []).append(Platform(system=system, python=python, glibc=given.glibc))
    return [
        (
            Target(
                python=python,
                systems=tuple(sorted(p.system for p in platforms)),
                as_of=context.as_of,
                from_source=names_from_source(requirements),
                indices=indices_of(requirements),
            ),
            platforms,
        )
        for python, platforms in sorted(groups.items())
    ]


def _chosen(package: PylockPackage, platform: Platform, requirements: Sequence[Requirement]) -> Wheel:
    wheel = direct_file(package, requirements) or best_wheel(package, platform)
    if wheel is not None:
        return wheel
    if package.sdist is not None and package.name in names_from_source(requirements):
        return replace(package.sdist, attributes={"build": "source"})
    where = next((r.where for r in requirements if _canonical(r.package) == package.name), None)
    libc = f", glibc {platform.glibc}" if platform.glibc else ""
    system = f"`{platform.system}` (Python {platform.python}{libc})"
    reasons = what_wheels_need(package, platform)
    raise no_wheel(package.name, package.version, system=system, where=where, reasons=reasons)


def merged_rows(rows: Sequence[LockedPackage]) -> list[LockedPackage]:
    """One row per artifact, with all its systems, and only the dependencies that are locked there."""
    present = {(row.name, system) for row in rows for system in row.systems}
    groups: dict[tuple[str, str, Digest, str], list[LockedPackage]] = {}
    for row in rows:
        key = (row.name, row.version, row.artifact.digest, row.attributes["python"])
        groups.setdefault(key, []).append(row)
    merged = []
    for group in groups.values():
        first = group[0]
        systems = tuple(sorted({system for row in group for system in row.systems}))
        needs = {
            need for row in group for need in row.dependencies if any((need, s) in present for s in systems)
        }
        merged.append(
            LockedPackage(
                source=first.source,
                name=first.name,
                version=first.version,
                systems=systems,
                artifact=first.artifact,
                dependencies=tuple(sorted(needs)),
                attributes=first.attributes,
            )
        )
    return merged


def _without_repeated_names(rows: Sequence[LockedPackage]) -> list[list[LockedPackage]]:
    """The rows in groups in which a name has one version only, as one question to uv needs."""
    groups: list[dict[str, str]] = []
    members: list[list[LockedPackage]] = []
    for row in rows:
        for versions, group in zip(groups, members, strict=True):
            if versions.setdefault(row.name, row.version) == row.version:
                group.append(row)
                break
        else:
            groups.append({row.name: row.version})
            members.append([row])
    return members


def _kept_versions(kept: Sequence[LockedPackage]) -> Mapping[str, Sequence[str]]:
    versions: dict[str, set[str]] = {}
    for row in kept:
        if row.source == PypiSource.name and not row.placement:
            versions.setdefault(row.name, set()).add(row.version)
    return {name: sorted(found) for name, found in versions.items()}


def _is_name(text: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", text) is not None


def _canonical(name: str) -> str:
    from packaging.utils import canonicalize_name

    return canonicalize_name(name)
