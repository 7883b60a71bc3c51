"""The list of manuals that `info` and Emacs begin with: `/usr/share/info/dir`.

Owns the gathering of the entries that manuals bring, which Debian's `install-info` joins.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from cape.environment.finishing.place import put_file

_MANUALS = "usr/share/info"
_HEAD = """This is the file .../info/dir, which contains the
topmost node of the Info hierarchy, called (dir)Top.
\x1f
File: dir,\tNode: Top,\tThis is the top of the INFO tree.

* Menu:
"""
_MARK = re.compile(
    r"^INFO-DIR-SECTION[ \t]+([^\n]*\S)|^START-INFO-DIR-ENTRY[^\n]*\n(.*?)^END-INFO-DIR-ENTRY",
    re.MULTILINE | re.DOTALL,
)
_LARGEST_HEAD = 1 << 16


def list_manuals(root: Path) -> None:
    """Write the list into a root that has manuals and no list."""
    files = sorted((root / _MANUALS).glob("*.info*"))
    if not files or (root / _MANUALS / "dir").exists():
        return
    sections: dict[str, list[str]] = {}
    for file in files:
        for section, entry in entries(_head(file)):
            known = sections.setdefault(section, [])
            if entry not in known:
                known.append(entry)
    if sections:
        put_file(root, f"{_MANUALS}/dir", render_list(sections).encode())


def render_list(sections: dict[str, list[str]]) -> str:
    """The list's text: sections and their entries in order of the alphabet."""
    parts = [
        f"\n{name}\n" + "".join(sorted(sections[name], key=str.casefold))
        for name in sorted(sections, key=str.casefold)
    ]
    return _HEAD + "".join(parts)


def entries(text: str) -> Iterator[tuple[str, str]]:
    """(section, lines) of each entry that a manual's text brings.

    >>> head = "INFO-DIR-SECTION Text\\nSTART-INFO-DIR-ENTRY\\n* Ed: (ed).  Edits.\\nEND-INFO-DIR-ENTRY\\n"
    >>> list(entries(head))
    [('Text', '* Ed: (ed).  Edits.\\n')]
    """
    section = "Miscellaneous"
    for found in _MARK.finditer(text):
        if found[1]:
            section = found[1]
        else:
            yield section, found[2]


def _head(file: Path) -> str:
    """The beginning of a manual; empty for the further parts of one, and for broken files."""
    try:
        with gzip.open(file) if file.suffix == ".gz" else open(file, "rb") as stream:
            return stream.read(_LARGEST_HEAD).decode(errors="replace")
    except (OSError, EOFError, zlib.error):
        return ""
