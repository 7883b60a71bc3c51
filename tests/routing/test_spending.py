"""The budget on disk: never overrun by runs side by side, whatever is killed between; days and months."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cape.answers.routing.budget import OverBudget
from cape.errors import SourceError
from cape.operations import spending
from cape.operations.project import Project
from cape.operations.spending import BudgetUnwritable, Ledger, spending_file, spent_days

NOON = 1_800_000_000.0
DAY_S = 86_400.0


def ledger(project: Project, at: float = NOON, **limits: float) -> Ledger:
    return Ledger(spending_file(project), limits, clock=lambda: at)


def spend(account: Ledger, most: float, cost: float | None, *, writer: str = "big") -> None:
    with account.reserve(most, writer=writer) as held:
        if cost is None:
            raise SourceError("is down")
        held.cost(cost, sent=900, came=100)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_what_a_call_did_not_cost_is_given_back_and_the_next_run_knows(project: Project) -> None:
    spend(ledger(project, day=1.0), 0.9, 0.2)
    spend(ledger(project, day=1.0), 0.8, 0.1)
    with pytest.raises(OverBudget, match=r"may cost 0.8, and 0.7 of the day's 1 is left"):
        spend(ledger(project, day=1.0), 0.8, 0.1)
    (day,) = spent_days(project)
    assert (day.writer, day.calls, day.failed, day.sent, day.came) == ("big", 2, 0, 1800, 200)
    assert day.cost == pytest.approx(0.3)


def test_a_call_that_fails_counts_as_all_that_was_held(project: Project) -> None:
    with pytest.raises(SourceError):
        spend(ledger(project, day=1.0), 0.6, None)
    (day,) = spent_days(project)
    assert (day.calls, day.failed, day.cost) == (1, 1, 0.6)


def test_the_next_day_is_free_and_the_month_is_not(project: Project) -> None:
    spend(ledger(project, day=1.0, month=1.5), 1.0, 1.0)
    tomorrow = ledger(project, NOON + DAY_S, day=1.0, month=1.5)
    with pytest.raises(OverBudget, match=r"of the month's 1.5"):
        spend(tomorrow, 0.6, 0.6)
    spend(tomorrow, 0.5, 0.5)


def test_a_run_has_a_limit_of_its_own(project: Project) -> None:
    account = ledger(project, run=0.5)
    spend(account, 0.4, 0.3)
    with pytest.raises(OverBudget, match=r"of the run's 0.5"):
        spend(account, 0.3, 0.3)
    spend(ledger(project, run=0.5), 0.3, 0.3)


_RUN = """
import os, sys
from pathlib import Path
from cape.answers.routing.budget import OverBudget
from cape.operations.spending import Ledger
account = Ledger(Path(sys.argv[1]), {"day": 10.0})
try:
    with account.reserve(3.0, writer="big") as held:
        if sys.argv[2] == "killed":
            os._exit(9)
        held.cost(3.0)
except OverBudget:
    sys.exit(7)
"""


def test_processes_side_by_side_do_not_overrun_it_and_a_killed_one_counts_in_full(project: Project) -> None:
    def start(how: str) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-c", _RUN, str(spending_file(project)), how]
        return subprocess.Popen(words, stderr=subprocess.PIPE)

    def ended(process: subprocess.Popen[bytes]) -> int:
        process.communicate(timeout=60)
        return process.returncode

    assert ended(start("killed")) == 9
    assert sorted(map(ended, [start("well") for _ in range(4)])) == [0, 0, 7, 7]
    (day,) = spent_days(project)
    assert day.cost == 9.0
    assert (day.calls, day.open_calls) == (3, 1)


def test_a_line_that_was_broken_off_counts_nothing_and_spoils_no_other(project: Project) -> None:
    """The call of a line that is not whole was never made: it is on the disk before."""
    spend(ledger(project), 0.5, 0.5)
    file = spending_file(project)
    file.write_bytes(file.read_bytes() + b'{"held":"ab","day":"20')
    spend(ledger(project, month=2.0), 0.4, 0.4)
    assert [day.cost for day in spent_days(project)] == [pytest.approx(0.9)]


def test_days_that_are_over_are_put_together_and_cost_what_they_did(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spending, "LONG_BYTES", 500)
    for number in range(12):
        spend(ledger(project, NOON + (number // 4) * DAY_S), 0.25, 0.125)
    with pytest.raises(SourceError):
        spend(ledger(project, NOON + 3 * DAY_S), 0.25, None, writer="small")
    days = spent_days(project)
    assert [(one.writer, one.calls, one.cost) for one in days] == [("big", 4, 0.5)] * 3 + [("small", 1, 0.25)]
    rows = [json.loads(line) for line in spending_file(project).read_text().splitlines()]
    assert [row["day"] for row in rows if "calls" in row] == [one.day for one in days[:3]]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_where_nothing_can_be_written_a_budget_lets_nothing_through(project: Project) -> None:
    project.state.mkdir()
    project.state.chmod(0o500)
    with pytest.raises(BudgetUnwritable):
        spend(ledger(project, day=1.0), 0.1, 0.1)
    spend(ledger(project), 0.1, 0.1)


def test_a_file_where_its_directory_should_be_lets_nothing_through_either(project: Project) -> None:
    project.state.mkdir()
    (project.state / "knowledge").write_text("")
    with pytest.raises(BudgetUnwritable, match="cannot be written down"):
        spend(ledger(project, day=1.0), 0.1, 0.1)
    spend(ledger(project, day=1.0), 0.0, 0.0)
    assert spent_days(project) == ()


_CALLS = st.lists(
    st.tuples(st.floats(0, 3), st.floats(0, 1), st.sampled_from(["well", "fails"]), st.integers(0, 40)),
    max_size=12,
)


@given(st.fixed_dictionaries({"day": st.floats(0, 5), "month": st.floats(0, 8)}), _CALLS)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_day_and_no_month_ever_costs_more_than_its_limit(
    tmp_path_factory: pytest.TempPathFactory,
    limits: Mapping[str, float],
    calls: list[tuple[float, float, str, int]],
) -> None:
    project = Project(tmp_path_factory.mktemp("laws"))
    for most, share, how, days in sorted(calls, key=lambda one: one[3]):
        account = ledger(project, NOON + days * DAY_S, **limits)
        with contextlib.suppress(OverBudget, SourceError):
            spend(account, most, None if how == "fails" else most * share)
    found = spent_days(project)
    months = {one.day[:7] for one in found}
    assert all(one.cost <= limits["day"] + 1e-9 for one in found)
    assert all(
        sum(one.cost for one in found if one.day.startswith(month)) <= limits["month"] + 1e-9
        for month in months
    )
