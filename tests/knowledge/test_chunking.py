"""Documents are cut by structure: nothing is lost, nothing is said twice, no sentence is cut."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from cape.knowledge.chunking import LEAD_IN, LIMIT, LONGEST_SENTENCE, chunk, covering, pieces, sentence_spans
from cape.knowledge.documents import Block, BlockKind, Place
from tests.knowledge.builders import block, document, row

WORDS = st.text(st.sampled_from("abcdé AB.,:;!?-\n'\"1023"), max_size=80)
SENTENCES = st.builds(
    lambda n, m: " ".join(f"Sentence {at} of {m} words here." for at in range(n)),
    st.integers(1, 60),
    st.integers(0, 9),
)
TEXTS = st.one_of(WORDS, SENTENCES, st.text(max_size=40), st.integers(1, 3000).map(lambda n: "x" * n))
KINDS = st.sampled_from([kind for kind in BlockKind if kind is not BlockKind.ROW])
BLOCKS = st.one_of(
    st.builds(lambda text, kind, level: block(text, kind, level=level), TEXTS, KINDS, st.integers(1, 4)),
    st.builds(
        lambda table, line, one, other: row(table, line, Name=one, Value=other),
        st.sampled_from(["t1", "t2"]),
        st.integers(1, 99),
        WORDS,
        SENTENCES,
    ),
)
DOCUMENTS = st.lists(BLOCKS, max_size=12).map(lambda blocks: document("d.md", blocks, title="Title"))


def bare(text: str) -> str:
    return "".join(text.split())


@settings(max_examples=120, deadline=None)
@given(DOCUMENTS)
def test_every_text_that_is_no_heading_is_in_the_chunks_once_and_in_order(doc: object) -> None:
    chunks = chunk(doc)  # type: ignore[arg-type]
    parts = [c.text[p.start : p.end] for c in chunks for p in c.parts if p.kind is not BlockKind.HEADING]
    said = [b.text for b in doc.blocks if b.kind is not BlockKind.HEADING]  # type: ignore[attr-defined]
    found, wanted = bare("".join(parts)), bare("".join(said))
    assert found.replace(";", "") == wanted.replace(";", "")


@settings(max_examples=120, deadline=None)
@given(DOCUMENTS)
def test_every_heading_is_in_a_title_path_or_a_chunk(doc: object) -> None:
    chunks = chunk(doc)  # type: ignore[arg-type]
    told = bare("".join(["".join(c.title_path) + c.text for c in chunks]))
    for one in doc.blocks:  # type: ignore[attr-defined]
        if one.kind is BlockKind.HEADING:
            assert bare(one.text).casefold() in told.casefold() or not chunks


@settings(max_examples=120, deadline=None)
@given(DOCUMENTS)
def test_no_chunk_is_larger_than_the_limit_but_one_sentence(doc: object) -> None:
    for one in chunk(doc):  # type: ignore[arg-type]
        size = pieces(one.text)
        assert size <= LIMIT or (size <= LONGEST_SENTENCE and len(one.parts) == 1)


@settings(max_examples=120, deadline=None)
@given(DOCUMENTS)
def test_parts_lie_side_by_side_and_point_into_the_document(doc: object) -> None:
    text = "".join(f"{b.text}\n" for b in doc.blocks)  # type: ignore[attr-defined]
    for number, one in enumerate(chunk(doc)):  # type: ignore[arg-type]
        assert one.ordinal == number
        assert "\n".join(one.text[part.start : part.end] for part in one.parts) == one.text
        for part in one.parts:
            start, end = part.place.span or (0, 0)
            assert bare(one.text[part.start : part.end]) in bare(text[start:end])


@settings(max_examples=50, deadline=None)
@given(DOCUMENTS)
def test_chunks_are_the_same_every_time(doc: object) -> None:
    first, second = chunk(doc), chunk(doc)  # type: ignore[arg-type]
    assert [one.digest for one in first] == [one.digest for one in second]


@given(st.text(max_size=200))
def test_sentences_cover_a_text_in_order(text: str) -> None:
    spans = sentence_spans(text)
    assert bare("".join(text[a:b] for a, b in spans)) == bare(text)
    assert all(one[1] <= other[0] for one, other in pairwise(spans))


def test_abbreviations_decimals_and_small_letters_end_no_sentence() -> None:
    text = 'Dr. Berg, e.g. No. 4, pays 3.5 per cent. It is due. "When?" she asked. In the U.S. it isn\'t.'
    assert [text[a:b] for a, b in sentence_spans(text)] == [
        "Dr. Berg, e.g. No. 4, pays 3.5 per cent.",
        "It is due.",
        '"When?" she asked.',
        "In the U.S. it isn't.",
    ]


def test_title_path_is_the_title_and_the_open_headings() -> None:
    doc = document(
        "d.md",
        [
            block("Leave", BlockKind.HEADING, level=1),
            block("Parents", BlockKind.HEADING, level=2),
            block("Eighteen weeks."),
            block("Travel", BlockKind.HEADING, level=2),
            block("By train."),
        ],
        title="Leave",
    )
    assert [(one.title_path, one.text) for one in chunk(doc)] == [
        (("Leave", "Parents"), "Eighteen weeks."),
        (("Leave", "Travel"), "By train."),
    ]


def test_a_heading_with_nothing_below_it_is_a_chunk() -> None:
    doc = document(
        "d.md", [block("Leave", BlockKind.HEADING, level=1), block("To do", BlockKind.HEADING, level=2)]
    )
    assert [(one.title_path, one.text) for one in chunk(doc)] == [(("Leave", "To do"), "To do")]


def test_a_list_stays_together_with_the_line_that_leads_to_it() -> None:
    filler = " ".join(["Words that fill the chunk up."] * 20)
    items = [block(f"Item number {at} of the list.", BlockKind.LIST_ITEM) for at in range(9)]
    chunks = chunk(document("d.md", [block(filler), block("Bring along:"), *items]))
    assert [one.text.split("\n")[0][:12] for one in chunks] == ["Words that f", "Bring along:"]
    assert len(chunks[1].parts) == 10


def test_a_table_has_its_own_chunks_with_its_short_lead_in() -> None:
    rows = [
        row("t", line, Region=f"Region {line}", Revenue=f"{line},000", Remark="as planned")
        for line in range(2, 30)
    ]
    chunks = chunk(document("d.xlsx", [block("Thousands of euros."), *rows, block("After the table.")]))
    assert chunks[0].text.startswith(
        "Thousands of euros.\nRegion: Region 2; Revenue: 2,000; Remark: as planned\n"
    )
    assert pieces("Thousands of euros.") <= LEAD_IN
    assert chunks[-1].text == "After the table."
    assert all(line.startswith("Region: ") for one in chunks[1:-1] for line in one.text.split("\n"))
    assert str(chunks[1].place).startswith("S!A")


def test_rows_of_two_tables_share_no_chunk() -> None:
    doc = document("d.xlsx", [row("a", 2, Name="one"), row("b", 9, Name="two")])
    assert [one.text for one in chunk(doc)] == ["Name: one", "Name: two"]


def test_a_row_too_long_for_a_chunk_is_cut_between_its_cells() -> None:
    values = {f"column{at}": "some words in a cell" for at in range(60)}
    chunks = chunk(document("d.xlsx", [row("t", 2, **values)]))
    cells = [cell.column for one in chunks for part in one.parts for cell in part.cells]
    assert len(chunks) > 1 and cells == list(values)
    assert all(one.text.startswith("column") for one in chunks)


def test_what_is_no_sentence_any_more_is_cut() -> None:
    chunks = chunk(document("d.txt", [block("x" * 20_000)]))
    assert len(chunks) > 1 and "".join(one.text for one in chunks) == "x" * 20_000


def test_lines_of_a_part_are_narrowed_where_the_text_has_them() -> None:
    code = "\n".join(f"value_{at} = compute(value_{at - 1}, {at})" for at in range(60))
    doc = document("d.py", [Block(kind=BlockKind.CODE, text=code, place=Place(lines=(10, 69)))])
    chunks = chunk(doc)
    assert len(chunks) > 1
    first, last = chunks[1].place.lines or (0, 0)
    assert code.split("\n")[first - 10 : last - 9] == chunks[1].text.split("\n")


def test_places_are_covered_by_the_smallest_range() -> None:
    places = [Place(sheet="S", cells="B2:C2"), Place(sheet="S", cells="A10")]
    assert covering(places).cells == "A2:C10"
    assert covering([Place(sheet="S", cells="B2"), Place(sheet="T", cells="B3")]) == Place()
