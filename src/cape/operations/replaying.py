"""The same answer again: what an answer was made with, and what differs from that now.

Joins the record of an answer, which has digests only, with the open index. The question itself is in no
record unless the user's settings say so, so whoever replays an answer asks again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cape.errors import InputError
from cape.names import Digest
from cape.operations.project import Project, Workshop

if TYPE_CHECKING:
    from cape.operations.asking import AskResult
    from cape.operations.knowledge import AskableBase, KnowledgeBase


class UnknownAnswer(InputError):
    """No recorded answer has that id."""

    slug = "unknown-answer"


class AnotherQuestion(InputError):
    """The recorded answer is one to another question."""

    slug = "another-question"


@dataclass(frozen=True, kw_only=True, slots=True)
class Replay:
    """How an answer compares with a recorded one: whether its text is the same, and which parts differ."""

    id: str
    same: bool
    drifted: tuple[str, ...]


def made_with(project: Project, askable: AskableBase) -> dict[str, str]:
    """What answers of an open base depend on, by name; a digest each, or a short text."""
    from cape.figures import RULES_VERSION
    from cape.figures.query import version
    from cape.operations.knowledge_lock import locked_generation

    generation = askable.index.generation
    bar = askable.base.answer_from
    return {
        **generation.recipe.parts,
        "access": generation.access.digest.hex,
        "index": locked_generation(project, askable.base, generation).hex,
        "answer-from": "calibrated" if bar is None else str(bar),
        "tables": f"{RULES_VERSION} by DuckDB {version()}",
        **deciding_parts(project, askable.base),
    }


def deciding_parts(project: Project, base: KnowledgeBase) -> dict[str, str]:
    """What decides a base's answers without being in its index, by name; a digest each.

    The weights that choose and refuse; of what is written also the prompt with its schema, the weights that
    check claims and those of the router, and the base's writers as the manifest has them.
    """
    from cape.answers.weights import BY_VECTORS, BY_WORDS

    parts = {"weights": Digest.of_lines([repr(BY_WORDS), repr(BY_VECTORS)]).hex}
    if base.reranker is not None:
        parts["reranker"] = _reranker_digest(project, base)
    if base.writers:
        parts["writers"] = _writers_digest(project, base)
    return parts | dict(_shipped())


@lru_cache(maxsize=1)
def _shipped() -> tuple[tuple[str, str], ...]:
    """What comes with cape and decides what is written, by name; a digest each."""
    from cape.answers.claims.weights import shipped_digest
    from cape.answers.routing.difficulty import shipped_difficulty
    from cape.answers.writing import prompt_digest

    return (
        ("checker", shipped_digest().hex),
        ("prompt", prompt_digest().hex),
        ("router", shipped_difficulty()[1].hex),
    )


def _reranker_digest(project: Project, base: KnowledgeBase) -> str:
    from cape.lock import read_lock
    from cape.operations.reranking import reranker_of

    found = reranker_of(project, base, read_lock(project.lock_path), Workshop.open())
    return "none" if found is None else found.digest.hex


def _writers_digest(project: Project, base: KnowledgeBase) -> str:
    from cape.operations.including import project_manifest
    from cape.operations.phrasing import policy_of
    from cape.operations.writers import writer_settings

    manifest = project_manifest(project)
    told = [writer_settings(manifest, name) for name in base.writers]
    return Digest.of_lines([repr(policy_of(base, manifest)), *told]).hex


def record_fields(result: AskResult, parts: Mapping[str, str]) -> dict[str, Any]:
    """What a record keeps of an answer, to recognise it: its digest, and what it was made with."""
    writer = {f"writer {name}": value for name, value in (result.writer or {}).items()}
    told = {name: Digest.of(value.encode()).short for name, value in {**parts, **writer}.items()}
    return {"answer": Digest.of(result.answer.text.encode()).short, "made_with": dict(sorted(told.items()))}


def replay(project: Project, id: str, result: AskResult, parts: Mapping[str, str]) -> Replay:
    """Compare an answer with the recorded one of that id. Raises `UnknownAnswer`, `AnotherQuestion`."""
    from cape.operations.usage import find_record

    recorded = find_record(project, id)
    if recorded is None or "made_with" not in recorded:
        raise UnknownAnswer(
            f"no recorded answer has the id `{id}`",
            hint="`cape ask --json` prints an answer's `id`; old records go",
        )
    if recorded["question"] != str(result.question_digest) or recorded["base"] != result.base:
        raise AnotherQuestion(
            f"the answer `{id}` is one to another question, or of another base",
            hint="ask in the same words as then",
        )
    now = record_fields(result, parts)
    then = recorded["made_with"]
    names = sorted(then.keys() | now["made_with"].keys())
    return Replay(
        id=id,
        same=recorded["answer"] == now["answer"],
        drifted=tuple(name for name in names if then.get(name) != now["made_with"].get(name)),
    )
