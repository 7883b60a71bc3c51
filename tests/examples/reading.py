"""The text of the example's documents, read without cape's own extraction: an independent second way."""

from __future__ import annotations

import email
import email.policy
import html
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

HANDBOOK = Path(__file__).resolve().parents[2] / "examples" / "handbook"
DOCUMENTS = HANDBOOK / "documents"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """A document's text with single spaces, its sentences (a row of a table is one), and its cells."""

    text: str
    sentences: tuple[str, ...]
    cells: dict[str, str] = field(default_factory=dict)
    pages: int = 1


def fold(text: str) -> str:
    return " ".join(text.split()).casefold()


def of_lines(text: str, *, pages: int = 1) -> Reading:
    """A reading whose rows are lines with `|` or commas, and whose other lines run on."""
    rows = [line for line in text.splitlines() if line.lstrip().startswith("|")]
    prose = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("|"))
    stretches = re.split(r"\n\s*\n|\n(?=\s*(?:[-#>]|\d+\.) ?)", prose)
    sentences = [part for stretch in stretches for part in re.split(r"(?<=[.!?])\s+", stretch)]
    return Reading(text=fold(text), sentences=tuple(map(fold, [*rows, *sentences])), pages=pages)


@cache
def reading(path: str) -> Reading:
    """The reading of a document, by its path relative to the example."""
    file = HANDBOOK / path
    match file.suffix:
        case ".xlsx":
            return of_workbook(file)
        case ".pdf" | ".docx":
            return of_binary(file)
        case ".eml":
            return of_message(file)
        case ".html":
            return of_html(file.read_text(encoding="utf-8"))
        case ".csv":
            lines = file.read_text(encoding="utf-8").splitlines()
            return Reading(text=fold("\n".join(lines)), sentences=tuple(map(fold, lines)))
        case _:
            return of_lines(file.read_text(encoding="utf-8"))


def of_html(text: str) -> Reading:
    text = re.sub(r"(?s)<(script|style|nav|head)\b.*?</\1>", " ", text)
    text = re.sub(r"</t[hd]>\s*<t[hd]>", " | ", text.replace("<tr>", "\n\n| "))
    text = re.sub(r"</?(?:p|h\d|li|ul|table|tr|div|br)\b[^>]*>", "\n\n", text)
    return of_lines(html.unescape(re.sub(r"<[^>]+>", " ", text)))


def of_message(file: Path) -> Reading:
    message = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
    texts = [str(message["subject"]), str(message["from"]), str(message["date"])]
    for part in message.walk():
        if part.get_content_maintype() == "text":
            content = part.get_content()
            texts.append(of_html(content).text if part.get_content_subtype() == "html" else content)
    return of_lines("\n\n".join(texts))


def of_binary(file: Path) -> Reading:
    """A PDF's or DOCX's text by kreuzberg; a PDF's lines run on."""
    kreuzberg = pytest.importorskip("kreuzberg", reason="kreuzberg reads PDF and DOCX here")
    text = kreuzberg.extract_file_sync(str(file)).content
    pages = len(re.findall(rb"/Type /Page\b(?!s)", file.read_bytes())) or 1
    return of_lines(text, pages=pages)


def of_workbook(file: Path) -> Reading:
    """The cells' cached values as a reader sees them, by `Sheet!A1`; a sentence is a row."""
    import openpyxl

    cells, rows = {}, []
    for sheet in openpyxl.load_workbook(file, data_only=True):
        for row in sheet.iter_rows():
            filled = [(cell.coordinate, shown(cell.value, cell.number_format)) for cell in row]
            cells.update({f"{sheet.title}!{at}": text for at, text in filled})
            rows.append(" | ".join(text for _, text in filled))
    return Reading(text=fold("\n".join(rows)), sentences=tuple(map(fold, rows)), cells=cells)


def shown(value: object, number_format: str) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and number_format == "0.0%":
        return f"{value:.1%}"
    return f"{value:,}" if isinstance(value, int) and number_format == "#,##0" else str(value)
