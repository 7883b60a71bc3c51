"""Answers that a model phrases: which writer, from which passages, and what stands of what it wrote.

Joins the quoted answer, a writer and the check of claims. A question whose quoted answer was not found is not
sent to any model; where nothing that a model wrote is supported, or it cannot be reached, the quotes stand.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cape.errors import CapeError, InputError
from cape.operations.asking import AskResult
from cape.operations.project import Project, Workshop

if TYPE_CHECKING:
    from cape.answers.answer import Answer, Citation
    from cape.answers.retrieval import RankedChunk
    from cape.answers.writing import Writer, Written
    from cape.manifest import Manifest

SENT = 6
"""Passages that a writer is sent: those that the quoted answer cites, then the best of the others."""

_SECRET_S = 30.0


class UnknownWriter(InputError):
    """Neither `[writers]` nor `[models]` has a writer of that name."""

    slug = "unknown-writer"


@contextlib.contextmanager
def open_named_writer(project: Project, name: str, workshop: Workshop) -> Iterator[Writer]:
    """The writer of that name, until the block ends.

    Raises `UnknownWriter`, `BadWriter`, `WriterRefused` without its key, and for a file of this machine what
    finding and loading it raises.
    """
    from cape.operations.including import project_manifest

    manifest = project_manifest(project)
    if name in manifest.writers:
        yield _service(manifest, name, workshop)
    elif any(one.source == "model" and one.name == name for one in manifest.requirements):
        from cape.engines.writers.local import local_writer

        with local_writer(name, _model_file(project, name, workshop)) as writer:
            yield writer
    else:
        models = [one.name for one in manifest.requirements if one.source == "model"]
        known = ", ".join(f"`{one}`" for one in (*manifest.writers, *models)) or "none"
        raise UnknownWriter(
            f"there is no writer `{name}`",
            where=str(project.manifest_path),
            hint=f"`[writers]` and `[models]` have {known}",
        )


def _service(manifest: Manifest, name: str, workshop: Workshop) -> Writer:
    from cape.engines.writers import WriterSettings, open_writer

    table = manifest.writers[name]
    assert isinstance(table, Mapping)
    addresses = dict(one.partition("=")[::2] for one in workshop.configuration.many("writers"))
    key = table.get("key")
    settings = WriterSettings(
        name=name,
        api=table["api"],
        model=table["model"],
        endpoint=table.get("endpoint") or addresses.get(name, ""),
        key=key,
    )
    return open_writer(settings, _keys(manifest, key))


def _keys(manifest: Manifest, key: str | None) -> Mapping[str, str]:
    """The variable that holds a writer's key: as it is set here, else looked up as `[secrets]` says."""
    from cape.environment.shells.secrets import secrets_of

    if key is None or os.environ.get(key):
        return os.environ
    for secret in secrets_of(manifest):
        if secret.name == key:
            done = subprocess.run(
                ["/bin/sh", "-c", secret.command], cwd=manifest.path.parent, stdin=subprocess.DEVNULL,
                capture_output=True, text=True, check=False, timeout=_SECRET_S,
            )  # fmt: skip
            return {key: done.stdout.rstrip("\n")} if done.returncode == 0 else {}
    return {}


def _model_file(project: Project, name: str, workshop: Workshop) -> Path:
    from cape.lock import read_lock
    from cape.operations.knowledge import locked_model_file

    return locked_model_file(project, name, read_lock(project.lock_path), workshop)


def phrased(result: AskResult, writer: Writer) -> AskResult:
    """The answer in a writer's words, as far as its passages support them; else as it was, with a note."""
    from cape.answers.writing import write

    if not result.answer.is_found:
        return result
    chunks = _sent(result)
    started = time.perf_counter()
    try:
        written = write(writer, result.answer.question, [one.chunk.searchable for one in chunks], _lacking)
    except CapeError as error:
        return replace(result, notes=(*result.notes, f"quoted, because {error.fact}"))
    took = {**result.took_ms, "writer": (time.perf_counter() - started) * 1000}
    tokens = result.tokens_to_writer + written.tokens_in + written.tokens_out
    told = replace(result, took_ms=took, tokens_to_writer=tokens, writer=dict(writer.identity))
    if not written.kept:
        return replace(told, notes=(*told.notes, _nothing(written)), dropped=written.dropped)
    return replace(told, answer=_answer(result.answer, written, chunks), dropped=written.dropped)


def _sent(result: AskResult) -> list[RankedChunk]:
    cited = {one.chunk for one in result.answer.citations}
    first = [one for one in result.retrieval.chunks if one.chunk.digest in cited]
    others = [one for one in result.retrieval.chunks if one.chunk.digest not in cited]
    return [*first, *others][:SENT]


def _lacking(text: str, evidence: Sequence[str]) -> str:
    """What the evidence does not support of a sentence; empty where it supports all of it."""
    from cape.answers.claims.checking import check_answer
    from cape.answers.claims.claim import Verdict

    checked = check_answer(text, evidence)
    if checked.verdict is Verdict.SUPPORTED:
        return ""
    doubted = [text[start:end] for start, end in checked.unsupported]
    shown = ", ".join(f"`{one}`" for one in doubted[:3]) or "it"
    return f"{shown} does not stand in what it cites"


def _nothing(written: Written) -> str:
    if written.problem:
        return f"quoted, because {written.problem}"
    if not written.dropped:
        return "quoted, because the writer found no answer in the passages"
    return "quoted, because the passages support nothing of what the writer said"


def _answer(quoted: Answer, written: Written, chunks: Sequence[RankedChunk]) -> Answer:
    """The sentences with their marks; each passage that is cited has one mark."""
    numbers: dict[int, int] = {}
    for sentence in written.kept:
        for at in sentence.passages:
            numbers.setdefault(at, len(numbers) + 1)
    text = " ".join(
        f"{one.text} {''.join(f'[{numbers[at]}]' for at in one.passages)}" for one in written.kept
    )
    citations = tuple(_citation(number, chunks[at], quoted) for at, number in numbers.items())
    return replace(quoted, text=text, citations=citations)


def _citation(number: int, ranked: RankedChunk, quoted: Answer) -> Citation:
    """Where a passage stands: the quoted answer's own citation of it is more exact than the passage."""
    from cape.answers.answer import Citation

    chunk = ranked.chunk
    exact = [one for one in quoted.citations if one.chunk == chunk.digest]
    if len(exact) == 1:
        return replace(exact[0], number=number)
    return Citation(
        number=number,
        document=chunk.document,
        place=chunk.place,
        quote=chunk.text,
        chunk=chunk.digest,
        title_path=chunk.title_path,
    )
