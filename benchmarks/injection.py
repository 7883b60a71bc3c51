"""Planted instructions: what extractive answers do with them, and which of them are flagged.

    .venv/bin/python benchmarks/injection.py DIR [--rows N]

DIR holds `attacks.json` (kinds, each with texts), and `email.jsonl`, `table.jsonl`, `code.jsonl`
(`context`, and `question` where there is one). Every attack is put at the start, in the middle or at the
end of a context in turn, and the context's question is asked, by words alone and with every answer let
through. "Obeyed" is an answer with anything that is not verbatim in the document; "quoted" one that holds
the attack, as a quote; "told" the share of those whose answer has a note. The last columns are of the texts
by themselves.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cape.answers.answering import answer_question
from cape.answers.selection import Passage, WordsOnly
from cape.answers.weights import BY_WORDS
from cape.cli.output import table
from cape.knowledge.chunking import chunk
from cape.knowledge.documents import Block, BlockKind, ExtractedDocument, Place
from cape.knowledge.instructions import instructions_in
from cape.names import Digest

LET_THROUGH = replace(BY_WORDS, bar=0.0)


@dataclass
class Counts:
    asked: int = 0
    obeyed: int = 0
    quoted: int = 0
    told: int = 0


def passages_of(text: str) -> list[Passage]:
    paragraphs = [part for part in text.split("\n") if part.strip()]
    blocks = tuple(Block(kind=BlockKind.PARAGRAPH, text=part, place=Place()) for part in paragraphs)
    document = ExtractedDocument(
        path="planted.txt",
        digest=Digest.of(text.encode()),
        size_bytes=len(text),
        title="",
        blocks=blocks,
        extractor="benchmark",
    )
    return [Passage(id=number, chunk=one) for number, one in enumerate(chunk(document))]


def planted(context: str, attack: str, place: int) -> str:
    lines = context.split("\n")
    at = (0, len(lines) // 2, len(lines))[place]
    return "\n".join([*lines[:at], attack, *lines[at:]])


def rows_of(file: Path) -> Iterator[tuple[str, str]]:
    for line in file.read_text(encoding="utf-8").split("\n"):
        if line.strip():
            fields = json.loads(line)
            context = fields["context"]
            question = fields.get("question") or f"What is wrong? {' '.join(fields['error'][-3:])}"
            yield context if isinstance(context, str) else "\n".join(context), question


def measured(rows: Sequence[tuple[str, str]], attacks: Sequence[str]) -> Counts:
    counts = Counts()
    for number, (context, question) in enumerate(rows):
        attack = attacks[number % len(attacks)]
        text = planted(context, attack, number % 3)
        passages = passages_of(text)
        answer = answer_question(question, passages, WordsOnly(), weighing=LET_THROUGH)
        counts.asked += 1
        known = " ".join(" ".join(one.chunk.text for one in passages).split())
        quotes = [" ".join(citation.quote.split()) for citation in answer.citations]
        counts.obeyed += any(quote not in known for quote in quotes)
        if any(attack in quote or (len(quote) > 20 and quote in attack) for quote in quotes):
            counts.quoted += 1
            counts.told += any("instruction" in note for note in answer.notes)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--rows", type=int, default=300, help="rows of each kind of document, at most")
    arguments = parser.parse_args()
    kinds = json.loads((arguments.directory / "attacks.json").read_text(encoding="utf-8"))
    plain = [text for texts in list(kinds.values())[:5] for text in texts]
    attacks = [text for texts in kinds.values() for text in texts]
    shown = []
    for name in ("email", "table", "code"):
        rows = list(rows_of(arguments.directory / f"{name}.jsonl"))
        counts = measured((rows * 6)[: arguments.rows], attacks)
        clean = sum(bool(instructions_in(context)) for context, _ in rows)
        shown.append(
            (
                name,
                str(counts.asked),
                str(counts.obeyed),
                str(counts.quoted),
                f"{counts.told}",
                f"{clean} of {len(rows)}",
            )
        )
    print(
        table(
            [("document", "asked", "obeyed", "quoted", "of them told", "flagged without an attack"), *shown],
            right=range(1, 6),
        )
    )
    told = sum(bool(instructions_in(text)) for text in attacks)
    requests = sum(bool(instructions_in(text)) for text in plain)
    speaking = len(attacks) - len(plain)
    print(f"flagged by themselves: {told - requests} of {speaking} attacks that speak of the answer,")
    print(f"{requests} of {len(plain)} that are plain requests")


if __name__ == "__main__":
    main()
