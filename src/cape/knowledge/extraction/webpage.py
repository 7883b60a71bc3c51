"""HTML, by the standard library's lenient parser, which knows the line of each tag.

What surrounds every page of a site (navigation, headers, footers, scripts, forms) is left out.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

from cape.knowledge.documents import BlockKind
from cape.knowledge.extraction.assembly import Assembly
from cape.knowledge.extraction.decoding import decode
from cape.knowledge.extraction.limits import Limits

_DROPPED = frozenset(
    [
        "nav",
        "script",
        "style",
        "noscript",
        "template",
        "svg",
        "math",
        "iframe",
        "object",
        "form",
        "button",
        "select",
        "textarea",
        "dialog",
        "menu",
    ]
)
_SURROUNDING = frozenset(("header", "footer", "aside"))
_ROLES = frozenset(("navigation", "banner", "contentinfo", "search", "complementary", "menu", "menubar"))
_HEADINGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
_BREAKS = _HEADINGS | frozenset(
    [
        "p",
        "div",
        "section",
        "article",
        "main",
        "body",
        "li",
        "ul",
        "ol",
        "dl",
        "dt",
        "dd",
        "blockquote",
        "pre",
        "table",
        "tr",
        "td",
        "th",
        "caption",
        "hr",
        "figure",
        "figcaption",
        "header",
        "footer",
        "aside",
        "address",
        "details",
        "summary",
        "center",
        "thead",
        "tbody",
        "tfoot",
    ]
)
_VOID = frozenset(
    [
        "area",
        "base",
        "br",
        "col",
        "embed",
        "hr",
        "img",
        "input",
        "link",
        "meta",
        "param",
        "source",
        "track",
        "wbr",
    ]
)
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:-]+)", re.IGNORECASE)
_DEEPEST = 400

# The library looks for the end of each tag that has none in all that follows. A page of such tags would take
# it hours; there they are text. Where there are few, its own way is the better one.
_UNCLOSED = re.compile(r"<(?!!--)(?=[^<>]*(?:<|\Z))")
_MANY_UNCLOSED = 200


def extract_webpage(data: bytes, assembly: Assembly, limits: Limits) -> None:
    """The main text of a page, its lists and its tables, with lines."""
    text, notes = _decode_page(data)
    for note in notes:
        assembly.note(note)
    if len(text) > limits.text_chars:
        text = text[: limits.text_chars]
        assembly.note("only its beginning was read: the page is too long")
    add_webpage(text, assembly)


def add_webpage(text: str, assembly: Assembly, *, with_lines: bool = True) -> None:
    """Append the blocks of a page."""
    if text.count("<") - text.count(">") > _MANY_UNCLOSED:
        text = _UNCLOSED.sub("&lt;", text)
    page = _Page(assembly, with_lines)
    page.feed(text)
    page.close()
    page.end_block()


def _decode_page(data: bytes) -> tuple[str, tuple[str, ...]]:
    """A page may name its encoding itself; a wrong name is passed over."""
    named = _CHARSET.search(data[:4096])
    if named and named[1].lower() not in (b"utf-8", b"utf8") and b"\0" not in data[:4096]:
        try:
            text = data.decode(named[1].decode("ascii"))
            return text.replace("\r\n", "\n").replace("\r", "\n"), ()
        except (LookupError, UnicodeDecodeError):
            pass
    return decode(data)


_INVISIBLE_STYLE = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|opacity\s*:\s*0(?:\.0+)?\s*(?:;|$)|"
    r"font-size\s*:\s*0(?:\.0+)?(?:px|pt|em|rem|%)?\s*(?:;|!|$)|text-indent\s*:\s*-\d{3,}|"
    r"(?:left|top|right)\s*:\s*-\d{3,}|clip\s*:\s*rect\(0|color\s*:\s*transparent",
    re.IGNORECASE,
)
_COLOUR = re.compile(r"(?:^|;)\s*(color|background(?:-color)?)\s*:\s*([^;!]+)", re.IGNORECASE)
_WHITE = frozenset(("white", "#fff", "#ffffff", "rgb(255,255,255)", "snow", "#fefefe", "ivory"))


def _is_invisible(attributes: dict[str, str | None]) -> bool:
    """Whether an element's own attributes keep it from being seen: no size, no place, no colour of its "
    "own."""
    style = attributes.get("style") or ""
    if _INVISIBLE_STYLE.search(style):
        return True
    colours = {name.lower(): "".join(value.split()).lower() for name, value in _COLOUR.findall(style)}
    written = colours.get("color") or (attributes.get("color") or "").lower()
    behind = (
        colours.get("background-color")
        or colours.get("background")
        or (attributes.get("bgcolor") or "").lower()
    )
    return bool(written) and (written == behind or (written in _WHITE and (not behind or behind in _WHITE)))


class _Table:
    """A table that is open: its heading cells, and the row at hand."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.columns: list[str] = []
        self.row: list[tuple[str, bool, int]] = []
        self.spans: dict[int, tuple[int, str]] = {}
        self.rows = 0
        self.span = 1
        self.rowspan = 1
        self.line = 0


class _Page(HTMLParser):
    """Walks over a page's tags; text gathers until a tag ends the block that it belongs to."""

    def __init__(self, assembly: Assembly, with_lines: bool) -> None:
        super().__init__(convert_charrefs=True)
        self._assembly = assembly
        self._with_lines = with_lines
        self._open: list[str] = []
        self._dropped_at: int | None = None
        self._text: list[str] = []
        self._first = self._last = 1
        self._tables: list[_Table] = []
        self._in_title = False

    # Tags

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "br":
            self._text.append("\n")
        if tag in _VOID:
            return
        if len(self._open) < _DEEPEST:
            self._close_implied(tag)
            self._open.append(tag)
        if self._dropped_at is not None:
            return
        if self._is_dropped(tag, dict(attrs)):
            self.end_block()
            self._dropped_at = len(self._open)
            return
        if tag in _BREAKS and not (self._tables and tag not in ("table", "tr", "td", "th", "caption")):
            self.end_block()
        elif tag in _BREAKS:
            self._text.append(" ")
        self._start(tag, dict(attrs))

    def _is_dropped(self, tag: str, attributes: dict[str, str | None]) -> bool:
        if tag in _DROPPED or "hidden" in attributes or attributes.get("aria-hidden") == "true":
            return True
        if (attributes.get("role") or "").lower() in _ROLES:
            return True
        if _is_invisible(attributes):
            self._assembly.note("its hidden text was not read")
            return True
        return tag in _SURROUNDING and not {"article", "main"} & set(self._open[:-1])

    def _start(self, tag: str, attributes: dict[str, str | None]) -> None:
        if tag == "title":
            self._in_title = True
        elif tag == "table":
            self._tables.append(_Table(self._assembly.name_table()))
        elif tag == "tr" and self._tables:
            self._tables[-1].row, self._tables[-1].line = [], self.getpos()[0]
        elif tag in ("td", "th") and self._tables:
            self._tables[-1].span = _number(attributes.get("colspan"))
            self._tables[-1].rowspan = _number(attributes.get("rowspan"))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self._open:
            return
        while self._open:
            closed = self._open.pop()
            self._end(closed)
            if closed == tag:
                break

    def _close_implied(self, tag: str) -> None:
        """`<li>`, `<p>`, `<td>` and their like may end without saying so."""
        ends = {
            "li": ("li", ("ul", "ol")),
            "td": ("td th", ("tr",)),
            "th": ("td th", ("tr",)),
            "tr": ("tr td th", ("table", "tbody", "thead", "tfoot")),
            "dt": ("dt dd", ("dl",)),
            "dd": ("dt dd", ("dl",)),
        }.get(tag)
        if tag in _BREAKS and self._open and self._open[-1] == "p":
            self.handle_endtag("p")
        if ends is None:
            return
        closing, within = ends[0].split(), ends[1]
        for position in range(len(self._open) - 1, -1, -1):
            if self._open[position] in within:
                return
            if self._open[position] in closing:
                while len(self._open) > position:
                    self._end(self._open.pop())

    def _end(self, tag: str) -> None:
        if self._dropped_at is not None:
            if len(self._open) < self._dropped_at:
                self._dropped_at = None
                self._text.clear()
            return
        if tag == "title":
            self._assembly.title = "".join(self._text)
            self._text.clear()
            self._in_title = False
        elif tag in ("td", "th") and self._tables:
            self._end_cell(tag == "th")
        elif tag == "tr" and self._tables:
            self._end_row(self._tables[-1])
        elif tag == "table" and self._tables:
            self._end_row(self._tables[-1])
            self.end_block()
            self._tables.pop()
        elif (tag in _BREAKS and not self._tables) or tag == "caption":
            self.end_block(tag)

    def parse_html_declaration(self, i: int) -> int:
        """The library gives up a page for a `<![` that it does not know; it is passed over here."""
        if not self.rawdata.startswith("<![", i):
            return super().parse_html_declaration(i)
        end = self.rawdata.find(">", i)
        return end + 1 if end >= 0 else -1

    # Text

    def handle_data(self, data: str) -> None:
        if self._dropped_at is not None:
            return
        if not data.strip() and not self._text:
            return
        line = self.getpos()[0]
        if not self._text:
            self._first = line + data[: len(data) - len(data.lstrip())].count("\n")
        if data.strip():
            self._last = line + data.rstrip().count("\n")
        self._text.append(data)

    def end_block(self, tag: str = "") -> None:
        """Write what has gathered, as what the innermost tag says that it is."""
        text = "".join(self._text)
        self._text.clear()
        if not text.strip() or self._in_title:
            return
        lines = (self._first, max(self._first, self._last)) if self._with_lines else None
        within = [*self._open, tag]
        if heading := next((name for name in reversed(within) if name in _HEADINGS), None):
            self._assembly.add(BlockKind.HEADING, text, lines=lines, level=int(heading[1]))
        elif "pre" in within:
            self._assembly.add(BlockKind.CODE, text, lines=lines)
        elif {"li", "dd"} & set(within):
            self._assembly.add(BlockKind.LIST_ITEM, text, lines=lines)
        else:
            self._assembly.add(BlockKind.PARAGRAPH, text, lines=lines)

    # Tables

    def _end_cell(self, is_heading: bool) -> None:
        table = self._tables[-1]
        text = " ".join("".join(self._text).split())
        self._text.clear()
        self._fill_spanned(table)
        for _ in range(table.span):
            if table.rowspan > 1:
                table.spans[len(table.row)] = (table.rowspan - 1, text)
            table.row.append((text, is_heading, 0))

    def _fill_spanned(self, table: _Table) -> None:
        """Cells that reach down from rows above stand in this row too."""
        while (spanned := table.spans.get(len(table.row))) is not None:
            left, text = spanned
            del table.spans[len(table.row)]
            if left > 1:
                table.spans[len(table.row)] = (left - 1, text)
            table.row.append((text, False, 0))

    def _end_row(self, table: _Table) -> None:
        self._fill_spanned(table)
        row, table.row = table.row, []
        if not row:
            return
        if all(is_heading for _, is_heading, _ in row) and table.rows == 0:
            table.columns = _joined_headings(table.columns, [text for text, _, _ in row])
            return
        table.rows += 1
        columns = [*table.columns, *[""] * len(row)]
        lines = (table.line, self.getpos()[0]) if self._with_lines else None
        values = [(column, text, None) for column, (text, _, _) in zip(columns, row, strict=False)]
        self._assembly.add_row(values, table=table.name, lines=lines)


def _joined_headings(above: list[str], below: list[str]) -> list[str]:
    """Two rows of headings as one: `2023` above `Q1` is `2023 Q1`."""
    width = max(len(above), len(below))
    above, below = above + [""] * (width - len(above)), below + [""] * (width - len(below))
    return [
        top if top == under else f"{top} {under}".strip() for top, under in zip(above, below, strict=True)
    ]


def _number(text: str | None) -> int:
    return min(int(text), 1000) if text and text.isdecimal() and int(text) else 1
