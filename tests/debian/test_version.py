"""Debian's order of versions, against dpkg itself and against laws; constraints of the manifest."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.sources.debian.version import Constraint, compare, related, sort_key, split
from cape.sources.tools import BadConstraint

UPSTREAM = st.from_regex(r"[0-9][0-9a-zA-Z.+~]{0,8}", fullmatch=True)
REVISION = st.from_regex(r"[0-9a-zA-Z.+~]{1,6}", fullmatch=True)
VERSIONS = st.builds(
    lambda epoch, upstream, revision: f"{epoch}{upstream}{revision}",
    st.sampled_from(["", "0:", "1:", "12:"]),
    UPSTREAM,
    st.one_of(st.just(""), REVISION.map(lambda text: f"-{text}")),
)

HARD = """
1.0 1.0~ 1.0~~ 1.0~~a 1.0~rc1 1.0a 1.0+ 1.0. 1.0-1 1.0-0 1.0-1~bpo 1.00 1.01 1.10 0:1.0 1:0 1.0a0 1.0a0b
2 17+278 1.0+b1 1.0-1+b1 0 0~ 00 1a~ 1a 1.0-a 1.0-~ 20240101 20240101.1 9 10 1.2.3-4.5 1.2.3-4.5+deb13u1
"""


def _dpkg_agrees(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """The pairs that dpkg orders otherwise, asked in one shell."""
    lines = []
    for left, right in pairs:
        difference = compare(left, right)
        relation = "lt" if difference < 0 else "gt" if difference > 0 else "eq"
        lines.append(
            f"dpkg --compare-versions '{left}' {relation} '{right}' || echo '{left} {relation} {right}'"
        )
    done = subprocess.run(["sh", "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    return [line for line in done.stdout.splitlines() if line]


needs_dpkg = pytest.mark.skipif(shutil.which("dpkg") is None, reason="dpkg is not on this machine")


@needs_dpkg
def test_hard_pairs_are_ordered_as_dpkg_orders_them() -> None:
    pairs = list(itertools.combinations(HARD.split(), 2))
    assert _dpkg_agrees(pairs[::2]) == []


@needs_dpkg
@settings(max_examples=8, deadline=None)
@given(st.lists(st.tuples(VERSIONS, VERSIONS), min_size=20, max_size=40))
def test_any_pairs_are_ordered_as_dpkg_orders_them(pairs: list[tuple[str, str]]) -> None:
    assert _dpkg_agrees(pairs) == []


@given(VERSIONS, VERSIONS)
def test_order_does_not_depend_on_the_side(left: str, right: str) -> None:
    assert compare(left, right) == -compare(right, left)


@given(VERSIONS)
def test_an_epoch_of_zero_and_leading_zeros_change_nothing(version: str) -> None:
    epoch, upstream, revision = split(version)
    if not epoch:
        assert sort_key(f"0:{version}") == sort_key(version)
    assert compare(f"{epoch or 0}:0{upstream}-{revision or 0}", version) == 0


@given(VERSIONS)
def test_a_tilde_is_before_the_end(version: str) -> None:
    assert compare(f"{version}~", version) < 0 < compare(f"{version}+", version)


def test_relations_of_package_fields_read_old_signs_as_inclusive() -> None:
    assert related("1.0", "<", "1.0")
    assert related("1.0", ">", "1.0")
    assert not related("1.0", "<<", "1.0")


@pytest.mark.parametrize(
    ("constraint", "yes", "no"),
    [
        ("*", ["1", "3:9~rc1-2"], []),
        ("17", ["17", "17.2-1", "17+278", "1:17.5-0+deb13u1"], ["170", "1.17", "16.9"]),
        ("3.13", ["3.13.5-1", "3.13-1"], ["3.130-1", "3.12.9-1"]),
        ("3.13.*", ["3.13.5-1"], ["3.14.0-1"]),
        (">=17", ["17", "17+278", "18-1", "1:17-1"], ["16.9-1", "2:3-1"]),
        (">=2.2,<4", ["2.2-1", "3.9~rc1"], ["4.0-1", "2.1.9-7"]),
        ("<=17", ["17-3", "16"], ["17.1"]),
        (">17", ["17.1-1", "18"], ["17-3"]),
        ("==1.2-3", ["1.2-3", "5:1.2-3"], ["1.2-3+b1", "1.2-4"]),
        ("==1:1.2-3", ["1:1.2-3"], ["1.2-3"]),
        ("==1.2", ["1.2-3", "1.2"], ["1.2.1-1"]),
        ("=1.2-3", ["1.2-3"], ["1.2-4"]),
        ("!=1.2-3", ["1.2-4"], ["1.2-3"]),
        ("^1.4", ["1.4-1", "1.99-1"], ["2.0-1", "2.0~rc1-1", "1.3-1"]),
        ("^0.4.1", ["0.4.9-1"], ["0.5-1"]),
        ("~1.4.2", ["1.4.2-1", "1.4.9-1"], ["1.5-1", "1.4.1-1"]),
        ("~=1.4.2", ["1.4.9-1"], ["1.5-1"]),
        ("~1", ["1.9"], ["2"]),
    ],
)
def test_constraints_allow_what_they_say(constraint: str, yes: list[str], no: list[str]) -> None:
    parsed = Constraint.parse(constraint)
    assert [version for version in yes if not parsed.allows(version)] == []
    assert [version for version in no if parsed.allows(version)] == []


@pytest.mark.parametrize("text", ["", "latest!", ">=", "1,,2", ">= 1 2", "(1)"])
def test_what_is_no_constraint_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(BadConstraint, match=r"cape\.toml:3:1"):
        Constraint.parse(text, where="cape.toml:3:1")


@given(VERSIONS)
def test_a_version_is_allowed_by_itself(version: str) -> None:
    for relation in ("==", ">=", "<=", ""):
        assert Constraint.parse(f"{relation}{version}").allows(version)
