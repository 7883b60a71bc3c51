"""Apache's links: which of the modules, settings and sites that are available are enabled.

Owns what `a2enmod` and its like would have linked, by the calls that packages make, and the choice of the
one module that processes requests.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cape.environment.finishing.place import put_file, put_link
from cape.environment.finishing.shell import Call

_HOME = "etc/apache2"
_KINDS = {"mod": ("mods", (".load", ".conf")), "conf": ("conf", (".conf",)), "site": ("sites", (".conf",))}
_DEPENDS = re.compile(r"^# Depends: (.*)", re.MULTILINE)
_SWITCH = re.compile(r"\bapache2_switch_mpm\s+(\w+)")
_PROCESSING = "mpm_"
_PAGE = ("usr/share/apache2/default-site/index.html", "var/www/html/index.html")


def enable_apache(root: Path, calls: Iterable[Call], scripts: Iterable[str]) -> None:
    """Make the links of a root with Apache; does nothing in others.

    `scripts` are the packages' scripts: one that switches to another way to process requests wins over
    the usual one, for its module needs it.
    """
    if not (root / _HOME).is_dir():
        return
    wanted = dict.fromkeys(pair for call in calls for pair in _enabled(call))
    switched = [name for script in scripts for name in _SWITCH.findall(script)]
    if switched:
        wanted = {pair: None for pair in wanted if not pair[1].startswith(_PROCESSING)}
        wanted["mod", _PROCESSING + switched[0]] = None
    waiting = list(wanted)
    while waiting:
        kind, name = waiting.pop()
        for needed in _link(root, kind, name):
            if (kind, needed) not in wanted:
                wanted[kind, needed] = None
                waiting.append((kind, needed))
    page, place = _PAGE
    if (root / page).is_file() and not (root / place).exists():
        put_file(root, place, (root / page).read_bytes())


def _enabled(call: Call) -> Iterator[tuple[str, str]]:
    """(kind, name) of all that a call enables.

    >>> list(_enabled(("a2enmod", "-m", "-q", "alias")))
    [('mod', 'alias')]
    >>> list(_enabled(("apache2_invoke", "enconf", "x.conf")))
    [('conf', 'x')]
    """
    command, *words = [word for word in call if not word.startswith("-")]
    if command == "apache2_invoke":
        command, *words = [f"a2{words[0]}", *words[1:2]] if words else ["", ""]
    kind = command.removeprefix("a2en")
    for word in words if command.startswith("a2en") and kind in _KINDS else ():
        yield kind, re.sub(r"\.(load|conf)\Z", "", word)


def _link(root: Path, kind: str, name: str) -> Sequence[str]:
    """Make the links of one, if it is there; the names of modules that it needs."""
    directory, suffixes = _KINDS[kind]
    needed: list[str] = []
    for suffix in suffixes:
        file = f"{_HOME}/{directory}-available/{name}{suffix}"
        if "/" not in name and (root / file).is_file():
            put_link(root, f"{_HOME}/{directory}-enabled/{name}{suffix}", file)
            text = (root / file).read_text(encoding="utf-8", errors="replace")
            needed += [word for row in _DEPENDS.findall(text) for word in row.split()]
    return needed if kind == "mod" else ()
