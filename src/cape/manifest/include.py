"""`[include]`: which manifests a manifest builds on, in which order, and what of it cannot be meant.

Owns reading the list of includes, the order of layers, rings, and names. It reads no file: whoever opens
an include passes an `Opener`. What layers come to is `merge`'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cape.manifest.errors import IncludeCycle, ManifestError
from cape.manifest.model import Included, Manifest
from cape.manifest.naming import file_name_rule

PLAIN_DIRECTORY = re.compile(r"[^$`\"'\\;&|<>()*?\[\]{}#!\n~]+\Z")
"""A directory that shell text can hold as it is."""

_CREDENTIALS = re.compile(r"[a-z+]+://[^/@]*:[^/@]*@|https?://[^/@]+@", re.IGNORECASE)
_SCHEME = re.compile(r"(?:https?|ssh|git|file)://.|[^/:]+@[^/:]+:.|\.{0,2}/", re.IGNORECASE)
_REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/@+-]*\Z")


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """One row of `include.environments`; `where` is its place in the manifest that includes."""

    name: str
    path: str
    url: str | None
    ref: str | None
    where: str

    @property
    def is_git(self) -> bool:
        return self.url is not None


class Opener(Protocol):
    """Brings the text of an include."""

    def open(self, wanted: Wanted, name: str, above: Included | None, manifest: Manifest) -> Included:
        """The include, as `manifest` wants it; `above` is the include that `manifest` is, None for the
        root. Raises `ManifestError`, `SourceError`, `StateError`.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """One manifest of a composition; `below` are the places of all that it includes, at any depth."""

    manifest: Manifest
    included: Included | None
    below: frozenset[str]


def wanted_includes(manifest: Manifest) -> tuple[Wanted, ...]:
    """What a manifest includes, in its order: the later goes over the earlier."""
    items: Sequence[Mapping[str, Any]] = manifest.include.get("environments", ())  # type: ignore[assignment]
    return tuple(
        Wanted(
            name=_name(item),
            path=str(item.get("path", ".")),
            url=item.get("git"),
            ref=item.get("ref"),
            where=manifest.origins.get(f"include.{index}", str(manifest.path)),
        )
        for index, item in enumerate(items)
    )


def _name(item: Mapping[str, Any]) -> str:
    if "name" in item:
        return str(item["name"])
    path = str(item.get("path", "")).rstrip("/").rpartition("/")[2]
    if path in ("", ".", "..") and "git" in item:
        path = re.split(r"[/:]", str(item["git"]).rstrip("/"))[-1].removesuffix(".git")
    return path


def faults_of(items: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, str | None, str, str | None]]:
    """What cannot be meant: the item's index, the key (None: the item), a fact and a hint."""
    names: dict[str, int] = {}
    for index, item in enumerate(items):
        found = (*_path_faults(item), *_git_faults(item))
        yield from ((index, *fault) for fault in found)
        name = _name(item)
        if name in names:
            fact = f"two included environments are called `{name}`"
            yield index, "name" if "name" in item else None, fact, "give one another `name`"
        elif name and not found and (rule := file_name_rule(name)):
            key, hint = ("name", rule) if "name" in item else (None, "give it a `name` of its own")
            yield index, key, f"`{name}` is no name for an include", hint
        names.setdefault(name, index)


def _path_faults(item: Mapping[str, Any]) -> Iterator[tuple[str | None, str, str | None]]:
    path = str(item.get("path", ""))
    if not path.strip() and "git" not in item:
        yield None, "an included environment has no `path`", 'for example `path = "../base"`'
    elif "git" in item and (path.startswith("/") or ".." in path.split("/")):
        yield "path", f"`{path}` leads out of the repository", "a path inside it, such as `environments/base`"
    elif "\0" in path:
        yield "path", "the path holds a NUL character", None


def _git_faults(item: Mapping[str, Any]) -> Iterator[tuple[str | None, str, str | None]]:
    if "git" not in item:
        if "ref" in item:
            yield "ref", "`ref` is for includes from git, and this one is a path", "remove it, or add `git`"
        return
    url, ref = str(item["git"]), item.get("ref")
    if _CREDENTIALS.match(url):
        yield "git", "the address holds credentials, which no manifest may", "leave them to git's helpers"
    elif not _SCHEME.match(url) or not url.isprintable() or " " in url:
        yield "git", "this is no address of a git repository", 'for example `"ssh://git@HOST/REPOSITORY"`'
    if ref is not None and (not _REF.match(ref) or ".." in ref):
        yield "ref", f"`{ref}` is no branch, tag or commit", 'for example `ref = "main"`'


def layers_of(root: Manifest, opener: Opener) -> tuple[tuple[Layer, ...], tuple[Included, ...]]:
    """The manifests of a composition, the lowest first and the root last, each place once; and all includes
    that were opened, in their order, one place under each name that leads to it.

    One that is included twice lies below all that include it, so what one of these changed stays changed.
    Raises `IncludeCycle`, the errors of included manifests, and what the opener raises.
    """
    found: dict[str, Layer] = {}
    opened: list[Included] = []
    below = _descend(root, None, opener, found, opened, ())
    return (*found.values(), Layer(manifest=root, included=None, below=below)), tuple(opened)


def _descend(
    manifest: Manifest,
    above: Included | None,
    opener: Opener,
    found: dict[str, Layer],
    opened: list[Included],
    trail: tuple[tuple[str, str], ...],
) -> frozenset[str]:
    below: set[str] = set()
    trail = trail or ((root_place(manifest), manifest.name),)
    for wanted in wanted_includes(manifest):
        name = f"{above.name}/{wanted.name}" if above else wanted.name
        included = opener.open(wanted, name, above, manifest)
        _refuse_ring(included, wanted, trail)
        opened.append(included)
        if included.place not in found:
            inner = _parsed(included)
            deeper = _descend(inner, included, opener, found, opened, (*trail, (included.place, wanted.name)))
            found[included.place] = Layer(manifest=inner, included=included, below=deeper)
        below |= {included.place, *found[included.place].below}
    return frozenset(below)


def root_place(manifest: Manifest) -> str:
    """What `Included.place` of the root would be."""
    import os

    return os.path.realpath(manifest.path.parent)


def _refuse_ring(included: Included, wanted: Wanted, trail: tuple[tuple[str, str], ...]) -> None:
    places = [place for place, _ in trail]
    if included.place in places:
        names = [name for _, name in trail[places.index(included.place) :]]
        shown = " -> ".join(f"`{name}`" for name in (*names, names[0]))
        raise IncludeCycle(
            f"manifests include each other in a ring: {shown}",
            where=wanted.where,
            hint="break it at one of them",
        )


def _parsed(included: Included) -> Manifest:
    from cape.manifest.parse import parse_manifest

    try:
        return parse_manifest(included.text, path=included.directory / "cape.toml")
    except ManifestError as error:
        for one in (error, *error.also):
            one.fact = f"include `{included.name}`: {one.fact}"
        raise


def directory_expression(wanted: Wanted, above: Included | None) -> str:
    """The directory of a path include, as shell text of the project sees it."""
    start = above.expression if above else "$CAPE_PROJECT"
    return wanted.path if wanted.path.startswith("/") else f"{start}/{wanted.path.rstrip('/')}"


def shown_path(wanted: Wanted, manifest: Manifest) -> Path:
    """The directory of a path include, as messages name it."""
    import os

    return Path(os.path.normpath(manifest.path.parent / wanted.path))
