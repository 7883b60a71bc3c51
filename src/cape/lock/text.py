"""The lock as text: one JSON object a line, sorted; and what is left of it after a merge.

Owns the file's form as a whole, and telling a clean lock from the two sides of a merge. The form of a
row is in `rows`. A lock of equal meaning is equal text, and git's union merge of two locks is readable.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cape.lock import rows
from cape.lock.errors import BadLock, LockTooNew
from cape.lock.knowledge import (
    BadKnowledgeRow,
    LockedDocument,
    LockedKnowledge,
    document_line,
    document_of,
    knowledge_line,
    knowledge_of,
    settled,
)
from cape.lock.model import Lock, LockedInclude
from cape.lock.rows import BadRow, Row
from cape.lock.variants import LockedVariants, combinations_of
from cape.manifest.model import DEFAULT_ENVIRONMENT, Expose
from cape.names import System
from cape.sources.protocol import LockedPackage, Requirement, Snapshot

FORMAT = 1
"""The format of lockfiles that this version reads and writes."""

_HEADER_KEY = "cape-lock"
_ADVICE = "take the file from version control, or remove it and run `cape lock`"


def render_lock(lock: Lock) -> str:
    """The text of a lock: the header, then its rows sorted as text. Equal locks give equal text.

    Raises `BadLock` for a location that names a host, which no lock may hold.
    """
    try:
        return "\n".join([_header(), *sorted(_lines(lock)), ""])
    except BadRow as error:
        raise BadLock(f"a row cannot be locked: {error}") from error


def _header() -> str:
    return json.dumps({_HEADER_KEY: FORMAT}, separators=(",", ":"))


def _lines(lock: Lock) -> list[str]:
    """The rows of a lock and of its environments: a row that several have stands once, and names them."""
    includes = [rows.include_line(include) for include in lock.includes]
    if not lock.environments:
        return [*_lines_of_combinations(lock), *includes]
    holders: dict[str, list[str]] = {line: [DEFAULT_ENVIRONMENT] for line in includes}
    for name, one in {DEFAULT_ENVIRONMENT: lock, **lock.environments}.items():
        for line in _lines_of_combinations(one):
            holders.setdefault(line, []).append(name)
    return [rows.with_environments(line, names) for line, names in holders.items()]


def _lines_of_combinations(lock: Lock) -> list[str]:
    """The rows of one environment; those that only some combinations of variants have name them."""
    if not lock.variants:
        return _own_lines(lock)
    holders: dict[str, list[str]] = {}
    for label, one in _widened(lock.combinations).items():
        for line in _own_lines(one):
            holders.setdefault(line, []).append(label)
    everywhere = len(lock.combinations)
    lines = [
        line if len(labels) == everywhere else rows.with_combinations(line, labels)
        for line, labels in holders.items()
    ]
    lines += [rows.variants_line(variants) for variants in lock.variants]
    return lines + _knowledge_lines(lock)


def _widened(locks: Mapping[str, Lock]) -> Mapping[str, Lock]:
    """The combinations, a package of several with the systems of all of these: so it stands once.

    Reading takes away what is no system of a combination. Where that would not give back what was there, the
    package stays as it is.
    """
    found: dict[str, list[tuple[Lock, LockedPackage]]] = defaultdict(list)
    for one in locks.values():
        for package in one.packages:
            found[rows.package_line(package, with_systems=False)].append((one, package))
    wide: dict[str, tuple[System, ...]] = {}
    for line, group in found.items():
        systems = {system for _, package in group for system in package.systems}
        if all(set(package.systems) == systems & set(one.systems) for one, package in group):
            wide[line] = tuple(sorted(systems))

    def widened(package: LockedPackage) -> LockedPackage:
        systems = wide.get(rows.package_line(package, with_systems=False), package.systems)
        return package if systems == package.systems else replace(package, systems=systems)

    return {
        label: replace(one, packages=tuple(widened(package) for package in one.packages))
        for label, one in locks.items()
    }


def _narrowed(lock: Lock) -> Lock:
    """A combination without what rows say of systems that it is not for."""
    own = set(lock.systems)
    if all(own.issuperset(package.systems) for package in lock.packages):
        return lock
    packages = (replace(one, systems=tuple(s for s in one.systems if s in own)) for one in lock.packages)
    return replace(lock, packages=tuple(one for one in packages if one.systems))


def _knowledge_lines(lock: Lock) -> list[str]:
    lines = [knowledge_line(base) for base in lock.knowledge]
    return lines + [document_line(document) for document in lock.documents]


def _own_lines(lock: Lock) -> list[str]:
    lines = [rows.environment_line(lock.systems, lock.suite)]
    if lock.expose.add or lock.expose.hide:
        lines.append(rows.expose_line(lock.expose))
    lines += [rows.requirement_line(each, lock.roots.get(each.name, ())) for each in lock.requirements]
    lines += [rows.snapshot_line(snapshot) for snapshot in lock.snapshots]
    for source in {requirement.source for requirement in lock.requirements} - lock.unsettled:
        lines.append(rows.resolution_line(source, lock.requirements_of(source)))
    lines += _knowledge_lines(lock)
    return lines + [rows.package_line(package) for package in lock.packages]


def parse_lock(text: str, *, path: Path) -> Lock:
    """The lock that a text says; `path` is named in errors.

    A text with conflict markers, or with rows that two branches wrote, gives a lock with `needs_relock`
    and all rows that contradict no other. Raises `BadLock`, and `LockTooNew` for a newer format.
    """
    numbered, marked = _rows_of_both_sides(text)
    numbered = _without_header(numbered, path)
    tidy = not marked and _is_sorted(numbered)
    by_environment = {DEFAULT_ENVIRONMENT: _Environment(tidy=tidy)}
    for (number, _), row in zip(numbered, _decoded(numbered, path), strict=True):
        try:
            for name in rows.environments_of(row) if type(row) is dict else (DEFAULT_ENVIRONMENT,):
                by_environment.setdefault(name, _Environment(tidy=tidy)).take(row)
        except (BadRow, BadKnowledgeRow) as error:
            raise BadLock(str(error), where=f"{path}:{number}", hint=_ADVICE) from None
    return _whole({name: gathered.lock() for name, gathered in by_environment.items()})


def _whole(locks: dict[str, Lock]) -> Lock:
    """The default environment's lock with the others in it; it needs relocking if one of them does."""
    default = locks.pop(DEFAULT_ENVIRONMENT)
    unsettled = any(lock.needs_relock for lock in locks.values())
    return replace(default, environments=locks, needs_relock=default.needs_relock or unsettled)


# -- lines --------------------------------------------------------------------------------------------

Numbered = Sequence[tuple[int, str]]


def _rows_of_both_sides(text: str) -> tuple[list[tuple[int, str]], bool]:
    """The lines with their numbers, without conflict markers and the merge base between them."""
    numbered: list[tuple[int, str]] = []
    marked = in_base = False
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.rstrip("\r")
        if line[:7] in ("<<<<<<<", "|||||||", "=======", ">>>>>>>"):
            marked, in_base = True, line.startswith("|")
        elif line and not in_base:
            numbered.append((number, line))
    return numbered, marked


def _without_header(numbered: Numbered, path: Path) -> list[tuple[int, str]]:
    """The rows below the header. Both sides of a merge may have one; the newest decides."""
    kept, formats = [], []
    for number, line in numbered:
        if line.startswith(f'{{"{_HEADER_KEY}"'):
            formats.append((_format_of(line), number))
        else:
            kept.append((number, line))
    newest, number = max(formats, default=(None, 1), key=lambda found: found[0] or 0)
    if not newest:
        hint = _ADVICE
        raise BadLock(
            "this is no lockfile of cape: its header is missing", where=f"{path}:{number}", hint=hint
        )
    if newest > FORMAT:
        raise LockTooNew(
            f"the lockfile has format {newest}, and this cape reads format {FORMAT}",
            where=f"{path}:{number}",
            hint="use a newer cape",
        )
    return kept


def _format_of(line: str) -> int | None:
    try:
        found = json.loads(line)[_HEADER_KEY]
    except ValueError:
        return None
    return found if type(found) is int else None


def _is_sorted(numbered: Numbered) -> bool:
    lines = [line for _, line in numbered]
    return lines == sorted(set(lines))


def _decoded(numbered: Numbered, path: Path) -> list[Any]:
    """All rows, decoded at once, which is twice as fast as one by one; one by one to find a bad one."""
    try:
        decoded = json.loads("[" + ",".join([line for _, line in numbered]) + "]")
        if len(decoded) == len(numbered):
            return list(decoded)
    except (ValueError, RecursionError):
        pass
    return [_decoded_line(line, f"{path}:{number}") for number, line in numbered]


def _decoded_line(line: str, where: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        raise BadLock("the line is no JSON", where=where, hint=_ADVICE) from None


# -- meaning ------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Environment:
    """Rows of one environment as they come in: those of all combinations of variants, and of some."""

    tidy: bool
    common: _Gathered = field(init=False)
    marked: list[tuple[tuple[str, ...], Row]] = field(default_factory=list)
    shared: list[Row] = field(default_factory=list)
    variants: dict[str, list[LockedVariants]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        self.common = _Gathered(tidy=self.tidy)

    def take(self, row: Any) -> None:
        """Sort one row in. Raises `BadRow`."""
        kind = row.get("row") if type(row) is dict else None
        if kind == "variants":
            _add(self.variants[str(row.get("name"))], rows.variants_of(row))
        elif kind is not None and (labels := rows.combinations_of(row)) is not None:
            _Gathered(tidy=True).take(row)  # A bad row is told with its place, here.
            self.marked.append((labels, row))
        else:
            self.common.take(row)
            self.shared.append(row)

    def lock(self) -> Lock:
        """What all rows come to: one lock, or one for each combination and those of all around them."""
        if not self.variants and not self.marked:
            return self.common.lock()
        variants = tuple(found[0] for found in self.variants.values() if len(found) == 1)
        wanted = [one.label for one in combinations_of(variants, self._systems())]
        locks = {label: self._combination(label) for label in wanted}
        if not locks:
            return replace(self.common.lock(), needs_relock=True)
        torn = {label for labels, _ in self.marked for label in labels} - set(wanted)
        torn |= {name for name, found in self.variants.items() if len(found) != 1}
        knowledge, documents, doubled = settled(self.common.knowledge, self.common.documents)
        return replace(
            locks[wanted[0]],
            systems=self._systems(),
            knowledge=tuple(knowledge),
            documents=tuple(documents),
            unsettled_knowledge=doubled,
            includes=self.common.locked_includes,
            variants=variants,
            combinations=locks,
            needs_relock=bool(torn)
            or self.common.has_two_includes
            or any(one.needs_relock for one in locks.values()),
        )

    def _systems(self) -> tuple[System, ...]:
        """Those of all combinations."""
        own = [row for _, row in self.marked if row["row"] == "environment"]
        found = [rows.environment_of(row)[0] for row in own] + [one for one, _ in self.common.environments]
        return tuple(sorted({system for systems in found for system in systems}))

    def _combination(self, label: str) -> Lock:
        gathered = _Gathered(tidy=self.tidy)
        for row in self.shared:
            if row["row"] not in _OF_THE_WHOLE:
                gathered.take(row)
        for labels, row in self.marked:
            if label in labels:
                gathered.take(row)
        return _narrowed(gathered.lock())


_OF_THE_WHOLE = ("knowledge", "document", "include")
"""Kinds of rows that no combination of variants has of its own."""


@dataclass(slots=True)
class _Gathered:
    """Rows as they come in, possibly of two branches."""

    tidy: bool
    environments: list[tuple[tuple[System, ...], str | None]] = field(default_factory=list)
    exposes: list[Expose] = field(default_factory=list)
    requirements: dict[str, list[tuple[Requirement, tuple[str, ...]]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    snapshots: dict[tuple[str, str, str], list[Snapshot]] = field(default_factory=lambda: defaultdict(list))
    resolutions: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    packages: list[LockedPackage] = field(default_factory=list)
    unsettled: set[str] = field(default_factory=set)
    knowledge: list[LockedKnowledge] = field(default_factory=list)
    documents: list[LockedDocument] = field(default_factory=list)
    includes: dict[str, list[LockedInclude]] = field(default_factory=lambda: defaultdict(list))

    def take(self, row: Any) -> None:
        """Sort one row in. Raises `BadRow`."""
        kind = row.get("row") if type(row) is dict else None
        if kind == "package":
            self.packages.append(rows.package_of(row))
        elif kind == "document":
            self.documents.append(document_of(row))
        elif kind == "knowledge":
            self.knowledge.append(knowledge_of(row))
        elif type(kind) is not str or kind not in rows.READERS:
            raise BadRow(f"a row of the unknown kind `{kind}`" if kind else "the line is no row of a lock")
        else:
            self._take_other(kind, row, rows.READERS[kind](row))

    def _take_other(self, kind: str, row: Row, value: Any) -> None:
        if kind == "environment":
            _add(self.environments, value)
        elif kind == "expose":
            _add(self.exposes, value)
        elif kind == "requirement":
            _add(self.requirements[value[0].name], value)
        elif kind == "include":
            _add(self.includes[value.name], value)
        elif kind == "snapshot":
            _add(self.snapshots[value.source, value.registry, value.name], value)
        else:
            _add(self.resolutions[value], row)

    def lock(self) -> Lock:
        """What all rows come to, with the contradictions taken out and their sources marked."""
        packages = self._packages()
        requirements = self._requirements()
        snapshots = self._snapshots()
        self._check_names(packages, requirements)
        self._check_resolutions([requirement for requirement, _ in requirements])
        knowledge, documents, doubled = settled(self.knowledge, self.documents)
        systems, suite = self.environments[0] if self.environments else ((), None)
        if len(self.environments) != 1:
            self.unsettled |= {requirement.source for requirement, _ in requirements}
            self.tidy = False
        return Lock(
            requirements=tuple(requirement for requirement, _ in requirements),
            systems=systems,
            suite=suite,
            snapshots=tuple(snapshots),
            packages=tuple(packages),
            roots={requirement.name: roots for requirement, roots in requirements},
            expose=self.exposes[-1] if self.exposes else Expose(),
            knowledge=tuple(knowledge),
            documents=tuple(documents),
            unsettled_knowledge=doubled,
            includes=self.locked_includes,
            needs_relock=not self.tidy
            or bool(self.unsettled)
            or len(self.exposes) > 1
            or self.has_two_includes,
            unsettled=frozenset(self.unsettled),
        )

    @property
    def locked_includes(self) -> tuple[LockedInclude, ...]:
        """The includes that both sides have alike."""
        return tuple(found[0] for found in self.includes.values() if len(found) == 1)

    @property
    def has_two_includes(self) -> bool:
        """Whether two branches locked one include differently."""
        return any(len(found) > 1 for found in self.includes.values())

    def _packages(self) -> list[LockedPackage]:
        """The rows, each once, without those that two branches answer in two ways."""
        owners: dict[tuple[str, str, str, str], LockedPackage] = {}
        contradicted: set[tuple[str, str, str]] = set()
        for package in self.packages:
            for system in package.systems:
                owner = owners.setdefault((package.source, package.name, package.placement, system), package)
                if owner is not package and owner != package:
                    contradicted.add((package.source, package.name, package.placement))
                    self.unsettled.add(package.source)
        if self.tidy and not contradicted:
            if len(set(map(_package_key, self.packages))) == len(self.packages):
                return self.packages
            self.tidy = False  # Two branches gave one row different environments.
        single = dict.fromkeys(rows.package_line(package) for package in self.packages)
        by_line = {rows.package_line(package): package for package in self.packages}
        return [
            by_line[line]
            for line in single
            if (by_line[line].source, by_line[line].name, by_line[line].placement) not in contradicted
        ]

    def _requirements(self) -> list[tuple[Requirement, tuple[str, ...]]]:
        single = []
        for found in self.requirements.values():
            if len(found) == 1:
                single.append(found[0])
            else:
                self.unsettled |= {requirement.source for requirement, _ in found}
        return single

    def _snapshots(self) -> list[Snapshot]:
        """The newest state of each registry."""
        newest = []
        for found in self.snapshots.values():
            newest.append(max(found, key=lambda snapshot: (snapshot.date, snapshot.digest)))
            if len(found) > 1:
                self.unsettled.add(found[0].source)
        return newest

    def _check_names(
        self, packages: Iterable[LockedPackage], requirements: Iterable[tuple[Requirement, tuple[str, ...]]]
    ) -> None:
        """Mark the sources in which a row is named that is not there: one branch removed it."""
        known: dict[str, set[str]] = defaultdict(set)
        for package in packages:
            known[package.source].add(package.name)
        for package in packages:
            if package.dependencies and not known[package.source].issuperset(package.dependencies):
                self.unsettled.add(package.source)
        for requirement, roots in requirements:
            if not known[requirement.source].issuperset(roots):
                self.unsettled.add(requirement.source)

    def _check_resolutions(self, requirements: Sequence[Requirement]) -> None:
        """Mark the sources whose resolution row does not fit the requirement rows: two branches changed
        them, or someone edited the file."""
        by_source: dict[str, list[Requirement]] = {source: [] for source in self.resolutions}
        for requirement in requirements:
            by_source.setdefault(requirement.source, []).append(requirement)
        self.unsettled |= {package.source for package in self.packages} - by_source.keys()
        for source, locked in by_source.items():
            expected = json.loads(rows.resolution_line(source, locked))
            if not locked or self.resolutions.get(source) != [expected]:
                self.unsettled.add(source)


def _package_key(package: LockedPackage) -> tuple[object, ...]:
    return (package.source, package.name, package.placement, package.version, package.systems)


def _add(found: list[Any], value: Any) -> None:
    if value not in found:
        found.append(value)
