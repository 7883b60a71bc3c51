"""The lock as a value.

Owns `Lock` and the order of what is in it. Nothing here reads text or asks a source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter

from cape.lock.knowledge import LockedDocument, LockedKnowledge
from cape.lock.variants import LockedVariants
from cape.manifest.model import Expose
from cape.names import Digest, System
from cape.sources.protocol import LockedPackage, Requirement, Snapshot

IMPLICIT_OPTION = "implicit"
"""The option that marks a requirement which cape adds; its value names the source that it is for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedInclude:
    """A manifest that was included: its chain of names, and the digest of its text.

    Of a git include `commit` is the exact one, and `wanted` a digest of address, reference and path: so
    the lock repeats no address, and still tells when the manifest asks for something else.
    """

    name: str
    digest: Digest
    commit: str | None = None
    wanted: Digest | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Lock:
    """What a manifest comes to.

    `requirements` are those that were locked, with the implicit ones, sorted by name. `roots` maps each
    requirement's name to the names of the packages that answer it. `packages` and `snapshots` are sorted
    by their keys; all tuples are put in order when the value is made.

    `needs_relock` is true for a lock that was read from the two sides of a merge: then `unsettled` names
    the sources whose rows are not one resolution's, and nothing may be realised from it. `notes` are
    sentences of the sources about this resolution; they are not part of the lock's text.

    `knowledge` and `documents` say what indices were made from; no environment depends on them.
    `unsettled_knowledge` names the bases that both sides of a merge changed: their rows are left out.

    `includes` are the manifests that were included. `environments` are the locks of the manifest's other
    environments, by name: each is whole, and has neither includes nor knowledge nor environments.

    `variants` are the choices that machines make, and `combinations` the lock of each combination of them, by
    its label: each is whole, and has neither variants nor what only the whole has. Where there are some, the
    rows of the lock itself are those of the plainest machine, and `systems` those of all.
    """

    requirements: tuple[Requirement, ...] = ()
    systems: tuple[System, ...] = ()
    suite: str | None = None
    snapshots: tuple[Snapshot, ...] = ()
    packages: tuple[LockedPackage, ...] = ()
    roots: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    expose: Expose = field(default_factory=Expose)
    knowledge: tuple[LockedKnowledge, ...] = ()
    documents: tuple[LockedDocument, ...] = ()
    includes: tuple[LockedInclude, ...] = ()
    environments: Mapping[str, Lock] = field(default_factory=dict)
    variants: tuple[LockedVariants, ...] = ()
    combinations: Mapping[str, Lock] = field(default_factory=dict)
    needs_relock: bool = False
    unsettled: frozenset[str] = frozenset()
    unsettled_knowledge: frozenset[str] = frozenset()
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        ordered = {
            "requirements": tuple(sorted(self.requirements, key=attrgetter("name", "source"))),
            "systems": tuple(sorted(self.systems)),
            "snapshots": tuple(sorted(self.snapshots, key=attrgetter("source", "registry", "name", "date"))),
            "packages": tuple(sorted(self.packages, key=package_order)),
            "knowledge": tuple(sorted(self.knowledge, key=attrgetter("name"))),
            "documents": tuple(sorted(self.documents, key=attrgetter("base", "path"))),
            "roots": {name: tuple(sorted(self.roots[name])) for name in sorted(self.roots)},
            "includes": tuple(sorted(self.includes, key=attrgetter("name"))),
            "variants": tuple(sorted(self.variants, key=attrgetter("name"))),
            "environments": {name: self.environments[name] for name in sorted(self.environments)},
            "expose": Expose(
                add=tuple(sorted(set(self.expose.add))), hide=tuple(sorted(set(self.expose.hide)))
            ),
        }
        for name, value in ordered.items():
            object.__setattr__(self, name, value)

    def packages_of(self, source: str) -> tuple[LockedPackage, ...]:
        """The rows of one source."""
        return tuple(package for package in self.packages if package.source == source)

    def requirements_of(self, source: str) -> tuple[Requirement, ...]:
        """The requirements of one source."""
        return tuple(requirement for requirement in self.requirements if requirement.source == source)

    def without_marks(self) -> Lock:
        """The same rows, taken as settled."""
        from dataclasses import replace

        return replace(self, needs_relock=False, unsettled=frozenset())


def package_order(package: LockedPackage) -> tuple[object, ...]:
    """What rows are sorted by: source, name, version, placement, digest, then systems."""
    return (
        package.source,
        package.name,
        package.version,
        package.placement,
        package.artifact.digest.hex,
        package.systems,
    )
