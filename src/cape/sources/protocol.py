"""What cape asks of an ecosystem that packages come from, and the values that pass between them.

Owns `Requirement`, `Artifact`, `LockedPackage`, `Resolution` and the `Source` Protocol. Nothing that
knows one ecosystem belongs here; neither manifest nor lock nor environment know more of a source than
this. `cape.sources.contract` is the test suite that every source inherits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cape.errors import InputError, SourceError, StateError
from cape.names import Age, Digest, System, this_hour

MINIMUM_AGE = "minimum-age"
"""The option of a requirement that says how old its package's releases must be."""

PROJECT_OPTION = "project"
"""The option of a requirement that stands for a file of the project which lists requirements itself."""

CONTENT_OPTION = "content"
"""The option that holds the digest of what counts in such a file: another content is another requirement."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Requirement:
    """One package that the manifest asks for.

    `name` is the key in the manifest (also the word for it on the command line), `package` what its
    source calls it. `constraint` is in the source's own language; `*` allows any version. `options`
    holds what only this source understands (`file`, `extras`, `recommends`), values as text.
    `where` names the place in the manifest (`cape.toml:9:1`) and takes no part in equality.
    """

    source: str
    name: str
    package: str
    constraint: str = "*"
    systems: tuple[System, ...] = ()
    """The systems it is wanted on; empty: every system of the manifest."""
    options: Mapping[str, str] = field(default_factory=dict)
    where: str | None = field(default=None, compare=False)


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Artifact:
    """A file as published: what it must be, and where its registry keeps it.

    `location` is relative to the registry (`pool/main/r/ripgrep/ripgrep_14.1.1-1_amd64.deb`; project
    and file name on an index) and never names a host. `registry` tells apart the registries of one
    source (`debian`, `debian-security`).
    """

    digest: Digest
    size_bytes: int
    registry: str
    location: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedPackage:
    """One exact answer of a source, for the systems that it holds on.

    `dependencies` are names of locked packages of the same source that this one needs, sorted.
    `placement` is the directory below the environment that an npm package goes to, the model's name
    for a model, and empty elsewhere. `attributes` holds what only its source understands.
    """

    source: str
    name: str
    version: str
    systems: tuple[System, ...]
    artifact: Artifact
    dependencies: tuple[str, ...] = ()
    placement: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """What rows are sorted by and told apart with."""
        return (self.source, self.name, self.version, self.placement, self.artifact.digest.hex)


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """The state of a registry that a resolution read: a Debian suite's `Release`.

    `date` is the registry's own (ISO 8601, UTC), `digest` that of the signed text.
    """

    source: str
    registry: str
    name: str
    date: str
    digest: Digest


@dataclass(frozen=True, kw_only=True, slots=True)
class Platform:
    """What the system packages of a lock give to language packages on one system.

    `python` is the interpreter's version (`3.13`), `glibc` the C library's (`2.41`), `node` that of a node
    among the system packages (`20.19.2`); None where the environment has none.
    """

    system: System
    python: str | None = None
    glibc: str | None = None
    node: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Provided:
    """A package of one source that a system package of the lock stands for: its version, and which it is."""

    version: str
    package: str
    where: str | None = field(default=None, compare=False)


class Progress(Protocol):
    """What long work reports to. The silent one is `NO_PROGRESS`; terminals live in the command line."""

    def start(self, label: str, total: int, *, unit: str = "") -> None:
        """A stage begins; `total` is in `unit` (`B` for bytes), 0 when unknown."""

    def advance(self, amount: int = 1) -> None:
        """Some more of the stage is done. Callable from any thread."""

    def finish(self) -> None:
        """The stage is over."""


class _NoProgress:
    def start(self, label: str, total: int, *, unit: str = "") -> None:
        pass

    def advance(self, amount: int = 1) -> None:
        pass

    def finish(self) -> None:
        pass


NO_PROGRESS: Progress = _NoProgress()


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolveContext:
    """What a resolution may start from.

    `kept` are rows of the present lock whose requirements did not change: their versions are preferred
    as long as they fit; `snapshots` are the registry states that the present lock was made of.
    `platforms` has one entry per system to lock for. `suite` is the manifest's Debian suite.

    With `as_of`, an instant such as `2026-01-16T00:00:00Z`, only what the registries had before it is
    there. With `minimum_age`, of what is not kept only what was there for so long at `now` (`as_of`, where
    that is given) may be chosen; a requirement's option `minimum-age` takes its place for its package.
    `directory` is the manifest's: files of the project that a requirement's option `project` names are
    relative to it. `provided` are packages of the source that are there already, by name: they are neither
    resolved nor among the answers, and what needs them must be content with their version.
    `progress` hears of the stages of long work, one after another; it takes no part in equality.
    """

    systems: tuple[System, ...]
    kept: tuple[LockedPackage, ...] = ()
    platforms: tuple[Platform, ...] = ()
    suite: str | None = None
    snapshots: tuple[Snapshot, ...] = ()
    as_of: str | None = None
    minimum_age: Age | None = None
    now: str = field(default_factory=this_hour)
    directory: Path | None = None
    provided: Mapping[str, Provided] = field(default_factory=dict)
    progress: Progress = field(default=NO_PROGRESS, compare=False, repr=False)

    def age_of(self, requirement: Requirement | None = None) -> Age | None:
        """How old releases of a requirement's package must be; without one, those of all others."""
        own = requirement.options.get(MINIMUM_AGE) if requirement else None
        return Age.parse(own) if own else self.minimum_age

    def latest(self, requirement: Requirement | None = None) -> str | None:
        """The instant before which a release must have come; None where any may be chosen."""
        age = self.age_of(requirement)
        return age.before(self.as_of or self.now) if age and age.seconds else self.as_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolution:
    """All packages that a set of requirements locks to, and the registry states they came from.

    `roots` maps each requirement's name to the package names that answer it (several for an
    ecosystem's alias). `notes` are sentences worth showing once.
    """

    packages: tuple[LockedPackage, ...]
    roots: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    snapshots: tuple[Snapshot, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A package that a search found."""

    source: str
    name: str
    version: str
    summary: str


class ArtifactLookup(Protocol):
    """Where sources keep and find artifacts while they resolve and unpack. The store implements it."""

    def path(self, digest: Digest) -> Path:
        """Where the artifact is, or would be. Pure."""

    def has(self, digest: Digest) -> bool:
        """Whether it is there, whole."""

    def partial(self, digest: Digest) -> Path:
        """Where an unfinished download of it is kept, to be resumed."""

    def admit(self, digest: Digest, file: Path, *, size_bytes: int) -> Path:
        """Check `file` against digest and size, move it in, and give its final path.

        Raises `IntegrityError`, and removes `file`, when it is not what it should be.
        """


class UnknownPackage(InputError):
    """A source has no package of that name. `nearest` are the names most like it, best first."""

    slug = "unknown-package"

    def __init__(
        self, requirement: Requirement, *, nearest: Sequence[str] = (), elsewhere: Sequence[str] = ()
    ) -> None:
        hints = []
        if nearest:
            hints.append("did you mean " + ", ".join(f"`{name}`" for name in nearest) + "?")
        if elsewhere:
            hints.append("it exists as " + ", ".join(f"`{name}`" for name in elsewhere))
        super().__init__(
            f"`{requirement.source}` has no package `{requirement.package}`",
            where=requirement.where,
            hint="; ".join(hints) or None,
        )
        self.requirement = requirement
        self.nearest = tuple(nearest)
        self.elsewhere = tuple(elsewhere)


class UnknownVersion(InputError):
    """A source has the package, but no version that fits. The hint lists what there is.

    `reasons` are sentences on why those that would fit cannot be taken; empty where there are none.
    """

    slug = "unknown-version"

    def __init__(
        self, fact: str, *, where: str | None = None, hint: str | None = None, reasons: Sequence[str] = ()
    ) -> None:
        super().__init__(fact, where=where, hint=hint)
        self.reasons = tuple(reasons)


class NotRecorded(StateError):
    """A registry that was asked for an earlier state does not tell when things came to it."""

    slug = "upload-times-not-recorded"


class RequirementsConflict(InputError):
    """Requirements that cannot hold together; the fact names them.

    `reasons` are the steps from them to the clash, a sentence each; the hint has them joined. `concerned`
    are the requirements that the source's resolver names: neither all nor only those that take part.
    """

    slug = "requirements-conflict"

    def __init__(
        self,
        fact: str,
        *,
        where: str | None = None,
        hint: str | None = None,
        reasons: Sequence[str] = (),
        concerned: Sequence[Requirement] = (),
    ) -> None:
        super().__init__(fact, where=where, hint=hint or "; ".join(reasons) or None)
        self.reasons = tuple(reasons)
        self.concerned = tuple(concerned)


class RegistryUnreachable(SourceError):
    """A registry did not answer, or answered with an error, after all retries."""

    slug = "registry-unreachable"


class RegistryGarbage(SourceError):
    """A registry answered with something that is not what it publishes."""

    slug = "registry-garbage"


class RegistryUnknown(SourceError):
    """No registry of this source is configured on this machine."""

    slug = "registry-unknown"


class ArtifactGone(SourceError):
    """A registry no longer serves an artifact of the lock."""

    slug = "artifact-gone"


class Trying(Protocol):
    """A source that can be asked cheaply whether requirements hold: see `versions`."""

    def versions(self, requirements: Sequence[Requirement], context: ResolveContext) -> Mapping[str, str]:
        """The versions that a resolution would lock, by package; the one of several that comes first.

        Raises what `Source.resolve` raises. No artifact is brought for it.
        """


class Source(Protocol):
    """An ecosystem that packages come from.

    Every method may be called from one thread at a time. All raise `RegistryUnknown`,
    `RegistryUnreachable` and `RegistryGarbage` where they touch the network, and nothing else of
    another library's errors.
    """

    name: str

    def find(self, text: str, *, limit: int = 20) -> Sequence[Candidate]:
        """Packages whose name or summary holds `text`, best first; empty when there are none."""

    def has(self, package: str) -> bool:
        """Whether a package of exactly this name exists."""

    def resolve(self, requirements: Sequence[Requirement], context: ResolveContext) -> Resolution:
        """The packages that answer all requirements on every system of the context.

        Equal input and equal registries give equal output. No requirement gives an empty resolution.
        Raises `UnknownPackage`, `UnknownVersion`, `RequirementsConflict`, and with `as_of`
        `NotRecorded`.
        """

    def locate(
        self, packages: Sequence[LockedPackage], *, snapshots: Sequence[Snapshot] = ()
    ) -> Mapping[Digest, Sequence[str]]:
        """URLs that should serve each package's artifact, most likely first; absent when there is none.

        `snapshots` are those of the packages' lock: they lead to archives of old states.
        """

    def unpack(self, package: LockedPackage, artifact: Path, into: Path) -> None:
        """Put the package's files below `into`, laid out as they lie below the environment.

        System packages go to `root/`, Python's to `lib/pythonX.Y/site-packages/`, npm's to
        `lib/node_modules/`, a model to `models/NAME/`. Nothing is written outside `into`.
        Raises `IntegrityError` for an artifact that is damaged or has a path that escapes.
        """
