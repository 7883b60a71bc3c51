"""Files of variables, where each part of a value is from, and the order of all."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cape.environment.activation import Activation, Prepend, Reference, Set, Unset, activated, activation_of
from cape.environment.provenance import OUTSIDE, Piece, entries, pieces_inside, text_of
from cape.manifest import parse_manifest
from cape.manifest.errors import BadVariableFile, VariableCycle
from cape.manifest.lines import text_lines
from cape.manifest.variables import read_variable_file
from tests.environment.starts import HEAD

NAMES = st.sampled_from(["A", "B", "C", "PATH"])
TEXTS = st.sampled_from(["/x", "a", "/y:/z", " "])
VALUES = st.lists(st.one_of(TEXTS, st.builds(Reference, NAMES)), max_size=4).map(tuple)
OPERATIONS = st.lists(
    st.one_of(
        st.builds(Set, name=NAMES, value=VALUES, origin=st.just("set")),
        st.builds(Unset, name=NAMES, origin=st.just("unset")),
        st.builds(Prepend, name=NAMES, value=st.sampled_from(["/x", "/y"]), origin=st.just("prepend")),
    ),
    max_size=6,
)


@given(OPERATIONS, st.dictionaries(NAMES, st.sampled_from(["/x", "/z:/x", "a"]), max_size=4))
def test_pieces_of_a_value_are_the_value(operations: list[object], outside: dict[str, str]) -> None:
    activation = Activation(
        name="x",
        project=Path("/p"),
        environment=Path("/e"),
        operations=tuple(operations),  # type: ignore[arg-type]
    )
    inside = activated(activation, outside)
    found = pieces_inside(activation, (), outside)
    assert {name: text_of(pieces) for name, pieces in found.items()} == inside


def test_entries_of_a_list_keep_what_brought_them() -> None:
    pieces = (
        Piece(text="/a:", origin="one", variable="PATH"),
        Piece(text="/s", origin="two", variable="S"),
        Piece(text="/bin:", origin="one", variable="PATH"),
        Piece(text="/u::/v", origin=OUTSIDE, variable="PATH"),
    )
    told = [
        ("".join(one.text or "" for one in entry), [one.origin for one in entry]) for entry in entries(pieces)
    ]
    assert told == [
        ("/a", ["one"]), ("/s/bin", ["two", "one"]), ("/u", [OUTSIDE]), ("/v", [OUTSIDE]),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("# only\n\n", {}),
        ("A=1", {"A": (1, "1")}),
        ("A=1 # said\nB='x # y'\n", {"A": (1, "1"), "B": (2, "x # y")}),
        ("A=1\nA=2\n", {"A": (2, "2")}),
        ('\n\nexport A="a\nb"\nB=\n', {"A": (3, "a\nb"), "B": (5, "")}),
        ("A=a=b\r\nB=c\r\n", {"A": (1, "a=b"), "B": (2, "c")}),
    ],
)
def test_files_of_variables_are_read_as_others_read_them(
    text: str, found: dict[str, tuple[int, str]]
) -> None:
    read = read_variable_file(text, path=Path(".env"))
    assert {one.name: (one.line, one.value) for one in read} == found


@pytest.mark.parametrize(
    ("text", "line"),
    [("A=1\nA B=2\n", 2), ("A\n", 1), ("x y\n", 1), ("\nA='x\n", 2), ("A-B=1\n", 1), ("=1\n", 1)],
)
def test_wrong_line_of_a_file_is_named(text: str, line: int) -> None:
    with pytest.raises(BadVariableFile) as caught:
        read_variable_file(text, path=Path("/p/.env"))
    assert caught.value.where == f"/p/.env:{line}"


@given(st.text(max_size=40))
def test_any_text_is_variables_or_a_named_line(text: str) -> None:
    try:
        read_variable_file(text, path=Path(".env"))
    except BadVariableFile as error:
        assert error.where is not None and error.where.startswith(".env:")


def test_ring_through_a_file_names_members_and_places(tmp_path: Path) -> None:
    text = HEAD.replace("[environment]", '[environment]\nenv-files = [".env"]') + '[vars]\nA = "$B"\n'
    (tmp_path / ".env").write_text("X=1\nB=$A\n")
    manifest = parse_manifest(text, path=tmp_path / "cape.toml")
    with pytest.raises(VariableCycle, match="`B` -> `A` -> `B`") as caught:
        activation_of(manifest, tmp_path / "env", tmp_path)
    assert caught.value.where == ".env:2, cape.toml:7 vars.A"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('[hook]\non-activate = "a"\n', [6]),
        ('[hook]\non-activate = "a\\nb"\n', [6, 6]),
        ('[hook]\non-activate = """\na\n\nb\n"""\n', [7, 8, 9]),
        ("[hook]\non-activate = '''a\nb'''\n", [6, 7]),
        ("hook.on-activate = 'a'\n", [4]),
        ("[hook]\n# x\n'on-activate'   =   'a'\n", [7]),
    ],
)
def test_lines_of_a_hook_are_found_in_the_manifest(tmp_path: Path, text: str, lines: list[int]) -> None:
    whole = f"schema = 1\n{text}" if text.startswith("hook.") else HEAD + text
    if text.startswith("hook."):
        whole, lines = f"schema = 1\n{text}{HEAD.removeprefix('schema = 1')}", [2]
    manifest = parse_manifest(whole, path=tmp_path / "cape.toml")
    found = text_lines(manifest, "hook.on-activate", manifest.hook.on_activate or "")
    assert found == tuple(f"cape.toml:{line}" for line in lines)
