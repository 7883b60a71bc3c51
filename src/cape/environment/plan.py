"""What an environment is made from: exact packages, which of them were asked for, and what is exposed.

Owns the plan's identity and the keys of its objects. Pure values: no disk, no source.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cape.names import Digest, System
from cape.sources.protocol import LockedPackage

if TYPE_CHECKING:
    from cape.environment.finishing.certificates import Certificate
    from cape.lock import Lock

LAYOUT_VERSION = 20
"""Part of every identity: a change of how objects are merged, or of what is generated, counts up."""

LIBC = ("debian", "libc6")
"""Source and name of the package whose object holds the C library and the loader."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EnvironmentPlan:
    """One environment of one system.

    `identity` is the lock's word for it: no place and no machine is in it, but certificates that the
    machine's owner has added. `packages` are all locked rows of the system; where two packages may offer
    the same file, the earlier one wins. `roots` are (source, package name) of what the manifest names:
    only their programs come on PATH. `expose` and `hide` are program names that the manifest adds to PATH
    or keeps off it; `deciding` are programs of which it says whose come on PATH, with those packages.
    """

    system: System
    identity: Digest
    packages: tuple[LockedPackage, ...]
    roots: tuple[tuple[str, str], ...] = ()
    expose: tuple[str, ...] = ()
    hide: tuple[str, ...] = ()
    deciding: Mapping[str, frozenset[tuple[str, str]]] = field(default_factory=dict)
    relocation_version: int = 0
    certificates: tuple[Certificate, ...] = ()
    """Of this machine's own authorities, trusted beside Debian's."""

    @property
    def libc(self) -> LockedPackage | None:
        """The package of the C library; None for an environment without system packages."""
        return next((one for one in self.packages if (one.source, one.name) == LIBC), None)


AUTHORITIES = ("debian", "ca-certificates")
"""Source and name of the package whose presence makes an environment have certificates of its own."""


def plan_environment(
    lock: Lock, system: System, *, certificates: Sequence[Certificate] = ()
) -> EnvironmentPlan:
    """The plan of what a lock comes to on a system.

    This machine's `certificates` change what the environment holds, so they change its identity too. An
    environment that has no certificates at all is left as it is.
    """
    from cape.environment.relocation import RELOCATION_VERSION
    from cape.lock.queries import identity, roots_for, rows_for

    version = LAYOUT_VERSION * 1000 + RELOCATION_VERSION
    packages = rows_for(lock, system)
    found = identity(lock, system, layout_version=version)
    added = tuple(certificates) if any((one.source, one.name) == AUTHORITIES for one in packages) else ()
    if added:
        found = Digest.of_lines(["certificates", *(one.digest.hex for one in added), found.hex])
    return EnvironmentPlan(
        system=system,
        identity=found,
        packages=packages,
        roots=roots_for(lock, system),
        expose=tuple(name for name in lock.expose.add if ":" not in name),
        deciding=_decided(lock),
        hide=lock.expose.hide,
        relocation_version=RELOCATION_VERSION,
        certificates=added,
    )


def _decided(lock: Lock) -> Mapping[str, frozenset[tuple[str, str]]]:
    """What entries such as `nodejs:node` say: of `node`, that of the packages that answer `nodejs`."""
    sources = {requirement.name: requirement.source for requirement in lock.requirements}
    found: dict[str, frozenset[tuple[str, str]]] = {}
    for entry in lock.expose.add:
        key, colon, program = entry.rpartition(":")
        if colon and key in sources:
            found[program] = frozenset((sources[key], root) for root in lock.roots.get(key, ()))
    return found


def object_key(
    package: LockedPackage, *, libc: Digest | None, store: Path, system: System, relocation_version: int
) -> Digest:
    """The key of a package's object.

    `libc` is the key of the libc object (None for itself): programs hold its loader's path, hence also
    the store's place is in the key. An object made elsewhere, or by other rules, is another object.
    """
    return Digest.of_lines(
        [
            f"artifact {package.artifact.digest.hex}",
            f"libc {libc.hex if libc else '-'}",
            f"store {store}",
            f"relocation {relocation_version} {system}",
            json.dumps([package.source, package.name, package.placement, _attributes_of_object(package)]),
        ]
    )


def _attributes_of_object(package: LockedPackage) -> list[tuple[str, str]]:
    """What its source may heed when it unpacks: not whose files it wins against in one environment."""
    return sorted(item for item in package.attributes.items() if item[0] != "replaces")
