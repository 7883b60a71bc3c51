"""What editors' files become: what a user wrote stays byte for byte."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.editors import (
    EMPTY,
    BadProjectFile,
    BadSettings,
    edit_members,
    kernel_text,
    members_of,
    settings_of,
    with_interpreter,
    without_interpreter,
)

WANTED = settings_of(("python3", "ruff", "clangd"))
GONE = dict.fromkeys(WANTED)

TEXTS = (
    '{\n    "a": 1\n}\n',
    '// mine\n{\n  "editor.tabSize": 2, // two\n  "files.exclude": {"**/.git": true,},\n}\n',
    '{\n\t"a": [1, /* in */ 2], // after\n\t"b": "// no comment",\n\t"c": "}\\"{"\n}',
    '\ufeff{\r\n  "a": {"b": {"c": []}}\r\n}\r\n',
)


@pytest.mark.parametrize("text", TEXTS)
def test_settings_are_added_and_taken_out_without_another_changed_byte(text: str) -> None:
    added = edit_members(text, WANTED)
    assert {key: members_of(added)[key] for key in WANTED} == WANTED
    back = edit_members(added, GONE)
    assert back.split() == text.split()
    assert members_of(back) == members_of(text)


@given(
    st.dictionaries(
        st.text(max_size=4),
        st.recursive(
            st.none() | st.booleans() | st.text(max_size=5),
            lambda one: st.lists(one, max_size=2) | st.dictionaries(st.text(max_size=3), one, max_size=2),
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from((None, 2, "\t")),
)
@settings(max_examples=60, deadline=None)
def test_any_object_keeps_its_members(value: dict[str, object], indent: int | str | None) -> None:
    text = json.dumps(value, indent=indent)
    added = edit_members(text, WANTED)
    assert json.loads(added) == {**value, **WANTED}
    assert json.loads(edit_members(added, GONE)) == value
    assert edit_members(added, WANTED) == added


def test_a_setting_that_is_there_gets_its_value_where_it_stands() -> None:
    text = '{\n  // mine\n  "ruff.path": ["x"], // old\n  "b": 1\n}\n'
    assert edit_members(text, {"ruff.path": None}) == '{\n  // mine\n   // old\n  "b": 1\n}\n'
    changed = edit_members(text, {"ruff.path": "y"})
    assert changed == '{\n  // mine\n  "ruff.path": "y", // old\n  "b": 1\n}\n'


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("[1]", "1:1"),
        ('{"a": }', "1:7"),
        ('{"a": 1', "1:8"),
        ('{"a" 1}', "1:6"),
        ('{\n"a": 1} x', "2:8"),
        ("{a: 1}", "1:2"),
    ],
)
def test_a_file_that_is_no_settings_is_refused_with_its_place(text: str, where: str) -> None:
    with pytest.raises(BadSettings, match="no object of JSON") as raised:
        edit_members(text, WANTED)
    assert raised.value.where == where


def test_only_programs_that_are_there_are_named() -> None:
    assert set(settings_of(("ruff", "bash"))) == {"ruff.path"}
    assert settings_of(()) == {}


def test_an_interpreter_comes_into_a_project_file_and_out_again() -> None:
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<project version="4">\n'
        '  <component name="Black"><option name="sdkName" value="x" /></component>\n'
        '  <component name="ProjectRootManager" version="2" languageLevel="JDK_17">\n    <output url="o" />\n'
        "  </component>\n</project>\n"
    )
    inside = with_interpreter(text, 'a "b" (cape)')
    assert 'project-jdk-type="Python SDK"' in inside
    assert with_interpreter(inside, 'a "b" (cape)') == inside
    assert without_interpreter(inside, 'a "b" (cape)') == text
    assert without_interpreter(inside, "another") == inside


def test_a_new_project_file_says_nothing_when_the_interpreter_is_gone() -> None:
    assert without_interpreter(with_interpreter("", "one (cape)"), "one (cape)") == EMPTY


@pytest.mark.parametrize("text", ["<project", "<html/>", "<!DOCTYPE x [<!ENTITY a 'b'>]><project/>"])
def test_a_project_file_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadProjectFile):
        with_interpreter(text, "one")


def test_a_kernel_is_started_by_its_interpreter() -> None:
    kernel = json.loads(kernel_text("/p/python3", "one"))
    assert kernel["argv"][0] == "/p/python3"
    assert kernel["display_name"] == "one (cape)"
