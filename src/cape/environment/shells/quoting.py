"""Quoting for POSIX shells and for fish. No text becomes code here."""

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


def fish_quoted(text: str) -> str:
    """The text as one word of fish.

    >>> fish_quoted("it's a \\\\")
    "'it\\\\'s a \\\\\\\\'"
    """
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def fish_value(value: Value) -> str:
    """A value as one word of fish; a list that is no path is joined by spaces, as exporting does."""
    parts = [f'"${part.name}"' if isinstance(part, Reference) else fish_quoted(part) for part in value]
    return "".join(parts) or "''"
