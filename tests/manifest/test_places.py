"""The scanner finds keys and values where they are, in every form that TOML has."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.manifest.keys import KeyPath
from cape.manifest.places import find_places

CASES: list[tuple[str, KeyPath, tuple[int, int], tuple[int, int]]] = [
    ("a = 1\n", ("a",), (1, 1), (1, 5)),
    ("# a = 0\n\n  a  =  1 # b\n", ("a",), (3, 3), (3, 9)),
    ("a.b.c = 1\n", ("a", "b", "c"), (1, 5), (1, 9)),
    ("a . b = 1\n", ("a", "b"), (1, 5), (1, 9)),
    ("a.b = 1\na.c = 2\n", ("a",), (1, 1), (1, 1)),
    ("[a.b]\nc = 1\n", ("a", "b"), (1, 4), (1, 4)),
    ("[ a . b ]\nc = 1\n", ("a", "b", "c"), (2, 1), (2, 5)),
    ("a = { b = 1, c = { d = 2 } }\n", ("a", "c", "d"), (1, 20), (1, 24)),
    ("a = { b.c = 1 }\n", ("a", "b", "c"), (1, 9), (1, 13)),
    ("a = [\n  1, # one ]\n  2,\n]\nb = 3\n", ("a", 1), (3, 3), (3, 3)),
    ("a = [\n  1,\n  2,\n]\nb = 3\n", ("b",), (5, 1), (5, 5)),
    ("a = [{ b = 1 }, { b = 2 }]\n", ("a", 1, "b"), (1, 19), (1, 23)),
    ("a = [[1, 2], [3]]\n", ("a", 1, 0), (1, 15), (1, 15)),
    ('a = """\nb = 2\n"""\nc = 3\n', ("c",), (4, 1), (4, 5)),
    ('a = """one \\""" two"""\nc = 3\n', ("c",), (2, 1), (2, 5)),
    ('a = """say ""x"""""\nc = 3\n', ("c",), (2, 1), (2, 5)),
    ("a = '''\n[b]\n'''\nc = 3\n", ("c",), (4, 1), (4, 5)),
    ('"a b" = 1\n', ("a b",), (1, 1), (1, 9)),
    ("'a.b'.c = 1\n", ("a.b", "c"), (1, 7), (1, 11)),
    ('"\\u00e9" = 1\n', ("é",), (1, 1), (1, 12)),
    ('a = "# no comment = 1" # comment\nb = 2\n', ("b",), (2, 1), (2, 5)),
    ("a = 1\r\nb = 2\r\n", ("b",), (2, 1), (2, 5)),
    ('ä = "x"\n'.replace("ä", '"ä"'), ("ä",), (1, 1), (1, 7)),
    ('a = "ß𝄞"\nb = { c = "𝄞", d = 1 }\n', ("b", "d"), (2, 16), (2, 20)),
    ("[[a]]\nb = 1\n[[a]]\nb = 2\n", ("a", 1, "b"), (4, 1), (4, 5)),
    ("[[a]]\n[a.c]\nb = 1\n[[a]]\n[a.c]\nb = 2\n", ("a", 1, "c", "b"), (6, 1), (6, 5)),
    ("a = 1979-05-27 07:32:00 # when\nb = 1\n", ("b",), (2, 1), (2, 5)),
    ("a = inf\n\tb = +1_000\n", ("b",), (2, 2), (2, 6)),
]


@pytest.mark.parametrize(("text", "path", "key", "value"), CASES)
def test_places_are_those_of_the_text(
    text: str, path: KeyPath, key: tuple[int, int], value: tuple[int, int]
) -> None:
    tomllib.loads(text)
    places = find_places(text)
    assert places.line_and_column(places.of_key(path)) == key
    assert places.line_and_column(places.of_value(path)) == value


def test_absent_key_has_the_place_of_the_table_around_it() -> None:
    places = find_places("[a]\nb = 1\n")
    assert places.line_and_column(places.of_key(("a", "x", "y"))) == (1, 2)


def test_duplicates_are_found_with_both_places() -> None:
    places = find_places("[a]\nb = 1\n\n[c]\n[a]\nb = 2\n")
    lines = [
        (places.line_and_column(found.first)[0], places.line_and_column(found.second)[0])
        for found in places.duplicates
    ]
    assert lines == [(1, 5), (2, 6)]


texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=8) | st.sampled_from(
    ["", "a b", '"', "'", "\\", "#", "]", "}", "=", "line\nline", '"""', "'''", "é", "𝄞"]
)
leaves = st.integers(-99, 10**6) | st.booleans() | texts | st.floats(allow_nan=False)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def leaves_of(value: Any, path: KeyPath = ()) -> list[tuple[KeyPath, Any]]:
    """Every value that is no container, with its path."""
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in leaves_of(item, (*path, key))]
    if isinstance(value, list):
        return [leaf for index, item in enumerate(value) for leaf in leaves_of(item, (*path, index))]
    return [(path, value)]


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(texts, values, max_size=4))
def test_every_value_stands_where_the_scanner_says(table: dict[str, Any]) -> None:
    """The independent source is `tomllib`, reading the value again from its place."""
    text = tomlkit.dumps(table)
    places = find_places(text)
    assert not places.duplicates
    ends = {found.value: found.end for found in places.statements}
    for path, value in leaves_of(tomllib.loads(text)):
        offset = places.values[path]
        if offset in ends:
            assert tomllib.loads("k = " + text[offset : ends[offset]])["k"] == value


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from("a.b=[]{}\"'#,\n\\ 1é\r"), max_size=40))
def test_scanner_never_fails_and_agrees_with_tomllib_on_all_keys(text: str) -> None:
    places = find_places(text)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    for path, _ in leaves_of(table):
        assert path in places.values
