"""Ranges of versions as npm reads them, compared with npm's own `semver` where npm is."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.sources.npm.semver import BadRange, in_range, newest_in, parse_range, parse_version

numbers = st.integers(min_value=0, max_value=3)
versions = st.tuples(numbers, numbers, numbers).map(lambda parts: ".".join(map(str, parts)))
partials = st.one_of(
    versions,
    st.tuples(numbers, numbers).map(lambda parts: f"{parts[0]}.{parts[1]}"),
    numbers.map(str),
    numbers.map(lambda number: f"{number}.x"),
    st.just("*"),
)
comparators = st.tuples(st.sampled_from(["", "^", "~", ">=", "<=", ">", "<", "=", ">= "]), partials).map(
    "".join
)
alternatives = st.one_of(
    st.lists(comparators, min_size=1, max_size=2).map(" ".join),
    st.tuples(partials, partials).map(" - ".join),
)
ranges = st.lists(alternatives, min_size=1, max_size=2).map(" || ".join)


def fitting(wanted: str, among: list[str]) -> list[str]:
    tests = parse_range(wanted)
    return [version for version in among if in_range(parse_version(version) or (0, 0, 0), tests)]


@pytest.mark.parametrize(
    ("wanted", "fits", "misses"),
    [
        ("22", ["22.0.0", "22.9.1"], ["21.9.9", "23.0.0"]),
        ("^0.2.3", ["0.2.3", "0.2.9"], ["0.2.2", "0.3.0", "1.0.0"]),
        ("^0.0.3", ["0.0.3"], ["0.0.4"]),
        ("~1.2", ["1.2.0", "1.2.9"], ["1.3.0"]),
        (">=20 <25", ["20.0.0", "24.9.9"], ["25.0.0", "19.0.0"]),
        ("18 - 19.1", ["18.0.0", "19.1.9"], ["19.2.0"]),
        ("20 || >=22.1", ["20.5.0", "22.1.0", "30.0.0"], ["21.0.0", "22.0.0"]),
        ("", ["0.0.0", "9.9.9"], []),
    ],
)
def test_ranges_hold_what_npm_says(wanted: str, fits: list[str], misses: list[str]) -> None:
    tests = parse_range(wanted)
    assert [
        version for version in fits + misses if in_range(parse_version(version) or (0, 0, 0), tests)
    ] == fits


def test_the_newest_is_chosen_by_number_and_pre_releases_never() -> None:
    assert newest_in(["9.0.0", "10.1.0", "10.0.9", "11.0.0-rc.1", "garbage"], "*") == "10.1.0"
    assert newest_in(["1.0.0"], "2") is None


@pytest.mark.parametrize("text", ["abc", "1.2.3.4", "^", ">=x.y.z.w", "lts/*"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(BadRange):
        parse_range(text)


_ORACLE = """
const semver = require(process.argv[1])
const asked = JSON.parse(require('fs').readFileSync(0))
console.log(JSON.stringify(asked.map(([range, all]) => all.filter(v => semver.satisfies(v, range)))))
"""


def test_ranges_agree_with_npms_own_reading() -> None:
    """Independent source: the `semver` that npm itself carries."""
    npm = shutil.which("npm")
    semver = Path(npm).resolve().parents[1] / "node_modules/semver" if npm else Path("/nowhere")
    if not semver.is_dir():
        pytest.skip("npm is not on this machine, or carries no semver of its own")
    asked: list[tuple[str, list[str]]] = []

    @settings(deadline=None)
    @given(wanted=ranges, all_versions=st.lists(versions, max_size=8, unique=True))
    def collect(wanted: str, all_versions: list[str]) -> None:
        asked.append((wanted, all_versions))

    collect()
    done = subprocess.run(
        ["node", "-e", _ORACLE, str(semver)],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
    )
    for (wanted, all_versions), expected in zip(asked, json.loads(done.stdout), strict=True):
        assert fitting(wanted, all_versions) == expected, wanted
