"""The table of calls is whole: library, driver, documentation and tests have the same rows."""

from __future__ import annotations

import re
import shutil
import subprocess
from itertools import chain
from pathlib import Path

import pytest

from tests.redirect import rows
from tests.redirect.conftest import HERE, PROJECT

LISTS = {name: value for name, value in vars(rows).items() if isinstance(value, list)}


@pytest.fixture(scope="module")
def exported(library: Path) -> set[str]:
    if shutil.which("nm") is None:
        pytest.skip("needs nm")
    words = ["nm", "-D", "--defined-only", "--format=posix", str(library)]
    lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    return {line.split()[0] for line in lines if line.split()[1] in "TW"}


def test_every_call_has_a_row_of_the_driver(exported: set[str]) -> None:
    driver = set(re.findall(r"\bR\((\w+)\)", (HERE / "driver.c").read_text()))
    assert exported - driver == set()


def test_every_call_has_a_line_of_documentation(exported: set[str]) -> None:
    named = set(re.findall(r"`(\w+)`", (PROJECT / "docs" / "redirect.md").read_text()))
    assert exported - named == set()


def test_every_call_is_in_a_list_and_nothing_else_is(exported: set[str]) -> None:
    listed = set(chain.from_iterable(LISTS.values()))
    variants = set(chain.from_iterable(rows.VARIANTS.values()))
    assert exported - listed == set()
    assert listed - exported - variants == set()


@pytest.mark.parametrize("name", sorted(LISTS))
def test_every_list_is_run_on_the_host_and_without_one(name: str) -> None:
    """A list of lists counts as its parts do."""
    hosts = [file for file in HERE.glob("test_*.py") if file.name not in ("test_rows.py", "test_strict.py")]
    used = re.compile(rf"parametrize\(\"function\", \[?(.*\*)?{name}\b|in {name}\b|\b{name}\]?\)")
    for files in (hosts, [HERE / "test_strict.py"]):
        text = "".join(file.read_text() for file in files)
        each = LISTS[name] if name == "ALONE" else ()
        assert used.search(text) or (each and all(f'"{call}"' in text for call in each)), name
