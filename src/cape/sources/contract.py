"""The test suite that every source inherits, real or fake: what the `Source` Protocol promises.

    class TestDebianSource(SourceContract):
        @pytest.fixture
        def subject(self, tmp_path): ...

It is shipped with the package, so that a source that is written elsewhere can be held to it. It needs
pytest only through the subclass. Laws of one ecosystem do not belong here.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from cape.names import Digest, System
from cape.sources.protocol import (
    LockedPackage,
    Requirement,
    RequirementsConflict,
    Resolution,
    ResolveContext,
    Source,
    UnknownPackage,
    UnknownVersion,
)

_NO_SUCH_PACKAGE = "cape-contract-no-such-package"


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """A source to be tested, and what it must be able to answer.

    `requirement` is one that it can resolve on `systems`; `impossible` asks the same package for a version
    that does not exist. `artifact` brings a locked package's file, from wherever; `conflicting` are
    requirements that cannot hold together, None where an ecosystem has no such thing.
    """

    source: Source
    requirement: Requirement
    impossible: Requirement
    artifact: Callable[[LockedPackage], Path]
    systems: tuple[System, ...] = (System.X86_64_LINUX,)
    conflicting: tuple[Requirement, ...] | None = None

    @property
    def context(self) -> ResolveContext:
        return ResolveContext(systems=self.systems)

    def resolve(self) -> Resolution:
        return self.source.resolve([self.requirement], self.context)


class SourceContract:
    """The laws. A subclass has a fixture `subject` that gives a `Subject`."""

    def test_no_requirement_gives_an_empty_resolution(self, subject: Subject) -> None:
        assert subject.source.resolve([], subject.context).packages == ()

    def test_resolving_twice_gives_the_same(self, subject: Subject) -> None:
        assert subject.resolve() == subject.resolve()

    def test_a_requirement_has_roots_among_the_packages(self, subject: Subject) -> None:
        resolution = subject.resolve()
        roots = resolution.roots[subject.requirement.name]
        assert roots
        assert set(roots) <= {package.name for package in resolution.packages}

    def test_packages_are_of_this_source_and_for_systems_of_the_context(self, subject: Subject) -> None:
        for package in subject.resolve().packages:
            assert package.source == subject.source.name
            assert package.systems
            assert set(package.systems) <= set(subject.systems)

    def test_packages_have_keys_of_their_own(self, subject: Subject) -> None:
        keys = [package.key for package in subject.resolve().packages]
        assert len(keys) == len(set(keys))

    def test_dependencies_are_sorted_names_of_locked_packages(self, subject: Subject) -> None:
        packages = subject.resolve().packages
        names = {package.name for package in packages}
        for package in packages:
            assert list(package.dependencies) == sorted(set(package.dependencies))
            assert set(package.dependencies) <= names

    def test_locations_name_no_host(self, subject: Subject) -> None:
        for package in subject.resolve().packages:
            assert "://" not in package.artifact.location
            assert not package.artifact.location.startswith("/")

    def test_kept_packages_stay(self, subject: Subject) -> None:
        before = subject.resolve()
        context = replace(subject.context, kept=before.packages)
        assert subject.source.resolve([subject.requirement], context).packages == before.packages

    def test_every_package_can_be_located(self, subject: Subject) -> None:
        packages = subject.resolve().packages
        urls = subject.source.locate(packages)
        assert urls == subject.source.locate(packages, snapshots=())
        assert all(urls.get(package.artifact.digest) for package in packages)

    def test_artifacts_are_what_the_lock_says(self, subject: Subject) -> None:
        for package in subject.resolve().packages:
            file = subject.artifact(package)
            assert file.stat().st_size == package.artifact.size_bytes
            assert Digest.of_file(file) == package.artifact.digest

    def test_unpacking_twice_gives_equal_trees(self, subject: Subject, tmp_path: Path) -> None:
        for package in subject.resolve().packages:
            trees = []
            for name in ("first", "second"):
                into = tmp_path / f"{package.artifact.digest.short}-{name}"
                into.mkdir()
                subject.source.unpack(package, subject.artifact(package), into)
                trees.append(_tree(into))
            assert trees[0] == trees[1]
            assert trees[0]

    def test_a_damaged_artifact_is_refused(self, subject: Subject, tmp_path: Path) -> None:
        from cape.errors import IntegrityError

        package = subject.resolve().packages[0]
        damaged = tmp_path / "damaged"
        whole = subject.artifact(package).read_bytes()
        damaged.write_bytes(whole[: len(whole) // 2])
        _raises(IntegrityError, lambda: subject.source.unpack(package, damaged, tmp_path / "into"))

    def test_an_existing_package_is_found(self, subject: Subject) -> None:
        assert subject.source.has(subject.requirement.package)

    def test_an_absent_package_is_not_found(self, subject: Subject) -> None:
        assert not subject.source.has(_NO_SUCH_PACKAGE)
        assert list(subject.source.find(_NO_SUCH_PACKAGE)) == []

    def test_an_unknown_package_is_an_error_with_its_place(self, subject: Subject) -> None:
        wrong = replace(subject.requirement, package=_NO_SUCH_PACKAGE, where="cape.toml:9:1")
        error = _raises(UnknownPackage, lambda: subject.source.resolve([wrong], subject.context))
        assert "cape.toml:9:1" in str(error)
        assert _NO_SUCH_PACKAGE in str(error)

    def test_an_unknown_version_is_an_error_that_says_what_there_is(self, subject: Subject) -> None:
        error = _raises(UnknownVersion, lambda: subject.source.resolve([subject.impossible], subject.context))
        assert getattr(error, "hint", None)

    def test_requirements_that_cannot_hold_together_are_an_error(self, subject: Subject) -> None:
        if subject.conflicting is None:
            return
        conflicting = subject.conflicting
        _raises(RequirementsConflict, lambda: subject.source.resolve(conflicting, subject.context))


def _raises(kind: type[Exception], action: Callable[[], object]) -> Exception:
    """The error of that kind that the action raises; an `AssertionError` if it does not."""
    try:
        action()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def _tree(top: Path) -> dict[str, tuple[int, str]]:
    """Mode and content (or link target) of everything below a directory, by relative path."""
    found: dict[str, tuple[int, str]] = {}
    for directory, directories, files in os.walk(top):
        for name in directories + files:
            path = Path(directory, name)
            if path.is_symlink():
                content = os.readlink(path)
            else:
                content = "" if path.is_dir() else Digest.of_file(path).hex
            found[str(path.relative_to(top))] = (path.lstat().st_mode, content)
    return found
