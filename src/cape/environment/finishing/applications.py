"""Which applications open which types of files: `mimeinfo.cache`, as `update-desktop-database` makes it.

Owns the gathering from applications' own files. Written by us, so that the order does not hang on that of
a directory.
"""

from __future__ import annotations

from pathlib import Path

from cape.environment.finishing.place import put_file

_APPLICATIONS = "usr/share/applications"


def list_applications(root: Path) -> None:
    """Write the list into a root that has applications which open something."""
    top = root / _APPLICATIONS
    found: dict[str, list[str]] = {}
    for file in sorted(top.rglob("*.desktop")):
        name = str(file.relative_to(top)).replace("/", "-")
        for kind in types_of(file.read_text(encoding="utf-8", errors="replace")) if file.is_file() else ():
            found.setdefault(kind, []).append(name)
    if found:
        rows = "".join(f"{kind}={''.join(f'{name};' for name in found[kind])}\n" for kind in sorted(found))
        put_file(root, f"{_APPLICATIONS}/mimeinfo.cache", f"[MIME Cache]\n{rows}".encode())


def types_of(text: str) -> list[str]:
    """The types that an application's file says it opens; none for a hidden one.

    >>> types_of("[Desktop Entry]\\nMimeType=image/png;image/gif;\\n[Desktop Action a]\\nMimeType=a/b;\\n")
    ['image/png', 'image/gif']
    """
    fields: dict[str, str] = {}
    group = ""
    for line in text.splitlines():
        if line.startswith("["):
            group = line.strip()
        elif group == "[Desktop Entry]" and "=" in line:
            key, _, value = line.partition("=")
            fields.setdefault(key.strip(), value.strip())
    if fields.get("Hidden") == "true":
        return []
    return list(dict.fromkeys(kind for kind in fields.get("MimeType", "").split(";") if kind.strip()))
