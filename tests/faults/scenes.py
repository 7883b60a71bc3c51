"""The commands that change something, each with a project as it is before."""

from __future__ import annotations

from collections.abc import Callable

from tests.end_to_end.harness import World, add_program
from tests.faults.stepping import Driver, Scene

Make = Callable[[World, Driver], Scene]

KNOWLEDGE = '\n[knowledge.manual]\nsources = ["docs/*.md"]\n'
RUN_HELLO = (("run", "--", "hello"), "hello 1.0-1\n")
RUN_TOOL = (("run", "--", "tool"), "tool 1.0-1\n")


def stocked(world: World) -> World:
    """Publish the packages of all scenes."""
    for name in ("hello", "tool", "other"):
        add_program(world.archive, name)
    world.publish()
    return world


def cold_sync(world: World, driver: Driver) -> Scene:
    """A first sync: indices, lock, download, objects, environment, generation."""
    project = world.project(name="p", hello="*")
    return Scene(driver=driver, project=project, words=("sync",), proves=RUN_HELLO)


def install(world: World, driver: Driver) -> Scene:
    """Manifest, lock and a second generation, whose objects are made."""
    project = world.project(name="p", hello="*")
    driver.run(project, "sync").succeeded()
    return Scene(driver=driver, project=project, words=("install", "tool"), proves=RUN_TOOL)


def rollback(world: World, driver: Driver) -> Scene:
    """A switch to the generation before: manifest, lock and `current`."""
    project = world.project(name="p", hello="*")
    driver.run(project, "sync").succeeded()
    driver.run(project, "install", "tool").succeeded()
    return Scene(driver=driver, project=project, words=("rollback", "1"), proves=RUN_HELLO)


def collection(world: World, driver: Driver) -> Scene:
    """Removal of what an older generation held."""
    project = world.project(name="p", hello="*", tool="*")
    driver.run(project, "sync").succeeded()
    driver.run(project, "uninstall", "tool").succeeded()
    return Scene(driver=driver, project=project, words=("gc", "--keep", "1"), proves=RUN_HELLO)


def index(world: World, driver: Driver) -> Scene:
    """A second generation of a knowledge base, and its rows in the lock."""
    project = world.project(name="p", text=KNOWLEDGE)
    docs = project.directory / "docs"
    docs.mkdir()
    (docs / "anchor.md").write_text("# Anchors\n\nThe anchor holds in sand.\n")
    driver.run(project, "sync").succeeded()
    driver.run(project, "index").succeeded()
    (docs / "buoy.md").write_text("# Buoys\n\nThe buoy is red.\n")
    return Scene(driver=driver, project=project, words=("index",))


SCENES: dict[str, Make] = {
    "sync": cold_sync,
    "install": install,
    "rollback": rollback,
    "gc": collection,
    "index": index,
}


def scene_at(name: str, world: World, driver: Driver) -> Scene:
    """A scene, kept: it can be gone back to."""
    scene = SCENES[name](stocked(world), driver)
    scene.keep()
    return scene
