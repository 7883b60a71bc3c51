"""How much of a document is read, and how long it may take."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What bounds the reading of one document.

    A file above `file_bytes` is not read at all. Of a longer text only the first `text_chars` characters
    are taken, of a longer table only the first `rows` rows and about `cells` cells, of a longer PDF the
    first `pages` pages, each with a note. The members of an archive (DOCX, XLSX) may inflate to
    `inflated_bytes` together. A worker process may map `memory_bytes` more than it begins with, and use
    `seconds` of processor time for one document.
    """

    file_bytes: int = 256 * MIB
    text_chars: int = 16 * MIB
    rows: int = 50_000
    cells: int = 500_000
    pages: int = 2_000
    inflated_bytes: int = 2048 * MIB
    memory_bytes: int = 1536 * MIB
    seconds: float = 60.0


DEFAULT_LIMITS = Limits()
