"""`cape ask` and `cape usage`: words to operations, answers and totals to text."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cape.cli.output import say, show_json, table
from cape.errors import UsageError
from cape.operations.project import Workshop, find_project

if TYPE_CHECKING:
    from cape.answers.answer import Citation, Explanation
    from cape.knowledge.documents import Place
    from cape.operations.asking import AskResult, AskRoute
    from cape.operations.replaying import Replay
    from cape.operations.spending import Allowance, SpentDay
    from cape.operations.usage import Usage, UsageTotal

MOST_PASSAGES = 200


class NoQuestion(UsageError):
    """`cape ask` was given something else than a base and a question."""

    slug = "no-question"


def ask(arguments: argparse.Namespace) -> int:
    """`cape ask [NAME] QUESTION`. Exit code 0 whether or not the documents answer."""
    from cape.operations.asking import ask as ask_base
    from cape.operations.asking import open_named
    from cape.operations.replaying import made_with, replay
    from cape.operations.usage import record

    name, question = _words(arguments.words)
    k = _passages(arguments.passages)
    project = find_project(Path.cwd())
    workshop = Workshop.open()
    with open_named(project, name, workshop) as askable:
        result = ask_base(askable, question, user=getattr(arguments, "as"), k=k)
        base = askable.base
        parts = made_with(project, askable)
    writers = (arguments.writer,) if arguments.writer else base.writers
    if writers and not arguments.quote:
        from cape.operations.phrasing import phrase

        result = phrase(project, result, writers, base, workshop)
    if arguments.replay:
        return _replayed(replay(project, arguments.replay, result, parts), result, arguments)
    id = record(project, result, workshop.configuration, parts)
    if arguments.json:
        show_json({**fields_of(result, explain=arguments.explain), "id": id})
        return 0
    for note in result.notes:
        say(f"note: {note}", quiet=arguments.quiet)
    print(text_of(result))
    for sentence in result.dropped:
        say(f"dropped: {sentence.text} ({sentence.why})", quiet=arguments.quiet)
    if arguments.explain:
        print("\n" + explained(result))
    return 0


def _replayed(found: Replay, result: AskResult, arguments: argparse.Namespace) -> int:
    """Whether the answer is the recorded one; exit code 1 where it is another."""
    if arguments.json:
        told = {"id": found.id, "same": found.same, "drifted": list(found.drifted)}
        show_json({**fields_of(result, explain=arguments.explain), "replay": told})
        return 0 if found.same else 1
    print(text_of(result))
    drifted = ", ".join(f"`{one}`" for one in found.drifted) or "nothing that cape knows of"
    say(f"{'the same answer' if found.same else 'another answer'} as `{found.id}`; changed since: {drifted}")
    return 0 if found.same else 1


def _words(words: list[str]) -> tuple[str | None, str]:
    """The base, if it is named, and the question."""
    if len(words) == 1:
        return None, words[0]
    if len(words) == 2:
        return words[0], words[1]
    raise NoQuestion(
        f"`cape ask` wants a knowledge base and a question, not {len(words)} words",
        hint='put the question in quotes: `cape ask handbook "Who pays the train?"`',
    )


def _passages(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= MOST_PASSAGES:
        raise UsageError(f"`--passages` is a number from 1 to {MOST_PASSAGES}, not `{text}`")
    return int(text)


def text_of(result: AskResult) -> str:
    """The answer, then where each of its quotes stands."""
    answer = result.answer
    if not answer.citations:
        return answer.text
    lines = [f"[{one.number}] {one}" for one in answer.citations]
    return "\n".join([answer.text, "", *lines])


def explained(result: AskResult) -> str:
    """The ranking, the candidates, the evidence, and why nothing was found."""
    answer = result.answer
    parts = [
        f"asked for: {answer.asked}; read {answer.passages} passages by "
        + ("words and vectors" if answer.has_vectors else "words alone"),
        f"confidence {answer.confidence:.2f}, let through from {answer.explanation.bar:.2f}",
    ]
    if len(answer.explanation.clauses) > 1:
        parts.append("asks at once: " + "; ".join(f"`{one}`" for one in answer.explanation.clauses))
    parts += [f"not found: {reason}" for reason in answer.explanation.reasons]
    parts += [f"computed by: {answer.explanation.query}"] if answer.explanation.query else []
    parts += _routing(result.route)
    parts += _evidence(answer.explanation)
    parts += _ranking(result)
    parts += _considered(answer.explanation)
    return "\n".join(parts)


def _routing(found: AskRoute | None) -> list[str]:
    if found is None:
        return []
    cost = "" if found.cost is None else f", {found.cost:.6f} in all"
    told = [f"written by {f'`{found.writer}`' if found.writer else 'nobody'}{cost}"]
    told += [f"difficulty {found.difficulty:.2f}"] if found.difficulty else []
    told += [f"`{name}` failed: {why}" for name, why in found.failures]
    return [*told, *(f"`{name}` is left out: it {why}" for name, why in found.left_out)]


def _evidence(explanation: Explanation) -> list[str]:
    if not explanation.evidence:
        return []
    rows = [
        (name, f"{value:.2f}", f"{explanation.contributions.get(name, 0.0):+.2f}")
        for name, value in explanation.evidence.items()
    ]
    return ["", table([("evidence", "value", "log-odds"), *rows], right=(1, 2))]


def _ranking(result: AskResult) -> list[str]:
    rows = [
        (str(number), f"{one.score:.2f}", _short(f"{one.chunk.document}, {one.chunk.place}".rstrip(", ")))
        for number, one in enumerate(result.retrieval.chunks[:10], start=1)
    ]
    return ["", table([("passage", "score", "where"), *rows], right=(0, 1))] if rows else []


def _considered(explanation: Explanation) -> list[str]:
    rows = [
        (f"{one.score:.2f}", str(one.rank), _short(" ".join(one.text.split()), 90))
        for one in explanation.considered
    ]
    return ["", table([("score", "passage", "sentence"), *rows], right=(0, 1))] if rows else []


def _short(text: str, most: int = 70) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def fields_of(result: AskResult, *, explain: bool = False) -> dict[str, object]:
    """An answer as JSON fields."""
    answer = result.answer
    return {
        "base": result.base,
        "question": answer.question,
        "asked_as": result.user,
        "verdict": str(answer.verdict),
        "kind": str(answer.asked),
        "text": answer.text,
        "citations": [_citation(one) for one in answer.citations],
        "confidence": round(answer.confidence, 6),
        "bar": round(answer.explanation.bar, 6),
        "by_vectors": answer.has_vectors,
        "writer": dict(result.writer) if result.writer is not None else None,
        "dropped": [{"text": one.text, "why": one.why} for one in result.dropped],
        "route": _route(result.route) if result.route is not None else None,
        "tokens_to_writer": result.tokens_to_writer,
        "tokens_whole_documents": result.tokens_whole_documents,
        "ms": {name: round(value, 3) for name, value in result.took_ms.items()},
        "notes": list(result.notes),
        "explanation": _explanation(result) if explain else None,
    }


def _route(found: AskRoute) -> dict[str, object]:
    return {
        "difficulty": round(found.difficulty, 6),
        "writer": found.writer,
        "cost": None if found.cost is None else round(found.cost, 6),
        "failures": [{"writer": name, "why": why} for name, why in found.failures],
        "left_out": [{"writer": name, "why": why} for name, why in found.left_out],
    }


def _citation(citation: Citation) -> dict[str, object]:
    return {
        "number": citation.number,
        "document": citation.document,
        "where": str(citation.place),
        "place": place_fields(citation.place),
        "quote": citation.quote,
        "title_path": list(citation.title_path),
        "chunk": str(citation.chunk),
    }


def place_fields(place: Place) -> dict[str, object]:
    """A place as JSON fields."""
    return {
        "page": place.page,
        "lines": list(place.lines) if place.lines else None,
        "sheet": place.sheet,
        "cells": place.cells,
        "span": list(place.span) if place.span else None,
    }


def _explanation(result: AskResult) -> dict[str, object]:
    explanation = result.answer.explanation
    return {
        "clauses": list(explanation.clauses),
        "reasons": list(explanation.reasons),
        "query": explanation.query or None,
        "evidence": dict(explanation.evidence),
        "contributions": dict(explanation.contributions),
        "passages": [
            {
                "document": one.chunk.document,
                "where": str(one.chunk.place),
                "score": one.score,
                "words": one.words.score if one.words else None,
                "vectors": one.vectors.score if one.vectors else None,
            }
            for one in result.retrieval.chunks
        ],
        "considered": [
            {
                "document": one.document,
                "where": str(one.place),
                "text": one.text,
                "passage": one.rank,
                "score": one.score,
                "features": dict(one.features),
            }
            for one in explanation.considered
        ],
    }


def usage(arguments: argparse.Namespace) -> int:
    """`cape usage`."""
    from cape.operations.including import project_manifest
    from cape.operations.spending import allowances, spent_days, spent_months
    from cape.operations.usage import usage_of

    project = find_project(Path.cwd())
    found = usage_of(project, Workshop.open().configuration, daily=arguments.daily)
    days = spent_days(project)
    spent = days if arguments.daily else spent_months(days)
    budget = allowances(project, project_manifest(project))
    if arguments.picture:
        _draw(Path(arguments.picture), days, quiet=arguments.quiet)
    if arguments.json:
        show_json(
            {
                "price_per_million_tokens": found.price,
                "unreadable_lines": found.unreadable,
                "totals": [_total_fields(one) for one in found.totals],
                "writers": [_spent_fields(one) for one in spent],
                "budget": [_allowance_fields(one) for one in budget],
            }
        )
        return 0
    if found.unreadable:
        say(f"note: {found.unreadable} lines of the record are none, and are left out", quiet=arguments.quiet)
    print(_usage_table(found) if found.totals else "no answers yet: ask with `cape ask`")
    if spent:
        print("\n" + _spent_table(spent))
    for one in budget:
        print(
            f"{one.spent:.6g} of {one.limit:.6g} this {'day' if one.is_day else 'month'}, {one.left:.6g} left"
        )
    return 0


def _draw(file: Path, days: Sequence[SpentDay], *, quiet: bool) -> None:
    from cape.operations.usage_picture import write_picture

    write_picture(file, days)
    say(f"the picture is in `{file}`", quiet=quiet)


def _spent_fields(one: SpentDay) -> dict[str, object]:
    return {
        "period": one.day,
        "writer": one.writer,
        "calls": one.calls,
        "failed": one.failed,
        "open": one.open_calls,
        "tokens_sent": one.sent,
        "tokens_written": one.came,
        "cost": round(one.cost, 6),
    }


def _allowance_fields(one: Allowance) -> dict[str, object]:
    return {
        "period": one.period,
        "limit": one.limit,
        "spent": round(one.spent, 6),
        "left": round(one.left, 6),
    }


def _spent_table(spent: Sequence[SpentDay]) -> str:
    head = ("when", "writer", "calls", "failed", "tokens sent", "written", "cost")
    rows = [
        (
            one.day,
            one.writer,
            f"{one.calls:,}",
            f"{one.failed:,}",
            f"{one.sent:,}",
            f"{one.came:,}",
            f"{one.cost:.6f}",
        )
        for one in spent
    ]
    return table([head, *rows], right=range(2, len(head)))


def _total_fields(one: UsageTotal) -> dict[str, object]:
    return {
        "base": one.base,
        "period": one.period,
        "answers": one.answers,
        "found": one.found,
        "tokens_to_writer": one.tokens_to_writer,
        "tokens_whole_documents": one.tokens_whole_documents,
        "saved_tokens": one.saved_tokens,
        "saved_money": None if one.saved_money is None else round(one.saved_money, 6),
        "mean_ms": round(one.mean_ms, 3),
    }


def _usage_table(found: Usage) -> str:
    head = ["when", "base", "answers", "found", "tokens sent", "whole documents", "saved", "mean ms"]
    if found.price is not None:
        head.append("saved money")
    rows = [_usage_row(one) for one in found.totals]
    return table([head, *rows], right=range(2, len(head)))


def _usage_row(one: UsageTotal) -> list[str]:
    row = [
        one.period,
        one.base,
        f"{one.answers:,}",
        f"{one.found:,}",
        f"{one.tokens_to_writer:,}",
        f"{one.tokens_whole_documents:,}",
        f"{one.saved_tokens:,}",
        f"{one.mean_ms:.0f}",
    ]
    return row if one.saved_money is None else [*row, f"{one.saved_money:,.2f}"]
