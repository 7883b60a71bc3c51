"""Catalogs of XML: which file of the tree stands for a public name or an address.

Owns the reading of `update-xmlcatalog` calls and the two layers of catalogs that it would have written:
one for each package, and the root that delegates to them. Tools read `/etc/xml/catalog`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

from cape.environment.finishing.place import exists, put_file
from cape.environment.finishing.shell import Call

_DELEGATES = {
    "public": ("delegatePublic", "publicIdStartString"),
    "system": ("delegateSystem", "systemIdStartString"),
    "uri": ("delegateURI", "uriStartString"),
}
_HEAD = """<?xml version="1.0"?>
<!DOCTYPE catalog PUBLIC "-//OASIS//DTD XML Catalogs V1.0//EN" "file:///usr/share/xml/schema/xml-core/catalog.dtd">
<catalog xmlns="urn:oasis:names:tc:entity:xmlns:xml:catalog">
"""


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Delegation:
    """`kind` of names that begin with `start` are looked up in `catalog`; `file` says so."""

    file: str
    kind: str
    start: str
    catalog: str


def parse_delegation(call: Call) -> Delegation | None:
    """What an `update-xmlcatalog --add` call adds; None when it does something else.

    >>> words = "update-xmlcatalog --add --type uri --id u: --package p --root"
    >>> parse_delegation(tuple(words.split()))
    Delegation(file='/etc/xml/catalog', kind='uri', start='u:', catalog='/etc/xml/p.xml')
    """
    options = dict(zip(call, (*call[1:], ""), strict=True))
    kind, start, package = (options.get(name, "") for name in ("--type", "--id", "--package"))
    if "--add" not in options or kind not in _DELEGATES or not start or not package or "/" in package:
        return None
    own = f"/etc/xml/{package}.xml"
    if "--root" in options:
        return Delegation(file="/etc/xml/catalog", kind=kind, start=start, catalog=own)
    local = options.get("--local", "")
    return Delegation(file=own, kind=kind, start=start, catalog=local) if local else None


def write_catalogs(root: Path, delegations: Iterable[Delegation]) -> None:
    """Write each catalog; of a package's entries those whose target is in the tree."""
    files: dict[str, list[Delegation]] = {}
    for one in sorted(set(delegations)):
        if one.catalog.startswith("/etc/xml/") or exists(root, one.catalog):
            files.setdefault(one.file, []).append(one)
    for file, entries in files.items():
        put_file(root, file.lstrip("/"), (_HEAD + "".join(map(_entry, entries)) + "</catalog>\n").encode())


def _entry(one: Delegation) -> str:
    element, attribute = _DELEGATES[one.kind]
    return f"<{element} {attribute}={quoteattr(one.start)} catalog={quoteattr('file://' + one.catalog)}/>\n"
