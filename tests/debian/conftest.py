"""A source on a mirror of its own, and words to ask it with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cape.names import System
from cape.sources.debian import DebianSource
from cape.sources.protocol import LockedPackage, Requirement, Resolution, ResolveContext
from cape.store.artifacts import Artifacts
from tests.mirrors.debian import DebianMirror

AMD64 = ResolveContext(systems=(System.X86_64_LINUX,))
BOTH = ResolveContext(systems=(System.X86_64_LINUX, System.AARCH64_LINUX))


def want(package: str, constraint: str = "*", **options: str) -> Requirement:
    """A requirement of the manifest's line `package`."""
    return Requirement(
        source="debian",
        name=package,
        package=package,
        constraint=constraint,
        options=options,
        where=f"cape.toml:{package}",
    )


def names(resolution: Resolution) -> list[str]:
    return [package.name for package in resolution.packages]


def row(resolution: Resolution, name: str) -> LockedPackage:
    (found,) = (package for package in resolution.packages if package.name == name)
    return found


@pytest.fixture
def mirror(tmp_path: Path) -> DebianMirror:
    """An archive with nothing in it."""
    return DebianMirror(tmp_path / "mirror")


@pytest.fixture
def open_source(mirror: DebianMirror, tmp_path: Path) -> Callable[..., DebianSource]:
    """Opens a source on the mirror: by its directory, or by a URL where it is served."""

    def opened(url: str | None = None) -> DebianSource:
        return DebianSource(
            suite="trixie",
            configuration=mirror.settings(url),
            cache=tmp_path / "cache",
            artifacts=Artifacts(tmp_path / "artifacts"),
        )

    return opened
