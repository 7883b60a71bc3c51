"""A manifest that is wrong: the place, the reason and a hint; and nothing changes."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.end_to_end.harness import INPUT, NO, Project, World

WRONG = {
    "a value that is none": ('hello = "*"', "hello = @", "cape.toml:10:9: ", "hint: "),
    "an unknown table": ("[packages]", "[pakages]", "cape.toml:9:2: ", "did you mean `packages`?"),
    "an unknown key": ("name =", "nmae =", "cape.toml:5:1: ", "did you mean `name`?"),
    "an integer for a constraint": (
        'hello = "*"',
        "hello = 3",
        "cape.toml:10:9: ",
        'hint: put it in quotes: `"3"`',
    ),
    "a later schema": ("schema = 1", "schema = 7", "cape.toml:2:10: ", "hint: "),
    "an unknown system": (
        '"x86_64-linux"',
        '"x86_64-linus"',
        "cape.toml:6:12: ",
        "did you mean `x86_64-linux`?",
    ),
    "a package twice": ('hello = "*"', 'hello = "*"\nhello = "1"', "cape.toml:11:1: ", "first at line 10"),
    "an unknown source": ('"*"', '{ pipy = "*" }', "cape.toml:10:11: ", "did you mean `pypi`?"),
    "a control character": ('"*"', '"\x01"', "cape.toml:10:10: ", "a character that TOML does not"),
}
COMMANDS = (
    ("sync",),
    ("lock",),
    ("lock", "--check"),
    ("run", "--", "hello"),
    ("install", "tool"),
    ("upgrade",),
)


@pytest.fixture
def broken(settled: Project) -> Iterator[Project]:
    """A synced project whose manifest and lock a test may break."""
    kept = {file: file.read_bytes() for file in (settled.manifest, settled.lock)}
    yield settled
    for file, content in kept.items():
        file.write_bytes(content)


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_manifest_is_told_with_its_place_and_a_hint(broken: Project, what: str) -> None:
    right, wrong, place, hint = WRONG[what]
    broken.manifest.write_text(broken.manifest.read_text().replace(right, wrong, 1))
    before = broken.state()
    done = broken.cape("sync").failed(INPUT, "error: ", place, hint)
    assert done.stdout == ""
    assert broken.state() == before


def test_every_command_that_reads_the_manifest_tells_the_same(broken: Project) -> None:
    broken.manifest.write_text(broken.manifest.read_text().replace("name =", "nmae ="))
    before = broken.state()
    told = {broken.cape(*words).failed(INPUT).stderr for words in COMMANDS}
    assert len(told) == 1
    assert broken.state() == before


def test_all_that_is_wrong_is_told_at_once(broken: Project) -> None:
    text = broken.manifest.read_text().replace("name =", "nmae =").replace('hello = "*"', "hello = 3")
    broken.manifest.write_text(text)
    broken.cape("sync").failed(INPUT, "cape.toml:5:1: ", "cape.toml:10:9: ")


def test_errors_are_json_where_json_was_asked_for(broken: Project) -> None:
    broken.manifest.write_text(broken.manifest.read_text().replace("[packages]", "[pakages]"))
    error = json.loads(broken.cape("sync", "--json").failed(INPUT).stdout)["error"]
    assert error["slug"] == "manifest-unknown-key"
    assert error["where"].endswith("cape.toml:9:2")
    assert error["hint"] == "did you mean `packages`?"


def test_a_manifest_that_is_no_text_is_told(broken: Project) -> None:
    broken.manifest.write_bytes(b"schema = 1\n\xff\xfe\n")
    broken.cape("sync").failed(INPUT, "cape.toml", "UTF-8")


def test_a_manifest_that_is_a_directory_is_no_project(stocked: World) -> None:
    project = stocked.project(hello="*")
    project.manifest.unlink()
    project.manifest.mkdir()
    project.cape("sync").failed(NO, "cape.toml")


def test_outside_a_project_commands_say_how_to_start_one(stocked: World) -> None:
    project = Project(directory=stocked.directory(), environment=stocked.variables())
    for words in (
        ("sync",),
        ("run", "--", "true"),
        ("install", "hello"),
        ("list",),
        ("history",),
        ("activate",),
    ):
        project.cape(*words).failed(NO, "`cape init` writes one here")
    assert list(project.directory.iterdir()) == []


def test_a_lock_that_is_damaged_is_told_with_its_line(broken: Project) -> None:
    lines = broken.lock.read_text().splitlines()
    broken.lock.write_text("\n".join([*lines[:2], lines[2][:40], *lines[3:]]) + "\n")
    before = broken.state()
    broken.cape("sync").failed(INPUT, "cape.lock:3", "hint: ")
    assert broken.state() == before
