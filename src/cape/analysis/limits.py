"""What of a package will not work in an environment, told from its own files.

Owns the rules and their sentences. A rule is no error: most such packages have programs that work, and
whoever wants the rest is told why it does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Rule(NamedTuple):
    """Files of one kind, and what is to be known of them: `{names}` are those files' names."""

    pattern: re.Pattern[str]
    sentence: str


RULES = (
    Rule(
        re.compile(r"root/usr/lib/systemd/system/([^/@]+\.(?:service|socket|timer))"),
        "has units of systemd ({names}): nothing starts them here, so start its program by hand",
    ),
    Rule(
        re.compile(r"root/usr/lib/modules/[^/]+/(?:.*/)?([^/]+\.ko(?:\.\w+)?)"),
        "has kernel modules ({names}): an environment cannot load any",
    ),
    Rule(
        re.compile(r"root/usr/(?:src/[^/]+/(dkms\.conf))"),
        "has kernel modules to be built ({names}): an environment cannot load any",
    ),
    Rule(
        re.compile(r"root/usr/share/dbus-1/system-services/([^/]+)\.service"),
        "has services of the system's D-Bus ({names}): the machine's bus does not know them",
    ),
    Rule(
        re.compile(r"root/usr/lib/[^/]+/security/(pam_[^/]+\.so)|root/usr/lib/udev/rules\.d/([^/]+)"),
        "has modules of PAM or rules of udev ({names}): the machine reads its own only",
    ),
    Rule(
        re.compile(r"root/usr/bin/(apt-get|dpkg|aptitude|snap|flatpak)"),
        "is a package manager ({names}): it cannot change an environment, for which there is the manifest",
    ),
)
_NAMED = 3


def limits(package: str, paths: Iterable[str]) -> tuple[str, ...]:
    """A sentence for each rule that a package's files, relative to its object's tree, fall under.

    >>> limits("tool", ["root/usr/lib/systemd/system/tool.service"])[0][:48]
    '`tool` has units of systemd (`tool.service`): no'
    """
    found: dict[Rule, list[str]] = {}
    for path in paths:
        for rule in RULES:
            if match := rule.pattern.fullmatch(path):
                found.setdefault(rule, []).append(next(filter(None, match.groups())))
    return tuple(
        f"`{package}` {rule.sentence.format(names=', '.join(_named(sorted(found[rule]))))}"
        for rule in RULES
        if rule in found
    )


def _named(names: list[str]) -> Iterator[str]:
    yield from (f"`{name}`" for name in names[:_NAMED])
    if len(names) > _NAMED:
        yield f"{len(names) - _NAMED} more"
