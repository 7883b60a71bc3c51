"""Quoting for POSIX shells. No text becomes code here."""

from __future__ import annotations

from cape.environment.activation import Reference, Value


def quoted(text: str) -> str:
    """The text as one word of a POSIX shell.

    >>> quoted("it's")
    "'it'\\\\''s'"
    """
    return "'" + text.replace("'", "'\\''") + "'"


def quoted_value(value: Value) -> str:
    """A value as one word; references give what the variable then holds, or nothing.

    >>> quoted_value((Reference("HOME"), "/x y"))
    '"${HOME-}"\\'/x y\\''
    """
    parts = [f'"${{{part.name}-}}"' if isinstance(part, Reference) else quoted(part) for part in value]
    return "".join(parts) or "''"
