"""`#!` lines: the placeholder that an object holds, and the final path that an environment puts there.

Owns which interpreter a line names after relocation, and the prologues that stand in for lines that are
too long for the kernel. Reading and writing of the files belongs to others.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from cape.environment.relocation.paths import in_root

PLACEHOLDER = b"/@cape-env@"
"""Stands in an object's files where the environment's own path goes."""

END_OF_ROOM = b"\1"
"""Ends the zeros behind a placeholder in a library: what lies behind is not ours."""

LONGEST_LINE = 127
"""Bytes of a `#!` line, its newline not counted, that every kernel reads whole."""

_LINE = re.compile(rb"#![ \t]*([^ \t\n]+)([^\n]*)")
_PADDED = re.compile(re.escape(PLACEHOLDER) + rb"([^\0]*)\0+(?=" + END_OF_ROOM + rb")")
_PYTHON = re.compile(r"(python|pypy)w?[\d.]*\Z")
_CODING = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")


def with_placeholder(data: bytes, *, below_root: bool) -> bytes | None:
    """The script with an interpreter inside of the environment, or None when the line stays.

    `below_root` tells system packages from wheels and npm packages: there, Python is the environment's
    virtual one, as installers of wheels have it (`#!python` included).
    """
    match = _LINE.match(data)
    if match is None or match[1].startswith(PLACEHOLDER):
        return None
    interpreter = _interpreter(match[1].decode(errors="surrogateescape"), below_root=below_root)
    if interpreter is None:
        return None
    line = b"#!" + PLACEHOLDER + b"/" + interpreter.encode(errors="surrogateescape") + match[2].rstrip()
    return line + data[match.end() :]


def _interpreter(path: str, *, below_root: bool) -> str | None:
    name = posixpath.basename(path)
    if "\r" in path:
        return None
    if not below_root and _PYTHON.match(name) and (path == name or path.startswith("/usr/bin/")):
        return "bin/python3"
    if not path.startswith("/") or path.startswith("/usr/local/"):
        return None
    inside = in_root(path)
    return f"root/{inside}" if inside is not None and inside.startswith("usr/") else None


def is_private(data: bytes) -> bool:
    """Whether a script holds the placeholder in its first line."""
    return data.startswith(b"#!") and PLACEHOLDER in data.split(b"\n", 1)[0]


def personalise(data: bytes, environment: Path) -> bytes:
    """A private file's bytes with the environment's own path in place of the placeholder.

    A `#!` line that becomes too long for the kernel, or has a blank in the environment's path, is
    replaced by a prologue that `/bin/sh` runs and that the script's own language ignores, so that `$0`,
    arguments and standard input stay what they are; languages that allow none get the script as a
    here-document. In a program or library the path takes the zeros behind it, and where they are too
    few the placeholder stays.
    """
    place = str(environment).encode(errors="surrogateescape")
    if data.startswith(b"\x7fELF"):
        return _PADDED.sub(lambda found: _filled(found, place), data)
    match = _LINE.match(data) if is_private(data) else None
    personal = data.replace(PLACEHOLDER, place)
    if match is None:
        return personal
    line, interpreter, argument = (part.replace(PLACEHOLDER, place) for part in match.group(0, 1, 2))
    if len(line) <= LONGEST_LINE and len(interpreter.split()) == 1:
        return personal
    return _prologue(interpreter, argument.strip(b" \t"), personal, len(line))


def _filled(found: re.Match[bytes], place: bytes) -> bytes:
    text = place + found[1]
    return text.ljust(len(found[0]), b"\0") if len(text) < len(found[0]) else found[0]


def _prologue(interpreter: bytes, argument: bytes, data: bytes, line_end: int) -> bytes:
    command = b" ".join(_quoted(word) for word in (interpreter, argument) if word)
    rest = data[line_end:]
    language = _language(interpreter, argument)
    if language == "python":
        return _python_prologue(command, rest)
    if language == "shell":
        return b"#!/bin/sh\n" + _SHELL % command + rest
    if language == "javascript":
        return b"#!/bin/sh\n':' //; exec " + command + b' "$0" "$@"' + rest
    if language in ("perl", "ruby"):
        return b"#!/bin/sh\nexec " + command + b' -x "$0" "$@"\n' + data
    return _here_document(command, data)


# The first pass runs the real shell on the same file; the second one goes on below.
_SHELL = (
    b'case "${CAPE_SCRIPT-}" in "$0") unset CAPE_SCRIPT ;; '
    b'*) CAPE_SCRIPT=$0; export CAPE_SCRIPT; exec %s "$0" "$@" ;; esac'
)

_LANGUAGES = {
    "sh": "shell", "dash": "shell", "bash": "shell", "ksh": "shell", "zsh": "shell", "mksh": "shell",
    "node": "javascript", "nodejs": "javascript", "bun": "javascript",
    "perl": "perl", "ruby": "ruby",
}  # fmt: skip


def _language(interpreter: bytes, argument: bytes) -> str:
    name = posixpath.basename(interpreter).decode(errors="replace")
    if name == "env":
        words = argument.decode(errors="replace").split()
        words = [word for word in words if word != "-S" and "=" not in word]
        name = posixpath.basename(words[0]) if words else ""
        if "perl" in name or "ruby" in name:  # -x would be env's
            return "other"
    if _PYTHON.match(name):
        return "python"
    return _LANGUAGES.get(re.sub(r"[\d.]+\Z", "", name), "other")


def _python_prologue(command: bytes, rest: bytes) -> bytes:
    """A line that is a comment to Python, where a form feed is a blank, and a command to sh.

    A string, the usual trick, would push `from __future__` from its place. The command named by the
    first word does not exist; its complaint goes nowhere. A coding cookie of line two is repeated here.
    """
    second = rest.split(b"\n", 2)[1:2]
    coding = _CODING.match(second[0]) if second else None
    cookie = b" # coding: " + coding[1] if coding else b""
    return b"#!/bin/sh\n\f# 2>/dev/null; exec " + command + b' "$0" "$@"' + cookie + rest


def _here_document(command: bytes, data: bytes) -> bytes:
    end = b"@cape-end-of-script@"
    body = data if data.endswith(b"\n") else data + b"\n"
    return b"#!/bin/sh\nexec " + command + b' /dev/fd/9 "$@" 9<<\'' + end + b"'\n" + body + end + b"\n"


def _quoted(word: bytes) -> bytes:
    return b"'" + word.replace(b"'", b"'\\''") + b"'"
