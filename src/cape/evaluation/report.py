"""An evaluation as one page of HTML with its plots in it: nothing is fetched, nothing runs.

Owns the page's form. What the numbers mean is `gate`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from cape.evaluation.gate import METRICS, Comparison, Evaluation

_STYLE = """
body {
  font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222
}
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .25rem .75rem; text-align: left }
th { border-bottom: 1px solid #888 } td.number { text-align: right; font-variant-numeric: tabular-nums }
tr.fell td { background: #fbe3e0 } .quiet { color: #666 } h2 { margin-top: 2.5rem }
@media (prefers-color-scheme: dark) {
  body { background: #161616; color: #ddd } tr.fell td { background: #4a2420 }
}
"""
_WIDTH, _BAR, _GAP = 420, 16, 10


def page(evaluation: Evaluation, comparison: Comparison | None) -> str:
    """The page. Equal input gives equal bytes."""
    title = f"Evaluation of {escape(evaluation.base)}"
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style>",
        f"<h1>{title}</h1><p class=quiet>{len(evaluation.rows)} questions</p>",
        "<h2>Metrics</h2>",
        _bars(evaluation, comparison),
        _metrics(evaluation),
    ]
    if comparison is not None:
        parts += ["<h2>Against the base</h2>", _verdict(comparison), _changes(comparison)]
    parts += [
        "<h2>By kind of question</h2>",
        _kinds(evaluation),
        "<h2>What was not right</h2>",
        _wrong(evaluation),
    ]
    parts += ["<h2>Made with</h2>", _table(("part", "digest"), sorted(evaluation.parts.items()))]
    return "\n".join(parts) + "\n"


def _bars(evaluation: Evaluation, comparison: Comparison | None) -> str:
    """One bar for each metric; a line where it was before, with its bounds."""
    rows = [(name, mean) for name in METRICS if (mean := evaluation.mean(name)) is not None]
    moved = {one.metric: one for one in comparison.changes} if comparison else {}
    drawn = []
    for number, (name, mean) in enumerate(rows):
        top = number * (_BAR + _GAP)
        drawn.append(
            f'<text x="95" y="{top + 13}" text-anchor="end" font-size="13" fill="currentColor">{name}</text>'
            f'<rect x="100" y="{top}" width="{_WIDTH * mean:.1f}" height="{_BAR}" fill="#4a7ab5"/>'
            f'<text x="{105 + _WIDTH}" y="{top + 13}" font-size="13" fill="currentColor">{mean:.1%}</text>'
        )
        if name in moved:
            change = moved[name]
            at = 100 + _WIDTH * change.before
            colour = "#c0392b" if change.is_regression else "#e0a030"
            low, high = (100 + _WIDTH * (change.before + bound) for bound in (change.low, change.high))
            drawn.append(
                f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{top - 3}" y2="{top + _BAR + 3}" stroke="{colour}" '
                f'stroke-width="3"/><line x1="{low:.1f}" x2="{high:.1f}" y1="{top + _BAR / 2}" '
                f'y2="{top + _BAR / 2}" stroke="#222" stroke-width="1.5"/>'
            )
    height = len(rows) * (_BAR + _GAP)
    box = f'viewBox="0 -4 {_WIDTH + 160} {height + 4}" width="{_WIDTH + 160}"'
    return f'<svg {box} role="img">{"".join(drawn)}</svg>'


def _metrics(evaluation: Evaluation) -> str:
    rows = []
    for name, meaning in METRICS.items():
        mean = evaluation.mean(name)
        if mean is not None:
            having = sum(name in row.values for row in evaluation.rows)
            rows.append((name, f"{mean:.4f}", str(having), meaning))
    return _table(("metric", "mean", "questions", ""), rows)


def _verdict(comparison: Comparison) -> str:
    fallen = [one.metric for one in comparison.regressions]
    told = f"Fell: {', '.join(fallen)}." if fallen else "Nothing fell."
    drifted = (
        f" Differs: {escape(', '.join(comparison.parts))}." if comparison.parts else " Made with the same."
    )
    wider = "".join(
        f"<br>{escape(one.user or 'everyone')} may see {len(one.documents)} more documents than before."
        for one in comparison.widened
    )
    return f"<p><strong>{told}</strong>{drifted}{wider}</p>"


def _changes(comparison: Comparison) -> str:
    rows, marked = [], set()
    for number, one in enumerate(comparison.changes):
        if one.is_regression:
            marked.add(number)
        bounds = f"{one.low:+.4f} to {one.high:+.4f}"
        rows.append(
            (
                one.metric,
                f"{one.before:.4f}",
                f"{one.now:.4f}",
                f"{one.difference:+.4f}",
                bounds,
                *_names(one.fallen),
            )
        )
    return _table(("metric", "before", "now", "difference", "95 of 100", "lost most"), rows, marked=marked)


def _names(names: Sequence[str]) -> tuple[str]:
    return (", ".join(names),)


def _kinds(evaluation: Evaluation) -> str:
    kinds = dict.fromkeys(row.kind for row in evaluation.rows)
    rows = []
    for kind in kinds:
        found = [row for row in evaluation.rows if row.kind == kind]
        right = sum(row.values.get("right", 0.0) for row in found)
        rows.append((kind, f"{right:.0f}", str(len(found)), f"{right / len(found):.0%}"))
    return _table(("kind", "right", "of", ""), rows)


def _wrong(evaluation: Evaluation) -> str:
    rows = [(row.id, row.kind, row.outcome) for row in evaluation.rows if not row.values.get("right")]
    return _table(("question", "kind", "what became of it"), rows) if rows else "<p>All were right.</p>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, marked: Iterable[int] = ()) -> str:
    fell = set(marked)
    lines = ["<table><tr>" + "".join(f"<th>{escape(one)}</th>" for one in head) + "</tr>"]
    for number, row in enumerate(rows):
        cells = "".join(f"<td{' class=number' if _is_number(one) else ''}>{escape(one)}</td>" for one in row)
        lines.append(f"<tr{' class=fell' if number in fell else ''}>{cells}</tr>")
    return "\n".join([*lines, "</table>"])


def _is_number(text: str) -> bool:
    return text[:1] in "0123456789+-" and any(letter.isdigit() for letter in text)
