"""Requests that no registry can answer: unknown names, versions that are not there, conflicts."""

from __future__ import annotations

import json

import pytest

from tests.end_to_end.harness import INPUT, Project, World, add_program, script


@pytest.fixture
def pythonic(world: World) -> World:
    """A world whose archive has what Python packages bring with them."""
    world.archive.add(
        "python3.13",
        "3.13.5-2",
        architecture="all",
        files={"usr/bin/python3.13": script('echo "python $*"')},
    )
    world.archive.add(
        "python3",
        "3.13.5-1",
        architecture="all",
        depends="python3.13",
        links={"usr/bin/python3": "python3.13"},
    )
    world.archive.add("libstdc++6", "14.2.0-19", architecture="all", depends="libc6")
    world.archive.add("libc6", "2.41-12", architecture="all")
    for name in ("hello", "other"):
        add_program(world.archive, name)
    world.publish()
    return world


def test_an_unknown_package_names_the_nearest_and_where_it_exists(stocked: World) -> None:
    for name in ("hello-there", "hello-again", "help"):
        add_program(stocked.archive, name)
    stocked.publish()
    project = stocked.project(hello="*")
    project.cape("sync").succeeded()
    stocked.index.add_wheel("helo", "1.0")
    stocked.npm.publish("helo", "1.0.0")
    before = project.state()
    done = project.cape("install", "helo").failed(
        INPUT, "`debian` has no package `helo`", "did you mean `hello`"
    )
    assert "it exists as `pypi:helo`, `npm:helo`" in done.stderr
    assert project.state() == before


def test_an_unknown_package_of_the_manifest_is_told_with_its_line(stocked: World) -> None:
    project = stocked.project(hello="*", tol="*")
    before = project.state()
    project.cape("sync").failed(INPUT, "cape.toml:11:1: `debian` has no package `tol`", "`tool`")
    assert project.state() == before


def test_an_install_of_many_with_one_unknown_installs_none(settled: Project) -> None:
    before = settled.state()
    settled.cape("install", "tool", "no-such", "other").failed(INPUT, "no package `no-such`")
    assert settled.state() == before


def test_an_unknown_argument_is_not_placed_on_a_line_that_nobody_wrote(settled: Project) -> None:
    done = settled.cape("install", "no-such").failed(INPUT)
    assert "cape.toml:" not in done.stderr


def test_a_version_that_is_not_there_says_which_are(settled: Project) -> None:
    before = settled.state()
    settled.cape("install", "hello@>=2").failed(INPUT, "no version of `hello` fits `>=2`", "`1.0-1`")
    assert settled.state() == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("install", "foo:bar"), "`foo` is no source"),
        (("install", "Hello World"), "no name of a package"),
        (("install", "hello@=="), "`==` is not a constraint"),
        (("uninstall", "helo"), "did you mean `hello`?"),
        (("uninstall", "hello", "tool"), "`tool`"),
        (("upgrade", "tool"), "`tool`"),
        (("show", "zzz"), "`zzz`"),
        (("why", "zzz"), "`zzz`"),
        (("rollback", "9"), "no generation 9"),
        (("config", "debian.miror"), "did you mean `debian.mirror`"),
    ],
)
def test_other_requests_that_cannot_be_answered(settled: Project, words: tuple[str, ...], said: str) -> None:
    before = settled.state()
    settled.cape(*words).failed(INPUT, said, "hint: ")
    assert settled.state() == before


def test_system_packages_that_conflict_are_named_with_the_chain(stocked: World) -> None:
    archive = stocked.archive
    archive.add("engine-one", "1-1", architecture="all", Conflicts="engine-two")
    archive.add("engine-two", "1-1", architecture="all")
    archive.add("car", "1-1", architecture="all", depends="engine-one")
    archive.add("boat", "1-1", architecture="all", depends="engine-two")
    stocked.publish()
    project = stocked.project(car="*", boat="*")
    before = project.state()
    done = project.cape("sync").failed(INPUT, "cape.toml:1", "engine-one", "engine-two", "`car`", "`boat`")
    assert json.loads(project.cape("sync", "--json").stdout)["error"]["slug"] == "requirements-conflict"
    assert "each of these was tried, and resolves it:\n  do without `car`" in done.stderr
    assert project.state() == before


def test_a_dependency_that_is_nowhere_is_named_with_who_needs_it(stocked: World) -> None:
    stocked.archive.add("broken", "1-1", architecture="all", depends="nowhere (>= 2)")
    stocked.publish()
    project = stocked.project(broken="*")
    project.cape("lock").failed(INPUT, "`broken`", "nowhere", "cape.toml:10:1")
    assert not project.lock.exists()


def test_python_packages_that_conflict_are_explained(pythonic: World) -> None:
    for version, needs in (("1.0", "base<2"), ("2.0", "base>=2")):
        pythonic.index.add_wheel("upper" if version == "1.0" else "lower", "1.0", requires=[needs])
        pythonic.index.add_wheel("base", version)
    project = pythonic.project(upper='{ pypi = "*" }', lower='{ pypi = "*" }')
    before = project.state()
    done = project.cape("sync").failed(INPUT, "cape.toml:1", "upper", "lower", "base")
    assert len(done.stderr) < 1500
    assert project.state() == before


def test_an_unknown_python_package_says_where_it_exists(pythonic: World) -> None:
    project = pythonic.project(hello="*")
    project.cape("sync").succeeded()
    before = project.state()
    project.cape("install", "pypi:other").failed(INPUT, "`pypi` has no package `other`", "`debian:other`")
    assert project.state() == before


def test_a_wheel_is_locked_and_synced_with_an_interpreter_that_nobody_named(pythonic: World) -> None:
    pythonic.index.add_wheel(
        "greet",
        "1.0",
        files={"greet.py": b"def main():\n    print('greetings')\n"},
        entry_points="[console_scripts]\ngreet = greet:main\n",
    )
    project = pythonic.project(greet='{ pypi = "*" }')
    project.cape("sync").succeeded()
    listed = json.loads(project.cape("list", "--json").stdout)["packages"]
    assert [one["name"] for one in listed] == ["greet"]
    site = project.cape("run", "--", "sh", "-c", 'ls "$CAPE_ENV"/lib/python3.13/site-packages').succeeded()
    assert "greet.py" in site.stdout.split()
    assert project.cape("run", "--", "python3", "x").stdout == "python x\n"
    place = project.cape("run", "--", "sh", "-c", 'echo "$CAPE_ENV"').succeeded().stdout.strip()
    module = "lib/python3.13/site-packages/greet.py"
    for asked in (f"{place}/{module}", module, "site-packages/greet.py", "greet.py", f"{place}/bin/greet"):
        told = project.cape("why", asked).succeeded().stdout
        assert " is of pypi:greet 1.0\ngreet   (cape.toml:" in told, asked
    project.cape("why", f"{place}/root/{module}").failed(INPUT, "the lock has no package")
