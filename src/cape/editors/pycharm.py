"""PyCharm: the interpreter that a project's files name.

An interpreter is known to PyCharm by a name, whose path is in its own settings, which no other program may
write while it runs; so the project gets the name, and the user adds the path once.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from cape.errors import InputError

EMPTY = '<?xml version="1.0" encoding="UTF-8"?>\n<project version="4">\n</project>\n'
"""A project file that says nothing."""

_BARE = '<component name="ProjectRootManager" version="2" />'
_COMPONENT = re.compile(r"<component\b[^>]*\bname=\"ProjectRootManager\"[^>]*?(/?)>")
_ATTRIBUTES = ("project-jdk-name", "project-jdk-type")


class BadProjectFile(InputError):
    """A project file of PyCharm's that is no such XML."""

    slug = "bad-editor-project-file"


def with_interpreter(text: str, interpreter: str) -> str:
    """The text of `misc.xml` with that interpreter's name; the rest keeps its bytes.

    Raises `BadProjectFile`.
    """
    text = text if text.strip() else EMPTY
    _check(text)
    names = dict(zip(_ATTRIBUTES, (interpreter, "Python SDK"), strict=True))
    found = _COMPONENT.search(text)
    if found is None:
        attributes = " ".join(f"{key}={_quoted(value)}" for key, value in names.items())
        component = f'  <component name="ProjectRootManager" version="2" {attributes} />\n'
        if "</project>" in text:
            return text.replace("</project>", f"{component}</project>")
        return re.sub(r"\s*/>\s*$", lambda _: f">\n{component}</project>\n", text)
    tag = found.group()
    for key, value in names.items():
        tag = _set(tag, key, value)
    return text[: found.start()] + tag + text[found.end() :]


def without_interpreter(text: str, interpreter: str) -> str:
    """The text without that interpreter's name, if it is the one that stands there."""
    if not text.strip():
        return text
    _check(text)
    found = _COMPONENT.search(text)
    if found is None or f"project-jdk-name={_quoted(interpreter)}" not in found.group():
        return text
    tag = found.group()
    for key in _ATTRIBUTES:
        tag = re.sub(rf'\s+{key}="[^"]*"', "", tag)
    text = text[: found.start()] + tag + text[found.end() :]
    return text.replace(f"  {_BARE}\n", "") if tag == _BARE else text


def _quoted(value: str) -> str:
    return '"' + escape(value, {'"': "&quot;"}) + '"'


def _set(tag: str, key: str, value: str) -> str:
    written = f"{key}={_quoted(value)}"
    if re.search(rf'\s{key}="', tag):
        return re.sub(rf'(?<=\s){key}="[^"]*"', lambda _: written, tag)
    return re.sub(r"\s*(/?)>$", lambda end: f" {written}{' /' if end.group(1) else ''}>", tag)


def _check(text: str) -> None:
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise BadProjectFile("`misc.xml` has a document type, which PyCharm never writes")
    try:
        root = ElementTree.fromstring(text.encode())
    except ElementTree.ParseError as error:
        line, column = error.position
        raise BadProjectFile(
            "this is no XML", where=f"{line}:{column + 1}", hint="mend the file, or move it away"
        ) from error
    if root.tag != "project":
        raise BadProjectFile(f"`<{root.tag}>` is no project of PyCharm's")
