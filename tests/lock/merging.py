"""Random merges of two branches by real git, each with a manifest and its lock, and what must hold after.

    archives = make_archives(directory)
    for seed in range(1000):
        check_merge(directory / str(seed), archives, seed)

System packages come from a real `DebianSource` on generated archives, in three states of which the later
have newer versions; language packages from tables. Each branch locks at a state of its own, as people do
on different days. What both sides changed in the manifest is decided as a person would: by one side, key by
key. git merges the lock, by union or with conflict markers.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cape.lock import Lock, check_freshness, lock_manifest, parse_lock, render_lock
from cape.manifest import Manifest, parse_manifest
from cape.operations.locking import reasons_to_lock
from cape.sources.debian import DebianSource
from cape.sources.protocol import Source
from cape.store.artifacts import Artifacts
from tests.lock.fakes import Catalogue, FakeSource, one
from tests.mirrors.debian import DebianMirror

STATES = 3
SYSTEMS = ("x86_64-linux", "aarch64-linux")
Rows = dict[str, str]
"""A manifest's packages: the value of each key."""

_DEBIAN = {
    "editor": "libtext, libgui",
    "viewer": "libgui",
    "search": "libtext (>= 1)",
    "compiler": "linker, libc6",
    "linker": "libc6",
    "server": "libnet | libnet-old, libtext",
    "client": "libnet",
    "shell": "",
    "archiver": "libzip",
    "database": "libnet, libzip, server-common",
}
_LIBRARIES = ("libtext", "libgui", "libnet", "libnet-old", "libzip", "server-common")
_PYTHON = {"frame": ("array",), "plot": ("array", "font"), "array": (), "font": (), "web": ("font",)}
_NPM = {"bundler": ("parser",), "linter": ("parser", "walker"), "parser": (), "walker": ()}


@dataclass(frozen=True)
class Archives:
    """The sources at each state, by its number."""

    states: tuple[Mapping[str, Source], ...]


def make_archives(directory: Path) -> Archives:
    """Archives in three states: in each later one about half of the packages have a newer version."""
    return Archives(tuple(_sources(directory / str(state), state) for state in range(STATES)))


def _version(name: str, state: int) -> str:
    """A package's version at a state: by its name one moves at once, another later, another never."""
    moves = random.Random(name).choices(range(2), k=STATES)
    return f"{1 + sum(moves[: state + 1])}.0"


def _versions(name: str, state: int) -> tuple[str, ...]:
    """The versions that there are at a state: none is forgotten."""
    return tuple(dict.fromkeys(_version(name, earlier) for earlier in range(state + 1)))


def _sources(directory: Path, state: int) -> Mapping[str, Source]:
    mirror = DebianMirror(directory / "archive")
    for name, depends in (_DEBIAN | dict.fromkeys(_LIBRARIES, "libc6")).items():
        for version in _versions(name, state):
            mirror.add(name, f"{version}-1", architecture="all", depends=depends)
    for name in ("libc6", "libstdc++6"):
        mirror.add(name, "2.41-12", architecture="all")
    mirror.add("python3", "3.13.5-1", architecture="all", depends="libc6")
    mirror.publish()
    debian = DebianSource(
        suite="trixie",
        configuration=mirror.settings(None),
        cache=directory / "cache",
        artifacts=Artifacts(directory / "artifacts"),
    )
    return {
        "debian": debian,
        "pypi": FakeSource("pypi", _catalogue(_PYTHON, state)),
        "npm": FakeSource("npm", _catalogue(_NPM, state)),
    }


def _catalogue(needs: Mapping[str, tuple[str, ...]], state: int) -> Catalogue:
    return {
        name: [one(version, *below) for version in _versions(name, state)] for name, below in needs.items()
    }


# -- manifests ----------------------------------------------------------------------------------------


def _value(name: str, chance: random.Random) -> str:
    if name in _DEBIAN:
        return chance.choice(['"*"', '"<9"', '">=1"'])
    source = "pypi" if name in _PYTHON else "npm"
    return f'{{ {source} = "{chance.choice(["*", "<9"])}" }}'


def _edited(rows: Rows, chance: random.Random) -> Rows:
    """The rows after up to three edits: a row more, a row less, another constraint."""
    found = dict(rows)
    names = [*_DEBIAN, *_PYTHON, *_NPM]
    for _ in range(chance.randint(0, 3)):
        name = chance.choice(names)
        if name in found and chance.random() < 0.5:
            del found[name]
        else:
            found[name] = _value(name, chance)
    return found


def _text(rows: Rows, suite: str = "trixie") -> str:
    systems = ", ".join(f'"{system}"' for system in SYSTEMS)
    lines = "\n".join(f"{name} = {value}" for name, value in sorted(rows.items()))
    return f'schema = 1\n\n[environment]\nsystems = [{systems}]\ndebian = "{suite}"\n\n[packages]\n{lines}\n'


def _merged(base: Rows, ours: Rows, theirs: Rows, chance: random.Random) -> Rows:
    """What a person makes of both sides: what one side changed, and of what both changed one side's."""
    found: Rows = {}
    for name in base.keys() | ours.keys() | theirs.keys():
        before, here, there = base.get(name), ours.get(name), theirs.get(name)
        value = there if here == before else here if there == before else chance.choice([here, there])
        if value is not None:
            found[name] = value
    return found


# -- one merge ----------------------------------------------------------------------------------------


class _Repository:
    """A git repository with a manifest and a lock."""

    def __init__(self, directory: Path, *, union: bool) -> None:
        self.directory = directory
        directory.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")
        if union:
            (directory / ".gitattributes").write_text("cape.lock merge=union\n")

    def git(self, *words: str, check: bool = True) -> None:
        identity = ("-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false")
        subprocess.run(
            ["git", *identity, *words],
            cwd=self.directory,
            check=check,
            capture_output=True,
            stdin=subprocess.DEVNULL,
        )

    def commit(self, rows: Rows, lock: Lock) -> None:
        (self.directory / "cape.toml").write_text(_text(rows))
        (self.directory / "cape.lock").write_text(render_lock(lock))
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "state")

    def lock_text(self) -> str:
        return (self.directory / "cape.lock").read_text()


def _manifest(rows: Rows, directory: Path) -> Manifest:
    return parse_manifest(_text(rows), path=directory / "cape.toml")


def check_merge(directory: Path, archives: Archives, seed: int) -> bool:
    """Make two branches, merge them, and check the lock; whether git left conflict markers in it."""
    chance = random.Random(seed)
    repository = _Repository(directory, union=chance.random() < 0.7)
    base = _edited(_edited(_edited({}, chance), chance), chance) or {"shell": '"*"'}
    ours, theirs = _edited(base, chance), _edited(base, chance)
    start = lock_manifest(_manifest(base, directory), archives.states[0], None)
    repository.commit(base, start)
    repository.git("branch", "side")
    locks = []
    for branch, rows in (("main", ours), ("side", theirs)):
        repository.git("checkout", "-q", branch)
        state = archives.states[chance.randrange(STATES)]
        upgrade = frozenset({"*"}) if chance.random() < 0.2 else None
        locks.append(lock_manifest(_manifest(rows, directory), state, start, upgrade=upgrade))
        repository.commit(rows, locks[-1])
    repository.git("checkout", "-q", "main")
    repository.git("merge", "-q", "-m", "merge", "side", check=False)
    manifest = _manifest(_merged(base, ours, theirs, chance), directory)
    text = repository.lock_text()
    _check(parse_lock(text, path=directory / "cape.lock"), manifest, archives.states[-1], locks)
    return "<<<<<<<" in text


def _check(merged: Lock, manifest: Manifest, sources: Mapping[str, Source], locks: list[Lock]) -> None:
    """Whatever git made of two locks, locking the merged manifest ends in a lock that is valid."""
    path = manifest.path.with_name("cape.lock")
    lock = merged
    if reasons_to_lock(manifest, merged):
        lock = lock_manifest(manifest, sources, merged)
    text = render_lock(lock)
    again = parse_lock(text, path=path)
    assert again == lock.without_marks() and not again.needs_relock
    assert reasons_to_lock(manifest, again) == () and check_freshness(manifest, again) == ()
    assert render_lock(lock_manifest(manifest, sources, again)) == text
    _check_whole(again)
    _check_like_a_fresh_one(again, manifest, sources)
    _check_kept(again, locks)


def _check_whole(lock: Lock) -> None:
    """All roots and dependencies are there, and no package twice on a system."""
    names = {(row.source, row.name) for row in lock.packages}
    for row in lock.packages:
        assert all((row.source, other) in names for other in row.dependencies), row.name
    for system in lock.systems:
        here = [(row.source, row.name) for row in lock.packages if system in row.systems]
        assert len(here) == len(set(here))
    for requirement in lock.requirements:
        assert lock.roots[requirement.name]
        assert all((requirement.source, name) in names for name in lock.roots[requirement.name])


def _check_like_a_fresh_one(lock: Lock, manifest: Manifest, sources: Mapping[str, Source]) -> None:
    """A lock made of nothing but the same kept versions has the same rows."""
    kept = Lock(systems=lock.systems, suite=lock.suite, packages=lock.packages)
    fresh = lock_manifest(manifest, sources, kept)
    present = {(row.source, row.name) for row in lock.packages}
    assert {(row.source, row.name) for row in fresh.packages} == present


def _check_kept(lock: Lock, locks: list[Lock]) -> None:
    """What both sides ask for alike, and answer alike, stays as it is."""
    for requirement in lock.requirements:
        alike = [requirement in side.requirements for side in locks]
        if not all(alike):
            continue
        for root in lock.roots[requirement.name]:
            found = {_version_in(side, requirement.source, root) for side in locks}
            if len(found) == 1:
                assert _version_in(lock, requirement.source, root) in found, requirement.name


def _version_in(lock: Lock, source: str, name: str) -> str | None:
    return next((row.version for row in lock.packages_of(source) if row.name == name), None)
