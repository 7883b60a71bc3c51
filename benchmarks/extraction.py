"""How fast documents are read, by format: `python benchmarks/extraction.py [DIRECTORY]`.

Reads the documents of a directory (the example's, if none is named) again and again in this process for a
second of processor time each format, so that other work on the machine counts little. Then generated tables.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from cape.knowledge.documents import ExtractedDocument
from cape.knowledge.extraction import SourceFile, extract, extract_all
from cape.knowledge.gathering import gather

EXAMPLE = Path(__file__).resolve().parent.parent / "examples/handbook/documents"
ROWS = 20_000
SMALL_FILES = 2_000


def by_format(directory: Path) -> None:
    files: dict[str, list[Path]] = defaultdict(list)
    for found in gather(directory, ["**"]).files:
        files[Path(found.path).suffix].append(directory / found.path)
    print(f"{'format':8} {'files':>6} {'mean size':>10} {'documents/s':>12} {'blocks/s':>9} {'pages/s':>8}")
    for suffix, group in sorted(files.items()):
        documents = blocks = pages = 0
        began = time.process_time()
        while time.process_time() - began < 1:
            for file in group:
                document = extract(file.name, file)
                if isinstance(document, ExtractedDocument):
                    documents += 1
                    blocks += len(document.blocks)
                    pages += max((block.place.page or 0 for block in document.blocks), default=0)
        seconds = time.process_time() - began
        size = sum(file.stat().st_size for file in group) / len(group)
        rates = f"{documents / seconds:12,.0f} {blocks / seconds:9,.0f} {pages / seconds:8,.0f}"
        print(f"{suffix:8} {len(group):6} {size:10,.0f} {rates}")


def tables(directory: Path) -> None:
    import openpyxl

    workbook = openpyxl.Workbook(write_only=True)
    sheet = workbook.create_sheet("Data")
    lines = []
    for row in [("Region", "Quarter", "Revenue", "Share"), *(("North", "Q1", n, n / 7) for n in range(ROWS))]:
        sheet.append(row)
        lines.append(",".join(map(str, row)))
    made = io.BytesIO()
    workbook.save(made)
    (directory / "rows.xlsx").write_bytes(made.getvalue())
    (directory / "rows.csv").write_text("\n".join(lines), encoding="utf-8")
    for name in ("rows.xlsx", "rows.csv"):
        began = time.process_time()
        extract(name, directory / name)
        print(f"{name}: {ROWS / (time.process_time() - began):,.0f} rows of four cells a second")


def small_files(directory: Path) -> None:
    text = (EXAMPLE / "handbook/03-leave.md").read_text(encoding="utf-8")
    sources = []
    for number in range(SMALL_FILES):
        file = directory / f"{number}.md"
        file.write_text(f"# Number {number}\n\n{text}", encoding="utf-8")
        sources.append(SourceFile(file.name, file))
    for workers in (1, 2):
        began, used = time.perf_counter(), processor_seconds()
        count = sum(1 for _ in extract_all(sources, workers=workers))
        took, used = time.perf_counter() - began, processor_seconds() - used
        print(
            f"{count:,} small Markdown files, {workers} workers: {took:.1f} s, {used:.1f} s of processor time"
        )


def processor_seconds() -> float:
    """Of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    by_format(Path(sys.argv[1]) if len(sys.argv) > 1 else EXAMPLE)
    with tempfile.TemporaryDirectory() as directory:
        tables(Path(directory))
        small_files(Path(directory))


if __name__ == "__main__":
    main()
