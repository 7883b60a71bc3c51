"""Makes small documents of each format, byte by byte where a library would hide what is tested."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cape.knowledge.documents import Block, BlockKind, ExtractedDocument, UnreadDocument
from cape.knowledge.extraction import DEFAULT_LIMITS, Limits, extract

Text = tuple[float, float, float, str]
"""x, y, size, text; a text that begins with `*` is bold."""

_WIDTHS = {"i": 222, "l": 222, "j": 222, "t": 278, "f": 278, " ": 278, ".": 278, ",": 278, "m": 833, "w": 722}


def read(
    directory: Path, name: str, data: bytes, limits: Limits = DEFAULT_LIMITS
) -> ExtractedDocument | UnreadDocument:
    """Writes a file and extracts it in this process."""
    file = directory / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return extract(name, file, limits)


def document(directory: Path, name: str, data: bytes, limits: Limits = DEFAULT_LIMITS) -> ExtractedDocument:
    """The same, for a file that can be read. Checks the law that every span holds its text."""
    found = read(directory, name, data, limits)
    assert isinstance(found, ExtractedDocument), found
    text = "".join(f"{block.text}\n" for block in found.blocks)
    for block in found.blocks:
        for place, said in [(block.place, block.text), *((cell.place, cell.text) for cell in block.cells)]:
            assert place.span is not None
            assert text[slice(*place.span)] == said
    return found


def unread(directory: Path, name: str, data: bytes, limits: Limits = DEFAULT_LIMITS) -> UnreadDocument:
    """The same, for a file that cannot be read."""
    found = read(directory, name, data, limits)
    assert isinstance(found, UnreadDocument), found
    return found


def told(blocks: Iterable[Block]) -> list[tuple[str, str, str]]:
    """Blocks as (kind with level, place, text), for comparing at a glance."""
    return [
        (
            f"{block.kind.value} {block.level}" if block.level else block.kind.value,
            str(block.place),
            block.text,
        )
        for block in blocks
    ]


def texts(found: ExtractedDocument, kind: BlockKind | None = None) -> list[str]:
    return [block.text for block in found.blocks if kind is None or block.kind is kind]


# -- PDF ----------------------------------------------------------------------------------------------


def pdf(
    pages: Sequence[Sequence[Text]],
    *,
    rules: Sequence[tuple[float, float, float, float]] = (),
    title: str = "",
    encrypted: bool = False,
    turned: bool = False,
) -> bytes:
    """A PDF of A4 pages with Helvetica; `rules` are lines (x0, y0, x1, y1) on the first page.

    `turned` pages are drawn sideways and say so, as landscape pages often do.
    """
    objects: list[bytes] = [b"<< /Type /Catalog /Pages 2 0 R >>"]
    kids = " ".join(f"{5 + 2 * number} 0 R" for number in range(len(pages)))
    objects.append(f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode())
    for font in ("Helvetica", "Helvetica-Bold"):
        objects.append(
            f"<< /Type /Font /Subtype /Type1 /BaseFont /{font} /Encoding /WinAnsiEncoding >>".encode()
        )
    for number, page in enumerate(pages):
        content = b"\n".join(_shown(*text) for text in page)
        if number == 0:
            content += b"".join(f"\n{a} {b} m {c} {d} l S".encode() for a, b, c, d in rules)
        if turned:
            content = b"0 1 -1 0 595 0 cm\n" + content
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Rotate {90 * turned}"
            f"/Contents {6 + 2 * number} 0 R "
            "/Resources << /Font << /F1 3 0 R /F2 4 0 R >> >> >>".encode()
        )
        objects.append(b"<< /Length %d >>\nstream\n%b\nendstream" % (len(content), content))
    objects.append(f"<< /Title ({title}) >>".encode())
    trailer = f"/Info {len(objects)} 0 R"
    if encrypted:
        objects.append(b"<< /Filter /Standard /V 1 /R 2 /O <%b> /U <%b> /P -4 >>" % (b"11" * 32, b"22" * 32))
        trailer += f" /Encrypt {len(objects)} 0 R /ID [<{'33' * 16}> <{'33' * 16}>]"
    return _assembled(objects, trailer)


def _shown(x: float, y: float, size: float, text: str) -> bytes:
    font = "F2" if text.startswith("*") else "F1"
    said = text.removeprefix("*").encode("cp1252")
    for mark in (b"\\", b"(", b")"):
        said = said.replace(mark, b"\\" + mark)
    return f"BT /{font} {size} Tf {x} {y} Td (".encode() + said + b") Tj ET"


def _assembled(objects: Sequence[bytes], trailer: str) -> bytes:
    out = bytearray(b"%PDF-1.4\n")
    places = []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += (
        f"trailer << /Size {len(objects) + 1} /Root 1 0 R {trailer} >>\nstartxref\n{start}\n%%EOF\n".encode()
    )
    return bytes(out)


def lines_at(x: float, y: float, size: float, lines: Sequence[str], *, step: float = 1.3) -> list[Text]:
    """Lines of a paragraph below each other."""
    return [(x, y - number * size * step, size, line) for number, line in enumerate(lines)]


# -- Office -------------------------------------------------------------------------------------------

_W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_STYLES = f"""<w:styles xmlns:w="{_W}">
<w:style w:styleId="Heading1"><w:name w:val="heading 1"/></w:style>
<w:style w:styleId="Heading2"><w:name w:val="heading 2"/></w:style>
<w:style w:styleId="Custom"><w:name w:val="My own"/><w:basedOn w:val="Heading2"/></w:style>
<w:style w:styleId="Titel"><w:name w:val="Title"/></w:style>
<w:style w:styleId="ListBullet"><w:name w:val="List Bullet"/></w:style>
</w:styles>"""


def archive(members: dict[str, str | bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in members.items():
            zipped.writestr(name, content)
    return made.getvalue()


def docx(body: str, *, prolog: str = "", more: dict[str, str | bytes] | None = None) -> bytes:
    """A DOCX with this body; its namespace is `w`."""
    xml = f'<?xml version="1.0"?>{prolog}<w:document xmlns:w="{_W}"><w:body>{body}</w:body></w:document>'
    return archive({"word/document.xml": xml, "word/styles.xml": _STYLES, **(more or {})})


def paragraph(text: str, style: str = "", properties: str = "") -> str:
    styled = f'<w:pStyle w:val="{style}"/>' if style else ""
    return f"<w:p><w:pPr>{styled}{properties}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"


def table(rows: Sequence[Sequence[str]]) -> str:
    cells = ("".join(f"<w:tc>{paragraph(text)}</w:tc>" for text in row) for row in rows)
    return "<w:tbl>" + "".join(f"<w:tr>{row}</w:tr>" for row in cells) + "</w:tbl>"


def xlsx(**sheets: Sequence[Sequence[Any]]) -> bytes:
    """A workbook of these sheets, from A1 on."""
    import openpyxl

    workbook = openpyxl.Workbook()
    workbook.remove(workbook.active)
    for name, rows in sheets.items():
        sheet = workbook.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    return saved(workbook)


def saved(workbook: Any) -> bytes:
    made = io.BytesIO()
    workbook.save(made)
    return made.getvalue()
