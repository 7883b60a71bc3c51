"""`cape gpu`."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from cape.cli.output import show_json


def gpu(arguments: argparse.Namespace) -> int:
    """`cape gpu`: the decision and, with `--explain`, what it stands on."""
    from cape.operations.gpu import this_accelerator

    found = this_accelerator(fresh=arguments.fresh)
    if arguments.json:
        show_json(asdict(found))
        return 0
    version = f" {found.version}" if found.version else ""
    print(f"{found.kind}{version}: {found.reason}")
    if arguments.explain:
        for fact in found.facts:
            mark = {True: "+", False: "-", None: " "}[fact.speaks_for]
            print(f"  {mark} {fact.what} ({fact.where})")
        print(f"    processor: {', '.join(found.features) or 'nothing is told of it'}")
    return 0
