"""Worker processes: a parser that crashes, hangs or eats memory costs one document, never the run."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.errors import StateError
from cape.knowledge.documents import Block, BlockKind, Cell, ExtractedDocument, Place, UnreadDocument
from cape.knowledge.extraction import (
    DEFAULT_LIMITS,
    KnowledgeNotInstalled,
    SourceFile,
    extract,
    extract_all,
    extractor_for,
)
from cape.knowledge.extraction.isolation import WorkerNotStarted
from cape.knowledge.extraction.limits import MIB
from cape.knowledge.extraction.missing import load, version_of
from cape.knowledge.extraction.wire import BadReply, from_bytes, to_bytes
from cape.names import Digest
from tests.knowledge.extraction.making import docx, lines_at, paragraph, pdf, xlsx

SLOW = b"<!--" * 100_000
"""A page that the HTML parser needs minutes for: it looks for the end of each comment."""


def written(directory: Path, **files: bytes) -> list[SourceFile]:
    sources = []
    for name, data in files.items():
        path = name.replace("__", ".")
        (directory / path).write_bytes(data)
        sources.append(SourceFile(path, directory / path))
    return sources


def some_documents(directory: Path) -> list[SourceFile]:
    return written(
        directory,
        a__md=b"# Title\n\ntext\n",
        b__pdf=pdf([lines_at(57, 700, 10, ["Some text in a PDF."])]),
        c__docx=docx(paragraph("text")),
        d__xlsx=xlsx(Data=[["Region", "Value"], ["North", 1]]),
        e__eml=b"Subject: Hi\n\ntext\n",
        f__bin=b"?",
        g__pdf=b"broken",
        h__txt="caf\u00e9 ".encode() * 60_000,
    )


def children() -> set[int]:
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        found |= {int(number) for number in (task / "children").read_text().split()}
    return found


def processor_seconds(process: int) -> float:
    """How long a process has run; starting takes a worker a fraction of a second."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_give_what_reading_here_gives(tmp_path: Path, workers: int) -> None:
    sources = some_documents(tmp_path)
    here = {source.path: extract(source.path, source.file) for source in sources}
    assert {found.path: found for found in extract_all(sources, workers=workers)} == here


def test_many_small_files_are_each_read_once(tmp_path: Path) -> None:
    sources = []
    for number in range(600):
        file = tmp_path / f"{number}.md"
        file.write_text(f"# Title {number}\n")
        sources.append(SourceFile(file.name, file))
    found = list(extract_all(sources))
    titles = [item.title for item in found if isinstance(item, ExtractedDocument)]
    assert sorted(titles) == sorted(f"Title {number}" for number in range(600))


def test_no_files_start_no_worker() -> None:
    assert list(extract_all([])) == []


def test_a_parser_that_hangs_costs_its_document(tmp_path: Path) -> None:
    sources = [*written(tmp_path, slow__html=SLOW), *some_documents(tmp_path)]
    limits = replace(DEFAULT_LIMITS, seconds=1)
    found = {item.path: item for item in extract_all(sources, workers=1, limits=limits)}
    assert found["slow.html"] == UnreadDocument(
        path="slow.html", digest=Digest.of(SLOW), reason="could not be read within 1 s"
    )
    assert isinstance(found["d.xlsx"], ExtractedDocument)
    assert len(found) == len(sources)


def test_a_parser_that_eats_memory_costs_its_document(tmp_path: Path) -> None:
    hungry = docx(paragraph("words that differ ") * 200_000)
    sources = [*written(tmp_path, hungry__docx=hungry), *some_documents(tmp_path)]
    limits = replace(DEFAULT_LIMITS, memory_bytes=60 * MIB)
    found = {item.path: item for item in extract_all(sources, workers=1, limits=limits)}
    assert found["hungry.docx"] == UnreadDocument(
        path="hungry.docx", digest=Digest.of(hungry), reason="needs more memory than one document may take"
    )
    assert isinstance(found["c.docx"], ExtractedDocument)
    assert len(found) == len(sources)


def test_a_parser_that_crashes_costs_its_document(tmp_path: Path) -> None:
    sources = [*written(tmp_path, slow__html=SLOW), *some_documents(tmp_path)]
    before = children()

    def crash() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for child in children() - before:
                if processor_seconds(child) > 1.5:
                    os.kill(child, signal.SIGSEGV)
                    return
            time.sleep(0.05)

    killer = threading.Thread(target=crash)
    killer.start()
    found = {item.path: item for item in extract_all(sources, workers=1)}
    killer.join()
    assert found["slow.html"] == UnreadDocument(
        path="slow.html", digest=Digest.of(SLOW), reason="could not be read: what reads it crashed (SIGSEGV)"
    )
    assert isinstance(found["b.pdf"], ExtractedDocument)
    assert len(found) == len(sources)


def test_a_worker_that_dies_after_other_documents_is_not_held_against_the_next(tmp_path: Path) -> None:
    sources = written(
        tmp_path,
        **{f"d{number}__pdf": pdf([lines_at(57, 700, 10, [f"Text {number}."])]) for number in range(30)},
    )
    before = children()
    results = extract_all(sources, workers=1)
    found = [next(results)]
    for child in children() - before:
        os.kill(child, signal.SIGKILL)
    found += results
    assert sorted(item.path for item in found) == sorted(source.path for source in sources)
    assert all(isinstance(item, ExtractedDocument) for item in found)


def test_workers_that_cannot_start_are_an_error_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = some_documents(tmp_path)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(WorkerNotStarted, match="ended with code 1 before it began"):
        list(extract_all(sources))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    with pytest.raises(WorkerNotStarted, match="cannot be started: No such file"):
        list(extract_all(sources))


def test_closing_early_ends_the_workers(tmp_path: Path) -> None:
    before = children()
    sources = [*some_documents(tmp_path), *written(tmp_path, slow__html=SLOW)]
    results = extract_all(sources)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert children() == before


def test_a_module_in_the_directory_at_hand_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "email.py").write_text("raise SystemExit('taken over')")
    monkeypatch.chdir(tmp_path)
    (found,) = extract_all(written(tmp_path, a__eml=b"Subject: Hi\n\ntext\n"))
    assert isinstance(found, ExtractedDocument)


def test_the_extractor_names_its_packages_with_versions() -> None:
    assert extractor_for("a/b.PDF") == f"cape-pdf 2 (pypdfium2 {version_of('pypdfium2')})"
    assert extractor_for("a.txt") == "cape-text 2"
    assert extractor_for("a.xyz") == "none 2"


def test_a_missing_package_says_what_to_install() -> None:
    with pytest.raises(KnowledgeNotInstalled, match="`no-such-package` is not installed") as caught:
        version_of("no-such-package")
    assert isinstance(caught.value, StateError)
    assert caught.value.hint == "install `cape[knowledge]`"
    with pytest.raises(KnowledgeNotInstalled):
        load("no_such_module", "no-such-package")


line_pairs = st.none() | st.tuples(st.integers(1, 9), st.integers(1, 9))
places = st.builds(
    Place,
    page=st.none() | st.integers(1, 99),
    lines=line_pairs,
    sheet=st.none() | st.text(),
    cells=st.none() | st.text(),
    span=line_pairs,
)
cells = st.builds(Cell, column=st.text(), text=st.text(), place=places)
blocks = st.builds(
    Block,
    kind=st.sampled_from(BlockKind),
    text=st.text(),
    place=places,
    level=st.integers(0, 6),
    cells=st.lists(cells, max_size=2).map(tuple),
    table=st.text(),
)
documents = st.builds(
    ExtractedDocument,
    path=st.text(),
    digest=st.binary().map(Digest.of),
    size_bytes=st.integers(0),
    title=st.text(),
    blocks=st.lists(blocks, max_size=3).map(tuple),
    extractor=st.text(),
    notes=st.lists(st.text(), max_size=2).map(tuple),
)


@settings(max_examples=60)
@given(documents | st.builds(UnreadDocument, path=st.text(), digest=st.none(), reason=st.text()))
def test_what_a_worker_says_comes_through_unchanged(said: ExtractedDocument | UnreadDocument) -> None:
    assert from_bytes(to_bytes(said)) == said


@settings(max_examples=60)
@given(st.binary() | st.sampled_from([b"{}", b"[]", b"null", b'{"reason":1}', b'{"blocks":[[1]]}']))
def test_other_words_from_a_worker_are_refused(said: bytes) -> None:
    with pytest.raises(BadReply):
        from_bytes(said)
