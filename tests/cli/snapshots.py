"""Texts that are compared with files of `snapshots/`, and the filters that take out what varies."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from tests.end_to_end.harness import Done, Project

SNAPSHOTS = Path(__file__).parent / "snapshots"
UPDATE = "CAPE_UPDATE_SNAPSHOTS"

FILTERS: tuple[tuple[str, str], ...] = (
    (r"sha256:[0-9a-f]{64}", "sha256:[DIGEST]"),
    (r"\b[0-9a-f]{32}\b", "[IDENTITY]"),
    (r"\b(?=[0-9a-f]*\d)[0-9a-f]{12}\b", "[SHORT]"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "[TIME]"),
    (r"(?<=\[TIME\]  )\S+(?=  cape )", "[USER]"),
    (r"\"created_s\": [\d.]+", '"created_s": [SECONDS]'),
    (r"\b(?:\d+ min )?\d+(?:\.\d)? s\b", "[DURATION]"),
    (r"\b\d+ hashed again", "[COUNT] hashed again"),
    (r"\d+\.\d GB free", "[FREE] free"),
    (r" *\b\d+(?:\.\d)? (?:B|kB|MB)\b", " [SIZE]"),
    (r"\( \[SIZE\]", "([SIZE]"),
    (r"http://127\.0\.0\.1:\d+", "[REGISTRY]"),
    (r"\buv \d+\.\d+\.\d+", "uv [VERSION]"),
    (r"\b(?:x86_64|aarch64)-linux$", "[SYSTEM]"),
)
"""What is replaced, in this order, after the project's own paths."""


def filtered(text: str, project: Project) -> str:
    """`text` with the project's directory, its store, and everything of `FILTERS` replaced by names."""
    places = {str(project.store): "[STORE]", str(project.directory): "[PROJECT]"}
    places[str(project.directory.parent)] = "[PLACE]"
    for place, name in places.items():
        text = text.replace(place, name)
    for pattern, name in FILTERS:
        text = re.sub(pattern, name, text, flags=re.MULTILINE)
    return text


def transcript(project: Project, commands: Sequence[Sequence[str]]) -> str:
    """Run commands one after another; what each printed, and its exit code, as text."""
    return "\n".join(told(project, project.cape(*words)) for words in commands)


def told(project: Project, done: Done) -> str:
    """One command as a part of a transcript."""
    lines = [f"$ cape {' '.join(repr(word) if ' ' in word else word for word in done.words)}"]
    for name, text in (("stdout", done.stdout), ("stderr", done.stderr)):
        lines += [f"--- {name}", text.rstrip("\n")] if text else []
    lines.append(f"--- exit code {done.code}\n")
    return filtered("\n".join(lines), project)


def check(name: str, text: str) -> None:
    """Compare a text with its snapshot; with `$CAPE_UPDATE_SNAPSHOTS`, write it."""
    path = SNAPSHOTS / f"{name}.txt"
    if os.environ.get(UPDATE):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"there is no snapshot `{path.name}`: {UPDATE}=1 make test"
    assert text == path.read_text(encoding="utf-8"), f"`{path.name}` differs: {UPDATE}=1 make test writes it"
