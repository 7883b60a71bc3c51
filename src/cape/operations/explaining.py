"""A lock that cannot be made, explained: the smallest set of requirements that clash, and ways out.

Every way out that is told of was tried with the source's own resolver. What an explanation looks like, and
the search, are `analysis.conflicts`'; this room asks the sources.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from cape.errors import CapeError, InputError
from cape.manifest import Manifest
from cape.operations.written import (
    changed_line,
    line_at,
    line_of_suite,
    order_in_file,
    place_of_suite,
    with_key,
    written_line,
)
from cape.sources.protocol import (
    MINIMUM_AGE,
    NO_PROGRESS,
    LockedPackage,
    Requirement,
    RequirementsConflict,
    Resolution,
    ResolveContext,
    Source,
    UnknownVersion,
)

if TYPE_CHECKING:
    from cape.analysis.conflicts import Explanation, Relaxation, Smallest
    from cape.operations.project import Workshop

_log = logging.getLogger(__name__)

LIMIT_S = 20.0
"""How long the search for an explanation may take. The error itself is known before it."""

_NO_AGE = "0 days"
_STEPS_BACK = 5
"""How many older versions of one package are tried, one after another."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """A question that a source refused."""

    source: Source
    requirements: tuple[Requirement, ...]
    context: ResolveContext
    error: InputError


class Overhearing(Mapping[str, Source]):
    """Sources that remember the question that one of them refused last."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._sources = sources
        self.refusal: Refusal | None = None

    def __getitem__(self, name: str) -> Source:
        return _Overheard(self._sources[name], self)

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)


class _Overheard:
    """A source whose refusals are remembered, and the source that it stands for otherwise."""

    def __init__(self, source: Source, listener: Overhearing) -> None:
        self.name = source.name
        self._source = source
        self._listener = listener
        self.find = source.find
        self.has = source.has
        self.locate = source.locate
        self.unpack = source.unpack

    def resolve(self, requirements: Sequence[Requirement], context: ResolveContext) -> Resolution:
        """What the source says."""
        try:
            return self._source.resolve(requirements, context)
        except InputError as error:
            self._listener.refusal = Refusal(
                source=self._source, requirements=tuple(requirements), context=context, error=error
            )
            raise


def explain_refusal(
    error: InputError,
    overheard: Overhearing,
    manifest: Manifest,
    workshop: Workshop,
    *,
    limit_s: float = LIMIT_S,
) -> InputError:
    """The error with its explanation, where there is something to explain; else the error as it is."""
    from cape.analysis.conflicts import OutOfTime

    refusal = overheard.refusal
    if refusal is None or refusal.error is not error or not _is_explicable(error):
        return error
    workshop.progress.start("looking for the smallest conflict and ways out", 0)
    try:
        explanation = _Explaining(refusal, manifest, workshop, time.monotonic() + limit_s).explanation()
    except (CapeError, OutOfTime) as failure:
        _log.debug("the conflict cannot be explained further: %s", failure)
        return error
    finally:
        workshop.progress.finish()
    return _told(error, explanation)


def _is_explicable(error: InputError) -> bool:
    from cape.sources.npm.tool import NotForSystem
    from cape.sources.pypi.tool import NoWheel

    return isinstance(error, RequirementsConflict | UnknownVersion | NoWheel | NotForSystem)


def _told(error: InputError, explanation: Explanation) -> InputError:
    """The error of the source, its sentence about the smallest set."""
    members = explanation.requirements
    error.where = ", ".join(dict.fromkeys(one.where for one in members if one.where)) or error.where
    error.explanation = explanation
    if not explanation.is_smallest:
        return error
    if len(members) > 1:
        error.fact = f"{_and([f'`{one.name}`' for one in members])} cannot hold together"
    elif isinstance(error, RequirementsConflict) and members and explanation.reasons:
        error.fact = f"`{members[0].name}` cannot be locked"
    if len(members) > 1 or isinstance(error, RequirementsConflict):
        error.hint = None
    error.args = (error.fact,)
    return error


def _and(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


class _Answer(NamedTuple):
    """What a source says of a set: versions by package, or why not."""

    versions: Mapping[str, str] | None
    error: InputError | None


class _Explaining:
    """The search for one explanation."""

    def __init__(self, refusal: Refusal, manifest: Manifest, workshop: Workshop, deadline: float) -> None:
        self._source = refusal.source
        self._all = refusal.requirements
        self._context = replace(refusal.context, progress=NO_PROGRESS)
        self._error = refusal.error
        self._manifest = manifest
        self._workshop = workshop
        self._deadline = deadline
        self._answers: dict[str, _Answer] = {}
        self._is_late = False

    def explanation(self) -> Explanation:
        """The whole of it. Raises `OutOfTime` when not even the conflict itself could be looked at."""
        from cape.analysis.conflicts import Explanation, nearest_first

        smallest = self._smallest()
        members = tuple(sorted(smallest.members, key=order_in_file))
        error = self._error_of(members)
        relaxations, is_whole = self._relaxations(members, error)
        return Explanation(
            requirements=members,
            written=tuple(self._line(one) for one in members),
            reasons=(*_reasons(error), *self._settings(error)),
            relaxations=nearest_first(relaxations),
            is_smallest=smallest.is_smallest,
            is_whole=is_whole,
            is_searched=not self._is_late,
        )

    # The smallest set.

    def _smallest(self) -> Smallest[Requirement]:
        from cape.analysis.conflicts import smallest_conflict

        named = self._error.concerned if isinstance(self._error, RequirementsConflict) else ()
        if not named:
            named = tuple(one for one in self._all if one.where and one.where == self._error.where)
        found = smallest_conflict(
            self._all, lambda members: self._answer(members).versions is not None, first=named
        )
        if not found.is_smallest and 0 < len(named) < len(found.members):
            return replace(found, members=named)
        return found

    def _error_of(self, members: Sequence[Requirement]) -> InputError:
        """What the source says against these; against all, when there is no time to ask."""
        from cape.analysis.conflicts import OutOfTime

        try:
            return self._answer(members).error or self._error
        except OutOfTime:
            return self._error

    def _answer(self, members: Sequence[Requirement]) -> _Answer:
        """What the source says of these requirements, asked once each. Raises `OutOfTime`."""
        from cape.analysis.conflicts import OutOfTime

        key = repr([(one.name, one.package, one.constraint, sorted(one.options.items())) for one in members])
        if key not in self._answers:
            if time.monotonic() > self._deadline:
                raise OutOfTime
            self._answers[key] = self._asked(members)
        return self._answers[key]

    def _asked(self, members: Sequence[Requirement]) -> _Answer:
        if not members:
            return _Answer({}, None)
        try:
            return _Answer(versions_of(self._source, members, self._context), None)
        except InputError as error:
            return _Answer(None, error)

    # Words.

    def _line(self, requirement: Requirement) -> str:
        """The line that asks for a requirement, as it is in its file, or as it would be written."""
        return line_at(requirement.where, self._manifest) or written_line(requirement, requirement.constraint)

    def _settings(self, error: InputError) -> Iterator[str]:
        """What the environment has, where that is a part of the clash."""
        text = " ".join((error.fact, error.hint or "", *_reasons(error)))
        place = place_of_suite(self._manifest)
        for platform in self._context.platforms[:1]:
            if "Python " in text and platform.python:
                yield f"the environment has Python {platform.python}{self._python_place()}{place}"
            if f"node is {platform.node}" in text:
                yield f"node {platform.node} is Debian's `nodejs`{place}"
            if "glibc" in text and platform.glibc:
                yield f"the environment has glibc {platform.glibc}{place}"

    def _python_place(self) -> str:
        """Where the manifest asks for Python, in brackets; empty where it does not."""
        for one in self._manifest.requirements:
            if one.source == "debian" and re.fullmatch(r"python(3(\.\d+)?)?", one.package) and one.where:
                return f" (`{self._line(one)}`, {one.where})"
        return ""

    # Ways out.

    def _relaxations(
        self, members: Sequence[Requirement], error: InputError
    ) -> tuple[list[Relaxation], bool]:
        """The ways out that resolve all; if there are none, those that resolve this conflict, and False."""
        from cape.analysis.conflicts import OutOfTime

        found: list[Relaxation] = []
        try:
            for around in (self._all, members) if len(self._all) > len(members) else (self._all,):
                for relaxation in self._ways(members, around, error):
                    found.append(relaxation)
                if found:
                    return found, around is self._all
        except OutOfTime:
            self._is_late = True
        return found, True

    def _ways(
        self, members: Sequence[Requirement], around: Sequence[Requirement], error: InputError
    ) -> Iterator[Relaxation]:
        """Ways out, those that cost few questions first: time may end the search."""
        stiff = []
        for member in members:
            if relaxation := self._loosened(member, around):
                yield relaxation
            else:
                stiff.append(member)
            if relaxation := self._younger(member, around):
                yield relaxation
        yield from self._without(members, around)
        yield from self._other_suite(error)
        if relaxation := self._with_older_dependency(around, error):
            yield relaxation
        for member in stiff:
            if relaxation := self._older(member, around):
                yield relaxation

    def _with(
        self, member: Requirement, constraint: str, around: Sequence[Requirement]
    ) -> tuple[Requirement, Mapping[str, str]] | None:
        """A requirement with another constraint and the versions that this leads to; None if it does not."""
        other = replace(member, constraint=constraint)
        versions = self._answer([other if one is member else one for one in around]).versions
        return (other, versions) if versions is not None else None

    def _loosened(self, member: Requirement, around: Sequence[Requirement]) -> Relaxation | None:
        """The member with a constraint that lets more in: the nearest that resolves."""
        from cape.analysis.relaxing import fitting, looser

        for constraint in looser(member.source, member.constraint):
            tried = self._with(member, constraint, around)
            version = _version_of(tried[1], member) if tried else None
            if tried is None or version is None:
                continue
            for better in dict.fromkeys((fitting(member.source, member.constraint, version), constraint)):
                if exact := self._with(member, better, around):
                    return self._constraint(member, better, exact[1])
        return None

    def _older(self, member: Requirement, around: Sequence[Requirement]) -> Relaxation | None:
        """The member with older versions only, where the newest that fits is what clashes."""
        from cape.analysis.relaxing import below

        constraint = member.constraint
        for _ in range(_STEPS_BACK):
            version = self._version_at(member, constraint, around)
            if version is None:
                return None
            constraint = below(member.source, member.constraint, version)
            if tried := self._with(member, constraint, around):
                return self._constraint(member, constraint, tried[1])
        return None

    def _version_at(self, member: Requirement, constraint: str, around: Sequence[Requirement]) -> str | None:
        """The version that a clash with this constraint names, or that the member has when it is alone."""
        other = replace(member, constraint=constraint)
        clash = self._answer([other if one is member else one for one in around]).error
        if version := _version_in(clash, member):
            return version
        alone = self._answer([other])
        return _version_of(alone.versions or {}, member) or _version_in(alone.error, member)

    def _younger(self, member: Requirement, around: Sequence[Requirement]) -> Relaxation | None:
        """The member's newest releases, where a minimum age keeps them away."""
        from cape.analysis.conflicts import Relaxation, Way

        age = self._context.age_of(member)
        if self._source.name == "debian" or age is None or not age.seconds:
            return None
        other = replace(member, options={**member.options, MINIMUM_AGE: _NO_AGE})
        versions = self._answer([other if one is member else one for one in around]).versions
        if versions is None:
            return None
        version = _version_of(versions, member)
        return Relaxation(
            way=Way.AGE,
            lines=(with_key(self._line(member), other, MINIMUM_AGE, _NO_AGE),),
            sentence=f"take releases of `{member.name}` that are younger than {age.text}",
            where=member.where,
            gives=(f"{member.package} {version}",) if version else (),
        )

    def _constraint(self, member: Requirement, constraint: str, versions: Mapping[str, str]) -> Relaxation:
        from cape.analysis.conflicts import Relaxation, Way
        from cape.analysis.relaxing import distance

        version = _version_of(versions, member) or ""
        present = self._line(member)
        return Relaxation(
            way=Way.CONSTRAINT,
            lines=(changed_line(present, member, constraint),),
            sentence=f"allow `{member.name}` `{constraint}`",
            where=member.where,
            steps=distance(member.constraint, version) if version else 0,
            gives=(f"{member.package} {version}",) if version else (),
        )

    def _with_older_dependency(self, around: Sequence[Requirement], error: InputError) -> Relaxation | None:
        """An older version of something that nobody named, held back by a line of its own."""
        from cape.analysis.conflicts import Relaxation, Way

        package, version = _culprit(error)
        if package is None or any(_same(one.package, package) for one in self._all):
            return None
        for _ in range(_STEPS_BACK):
            added = Requirement(
                source=self._source.name, name=package, package=package, constraint=f"<{version}"
            )
            answer = self._answer([*around, added])
            if answer.versions is not None:
                got = _version_of(answer.versions, added)
                return Relaxation(
                    way=Way.ADD,
                    lines=(written_line(added, added.constraint),),
                    sentence=f"hold `{package}` back",
                    gives=(f"{package} {got}",) if got else (),
                )
            other, version = _culprit(answer.error)
            if other != package:
                return None
        return None

    def _without(self, members: Sequence[Requirement], around: Sequence[Requirement]) -> Iterator[Relaxation]:
        from cape.analysis.conflicts import Relaxation, Way

        for member in members if len(members) > 1 else ():
            if self._answer([one for one in around if one is not member]).versions is not None:
                yield Relaxation(
                    way=Way.REMOVE,
                    lines=(),
                    sentence=f"do without `{member.name}`",
                    where=member.where,
                )

    def _other_suite(self, error: InputError) -> Iterator[Relaxation]:
        """Another suite at hand, where the language packages ask for another Python or C library."""
        from cape.analysis.conflicts import OutOfTime, Relaxation, Way
        from cape.sources.debian.suites import neighbours

        text = " ".join((error.fact, error.hint or "", *_reasons(error)))
        if self._source.name == "debian" or not re.search(r"Python|glibc|wheel|node is", text):
            return
        for steps, suite in enumerate(neighbours(self._manifest.debian or ""), start=1):
            if time.monotonic() > self._deadline:
                raise OutOfTime
            gives = self._under(suite)
            if gives is not None:
                yield Relaxation(
                    way=Way.SUITE,
                    lines=(f'debian = "{suite}"',),
                    sentence=f"take the suite `{suite}`",
                    where=line_of_suite(self._manifest),
                    steps=steps,
                    gives=gives,
                )
                return

    def _under(self, suite: str) -> tuple[str, ...] | None:
        """What the environment would have under another suite, if all can be locked there."""
        from cape.lock.platforms import platforms_of
        from cape.lock.wanted import wanted_on, wanted_requirements

        manifest = replace(self._manifest, debian=suite)
        system = [one for one in wanted_requirements(manifest) if one.source == "debian"]
        asked = [one for one in system if wanted_on(one, manifest.systems)]
        linux = tuple(one for one in manifest.systems if one.is_linux)
        try:
            debian = self._workshop.sources(suite)["debian"]
            context = ResolveContext(systems=linux, suite=suite)
            rows: tuple[LockedPackage, ...] = debian.resolve(asked, context).packages
            platforms = platforms_of(rows, manifest.systems)
            versions_of(self._source, self._all, replace(self._context, platforms=platforms, suite=suite))
        except CapeError as error:
            _log.debug("not under `%s`: %s", suite, error)
            return None
        first = platforms[0]
        return tuple(
            f"{what} {version}"
            for what, version in (("Python", first.python), ("glibc", first.glibc))
            if version
        )


def versions_of(
    source: Source, requirements: Sequence[Requirement], context: ResolveContext
) -> Mapping[str, str]:
    """The versions that a resolution would lock, the cheap way where the source has one."""
    cheap = getattr(source, "versions", None)
    if cheap is not None:
        found: Mapping[str, str] = cheap(requirements, context)
        return found
    rows = source.resolve(requirements, context).packages
    return {row.name: row.version for row in reversed(rows)}


def _reasons(error: InputError) -> tuple[str, ...]:
    reasons: tuple[str, ...] = getattr(error, "reasons", ())
    if isinstance(error, RequirementsConflict):
        return reasons or (error.hint or error.fact,)
    return reasons


def _same(one: str, other: str) -> bool:
    return re.sub(r"[-_.]+", "-", one).lower() == re.sub(r"[-_.]+", "-", other).lower()


def _version_of(versions: Mapping[str, str], requirement: Requirement) -> str | None:
    return next((version for name, version in versions.items() if _same(name, requirement.package)), None)


_NAMED = re.compile(r"`(?P<package>[^`\s]+)` (?P<version>\d[^\s,;]*)")


def _version_in(error: InputError | None, requirement: Requirement) -> str | None:
    """The version of a package that an error says something of."""
    for text in (error.fact, *_reasons(error)) if error else ():
        for match in _NAMED.finditer(text):
            if _same(match["package"], requirement.package):
                return match["version"]
    return None


def _culprit(error: InputError | None) -> tuple[str | None, str]:
    """Package and version that have no wheel that fits, or do not run on a system."""
    from cape.sources.npm.tool import NotForSystem
    from cape.sources.pypi.tool import NoWheel

    match = _NAMED.search(error.fact) if isinstance(error, NoWheel | NotForSystem) else None
    return (match["package"], match["version"]) if match else (None, "")
