"""`make acceptance`: every case, or those named, on the host and strict; prints a table."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.acceptance.cases import REFUSE_ROOT, Laboratory, Outcome, load_cases

DEFAULT = Path(tempfile.gettempdir()) / "cape-acceptance"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", help="cases; all when none is named")
    parser.add_argument("--where", default=DEFAULT, help="directory for store and projects")
    parser.add_argument("--cases", type=Path, help="another file of cases")
    parser.add_argument("--host-only", action="store_true")
    parser.add_argument("--as-root", action="store_true", help="run the cases as root; implies --verify")
    parser.add_argument("--verify", action="store_true", help="hash the store again when all have run")
    arguments = parser.parse_args()
    laboratory = Laboratory(Path(arguments.where), as_root=arguments.as_root)
    cases = load_cases(arguments.cases) if arguments.cases else load_cases()
    chosen = [case for case in cases if not arguments.names or case.name in arguments.names]
    failed = 0
    for case in chosen:
        started = time.monotonic()
        prepared = laboratory.prepare(case)
        seconds = time.monotonic() - started
        if prepared.passed:
            host = laboratory.run_on_host(case)
            strict = None if arguments.host_only else laboratory.run_strict(case)
        else:
            host, strict = prepared, None
        outcomes = [outcome for outcome in (host, strict) if outcome is not None]
        excused = arguments.as_root and case.name in REFUSE_ROOT
        failed += not excused and not all(outcome.passed for outcome in outcomes)
        print(
            f"{case.name:<20} sync {seconds:6.1f} s  host {_word(host)}  strict {_word(strict)}", flush=True
        )
        for kind, outcome in (("host", host), ("strict", strict)):
            if outcome is not None and not outcome.passed:
                print("".join(f"    {kind}: {line}\n" for line in outcome.output.splitlines()[-6:]), end="")
    print(f"{len(chosen) - failed} passed, {failed} failed")
    whole, found = laboratory.verify() if arguments.verify or arguments.as_root else (True, [])
    print("".join(f"store: {sentence}\n" for sentence in found), end="")
    return 0 if whole and not failed else 1


def _word(outcome: Outcome | None) -> str:
    if outcome is None:
        return "not run"
    return "pass" if outcome.passed else f"FAIL ({outcome.code})"


if __name__ == "__main__":
    sys.exit(main())
