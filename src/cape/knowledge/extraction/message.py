"""EML: head lines as fields, the newest text, and attachments as part of their message.

What earlier messages said, quoted below, is left out with a note: their own mails hold it.
"""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Callable
from email.message import EmailMessage, MIMEPart

from cape.knowledge.documents import BlockKind
from cape.knowledge.extraction.assembly import Assembly
from cape.knowledge.extraction.decoding import decode
from cape.knowledge.extraction.limits import Limits
from cape.knowledge.extraction.plain import add_text
from cape.knowledge.extraction.reading import Unreadable
from cape.knowledge.extraction.webpage import add_webpage

_FIELDS = ("From", "To", "Cc", "Date", "Subject")
_QUOTE_BEGINS = re.compile(
    r"(?:On .{5,200} wrote|Am .{5,200} schrieb.{0,100}|Le .{5,200} a écrit|El .{5,200} escribió)\s?:\s*\Z"
)
_FORWARDED = re.compile(
    r"-{2,} ?(?:Original Message|Forwarded message|Ursprüngliche Nachricht|Message d'origine) ?-{2,}\s*\Z",
    re.IGNORECASE,
)
_BLOCKQUOTE = re.compile(r"<(/?)blockquote\b[^>]*>", re.IGNORECASE)
_MOST_ATTACHMENTS = 100

ExtractPart = Callable[[str, bytes, Assembly, Limits], None]


def extract_message(data: bytes, assembly: Assembly, limits: Limits, extract_part: ExtractPart) -> None:
    """The blocks of a mail; `extract_part` reads an attachment by its own format. Raises `Unreadable`."""
    message = email.message_from_bytes(data, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    if not any(name in message for name in _FIELDS):
        raise Unreadable("is broken: it has none of a mail's head lines")
    for name in _FIELDS:
        if value := _header(message, name):
            assembly.add(BlockKind.FIELD, f"{name}: {value}", lines=_lines_of_header(data, name))
    assembly.title = _header(message, "Subject")
    _add_body(message, data, assembly)
    _add_attachments(message, assembly, limits, extract_part)


def _header(message: EmailMessage, name: str) -> str:
    """A head line's text; one that breaks the standard is taken as it stands."""
    try:
        return str(message.get(name) or "")
    except (ValueError, IndexError, AttributeError, TypeError, KeyError):
        raw = dict(message.raw_items()).get(name)
        return str(raw or "")


def _lines_of_header(data: bytes, name: str) -> tuple[int, int] | None:
    found = re.search(
        rb"^%b:[^\r\n]*(?:\r?\n[ \t][^\r\n]*)*" % name.encode(), data, re.MULTILINE | re.IGNORECASE
    )
    if found is None:
        return None
    first = data.count(b"\n", 0, found.start()) + 1
    return first, first + found[0].count(b"\n")


def _add_body(message: EmailMessage, data: bytes, assembly: Assembly) -> None:
    body = message.get_body(preferencelist=("plain", "html"))
    if body is None:
        return
    text = _text_of(body, assembly)
    if body.get_content_type() == "text/html":
        add_webpage(_without_quoted_html(text, assembly), assembly, with_lines=False)
    else:
        add_text(_without_quotes(text, assembly), assembly, first_line=_first_line(body, data))


def _first_line(body: MIMEPart, data: bytes) -> int | None:
    """The line of the file that a body begins on; None when its lines are not those of the file."""
    if str(body.get("Content-Transfer-Encoding", "7bit")).lower() not in ("7bit", "8bit", "binary"):
        return None
    raw = body.get_payload(decode=True)
    at = data.find(raw) if isinstance(raw, bytes) and raw.strip() else -1
    return data.count(b"\n", 0, at) + 1 if at >= 0 else None


def _text_of(part: MIMEPart, assembly: Assembly) -> str:
    payload = part.get_payload(decode=True)
    raw = payload if isinstance(payload, bytes) else b""
    try:
        return raw.decode(part.get_content_charset() or "utf-8").replace("\r\n", "\n")
    except (LookupError, UnicodeDecodeError):
        text, notes = decode(raw)
        for note in notes:
            assembly.note(f"in its body: {note}")
        return text


def _without_quotes(text: str, assembly: Assembly) -> str:
    """The text with the lines of earlier messages made empty, so that the others keep their numbers."""
    lines = text.split("\n")
    kept = list(lines)
    for number, line in enumerate(lines):
        if line.startswith(">"):
            kept[number] = ""
        elif _introduces_quote(lines, number):
            kept[number] = ""
            if line.startswith("-"):
                kept[number:] = [""] * (len(kept) - number)
                break
            if not _QUOTE_BEGINS.match(line):
                kept[number + 1] = ""
    if kept != lines:
        assembly.note("what it quotes of earlier messages was left out")
    return "\n".join(kept)


def _introduces_quote(lines: list[str], number: int) -> bool:
    """A line like `On Monday Jo wrote:`, alone or over two lines, with a quote below it."""
    line = lines[number]
    if _FORWARDED.match(line):
        return True
    for used in (1, 2):
        if _QUOTE_BEGINS.match(" ".join(lines[number : number + used])):
            below = next((item for item in lines[number + used : number + used + 3] if item.strip()), "")
            return below.startswith(">")
    return False


def _without_quoted_html(text: str, assembly: Assembly) -> str:
    """The page without its quotes, outermost ones whole."""
    kept: list[str] = []
    depth = at = 0
    for tag in _BLOCKQUOTE.finditer(text):
        if depth == 0:
            kept.append(text[at : tag.start()])
        depth = max(0, depth + (-1 if tag[1] else 1))
        at = tag.end()
    if kept:
        assembly.note("what it quotes of earlier messages was left out")
    return "".join([*kept, text[at:] if depth == 0 else ""])


def _add_attachments(
    message: EmailMessage, assembly: Assembly, limits: Limits, extract_part: ExtractPart
) -> None:
    for number, part in enumerate(message.iter_attachments()):
        name = part.get_filename() or f"attachment {number + 1}"
        if number >= _MOST_ATTACHMENTS:
            assembly.note(f"only its first {_MOST_ATTACHMENTS} attachments were read")
            return
        payload = part.get_payload(decode=True)
        if not isinstance(payload, bytes):
            assembly.note(f"its attachment `{name}` was not read: it is a message")
            continue
        _add_attachment(name, payload, assembly, limits, extract_part)


def _add_attachment(
    name: str, payload: bytes, assembly: Assembly, limits: Limits, extract_part: ExtractPart
) -> None:
    title, notes = assembly.title, assembly.notes
    assembly.add(BlockKind.HEADING, f"Attachment {name}", level=1)
    assembly.attachment, assembly.notes = name, []
    try:
        extract_part(name, payload, assembly, limits)
        notes += [f"in its attachment `{name}`: {note}" for note in assembly.notes]
    except Unreadable as error:
        notes.append(f"its attachment `{name}` was not read: it {error}")
    finally:
        assembly.title, assembly.notes, assembly.attachment = title, notes, ""
