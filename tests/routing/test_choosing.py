"""Writers are chosen by difficulty, cost and policy; a budget is never overrun."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.answers.routing.budget import Budget, OverBudget
from cape.answers.routing.choosing import Ask, Called, NoWriter, Route, RoutingPolicy, route, write
from cape.answers.routing.writers import BadWriters, WriterRow, writers_of
from cape.engines.writers import WriterRefused
from cape.errors import SourceError

BOTH = ["public", "staff"]
TABLE: dict[str, Any] = {
    "small": {"input-price": 0, "output-price": 0, "window": 4_000, "strength": 0.4, "local": True},
    "middle": {"input-price": 1, "output-price": 2, "window": 100_000, "strength": 0.7, "data": ["public"]},
    "large": {"input-price": 10, "output-price": 30.0, "window": 200_000, "strength": 0.95, "data": BOTH},
}  # fmt: skip
WRITERS = writers_of(TABLE, where="cape.toml")
EASY = Ask(difficulty=0.1, input_tokens=1_000, output_tokens=500)
HARD = Ask(difficulty=0.9, input_tokens=1_000, output_tokens=500)
POLICY = RoutingPolicy(strong_from=0.5)


def names(found: Route) -> list[str]:
    return [writer.name for writer in found.writers]


def answering(writer: WriterRow) -> Called[str]:
    return Called(value=f"by {writer.name}", sent=900, came=100)


def failing(*down: str) -> Callable[[WriterRow], Called[str]]:
    def call(writer: WriterRow) -> Called[str]:
        if writer.name in down:
            raise SourceError("is down")
        return answering(writer)

    return call


def test_an_easy_question_goes_to_the_cheapest_and_a_hard_one_to_the_strongest() -> None:
    assert names(route(WRITERS, EASY, POLICY)) == ["small", "middle", "large"]
    assert names(route(WRITERS, HARD, POLICY)) == ["large", "middle", "small"]


def test_a_class_of_data_leaves_out_who_may_not_see_it() -> None:
    found = route(WRITERS, HARD, RoutingPolicy(strong_from=0.5, data="staff"))
    assert names(found) == ["large", "small"]
    assert found.left_out == (("middle", "may not see `staff`"),)


def test_what_must_stay_here_goes_to_local_writers_alone() -> None:
    assert names(route(WRITERS, HARD, RoutingPolicy(strong_from=0.5, local_only=True))) == ["small"]


def test_a_window_that_is_too_small_leaves_a_writer_out() -> None:
    long = Ask(difficulty=0.1, input_tokens=3_800, output_tokens=500)
    assert names(route(WRITERS, long, POLICY)) == ["middle", "large"]


def test_nobody_left_is_told_with_every_reason() -> None:
    huge = Ask(difficulty=0.1, input_tokens=10**6, output_tokens=500)
    with pytest.raises(NoWriter, match=r"`large` reads 200000.*`small` reads 4000"):
        route(WRITERS, huge, POLICY)
    with pytest.raises(NoWriter, match="table of writers is empty"):
        route((), EASY, POLICY)


def test_a_writer_that_is_down_is_followed_by_the_next() -> None:
    written = write(route(WRITERS, HARD, POLICY), HARD, Budget(1.0), failing("large"))
    assert written.writer.name == "middle"
    assert written.failures == (("large", "is down"),)


def test_all_down_is_told_with_the_last_cause() -> None:
    with pytest.raises(SourceError, match="`small`: is down") as caught:
        write(route(WRITERS, EASY, POLICY), EASY, Budget(1.0), failing("small", "middle", "large"))
    assert isinstance(caught.value.__cause__, SourceError)


def test_a_writer_beyond_the_budget_is_passed_over() -> None:
    """The large one may cost 1000 x 10 + 500 x 30 millionths: 0.025."""
    budget = Budget(0.01)
    written = write(route(WRITERS, HARD, POLICY), HARD, budget, answering)
    assert written.writer.name == "middle"
    assert budget.spent == pytest.approx((900 + 2 * 100) / 1e6)


def test_a_budget_that_nobody_fits_is_told_before_any_call() -> None:
    dear = [writer for writer in WRITERS if not writer.local]
    called: list[str] = []

    def counted(writer: WriterRow) -> Called[str]:
        called.append(writer.name)
        return answering(writer)

    with pytest.raises(OverBudget, match="may cost"):
        write(route(dear, HARD, POLICY), HARD, Budget(0.001), counted)
    assert called == []


def test_a_call_that_fails_counts_as_all_that_was_held() -> None:
    budget = Budget(0.03)
    write(route(WRITERS, HARD, POLICY), HARD, budget, failing("large"))
    assert budget.spent == pytest.approx(0.025 + (900 + 2 * 100) / 1e6)


def test_a_writer_that_cannot_end_in_time_or_has_no_price_is_left_out() -> None:
    slow = replace(WRITERS[0], name="slow", tokens_per_second=10.0, patience_s=20.0)
    unpriced = replace(WRITERS[0], name="unpriced", priced=False)
    found = route([slow, unpriced, *WRITERS], EASY, replace(POLICY, priced_only=True))
    assert dict(found.left_out) == {
        "slow": "may write for 50 s, and is waited for 20 s",
        "unpriced": "has no price, and there is a budget",
    }


def test_a_reply_of_no_use_is_paid_for_and_the_next_writer_is_asked() -> None:
    budget = Budget(1.0)

    def call(writer: WriterRow) -> Called[str]:
        problem = "it is junk" if writer.name == "large" else ""
        return replace(answering(writer), problem=problem)

    routed = write(route(WRITERS, HARD, POLICY), HARD, budget, call)
    assert (routed.writer.name, routed.problem, routed.failures) == ("middle", "", (("large", "it is junk"),))
    assert routed.cost == budget.spent == pytest.approx((900 * 10 + 100 * 30 + 900 + 200) / 1e6)
    useless = write(route(WRITERS[:1], HARD, POLICY), HARD, budget, call)
    assert (useless.value, useless.problem) == ("by large", "it is junk")


def test_a_reply_without_a_count_costs_all_that_was_held() -> None:
    budget = Budget(1.0)
    write(route(WRITERS[:1], HARD, POLICY), HARD, budget, lambda one: Called(value="x", sent=0, came=0))
    assert budget.spent == pytest.approx(0.025)


def test_what_was_refused_costs_nothing() -> None:
    budget = Budget(1.0)

    def call(writer: WriterRow) -> Called[str]:
        raise WriterRefused("no")

    with pytest.raises(SourceError):
        write(route(WRITERS, HARD, POLICY), HARD, budget, call)
    assert budget.spent == 0.0


@given(
    st.floats(0, 10),
    st.lists(st.tuples(st.floats(0, 3), st.floats(0, 1), st.booleans()), max_size=20),
)
@settings(max_examples=80)
def test_a_budget_is_never_overrun(limit: float, calls: list[tuple[float, float, bool]]) -> None:
    budget = Budget(limit)
    for most, share, fails in calls:
        try:
            with budget.reserve(most) as held:
                if fails:
                    raise SourceError("down")
                held.cost(most * share)
        except (OverBudget, SourceError):
            pass
        assert budget.spent <= limit + 1e-9


def test_threads_together_do_not_overrun_it() -> None:
    budget = Budget(10.0)
    held_at_once: list[float] = []
    gate = threading.Barrier(16)

    def call() -> None:
        gate.wait()
        try:
            with budget.reserve(3.0) as held:
                held_at_once.append(3.0)
                held.cost(3.0)
        except OverBudget:
            pass

    threads = [threading.Thread(target=call) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sum(held_at_once) == budget.spent == 9.0


def test_a_cost_above_what_was_held_is_a_bug() -> None:
    budget = Budget(1.0)
    with pytest.raises(ValueError, match="was reserved"), budget.reserve(0.1) as held:
        held.cost(0.2)
    with pytest.raises(ValueError, match="no budget"):
        Budget(float("nan"))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"windw": 1}, "unknown key `windw`"),
        ({"window": "big"}, "`window` of"),
        ({"window": True}, "`window` of"),
        ({"input-price": -1}, "`input-price` of"),
        ({"strength": 2}, "`strength` of"),
        ({"data": [1]}, "`data` of"),
        ({"local": 1}, "`local` of"),
    ],
)
def test_a_wrong_table_is_told(fields: dict[str, object], says: str) -> None:
    with pytest.raises(BadWriters, match=says):
        writers_of({"one": TABLE["middle"] | fields}, where="cape.toml")


def test_a_writer_without_a_price_is_told() -> None:
    with pytest.raises(BadWriters, match="has no `input-price`"):
        writers_of({"one": {"window": 1}}, where="cape.toml")
    with pytest.raises(BadWriters, match="is no table"):
        writers_of({"one": 1}, where="cape.toml")
