"""`make acceptance`: every case, or those named, on the host and strict; prints a table."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.acceptance.cases import REFUSE_ROOT, Case, Laboratory, Outcome, load_cases, remember

DEFAULT = Path(tempfile.gettempdir()) / "cape-acceptance"


def main() -> int:
    arguments = _parser().parse_args()
    laboratory = Laboratory(Path(arguments.where), as_root=arguments.as_root)
    cases = load_cases(*arguments.cases)
    chosen = [case for case in cases if not arguments.names or case.name in arguments.names]
    failed = [case.name for case in chosen if not _passes(case, laboratory, arguments)]
    print(f"{len(chosen) - len(failed)} passed, {len(failed)} failed{_listed(failed)}")
    if arguments.remember and failed:
        remember(failed)
    whole, found = laboratory.verify() if arguments.verify or arguments.as_root else (True, [])
    print("".join(f"store: {sentence}\n" for sentence in found), end="")
    return 0 if whole and not failed else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance")
    parser.add_argument("names", nargs="*", help="cases; all when none is named")
    parser.add_argument("--where", default=DEFAULT, help="directory for store and projects")
    parser.add_argument(
        "--cases", type=Path, action="append", default=[], help="a file of cases; otherwise all files here"
    )
    parser.add_argument("--host-only", action="store_true")
    parser.add_argument("--as-root", action="store_true", help="run the cases as root; implies --verify")
    parser.add_argument("--verify", action="store_true", help="hash the store again when all have run")
    parser.add_argument(
        "--remember", action="store_true", help="make cases that fail part of every sample from now on"
    )
    return parser


def _listed(names: Sequence[str]) -> str:
    return f": {', '.join(names)}" if names else ""


def _passes(case: Case, laboratory: Laboratory, arguments: argparse.Namespace) -> bool:
    """Run a case, and print its line of the table, with the end of what it said where it fails."""
    started = time.monotonic()
    prepared = laboratory.prepare(case)
    seconds = time.monotonic() - started
    host = laboratory.run_on_host(case) if prepared.passed else prepared
    strict = laboratory.run_strict(case) if prepared.passed and not arguments.host_only else None
    print(f"{case.name:<20} sync {seconds:6.1f} s  host {_word(host)}  strict {_word(strict)}", flush=True)
    for kind, outcome in (("host", host), ("strict", strict)):
        if outcome is not None and not outcome.passed:
            print("".join(f"    {kind}: {line}\n" for line in outcome.output.splitlines()[-6:]), end="")
    excused = arguments.as_root and case.name in REFUSE_ROOT
    return excused or all(outcome.passed for outcome in (host, strict) if outcome is not None)


def _word(outcome: Outcome | None) -> str:
    if outcome is None:
        return "not run"
    return "pass" if outcome.passed else f"FAIL ({outcome.code})"


if __name__ == "__main__":
    sys.exit(main())
