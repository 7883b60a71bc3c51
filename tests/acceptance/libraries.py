"""`python -m tests.acceptance.libraries`: what `cape lock` finds of what language packages need.

For each case of `libraries.toml` the lock with `--fix` is compared with the truth, and the program is run
in the environment that it makes, on the host and strict. With `--truth` the truth itself is tested: without
one of the packages the program must fail. Prints a line per case, then recall and precision.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cape.names import System
from tests.acceptance.cases import CAPE, HERE, Case, Laboratory, Outcome

CORPUS = HERE / "libraries.toml"
HELD_OUT = HERE / "libraries_held_out.toml"
"""A set that no rule was tuned on before it was measured; read with `--held-out`."""

DEFAULT = Path(tempfile.gettempdir()) / "cape-libraries"


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """One case: its packages, what it needs by a link and by name, and a program."""

    name: str
    packages: tuple[str, ...]
    run: str
    linked: Mapping[str, str] = field(default_factory=dict)
    loaded: Mapping[str, str] = field(default_factory=dict)
    system: tuple[str, ...] = ()
    build: tuple[str, ...] = ()
    """Python packages that are built from their source."""
    scripts: tuple[str, ...] = ()
    """npm packages whose install scripts run."""
    blocked: str = ""

    @property
    def truth(self) -> frozenset[str]:
        """The packages that it needs."""
        return frozenset((*self.linked.values(), *self.loaded.values()))

    def manifest(self, more: Sequence[str] = (), without: Sequence[str] = ()) -> str:
        """A manifest that asks for the packages, and for more of the system."""
        lines = ["schema = 1", "[environment]", 'name = "case"', f'systems = ["{System.current()}"]']
        lines += ['debian = "trixie"', "[packages]"]
        accepted = f", without = {json.dumps(list(without))}" if without else ""
        for package in self.packages:
            source, _, name = package.rpartition(":")
            runs = ", scripts = true" if name in self.scripts else ""
            lines.append(f'"{name}" = {{ {source or "pypi"} = "*"{accepted}{runs} }}')
        lines += [f'"{package}" = "*"' for package in (*self.system, *more)]
        lines += ["[python]", f"build = {json.dumps(list(self.build))}"] if self.build else []
        return "\n".join(lines) + "\n"


def load_needs(path: Path = CORPUS) -> list[Need]:
    """The cases of a file, in its order."""
    rows = tomllib.loads(path.read_text(encoding="utf-8"))["case"]
    return [
        Need(
            name=row["name"],
            packages=tuple(row["packages"]),
            run=row["run"],
            linked=row.get("linked", {}),
            loaded=row.get("loaded", {}),
            system=tuple(row.get("system", ())),
            build=tuple(row.get("build", ())),
            scripts=tuple(row.get("scripts", ())),
            blocked=row.get("blocked", ""),
        )
        for row in rows
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What became of a case. `added` maps packages to whether a file is linked with them."""

    need: Need
    locked: bool
    added: Mapping[str, bool] = field(default_factory=dict)
    there: frozenset[str] = frozenset()
    host: Outcome | None = None
    strict: Outcome | None = None
    said: str = ""

    @property
    def false(self) -> list[str]:
        """Packages that were added, and that nothing needs."""
        return sorted(self.added.keys() - self.need.truth)

    @property
    def missed(self) -> list[str]:
        return sorted(self.need.truth - self.there)

    def to_json(self) -> dict[str, object]:
        """What `from_json` reads; the case itself is left to its file."""
        outcomes = {"host": self.host, "strict": self.strict}
        ran = {kind: [one.code, one.output] for kind, one in outcomes.items() if one is not None}
        return {"name": self.need.name, "locked": self.locked, "added": dict(self.added)} | {
            "there": sorted(self.there & self.need.truth), "said": self.said, "ran": ran,
        }  # fmt: skip

    @classmethod
    def from_json(cls, row: Mapping[str, Any], need: Need) -> Report:
        ran = {kind: Outcome(code, output) for kind, (code, output) in row["ran"].items()}
        return cls(
            need=need, locked=row["locked"], added=row["added"], there=frozenset(row["there"]),
            host=ran.get("host"), strict=ran.get("strict"), said=row["said"],
        )  # fmt: skip


_MOST_ROUNDS = 12
_NEEDS = re.compile(r" needs (`[^\n]+?), which nothing")
_QUOTED = re.compile(r"`([^`]+)`")


class Bench(Laboratory):
    """A laboratory whose manifests are those of the corpus."""

    def recalled(self, need: Need, *, runs: bool) -> Report | None:
        """What `measure` found of a case before, if all that is wanted was looked at and nothing failed."""
        try:
            report = Report.from_json(json.loads(self._record(need).read_text()), need)
        except (OSError, ValueError):
            return None
        ran = [report.host, report.strict] if runs else []
        return report if report.locked and all(one is not None and one.passed for one in ran) else None

    def _record(self, need: Need) -> Path:
        return self.directory / "reports" / f"{need.name}.json"

    def measure(self, need: Need, *, runs: bool) -> Report:
        """What becomes of a case; kept for `recalled`."""
        report = self._measured(need, runs=runs)
        self._record(need).parent.mkdir(exist_ok=True)
        self._record(need).write_text(json.dumps(report.to_json()))
        return report

    def _measured(self, need: Need, *, runs: bool) -> Report:
        """Lock with `--fix`, then make the environment and run the program."""
        case = Case(need.name, need.packages, need.run)
        project = self.project(case)
        project.mkdir(parents=True, exist_ok=True)
        (project / "cape.toml").write_text(need.manifest())
        (project / "cape.lock").unlink(missing_ok=True)
        done = self._command(project, "lock", "--fix", "--json")
        if done.returncode:
            return Report(need=need, locked=False, said=done.stderr[-600:])
        added = {row["package"]: row["is_linked"] for row in json.loads(done.stdout)["added"]}
        lines = (project / "cape.lock").read_text().splitlines()
        rows = [row for row in map(json.loads, lines) if row.get("source") == "debian"]
        there = frozenset(row["name"] for row in rows if "name" in row and "version" in row)
        if not runs:
            return Report(need=need, locked=True, added=added, there=there)
        synced = self._cape("sync", project)
        self._open_to_user(project)
        host = self.run_on_host(case) if synced.passed else synced
        strict = self.run_strict(case) if synced.passed else synced
        return Report(need=need, locked=True, added=added, there=there, host=host, strict=strict)

    def fails_without(self, need: Need, package: str) -> bool:
        """Whether the program fails in the strict file system where one package of the truth is not there."""
        case = Case(f"{need.name}-without-{package}", need.packages, need.run)
        project = self.project(case)
        project.mkdir(parents=True, exist_ok=True)
        names = [*need.linked, *need.loaded]
        others = sorted(need.truth - {package})
        for _ in range(_MOST_ROUNDS):
            (project / "cape.toml").write_text(need.manifest(others, names))
            synced = self._cape("sync", project)
            lacking = [name for line in _NEEDS.findall(synced.output) for name in _QUOTED.findall(line)]
            if synced.passed or not lacking:
                break
            names += lacking
        self._open_to_user(project)
        if not synced.passed:
            raise RuntimeError(f"{case.name} cannot be made: {synced.output[-300:]}")
        return not self.run_strict(case).passed

    def _command(self, project: Path, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [CAPE, *words],
            cwd=project,
            env=self.variables(),
            capture_output=True,
            text=True,
            check=False,
        )


def main() -> int:
    arguments = _parser().parse_args()
    bench = Bench(Path(arguments.where))
    needs = load_needs(HELD_OUT if arguments.held_out else CORPUS)
    needs = [one for one in needs if not arguments.names or one.name in arguments.names]
    reports = []
    for need in needs:
        if need.blocked and not arguments.blocked:
            print(f"{need.name:<18} not run: {need.blocked}", flush=True)
            continue
        runs = not arguments.only_lock
        known = bench.recalled(need, runs=runs) if arguments.resume else None
        report = known or bench.measure(need, runs=runs)
        reports.append(report)
        print(line(report), flush=True)
        if arguments.truth:
            for package in sorted(need.truth):
                fails = bench.fails_without(need, package)
                print(f"    without {package}: {'fails, as it must' if fails else 'RUNS'}", flush=True)
    print(*summary(reports), sep="\n")
    return 0 if all(_is_good(report) for report in reports) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.libraries")
    parser.add_argument("names", nargs="*", help="cases; all when none is named")
    parser.add_argument("--where", default=DEFAULT, help="directory for store and projects")
    parser.add_argument("--held-out", action="store_true", help="the set that rules were not tuned on")
    parser.add_argument("--only-lock", action="store_true", help="compare with the truth, and run nothing")
    parser.add_argument("--truth", action="store_true", help="test the truth: leave out one package each")
    parser.add_argument("--resume", action="store_true", help="keep what was measured there before")
    parser.add_argument("--blocked", action="store_true", help="try the cases that cannot run yet, too")
    return parser


def line(report: Report) -> str:
    """What is told of a case."""
    parts = [f"{report.need.name:<18}", "locked" if report.locked else "NOT LOCKED"]
    for kind, outcome in (("host", report.host), ("strict", report.strict)):
        if outcome is not None:
            parts.append(f"{kind} {'pass' if outcome.passed else f'FAIL ({outcome.code})'}")
    parts += [f"added {', '.join(report.added)}"] if report.added else []
    parts += [f"MISSED {', '.join(report.missed)}"] if report.locked and report.missed else []
    parts += [f"FALSE {', '.join(report.false)}"] if report.false else []
    last = [one for one in (report.host, report.strict) if one is not None and not one.passed]
    text = [*report.said.splitlines()[-2:], *(line for one in last for line in one.output.splitlines()[-2:])]
    return "\n    ".join(["  ".join(parts), *text])


def _is_good(report: Report) -> bool:
    ran = all(one is None or one.passed for one in (report.host, report.strict))
    return report.locked and ran and not report.missed and not report.false


def summary(reports: Sequence[Report]) -> Iterator[str]:
    """Recall and precision, each for links and for names, and how many programs ran."""
    locked = [one for one in reports if one.locked]
    for kind, is_linked in (("linked", True), ("by name", False)):
        wanted = [
            (one, package)
            for one in locked
            for package in set((one.need.linked if is_linked else one.need.loaded).values())
        ]
        found = [pair for pair in wanted if pair[1] in pair[0].there]
        added = [(one, name) for one in locked for name, linked in one.added.items() if linked == is_linked]
        right = [pair for pair in added if pair[1] in pair[0].need.truth]
        yield f"{kind}: recall {_share(len(found), len(wanted))}, precision {_share(len(right), len(added))}"
    quiet = [one for one in locked if not one.need.truth]
    yield f"needing nothing: {_share(sum(not one.added for one in quiet), len(quiet))} without a false alarm"
    for kind in ("host", "strict"):
        ran = [outcome for one in locked if (outcome := getattr(one, kind)) is not None]
        yield f"{kind}: {_share(sum(one.passed for one in ran), len(ran))} ran"


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole}" + (f" ({part / whole:.1%})" if whole else "")


if __name__ == "__main__":
    sys.exit(main())
