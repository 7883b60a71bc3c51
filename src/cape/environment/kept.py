"""What a generation keeps of the manifests that were included, so that it needs none of them any more.

Owns `includes.json` and `include-N.toml` of a generation, `project.json` and `own-N` for files of the
project that ask for packages, the manifest that they and its `cape.toml` come
to, and the comparison with what is there now. It fetches nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cape.manifest import Included, Manifest, compose, environment_of, parse_manifest
from cape.manifest.include import Wanted
from cape.names import Digest, write_atomically

INCLUDES = "includes.json"
OWN = "project.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnFiles:
    """Files of the project that ask for packages, relative to it, and packages that are part of it.

    `locals` are names and directories of packages that are part of the project, below `home`, the directory
    of its `package.json`.
    """

    files: tuple[str, ...] = ()
    home: str = "."
    locals: tuple[tuple[str, str], ...] = ()


def keep_own_files(project: Path, directory: Path, own: OwnFiles) -> None:
    """Copy the project's own files into a generation's directory; those that are there already are renewed.

    Nothing is written where there are none, and there were none.
    """
    rows = []
    for number, name in enumerate(own.files):
        try:
            data = (project / name).read_bytes()
        except FileNotFoundError:
            continue
        kept = f"own-{number}"
        _renew(directory / kept, data)
        rows.append({"file": name, "kept": kept})
    if rows or (directory / OWN).exists():
        record = {"schema_version": 1, "files": rows, "home": own.home, "locals": own.locals}
        _renew(directory / OWN, json.dumps(record, indent=1).encode() + b"\n")


def _renew(file: Path, data: bytes) -> None:
    if not file.exists() or file.read_bytes() != data:
        write_atomically(file, data, mode=0o600)


def kept_locals(directory: Path) -> tuple[str, list[tuple[str, str]]]:
    """The directory of `package.json`, and names and directories of the packages that were part of it."""
    own = _own(directory)
    return own.get("home", "."), [(str(name), str(place)) for name, place in own.get("locals", ())]


def _own(directory: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((directory / OWN).read_bytes()))
    except FileNotFoundError:
        return {}


def keep_included(directory: Path, included: Sequence[Included]) -> None:
    """Write the texts of included manifests into a generation's directory; nothing where there are none."""
    rows = []
    for number, one in enumerate(included):
        file = f"include-{number}.toml"
        (directory / file).write_text(one.text, encoding="utf-8")
        rows.append(
            {
                "name": one.name,
                "file": file,
                "place": one.place,
                "expression": one.expression,
                "checkout": str(one.checkout) if one.checkout else None,
                "commit": one.commit,
            }
        )
    if rows:
        text = json.dumps({"schema_version": 1, "included": rows}, indent=1)
        (directory / INCLUDES).write_text(text + "\n", encoding="utf-8")


def kept_manifest(project: Path, directory: Path, *, environment: str | None = None) -> Manifest:
    """The composed manifest of a generation in `directory`, as it is for a project at `project`."""
    text = (directory / "cape.toml").read_text(encoding="utf-8", errors="replace")
    manifest = parse_manifest(text, path=project / "cape.toml")
    return environment_of(compose(manifest, _Kept(project, directory)), environment)


def live_files(project: Path, directory: Path) -> Iterator[tuple[Path, Path]]:
    """The files of included manifests and of the project that may change, each with the copy that the
    generation keeps."""
    for row in _own(directory).get("files", ()):
        yield project / row["file"], directory / row["kept"]
    seen = set()
    for row in _rows(directory):
        file = _directory(project, row) / "cape.toml"
        if row["checkout"] is None and file not in seen:
            seen.add(file)
            yield file, directory / row["file"]


def same_included(directory: Path, included: Sequence[Included]) -> bool:
    """Whether a generation keeps exactly these includes."""
    rows = _rows(directory)
    kept = [(row["name"], row["expression"], Digest.of_file(directory / row["file"])) for row in rows]
    return kept == [(one.name, one.expression, one.digest) for one in included]


def checkouts_of(directory: Path) -> set[str]:
    """The commits whose checkouts a generation needs."""
    return {Path(row["checkout"]).name for row in _rows(directory) if row["checkout"]}


class _Kept:
    """Opens the includes that a generation keeps."""

    def __init__(self, project: Path, directory: Path) -> None:
        self._project = project
        self._directory = directory
        self._rows = {row["name"]: row for row in _rows(directory)}

    def open(self, wanted: Wanted, name: str, above: Included | None, manifest: Manifest) -> Included:
        row = self._rows[name]
        text = (self._directory / row["file"]).read_text(encoding="utf-8")
        return Included(
            name=name,
            place=row["place"],
            path=wanted.path,
            directory=_directory(self._project, row),
            expression=row["expression"],
            digest=Digest.of(text.encode()),
            text=text,
            url=wanted.url,
            ref=wanted.ref,
            commit=row["commit"],
            checkout=Path(row["checkout"]) if row["checkout"] else None,
            is_git=wanted.is_git,
        )


def _rows(directory: Path) -> list[dict[str, Any]]:
    try:
        return list(json.loads((directory / INCLUDES).read_bytes())["included"])
    except FileNotFoundError:
        return []


def _directory(project: Path, row: dict[str, Any]) -> Path:
    """Where an include is, for a project that may have moved."""
    expression = str(row["expression"])
    return Path(expression.replace("$CAPE_PROJECT", str(project), 1))
