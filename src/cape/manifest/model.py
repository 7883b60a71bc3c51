"""The manifest as a value.

Owns `Manifest` and the small values inside it. Nothing here reads text: whoever holds a `Manifest`
holds one that was checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cape.names import Age, Digest, System
from cape.sources.protocol import Requirement

SCHEMA = 1
"""The schema of manifests that this version reads and writes."""

DEFAULT_SOURCE = "debian"
"""The source of a package that names none."""


DEFAULT_ENVIRONMENT = "default"
"""The name of the environment that the manifest's own tables say."""

ORIGINATING = (
    *("packages", "models", "vars", "secrets", "services", "knowledge", "writers", "budget", "promote"),
    *("hook", "profile"),
)
"""Tables whose keys a manifest above may replace, add to or remove."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Expose:
    """Programs to put on PATH beside those of the packages asked for, and programs to keep off it."""

    add: tuple[str, ...] = ()
    hide: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Hook:
    """Shell text that runs once per start of the environment, and at its end; None where there is none."""

    on_activate: str | None = None
    on_deactivate: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Included:
    """One manifest that another includes.

    `name` is the chain of names that leads to it (`base/common`), `directory` where its files are, and
    `expression` that directory as shell text sees it. `place` is equal for equal manifests. `path`
    is the row's own. `url`, `ref` and `commit` are those of a git include (`is_git`). `checkout` is the tree
    that must not be left, None where there is none.
    """

    name: str
    place: str
    directory: Path
    expression: str
    digest: Digest
    text: str = field(repr=False)
    path: str = "."
    url: str | None = None
    ref: str | None = None
    commit: str | None = None
    checkout: Path | None = None
    is_git: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """What `[environments.NAME]` says, over that environment's base.

    `manifest` holds the tables that stand there, and nothing of the manifest around them. `inherit` says
    whether the default environment lies below (None: not said), `based_on` which others do, `remove` what
    of all that goes; `systems` is empty where all of the manifest's are meant.
    """

    manifest: Manifest
    inherit: bool | None = None
    based_on: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """One way in which a package is wanted: the condition on the machine, and what then answers it."""

    when: str
    requirement: Requirement


@dataclass(frozen=True, kw_only=True, slots=True)
class Varied(Requirement):
    """A package whose answer depends on the machine: the first variant whose condition holds.

    What it says as a requirement is what its last variant says. One that is `optional` is left out where
    no variant holds.
    """

    variants: tuple[Variant, ...] = ()
    optional: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What a user asks for.

    `requirements` are `[packages]`, then `[models]` (their source is `model`), in the manifest's order.
    `vars` is ordered so that a variable stands after those of `[vars]` that it refers to, and otherwise
    as in the text. `secrets` maps a variable to how its value is looked up (`command` or `keyring`), and
    `env_files` are paths from the manifest's directory of files with variables. `profile` maps `common` or a
    shell's name to shell text. `services`, `knowledge`, `writers`, `budget`,
    `include`, `build`, `promote`, `npm` and `python` are checked, frozen copies of their tables: mappings and
    tuples.
    `mode` is `run` or `dev`.
    `debian` is the suite, None where the manifest names none. `gpu` is `auto` where packages that cape knows
    have their usual variants. `allow_licences` are the licences that models may have; None: any. `provided`
    names Python packages that a Debian package of this manifest stands for, each with that package; only a
    manifest of one choice of variants has any.

    `environments` are the parts of other environments; `environment` is the name of the one that this
    value is (None: the default). Of a composed manifest `included` are all manifests that lie below,
    under each name that leads to them, and `overridden` sentences about what a higher one replaced or
    removed. `origins` maps keys (`vars.PORT`, `services.db`, `hook.on-activate`) to the place, or places,
    that they come from.
    `text` is always that of `path` alone.
    """

    path: Path
    schema: int
    name: str
    systems: tuple[System, ...]
    debian: str | None
    requirements: tuple[Requirement, ...] = ()
    vars: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    env_files: tuple[str, ...] = ()
    hook: Hook = Hook()
    profile: Mapping[str, str] = field(default_factory=dict)
    services: Mapping[str, object] = field(default_factory=dict)
    knowledge: Mapping[str, object] = field(default_factory=dict)
    writers: Mapping[str, object] = field(default_factory=dict)
    budget: Mapping[str, object] = field(default_factory=dict)
    include: Mapping[str, object] = field(default_factory=dict)
    build: Mapping[str, object] = field(default_factory=dict)
    promote: Mapping[str, object] = field(default_factory=dict)
    npm: Mapping[str, object] = field(default_factory=dict)
    python: Mapping[str, object] = field(default_factory=dict)
    expose: Expose = Expose()
    minimum_age: Age | None = None
    mode: str = "run"
    gpu: str | None = None
    allow_licences: tuple[str, ...] | None = None
    provided: Mapping[str, str] = field(default_factory=dict)
    environments: Mapping[str, Part] = field(default_factory=dict)
    text: str = field(default="", repr=False)
    environment: str | None = None
    included: tuple[Included, ...] = field(default=(), repr=False)
    overridden: tuple[str, ...] = field(default=(), repr=False)
    origins: Mapping[str, str] = field(default_factory=dict, repr=False)

    def requirement(self, name: str) -> Requirement | None:
        """The requirement of that name, or None."""
        return next((found for found in self.requirements if found.name == name), None)
