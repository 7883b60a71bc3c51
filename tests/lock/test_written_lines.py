"""Lines that explanations tell people to write, in whatever file the requirement stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from cape.manifest import parse_manifest
from cape.names import System
from cape.operations.written import changed_line, line_at, order_in_file, with_key, written_line
from cape.sources.protocol import Requirement


def want(source: str, name: str, constraint: str, **more: str) -> Requirement:
    package = more.get("package", name)
    return Requirement(
        source=source, name=name, package=package, constraint=constraint, where=more.get("where")
    )


@pytest.mark.parametrize(
    ("present", "requirement", "constraint", "expected"),
    [
        ('pd = { pypi = "<2" } # a', want("pypi", "pd", "<2"), ">=2", 'pd = { pypi = ">=2" } # a'),
        ('  "flask==2.0",', want("pypi", "flask", "==2.0"), "==2.1", '  "flask==2.1",'),
        ('"react": "^17",', want("npm", "react", "^17"), "^18", '"react": "^18",'),
        ('jq = "*"', want("debian", "jq", "*"), ">=1.7", 'jq = ">=1.7"'),
        ("flask", want("pypi", "flask", "*"), "<3", 'flask = { pypi = "<3" }'),
        ('a1 = { pypi = "1" }', want("pypi", "a1", "1"), "2", 'a1 = { pypi = "2" }'),
        (
            "nothing of the kind",
            want("pypi", "cv", "<4", package="opencv-python"),
            ">=4",
            'cv = { pypi = ">=4", name = "opencv-python" }',
        ),
    ],
)  # fmt: skip
def test_a_line_gets_another_constraint_and_keeps_the_rest(
    present: str, requirement: Requirement, constraint: str, expected: str
) -> None:
    assert changed_line(present, requirement, constraint) == expected


def test_a_line_that_is_written_anew_has_extras_and_systems() -> None:
    one = Requirement(
        source="pypi",
        name="pandas",
        package="pandas",
        systems=(System.X86_64_LINUX,),
        options={"extras": "excel,html"},
    )
    assert written_line(one, "<3") == (
        'pandas = { pypi = "<3", extras = ["excel", "html"], systems = ["x86_64-linux"] }'
    )


def test_a_key_is_added_to_a_table_or_replaced_there() -> None:
    one = want("npm", "base", ">=2")
    young = ("minimum-age", "0 days")
    assert with_key('base = { npm = ">=2" }', one, *young) == 'base = { npm = ">=2", minimum-age = "0 days" }'
    aged = 'base = { npm = ">=2", minimum-age = "9 days" }'
    assert with_key(aged, one, *young) == 'base = { npm = ">=2", minimum-age = "0 days" }'


def test_lines_are_of_the_text_that_is_being_edited_or_of_their_own_file(tmp_path: Path) -> None:
    text = 'schema = 1\n[environment]\nsystems = ["x86_64-linux"]\ndebian = "trixie"\n[packages]\njq = "*"\n'
    manifest = parse_manifest(text, path=tmp_path / "cape.toml")
    other = tmp_path / "package.json"
    other.write_text('{\n  "react": "^17"\n}\n')
    assert line_at(manifest.requirements[0].where, manifest) == 'jq = "*"'
    assert line_at(f"{other}:2:3", manifest) == '"react": "^17"'
    assert line_at(f"{other}:9:1", manifest) is None and line_at(None, manifest) is None
    assert written_line(manifest.requirements[0], "<2") == 'jq = "<2"'


def test_requirements_stand_by_file_and_line_and_new_ones_last() -> None:
    places = [None, "b.toml:2:1", "a.toml:10:1", "a.toml:9:1"]
    found = sorted(
        (
            want("debian", str(at), "*", **({"where": place} if place else {}))
            for at, place in enumerate(places)
        ),
        key=order_in_file,
    )
    assert [one.where for one in found] == ["a.toml:9:1", "a.toml:10:1", "b.toml:2:1", None]
