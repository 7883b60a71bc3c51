"""Whether the network may be asked, and whether there is one.

Owns the user's word that nothing is to be asked (the setting `offline`), and the look at the machine's
routes. Nothing here opens a socket, and what is done without a network is each source's own matter.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from cape.sources.protocol import RegistryUnreachable

VARIABLE = "CAPE_OFFLINE"
_NO = frozenset({"", "0", "false", "no", "off"})
_ROUTES = Path("/proc/net/route")
_ROUTES_6 = Path("/proc/net/ipv6_route")
_REJECTED = 0x0200
_UP = 0x0001


class Offline(RegistryUnreachable):
    """Something is not here, and there is no network, or it must not be used."""

    slug = "offline"


def is_forbidden() -> bool:
    """Whether the user said that no network is to be used: `--offline`, `CAPE_OFFLINE`, or the setting."""
    return _is_forbidden(os.environ.get(VARIABLE))


@lru_cache(maxsize=4)
def _is_forbidden(told: str | None) -> bool:
    from cape.configuration import Configuration

    value = told if told is not None else Configuration.read().one("offline") or ""
    return value.strip().lower() not in _NO


def has_way_out() -> bool:
    """Whether this machine has a default route; True where that cannot be known."""
    try:
        old = [line.split() for line in _ROUTES.read_text().splitlines()[1:]]
        new = [line.split() for line in _ROUTES_6.read_text().splitlines()] if _ROUTES_6.exists() else []
    except OSError:
        return True
    return any(
        len(row) > 7 and row[1] == row[7] == "00000000" and int(row[3], 16) & _UP for row in old
    ) or any(
        len(row) > 9 and row[1] == "00" and row[0] == "0" * 32 and row[9] != "lo" and not _rejects(row[8])
        for row in new
    )


def _rejects(flags: str) -> bool:
    return bool(int(flags, 16) & _REJECTED) or not int(flags, 16) & _UP


def offline(what: str, *, where: str | None = None) -> Offline:
    """The error that says that `what` is lacking and cannot be asked for."""
    if is_forbidden():
        return Offline(
            f"{what}, and no network may be used",
            where=where,
            hint="without `--offline`, `CAPE_OFFLINE` and the setting `offline`, it would be asked for",
        )
    return Offline(
        f"{what}, and this machine has no network",
        where=where,
        hint="try again with a network; what `cape vendor` wrote on another machine needs none",
    )
