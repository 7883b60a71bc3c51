"""Configuration files that scripts would have copied or linked, and links for modules of PHP and nginx.

Owns these rules; all only add what no package ships, and what no other rule has put there.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable
from pathlib import Path

from cape.environment.finishing.place import exists, put_file, put_link
from cape.environment.finishing.shell import Call
from cape.environment.relocation.paths import in_root

_NGINX_MODULES = re.compile(r"^for confpair in ([^;\n]*);", re.MULTILINE)
_PRIORITY = re.compile(rb"^;\s*priority\s*=\s*(\d+)", re.MULTILINE)


def copy_configuration(root: Path, calls: Iterable[Call]) -> None:
    """Copy SOURCE to TARGET for each `ucf [OPTION...] SOURCE TARGET`; the first call for a target counts."""
    for call in calls:
        source, target = in_root(call[-2]), in_root(call[-1])
        if len(call) < 3 or source is None or target is None or exists(root, call[-1]):
            continue
        if target.startswith("etc/") and (root / source).is_file():
            put_file(root, target, (root / source).read_bytes())


_LINKS = (
    ("etc/fonts/conf.d/10-hinting-slight.conf", "usr/share/fontconfig/conf.avail/10-hinting-slight.conf"),
    ("etc/fonts/conf.d/10-sub-pixel-none.conf", "usr/share/fontconfig/conf.avail/10-sub-pixel-none.conf"),
    (
        "etc/fonts/conf.d/70-no-bitmaps-except-emoji.conf",
        "usr/share/fontconfig/conf.avail/70-no-bitmaps-except-emoji.conf",
    ),
    ("etc/nginx/sites-enabled/default", "etc/nginx/sites-available/default"),
)
"""Links in `/etc` for the answers that packages' questions have by default. Scripts make one for each."""


def copy_templates(root: Path, calls: Iterable[Call]) -> None:
    """Do what `cp` and `ln -s` did, where no condition can make it wrong.

    Scripts are read without their conditions, so of `cp` only that of a file of `/usr/share` into `/etc`
    counts, and of `ln` only a link in `/usr` to what is there; the first call for a place.
    """
    for call in calls:
        words = [word for word in call[1:] if not word.startswith("-")]
        if len(words) != 2:
            continue
        source, place = words
        if call[0] == "ln":
            _link_in_usr(root, posixpath.join(posixpath.dirname(place), source), place)
        elif source.startswith("/usr/share/") and place.startswith("/etc/"):
            _copy_template(root, source, place)
    for link, target in _LINKS:
        if (root / target).exists() and not os.path.lexists(root / link):
            put_link(root, link, target)


def _copy_template(root: Path, source: str, place: str) -> None:
    inside, target = in_root(source), in_root(place)
    if inside and target and (root / inside).is_file() and not os.path.lexists(root / target):
        put_file(root, target, (root / inside).read_bytes())


def _link_in_usr(root: Path, target: str, place: str) -> None:
    inside, link = in_root(target), in_root(place)
    if not inside or not link or not link.startswith("usr/") or os.path.lexists(root / link):
        return
    if inside != link and (root / inside).exists():
        put_link(root, link, inside)


def enable_php_modules(root: Path) -> None:
    """Link each module that is available into the configuration of each of PHP's interfaces."""
    for module in sorted((root / "etc/php").glob("*/mods-available/*.ini")):
        match = _PRIORITY.search(module.read_bytes())
        priority = match[1].decode() if match else "20"
        version = module.parent.parent
        for interface in sorted(version.iterdir()):
            if interface.is_dir() and interface != module.parent:
                link = interface.relative_to(root) / "conf.d" / f"{priority}-{module.name}"
                put_link(root, str(link), str(module.relative_to(root)))


def enable_nginx_modules(root: Path, scripts: Iterable[str]) -> None:
    """Link each of nginx's modules that a script names, `FILE:LINK` in its list, to where they are loaded."""
    pairs = [pair for script in scripts for row in _NGINX_MODULES.findall(script) for pair in row.split()]
    for file, _, link in (pair.partition(":") for pair in pairs):
        module = f"usr/share/nginx/modules-available/{file}"
        if link and "/" not in file + link and (root / module).is_file():
            put_link(root, f"etc/nginx/modules-enabled/{link}", module)
