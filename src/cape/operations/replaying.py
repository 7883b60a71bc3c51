"""The same answer again: what an answer was made with, and what differs from that now.

Joins the record of an answer, which has digests only, with the open index. The question itself is in no
record unless the user's settings say so, so whoever replays an answer asks again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cape.errors import InputError
from cape.names import Digest
from cape.operations.project import Project

if TYPE_CHECKING:
    from cape.operations.asking import AskResult
    from cape.operations.knowledge import AskableBase


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
        "answers": _answers_version(),
        "tables": f"{RULES_VERSION} by DuckDB {version()}",
    }


def _answers_version() -> str:
    """What decides answers without being in the index: the weights of choosing and refusing, the prompt."""
    from cape.answers.weights import BY_VECTORS, BY_WORDS
    from cape.answers.writing import PROMPT_VERSION

    return Digest.of_lines([repr(BY_WORDS), repr(BY_VECTORS), str(PROMPT_VERSION)]).hex


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
