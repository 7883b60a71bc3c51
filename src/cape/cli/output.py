"""Text for people and JSON for machines: errors, tables, colours, sizes."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TextIO

from cape.errors import CapeError

SCHEMA_VERSION = 1
_STARTED = time.monotonic()


def colours_wanted(stream: TextIO) -> bool:
    """Whether `stream` is a terminal whose user did not turn colours off (`NO_COLOR`, `TERM=dumb`)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, code: str, stream: TextIO) -> str:
    """`text` in an SGR colour where `stream` wants colours, else as it is."""
    return f"\x1b[{code}m{text}\x1b[0m" if colours_wanted(stream) else text


def show_error(error: CapeError, *, as_json: bool = False) -> None:
    """The four parts of an error on stderr; with `as_json`, also as an object on stdout."""
    print(f"{paint('error', '1;31', sys.stderr)}: {error}", file=sys.stderr)
    for cause in error.causes():
        print(f"  {paint('caused by', '33', sys.stderr)}: {cause}", file=sys.stderr)
    if error.explanation:
        print(*error.explanation.lines(), sep="\n", file=sys.stderr)
    if error.hint:
        print(f"{paint('hint', '1;36', sys.stderr)}: {error.hint}", file=sys.stderr)
    for other in error.also:
        show_error(other)
    if as_json:
        others = [_error_fields(other) for other in error.also]
        show_json({"error": {**_error_fields(error), "also": others}})


def _error_fields(error: CapeError) -> dict[str, object]:
    return {
        "slug": error.slug,
        "fact": error.fact,
        "where": error.where,
        "hint": error.hint,
        "causes": list(error.causes()),
        "explanation": error.explanation.fields() if error.explanation else None,
    }


def show_json(fields: Mapping[str, object]) -> None:
    """One JSON object on stdout, with its schema version first."""
    import json

    print(json.dumps({"schema_version": SCHEMA_VERSION, **fields}, indent=2, ensure_ascii=False))


def say(text: str, *, quiet: bool = False) -> None:
    """A line of conversation on stderr, unless the user wants quiet; what stdout has comes before it."""
    if not quiet:
        sys.stdout.flush()
        print(text, file=sys.stderr)


def table(rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Rows as aligned columns; columns in `right` are aligned to the right. Empty for no rows."""
    if not rows:
        return ""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def size(size_bytes: int) -> str:
    """A size for people: `812 B`, `4.2 MB` (powers of ten)."""
    if size_bytes < 1000:
        return f"{size_bytes} B"
    value = float(size_bytes)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.5 or unit == "TB":
            break
    return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"


def count(number: int, thing: str) -> str:
    """`1 package`, `3 packages`."""
    return f"{number} {thing}" + ("" if number == 1 else "s")


def clock() -> float:
    """Seconds since the command started."""
    return time.monotonic() - _STARTED


def duration(seconds: float) -> str:
    """A duration for people: `0.3 s`, `41 s`, `2 min 5 s`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
