"""`cape fit`."""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from cape.cli.output import paint, say, show_json, size, table

if TYPE_CHECKING:
    from cape.fitting.training import Training
    from cape.operations.fitting import Fitting

_BAR = 40


def fit(arguments: argparse.Namespace) -> int:
    """`cape fit`: the parts, the sum, what there is, and what else would fit; 1 where it does not."""
    from cape.operations.fitting import FitRequest, fit_model, size_of
    from cape.operations.project import Workshop

    request = FitRequest(
        model=arguments.model,
        context=_whole(arguments.context) if arguments.context else None,
        batch=_whole(arguments.batch or "1"),
        dtype=arguments.dtype,
        cache_type=arguments.kv_dtype or "f16",
        training=_training(arguments.train),
        rank=_whole(arguments.rank or "8"),
        master=arguments.master_copy,
        embedder=arguments.embedder,
        chunks=_whole(arguments.chunks or "0"),
        gpu=arguments.gpu or "auto",
        memory_bytes=size_of(arguments.memory) if arguments.memory else None,
    )
    found = fit_model(request, Workshop.open, Path.cwd())
    if arguments.picture:
        _write_picture(found, Path(arguments.picture))
    if arguments.json:
        show_json(_fields(found))
    else:
        _show(found)
    return 0 if found.fits else 1


def _fields(found: Fitting) -> dict[str, object]:
    sums = {"size_bytes": found.estimate.size_bytes, "headroom_bytes": found.headroom_bytes}
    return {**asdict(found), **sums}


def _show(found: Fitting) -> None:
    whole = found.estimate.size_bytes
    rows = [(part.name, size(part.size_bytes), _bar(part.size_bytes, whole)) for part in found.estimate.parts]
    rows += [("all", size(whole), ""), ("head-room", size(found.headroom_bytes), "")]
    print(f"{found.model}, by {found.run_time}, {found.batch} x {found.context} tokens")
    print(table(rows, right=(1,)))
    for unknown in found.estimate.unknown:
        print(f"not counted, since it is not known: {unknown}")
    _show_places(found)
    colour = "32" if found.fits else "31"
    print(paint("fits" if found.fits else "does not fit", colour, sys.stdout))
    if found.largest_context:
        print(f"the largest context that fits: {found.largest_context} tokens")
    if found.largest_batch:
        print(f"the largest batch that fits: {found.largest_batch}")
    for remedy in found.remedies:
        print(f"this would fit: {remedy}")


def _show_places(found: Fitting) -> None:
    """What lies where, and what there is."""
    in_memory = found.split.memory_bytes if found.split else found.estimate.size_bytes
    if found.split:
        free = sum(gpu.free_bytes for gpu in found.gpus)
        layers = (
            f", {found.split.layers} of {found.split.all_layers} layers"
            if found.split.layers is not None
            else ""
        )
        names = ", ".join(gpu.name for gpu in found.gpus)
        print(f"GPU     {_gauge(found.split.gpu_bytes, free)}  {names}{layers}")
    print(f"memory  {_gauge(in_memory, found.memory_bytes)}")


def _bar(part: int, whole: int) -> str:
    return "█" * round(_BAR * part / whole) if whole else ""


def _gauge(takes: int, free: int) -> str:
    """A bar of what is taken of what is free; full where it is too much."""
    filled = min(_BAR, round(_BAR * takes / free)) if free else _BAR
    return f"[{'█' * filled}{'░' * (_BAR - filled)}] {size(takes)} of {size(free)}"


def _write_picture(found: Fitting, file: Path) -> None:
    from cape.fitting.picture import picture
    from cape.names import write_atomically
    from cape.operations.project import project_files

    free = found.memory_bytes + sum(gpu.free_bytes for gpu in found.gpus)
    text = picture(found.model, found.estimate, free_bytes=free, headroom_bytes=found.headroom_bytes)
    with project_files(file.parent):
        write_atomically(file, text.encode())
    say(f"wrote {file}")


def _training(word: str | None) -> Training | None:
    from cape.fitting.training import Training
    from cape.operations.fitting import BadFitting

    try:
        return Training(word) if word else None
    except ValueError:
        raise BadFitting(f"`{word}` is no way of training", hint="`lora` or `full`") from None


def _whole(text: str) -> int:
    from cape.operations.fitting import BadFitting

    if not re.fullmatch(r"\d{1,12}", text):
        raise BadFitting(f"`{text}` is no whole number")
    return int(text)
