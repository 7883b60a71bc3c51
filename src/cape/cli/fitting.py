"""`cape fit`."""

from __future__ import annotations

import argparse
import re
from dataclasses import asdict
from pathlib import Path

from cape.cli.output import show_json, size, table

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def fit(arguments: argparse.Namespace) -> int:
    """`cape fit`: the parts, the sum, what there is; 1 where it does not fit."""
    from cape.operations.fitting import fit_model

    found = fit_model(
        Path(arguments.file),
        context=_whole(arguments.context or "4096"),
        cache_type=arguments.kv_dtype or "f16",
        memory_bytes=_bytes(arguments.memory) if arguments.memory else None,
    )
    if arguments.json:
        show_json({**asdict(found), "size_bytes": found.estimate.size_bytes, "fits": found.fits})
        return 0 if found.fits else 1
    rows = [(part.name, size(part.size_bytes)) for part in found.estimate.parts]
    rows += [("all", size(found.estimate.size_bytes)), ("memory", size(found.memory_bytes))]
    print(table(rows, right=(1,)))
    for unknown in found.estimate.unknown:
        print(f"not counted, since it is not known: {unknown}")
    print(f"{'fits' if found.fits else 'does not fit'} with {found.context} tokens")
    if found.largest_context:
        print(f"the largest context that fits: {found.largest_context} tokens")
    return 0 if found.fits else 1


def _whole(text: str) -> int:
    from cape.operations.fitting import BadFitting

    if not re.fullmatch(r"\d{1,12}", text):
        raise BadFitting(f"`{text}` is no number of tokens")
    return int(text)


def _bytes(text: str) -> int:
    from cape.operations.fitting import BadFitting

    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)(?:([KMGT])iB)?", text)
    if found is None:
        raise BadFitting(f"`{text}` is no size", hint="for example `8GiB`")
    return int(float(found[1]) * _UNITS[found[2] or ""])
