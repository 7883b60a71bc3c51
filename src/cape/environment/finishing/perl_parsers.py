"""The list of Perl's parsers of XML, of which `XML::SAX` takes the last.

Owns the reading of `update-perl-sax-parsers` calls, and the list in `/etc` that they would have made.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cape.environment.finishing.place import put_file
from cape.environment.finishing.shell import Call

_LIST = "etc/perl/XML/SAX/ParserDetails.ini"
_USUAL_PRIORITY = "50"
_MODULES = ("usr/share/perl5", "usr/lib/*/perl5/*")


def list_parsers(root: Path, calls: Iterable[Call]) -> None:
    """Write the list of the parsers that are in the root, in the order of their files' names on Debian."""
    found = {parser for call in calls for parser in [parse_parser(call)] if parser}
    rows = [
        f"[{module}]\nhttp://xml.org/sax/features/namespaces = 1\n\n"
        for _, module in sorted(found)
        if _is_there(root, module)
    ]
    if rows:
        put_file(root, _LIST, "".join(rows).encode())


def parse_parser(call: Call) -> tuple[str, str] | None:
    """(priority, module) of what a call adds; None when it does something else.

    >>> parse_parser(("update-perl-sax-parsers", "--add", "XML::SAX::PurePerl", "--priority", "10"))
    ('10', 'XML::SAX::PurePerl')
    """
    options = dict(zip(call, (*call[1:], ""), strict=True))
    module = options.get("--add", "")
    return (options.get("--priority", _USUAL_PRIORITY), module) if module else None


def _is_there(root: Path, module: str) -> bool:
    file = module.replace("::", "/") + ".pm"
    return any(True for top in _MODULES for _ in root.glob(f"{top}/{file}"))
