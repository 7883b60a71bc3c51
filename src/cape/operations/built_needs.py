"""What packages lack that were built on this machine: the look of `missing`, at what the build gave.

Owns which objects are looked at, and how a tree is read. What counts as missing is `missing`'s to say.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cape.environment.plan import EnvironmentPlan
from cape.lock.model import Lock
from cape.operations.project import Workshop
from cape.sources.protocol import LockedPackage, Source
from cape.store import StoreObject

if TYPE_CHECKING:
    from cape.analysis.needs import PackageNeeds

_REDIRECT = "libcape-redirect.so"


def check_built(
    plan: EnvironmentPlan,
    objects: Sequence[StoreObject],
    lock: Lock,
    workshop: Workshop,
    sources: Mapping[str, Source],
) -> None:
    """Look at those of a plan's objects that were built. Raises `MissingLibrary`, `TooOldLibrary`."""
    built = {
        package.artifact.digest: (package, made)
        for package, made in zip(plan.packages, objects, strict=True)
        if _was_built(package)
    }
    if not built:
        return
    from cape.operations.missing import check_needs

    needs = {digest: _needs(made, plan) for digest, (_, made) in built.items()}
    check_needs(lock, plan.system, needs, workshop, sources)


def _was_built(package: LockedPackage) -> bool:
    from cape.operations.python_building import is_built

    is_editable = package.attributes.get("build") == "editable"
    return (is_built(package) and not is_editable) or package.attributes.get("scripts") == "run"


def _needs(made: StoreObject, plan: EnvironmentPlan) -> PackageNeeds:
    """What an object's own libraries and extensions are linked with."""
    from cape.analysis.needs import PackageNeeds
    from cape.analysis.wheels import elf_needs

    elf = []
    libraries = set()
    for path, data in _elf_files(made.tree):
        libraries.add(path.rpartition("/")[2])
        if found := elf_needs(data, path, plan.system):
            needed = tuple(name for name in found.needed if name != _REDIRECT)
            elf.append(replace(found, needed=needed))
    return PackageNeeds(elf=tuple(elf), libraries=tuple(sorted(libraries)))


def _elf_files(tree: Path) -> Iterator[tuple[str, bytes]]:
    """The ELF files below a directory that may be loaded, sorted; objects of a compiler are none."""
    for directory, _, files in sorted(os.walk(tree)):
        for name in sorted(files):
            file = Path(directory, name)
            if file.is_symlink() or name.endswith((".o", ".a", ".py")):
                continue
            with open(file, "rb") as stream:
                head = stream.read(4)
                if head == b"\x7fELF":
                    yield file.relative_to(tree).as_posix(), head + stream.read()
