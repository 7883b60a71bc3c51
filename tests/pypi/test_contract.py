"""The Python index as a source, held to what every source promises."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cape.configuration import Configuration
from cape.names import System
from cape.sources.contract import SourceContract, Subject
from cape.sources.download import Download, download_all
from cape.sources.protocol import LockedPackage, Platform, Requirement, ResolveContext
from cape.sources.pypi import PypiSource
from tests.mirrors.folder import FolderArtifacts
from tests.mirrors.pypi import python_index


class PythonSubject(Subject):
    """A subject whose environment has a Python."""

    @property
    def context(self) -> ResolveContext:
        platforms = tuple(Platform(system=system, python="3.13", glibc="2.41") for system in self.systems)
        return ResolveContext(systems=self.systems, platforms=platforms)


class TestPypiSource(SourceContract):
    @pytest.fixture
    def subject(self, tmp_path: Path) -> Iterator[Subject]:
        (tmp_path / "artifacts").mkdir()
        with python_index() as index:
            for version in ("1.0", "2.0"):
                index.add_wheel("base", version)
            index.add_wheel("app", "1.0", requires=["base>=2"])
            source = PypiSource(
                configuration=Configuration({"pypi.index": (index.simple,)}),
                cache=tmp_path / "cache",
                artifacts=FolderArtifacts(tmp_path / "artifacts"),
            )
            yield subject_of(source)


def subject_of(source: PypiSource) -> Subject:
    def want(package: str, constraint: str = "*") -> Requirement:
        return Requirement(source="pypi", name=package, package=package, constraint=constraint)

    def artifact(package: LockedPackage) -> Path:
        item = Download(
            digest=package.artifact.digest,
            size_bytes=package.artifact.size_bytes,
            name=package.name,
            urls=tuple(source.locate([package])[package.artifact.digest]),
        )
        download_all([item], source.artifacts)
        return source.artifacts.path(package.artifact.digest)

    return PythonSubject(
        source=source,
        requirement=want("app"),
        impossible=want("app", "==9.1"),
        artifact=artifact,
        systems=(System.X86_64_LINUX, System.AARCH64_LINUX),
        conflicting=(want("app"), want("base", "<2")),
    )
