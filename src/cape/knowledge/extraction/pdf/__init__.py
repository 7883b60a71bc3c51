"""PDF: text with its positions from PDFium, put back into columns, paragraphs, headings and tables.

A PDF knows where each letter stands and nothing of what it belongs to. `words` reads positions, `layout`
finds lines, columns and their order, `grids` the ruled tables and `aligned` those without rules, `prose`
paragraphs and headings. All but `words` are geometry without a file. Pictures of text are not read.
"""

from __future__ import annotations

from cape.knowledge.extraction.pdf.reading import extract_pdf

__all__ = ["extract_pdf"]
