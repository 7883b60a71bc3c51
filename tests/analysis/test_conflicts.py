"""The smallest set that cannot hold together, the form of an explanation, and looser constraints."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.analysis.conflicts import (
    SHOWN,
    Explanation,
    OutOfTime,
    Relaxation,
    Way,
    nearest_first,
    smallest_conflict,
)
from cape.analysis.relaxing import below, distance, fitting, looser
from cape.sources.protocol import Requirement

Clashes = list[frozenset[int]]

MEMBERS = 12
clashes = st.lists(st.frozensets(st.integers(0, MEMBERS - 1), min_size=1, max_size=4), min_size=1, max_size=4)


class Asked:
    """Whether members hold, for known clashes; counts the questions."""

    def __init__(self, clashes: Clashes, *, until: int | None = None) -> None:
        self.clashes = clashes
        self.until = until
        self.questions = 0

    def __call__(self, members: Sequence[int]) -> bool:
        if self.until is not None and self.questions >= self.until:
            raise OutOfTime
        self.questions += 1
        return not any(clash <= set(members) for clash in self.clashes)


@settings(deadline=None)
@given(clashes, st.lists(st.integers(0, MEMBERS - 1), max_size=5, unique=True))
def test_what_is_found_clashes_and_holds_without_any_one_of_it(clashes: Clashes, first: list[int]) -> None:
    members = tuple(range(MEMBERS))
    found = smallest_conflict(members, Asked(clashes), first=first)
    assert found.is_smallest
    holds = Asked(clashes)
    assert not holds(found.members)
    for member in found.members:
        assert holds([other for other in found.members if other != member])


@settings(deadline=None)
@given(st.frozensets(st.integers(0, 63), min_size=1, max_size=3))
def test_few_questions_find_a_small_clash_among_many_members(clash: frozenset[int]) -> None:
    """Junker's bound, 2k log2(n/k) + 2k, and k more for the check of each member."""
    asked = Asked([clash])
    assert set(smallest_conflict(tuple(range(64)), asked).members) == clash
    assert asked.questions <= 2 * len(clash) * 7 + 3 * len(clash)


@settings(deadline=None)
@given(clashes, st.integers(0, 6))
def test_when_time_ends_what_was_found_so_far_still_clashes(clashes: Clashes, until: int) -> None:
    members = tuple(range(MEMBERS))
    found = smallest_conflict(members, Asked(clashes, until=until))
    assert not Asked(clashes)(found.members)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_a_resolver_that_more_members_can_please_is_answered_member_by_member(data: st.DataObject) -> None:
    """Some members make others hold: then leaving one out may break a set that held."""
    verdicts: dict[tuple[int, ...], bool] = {}

    def hold(members: Sequence[int]) -> bool:
        key = tuple(members)
        if key not in verdicts:
            verdicts[key] = False if len(key) == 5 else data.draw(st.booleans())
        return verdicts[key] if key else True

    found = smallest_conflict(tuple(range(5)), hold)
    assert not hold(found.members)
    for member in found.members:
        assert hold([other for other in found.members if other != member])


def relaxation(way: Way, line: str, *, steps: int = 0) -> Relaxation:
    return Relaxation(way=way, lines=(line,), sentence=f"write {line}", steps=steps)


def test_the_nearest_relaxations_are_shown_and_no_more() -> None:
    given = [
        relaxation(Way.REMOVE, "a"),
        relaxation(Way.SUITE, "b"),
        relaxation(Way.CONSTRAINT, "c", steps=2),
        relaxation(Way.CONSTRAINT, "d", steps=1),
        relaxation(Way.CONSTRAINT, "d", steps=1),
    ]
    shown = nearest_first(given)
    assert [one.lines[0] for one in shown] == ["d", "c", "b"]
    assert len(shown) == SHOWN


def test_an_explanation_has_one_form_for_people_and_machines() -> None:
    one = Requirement(source="pypi", name="pandas", package="pandas", constraint="<2", where="cape.toml:9:1")
    explanation = Explanation(
        requirements=(one,),
        written=('pandas = { pypi = "<2" }',),
        reasons=("`pandas` 1.5 needs `numpy<2`",),
        relaxations=(
            Relaxation(
                way=Way.CONSTRAINT,
                lines=('pandas = { pypi = ">=2,<4" }',),
                sentence="allow `pandas` `>=2,<4`",
                where="cape.toml:9:1",
                gives=("pandas 3.0.1",),
            ),
        ),
    )
    assert explanation.lines() == (
        '  cape.toml:9:1  pandas = { pypi = "<2" }',
        "because",
        "  `pandas` 1.5 needs `numpy<2`",
        "each of these was tried, and resolves it:",
        "  allow `pandas` `>=2,<4` (pandas 3.0.1)",
        '      pandas = { pypi = ">=2,<4" }',
    )
    assert explanation.fields()["requirements"] == [
        {
            "source": "pypi",
            "name": "pandas",
            "package": "pandas",
            "constraint": "<2",
            "where": "cape.toml:9:1",
            "line": 'pandas = { pypi = "<2" }',
        }
    ]


@pytest.mark.parametrize(
    ("source", "constraint", "expected"),
    [
        ("pypi", "*", ()),
        ("pypi", "<2", (">=2,<3", "*")),
        ("pypi", "==1.5.3", (">=2,<3", ">=1.5.3", "<1.5.3", "*")),
        ("pypi", ">=2", ("*",)),
        ("npm", "^17", (">=18 <19", ">=17", "<17", "*")),
        ("npm", "^1 || ^2", ("*",)),
        ("debian", ">=9", ("*",)),
    ],
)
def test_looser_constraints_go_from_near_to_far(
    source: str, constraint: str, expected: tuple[str, ...]
) -> None:
    assert looser(source, constraint) == expected


@pytest.mark.parametrize(
    ("source", "constraint", "version", "expected"),
    [
        ("pypi", "<2", "3.0.1", ">=2,<4"),
        ("pypi", ">=1,<2", "2.3.3", ">=1,<3"),
        ("pypi", ">=2", "1.26.4", ">=1.26"),
        ("pypi", "==1.5.3", "2.3.3", "==2.3.3"),
        ("pypi", "1.5", "2.3.3", "2.3"),
        ("pypi", "==1.5.*", "2.3.3", "==2.3.*"),
        ("npm", "^17", "18.3.1", "^18"),
        ("npm", "22", "24.1.0", "24"),
        ("debian", ">=9", "1:2.47.3-0+deb13u1", ">=2.47"),
        ("pypi", "*", "3.0", "*"),
    ],
)
def test_a_version_is_written_in_the_style_of_the_constraint(
    source: str, constraint: str, version: str, expected: str
) -> None:
    assert fitting(source, constraint, version) == expected


def test_older_versions_keep_the_lower_bound() -> None:
    assert below("npm", ">=1 <9", "4.0.0") == ">=1 <4.0.0"
    assert distance("<2", "3.0.1") == 1
