"""Packages whose install scripts the manifest lets run: built in an environment of the same lock.

Owns which objects take the place of the plain ones, their keys (all that a build can see of compilers, node
and headers is in them), and the environment that they are built in. How scripts run is `npm.building`'s.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cape.environment.objects import loader_of, plan_keys, relocate
from cape.environment.plan import EnvironmentPlan
from cape.environment.realisation import RealisedEnvironment
from cape.names import Digest, System
from cape.operations.project import Workshop
from cape.sources.protocol import LockedPackage, Source
from cape.store import StoreObject

_BUILDING_VERSION = 2
"""Part of every key: a change of how scripts are run, or of what is kept of them, counts up."""

_TOOLS = re.compile(
    r"(gcc|g\+\+|cpp|clang|llvm|lld|binutils|libc6|libstdc\+\+|make|cmake|ninja|python3|nodejs|node|npm)([-.\d]|\Z)"
    r"|.*-dev\Z|.*-dev-bin\Z|node-gyp\Z|gyp\Z|pkg-config\Z|pkgconf\Z"
)
"""Packages of an environment that a build sees."""

Realise = Callable[[EnvironmentPlan, Sequence[StoreObject]], RealisedEnvironment]


def with_scripts_run(
    plan: EnvironmentPlan,
    objects: Sequence[StoreObject],
    workshop: Workshop,
    sources: Mapping[str, Source],
    realise: Realise,
) -> tuple[StoreObject, ...]:
    """The objects of a plan, those of packages with scripts as these left them; built if they are missing.

    `realise` makes the environment that they are built in, which is wanted only then.
    Raises `ScriptFailed`, `ScriptToolsMissing`, `NetworkNotCutOff`.
    """
    wanted = [at for at, package in enumerate(plan.packages) if package.attributes.get("scripts") == "run"]
    if not wanted or plan.system is not System.current():
        return tuple(objects)
    found = list(objects)
    keys = _keys(plan, workshop)
    missing = [at for at in wanted if workshop.store.objects.get(keys[at]) is None]
    if missing:
        from cape.operations.fetching import fetch

        fetch([plan.packages[at] for at in missing], workshop, sources)
        building = replace(plan, identity=Digest.of_lines(["before scripts", plan.identity.hex]))
        environment = realise(building, objects)
        workshop.progress.start("running install scripts", len(missing))
        try:
            for at in missing:
                _build(plan, at, keys[at], environment.path, workshop, sources)
                workshop.progress.advance()
        finally:
            workshop.progress.finish()
    for at in wanted:
        made = workshop.store.objects.get(keys[at])
        assert made is not None, "an object that was just made is there"
        found[at] = made
    return tuple(found)


def _keys(plan: EnvironmentPlan, workshop: Workshop) -> list[Digest]:
    """The keys of the built objects of a plan, in its order."""
    tools = sorted(
        f"{one.source} {one.name} {one.version} {one.artifact.digest.hex}"
        for one in plan.packages
        if (one.source == "debian" and _TOOLS.match(one.name)) or (one.source, one.name) == ("npm", "node")
    )
    plain = plan_keys(plan, workshop.store)
    return [
        Digest.of_lines(
            [f"scripts {_BUILDING_VERSION}", key.hex, *tools, *_beneath(plan.packages[at], plan.packages)]
        )
        for at, key in enumerate(plain)
    ]


def _beneath(package: LockedPackage, packages: Sequence[LockedPackage]) -> list[str]:
    """What a package depends on, by digest: headers and build tools come from there too."""
    if package.attributes.get("scripts") != "run":
        return []
    by_name: dict[str, list[LockedPackage]] = {}
    for one in packages:
        if one.source == "npm":
            by_name.setdefault(one.name, []).append(one)
    seen: dict[str, None] = {}
    waiting = [*package.dependencies, "node-gyp"]
    lines = []
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen[name] = None
        for one in by_name.get(name, ()):
            lines.append(f"{one.placement} {one.artifact.digest.hex}")
            waiting += one.dependencies
    return sorted(lines)


def _build(
    plan: EnvironmentPlan,
    at: int,
    key: Digest,
    environment: Path,
    workshop: Workshop,
    sources: Mapping[str, Source],
) -> None:
    """Make the object of one package: unpacked anew, its scripts run, relocated."""
    from cape.sources.npm.building import Package, run_scripts
    from cape.sources.tools import workplace

    package, store = plan.packages[at], workshop.store
    log = store.root / "logs" / f"{package.name.replace('/', '+')}-{package.version}.log"

    def build(tree: Path) -> Mapping[str, Any]:
        with workplace(store.root / "indices" / package.source, "npm-build") as place:
            scratch = place / "tree"
            artifact = store.artifacts.path(package.artifact.digest)
            sources[package.source].unpack(package, artifact, scratch)
            one = Package(name=package.name, version=package.version, placement=package.placement)
            run_scripts(one, scratch=scratch, environment=environment, log=log)
            _take(scratch, tree, package)
        facts = dict(relocate(tree, plan.system, loader_of(plan, store)))
        facts["package"] = {"source": package.source, "name": package.name, "version": package.version}
        facts["artifact"] = package.artifact.digest.hex
        return facts

    store.objects.obtain(key, build)


def _take(scratch: Path, tree: Path, package: LockedPackage) -> None:
    """Move the package and the links to its programs out of the scratch directory."""
    target = tree / package.placement
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(scratch / package.placement, target)
    programs = scratch / "bin"
    if programs.is_dir():
        shutil.move(programs, tree / "bin")
    beside = package.placement.rpartition("node_modules/")[0] + "node_modules/.bin"
    own = package.placement.rpartition("node_modules/")[2]
    for link in sorted((scratch / beside).glob("*")) if package.placement.startswith("lib/project/") else ():
        if str(link.readlink()).startswith(f"../{own}/"):
            (tree / beside).mkdir(exist_ok=True)
            (tree / beside / link.name).symlink_to(link.readlink())
