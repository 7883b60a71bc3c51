"""DOCX, XLSX and CSV: structure, true cells, and numbers as a reader sees them."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cape.knowledge.addresses import column_letters, column_number
from cape.knowledge.documents import BlockKind
from cape.knowledge.extraction.spreadsheet import shown
from tests.knowledge.extraction.making import document, docx, paragraph, saved, table, texts, told, xlsx

_NUMBERED = '<w:numPr><w:ilvl w:val="0"/><w:numId w:val="3"/></w:numPr>'


def test_docx_keeps_headings_list_items_and_tables(tmp_path: Path) -> None:
    body = (
        paragraph("Salary bands", "Titel")
        + paragraph("Bands", "Heading1")
        + paragraph("Amounts are gross.")
        + paragraph("By my own style", "Custom")
        + paragraph("a bullet", "ListBullet")
        + paragraph("numbered", properties=_NUMBERED)
        + table([["Band", "From"], ["1", "34,000 EUR"], ["2", ""]])
    )
    found = document(tmp_path, "bands.docx", docx(body))
    assert found.title == "Salary bands"
    assert told(found.blocks) == [
        ("heading 1", "", "Salary bands"),
        ("heading 1", "", "Bands"),
        ("paragraph", "", "Amounts are gross."),
        ("heading 2", "", "By my own style"),
        ("list-item", "", "a bullet"),
        ("list-item", "", "numbered"),
        ("row", "table 1!A2:B2", "Band: 1; From: 34,000 EUR"),
        ("row", "table 1!A3:B3", "Band: 2"),
    ]
    assert [(cell.column, cell.text, str(cell.place)) for cell in found.blocks[6].cells] == [
        ("Band", "1", "table 1!A2"),
        ("From", "34,000 EUR", "table 1!B2"),
    ]


def test_docx_pages_are_those_that_its_last_writer_noted(tmp_path: Path) -> None:
    broken = "<w:p><w:r><w:t>first </w:t></w:r><w:r><w:lastRenderedPageBreak/><w:t>goes on</w:t></w:r></w:p>"
    found = document(tmp_path, "a.docx", docx(paragraph("one") + broken + paragraph("two")))
    assert told(found.blocks) == [
        ("paragraph", "page 1", "one"),
        ("paragraph", "page 1", "first goes on"),
        ("paragraph", "page 2", "two"),
    ]


def test_docx_shows_insertions_and_no_deletions_nor_field_codes(tmp_path: Path) -> None:
    body = (
        "<w:p><w:r><w:t>The fee is </w:t></w:r><w:del><w:r><w:delText>4</w:delText></w:r></w:del>"
        "<w:ins><w:r><w:t>5 EUR</w:t></w:r></w:ins><w:r><w:instrText> PAGEREF </w:instrText></w:r>"
        "<w:hyperlink><w:r><w:t>, see</w:t><w:tab/><w:t>there</w:t></w:r></w:hyperlink></w:p>"
    )
    assert texts(document(tmp_path, "a.docx", docx(body))) == ["The fee is 5 EUR, see there"]


def test_docx_headers_and_footnotes_are_read_once(tmp_path: Path) -> None:
    name = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    more: dict[str, str | bytes] = {
        "word/header1.xml": f"<w:hdr {name}>{paragraph('Confidential')}</w:hdr>",
        "word/header2.xml": f"<w:hdr {name}>{paragraph('Confidential')}</w:hdr>",
        "word/footnotes.xml": (
            f'<w:footnotes {name}><w:footnote w:type="separator">{paragraph("-")}</w:footnote>'
            f"<w:footnote>{paragraph('See the law.')}</w:footnote></w:footnotes>"
        ),
    }
    found = document(tmp_path, "a.docx", docx(paragraph("text"), more=more))
    assert texts(found) == ["Header: Confidential", "text", "See the law."]


def test_docx_merged_and_nested_cells_keep_their_columns(tmp_path: Path) -> None:
    down = "<w:tc><w:tcPr><w:vMerge{}/></w:tcPr>{}</w:tc>"
    rows = [
        f"<w:tc>{paragraph('City')}</w:tc><w:tc>{paragraph('Room')}</w:tc><w:tc>{paragraph('Price')}</w:tc>",
        down.format(' w:val="restart"', paragraph("Oslo"))
        + f"<w:tc>{paragraph('single')}</w:tc><w:tc>{paragraph('165')}</w:tc>",
        down.format("", paragraph(""))
        + f'<w:tc><w:tcPr><w:gridSpan w:val="2"/></w:tcPr>{table([["double", "190"]])}{paragraph("")}</w:tc>',
    ]
    body = "<w:tbl>" + "".join(f"<w:tr>{row}</w:tr>" for row in rows) + "</w:tbl>"
    assert texts(document(tmp_path, "a.docx", docx(body))) == [
        "City: Oslo; Room: single; Price: 165",
        "City: Oslo; Room: double 190",
    ]


def test_docx_title_comes_from_its_properties(tmp_path: Path) -> None:
    core = (
        '<p:coreProperties xmlns:p="x" xmlns:dc="http://purl.org/dc/elements/1.1/">'
        "<dc:title>Travel rules</dc:title></p:coreProperties>"
    )
    found = document(tmp_path, "a.docx", docx(paragraph("text"), more={"docProps/core.xml": core}))
    assert found.title == "Travel rules"


def test_xlsx_rows_know_their_columns_and_addresses(tmp_path: Path) -> None:
    rows = [["Region", "Quarter", "Revenue"], ["Nordics", "Q1", 412], ["Iberia", "Q1", None]]
    found = document(tmp_path, "metrics.xlsx", xlsx(Regions=rows))
    assert told(found.blocks) == [
        ("heading 1", "", "Regions"),
        ("row", "Regions!A2:C2", "Region: Nordics; Quarter: Q1; Revenue: 412"),
        ("row", "Regions!A3:B3", "Region: Iberia; Quarter: Q1"),
    ]
    assert [str(cell.place) for cell in found.blocks[1].cells] == ["Regions!A2", "Regions!B2", "Regions!C2"]
    assert found.blocks[1].table == "Regions"
    assert found.title == "metrics"


def test_xlsx_tables_stand_apart_by_empty_rows_and_have_titles(tmp_path: Path) -> None:
    rows = [
        [],
        ["Budget 2024"],
        ["Thousands of euros."],
        [],
        [None, "Department", "Q1", "Q2"],
        [None, "Sales", 186, 191],
        [],
        ["Assumption", "Value"],
        ["Inflation", 0.03],
    ]
    found = document(tmp_path, "b.xlsx", xlsx(Budget=rows))
    assert told(found.blocks)[1:] == [
        ("heading 2", "Budget!A2", "Budget 2024"),
        ("paragraph", "Budget!A3", "Thousands of euros."),
        ("row", "Budget!B6:D6", "Department: Sales; Q1: 186; Q2: 191"),
        ("row", "Budget!A9:B9", "Assumption: Inflation; Value: 0.03"),
    ]
    assert [block.table for block in found.blocks if block.table] == ["Budget", "Budget 2"]
    assert found.title == "Budget 2024"


def test_xlsx_merged_cells_belong_to_all_their_rows_and_columns(tmp_path: Path) -> None:
    import openpyxl

    workbook = openpyxl.Workbook()
    sheet = workbook.active
    for row in [
        ["Region", "2022", None, "2023", None],
        [None, "Q1", "Q2", "Q1", "Q2"],
        ["Nordics", 1, 2, 3, 4],
        [None, 5, 6, 7, 8],
    ]:
        sheet.append(row)
    for merged in ("A1:A2", "B1:C1", "D1:E1", "A3:A4"):
        sheet.merge_cells(merged)
    found = document(tmp_path, "m.xlsx", saved(workbook))
    assert texts(found, BlockKind.ROW) == [
        "Region: Nordics; 2022 Q1: 1; 2022 Q2: 2; 2023 Q1: 3; 2023 Q2: 4",
        "Region: Nordics; 2022 Q1: 5; 2022 Q2: 6; 2023 Q1: 7; 2023 Q2: 8",
    ]
    assert str(found.blocks[2].cells[0].place) == "Sheet!A3"
    assert str(found.blocks[2].place) == "Sheet!A4:E4"


def test_xlsx_formulas_without_a_stored_value_are_noted(tmp_path: Path) -> None:
    data = xlsx(Sums=[["Item", "Cost"], ["a", 1], ["sum", "=SUM(B2:B2)"]])
    found = document(tmp_path, "s.xlsx", data)
    assert found.notes == (
        "1 formulas of its sheet `Sums` have no stored value: open it in a spreadsheet program and save it",
    )
    assert texts(found, BlockKind.ROW) == ["Item: a; Cost: 1", "Item: sum"]


def test_xlsx_hidden_sheets_are_left_out_and_named(tmp_path: Path) -> None:
    import openpyxl

    workbook = openpyxl.Workbook()
    workbook.active.append(["seen", "x"])
    secret = workbook.create_sheet("Draft")
    secret.append(["unseen"])
    secret.sheet_state = "hidden"
    found = document(tmp_path, "h.xlsx", saved(workbook))
    assert found.notes == ("its hidden sheet `Draft` was not read",)
    assert "unseen" not in " ".join(texts(found))


@pytest.mark.parametrize(
    ("value", "number_format", "seen"),
    [
        (0.125, "0.0%", "12.5%"),
        (0.87, "0%", "87%"),
        (1204, "#,##0", "1,204"),
        (1204.5, "#,##0.00", "1,204.50"),
        (1204.5, "General", "1204.5"),
        (3.0, "General", "3"),
        (12, "0.0", "12.0"),
        (1204000, "#,##0,", "1,204"),
        (1234.5, "#,##0.00 [$€-407]", "1,234.50 €"),
        (1234.5, "[$$-409]#,##0.00", "$1,234.50"),
        (1234.5, '#,##0 "kEUR"', "1,234 kEUR"),
        (-5, "#,##0;[Red]-#,##0", "-5"),
        (True, "General", "yes"),
        (datetime.datetime(2023, 1, 31), "dd.mm.yyyy", "2023-01-31"),
        (datetime.datetime(2023, 1, 1), "mmm yyyy", "2023-01"),
        (datetime.datetime(2023, 1, 31, 9, 30), "General", "2023-01-31 09:30"),
        (datetime.time(9, 30), "hh:mm", "09:30:00"),
        (0.1 + 0.2, "General", "0.3"),
    ],
)
def test_a_cell_shows_what_its_reader_sees(value: object, number_format: str, seen: str) -> None:
    assert shown(value, number_format) == seen


@pytest.mark.parametrize(
    "text",
    [
        "Region;Revenue\nNordics;1,5\nIberia;2,5\n",
        'Region,Revenue\nNordics,"1,5"\nIberia,"2,5"\n',
        "Region\tRevenue\nNordics\t1,5\nIberia\t2,5\n",
        "sep=|\nRegion|Revenue\nNordics|1,5\nIberia|2,5\n",
    ],
)
def test_csv_delimiters_are_found_out(tmp_path: Path, text: str) -> None:
    found = document(tmp_path, "a.csv", text.encode())
    assert texts(found) == ["Region: Nordics; Revenue: 1,5", "Region: Iberia; Revenue: 2,5"]


def test_csv_cells_have_the_addresses_of_a_spreadsheet(tmp_path: Path) -> None:
    found = document(tmp_path, "a.csv", b'Region,Remark\nNordics,"two\nlines"\n,x\n')
    assert told(found.blocks) == [
        ("row", "A2:B2", "Region: Nordics; Remark: two lines"),
        ("row", "B3", "Remark: x"),
    ]
    assert [str(cell.place) for cell in found.blocks[0].cells] == ["A2", "B2"]


def test_a_csv_without_a_head_has_no_columns(tmp_path: Path) -> None:
    assert texts(document(tmp_path, "a.csv", b"Nordics,5\nIberia,6\n")) == ["Nordics; 5", "Iberia; 6"]


@given(st.integers(min_value=1, max_value=20_000))
def test_column_letters_count_as_spreadsheets_do(number: int) -> None:
    openpyxl = pytest.importorskip("openpyxl.utils")
    assert column_letters(number) == (
        openpyxl.get_column_letter(number) if number <= 18278 else column_letters(number)
    )
    assert column_number(column_letters(number)) == number
