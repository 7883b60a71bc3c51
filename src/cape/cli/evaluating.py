"""`cape evaluate`: arguments to operations, scores to text."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from cape.cli.output import count, say, show_json, table
from cape.cli.progress import progress
from cape.errors import UsageError
from cape.operations.project import NoProject, Project, Workshop, find_project

if TYPE_CHECKING:
    from cape.operations.evaluating import EmbedderChoice, RetrievalReport


def embedder_choice(arguments: argparse.Namespace) -> EmbedderChoice:
    """Which embedder the words ask for. Raises `UsageError` where they ask for two things."""
    from cape.operations.evaluating import EmbedderChoice

    if arguments.words_only and (arguments.embedder or arguments.model or arguments.tokenizer):
        raise UsageError("`--words-only` goes with no embedder")
    if arguments.embedder and (arguments.model or arguments.tokenizer):
        raise UsageError("`--embedder` names a model of the project; it goes with no `--model`")
    return EmbedderChoice(
        name=arguments.embedder,
        model=Path(arguments.model) if arguments.model else None,
        tokenizer=Path(arguments.tokenizer) if arguments.tokenizer else None,
        words_only=arguments.words_only,
    )


def project_here() -> Project | None:
    """The project around the working directory, if there is one."""
    try:
        return find_project(Path.cwd())
    except NoProject:
        return None


def retrieval(arguments: argparse.Namespace) -> int:
    """`cape evaluate retrieval DIR`."""
    from cape.operations.evaluating import evaluate_retrieval, write_run

    choice = embedder_choice(arguments)
    project = project_here()
    workshop = Workshop.open(progress(quiet=arguments.quiet))
    report = evaluate_retrieval(
        Path(arguments.collection),
        choice,
        project=project,
        workshop=workshop,
    )
    if arguments.run:
        write_run(report.result, Path(arguments.run))
    if arguments.json:
        show_json(_fields(report))
    else:
        _show(report, quiet=arguments.quiet)
    return 0


def _fields(report: RetrievalReport) -> dict[str, object]:
    result = report.result
    return {
        "collection": result.collection,
        "documents": report.documents,
        "chunks": report.chunks,
        "embedder": report.embedder,
        "why_no_embedder": report.why,
        "embedded": report.embedded,
        "ndcg_at_10": round(result.ndcg_10, 6),
        "recall_at_100": round(result.recall_100, 6),
        "mrr_at_10": round(result.mrr_10, 6),
        "query_p50_ms": round(result.p50_s * 1000, 3),
        "query_p95_ms": round(result.p95_s * 1000, 3),
        "notes": list(report.notes),
        "queries": [
            {
                "id": one.query,
                "ndcg_at_10": round(one.ndcg_10, 6),
                "recall_at_100": round(one.recall_100, 6),
                "mrr_at_10": round(one.mrr_10, 6),
            }
            for one in result.queries
        ],
    }


def _show(report: RetrievalReport, *, quiet: bool) -> None:
    result = report.result
    by = f"words and vectors of `{report.embedder}`" if report.embedder else report.why
    documents, chunks = count(report.documents, "document"), count(report.chunks, "chunk")
    say(f"{result.collection}: {documents} in {chunks}, {by}", quiet=quiet)
    for note in report.notes:
        say(f"note: {note}", quiet=quiet)
    head = ("collection", "queries", "nDCG@10", "recall@100", "MRR@10", "p50 ms", "p95 ms")
    numbers = (result.ndcg_10, result.recall_100, result.mrr_10)
    times = (result.p50_s * 1000, result.p95_s * 1000)
    row = (
        result.collection,
        str(len(result.queries)),
        *(f"{one:.4f}" for one in numbers),
        *(f"{one:.1f}" for one in times),
    )
    print(table([head, row], right=(1, 2, 3, 4, 5, 6)))
