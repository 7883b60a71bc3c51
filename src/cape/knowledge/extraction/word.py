"""DOCX, read from its XML: headings, list items, tables, and page numbers where the last writer left them.

Text that was deleted with changes tracked, fields' codes and comments are not part of what a reader sees.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Iterator

from cape.knowledge.addresses import column_letters
from cape.knowledge.documents import BlockKind
from cape.knowledge.extraction.archive import member_xml, open_office
from cape.knowledge.extraction.assembly import Assembly
from cape.knowledge.extraction.limits import Limits
from cape.knowledge.extraction.reading import Unreadable
from cape.knowledge.extraction.tables import GridCell, head_rows, headings

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_STRICT = "{http://purl.oclc.org/ooxml/wordprocessingml/main}"
_TITLE = "{http://purl.org/dc/elements/1.1/}title"
_MC_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_SKIPPED = frozenset((f"{_W}del", f"{_W}moveFrom", f"{_W}instrText", f"{_W}delText", _MC_FALLBACK))
_WRAPPERS = frozenset(f"{_W}{name}" for name in ("sdt", "sdtContent", "ins", "moveTo", "customXml"))
_MOST_HEADERS = 20


def extract_word(data: bytes, assembly: Assembly, limits: Limits) -> None:
    """The blocks of a DOCX. Raises `Unreadable`."""
    with open_office(data, limits) as archive:
        document = member_xml(archive, "word/document.xml")
        if document is None:
            raise Unreadable("is broken: it holds no document")
        if document.tag.startswith(_STRICT):
            _use_transitional_names(document)
        styles = _Styles(member_xml(archive, "word/styles.xml"))
        properties = member_xml(archive, "docProps/core.xml")
        notes = member_xml(archive, "word/footnotes.xml")
        headers = _headers(archive)
    if properties is not None:
        assembly.title = properties.findtext(_TITLE) or ""
    reader = _Reader(assembly, styles, limits, has_pages=_has_pages(document))
    for header in headers:
        reader.add_header(header)
    body = document.find(f"{_W}body")
    if body is not None:
        reader.read(body)
    if notes is not None:
        reader.add_footnotes(notes)


def _headers(archive: zipfile.ZipFile) -> list[ElementTree.Element]:
    """What stands at the top of the pages, of each section."""
    names = sorted(name for name in archive.namelist() if re.fullmatch(r"word/header\d+\.xml", name))
    found = [member_xml(archive, name) for name in names[:_MOST_HEADERS]]
    return [header for header in found if header is not None]


def _use_transitional_names(root: ElementTree.Element) -> None:
    for element in root.iter():
        if isinstance(element.tag, str) and element.tag.startswith(_STRICT):
            element.tag = _W + element.tag[len(_STRICT) :]
        for name in [name for name in element.attrib if name.startswith(_STRICT)]:
            element.attrib[_W + name[len(_STRICT) :]] = element.attrib.pop(name)


def _has_pages(document: ElementTree.Element) -> bool:
    return document.find(f".//{_W}lastRenderedPageBreak") is not None


class _Styles:
    """What a paragraph's style makes of it: a title, a heading of a level, or a list item."""

    def __init__(self, root: ElementTree.Element | None) -> None:
        self._names: dict[str, str] = {}
        self._parents: dict[str, str] = {}
        self._outlines: dict[str, int] = {}
        self._lists: set[str] = set()
        for style in () if root is None else root.iter(f"{_W}style"):
            self._add(style, style.get(f"{_W}styleId", ""))

    def _add(self, style: ElementTree.Element, key: str) -> None:
        self._names[key] = _value(style, "name").lower()
        self._parents[key] = _value(style, "basedOn")
        outline = style.find(f"{_W}pPr/{_W}outlineLvl")
        if outline is not None and outline.get(f"{_W}val", "").isdecimal():
            self._outlines[key] = int(outline.get(f"{_W}val", "9"))
        if style.find(f"{_W}pPr/{_W}numPr") is not None:
            self._lists.add(key)

    def _chain(self, key: str) -> Iterator[str]:
        for _ in range(20):
            if not key:
                return
            yield key
            key = self._parents.get(key, "")

    def level(self, key: str) -> int:
        """A heading's level from 1; 0 for what is none. A title is of level 1, as are first headings."""
        for style in self._chain(key):
            name = self._names.get(style, style.lower())
            if name.startswith("heading ") and name[8:].strip().isdecimal():
                return int(name[8:])
            if style.lower().startswith("heading") and style[7:].isdecimal():
                return int(style[7:])
            if name == "title":
                return 1
            if self._outlines.get(style, 9) < 9:
                return self._outlines[style] + 1
        return 0

    def is_title(self, key: str) -> bool:
        return self._names.get(key, key.lower()) == "title"

    def is_list(self, key: str) -> bool:
        return any(
            style in self._lists or self._names.get(style, "").startswith("list ")
            for style in self._chain(key)
        )


def _value(element: ElementTree.Element, name: str) -> str:
    child = element.find(f"{_W}{name}")
    return "" if child is None else child.get(f"{_W}val", "")


class _Reader:
    """One walk over a document's body."""

    def __init__(self, assembly: Assembly, styles: _Styles, limits: Limits, *, has_pages: bool) -> None:
        self._assembly = assembly
        self._styles = styles
        self._limits = limits
        self._page = 1 if has_pages else None
        self._rows = 0
        self._tables = 0
        self._headers: set[str] = set()

    def read(self, parent: ElementTree.Element) -> None:
        for element in parent:
            if element.tag == f"{_W}p":
                self._paragraph(element)
            elif element.tag == f"{_W}tbl":
                self._table(element)
            elif element.tag in _WRAPPERS:
                self.read(element)

    def add_header(self, header: ElementTree.Element) -> None:
        """A page's header, once; several sections may have the same."""
        text = " ".join(" ".join(map(self._text_of, header.iter(f"{_W}p"))).split())
        if text and text not in self._headers:
            self._headers.add(text)
            self._assembly.add(BlockKind.FIELD, f"Header: {text}")

    def add_footnotes(self, notes: ElementTree.Element) -> None:
        """Footnotes stand after the text; separators, which have a type, are none."""
        for note in notes.iter(f"{_W}footnote"):
            if note.get(f"{_W}type", "normal") == "normal":
                text = " ".join(map(self._text_of, note.iter(f"{_W}p")))
                self._assembly.add(BlockKind.PARAGRAPH, text)

    def _paragraph(self, paragraph: ElementTree.Element) -> None:
        page = self._page
        text = self._text_of(paragraph)
        properties = paragraph.find(f"{_W}pPr")
        style = "" if properties is None else _value(properties, "pStyle")
        level = self._styles.level(style)
        if level and text.strip():
            if self._styles.is_title(style) and not self._assembly.title:
                self._assembly.title = text
            self._assembly.add(BlockKind.HEADING, text, page=page, level=level)
        elif self._is_item(properties, style):
            self._assembly.add(BlockKind.LIST_ITEM, text, page=page)
        else:
            self._assembly.add(BlockKind.PARAGRAPH, text, page=page)

    def _is_item(self, properties: ElementTree.Element | None, style: str) -> bool:
        numbered = None if properties is None else properties.find(f"{_W}numPr")
        if numbered is not None:
            return _value(numbered, "numId") != "0"
        return self._styles.is_list(style)

    def _text_of(self, paragraph: ElementTree.Element) -> str:
        """A paragraph's text as a reader sees it; turns the page where the writer noted a page break."""
        parts: list[str] = []
        self._gather(paragraph, parts)
        return "".join(parts)

    def _gather(self, element: ElementTree.Element, parts: list[str]) -> None:
        for child in element:
            tag = child.tag
            if tag == f"{_W}t":
                parts.append(child.text or "")
            elif tag in (f"{_W}tab", f"{_W}br", f"{_W}cr"):
                parts.append(" ")
            elif tag == f"{_W}noBreakHyphen":
                parts.append("-")
            elif tag == f"{_W}lastRenderedPageBreak" and self._page is not None:
                self._page += 1
            elif tag not in _SKIPPED:
                if tag == f"{_W}p":
                    parts.append(" ")
                self._gather(child, parts)

    def _table(self, table: ElementTree.Element) -> None:
        self._tables += 1
        name, sheet = self._assembly.name_table(), f"table {self._tables}"
        rows: list[tuple[list[str], int | None]] = []
        for row in _children(table, "tr"):
            if self._rows >= self._limits.rows:
                self._assembly.note(f"only the first {self._limits.rows:,} rows of its tables were read")
                break
            self._rows += 1
            page = self._page
            rows.append((self._row_texts(row, rows[-1][0] if rows else []), page))
        grid = [[GridCell(text) if text else None for text in texts] for texts, _ in rows]
        head = head_rows(grid) or int(
            len(rows) > 1 and table.find(f"{_W}tr/{_W}trPr/{_W}tblHeader") is not None
        )
        columns = headings(grid[:head])
        for number, (texts, page) in enumerate(rows[head:], start=head + 1):
            self._add_row(columns, texts, number, name, sheet, page)

    def _row_texts(self, row: ElementTree.Element, above: list[str]) -> list[str]:
        """The texts of a row's cells; what reaches down from above stands here too."""
        texts: list[str] = []
        for cell in _children(row, "tc"):
            paragraphs = [self._text_of(paragraph) for paragraph in cell.iter(f"{_W}p")]
            text = " ".join(text for text in paragraphs if text.strip())
            merged = cell.find(f"{_W}tcPr/{_W}vMerge")
            if merged is not None and merged.get(f"{_W}val") != "restart" and len(texts) < len(above):
                text = text or above[len(texts)]
            texts.append(text)
            span = cell.find(f"{_W}tcPr/{_W}gridSpan")
            width = "" if span is None else span.get(f"{_W}val", "")
            texts.extend([""] * (min(int(width), 64) - 1 if width.isdecimal() else 0))
        return texts

    def _add_row(
        self, columns: list[str], texts: list[str], number: int, name: str, sheet: str, page: int | None
    ) -> None:
        values = [
            (heading, text, f"{column_letters(index)}{number}")
            for index, (heading, text) in enumerate(
                zip([*columns, *[""] * len(texts)], texts, strict=False), start=1
            )
        ]
        cells = f"A{number}:{column_letters(max(1, len(texts)))}{number}"
        self._assembly.add_row(values, table=name, page=page, sheet=sheet, cells=cells)


def _children(parent: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    """The rows of a table or the cells of a row, also those inside of content controls."""
    for child in parent:
        if child.tag == f"{_W}{name}":
            yield child
        elif child.tag in _WRAPPERS:
            yield from _children(child, name)
