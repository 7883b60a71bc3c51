"""The page about the manifest lists every key of the code's table, and nothing else."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from cape.manifest import KEYS, Key, parse_manifest

PAGE = (Path(__file__).parents[2] / "docs" / "manifest.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("key", KEYS, ids=[key.path for key in KEYS])
def test_page_has_each_key_with_type_meaning_and_example(key: Key) -> None:
    assert f"| `{key.path}` | {key.kind} | {key.meaning} | `{key.example}` |" in PAGE


def test_page_has_no_key_that_the_code_has_not() -> None:
    listed = re.findall(
        r"^\| `([a-zA-Z0-9.-]+)` \| (?:string|boolean|integer|number|list|table)", PAGE, flags=re.MULTILINE
    )
    assert listed == [key.path for key in KEYS]


@pytest.mark.parametrize("key", KEYS, ids=[key.path for key in KEYS])
def test_example_of_each_key_is_toml(key: Key) -> None:
    assert tomllib.loads(key.example)


def test_examples_of_the_page_are_valid_manifests() -> None:
    for block in re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL):
        assert parse_manifest(block, path=Path("cape.toml")).requirements
