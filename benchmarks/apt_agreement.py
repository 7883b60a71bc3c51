"""How often the source `debian` chooses what apt chooses, on random packages of a suite.

    python benchmarks/apt_agreement.py [--suite trixie] [--architecture amd64] [--count 200] [--seed 1]

apt simulates `install --no-install-recommends` of the package and the essential ones, on an empty system
with a root of its own, from the same indices (fetched by apt itself, from the same mirrors). Prints the
agreement, and for each difference what only one side chose and why. Exit code 1 when a difference has no
reason.
"""

from __future__ import annotations

import argparse
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cape.configuration import Configuration
from cape.errors import CapeError
from cape.names import System
from cape.sources.debian.index import Indices
from cape.sources.debian.pool import Pool
from cape.sources.debian.registry import Place, places
from cape.sources.debian.resolve import Wanted, resolve

_INSTALLED = re.compile(r"^Inst (\S+) \((\S+) ", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """What the two sides chose differently for one package, and why if that is known."""

    package: str
    only_apt: frozenset[str]
    only_cape: frozenset[str]
    reason: str | None


class Apt:
    """An apt of its own: an empty system below `root`, and the suite's archives."""

    def __init__(self, root: Path, found: Sequence[Place], architecture: str) -> None:
        self._options = [
            f"Dir={root}",
            f"Dir::State::status={root}/status",
            f"Dir::Etc::sourcelist={root}/sources.list",
            "Dir::Etc::sourceparts=-",
            "Dir::Etc::preferencesparts=-",
            f"Dir::Etc::trusted={root}/trusted",
            f"APT::Architecture={architecture}",
            f"APT::Architectures={architecture}",
            "APT::Install-Recommends=false",
            "Acquire::Languages=none",
            "APT::Sandbox::User=root",
            "Dir::Cache::pkgcache=pkgcache.bin",
            "Dir::Cache::srcpkgcache=srcpkgcache.bin",
            "Debug::NoLocking=true",
        ]
        for directory in (
            "lists/partial",
            "cache/archives/partial",
            "trusted",
            "preferences.d",
            "apt.conf.d",
        ):
            (root / "var/lib/apt" / directory).mkdir(parents=True, exist_ok=True)
        for directory in ("var/cache/apt/archives/partial", "etc/apt/preferences.d", "etc/apt/apt.conf.d"):
            (root / directory).mkdir(parents=True, exist_ok=True)
        (root / "status").touch()
        lines = [
            f"deb [trusted=yes] {place.base} {place.suite} {' '.join(place.components)}\n" for place in found
        ]
        (root / "sources.list").write_text("".join(lines), encoding="utf-8")

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = ["apt-get", "-q"]
        for option in self._options:
            command += ["-o", option]
        return subprocess.run([*command, *words], capture_output=True, text=True, check=False)

    def update(self) -> None:
        done = self.run("update")
        if done.returncode:
            sys.exit(f"apt-get update failed:\n{done.stdout}{done.stderr}")

    def choose(self, names: Sequence[str]) -> dict[str, str] | str:
        """Versions by name of what apt would install, or its complaint."""
        done = self.run("install", "--no-install-recommends", "-s", *names)
        if done.returncode:
            return done.stdout + done.stderr
        return dict(_INSTALLED.findall(done.stdout))


def choose(pool: Pool, name: str) -> dict[str, str] | str:
    """Versions by name of what cape would lock, or its complaint."""
    from cape.sources.debian.conflicts import Unsolvable

    try:
        selection = resolve(pool, [Wanted(reason=name, packages=pool.versions(name))])
    except Unsolvable as error:
        return str(error)
    return {package.name: package.version for package in selection.packages()}


def compare(pool: Pool, apt: Apt, name: str) -> Difference | None:
    ours = choose(pool, name)
    theirs = apt.choose([name, *(package.name for package in pool.essentials if package.name != name)])
    if isinstance(ours, str) or isinstance(theirs, str):
        if isinstance(ours, str) and isinstance(theirs, str):
            return None
        return Difference(
            package=name,
            only_apt=frozenset(),
            only_cape=frozenset(),
            reason=_only_one_fails(ours, theirs),
        )
    first, second = set(theirs.items()), set(ours.items())
    if first == second:
        return None
    return Difference(
        package=name,
        only_apt=frozenset(f"{name}={version}" for name, version in first - second),
        only_cape=frozenset(f"{name}={version}" for name, version in second - first),
        reason=_reason(pool, set(theirs) - set(ours), set(ours) - set(theirs)),
    )


def _only_one_fails(ours: object, theirs: object) -> str | None:
    if isinstance(theirs, str) and "but it is not going to be installed" in theirs:
        return "apt gives up on conflicting choices that libsolv can resolve"
    return None if isinstance(ours, str) else f"apt fails: {str(theirs)[-200:]}"


def _reason(pool: Pool, only_apt: set[str], only_cape: set[str]) -> str | None:
    """Why the sides differ: both chose a provider of the same virtual package, of the same rank."""
    for ours in sorted(only_cape):
        for theirs in sorted(only_apt):
            first, second = pool.candidate(ours), pool.candidate(theirs)
            assert first is not None and second is not None
            if shared := first.provides.keys() & second.provides.keys():
                return f"providers of `{min(shared)}`: `{ours}` here, `{theirs}` in apt"
    return None


def sample(pool: Pool, names: Iterator[str], count: int, seed: int) -> list[str]:
    every = sorted({name for name in names if pool.candidate(name)})
    return random.Random(seed).sample(every, min(count, len(every)))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--suite", default="trixie")
    parser.add_argument("--architecture", default="amd64", choices=["amd64", "arm64"])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("packages", nargs="*", help="these instead of random ones")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        return agreement(arguments, Path(directory))


def agreement(arguments: argparse.Namespace, directory: Path) -> int:
    found = places(arguments.suite, Configuration.read())
    indices = Indices(found, arguments.suite, directory / "indices")
    tables = [(archive.registry, table) for archive, table in indices.tables(arguments.architecture)]
    pool = Pool(tables, arguments.architecture)
    apt = Apt(directory / "apt", [archive.place for archive in indices.archives()], arguments.architecture)
    apt.update()
    lines = (line for _, table in tables for line in table.summaries().split(b"\n"))
    names = arguments.packages or sample(
        pool, (line.partition(b"\t")[0].decode() for line in lines), arguments.count, arguments.seed
    )
    started = time.monotonic()
    differences = [one for name in names if (one := compare(pool, apt, name))]
    for one in differences:
        print(f"{one.package}: {one.reason or 'NO REASON'}")
        print(
            f"  only apt:  {' '.join(sorted(one.only_apt))}\n  only cape: {' '.join(sorted(one.only_cape))}"
        )
    print(
        f"{len(names) - len(differences)} of {len(names)} equal, "
        f"{sum(one.reason is not None for one in differences)} different with a reason, "
        f"{time.monotonic() - started:.0f} s ({System.current()}, seed {arguments.seed})"
    )
    return int(any(one.reason is None for one in differences))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CapeError as error:
        sys.exit(f"{error}\n{error.hint or ''}")
