"""Extraction: a file becomes blocks that know their places, or a sentence that says why not.

Owns the formats, the text's hygiene, and the worker processes that keep a bad document from taking the run
with it. Bytes in, blocks out: nothing here knows chunks, indices, access or questions, opens a second file,
or speaks to a network. Other libraries' exceptions stop at their format.
"""

from __future__ import annotations

from cape.knowledge.extraction.document import extract
from cape.knowledge.extraction.formats import FORMATS, Format, extractor_for, format_of
from cape.knowledge.extraction.isolation import SourceFile, extract_all
from cape.knowledge.extraction.limits import DEFAULT_LIMITS, Limits
from cape.knowledge.extraction.missing import KnowledgeNotInstalled

__all__ = [
    "DEFAULT_LIMITS",
    "FORMATS",
    "Format",
    "KnowledgeNotInstalled",
    "Limits",
    "SourceFile",
    "extract",
    "extract_all",
    "extractor_for",
    "format_of",
]
