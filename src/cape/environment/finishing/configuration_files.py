"""Configuration files that `ucf` would have copied, and the links that PHP's modules need.

Owns these two rules; both only add files that no package ships.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from cape.environment.finishing.place import exists, put_file, put_link
from cape.environment.finishing.shell import Call
from cape.environment.relocation.paths import in_root

_PRIORITY = re.compile(rb"^;\s*priority\s*=\s*(\d+)", re.MULTILINE)


def copy_configuration(root: Path, calls: Iterable[Call]) -> None:
    """Copy SOURCE to TARGET for each `ucf [OPTION...] SOURCE TARGET`; the first call for a target counts."""
    for call in calls:
        source, target = in_root(call[-2]), in_root(call[-1])
        if len(call) < 3 or source is None or target is None or exists(root, call[-1]):
            continue
        if target.startswith("etc/") and (root / source).is_file():
            put_file(root, target, (root / source).read_bytes())


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
