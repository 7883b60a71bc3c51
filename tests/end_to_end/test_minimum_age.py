"""`minimum-age`: releases that are too young are not chosen, and what is locked already stays."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from cape.names import Age, System
from cape.sources.protocol import MINIMUM_AGE, Requirement, ResolveContext
from tests.end_to_end.harness import SOURCE, STATE, Project, World, add_program

HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


def ago(days: float) -> str:
    """When something came that is so many days old."""
    return (HOUR - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def python(world: World) -> World:
    """Python, and `base`, `app` (which needs `base`) and `tool` of 30 and of 2 days."""
    world.archive.add("python3", "3.13.5-1", architecture="all", depends="libc6")
    for name in ("libc6", "libstdc++6", "libgcc-s1"):
        world.archive.add(name, "2.41-12", architecture="all")
    add_program(world.archive, "hello")
    world.publish()
    for version, days in (("1.0", 30), ("2.0", 2)):
        world.index.add_wheel("base", version, uploaded=ago(days))
        world.index.add_wheel("app", version, requires=["base"], uploaded=ago(days))
        world.npm.publish("base", f"{version}.0", uploaded=ago(days))
        world.npm.publish("tool", f"{version}.0", uploaded=ago(days), dependencies={"base": "*"})
    return world


def project_of(world: World, age: str | None, **packages: str) -> Project:
    project = world.project(**packages)
    if age:
        set_age(project, age)
    return project


def set_age(project: Project, age: str | None) -> None:
    lines = [line for line in project.manifest.read_text().splitlines() if "[environment]" not in line]
    lines = [line for line in lines if not line.startswith("minimum-age")]
    at = next(index for index, line in enumerate(lines) if line.startswith("name = "))
    head = ["[environment]", *([f'minimum-age = "{age}"'] if age else [])]
    project.manifest.write_text("\n".join([*lines[:at], *head, *lines[at:]]) + "\n")


def versions(project: Project, source: str) -> dict[str, str]:
    rows = [json.loads(line) for line in project.lock.read_text().splitlines()]
    return {
        row["name"]: row["version"] for row in rows if row.get("row") == "package" and row["source"] == source
    }


def test_young_releases_are_not_chosen_and_locking_again_gives_the_same(python: World) -> None:
    project = project_of(python, "7 days", hello="*", app='{ pypi = "*" }', tool='{ npm = "*" }')
    project.cape("lock", timeout_s=120).succeeded()
    assert versions(project, "pypi") == {"app": "1.0", "base": "1.0"}
    assert versions(project, "npm") == {"tool": "1.0.0", "base": "1.0.0"}
    first = project.lock.read_bytes()
    project.lock.unlink()
    project.cape("lock", timeout_s=120).succeeded()
    assert project.lock.read_bytes() == first


def test_a_row_may_have_an_age_of_its_own_in_both_directions(python: World) -> None:
    young = '{ pypi = "*", minimum-age = "0 days" }'
    project = project_of(python, "7 days", app=young, tool='{ npm = "*", minimum-age = "1 day" }')
    project.cape("lock", timeout_s=120).succeeded()
    assert versions(project, "pypi") == {"app": "2.0", "base": "1.0"}
    assert versions(project, "npm") == {"tool": "2.0.0", "base": "1.0.0"}
    other = project_of(python, None, app='{ pypi = "*", minimum-age = "1 week" }', base='{ pypi = "*" }')
    other.cape("lock").succeeded()
    assert versions(other, "pypi") == {"app": "1.0", "base": "2.0"}


def test_what_is_locked_stays_and_what_is_new_is_old_enough(python: World) -> None:
    python.index.add_wheel("new", "1.0", uploaded=ago(9))
    python.index.add_wheel("new", "2.0", uploaded=ago(1))
    python.npm.publish("new", "1.0.0", uploaded=ago(9))
    python.npm.publish("new", "2.0.0", uploaded=ago(1))
    project = project_of(python, None, app='{ pypi = "*" }', tool='{ npm = "*" }')
    project.cape("lock", timeout_s=120).succeeded()
    set_age(project, "7 days")
    assert project.cape("lock", "--check").succeeded()
    python.index.add_wheel("app", "3.0", uploaded=ago(0.5))
    text = project.manifest.read_text() + 'new = { pypi = "*" }\nnew-too = { npm = "*", name = "new" }\n'
    project.manifest.write_text(text)
    project.cape("lock", timeout_s=120).succeeded()
    assert versions(project, "pypi") == {"app": "2.0", "base": "2.0", "new": "1.0"}
    assert versions(project, "npm") == {"tool": "2.0.0", "base": "2.0.0", "new": "1.0.0"}


def test_a_kept_package_that_must_move_moves_to_what_is_old_enough(python: World) -> None:
    python.index.add_wheel("base", "1.5", uploaded=ago(20))
    project = project_of(python, None, base='{ pypi = "*" }')
    project.cape("lock").succeeded()
    set_age(project, "7 days")
    text = project.manifest.read_text().replace('base = { pypi = "*" }', 'base = { pypi = "<2" }')
    python.index.add_wheel("base", "1.9", uploaded=ago(3))
    project.manifest.write_text(text)
    project.cape("lock").succeeded()
    assert versions(project, "pypi") == {"base": "1.5"}


def test_an_upgrade_chooses_anew_and_marks_what_goes_back(python: World) -> None:
    project = project_of(python, None, base='{ pypi = "*" }')
    project.cape("lock").succeeded()
    set_age(project, "7 days")
    done = project.cape("upgrade", "--dry-run").succeeded()
    assert done.stdout == "~ pypi:base 2.0 -> 1.0 (older)\n"
    (change,) = json.loads(project.cape("upgrade", "--dry-run", "--json").stdout)["changed"]
    assert change["kind"] == "downgraded" and change["after"] == ["1.0"]


@pytest.mark.parametrize("row", ['{ pypi = ">=2" }', '{ npm = ">=2" }'])
def test_when_only_young_releases_fit_their_age_and_their_day_are_told(python: World, row: str) -> None:
    project = project_of(python, "7 days", base=row)
    ripe = (HOUR - timedelta(days=2) + timedelta(days=7)).strftime("%Y-%m-%dT%H:%M:%SZ")
    done = project.cape("lock", "--json", timeout_s=120).failed(
        STATE,
        "no version of `base` that fits `>=2` is 7 days old",
        f"it will be 7 days old at {ripe}",
    )
    ways = json.loads(done.stdout)["error"]["explanation"]["relaxations"]
    (young,) = [way for way in ways if way["way"] == "minimum-age"]
    assert young["lines"] == [f'base = {row.removesuffix(" }")}, minimum-age = "0 days" }}']
    text = project.manifest.read_text().replace(f"base = {row}", young["lines"][0])
    project.manifest.write_text(text)
    project.cape("lock", timeout_s=120).succeeded()


def test_a_dependency_that_is_too_young_is_told_with_its_day(python: World) -> None:
    python.index.add_wheel("late", "1.0", uploaded=ago(1))
    python.index.add_wheel("needs-late", "1.0", uploaded=ago(30), requires=["late"])
    python.npm.publish("late", "1.0.0", uploaded=ago(1))
    python.npm.publish("needs-late", "1.0.0", uploaded=ago(30), dependencies={"late": "^1"})
    for row in ('{ pypi = "*" }', '{ npm = "*" }'):
        project = project_of(python, "7 days", needs_late=row)
        project.cape("lock", timeout_s=120).failed(STATE, "`late` 1.0", "it will be 7 days old at")


def test_a_date_and_an_age_are_counted_together() -> None:
    context = ResolveContext(
        systems=(System.X86_64_LINUX,), as_of="2026-01-16T00:00:00Z", minimum_age=Age.parse("7 days")
    )
    young = Requirement(source="pypi", name="a", package="a", options={MINIMUM_AGE: "0 days"})
    assert context.latest() == "2026-01-09T00:00:00Z"
    assert context.latest(young) == "2026-01-16T00:00:00Z"


def test_an_index_without_times_is_an_error(python: World) -> None:
    python.index.add_wheel("timeless", "1.0")
    python.npm.publish("timeless", "1.0.0")
    for row in ('{ pypi = "*" }', '{ npm = "*" }'):
        project = project_of(python, "7 days", timeless=row)
        project.cape("lock", timeout_s=120).failed(STATE, "does not tell when", "`timeless`", "minimum-age")


def test_a_registry_that_fails_is_told_as_ever(python: World) -> None:
    python.npm.server.stop()
    project = project_of(python, "7 days", tool='{ npm = "*" }')
    project.cape("lock", timeout_s=120).failed(SOURCE)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('minimum-age = "soon"', "`soon` is no age"),
        ('minimum-age = "7"', "`7` is no age"),
        ("minimum-age = 7", "is a string"),
    ],
)
def test_what_is_no_age_is_refused(python: World, line: str, said: str) -> None:
    project = python.project(hello="*")
    project.manifest.write_text(
        project.manifest.read_text().replace("[environment]\n", f"[environment]\n{line}\n")
    )
    project.cape("lock").failed(STATE, said)


def test_debian_packages_have_no_age(python: World) -> None:
    project = python.project(hello='{ debian = "*", minimum-age = "7 days" }')
    project.cape("lock").failed(STATE, "Debian's archive does not tell how old a release is")
    project_of(python, "9 weeks", hello="*").cape("lock").succeeded()
