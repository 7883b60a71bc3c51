"""`cape build` and `cape publish`: a project's own packages, in a sandbox, from tracked files alone."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cape.building import Recipe, Sandbox, digest_of, in_order, recipes_of, tracked_inputs
from cape.building.errors import DirtyTree, NotBuilt, NotReproducible
from cape.building.inputs import Input, changed_files, commit_of, copy_inputs, time_of
from cape.building.packing import differences, pack, unpack
from cape.building.sandbox import ENVIRONMENT, HOME, OUT, SOURCE, Room, run_logged, standing_clock, variables
from cape.environment.activation import activated, activation_of
from cape.environment.plan import EnvironmentPlan
from cape.environment.realisation import RealisedEnvironment
from cape.errors import CapeError
from cape.lock import Lock, read_lock
from cape.manifest import Manifest
from cape.names import Digest, System, write_atomically
from cape.operations.including import project_manifest
from cape.operations.project import Project, Workshop
from cape.sources.builds import Built, read_record, write_record

_log = logging.getLogger(__name__)

BUILD_SOURCE = "build"
Telling = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildResult:
    """What became of one build. `made` is False where the same was built before."""

    built: Built
    made: bool
    checked: bool
    log: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """What was written where."""

    built: Built
    directory: Path
    commit: str | None


def build(
    project: Project,
    workshop: Workshop,
    names: Sequence[str] = (),
    *,
    check: bool = False,
    sandboxed: bool = True,
    telling: Telling = lambda text: None,
) -> list[BuildResult]:
    """Build the named packages (all without names) and what they depend on, in this order.

    With `check` each is built again, and compared. The caller holds the project. Raises `BuildFailed`,
    `NotReproducible`, `SandboxMissing`, `UnknownBuild`, and what syncing raises.
    """
    manifest = project_manifest(project)
    recipes = recipes_of(manifest.build)
    wanted = in_order(recipes, names or sorted(recipes))
    if not wanted:
        raise NotBuilt(
            "the manifest builds nothing", where=str(manifest.path), hint="`[build.NAME]` says what to build"
        )
    with _shop(project, workshop, manifest, sandboxed=sandboxed, telling=telling) as shop:
        results: dict[str, BuildResult] = {}
        for recipe in wanted:
            beneath = [results[name].built for name in recipe.depends]
            results[recipe.name] = shop.result(recipe, beneath, check=check)
    return [results[recipe.name] for recipe in wanted]


def publish(project: Project, workshop: Workshop, name: str, directory: Path) -> Published:
    """Write a build's archive and its record into a directory. Raises `DirtyTree`, `NotBuilt`."""
    changed = changed_files(project.directory)
    if changed:
        shown = ", ".join(f"`{path}`" for path in changed[:8]) + (" ..." if len(changed) > 8 else "")
        raise DirtyTree(
            f"{len(changed)} files differ from what git has committed: {shown}",
            where=str(project.directory),
            hint="commit them, or `git stash` them, then publish",
        )
    built = read_record(project.directory, name).get(System.current())
    if built is None or not workshop.store.artifacts.has(built.digest):
        raise NotBuilt(f"`{name}` is not built on this machine", hint=f"`cape build {name}` first")
    _require_current(project, built, name)
    commit = commit_of(project.directory)
    target = directory / built.digest.hex[:2] / built.digest.hex
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.copyfile(workshop.store.artifacts.path(built.digest), temporary)
        os.replace(temporary, target)
    fields = {
        "schema": 1,
        "name": built.name,
        "version": built.version,
        "system": str(built.system),
        "sha256": built.digest.hex,
        "size": built.size_bytes,
        "key": built.key.hex,
        "sandboxed": built.sandboxed,
        "commit": commit,
    }
    record = directory / "builds" / f"{built.name}-{built.version}-{built.system}.json"
    record.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(record, (json.dumps(fields, indent=1, sort_keys=True) + "\n").encode())
    return Published(built=built, directory=directory, commit=commit)


def _require_current(project: Project, built: Built, name: str) -> None:
    recipe = in_order(recipes_of(project_manifest(project).build), [name])[-1]
    if recipe.version != built.version:
        raise NotBuilt(
            f"`{name}` was built as {built.version}, and the manifest says {recipe.version}",
            hint=f"`cape build {name}` again",
        )


@contextmanager
def _shop(
    project: Project, workshop: Workshop, manifest: Manifest, *, sandboxed: bool, telling: Telling
) -> Iterator[_Shop]:
    plan, environment = _environment(project, workshop, manifest)
    sandbox = _sandbox(workshop) if sandboxed else None
    if sandbox is None:
        telling("note: without a sandbox, a build sees this machine's files and its network")
    with tempfile.TemporaryDirectory(prefix="cape-build-") as place:
        yield _Shop(project, workshop, manifest, plan, environment, sandbox, Path(place), telling)


def _environment(
    project: Project, workshop: Workshop, manifest: Manifest
) -> tuple[EnvironmentPlan, RealisedEnvironment]:
    """The project's locked environment without what it builds itself; made if it is not there."""
    from cape.operations.locking import compute_lock
    from cape.operations.syncing import plan_for, prepare

    own = [one for one in manifest.requirements if one.source != BUILD_SOURCE]
    without = replace(manifest, requirements=tuple(own))
    previous = read_lock(project.lock_path)
    locked = compute_lock(without, _without_builds(previous), workshop)
    return plan_for(locked.lock, System.current()), prepare(workshop, locked).environment


def _without_builds(lock: Lock | None) -> Lock | None:
    if lock is None:
        return None
    gone = {one.name for one in lock.requirements if one.source == BUILD_SOURCE}
    return replace(
        lock,
        requirements=tuple(one for one in lock.requirements if one.source != BUILD_SOURCE),
        packages=tuple(one for one in lock.packages if one.source != BUILD_SOURCE),
        roots={name: found for name, found in lock.roots.items() if name not in gone},
    )


def _sandbox(workshop: Workshop) -> Sandbox:
    """Bubblewrap in an environment of its own. Raises `SandboxMissing`."""
    from cape.manifest import parse_package_argument
    from cape.operations.once import inside_once

    inside = inside_once(
        Path("/"), workshop, [parse_package_argument("bubblewrap")], ["bwrap"], argv=["build"]
    )
    sandbox = Sandbox(inside.words, inside.variables)
    sandbox.check()
    return sandbox


def _faketime(workshop: Workshop) -> Path:
    """The library that makes clocks stand, in an environment of its own."""
    from cape.manifest import parse_package_argument
    from cape.operations.once import inside_once

    words = ["sh", "-c", 'printf %s "$CAPE_ENV"']
    packages = [parse_package_argument("libfaketime")]
    inside = inside_once(Path("/"), workshop, packages, words, argv=["build"])
    done = subprocess.run(
        inside.words, env=dict(inside.variables), capture_output=True, text=True, check=True
    )
    return next((Path(done.stdout) / "root/usr/lib").glob("*/faketime/libfaketime.so.1"))


class _Shop:
    """Where the builds of one command are made."""

    def __init__(
        self,
        project: Project,
        workshop: Workshop,
        manifest: Manifest,
        plan: EnvironmentPlan,
        environment: RealisedEnvironment,
        sandbox: Sandbox | None,
        place: Path,
        telling: Telling,
    ) -> None:
        self._project = project
        self._workshop = workshop
        self._manifest = manifest
        self._plan = plan
        self._environment = environment.path
        self._sandbox = sandbox
        self._place = place
        self._telling = telling
        self._time_s = time_of(project.directory)

    def result(self, recipe: Recipe, beneath: Sequence[Built], *, check: bool) -> BuildResult:
        """The result of a recipe: the one that is there for the same key, or a new one."""
        inputs = tracked_inputs(self._project.directory, recipe.inputs)
        key = recipe.key(
            inputs=digest_of(inputs),
            environment=self._plan.identity,
            beneath=[one.digest for one in beneath],
            sandboxed=self._sandbox is not None,
        )
        present = read_record(self._project.directory, recipe.name).get(self._plan.system)
        is_there = (
            present is not None and present.key == key and self._workshop.store.artifacts.has(present.digest)
        )
        if present is not None and is_there and not check:
            return BuildResult(built=present, made=False, checked=False)
        log = self._project.state / "logs" / f"build-{recipe.name}.log"
        room = self._made(recipe, inputs, beneath, log, "first")
        if check:
            self._compare(recipe, room, self._made(recipe, inputs, beneath, log, "second"))
        built = self._kept(recipe, room, key)
        write_record(self._project.directory, built)
        return BuildResult(built=built, made=True, checked=check, log=log)

    def _made(
        self, recipe: Recipe, inputs: Sequence[Input], beneath: Sequence[Built], log: Path, turn: str
    ) -> Room:
        """A room in which the recipe's command has run."""
        self._telling(f"building {recipe.name}" + (" again, to compare" if turn == "second" else ""))
        room = Room(directory=self._place / f"{recipe.name}-{turn}")
        room.prepare()
        copy_inputs(self._project.directory, inputs, room.source, time_s=self._time_s)
        depended = self._lay_out(beneath, room)
        shell = self._environment if self._sandbox is None else ENVIRONMENT
        words = [str(shell / "root/usr/bin/sh"), "-eu", "-c", recipe.command]
        clock = standing_clock(_faketime(self._workshop), self._time_s) if recipe.clock_stands else {}
        what = f"`[build.{recipe.name}]`"
        if self._sandbox is None:
            told = self._told((room.source, room.home, room.out), depended) | clock
            run_logged(words, told, room.source, log, what=what)
            return room
        depended = {name: HOME / path.relative_to(room.home) for name, path in depended.items()}
        told = self._told((SOURCE, HOME, OUT), depended) | clock
        store = self._workshop.store.root
        words = self._sandbox.words(
            room, environment=self._environment, store=store, told=told, command=words
        )
        self._sandbox.run(words, log, what=what)
        return room

    def _lay_out(self, beneath: Sequence[Built], room: Room) -> dict[str, Path]:
        """The results that a build depends on, laid out for it."""
        places = {}
        for one in beneath:
            place = room.home / "depends" / one.name
            unpack(self._workshop.store.artifacts.path(one.digest), place)
            places[one.name] = place
        return places

    def _told(self, places: tuple[Path, Path, Path], depended: Mapping[str, Path]) -> dict[str, str]:
        activation = activation_of(self._manifest, self._environment, places[0])
        inside = activated(activation, {}, pure=True)
        own = {f"CAPE_BUILD_{name.replace('-', '_')}": str(path) for name, path in depended.items()}
        return variables({**inside, **own}, time_s=self._time_s, places=places)

    def _compare(self, recipe: Recipe, one: Room, other: Room) -> None:
        found = differences(one.out, other.out)
        if found:
            shown = "".join(f"\n    {line}" for line in found[:10])
            more = f"\n    and {len(found) - 10} more" if len(found) > 10 else ""
            report = self._report(recipe, one, other)
            raise NotReproducible(
                f"`[build.{recipe.name}]` gave different results from the same inputs:{shown}{more}",
                where=str(report or self._manifest.path),
                hint='times come from `$SOURCE_DATE_EPOCH` (or `clock = "fixed"`); sort what lists files; '
                "leave out what is random",
            )

    def _report(self, recipe: Recipe, one: Room, other: Room) -> Path | None:
        """What diffoscope says of two results, in a file; None where it cannot be had."""
        from cape.manifest import parse_package_argument
        from cape.operations.once import inside_once

        report = self._project.state / "logs" / f"build-{recipe.name}.differences"
        report.parent.mkdir(parents=True, exist_ok=True)
        words = ["diffoscope", "--text", str(report), "--", str(one.out), str(other.out)]
        try:
            packages = [parse_package_argument("diffoscope-minimal")]
            inside = inside_once(Path("/"), self._workshop, packages, words, argv=["build"])
            subprocess.run(
                inside.words, env=dict(inside.variables), capture_output=True, check=False, timeout=300
            )
        except (CapeError, OSError, subprocess.TimeoutExpired) as error:
            _log.debug("diffoscope cannot be had: %s", error)
        return report if report.is_file() else None

    def _kept(self, recipe: Recipe, room: Room, key: Digest) -> Built:
        archive = room.directory / "result.tar"
        files = pack(room.out, archive, patterns=recipe.outputs, what=f"`[build.{recipe.name}]`")
        digest, size_bytes = Digest.of_file(archive), archive.stat().st_size
        self._workshop.store.announce()
        self._workshop.store.artifacts.admit(digest, archive, size_bytes=size_bytes)
        return Built(
            name=recipe.name,
            version=recipe.version,
            system=self._plan.system,
            key=key,
            digest=digest,
            size_bytes=size_bytes,
            files=files,
            sandboxed=self._sandbox is not None,
        )
