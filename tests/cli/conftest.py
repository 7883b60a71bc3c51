"""One project, locked and synced against registries on loopback, for all tests that only read it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.end_to_end.harness import Project, World, add_program, script, world_at


def stock(world: World) -> None:
    """Packages for these tests: `hello` needs `libgreet`; `greeting` of the index needs `words`;
    a program of `types` fails when the environment is finished.
    """
    archive = world.archive
    archive.add("libgreet", "2.1-1", architecture="all")
    archive.add("python3", "3.13.5-1", architecture="all")
    archive.add("libstdc++6", "14.2.0-19", architecture="all")
    add_program(archive, "hello", "1.0-1", depends="libgreet", Description="says hello")
    add_program(archive, "tool", "1.0-1", Description="a tool that greets")
    broken = {
        "usr/bin/update-mime-database": script("echo no types today >&2; exit 1"),
        "usr/share/mime/packages/some.xml": b"<mime-info/>",
    }
    archive.add("types", architecture="all", files=broken)
    world.publish()
    world.index.add_wheel("words", "0.9")
    world.index.add_wheel("greeting", "1.2", requires=["words>=0.5"])


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Registries with the packages of `stock`."""
    with world_at(tmp_path_factory.mktemp("world")) as running:
        stock(running)
        yield running


@pytest.fixture(scope="session")
def project(world: World) -> Project:
    """A project that is locked and synced. Tests must not change it."""
    made = world.project(name="greeter", hello="*", greeting='{ pypi = ">=1" }')
    made.cape("sync").succeeded()
    return made
