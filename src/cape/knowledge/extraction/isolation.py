"""Runs extraction over many files; a parser that crashes, hangs or eats memory costs one document.

Thin first path: all in this process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cape.knowledge.documents import ExtractedDocument, UnreadDocument
from cape.knowledge.extraction.document import extract
from cape.knowledge.extraction.limits import DEFAULT_LIMITS, Limits


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to read: its path in the project, and where it lies."""

    path: str
    file: Path


def extract_all(
    files: Iterable[SourceFile], *, workers: int = 2, limits: Limits = DEFAULT_LIMITS
) -> Iterator[ExtractedDocument | UnreadDocument]:
    for source in files:
        yield extract(source.path, source.file, limits)
