"""PDF by pypdfium2: thin first path."""

from __future__ import annotations

import io

from cape.knowledge.extraction.assembly import Assembly
from cape.knowledge.extraction.limits import Limits
from cape.knowledge.extraction.missing import load
from cape.knowledge.extraction.plain import add_text
from cape.knowledge.extraction.reading import Unreadable


def extract_pdf(data: bytes, assembly: Assembly, limits: Limits) -> None:
    pdfium = load("pypdfium2", "pypdfium2")
    try:
        document = pdfium.PdfDocument(io.BytesIO(data))
    except pdfium.PdfiumError as error:
        raise Unreadable(
            "is encrypted" if "password" in str(error).lower() else "is broken: no PDF"
        ) from error
    for number in range(min(len(document), limits.pages)):
        page = document[number]
        text = page.get_textpage().get_text_range().replace("\r\n", "\n")
        add_text(text, assembly, first_line=None, page=number + 1)
    document.close()
