"""`index_base` with real files and real extraction: what is read, what is told, what the embedder does."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from cape.configuration import Configuration
from cape.knowledge.documents import ExtractedDocument, UnreadDocument
from cape.knowledge.extraction import SourceFile, extract_all
from cape.knowledge.index.errors import EmbedderChanged
from cape.knowledge.protocol import Embedder
from cape.lock import Lock
from cape.manifest import read_manifest
from cape.names import Digest, System
from cape.operations.indexing import IndexResult, index_base, index_status
from cape.operations.knowledge import (
    ChosenEmbedder,
    ModelUnavailable,
    choose_embedder,
    find_base,
    open_base,
    open_for_asking,
)
from cape.operations.project import Project, Workshop
from cape.sources.protocol import Artifact, LockedPackage
from cape.store import Store
from tests.knowledge.builders import HashEmbedder

MANIFEST = """\
schema = 1
[environment]
name = "manual"
systems = ["x86_64-linux"]
[models]
small = { pypi = "small-model", file = "*.onnx" }
[knowledge.manual]
sources = ["docs/**"]
embedder = "small"
"""
EVERYONE = frozenset({"everyone"})


class Reader:
    """Real extraction that remembers what it was asked to read."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def __call__(self, files: Iterable[tuple[str, Path]]) -> Iterator[ExtractedDocument | UnreadDocument]:
        listed = list(files)
        self.read += [path for path, _ in listed]
        return extract_all([SourceFile(path=path, file=file) for path, file in listed])


@pytest.fixture
def project(tmp_path: Path) -> Project:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "anchor.md").write_text("# Anchors\n\nThe anchor holds in sand.\n")
    (docs / "buoy.md").write_text("# Buoys\n\nThe buoy is yellow.\n")
    (tmp_path / "cape.toml").write_text(MANIFEST)
    return Project(tmp_path)


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(Configuration(), Store(tmp_path / "store"))


def index(
    project: Project,
    workshop: Workshop,
    *,
    embedder: Embedder | None = None,
    reader: Reader | None = None,
    **more: bool,
) -> IndexResult:
    base = find_base(read_manifest(project.manifest_path), None)
    chosen = ChosenEmbedder(embedder=embedder)
    return index_base(project, workshop, base, None, chosen=chosen, extract=reader or Reader(), **more)  # type: ignore[arg-type]


def at_rest(project: Project) -> None:
    """Let the files look as if nobody had touched them for long."""
    for file in (project.directory / "docs").iterdir():
        os.utime(file, ns=(10**18, 10**18))


def test_only_what_changed_is_read(project: Project, workshop: Workshop) -> None:
    at_rest(project)
    index(project, workshop)
    (project.directory / "docs/buoy.md").write_text("# Buoys\n\nThe buoy is red.\n")
    reader = Reader()
    result = index(project, workshop, reader=reader)
    assert reader.read == ["docs/buoy.md"]
    assert (result.changed, result.read) == (("docs/buoy.md",), 1)


def test_a_file_that_was_only_touched_is_not_extracted(project: Project, workshop: Workshop) -> None:
    index(project, workshop)
    at_rest(project)
    reader = Reader()
    assert not index(project, workshop, reader=reader, full=True).is_new
    assert reader.read == []


def test_a_file_replaced_with_its_old_times_is_seen(project: Project, workshop: Workshop) -> None:
    at_rest(project)
    index(project, workshop)
    file = project.directory / "docs/buoy.md"
    other = file.with_name(".other")
    other.write_text(file.read_text().replace("yellow", "orange"))
    os.utime(other, ns=(10**18, 10**18))
    os.replace(other, file)
    assert index(project, workshop).changed == ("docs/buoy.md",)


def test_a_rebuild_reads_everything(project: Project, workshop: Workshop) -> None:
    index(project, workshop)
    reader = Reader()
    index(project, workshop, reader=reader, rebuild=True)
    assert sorted(reader.read) == ["docs/anchor.md", "docs/buoy.md"]


def test_a_document_that_turns_bad_leaves_the_index_and_returns_when_it_is_mended(
    project: Project, workshop: Workshop
) -> None:
    index(project, workshop)
    file = project.directory / "docs/buoy.md"
    good = file.read_bytes()
    file.write_bytes(b"")
    result = index(project, workshop)
    assert result.removed == ("docs/buoy.md",)
    assert [one.path for one in result.unread] == ["docs/buoy.md"]
    file.write_bytes(good)
    assert index(project, workshop).unread == ()


def test_an_index_of_another_embedder_is_refused_for_indexing(project: Project, workshop: Workshop) -> None:
    index(project, workshop, embedder=HashEmbedder())
    with pytest.raises(EmbedderChanged) as caught:
        index(project, workshop, embedder=HashEmbedder(seed="other"))
    assert "cape index manual --rebuild" in (caught.value.hint or "")
    assert index(project, workshop, embedder=HashEmbedder(seed="other"), rebuild=True).embedded == 2


class Absent(HashEmbedder):
    """A model whose files cannot be had."""

    def embed(self, texts: object) -> object:  # type: ignore[override]
        raise ModelUnavailable("the model `small` is not here")


def test_a_model_that_cannot_be_had_leaves_words_and_later_adds_vectors(
    project: Project, workshop: Workshop
) -> None:
    result = index(project, workshop, embedder=Absent())
    assert "searching by words alone: the model `small` is not here" in result.notes
    assert not result.has_vectors
    later = index(project, workshop, embedder=HashEmbedder())
    assert later.has_vectors and later.embedded == 2 and later.read == 0


def test_vectors_are_kept_while_the_model_is_away(project: Project, workshop: Workshop) -> None:
    """An edit meanwhile is searched by words; with the model back, just it is embedded."""
    index(project, workshop, embedder=HashEmbedder())
    (project.directory / "docs/buoy.md").write_text("# Buoys\n\nThe buoy is red.\n")
    assert not index(project, workshop, embedder=Absent()).has_vectors
    assert index(project, workshop, embedder=HashEmbedder()).embedded == 1


def model_row(part: str) -> LockedPackage:
    return LockedPackage(
        source="model",
        name=f"{part}-package",
        version="1",
        systems=(System.current(),),
        artifact=Artifact(
            digest=Digest.of(part.encode()), size_bytes=1, registry="pypi", location=f"{part}/1"
        ),
        placement="small",
        attributes={part: f"x/{part}.bin", f"{part}-digest": str(Digest.of(b"bytes"))},
    )


def test_asking_with_another_embedder_in_the_lock_is_refused(project: Project, workshop: Workshop) -> None:
    index(project, workshop, embedder=HashEmbedder())
    base = find_base(read_manifest(project.manifest_path), "manual")
    lock = Lock(packages=(model_row("file"), model_row("tokenizer")))
    with (
        pytest.raises(EmbedderChanged, match="was built with the embedder"),
        open_for_asking(project, base, lock, workshop),
    ):
        pass


def test_asking_without_the_model_says_so(project: Project, workshop: Workshop) -> None:
    index(project, workshop)
    base = find_base(read_manifest(project.manifest_path), "manual")
    with open_for_asking(project, base, None, workshop) as asked:
        assert asked.embedder is None
        assert asked.notes == ("searching by words alone: the model `small` is not locked: run `cape lock`",)
        assert asked.index.search_words("anchor", EVERYONE, 3)
    lock = Lock(packages=(model_row("file"), model_row("tokenizer")))
    with open_for_asking(project, base, lock, workshop) as asked:
        assert asked.embedder is None and "`cape index manual` adds them" in asked.notes[0]


def test_a_model_without_a_tokenizer_is_named(project: Project, workshop: Workshop) -> None:
    base = find_base(read_manifest(project.manifest_path), "manual")
    chosen = choose_embedder(project, base, Lock(packages=(model_row("file"),)), workshop)
    assert chosen.embedder is None and "has no tokenizer" in (chosen.note or "")


def test_a_locked_model_that_is_nowhere_is_told(project: Project, workshop: Workshop) -> None:
    base = find_base(read_manifest(project.manifest_path), "manual")
    lock = Lock(packages=(model_row("file"), model_row("tokenizer")))
    chosen = choose_embedder(project, base, lock, workshop)
    assert chosen.embedder is not None
    with pytest.raises(ModelUnavailable) as caught:
        chosen.embedder.embed(["text"])
    assert caught.value.hint == "run `cape sync`"


def test_access_that_is_newer_than_the_index_holds(project: Project, workshop: Workshop) -> None:
    project.manifest_path.write_text(MANIFEST + 'access = "access.toml"\n')
    policy = project.directory / "access.toml"
    policy.write_text('default = "everyone"\n')
    index(project, workshop)
    base = find_base(read_manifest(project.manifest_path), "manual")
    with open_base(project, base) as opened:
        assert opened.count(EVERYONE) == 2
    policy.write_text('[[rules]]\ndocuments = ["docs/anchor.md"]\ngroups = ["everyone"]\n')
    with open_base(project, base) as opened:
        assert opened.documents(EVERYONE) == ["docs/anchor.md"]
    assert index_status(project, workshop, base, None).access_changed


def test_a_new_version_of_an_extractor_reads_its_documents_again(
    project: Project, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cape.knowledge.extraction import formats

    index(project, workshop)
    monkeypatch.setattr(formats, "RULES", formats.RULES + 1)
    base = find_base(read_manifest(project.manifest_path), "manual")
    assert index_status(project, workshop, base, None).recipe[:1] == ("extractor",)
    reader = Reader()
    index(project, workshop, reader=reader)
    assert sorted(reader.read) == ["docs/anchor.md", "docs/buoy.md"]
