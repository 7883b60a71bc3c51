"""`cape gpu`."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from cape.cli.output import show_json

if TYPE_CHECKING:
    from cape.operations.variants import Decision


def decision_fields(one: Decision) -> dict[str, object]:
    """The JSON of which variant of a package is taken."""
    return {
        "name": one.name,
        "when": one.when,
        "source": one.source,
        "package": one.package,
        "reason": one.reason,
        "passed_over": [{"when": when, "why": why} for when, why in one.passed_over],
    }


def gpu(arguments: argparse.Namespace) -> int:
    """`cape gpu`: the decision and, with `--explain`, what it stands on."""
    from cape.operations.gpu import this_accelerator
    from cape.operations.variants import decisions_here

    found = this_accelerator(fresh=arguments.fresh)
    variants = decisions_here(Path.cwd(), found)
    if arguments.json:
        show_json(asdict(found) | {"variants": [decision_fields(one) for one in variants]})
        return 0
    version = f" {found.version}" if found.version else ""
    print(f"{found.kind}{version}: {found.reason}")
    if arguments.explain:
        for fact in found.facts:
            mark = {True: "+", False: "-", None: " "}[fact.speaks_for]
            print(f"  {mark} {fact.what} ({fact.where})")
        print(f"    processor: {', '.join(found.features) or 'nothing is told of it'}")
        for decision in variants:
            print(decision.text)
            for when, why in decision.passed_over:
                print(f"  - `{when}`: {why}")
    return 0
