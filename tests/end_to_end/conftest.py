"""The world that each test of this directory has to itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.harness import Project, World, add_program, world_at


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Registries on loopback with nothing in them yet."""
    with world_at(tmp_path) as running:
        yield running


def stock(world: World) -> World:
    """Publish `hello` 1.0-1, `tool` and `other`, each with one program."""
    for name in ("hello", "tool", "other"):
        add_program(world.archive, name)
    world.publish()
    return world


@pytest.fixture
def stocked(world: World) -> World:
    """A world whose archive has `hello` 1.0-1, `tool` and `other`, each with one program."""
    return stock(world)


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The same for all tests of a module: they must leave it as it is."""
    with world_at(tmp_path_factory.mktemp("lasting")) as running:
        yield stock(running)


@pytest.fixture(scope="module")
def settled(lasting: World) -> Project:
    """A project with `hello`, locked and synced, for all tests of a module: they must leave it as it is."""
    project = lasting.project(hello="*")
    project.cape("sync").succeeded()
    return project


@pytest.fixture
def synced(stocked: World) -> Project:
    """A project with `hello`, locked and synced once."""
    project = stocked.project(hello="*")
    project.cape("sync").succeeded()
    return project
