"""Which format a file is of, and who reads it.

Owns the table of formats. A file's name decides; what cannot be told from it is not read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from cape.knowledge.extraction.assembly import Assembly
from cape.knowledge.extraction.code import extract_code
from cape.knowledge.extraction.delimited import extract_delimited
from cape.knowledge.extraction.limits import Limits
from cape.knowledge.extraction.markdown import extract_markdown
from cape.knowledge.extraction.message import extract_message
from cape.knowledge.extraction.missing import version_of
from cape.knowledge.extraction.pdf import extract_pdf
from cape.knowledge.extraction.plain import extract_text
from cape.knowledge.extraction.reading import Unreadable
from cape.knowledge.extraction.spreadsheet import extract_spreadsheet
from cape.knowledge.extraction.webpage import extract_webpage
from cape.knowledge.extraction.word import extract_word

RULES = 2
"""Counts up when the same bytes and the same packages would become other blocks."""

Read = Callable[[bytes, Assembly, Limits], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Format:
    """A format: what reads it, and by which packages.

    A file above `here_bytes` is read in a process of its own: its parser may crash, or be slow on what was
    made to slow it down.
    """

    name: str
    suffixes: tuple[str, ...]
    read: Read
    distributions: tuple[str, ...] = ()
    here_bytes: int = 256 * 1024

    @property
    def extractor(self) -> str:
        """Who reads it, with versions: `cape-pdf 1 (pypdfium2 5.15.2)`. Raises `KnowledgeNotInstalled`."""
        packages = "".join(f" ({name} {version_of(name)})" for name in self.distributions)
        return f"cape-{self.name} {RULES}{packages}"


def _read_message(data: bytes, assembly: Assembly, limits: Limits) -> None:
    extract_message(data, assembly, limits, _read_attachment)


def _read_attachment(name: str, data: bytes, assembly: Assembly, limits: Limits) -> None:
    format_ = format_of(name)
    if format_ is None or format_.name == "mail":
        raise Unreadable("is of a format that cape does not read")
    format_.read(data, assembly, limits)


_CODE_SUFFIXES = [
    ".py",
    ".pyi",
    ".js",
    ".mjs",
    ".cjs",
    ".jsx",
    ".ts",
    ".tsx",
    ".java",
    ".kt",
    ".kts",
    ".scala",
    ".go",
    ".rs",
    ".c",
    ".h",
    ".cc",
    ".cpp",
    ".cxx",
    ".hh",
    ".hpp",
    ".cs",
    ".swift",
    ".m",
    ".rb",
    ".php",
    ".pl",
    ".pm",
    ".lua",
    ".r",
    ".jl",
    ".sh",
    ".bash",
    ".zsh",
    ".fish",
    ".ps1",
    ".sql",
    ".hs",
    ".ml",
    ".ex",
    ".exs",
    ".erl",
    ".clj",
    ".dart",
    ".zig",
    ".nim",
    ".vue",
    ".svelte",
    ".css",
    ".scss",
    ".tf",
    ".proto",
    ".graphql",
    ".cmake",
    ".gradle",
    ".el",
    ".vim",
    ".awk",
    ".json",
    ".jsonl",
    ".yaml",
    ".yml",
    ".toml",
    ".ini",
    ".cfg",
    ".conf",
    ".properties",
    ".env",
    ".xml",
]

FORMATS: tuple[Format, ...] = (
    Format(
        name="markdown",
        suffixes=(".md", ".markdown", ".mdown", ".mkd", ".mdx"),
        read=extract_markdown,
        distributions=("markdown-it-py",),
        here_bytes=64 * 1024,
    ),
    Format(
        name="text", suffixes=(".txt", ".text", ".rst", ".adoc", ".org", ".log", ".tex"), read=extract_text
    ),
    Format(name="code", suffixes=tuple(_CODE_SUFFIXES), read=extract_code),
    Format(name="html", suffixes=(".html", ".htm", ".xhtml"), read=extract_webpage, here_bytes=32 * 1024),
    Format(name="csv", suffixes=(".csv", ".tsv", ".tab"), read=extract_delimited),
    Format(name="pdf", suffixes=(".pdf",), read=extract_pdf, distributions=("pypdfium2",), here_bytes=0),
    Format(name="docx", suffixes=(".docx", ".docm"), read=extract_word, here_bytes=0),
    Format(
        name="xlsx",
        suffixes=(".xlsx", ".xlsm"),
        read=extract_spreadsheet,
        distributions=("openpyxl",),
        here_bytes=0,
    ),
    Format(name="mail", suffixes=(".eml",), read=_read_message, here_bytes=0),
)
"""Every format that is read."""

_BY_SUFFIX = {suffix: format_ for format_ in FORMATS for suffix in format_.suffixes}
_BY_NAME = {
    "makefile": "code",
    "dockerfile": "code",
    "license": "text",
    "licence": "text",
    "readme": "text",
    "changelog": "text",
    "copying": "text",
    "notice": "text",
    "authors": "text",
}


def format_of(path: str) -> Format | None:
    """The format that a file's name says; None for one that is not read."""
    name = PurePosixPath(path).name.lower()
    found = _BY_SUFFIX.get(PurePosixPath(name).suffix)
    if found is None and name in _BY_NAME:
        return next(format_ for format_ in FORMATS if format_.name == _BY_NAME[name])
    return found


def extractor_for(path: str) -> str:
    """Who would read a file of this name, with versions; a change of it makes other blocks.

    A file of an unknown format has `none 1`. Raises `KnowledgeNotInstalled`.
    """
    format_ = format_of(path)
    return f"none {RULES}" if format_ is None else format_.extractor
