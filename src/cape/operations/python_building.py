"""Python packages that are built on this machine: from source releases, git, directories, and editable ones.

Owns which objects of a plan are built, their keys, and the environment that each is built in: the system
packages of the same lock with the build requirements that it locked for that package, and nothing else. How
a build backend is run is `pypi.building`'s.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cape.environment.objects import loader_of, make_objects, plan_keys, relocate
from cape.environment.plan import EnvironmentPlan
from cape.environment.realisation import RealisedEnvironment
from cape.lock.queries import build_rows_for
from cape.names import Digest, System
from cape.sources.protocol import CONTENT_OPTION, PROJECT_OPTION, Artifact, LockedPackage, Source
from cape.store import StoreObject

if TYPE_CHECKING:
    from cape.lock import Lock
    from cape.operations.project import Workshop

_BUILDING_VERSION = 1
"""Part of every key: a change of how builds are run, or of what is kept of them, counts up."""

_SEEN = re.compile(
    r"(gcc|g\+\+|cpp|clang|llvm|lld|binutils|libc6|libstdc\+\+|make|cmake|python3)([-.\d]|\Z)|.*-dev\Z"
)
"""System packages that can change what a build gives."""

_PYTHON = re.compile(r"python(3\.\d+)-minimal\Z|python(3\.\d+)\Z")

Realise = Callable[[EnvironmentPlan, Sequence[StoreObject]], RealisedEnvironment]


@dataclass(frozen=True, kw_only=True, slots=True)
class Built:
    """A plan with its objects, in its order; `built` tells how many of them were built just now."""

    plan: EnvironmentPlan
    objects: tuple[StoreObject, ...]
    built: int


def is_built(package: LockedPackage) -> bool:
    """Whether a package's object is built from its artifact, not unpacked."""
    return package.source == "pypi" and "build" in package.attributes


def without_built(plan: EnvironmentPlan) -> EnvironmentPlan:
    """The plan without the packages that are built."""
    return replace(plan, packages=tuple(one for one in plan.packages if not is_built(one)))


def with_local_projects(plan: EnvironmentPlan, lock: Lock, directory: Path | None) -> EnvironmentPlan:
    """The plan with the lock's editable projects of this machine.

    They are part of its identity, and so is where they are: two checkouts of one project have environments
    of their own.
    """
    rows = [] if directory is None else list(_editables(plan, lock, directory))
    if not rows:
        return plan
    lines = [f"{one.name} {one.attributes['home']} {one.artifact.digest.hex}" for one in rows]
    return replace(
        plan,
        identity=Digest.of_lines(["local projects", plan.identity.hex, *sorted(lines)]),
        packages=(*plan.packages, *rows),
        roots=(*plan.roots, *((one.source, one.name) for one in rows)),
    )


def _editables(plan: EnvironmentPlan, lock: Lock, directory: Path) -> Sequence[LockedPackage]:
    from packaging.utils import canonicalize_name

    python = _python_of(plan)
    return [
        LockedPackage(
            source="pypi",
            name=canonicalize_name(one.package),
            version="0",
            systems=(plan.system,),
            artifact=Artifact(
                digest=Digest(one.options[CONTENT_OPTION]), size_bytes=0, registry="path", location="editable"
            ),
            attributes={
                "python": python,
                "build": "editable",
                "home": os.path.normpath(os.path.abspath(directory / one.options["path"])),
            },
        )
        for one in lock.requirements_of("pypi")
        if PROJECT_OPTION in one.options and "editable" in one.options
        if not one.systems or plan.system in one.systems
    ]


def _python_of(plan: EnvironmentPlan) -> str:
    """`3.13`, of the system packages of a plan."""
    for one in plan.packages:
        found = _PYTHON.match(one.name) if one.source == "debian" else None
        if found:
            return str(found[1] or found[2])
    return "3"


def with_built(
    whole: EnvironmentPlan,
    plain: EnvironmentPlan,
    objects: Sequence[StoreObject],
    lock: Lock,
    workshop: Workshop,
    sources: Mapping[str, Source],
    realise: Realise,
    *,
    only_from: Path | None = None,
) -> Built:
    """The whole plan with its objects; those that are built are made if they are missing.

    `plain` is the plan without them, `objects` are its objects, and `realise` makes environments. On another
    kind of machine nothing is built, and what would be is left out. With `only_from` no registry is asked.
    Raises `BuildFailed`, `BuildNotIsolated`, `DamagedSource`, and what fetching raises.
    """
    wanted = [one for one in whole.packages if is_built(one)]
    if not wanted or whole.system is not System.current():
        return Built(plan=plain, objects=tuple(objects), built=0)
    work = _Work(plain, lock, workshop, sources, realise, only_from)
    lacking = [one for one in wanted if workshop.store.objects.get(work.key(one)) is None]
    if lacking:
        workshop.progress.start("building Python packages", len(lacking))
        try:
            for one in lacking:
                work.made(one)
                workshop.progress.advance()
        finally:
            workshop.progress.finish()
    plainly = iter(objects)
    ordered = [work.made(one) if is_built(one) else next(plainly) for one in whole.packages]
    return Built(plan=whole, objects=tuple(ordered), built=len(lacking))


class _Work:
    """Builds packages of one plan."""

    def __init__(
        self,
        plain: EnvironmentPlan,
        lock: Lock,
        workshop: Workshop,
        sources: Mapping[str, Source],
        realise: Realise,
        only_from: Path | None,
    ) -> None:
        self._system = [one for one in plain.packages if one.source == "debian"]
        self._plan = plain
        self._lock = lock
        self._workshop = workshop
        self._sources = sources
        self._realise = realise
        self._only_from = only_from

    def key(self, package: LockedPackage) -> Digest:
        """The key of what a package is built to: all that the build can see is in it."""
        (plain,) = plan_keys(replace(self._plan, packages=(package,)), self._workshop.store)
        seen = [f"{one.name} {one.artifact.digest.hex}" for one in self._system if _SEEN.match(one.name)]
        needs = [f"{one.name} {self._identity(one)}" for one in self._needs(package)]
        return Digest.of_lines([f"python build {_BUILDING_VERSION}", plain.hex, *seen, "with", *needs])

    def _needs(self, package: LockedPackage) -> tuple[LockedPackage, ...]:
        """What building a package needs; what of that is built itself stands as it does in an environment."""
        rows = build_rows_for(self._lock, self._plan.system, package.name)
        return tuple(replace(one, placement="") if is_built(one) else one for one in rows)

    def made(self, package: LockedPackage) -> StoreObject:
        """The object of a package that is built; built now if it is not there.

        Raises what `with_built` raises.
        """
        found = self._workshop.store.objects.get(self.key(package))
        return found if found is not None else self._make(package)

    def _make(self, package: LockedPackage) -> StoreObject:
        from cape.operations.fetching import fetch
        from cape.sources.tools import workplace

        if package.artifact.size_bytes:
            fetch([package], self._workshop, self._sources, only_from=self._only_from)
        environment = self._environment(package).path
        store = self._workshop.store

        def build(tree: Path) -> Mapping[str, Any]:
            with workplace(store.root / "indices" / package.source, "build") as place:
                version = self._build(package, tree, place, environment)
            facts = dict(relocate(tree, self._plan.system, loader_of(self._plan, store)))
            facts["package"] = {"source": package.source, "name": package.name, "version": version}
            facts["artifact"] = package.artifact.digest.hex
            return facts

        return store.objects.obtain(self.key(package), build)

    def _environment(self, package: LockedPackage) -> RealisedEnvironment:
        """The environment that a package is built in: the system packages, and its build requirements."""
        from cape.operations.fetching import fetch

        needs = self._needs(package)
        packages = (*self._system, *needs)
        lines = [f"{one.source} {one.name} {self._identity(one)}" for one in packages]
        whole = replace(
            self._plan,
            identity=Digest.of_lines(["to build Python", str(self._plan.relocation_version), *lines]),
            packages=packages,
            roots=(*self._plan.roots, *((one.source, one.name) for one in needs)),
        )
        plan = without_built(whole)
        store = self._workshop.store
        keys = plan_keys(plan, store)
        lacking = [
            one
            for one, key in zip(plan.packages, keys, strict=True)
            if one.source != "debian" and store.objects.get(key) is None
        ]
        fetch(lacking, self._workshop, self._sources, only_from=self._only_from)

        def unpack(one: LockedPackage, artifact: Path, into: Path) -> None:
            self._sources[one.source].unpack(one, artifact, into)

        made = iter(make_objects(plan, unpack=unpack, store=store))
        objects = [self.made(one) if is_built(one) else next(made) for one in packages]
        return self._realise(whole, objects)

    def _identity(self, package: LockedPackage) -> str:
        return (self.key(package) if is_built(package) else package.artifact.digest).hex

    def _build(self, package: LockedPackage, tree: Path, place: Path, environment: Path) -> str:
        """Build in `place`, lay out the wheel in `tree`; the version that it says."""
        from cape.sources.npm.isolation import without_network
        from cape.sources.pypi.building import Build, build_wheel, without_places
        from cape.sources.pypi.unpacking import metadata_of, unpack_wheel

        store = self._workshop.store
        build = Build(
            name=package.name,
            version=package.version,
            home=self._home(package, place),
            environment=environment,
            editable=package.attributes["build"] == "editable",
            log=store.root / "logs" / f"{package.name}-{package.artifact.digest.short}.log",
        )
        wheel = build_wheel(build, place / "scratch", enter=without_network())
        unpack_wheel(wheel, tree, python=package.attributes["python"])
        without_places(tree, environment, build.home)
        return metadata_of(wheel).get("version", [package.version])[0]

    def _home(self, package: LockedPackage, place: Path) -> Path:
        """The directory of the project that is built."""
        from cape.sources.pypi.direct import unpack_source

        if package.attributes["build"] == "editable":
            return Path(package.attributes["home"])
        artifact = self._workshop.store.artifacts.path(package.artifact.digest)
        name = package.artifact.location.rpartition("/")[2]
        unpacked = place / "source"
        unpacked.mkdir()
        return unpack_source(artifact, name, unpacked) / package.attributes.get("subdirectory", "")
