"""Questions whose answer needs two documents: recall of both, answers, and what single ones lose by it.

    .venv/bin/python -m benchmarks.two_hops PROJECT [--seed N] [--write]

PROJECT is a copy of `examples/handbook` with its index. Three sets: its own questions on two documents; questions
made from its documents by joining two sentences over a name that both have (rare words of the first, everyday words
of the second, the name itself left out); and a made-up base of 160 pages, where the page of a product names a
place, the page of the place its head, and the page of the head some facts, and where nothing but the name tells one
page of a place from another. `off` is retrieval as it is, `on` takes in passages of the graph's neighbours.
"""

# ruff: noqa: E501

from __future__ import annotations

import argparse
import random
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cape.answers.bridging import bridged, bridges
from cape.answers.hops import cut
from cape.answers.question import read_question
from cape.answers.retrieval import RankedChunk, retrieve
from cape.answers.words import is_stop, words_of
from cape.cli.output import table
from cape.knowledge.chunking import sentence_spans
from cape.knowledge.graph.reading import Graph
from cape.operations.asking import ask, open_named
from cape.operations.graph import graph_of
from cape.operations.including import project_manifest
from cape.operations.indexing import index_base
from cape.operations.knowledge import AskableBase, ChosenEmbedder, find_base, open_for_asking
from cape.operations.project import Project, Workshop

DEPTHS = (5, 10, 20)


@dataclass(frozen=True)
class Asked:
    question: str
    sources: tuple[str, ...]
    answer: tuple[str, ...] = ()
    user: str | None = None


def recall(asked: Asked, ranked: Sequence[RankedChunk], k: int) -> bool:
    return set(asked.sources) <= {one.chunk.document for one in ranked[:k]}


def measured(
    askable: AskableBase, project: Project, workshop: Workshop, several: Sequence[Asked]
) -> list[str]:
    """Recall of all sources at each depth, off and on."""
    counts: Counter[tuple[int, bool]] = Counter()
    index = askable.index
    graphs: dict[frozenset[str], Graph] = {}
    for one in several:
        groups = index.policy.groups_of_user(one.user)
        if groups not in graphs:
            graphs[groups] = graph_of(project, askable.base, index, groups, workshop)
        plain = retrieve(index, askable.embedder, one.question, groups, max(DEPTHS))
        found = bridges(index, graphs[groups], read_question(one.question), plain.chunks)
        contents = index.chunks([bridge.chunk for bridge in found])
        for k in DEPTHS:
            counts[k, False] += recall(one, plain.chunks, k)
            short = replace(plain, chunks=plain.chunks[:k])
            counts[k, True] += recall(one, bridged(short, found, contents, k).chunks, k)
    return [f"{counts[k, on] / len(several):.1%}" for k in DEPTHS for on in (False, True)]


def answered(askable: AskableBase, several: Sequence[Asked]) -> list[str]:
    """Of the questions that are cut in two the shares that are right and wrong, off and on; others are alike."""
    several = [one for one in several if cut(one.question) is not None]
    counts: Counter[tuple[bool, bool]] = Counter()
    for one in several:
        off = ask(askable, one.question, user=one.user, two_hops=False).answer
        on = ask(askable, one.question, user=one.user).answer
        for is_on, answer in ((False, off), (True, on)):
            good = bool(one.answer) and all(part.casefold() in answer.text.casefold() for part in one.answer)
            counts[is_on, good] += answer.is_found
    shares = [counts[is_on, good] / (len(several) or 1) for is_on in (False, True) for good in (True, False)]
    return [str(len(several)), *(f"{share:.1%}" for share in shares)]


# -- sets ---------------------------------------------------------------------------------------------


def own_questions(project: Project) -> tuple[list[Asked], list[Asked]]:
    rows = tomllib.loads((project.directory / "questions.toml").read_text())["questions"]
    two, single = [], []
    for row in rows:
        if row.get("sources"):
            made = Asked(row["question"], tuple(row["sources"]), tuple(row["answer"]), row.get("as"))
            (two if row["kind"] == "two-documents" else single).append(made)
    return two, single


def joined_questions(
    askable: AskableBase, project: Project, workshop: Workshop, seed: int, most: int
) -> list[Asked]:
    index, groups = askable.index, frozenset({"everyone"})
    graph = graph_of(project, askable.base, index, groups, workshop)
    count: Counter[str] = Counter()
    chunks = index.chunks(
        range(sum(len(index.chunks_of(one, groups)) for one in index.documents(groups)) + 500)
    )
    for one in chunks.values():
        count.update({word.stem for word in words_of(one.text)})
    made: list[Asked] = []
    for entity in sorted(graph._all.values(), key=lambda one: one.key):
        if entity.kind not in ("name", "code") or not 2 <= len(entity.chunks) <= 12 or len(entity.key) < 4:
            continue
        sentences = [
            (chunks[one].document, text)
            for one in entity.chunks
            if one in chunks
            for text in _with(chunks[one].text, entity.name)
        ]
        for first, text in sentences:
            for second, other in sentences:
                if first != second and (question := _question(text, other, entity.name, count)):
                    made.append(Asked(question, (first, second)))
    random.Random(seed).shuffle(made)
    unique = {one.question: one for one in made}
    return list(unique.values())[:most]


def _with(text: str, name: str) -> Iterator[str]:
    for start, end in sentence_spans(text):
        if name in text[start:end] and ": " not in text[start:end]:
            yield text[start:end]


def _question(text: str, other: str, name: str, count: Counter[str]) -> str | None:
    own = {word.stem for word in words_of(name)}
    first = [
        word
        for word in words_of(text)
        if not is_stop(word.text) and word.stem not in own and not word.text[0].isdigit()
    ]
    second = [
        word
        for word in words_of(other)
        if not is_stop(word.text) and word.stem not in own and word.text[0].islower()
    ]
    if len(first) < 5 or len(second) < 4:
        return None
    rare = sorted(sorted(first, key=lambda word: count[word.stem])[:5], key=lambda word: word.start)
    common = sorted(sorted(second, key=lambda word: -count[word.stem])[:2], key=lambda word: word.start)
    return f"Which {' '.join(word.text for word in common)} has what {' '.join(word.text for word in rare)}?"


SYLLABLES = (
    "bal",
    "cor",
    "dun",
    "fen",
    "gar",
    "hol",
    "kes",
    "lor",
    "mar",
    "nor",
    "pel",
    "ros",
    "sil",
    "tor",
    "vik",
    "wen",
)


def chains(directory: Path, seed: int) -> list[Asked]:
    """Pages of products, places and people, and questions over two of them; a fifth have no answer."""
    rng = random.Random(seed)

    def name(parts: int) -> str:
        return "".join(rng.choice(SYLLABLES) for _ in range(parts)).capitalize()

    places = sorted({name(3) for _ in range(44)})[:40]
    heads = {place: f"{name(2)} {name(3)}" for place in places}
    cars = ("a grey van", "an old bicycle", "a red tractor", "a small boat", "a blue lorry")
    several: list[Asked] = []
    (directory / "pages").mkdir()
    extension, joined, home = {}, {}, {}
    for place in places:
        extension[place], joined[place] = str(rng.randrange(200, 999)), str(rng.randrange(1990, 2024))
        text = f"# The {place} office\n\nThe office in {place} is led by {heads[place]}. Its telephone extension is {extension[place]}. "
        text += (
            rng.choice(
                ("The canteen opens at noon.", "Parking is behind the building.", "The yard closes at six.")
            )
            + "\n"
        )
        (directory / "pages" / f"office-{place.lower()}.md").write_text(text)
        text = f"# {heads[place]}\n\n{heads[place]} joined the company in {joined[place]} and drives {rng.choice(cars)}.\n"
        (directory / "pages" / f"person-{heads[place].replace(' ', '-').lower()}.md").write_text(text)
    for number in range(80):
        product, place = f"{name(2)}", rng.choice(places)
        if product in home:
            continue
        home[product] = place
        page = f"pages/product-{product.lower()}.md"
        text = f"# {product}\n\nThe {product} is a pump for harbours. Every {product} is repaired in {place}. It weighs {rng.randrange(3, 90)} kg.\n"
        (directory / page).write_text(text)
        office = f"pages/office-{place.lower()}.md"
        several.append(
            Asked(f"Who leads the office where the {product} is repaired?", (page, office), (heads[place],))
        )
        several.append(
            Asked(
                f"What is the telephone extension of the office where every {product} is repaired?",
                (page, office),
                (extension[place],),
            )
        )
        if number % 4 == 0:
            several.append(Asked(f"Who leads the office where the {name(3)} is repaired?", ()))
    for place in places[:30]:
        office, person = (
            f"pages/office-{place.lower()}.md",
            f"pages/person-{heads[place].replace(' ', '-').lower()}.md",
        )
        several.append(
            Asked(
                f"When did the person who leads the office in {place} join the company?",
                (office, person),
                (joined[place],),
            )
        )
    return several


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("project", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--answers", action="store_true", help="also what is answered, which takes minutes")
    parser.add_argument("--most", type=int, default=200, help="questions that are answered of one set")
    arguments = parser.parse_args()
    most = arguments.most
    project, workshop = Project(arguments.project.absolute()), Workshop.open()
    rows: list[tuple[str, ...]] = [
        (
            "set",
            "questions",
            *(f"{'on' if on else 'off'} @{k}" for k in DEPTHS for on in (False, True)),
            "cut",
            "right, off",
            "wrong, off",
            "right, on",
            "wrong, on",
        )
    ]

    def row(
        what: str, askable: AskableBase, own: Project, several: Sequence[Asked], known: Sequence[Asked]
    ) -> None:
        both = [one for one in several if one.sources]
        told = answered(askable, known) if arguments.answers and known else [""] * 5
        rows.append((what, str(len(several)), *measured(askable, own, workshop, both), *told))

    with open_named(project, None, workshop) as askable:
        two, single = own_questions(project)
        row("handbook, two documents", askable, project, two, two)
        row(
            "handbook, joined by a name",
            askable,
            project,
            joined_questions(askable, project, workshop, arguments.seed, 150),
            (),
        )
        row("handbook, one document", askable, project, single, single)
        with tempfile.TemporaryDirectory() as scratch:
            made = Project(Path(scratch))
            several = chains(made.directory, arguments.seed)
            (made.directory / "cape.toml").write_text(
                'schema = 1\n[environment]\nname = "chains"\nsystems = ["x86_64-linux"]\n[knowledge.pages]\nsources = ["pages/*"]\n'
            )
            base = find_base(project_manifest(made), None)
            index_base(made, workshop, base, None, chosen=ChosenEmbedder(embedder=askable.embedder))
            with open_for_asking(made, base, None, workshop) as other:
                other = replace(other, embedder=askable.embedder)
                row("chains, two documents", other, made, several, several[:most])
                row(
                    "chains, no answer",
                    other,
                    made,
                    [one for one in several if one.sources][:1],
                    [one for one in several if not one.sources][:most],
                )
    print(table(rows, right=range(1, len(rows[0]))))


if __name__ == "__main__":
    main()
