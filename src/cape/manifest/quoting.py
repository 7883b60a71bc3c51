"""Values as TOML text.

Owns writing strings, keys and lists of strings in TOML; reading them is `tomllib`'s.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}


def quoted(text: str) -> str:
    """A text as a basic string.

    >>> quoted('say "hi"')
    '"say \\\\"hi\\\\""'
    """
    return '"' + "".join(_escaped(letter) for letter in text) + '"'


def _escaped(letter: str) -> str:
    if letter in _ESCAPES:
        return _ESCAPES[letter]
    return f"\\u{ord(letter):04x}" if ord(letter) < 32 or ord(letter) == 127 else letter


def quoted_list(items: Sequence[str]) -> str:
    """Texts as a list of basic strings on one line."""
    return "[" + ", ".join(quoted(item) for item in items) + "]"


def key_text(key: str) -> str:
    """A key, bare where TOML allows it."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else quoted(key)
