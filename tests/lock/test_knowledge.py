"""Rows of knowledge bases: they survive writing and locking, make no lock stale, and merges are told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cape.errors import CapeError
from cape.lock import (
    Lock,
    LockedDocument,
    LockedKnowledge,
    document_line,
    identity,
    knowledge_line,
    parse_lock,
    render_lock,
    with_knowledge,
)
from cape.names import Digest, System
from tests.lock.test_text import a_lock

LOCKFILE = Path("cape.lock")


def base(name: str, *, documents: int, index: bytes = b"index") -> LockedKnowledge:
    parts = (("extractor", "e 1"), ("embedder", "none"))
    return LockedKnowledge(
        name=name,
        parts=parts,
        index=Digest.of(index),
        access=Digest.of(b"access"),
        documents=documents,
        chunks=9,
    )


def a_document(name: str, path: str, content: bytes = b"text", *, keyed: bool = False) -> LockedDocument:
    return LockedDocument(base=name, path=path, digest=Digest.of(content), size_bytes=4, keyed=keyed)


def with_rows(**changes: object) -> Lock:
    documents = (
        a_document("one", "ä b.md"),
        a_document("one", "c.md", keyed=True),
        a_document("two", "c.md"),
    )
    rows = {"knowledge": (base("one", documents=2), base("two", documents=1)), "documents": documents}
    return replace(a_lock(), **{**rows, **changes})  # type: ignore[arg-type]


def test_rows_survive_writing_and_reading() -> None:
    lock = with_rows()
    assert parse_lock(render_lock(lock), path=LOCKFILE) == lock


def test_no_environment_depends_on_them() -> None:
    for system in a_lock().systems:
        assert identity(with_rows(), system, layout_version=1) == identity(a_lock(), system, layout_version=1)
    assert System.X86_64_LINUX in a_lock().systems


def test_replacing_the_rows_of_a_base_is_writing_the_lock_that_has_them() -> None:
    lock = with_rows()
    new = base("one", documents=1, index=b"other")
    document = a_document("one", "new.md")
    text = with_knowledge(
        render_lock(lock), "one", [knowledge_line(new), document_line(document)], known=["one", "two"]
    )
    wanted = with_rows(
        knowledge=(new, base("two", documents=1)), documents=(document, a_document("two", "c.md"))
    )
    assert text == render_lock(wanted)


def test_rows_of_bases_that_the_manifest_has_no_more_go() -> None:
    text = with_knowledge(render_lock(with_rows()), "two", [], known=["two"])
    assert text == render_lock(a_lock())


@pytest.mark.parametrize(
    "other",
    [
        with_rows(knowledge=(base("one", documents=2, index=b"other"), base("two", documents=1))),
        with_rows(documents=(a_document("one", "c.md", b"other"), a_document("two", "c.md"))),
        with_rows(knowledge=(base("two", documents=1),), documents=(a_document("two", "c.md"),)),
    ],
)
def test_a_base_that_both_sides_of_a_merge_changed_is_left_out_and_named(other: Lock) -> None:
    ours, theirs = render_lock(with_rows()).splitlines(), render_lock(other).splitlines()
    only = {
        "ours": [line for line in ours if line not in theirs],
        "theirs": [line for line in theirs if line not in ours],
    }
    both = [line for line in ours if line in theirs]
    merged = parse_lock("\n".join([*both, *only["ours"], *only["theirs"], ""]), path=LOCKFILE)
    if only["theirs"]:
        assert merged.unsettled_knowledge == {"one"}
        assert [one.name for one in merged.knowledge] == ["two"]
        assert {one.base for one in merged.documents} == {"two"}
    assert not merged.unsettled


@pytest.mark.parametrize(
    ("key", "value"),
    [("size", "4"), ("sha256", "12"), ("path", None), ("more", 1), ("base", 3)],
)
def test_a_bad_row_is_refused_with_its_line(key: str, value: object) -> None:
    row = json.loads(document_line(a_document("one", "a.md")))
    row[key] = value
    text = render_lock(a_lock()) + json.dumps(row) + "\n"
    with pytest.raises(CapeError) as caught:
        parse_lock(text, path=LOCKFILE)
    assert (caught.value.where or "").startswith("cape.lock:")
