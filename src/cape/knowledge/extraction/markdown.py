"""Markdown, by markdown-it-py: it knows CommonMark, GitHub's tables, and the lines of every block.

Owns the way from its tokens to blocks, and front matter, which is no part of CommonMark.
"""

from __future__ import annotations

import functools
import re
import tomllib
from typing import Any

from cape.knowledge.documents import BlockKind
from cape.knowledge.extraction.assembly import Assembly
from cape.knowledge.extraction.limits import Limits
from cape.knowledge.extraction.missing import load
from cape.knowledge.extraction.plain import limited_text

_FRONT = re.compile(r"(---|\+\+\+)[ \t]*\n(.*?)^\1[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_YAML_PAIR = re.compile(r"([A-Za-z][\w-]*)\s*:\s+(\S.*)\Z")
_INLINE = re.compile(r"[\\`*_\[\]<&~!]")
_CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", re.DOTALL)


def extract_markdown(data: bytes, assembly: Assembly, limits: Limits) -> None:
    """Headings, paragraphs, list items, tables' rows and fenced code, each with its lines."""
    text = limited_text(data, assembly, limits)
    front = _FRONT.match(text)
    first_line = 1
    if front:
        _add_front_matter(front, assembly)
        first_line += text.count("\n", 0, front.end())
        text = text[front.end() :]
    add_markdown(text, assembly, first_line=first_line)


def add_markdown(text: str, assembly: Assembly, *, first_line: int | None = 1) -> None:
    """Append the blocks of a Markdown text; without `first_line` they have no lines."""
    links: dict[str, Any] = {}
    _Walk(assembly, first_line, links).over(_parser().parse(text, links))


@functools.cache
def _parser() -> Any:
    """The block rules run over the whole text, the inline ones only where there may be something inline."""
    parser = load("markdown_it", "markdown-it-py").MarkdownIt("commonmark")
    return parser.enable(["table", "strikethrough"]).disable("inline")


def _add_front_matter(front: re.Match[str], assembly: Assembly) -> None:
    """The plain `key: value` pairs as fields; nested values are left to their programs."""
    for name, value, line in _pairs(front[1], front[2]):
        if name.lower() == "title":
            assembly.title = value
        assembly.add(BlockKind.FIELD, f"{name}: {value}", lines=(line, line))


def _pairs(fence: str, text: str) -> list[tuple[str, str, int]]:
    lines = text.split("\n")
    if fence == "+++":
        return _toml_pairs(text, lines)
    found = []
    for number, line in enumerate(lines, start=2):
        pair = _YAML_PAIR.match(line)
        if pair and not pair[2].startswith(("|", ">", "{", "&", "*", "!", "#")):
            found.append((pair[1], pair[2].strip().strip("[]").strip("\"'"), number))
    return found


def _toml_pairs(text: str, lines: list[str]) -> list[tuple[str, str, int]]:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return []
    found = []
    for name, value in table.items():
        if isinstance(value, dict):
            continue
        shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        numbers = [number for number, line in enumerate(lines, start=2) if line.strip().startswith(name)]
        found.append((name, shown, numbers[0] if numbers else 2))
    return found


class _Walk:
    """One pass over markdown-it's flat tokens, which open and close."""

    def __init__(self, assembly: Assembly, first_line: int | None, links: dict[str, Any]) -> None:
        self._assembly = assembly
        self._links = links
        self._first_line = first_line
        self._items: list[tuple[int, int]] = []
        self._level = 0
        self._table = ""
        self._columns: list[str] = []
        self._row: list[str] = []
        self._row_lines: tuple[int, int] | None = None
        self._in_head = False

    def over(self, tokens: list[Any]) -> None:
        for token in tokens:
            handler = getattr(self, f"_{token.type}", None)
            if handler is not None:
                handler(token)

    def _lines(self, token: Any) -> tuple[int, int] | None:
        if self._first_line is None or token.map is None:
            return None
        first, end = token.map
        return self._first_line + first, self._first_line + max(first, end - 1)

    def _heading_open(self, token: Any) -> None:
        self._level = int(token.tag[1:])

    def _heading_close(self, token: Any) -> None:
        self._level = 0

    def _list_item_open(self, token: Any) -> None:
        self._items.append((token.map[0], token.map[1]))

    def _list_item_close(self, token: Any) -> None:
        self._items.pop()

    def _inline(self, token: Any) -> None:
        text = _inline_text(token.content, self._links)
        if self._table:
            self._row.append(text)
        elif self._level:
            self._assembly.add(BlockKind.HEADING, text, lines=self._lines(token), level=self._level)
        else:
            kind = BlockKind.LIST_ITEM if self._items else BlockKind.PARAGRAPH
            self._assembly.add(kind, text, lines=self._lines(token))

    def _fence(self, token: Any) -> None:
        self._assembly.add(BlockKind.CODE, token.content, lines=self._lines(token))

    _code_block = _fence

    def _html_block(self, token: Any) -> None:
        text = _without_tags(token.content)
        self._assembly.add(BlockKind.PARAGRAPH, text, lines=self._lines(token))

    def _table_open(self, token: Any) -> None:
        self._table = self._assembly.name_table()
        self._columns = []

    def _table_close(self, token: Any) -> None:
        self._table = ""

    def _thead_open(self, token: Any) -> None:
        self._in_head = True

    def _thead_close(self, token: Any) -> None:
        self._in_head = False

    def _tr_open(self, token: Any) -> None:
        self._row = []
        self._row_lines = self._lines(token)

    def _tr_close(self, token: Any) -> None:
        if self._in_head:
            self._columns = self._row
            return
        columns = [*self._columns, *[""] * len(self._row)]
        values = [(column, text, None) for column, text in zip(columns, self._row, strict=False)]
        self._assembly.add_row(values, table=self._table, lines=self._row_lines)


def _without_tags(html: str) -> str:
    """The text between the tags and comments of a block of HTML, in one pass."""
    parts: list[str] = []
    at = 0
    while (tag := html.find("<", at)) >= 0:
        parts.append(html[at:tag])
        close = "-->" if html.startswith("<!--", tag) else ">"
        end = html.find(close, tag)
        at = end + len(close) if end >= 0 else len(html)
    return " ".join([*parts, html[at:]])


def _inline_text(source: str, links: dict[str, Any]) -> str:
    if not _INLINE.search(source):
        return source
    plainer = _CODE_SPAN.sub(" ", source)
    if not _INLINE.search(plainer):
        return _CODE_SPAN.sub(lambda span: span[2].strip() or span[2], source)
    parser = _parser()
    parts: list[str] = []
    tokens: list[Any] = []
    parser.inline.parse(source, parser, links, tokens)
    for child in tokens:
        if child.type in ("text", "text_special", "code_inline"):
            parts.append(child.content)
        elif child.type in ("softbreak", "hardbreak"):
            parts.append(" ")
        elif child.type == "image":
            parts.append(child.content)
        elif child.type == "html_inline" and child.content.lower().startswith("<br"):
            parts.append(" ")
    return "".join(parts)
