"""A sum as a picture: its parts one beside the other, and how much is free, as SVG."""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape

from cape.fitting.estimate import Estimate

_COLOURS = ("#4269d0", "#efb118", "#3ca951", "#ff725c", "#6cc5b0", "#a463f2", "#97bbf5", "#9c6b4e", "#9498a0")
_WIDTH, _LEFT, _ROW = 640, 16, 22
_STYLE = "font-family='sans-serif' font-size='13' fill='#333'"


def picture(title: str, estimate: Estimate, *, free_bytes: int, headroom_bytes: int) -> str:
    """The picture of a sum beside what is free. Pure."""
    most = max(estimate.size_bytes + headroom_bytes, free_bytes, 1)
    scale = (_WIDTH - 2 * _LEFT) / most
    height = 120 + _ROW * (len(estimate.parts) + 1)
    head = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {_WIDTH} {height}' width='{_WIDTH}'>"
    parts = [(part.name, part.size_bytes) for part in estimate.parts] + [("head-room", headroom_bytes)]
    colours = [*(_COLOURS[at % len(_COLOURS)] for at in range(len(estimate.parts))), "#ddd"]
    lines = [
        head,
        f"<rect width='{_WIDTH}' height='{height}' fill='white'/>",
        f"<text x='{_LEFT}' y='24' {_STYLE}>{escape(title)}</text>",
        *_bars(parts, colours, scale),
        *_free(free_bytes, scale),
        *_legend(parts, colours),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _bars(parts: list[tuple[str, int]], colours: list[str], scale: float) -> Iterator[str]:
    at = float(_LEFT)
    for (name, size), colour in zip(parts, colours, strict=True):
        width = size * scale
        said = f"<title>{escape(name)}: {_size(size)}</title>"
        yield f"<rect x='{at:.1f}' y='36' width='{width:.1f}' height='28' fill='{colour}'>{said}</rect>"
        at += width


def _free(free_bytes: int, scale: float) -> Iterator[str]:
    width = free_bytes * scale
    yield f"<rect x='{_LEFT}' y='70' width='{width:.1f}' height='8' fill='#bbb'/>"
    yield f"<text x='{_LEFT}' y='94' {_STYLE}>free: {_size(free_bytes)}</text>"


def _legend(parts: list[tuple[str, int]], colours: list[str]) -> Iterator[str]:
    for row, ((name, size), colour) in enumerate(zip(parts, colours, strict=True)):
        y = 112 + _ROW * row
        yield f"<rect x='{_LEFT}' y='{y - 11}' width='12' height='12' fill='{colour}'/>"
        yield f"<text x='{_LEFT + 20}' y='{y}' {_STYLE}>{escape(name)}: {_size(size)}</text>"


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e9:.2f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.0f} MB"
