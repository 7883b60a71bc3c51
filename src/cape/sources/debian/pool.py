"""All packages of a suite for one architecture, and which of them answer a relation.

Owns lookups over the tables of all archives, the order of preference among versions and providers, and
parsed packages. What is chosen for a set of requirements is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cape.sources.debian.package import DebianPackage, Group, Relation
from cape.sources.debian.table import Table
from cape.sources.protocol import RegistryGarbage


class Pool:
    """The packages of several tables, as one.

    `pin` makes a version of a package the candidate; otherwise it is the highest.
    """

    def __init__(self, tables: Sequence[tuple[str, Table]], architecture: str) -> None:
        self.architecture = architecture
        self._tables = tuple(tables)
        self._versions: dict[str, tuple[DebianPackage, ...]] = {}
        self._pins: dict[str, DebianPackage] = {}
        self._by_relation: dict[Relation, tuple[DebianPackage, ...]] = {}

    def versions(self, name: str) -> tuple[DebianPackage, ...]:
        """All versions of a package, highest first; one and the same version only once."""
        found = self._versions.get(name)
        if found is None:
            unique: dict[str, DebianPackage] = {}
            for registry, table in self._tables:
                for record in table.records(name):
                    package = _parse(record, registry)
                    unique.setdefault(package.version, package)
            found = tuple(sorted(unique.values(), key=lambda package: package.key, reverse=True))
            self._versions[name] = found
        return found

    def candidate(self, name: str) -> DebianPackage | None:
        """The version of a package that is taken when nothing else is said."""
        if name in self._pins:
            return self._pins[name]
        versions = self.versions(name)
        return versions[0] if versions else None

    def pin(self, package: DebianPackage) -> None:
        """Make this version the candidate."""
        self._pins[package.name] = package
        self._by_relation.clear()

    def providers(self, name: str) -> tuple[str, ...]:
        """The names of packages that provide `name`, in the tables' order."""
        return tuple(dict.fromkeys(found for _, table in self._tables for found in table.providers(name)))

    @property
    def essentials(self) -> tuple[DebianPackage, ...]:
        """The candidates of the essential packages, by name."""
        names = sorted({name for _, table in self._tables for name in table.essentials})
        candidates = (self.candidate(name) for name in names)
        return tuple(package for package in candidates if package is not None and package.is_essential)

    def candidates(self, group: Group) -> Iterator[DebianPackage]:
        """The candidates that answer a group of alternatives, in the order in which apt tries them."""
        for relation in group:
            yield from self.answering(relation)

    def answering(self, relation: Relation) -> tuple[DebianPackage, ...]:
        """The candidates that answer one relation: the package itself, then providers, best first.

        Among providers those that are essential or of a higher priority are better, then those that the
        tables have first.
        """
        found = self._by_relation.get(relation)
        if found is None:
            own = self.candidate(relation.name)
            others = [self.candidate(name) for name in self.providers(relation.name) if name != relation.name]
            ordered = sorted(
                (package for package in others if package is not None),
                key=lambda package: (not package.is_essential, package.priority),
            )
            found = tuple(
                package
                for package in ([own] if own else []) + ordered
                if package.answers(relation, self.architecture)
            )
            self._by_relation[relation] = found
        return found

    def all_answering(self, relation: Relation) -> tuple[DebianPackage, ...]:
        """Every version of every package that answers a relation, the preferred ones first."""
        preferred = self.answering(relation)
        names = dict.fromkeys((relation.name, *self.providers(relation.name)))
        rest = (
            package
            for name in names
            for package in self.versions(name)
            if package not in preferred and package.answers(relation, self.architecture)
        )
        return (*preferred, *rest)


def _parse(record: bytes, registry: str) -> DebianPackage:
    try:
        return DebianPackage.parse(record, registry)
    except ValueError as error:
        raise RegistryGarbage(f"an index has a record that is no package: {error}", where=registry) from error
