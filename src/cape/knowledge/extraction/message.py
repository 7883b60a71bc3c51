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
    r"(?:On .{5,200} wrote:|Am .{5,200} schrieb.{0,100}:|Le .{5,200} a écrit\s?:"
    r"|-{2,}\s*(?:Original Message|Forwarded message|Ursprüngliche Nachricht)\s*-{2,})\s*\Z"
)
_SIGNATURE = "-- "
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
            assembly.add(BlockKind.FIELD, f"{name}: {value}")
    assembly.title = _header(message, "Subject")
    _add_body(message, assembly)
    _add_attachments(message, assembly, limits, extract_part)


def _header(message: EmailMessage, name: str) -> str:
    """A head line's text; one that breaks the standard is taken as it stands."""
    try:
        return str(message.get(name) or "")
    except (ValueError, IndexError, AttributeError, TypeError, KeyError):
        raw = dict(message.raw_items()).get(name)
        return str(raw or "")


def _add_body(message: EmailMessage, assembly: Assembly) -> None:
    body = message.get_body(preferencelist=("plain", "html"))
    if body is None:
        return
    text = _text_of(body, assembly)
    if body.get_content_type() == "text/html":
        add_webpage(_without_quoted_html(text, assembly), assembly, with_lines=False)
    else:
        add_text(_without_quotes(text, assembly), assembly, first_line=None)


def _text_of(part: MIMEPart, assembly: Assembly) -> str:
    data = part.get_payload(decode=True)
    raw = data if isinstance(data, bytes) else b""
    try:
        return raw.decode(part.get_content_charset() or "utf-8").replace("\r\n", "\n")
    except (LookupError, UnicodeDecodeError):
        text, notes = decode(raw)
        for note in notes:
            assembly.note(f"in its body: {note}")
        return text


def _without_quotes(text: str, assembly: Assembly) -> str:
    """The lines that the writer wrote; the signature goes too when quotes follow it."""
    kept: list[str] = []
    lines = text.split("\n")
    quoted = False
    for number, line in enumerate(lines):
        if _QUOTE_BEGINS.match(" ".join(lines[number : number + 2])) or _QUOTE_BEGINS.match(line):
            rest = [item for item in lines[number + 1 :] if item.strip()]
            if line.startswith("--") or (rest and rest[0].startswith((">", "wrote"))):
                quoted = quoted or bool(rest)
                if line.startswith("--"):
                    break
                continue
        if line.startswith(">"):
            quoted = True
            continue
        kept.append(line)
    if quoted:
        assembly.note("what it quotes of earlier messages was left out")
    return "\n".join(kept)


def _without_quoted_html(text: str, assembly: Assembly) -> str:
    shorter = re.sub(r"<blockquote\b.*?</blockquote>", " ", text, flags=re.DOTALL | re.IGNORECASE)
    if shorter != text:
        assembly.note("what it quotes of earlier messages was left out")
    return shorter


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
    title = assembly.title
    assembly.add(BlockKind.HEADING, f"Attachment {name}", level=1)
    try:
        extract_part(name, payload, assembly, limits)
    except Unreadable as error:
        assembly.note(f"its attachment `{name}` was not read: it {error}")
    finally:
        assembly.title = title
