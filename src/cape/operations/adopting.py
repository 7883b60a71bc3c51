"""What a project has already, confirmed by the sources and put into the text of a manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cape.adoption import Adoption, Unmapped, Wish
from cape.errors import CapeError
from cape.manifest import NameTaken, add_requirements, parse_manifest
from cape.manifest.edit import set_value
from cape.sources.protocol import Requirement, Source


@dataclass(frozen=True, kw_only=True, slots=True)
class Adopted:
    """The manifest's text with what was taken over, and what could not be."""

    text: str
    wishes: tuple[Wish, ...] = ()
    followed: tuple[tuple[str, str], ...] = ()
    unmapped: tuple[Unmapped, ...] = ()
    files: tuple[str, ...] = ()
    unconfirmed: str | None = None


def write_into(text: str, adoption: Adoption, sources: Mapping[str, Source], path: Path) -> Adopted:
    """Put an adoption into a manifest's text, wish by wish; one that does not fit is told, not written.

    Names of other ecosystems are kept only where a source has such a package. When a source cannot be
    asked, they are kept, and `unconfirmed` says why.
    """
    confirmed, unmapped, unconfirmed = _confirmed(adoption, sources)
    taken = []
    for wish in confirmed:
        try:
            text = _with(text, wish, path)
            taken.append(wish)
        except CapeError as error:
            unmapped.append(Unmapped(where=wish.where, text=wish.package, reason=error.fact))
    for section, file in adoption.followed:
        text = _with_value(text, (section, "project"), file, unmapped, path)
    for key, value in adoption.variables:
        text = _with_value(text, ("vars", key), value, unmapped, path)
    if adoption.hooks:
        text = _with_value(text, ("hook", "on-activate"), "\n".join(adoption.hooks), unmapped, path)
    return Adopted(
        text=text,
        wishes=tuple(taken),
        followed=adoption.followed,
        unmapped=(*adoption.unmapped, *unmapped),
        files=adoption.files,
        unconfirmed=unconfirmed,
    )


def _confirmed(
    adoption: Adoption, sources: Mapping[str, Source]
) -> tuple[list[Wish], list[Unmapped], str | None]:
    """The wishes that sources have, those that none has, and why a source could not be asked."""
    kept, unmapped, failure = [], [], None
    for wish in adoption.wishes:
        try:
            if wish.certain or failure or sources[wish.source].has(wish.package):
                kept.append(wish)
            else:
                unmapped.append(Unmapped(where=wish.where, text=wish.package, reason=_nowhere(wish)))
        except CapeError as error:
            failure = error.fact
            kept.append(wish)
    return kept, unmapped, failure


def _nowhere(wish: Wish) -> str:
    return f"`{wish.source}` has no package of that name; `cape search {wish.package}` looks for others"


def _with(text: str, wish: Wish, path: Path) -> str:
    """The text with one wish; where its name is taken by another source's, it gets a key with a prefix."""
    for name in (wish.package, f"{wish.source}-{wish.package.replace('/', '-').lstrip('@')}"):
        try:
            edited = add_requirements(text, [_requirement(wish, name)])
        except NameTaken:
            continue
        parse_manifest(edited, path=path)
        return edited
    raise NameTaken(f"`{wish.package}` is asked for under two names")


def _requirement(wish: Wish, name: str) -> Requirement:
    options = {"extras": ",".join(sorted(wish.extras))} if wish.extras else {}
    return Requirement(
        source=wish.source, name=name, package=wish.package, constraint=wish.constraint, options=options
    )


def _with_value(text: str, key: tuple[str, str], value: str, unmapped: list[Unmapped], path: Path) -> str:
    try:
        edited = set_value(text, key, value)
        parse_manifest(edited, path=path)
    except CapeError as error:
        unmapped.append(Unmapped(where=f"[{key[0]}]", text=key[1], reason=error.fact))
        return text
    return edited


def lines_of(adopted: Adopted) -> Iterator[tuple[str, str, str, str]]:
    """Rows for people: name, source, constraint, where it was read."""
    for wish in adopted.wishes:
        yield wish.package, wish.source, wish.constraint, wish.where
