"""Builds the example's DOCX, PDF and XLSX documents from `originals/`; twice gives the same bytes.

The built files are committed, so that nobody needs this to play the demo. Whoever changes an original runs
`python build_documents.py` where python-docx, reportlab and openpyxl are installed; cape does not need the
first two.

The texts are Markdown of a small kind: `#` headings, paragraphs, `-` lists, and tables whose lines start with
`|` (first the heading). `<<<page>>>` ends a page.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import io
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openpyxl import Workbook

HERE = Path(__file__).resolve().parent
ORIGINALS = HERE / "originals"
DATE = datetime.datetime(2024, 5, 27, 12, 0, 0)
FIRM = "Brinkfjord Instruments AS"


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A piece of an original: `kind` is `h1`, `h2`, `h3`, `paragraph`, `list`, `table` or `page`."""

    kind: str
    text: str = ""
    items: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def pieces_of(text: str) -> Iterator[Piece]:
    """The pieces of an original in order; blank lines part them."""
    for stretch in re.split(r"\n\s*\n", text.strip()):
        lines = stretch.splitlines()
        heading = re.match(r"(#+) (.*)", lines[0])
        if heading:
            yield Piece(kind=f"h{len(heading[1])}", text=heading[2])
        elif lines[0].startswith("<<<"):
            yield Piece(kind=lines[0].strip("<>"))
        elif lines[0].startswith("- "):
            yield Piece(kind="list", items=tuple(line.removeprefix("- ") for line in lines))
        elif lines[0].startswith("|"):
            rows = (tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines)
            yield Piece(kind="table", rows=tuple(rows))
        else:
            yield Piece(kind="paragraph", text=" ".join(lines))


def original(name: str) -> list[Piece]:
    return list(pieces_of((ORIGINALS / name).read_text(encoding="utf-8")))


def with_fixed_times(archive: bytes, edit: Callable[[str, bytes], bytes] = lambda _, data: data) -> bytes:
    """The same zip file with the same times in it, whenever it was made; `edit` may change its members."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            entry = zipfile.ZipInfo(member.filename, date_time=DATE.timetuple()[:6])
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o600 << 16
            new.writestr(entry, edit(member.filename, old.read(member)))
    return made.getvalue()


# -- DOCX


def docx(pieces: Iterable[Piece]) -> bytes:
    import docx as python_docx

    document = python_docx.Document()
    document.core_properties.author = FIRM
    document.core_properties.created = document.core_properties.modified = DATE
    for piece in pieces:
        add_to_docx(document, piece)
    made = io.BytesIO()
    document.save(made)
    return with_fixed_times(made.getvalue())


def add_to_docx(document: Any, piece: Piece) -> None:
    if piece.kind == "h1":
        document.core_properties.title = piece.text
        document.add_heading(piece.text, level=0)
    elif piece.kind in ("h2", "h3"):
        document.add_heading(piece.text, level=int(piece.kind[1]) - 1)
    elif piece.kind == "list":
        for item in piece.items:
            document.add_paragraph(item, style="List Bullet")
    elif piece.kind == "table":
        table = document.add_table(rows=0, cols=len(piece.rows[0]), style="Light Grid Accent 1")
        for row in piece.rows:
            for cell, text in zip(table.add_row().cells, row, strict=True):
                cell.text = text
    elif piece.kind == "paragraph":
        document.add_paragraph(piece.text)


# -- PDF


def pdf(pieces: Sequence[Piece], columns: int = 1) -> bytes:
    """Pages of A4 with a running foot; the title spans the page, also over two columns."""
    from reportlab.lib.pagesizes import A4
    from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate

    name = pieces[0].text
    width, height = A4
    margin, gap, top = 57, 20, height - (57 if columns == 1 else 110)
    column = (width - 2 * margin - (columns - 1) * gap) / columns
    frames = [Frame(margin + n * (column + gap), 60, column, top - 60, 0, 0, 0, 0) for n in range(columns)]

    def furniture(canvas: Any, template: Any) -> None:
        canvas.setFont("Helvetica", 8)
        canvas.drawString(margin, 36, f"{FIRM} - {name}")
        canvas.drawRightString(width - margin, 36, f"Page {canvas.getPageNumber()}")
        if columns > 1:
            canvas.setFont("Helvetica-Bold", 20)
            canvas.drawString(margin, height - 80, name if canvas.getPageNumber() == 1 else "")

    made = io.BytesIO()
    template = BaseDocTemplate(made, pagesize=A4, title=name, author=FIRM, invariant=1)
    template.addPageTemplates([PageTemplate(id="pages", frames=frames, onPage=furniture)])
    template.build(list(flowables(pieces[0 if columns == 1 else 1 :], column)))
    return made.getvalue()


def flowables(pieces: Iterable[Piece], width: float) -> Iterator[Any]:
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.platypus import PageBreak, Paragraph

    body = ParagraphStyle("body", fontName="Helvetica", fontSize=10.5, leading=15, spaceAfter=7)
    styles = {
        "h1": ParagraphStyle("h1", body, fontName="Helvetica-Bold", fontSize=20, leading=26, spaceAfter=12),
        "h2": ParagraphStyle(
            "h2", body, fontName="Helvetica-Bold", fontSize=13.5, spaceBefore=9, keepWithNext=1
        ),
        "item": ParagraphStyle("item", body, leftIndent=14, bulletIndent=4),
    }
    for piece in pieces:
        if piece.kind == "page":
            yield PageBreak()
        elif piece.kind == "list":
            yield from (Paragraph(escaped(item), styles["item"], bulletText="•") for item in piece.items)
        elif piece.kind == "table":
            yield pdf_table(piece.rows, width)
        else:
            yield Paragraph(escaped(piece.text), styles.get(piece.kind, body))


def pdf_table(rows: Sequence[Sequence[str]], width: float) -> Any:
    """A ruled table whose columns share the width by their longest cell."""
    from reportlab.lib import colors
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.platypus import Paragraph, Table

    plain = ParagraphStyle("cell", fontName="Helvetica", fontSize=9.5, leading=12)
    bold = ParagraphStyle("head", plain, fontName="Helvetica-Bold")
    longest = [max(8, *(len(row[n]) for row in rows)) for n in range(len(rows[0]))]
    cells = [[Paragraph(escaped(text), plain if n else bold) for text in row] for n, row in enumerate(rows)]
    return Table(
        cells,
        colWidths=[width * length / sum(longest) for length in longest],
        repeatRows=1,
        style=[("GRID", (0, 0), (-1, -1), 0.4, colors.grey), ("VALIGN", (0, 0), (-1, -1), "TOP")],
        spaceBefore=4,
        spaceAfter=10,
        hAlign="LEFT",
    )


def escaped(text: str) -> str:
    """Text for a reportlab paragraph. Helvetica, which needs no font file, lacks Polish letters."""
    for letter, plain in (("&", "&amp;"), ("<", "&lt;"), ("ń", "n")):
        text = text.replace(letter, plain)
    return text


# -- XLSX


def rows_of(name: str) -> list[list[object]]:
    """The rows of a CSV original, the heading first; numbers and dates as such, an empty cell as None."""
    with (ORIGINALS / name).open(encoding="utf-8", newline="") as lines:
        return [[value_of(text) for text in row] for row in csv.reader(lines)]


def value_of(text: str) -> object:
    if re.fullmatch(r"\d+", text):
        return int(text)
    if re.fullmatch(r"\d+\.\d+", text):
        return float(text)
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return datetime.datetime.fromisoformat(text)
    return text or None


class Book:
    """A workbook whose formulas have their values beside them, as a spreadsheet program saves them."""

    def __init__(self) -> None:
        from openpyxl import Workbook

        self.workbook: Workbook = Workbook()
        self.workbook.remove(self.workbook.active)
        self.workbook.properties.creator = FIRM
        self.workbook.properties.created = DATE
        self._values: dict[tuple[str, str], float] = {}

    def sheet(
        self, title: str, rows: Sequence[Sequence[object]], *, above: Sequence[str] = (), formats: str = ""
    ) -> Any:
        """A sheet of `above` (one line each; the table follows) and `rows`, the first one bold.

        `formats` has a letter for each column: `n` number, `d` one decimal, `p` percent, `m` month.
        """
        from openpyxl.styles import Font

        codes = {"n": "#,##0", "d": "0.0", "p": "0.0%", "m": "mmm yyyy", "e": "#,##0.00"}
        sheet = self.workbook.create_sheet(title)
        for line in above:
            sheet.append([line] if line else [])
        first = len(above) + 1
        for number, row in enumerate(rows, start=first):
            for column, value in enumerate(row, start=1):
                cell = sheet.cell(number, column, value)
                if number == first:
                    cell.font = Font(bold=True)
                elif column <= len(formats) and formats[column - 1] in codes:
                    cell.number_format = codes[formats[column - 1]]
        for column in range(1, len(rows[0]) + 1):
            sheet.column_dimensions[chr(64 + column)].width = 16
        return sheet

    def formula(self, sheet: Any, address: str, text: str, value: float, number_format: str) -> None:
        sheet[address] = f"={text}"
        sheet[address].number_format = number_format
        self._values[sheet.title, address] = value

    def bytes(self) -> bytes:
        made = io.BytesIO()
        self.workbook.save(made)
        names = {f"xl/worksheets/sheet{n}.xml": s for n, s in enumerate(self.workbook.sheetnames, start=1)}

        def edit(member: str, data: bytes) -> bytes:
            text = data.decode()
            if member == "docProps/core.xml":
                text = re.sub(r"(<dcterms:modified[^>]*>)[^<]*", rf"\g<1>{DATE.isoformat()}Z", text)
            return re.sub(
                r'(<c r="([A-Z]+\d+)"[^>]*><f>[^<]*</f>)<v\s*(?:/>|></v>)',
                lambda found: f"{found[1]}<v>{self._values[names[member], found[2]]!r}</v>",
                text,
            ).encode()

        return with_fixed_times(made.getvalue(), edit)


def regions() -> bytes:
    """Region-major rows, nine quarters each; sums by year on a second sheet; people on a third."""
    book = Book()
    rows = rows_of("regions.csv")
    book.sheet("Regions", rows, formats="...nnnpn")
    names = list(dict.fromkeys(str(row[0]) for row in rows[1:]))
    years = book.sheet(
        "By year",
        [["Region", 2022, 2023, "Change"], *([name] for name in names), ["All regions"]],
        above=["Revenue by year, thousands of euros", ""],
    )
    sums = {
        year: [sum(int(str(row[3])) for row in rows[1:] if row[:2] == [name, year]) for name in names]
        for year in (2022, 2023)
    }
    for n in range(len(names) + 1):
        line, last = 4 + n, n == len(names)
        old, new = (sum(sums[year]) if last else sums[year][n] for year in (2022, 2023))
        first = 2 + 9 * n
        sources = (f"Regions!D{first}:D{first + 3}", f"Regions!D{first + 4}:D{first + 7}")
        for column, source, value in zip("BC", sources, (old, new), strict=True):
            above = f"{column}4:{column}{line - 1}"
            book.formula(years, f"{column}{line}", f"SUM({above if last else source})", value, "#,##0")
        book.formula(years, f"D{line}", f"C{line}/B{line}-1", new / old - 1, "0.0%")
    headcount(book)
    return book.bytes()


def headcount(book: Book) -> None:
    rows = rows_of("headcount.csv")
    sheet = book.sheet(
        "Headcount",
        [*rows, ["Together"]],
        above=["People at the end of the year", "Apprentices and students are not counted.", ""],
    )
    for n, column in enumerate("BCD", start=1):
        total = sum(int(str(row[n])) for row in rows[1:])
        book.formula(sheet, f"{column}9", f"SUM({column}5:{column}8)", total, "0")


def support() -> bytes:
    book = Book()
    rows = rows_of("tickets.csv")
    above = ["Customer support", "Cases by month. Hours: median, working time only.", "", ""]
    sheet = book.sheet("Tickets", [*rows, ["Sum"]], above=above, formats="mnndpp")
    for n, column in enumerate("BC", start=1):
        total = sum(int(str(row[n])) for row in rows[1:])
        book.formula(sheet, f"{column}21", f"SUM({column}6:{column}20)", total, "#,##0")
    book.sheet("By instrument", rows_of("instruments.csv"), formats=".nnp")
    return book.bytes()


def budget() -> bytes:
    book = Book()
    rows = rows_of("budget.csv")
    above = ["Budget 2024", "Thousands of euros. Approved by the board on 14 December 2023.", "", ""]
    sheet = book.sheet(
        "Budget", [[*rows[0], "Year"], *rows[1:], ["All departments"]], above=above, formats=".nnnn"
    )
    last = 5 + len(rows)
    for line, row in enumerate(rows[1:], start=6):
        value = sum(int(str(cell)) for cell in row[1:])
        book.formula(sheet, f"F{line}", f"SUM(B{line}:E{line})", value, "#,##0")
    for n, column in enumerate("BCDEF", start=1):
        value = sum(int(str(cell)) for row in rows[1:] for cell in (row[1:] if n == 5 else [row[n]]))
        book.formula(sheet, f"{column}{last}", f"SUM({column}6:{column}{last - 1})", value, "#,##0")
    assumptions = book.sheet("Assumptions", rows_of("assumptions.csv"))
    assumptions["B2"].number_format = "0.0%"
    return book.bytes()


DOCUMENTS: dict[str, Callable[[], bytes]] = {
    "policies/travel.docx": lambda: docx(original("travel.md")),
    "policies/information-security.docx": lambda: docx(original("information-security.md")),
    "hr/salary-bands.docx": lambda: docx(original("salary-bands.md")),
    "policies/data-retention.pdf": lambda: pdf(original("data-retention.md")),
    "products/tarn-manual.pdf": lambda: pdf(original("tarn-manual.md")),
    "products/skerry-datasheet.pdf": lambda: pdf(original("skerry-datasheet.md"), columns=2),
    "finance/annual-report-2023.pdf": lambda: pdf(original("annual-report-2023.md")),
    "finance/board-minutes-2024-02.pdf": lambda: pdf(original("board-minutes-2024-02.md")),
    "metrics/regions.xlsx": regions,
    "metrics/support.xlsx": support,
    "finance/budget-2024.xlsx": budget,
}
"""What is built, by its path below `documents/`."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the example's binary documents.")
    parser.add_argument("--into", type=Path, default=HERE / "documents", help="the directory to build into")
    arguments = parser.parse_args()
    for path, build in DOCUMENTS.items():
        target = arguments.into / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(build())


if __name__ == "__main__":
    main()
