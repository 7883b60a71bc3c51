"""The npm registry as a source, held to what every source promises."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cape.configuration import Configuration
from cape.names import System
from cape.sources.contract import SourceContract, Subject
from cape.sources.npm import NpmSource
from cape.sources.protocol import LockedPackage, Requirement
from tests.mirrors.folder import FolderArtifacts
from tests.mirrors.npm import npm_registry


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not on this machine")
class TestNpmSource(SourceContract):
    @pytest.fixture
    def subject(self, tmp_path: Path) -> Iterator[Subject]:
        (tmp_path / "artifacts").mkdir()
        with npm_registry() as registry:
            for version in ("1.0.0", "2.0.0"):
                registry.publish("base", version)
            registry.publish("needs", "1.0.0", dependencies={"base": "^1.0.0"}, bin="index.js")
            registry.publish("app", "1.0.0", peerDependencies={"base": "^2.0.0"}, dependencies={"needs": "*"})
            source = NpmSource(
                configuration=Configuration({"npm.registry": (registry.url,)}),
                cache=tmp_path / "cache",
                artifacts=FolderArtifacts(tmp_path / "artifacts"),
            )
            yield subject_of(source)


def subject_of(source: NpmSource) -> Subject:
    def want(package: str, constraint: str = "*") -> Requirement:
        return Requirement(source="npm", name=package, package=package, constraint=constraint)

    def artifact(package: LockedPackage) -> Path:
        return source.artifacts.path(package.artifact.digest)

    return Subject(
        source=source,
        requirement=want("app"),
        impossible=want("app", "9"),
        artifact=artifact,
        systems=(System.X86_64_LINUX, System.AARCH64_LINUX),
        conflicting=(want("app"), want("base", "1")),
    )
