"""What is broken, encrypted, huge or hostile is told in a sentence, and never raises."""

from __future__ import annotations

import io
import os
import threading
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.knowledge.documents import BlockKind, ExtractedDocument, UnreadDocument
from cape.knowledge.extraction import DEFAULT_LIMITS, SourceFile, extract, extract_all
from cape.knowledge.extraction.decoding import decode
from cape.knowledge.extraction.limits import MIB
from cape.knowledge.extraction.reading import Unreadable
from cape.names import Digest
from tests.knowledge.extraction.making import (
    archive,
    document,
    docx,
    lines_at,
    paragraph,
    pdf,
    texts,
    unread,
    xlsx,
)

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 500


@pytest.mark.parametrize(
    ("data", "text", "note"),
    [
        ("Gdańsk".encode(), "Gdańsk", None),
        ("\ufeffGdańsk".encode(), "Gdańsk", None),
        ("Gdańsk\n".encode("utf-16"), "Gdańsk", None),
        ("Gdańsk\n".encode("utf-32"), "Gdańsk", None),
        ("Gdańsk is far\n".encode("utf-16-le"), "Gdańsk is far", "no byte order mark; read as UTF-16-LE"),
        ("Gdańsk is far\n".encode("utf-16-be"), "Gdańsk is far", "no byte order mark; read as UTF-16-BE"),
        (
            "Zoë says “no”".encode("cp1252"),
            "Zoë says “no”",
            "not UTF-8 (first at line 1); it was read as Windows-1252",
        ),
        ("one\nZoë\n".encode("latin-1"), "one Zoë", "not UTF-8 (first at line 2)"),
        (
            "Gdańsk\n\n".encode() + "Zoë".encode("latin-1"),
            "Gdańsk Zoë",
            "lines that are not UTF-8 were read as",
        ),
        (b"nul\0byte " * 3 + b"text " * 500, None, "its NUL bytes were left out"),
        (b"\xff\xfea\0b\0c", "ab\ufffd", "not all of it is"),
    ],
)
def test_encodings_are_found_out_or_noted(
    tmp_path: Path, data: bytes, text: str | None, note: str | None
) -> None:
    found = document(tmp_path, "a.txt", data)
    if text is not None:
        assert " ".join(texts(found)) == text
    assert (note is None and found.notes == ()) or any(note in said for said in found.notes if note)


@pytest.mark.parametrize(
    "data", [os.urandom(20) + b"\0" * 4000, bytes(range(128, 256)) + bytes(range(32)) * 20]
)
def test_a_file_that_is_no_text_is_not_read(tmp_path: Path, data: bytes) -> None:
    assert "is not text" in unread(tmp_path, "a.txt", data).reason


@settings(max_examples=200)
@given(st.binary(max_size=400))
def test_any_bytes_are_text_or_are_refused(data: bytes) -> None:
    try:
        text, _ = decode(data)
    except Unreadable:
        return
    assert "\r" not in text


def test_a_file_of_no_bytes_is_told_with_its_digest(tmp_path: Path) -> None:
    found = unread(tmp_path, "a.pdf", b"")
    assert found.reason == "is empty: it has 0 bytes"
    assert found.digest == Digest.of(b"")


def test_an_unknown_format_is_told(tmp_path: Path) -> None:
    assert unread(tmp_path, "a.xyz", b"text").reason == "is of a format that cape does not read"


def test_a_file_above_the_limit_is_not_read(tmp_path: Path) -> None:
    found = unread(tmp_path, "a.txt", b"x" * 3 * MIB, replace(DEFAULT_LIMITS, file_bytes=2 * MIB))
    assert found.reason == "is too large: 3.0 MiB, the limit is 2.0 MiB"
    assert found.digest is None


def test_of_a_huge_text_the_beginning_is_read(tmp_path: Path) -> None:
    data = b"a line\n" * 10_000
    found = document(tmp_path, "a.log", data, replace(DEFAULT_LIMITS, text_chars=70))
    assert len(found.blocks) == 10
    assert found.notes == ("only its first 10 lines were read: the text is too long",)
    assert found.digest == Digest.of(data)


def test_a_spreadsheet_of_a_million_rows_is_bounded_in_time_and_memory(tmp_path: Path) -> None:
    small = io.BytesIO(xlsx(Data=[["Reading", "Value"]]))
    row = b'<row><c t="inlineStr"><is><t>north</t></is></c><c><v>1.5</v></c></row>'
    made = io.BytesIO()
    with zipfile.ZipFile(small) as source, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            data = source.read(name)
            if name == "xl/worksheets/sheet1.xml":
                data = data.replace(b"</sheetData>", row * 1_000_000 + b"</sheetData>")
            target.writestr(name, data)
    file = tmp_path / "million.xlsx"
    file.write_bytes(made.getvalue())
    limits = replace(DEFAULT_LIMITS, rows=2000, memory_bytes=150 * MIB, seconds=20)
    (found,) = extract_all([SourceFile("million.xlsx", file)], limits=limits)
    assert isinstance(found, ExtractedDocument), found
    assert len(texts(found, BlockKind.ROW)) == 1999
    assert found.notes == ("only the first 2,000 rows of its sheet `Data` were read",)


def test_a_csv_of_many_rows_is_bounded(tmp_path: Path) -> None:
    data = b"name,value\n" + b"a,1\n" * 5000
    found = document(tmp_path, "a.csv", data, replace(DEFAULT_LIMITS, rows=100))
    assert len(found.blocks) == 99
    assert found.notes == ("only its first 100 rows were read",)


@pytest.mark.parametrize("name", ["a.docx", "a.xlsx"])
def test_a_zip_bomb_is_refused_before_it_inflates(tmp_path: Path, name: str) -> None:
    data = archive({"word/document.xml": bytes(70 * MIB), "xl/workbook.xml": "<a/>"})
    assert "a part of it inflates" in unread(tmp_path, name, data).reason
    limits = replace(DEFAULT_LIMITS, inflated_bytes=MIB)
    many = archive({f"part{number}.xml": os.urandom(1000) * 100 for number in range(20)})
    assert "it would inflate to 1.9 MiB in 20 parts" in unread(tmp_path, name, many, limits).reason


BOMB = '<!DOCTYPE d [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'


def test_xml_that_defines_entities_is_refused(tmp_path: Path) -> None:
    assert "defines a document type" in unread(tmp_path, "a.docx", docx(paragraph("&b;"), prolog=BOMB)).reason
    utf16 = f'<?xml version="1.0" encoding="utf-16"?>{BOMB}<d>&b;</d>'.encode("utf-16")
    assert (
        "defines a document type" in unread(tmp_path, "b.docx", archive({"word/document.xml": utf16})).reason
    )
    late = f"<!--{'x' * 100_000}-->{BOMB}"
    assert "defines a document type" in unread(tmp_path, "c.docx", docx(paragraph("&b;"), prolog=late)).reason
    with zipfile.ZipFile(io.BytesIO(xlsx(A=[["x"]]))) as source:
        members: dict[str, str | bytes] = {name: source.read(name) for name in source.namelist()}
    members["xl/styles.xml"] = late.encode() + bytes(members["xl/styles.xml"]).split(b"?>", 1)[-1]
    assert "defines a document type" in unread(tmp_path, "a.xlsx", archive(members)).reason


@pytest.mark.parametrize("name", ["a.docx", "a.xlsx"])
def test_encrypted_office_files_say_so(tmp_path: Path, name: str) -> None:
    assert unread(tmp_path, name, OLE + "EncryptedPackage".encode("utf-16-le")).reason == "is encrypted"
    assert "old binary Office format" in unread(tmp_path, name, OLE).reason


@pytest.mark.parametrize("name", ["a.docx", "a.xlsx"])
def test_broken_office_files_say_so(tmp_path: Path, name: str) -> None:
    whole = docx(paragraph("text")) if name == "a.docx" else xlsx(A=[["x", 1]])
    for data in (b"PK\x03\x04", whole[: len(whole) // 2], archive({"other.xml": "<a/>"}), b"text"):
        assert unread(tmp_path, name, data).reason.startswith(("is broken", "could not be read"))
    assert "is not XML" in unread(tmp_path, "b.docx", docx("<w:p>")).reason


def test_an_encrypted_pdf_says_so(tmp_path: Path) -> None:
    data = pdf([lines_at(57, 700, 10, ["text"])], encrypted=True)
    assert unread(tmp_path, "a.pdf", data).reason == "is encrypted"


def test_a_truncated_pdf_is_read_as_far_as_it_goes_or_told(tmp_path: Path) -> None:
    whole = pdf([lines_at(57, 700, 10, ["Some text that can be seen."]) for _ in range(20)])
    for part in range(1, 20):
        data = whole[: len(whole) * part // 20]
        (tmp_path / "a.pdf").write_bytes(data)
        found = extract("a.pdf", tmp_path / "a.pdf")
        if isinstance(found, UnreadDocument):
            assert found.reason.startswith(("is broken", "has no text")), found
        else:
            assert "its end is missing; what could be recovered was read" in found.notes
    assert unread(tmp_path, "b.pdf", b"%PDF-1.7\nnothing").reason == "is broken: it is no whole PDF"


def test_a_pdf_of_pictures_says_that_it_has_no_text(tmp_path: Path) -> None:
    assert unread(tmp_path, "a.pdf", pdf([[], []])).reason.startswith("has no text")
    found = document(tmp_path, "b.pdf", pdf([[], lines_at(57, 700, 10, ["text on a page"])]))
    assert found.notes == ("1 of its 2 pages have no text (1)",)


@pytest.mark.parametrize("name", ["a.pdf", "a.docx", "a.xlsx", "a.eml", "a.html", "a.md", "a.csv", "a.py"])
def test_random_bytes_raise_nothing(tmp_path: Path, name: str) -> None:
    for data in (
        os.urandom(3000),
        b"PK\x03\x04" + os.urandom(300),
        b"%PDF-1.4\n" + os.urandom(300),
        b"\n",
        b"<",
    ):
        (tmp_path / name).write_bytes(data)
        extract(name, tmp_path / name)


def test_a_mail_without_head_lines_is_told(tmp_path: Path) -> None:
    assert "none of a mail's head lines" in unread(tmp_path, "a.eml", b"just text\n").reason


def test_a_file_that_changes_while_it_is_read_is_told(tmp_path: Path) -> None:
    """A second thread appends all the time; some reading of a large file meets it within a second or two."""
    file = tmp_path / "a.log"
    file.write_bytes(b"a line\n" * 2_000_000)
    ended = threading.Event()

    def append() -> None:
        with open(file, "ab", buffering=0) as stream:
            while not ended.is_set():
                stream.write(b"more\n")
                time.sleep(0.001)

    writer = threading.Thread(target=append)
    writer.start()
    changed = UnreadDocument(path="a.log", digest=None, reason="changed while it was read")
    deadline = time.monotonic() + 60
    try:
        found = extract("a.log", file, replace(DEFAULT_LIMITS, text_chars=100))
        while found != changed and time.monotonic() < deadline:
            found = extract("a.log", file, replace(DEFAULT_LIMITS, text_chars=100))
    finally:
        ended.set()
        writer.join()
    assert found == changed


def test_the_digest_is_of_the_bytes_that_were_read(tmp_path: Path) -> None:
    data = docx(paragraph("text"))
    found = document(tmp_path, "a.docx", data)
    assert (found.digest, found.size_bytes) == (Digest.of(data), len(data))


def test_what_is_no_regular_file_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "zero.txt").symlink_to("/dev/zero")
    (tmp_path / "directory.txt").mkdir()
    (tmp_path / "gone.txt").symlink_to("nowhere")
    reasons = {
        name: extract(f"{name}.txt", tmp_path / f"{name}.txt")
        for name in ("pipe", "zero", "directory", "gone")
    }
    assert {name: found.reason for name, found in reasons.items() if isinstance(found, UnreadDocument)} == {
        "pipe": "is a named pipe, not a file",
        "zero": "is a device, not a file",
        "directory": "is a directory, not a file",
        "gone": "cannot be opened: No such file or directory",
    }


def test_a_file_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"text")
    file.chmod(0)
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        found = extract("a.txt", file)
    finally:
        os.seteuid(before)
    assert found == UnreadDocument(path="a.txt", digest=None, reason="cannot be opened: Permission denied")
