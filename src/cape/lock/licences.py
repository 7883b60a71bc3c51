"""Whether the licences of locked models are those that the manifest allows.

Owns the comparison of a licence, or an expression of several, with a list. Licences of other packages are
known only once an environment is made, and are not judged here. A licence that is not stated is `unknown`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from cape.errors import InputError
from cape.lock.model import Lock
from cape.manifest.model import Manifest
from cape.sources.protocol import LockedPackage

UNKNOWN = "unknown"
_TOKEN = re.compile(r"\(|\)|[^()\s]+")


class LicenceForbidden(InputError):
    """A model has a licence that `options.allow-licences` does not list."""

    slug = "licence-forbidden"


def check_licences(manifest: Manifest, lock: Lock) -> None:
    """Raise `LicenceForbidden` for the first model, by name, whose licence is not allowed."""
    for name, licence in forbidden(manifest, lock.packages):
        requirement = manifest.requirement(name)
        allowed = ", ".join(f"`{one}`" for one in manifest.allow_licences or ()) or "none"
        raise LicenceForbidden(
            f"the model `{name}` has the licence `{licence}`, and `options.allow-licences` allows {allowed}"
            if licence != UNKNOWN
            else f"the model `{name}` states no licence, and `options.allow-licences` allows {allowed}",
            where=requirement.where if requirement else None,
            hint=f'take another model, or add `"{licence}"` to `allow-licences`',
        )


def forbidden(manifest: Manifest, packages: Iterable[LockedPackage]) -> Iterator[tuple[str, str]]:
    """The models whose licence is not allowed, with it; in order of their names."""
    if manifest.allow_licences is None:
        return
    rows = sorted((row for row in packages if row.source == "model"), key=lambda row: row.placement)
    for row in rows:
        licence = row.attributes.get("licence", UNKNOWN)
        if not is_allowed(licence, manifest.allow_licences):
            yield row.placement, licence


def is_allowed(licence: str, allowed: Sequence[str]) -> bool:
    """Whether a licence is in a list, in any case; of an expression, `OR` needs one and `AND` all.

    >>> is_allowed("MIT OR GPL-3.0-only", ["mit"]), is_allowed("MIT AND GPL-3.0-only", ["mit"])
    (True, False)
    """
    listed = {one.casefold() for one in allowed}
    if licence.casefold() in listed:
        return True
    if not re.search(r"\b(?:AND|OR)\b", licence):
        return False
    return _Expression(_TOKEN.findall(licence), listed).holds()


class _Expression:
    """An expression of licences, read once from left to right; `AND` binds more than `OR`."""

    def __init__(self, tokens: Sequence[str], listed: set[str]) -> None:
        self._tokens = list(tokens)
        self._listed = listed

    def holds(self) -> bool:
        """Whether it holds; what cannot be read does not."""
        value = self._any()
        return value and not self._tokens

    def _any(self) -> bool:
        value = self._all()
        while self._tokens[:1] == ["OR"]:
            self._tokens.pop(0)
            value = self._all() or value
        return value

    def _all(self) -> bool:
        value = self._one()
        while self._tokens[:1] == ["AND"]:
            self._tokens.pop(0)
            value = self._one() and value
        return value

    def _one(self) -> bool:
        if self._tokens[:1] == ["("]:
            self._tokens.pop(0)
            value = self._any()
            return bool(self._tokens) and self._tokens.pop(0) == ")" and value
        words: list[str] = []
        while self._tokens and self._tokens[0] not in ("AND", "OR", "(", ")"):
            words.append(self._tokens.pop(0))
        return " ".join(words).casefold() in self._listed
