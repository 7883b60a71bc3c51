"""Explanations on random archives, with Debian's real resolver: the smallest set, and ways out that work."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from cape.configuration import Configuration
from cape.errors import InputError
from cape.lock import lock_manifest
from cape.manifest import Manifest, parse_manifest
from cape.operations.explaining import Overhearing, explain_refusal
from cape.operations.project import Workshop
from cape.sources.debian import DebianSource
from cape.sources.protocol import RequirementsConflict, UnknownVersion
from cape.store import Store
from cape.store.artifacts import Artifacts
from tests.mirrors.debian import DebianMirror

PACKAGES = 14
HEAD = 'schema = 1\n[environment]\nsystems = ["x86_64-linux"]\ndebian = "trixie"\n[packages]\n'


def archive(directory: Path, chance: random.Random) -> DebianMirror:
    """Packages in two versions that need, or break, some of each other."""
    mirror = DebianMirror(directory)
    for number in range(PACKAGES):
        for version in ("1.0", "2.0"):
            depends, conflicts = "", f"none{number}"
            if number and chance.random() < 0.6:
                depends = f"p{chance.randrange(number)}" + chance.choice(["", " (>= 2)", " (<< 2)"])
            if chance.random() < 0.3:
                conflicts = f"p{chance.randrange(PACKAGES)}" + chance.choice([" (<< 2)", " (>= 2)"])
            mirror.add(f"p{number}", version, architecture="all", depends=depends, Conflicts=conflicts)
    mirror.publish()
    return mirror


def manifest_of(lines: Sequence[str], directory: Path) -> Manifest:
    return parse_manifest(HEAD + "\n".join(lines) + "\n", path=directory / "cape.toml")


class Bench:
    """One archive, and manifests locked against it."""

    def __init__(self, directory: Path, chance: random.Random) -> None:
        self.directory = directory
        mirror = archive(directory / "archive", chance)
        self.source = DebianSource(
            suite="trixie",
            configuration=mirror.settings(None),
            cache=directory / "cache",
            artifacts=Artifacts(directory / "artifacts"),
        )
        self.workshop = Workshop(Configuration.read(), Store(directory / "store"))

    def error(self, lines: Sequence[str], *, limit_s: float = 30) -> InputError | None:
        """Why lines cannot be locked, explained; None when they can."""
        manifest = manifest_of(lines, self.directory)
        overheard = Overhearing({"debian": self.source})
        try:
            lock_manifest(manifest, overheard, None)
        except (RequirementsConflict, UnknownVersion) as error:
            return explain_refusal(error, overheard, manifest, self.workshop, limit_s=limit_s)
        return None


def a_conflict(bench: Bench, chance: random.Random) -> tuple[list[str], InputError]:
    """Lines that cannot be locked, and why."""
    while True:
        names = sorted(chance.sample(range(PACKAGES), 8))
        lines = [f'p{name} = "{chance.choice(["*", "*", ">=2", "<2"])}"' for name in names]
        if error := bench.error(lines):
            return lines, error


@pytest.mark.parametrize("seed", range(16))
def test_no_line_of_a_conflict_can_be_left_out_and_every_way_out_resolves(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    bench = Bench(tmp_path, chance)
    lines, error = a_conflict(bench, chance)
    assert error.explanation is not None
    found = error.explanation.fields()
    members = [one["line"] for one in found["requirements"]]  # type: ignore[attr-defined]
    assert found["smallest"]
    assert bench.error(members) is not None
    for member in members:
        assert bench.error([line for line in members if line != member]) is None
    for relaxation in found["relaxations"]:  # type: ignore[attr-defined]
        around = lines if found["whole"] else members
        place = int(relaxation["where"].split(":")[-2]) - HEAD.count("\n") - 1
        kept = [line for line in around if line != lines[place]]
        assert bench.error([*kept, *relaxation["lines"]]) is None, relaxation


def test_without_time_what_the_source_names_is_told_as_it_is(tmp_path: Path) -> None:
    chance = random.Random(1)
    bench = Bench(tmp_path, chance)
    lines, _ = a_conflict(bench, chance)
    error = bench.error(lines, limit_s=0)
    assert error is not None and error.explanation is not None
    found = error.explanation.fields()
    assert not found["smallest"] and not found["searched"] and not found["relaxations"]
    assert found["requirements"] and found["reasons"]
    assert any("time ended the search for the smallest set" in line for line in error.explanation.lines())
