"""`DebianSource` keeps what every source promises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cape.names import System
from cape.sources.contract import SourceContract, Subject
from cape.sources.debian import DebianSource
from tests.debian.conftest import want
from tests.mirrors.debian import DebianMirror


class TestDebianSource(SourceContract):
    @pytest.fixture
    def subject(self, mirror: DebianMirror, open_source: Callable[..., DebianSource]) -> Subject:
        for architecture in ("amd64", "arm64"):
            mirror.add("libc6", "2.41-1", architecture=architecture, files={"usr/lib/libc.so": b"c"})
            mirror.add("base", "1", architecture=architecture, essential=True, depends="libc6")
            mirror.add("tool", "1.2-1", architecture=architecture, depends="libc6, data (>= 2)")
            mirror.add("rival", "1", architecture=architecture, Conflicts="tool")
        mirror.add("data", "2.0", architecture="all", links={"usr/share/current": "data"})
        mirror.publish()
        return Subject(
            source=open_source(),
            requirement=want("tool"),
            impossible=replace(want("tool"), constraint=">=9"),
            artifact=lambda package: Path(mirror.directory, package.artifact.location),
            systems=(System.X86_64_LINUX, System.AARCH64_LINUX),
            conflicting=(want("tool"), want("rival")),
        )
