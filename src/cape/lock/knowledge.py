"""The rows of the lock about knowledge bases: what each index was made by and from.

Owns these rows as values and as text, and replacing those of one base in a lockfile without reading the
others. An environment does not depend on them: nothing here makes a lock stale. How an index is made, and
what its digests cover, must never be known here.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cape.names import Digest

Row = dict[str, Any]

_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedKnowledge:
    """What an index was made by, and what it came to.

    `parts` are the recipe's, by name. `questions` is the digest of the base's test set; None: it has none.
    `answers` are digests of what decides answers without being in the index, by name: weights, the prompt;
    empty where an older cape wrote the row.
    Where the base is private, `index` and `access` are keyed digests,
    which only machines that have the project's key can compare.
    """

    name: str
    parts: tuple[tuple[str, str], ...]
    index: Digest
    access: Digest
    documents: int
    chunks: int
    questions: Digest | None = None
    answers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedDocument:
    """A document of a knowledge base. `digest` is of its bytes; keyed where the base is private."""

    base: str
    path: str
    digest: Digest
    size_bytes: int
    keyed: bool = False


class BadKnowledgeRow(Exception):
    """A row that is not one; the text says why."""


def knowledge_line(locked: LockedKnowledge) -> str:
    """The row of a knowledge base."""
    return _encode(
        {
            "row": "knowledge",
            "name": locked.name,
            "recipe": dict(locked.parts),
            "access": locked.access.hex,
            "documents": locked.documents,
            "chunks": locked.chunks,
            "index": locked.index.hex,
            **({"questions": locked.questions.hex} if locked.questions else {}),
            **({"answers": dict(locked.answers)} if locked.answers else {}),
        }
    )


def document_line(document: LockedDocument) -> str:
    """The row of a document."""
    return _encode(
        {
            "row": "document",
            "base": document.base,
            "path": document.path,
            "keyed" if document.keyed else "sha256": document.digest.hex,
            "size": document.size_bytes,
        }
    )


def knowledge_of(row: Row) -> LockedKnowledge:
    """The value of a knowledge base's row. Raises `BadKnowledgeRow`."""
    kinds = {"row": str, "name": str, "recipe": dict, "access": str, "index": str}
    more: dict[str, type] = {"questions": str, "answers": dict}
    _check(row, kinds | {"documents": int, "chunks": int} | {key: more[key] for key in more if key in row})
    for key in ("recipe", "answers"):
        if not all(type(part) is str for part in row.get(key, {}).values()):
            raise BadKnowledgeRow(f"`{key}` is no table of texts")
    return LockedKnowledge(
        name=row["name"],
        parts=tuple(row["recipe"].items()),
        index=_digest(row, "index"),
        access=_digest(row, "access"),
        documents=row["documents"],
        chunks=row["chunks"],
        questions=_digest(row, "questions") if "questions" in row else None,
        answers=tuple(row.get("answers", {}).items()),
    )


def document_of(row: Row) -> LockedDocument:
    """The value of a document's row. Raises `BadKnowledgeRow`."""
    keyed = "keyed" in row
    _check(row, {"row": str, "base": str, "path": str, "size": int, "keyed" if keyed else "sha256": str})
    return LockedDocument(
        base=row["base"],
        path=row["path"],
        digest=_digest(row, "keyed" if keyed else "sha256"),
        size_bytes=row["size"],
        keyed=keyed,
    )


def _check(row: Row, kinds: Mapping[str, type]) -> None:
    for key, kind in kinds.items():
        if type(row.get(key)) is not kind:
            raise BadKnowledgeRow(f"`{key}` is missing, or is not what it should be")
    if unknown := row.keys() - kinds.keys():
        raise BadKnowledgeRow(
            "the row has an unknown key " + ", ".join(f"`{key}`" for key in sorted(unknown))
        )


def _digest(row: Row, key: str) -> Digest:
    try:
        return Digest(row[key])
    except (KeyError, TypeError, ValueError):
        raise BadKnowledgeRow(f"`{key}` is not 64 hexadecimal digits") from None


# -- two sides of a merge -----------------------------------------------------------------------------


def settled(
    bases: Sequence[LockedKnowledge], documents: Sequence[LockedDocument]
) -> tuple[list[LockedKnowledge], list[LockedDocument], frozenset[str]]:
    """The rows that contradict no other, each once, and the names of the bases that two branches changed.

    Of such a base no row is left: only indexing can say what its documents come to.
    """
    of_base: dict[str, set[LockedKnowledge]] = defaultdict(set)
    of_path: dict[tuple[str, str], set[LockedDocument]] = defaultdict(set)
    for base in bases:
        of_base[base.name].add(base)
    for document in documents:
        of_path[document.base, document.path].add(document)
    doubled = {name for name, found in of_base.items() if len(found) > 1}
    doubled |= {name for (name, _), found in of_path.items() if len(found) > 1}
    counts: dict[str, int] = defaultdict(int)
    for name, _ in of_path:
        counts[name] += 1
    for name, found in of_base.items():
        if any(counts[name] != base.documents for base in found):
            doubled.add(name)
    doubled |= counts.keys() - of_base.keys()
    kept = [base for name, found in of_base.items() if name not in doubled for base in found]
    kept_documents = [one for (name, _), found in of_path.items() if name not in doubled for one in found]
    return kept, kept_documents, frozenset(doubled)


# -- the file -----------------------------------------------------------------------------------------


def with_knowledge(text: str, name: str, lines: Iterable[str], *, known: Iterable[str]) -> str:
    """A lockfile's text with the rows of one base replaced; rows of bases that are not `known` go.

    The other rows are not looked at, so this costs little where a lock has many. The text must be one that
    `render_lock` gave: a header, then sorted rows.
    """
    header, *rows = text.splitlines()
    kept = [line for line in rows if _base_of(line) is None or _base_of(line) in {*known} - {name}]
    return "\n".join([header, *sorted([*kept, *lines]), ""])


_HEADS = ('{"row":"knowledge","name":', '{"row":"document","base":')
_decoder = json.JSONDecoder()


def _base_of(line: str) -> str | None:
    """The knowledge base that a row is about; None for any other row."""
    for head in _HEADS:
        if line.startswith(head):
            return str(_decoder.raw_decode(line, len(head))[0])
    return None
