"""`cape graph show`: an entity's neighbourhood as text, JSON and a picture."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from cape.cli.asking import place_fields
from cape.cli.output import count, say, show_json
from cape.errors import StateError, UsageError
from cape.operations.project import Workshop, find_project

if TYPE_CHECKING:
    from cape.operations.graph import Neighbourhood, Said

_SIZE = (1000, 760)
_LONGEST_LABEL = 28


class NoEntity(UsageError):
    """`cape graph show` was given something else than a base and the name of an entity."""

    slug = "no-entity"


class PictureNotWritten(StateError):
    """A picture cannot be written where it was asked for."""

    slug = "picture-not-written"


def show(arguments: argparse.Namespace) -> int:
    """`cape graph show [NAME] ENTITY`."""
    from cape.operations.graph import show_entity

    if len(arguments.words) > 2:
        raise NoEntity(
            f"`cape graph show` wants a knowledge base and an entity, not {len(arguments.words)} words",
            hint='put the name in quotes: `cape graph show "Anna Berg"`',
        )
    project = find_project(Path.cwd())
    found = show_entity(
        project, arguments.words, Workshop.open(), user=getattr(arguments, "as"), to=arguments.to
    )
    if arguments.picture is not None:
        _write(Path(arguments.picture), picture(found))
        say(f"wrote {arguments.picture}", quiet=arguments.quiet)
    if arguments.json:
        show_json(fields_of(found))
    else:
        print(text_of(found))
    return 0


def _write(file: Path, text: str) -> None:
    from cape.names import write_atomically

    try:
        write_atomically(file, text.encode())
    except OSError as error:
        raise PictureNotWritten(
            f"the picture cannot be written: {error.strerror}", where=str(file)
        ) from error


def text_of(found: Neighbourhood) -> str:
    """The entity, then each neighbour with what is said and where."""
    documents = count(len(found.documents), "document")
    lines = [f"{found.name} ({found.kind}): {count(found.passages, 'passage')} of {documents}"]
    if found.way is not None:
        lines += ["", *([_line(one) for one in found.way] or ["no way leads there"])]
        return "\n".join(lines)
    for neighbour in found.neighbours:
        lines += ["", f"{neighbour.name} ({neighbour.kind}, {count(neighbour.passages, 'passage')})"]
        lines += [f"  {_line(one)}" for one in neighbour.said]
    if found.more:
        lines += ["", f"and {count(found.more, 'further neighbour')}"]
    return "\n".join(lines)


def _line(said: Said) -> str:
    where = ", ".join(filter(None, (said.document, str(said.place))))
    return f"{said.source} -- {said.says} -> {said.target}  [{where}]"


def fields_of(found: Neighbourhood) -> dict[str, object]:
    """A neighbourhood as JSON fields."""
    return {
        "base": found.base,
        "asked_as": found.user,
        "name": found.name,
        "kind": found.kind,
        "passages": found.passages,
        "documents": list(found.documents),
        "neighbours": [
            {
                "name": one.name,
                "kind": one.kind,
                "passages": one.passages,
                "said": [_said_fields(said) for said in one.said],
            }
            for one in found.neighbours
        ],
        "more": found.more,
        "way": None if found.way is None else [_said_fields(one) for one in found.way],
    }


def _said_fields(said: Said) -> dict[str, object]:
    return {
        "source": said.source,
        "target": said.target,
        "says": said.says,
        "document": said.document,
        "where": str(said.place),
        "place": place_fields(said.place),
        "quote": said.quote,
    }


# -- the picture --------------------------------------------------------------------------------------


def picture(found: Neighbourhood) -> str:
    """The entity in the middle, its neighbours around it, each line with what is said first; SVG."""
    width, height = _SIZE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="13" role="img" aria-label="{escape(found.name)}">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    middle = (width / 2, height / 2)
    placed = list(zip(found.neighbours, _around(len(found.neighbours)), strict=True))
    for neighbour, at in placed:
        says = neighbour.said[0] if neighbour.said else None
        parts += _line_of(middle, at, says)
    for neighbour, at in placed:
        parts += _node(at, neighbour.name, neighbour.kind, f"{count(neighbour.passages, 'passage')}")
    parts += _node(middle, found.name, "middle", count(found.passages, "passage"))
    return "\n".join([*parts, "</svg>", ""])


def _around(number: int) -> Iterator[tuple[float, float]]:
    """Places on an ellipse; every other one further in, where there are many."""
    width, height = _SIZE
    for at in range(number):
        angle = 2 * math.pi * at / number - math.pi / 2
        share = 0.74 if number > 12 and at % 2 else 1.0
        yield (
            width / 2 + share * (width / 2 - 120) * math.cos(angle),
            height / 2 + share * (height / 2 - 45) * math.sin(angle),
        )


def _line_of(middle: tuple[float, float], at: tuple[float, float], said: Said | None) -> list[str]:
    (x1, y1), (x2, y2) = middle, at
    line = f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#b8c0cc"/>'
    if said is None:
        return [line]
    x, y = x1 + 0.6 * (x2 - x1), y1 + 0.6 * (y2 - y1)
    where = ", ".join(filter(None, (said.document, str(said.place))))
    label = (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle" font-size="10" fill="#5b6573">'
        f"<title>{escape(said.quote)} [{escape(where)}]</title>{escape(_short(said.says))}</text>"
    )
    return [line, label]


_COLOURS = {"middle": "#1f4e8c", "name": "#e8f0fb", "code": "#fdf1dc", "mail": "#e9f6ec", "value": "#f2f2f2"}


def _node(at: tuple[float, float], name: str, kind: str, title: str) -> list[str]:
    label = _short(name)
    width = 14 + 7.2 * len(label)
    ink = "white" if kind == "middle" else "#1b2330"
    return [
        f'<rect x="{at[0] - width / 2:.1f}" y="{at[1] - 12:.1f}" width="{width:.1f}" height="24" rx="6" '
        f'fill="{_COLOURS.get(kind, "#f3ecfa")}" stroke="#8a94a3"/>',
        f'<text x="{at[0]:.1f}" y="{at[1] + 4.5:.1f}" text-anchor="middle" fill="{ink}">'
        f"<title>{escape(title)}</title>{escape(label)}</text>",
    ]


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_LABEL else text[: _LONGEST_LABEL - 1] + "…"
