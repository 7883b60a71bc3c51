"""From an answer to a verdict, with the weights that come with cape."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.answers.claims.checking import Checker, check_answer
from cape.answers.claims.claim import Verdict
from cape.answers.claims.trees import forest_of
from cape.answers.claims.weights import read_weights, shipped_weights

EVIDENCE = (
    "The bridge over the Dee was finished in 1987 by the engineer Ada Moreno. It is 420 metres long and cost "
    "12 million euros. Cyclists are not allowed on it. The old ferry stopped its service two years later."
)


def test_what_the_evidence_says_is_supported() -> None:
    check = check_answer("The bridge over the Dee was finished in 1987. It is 420 metres long.", [EVIDENCE])
    assert check.verdict is Verdict.SUPPORTED
    assert check.score > 0.5
    assert check.unsupported == ()


def test_what_is_made_up_is_unsupported_and_marked() -> None:
    answer = (
        "The bridge over the Dee was finished in 1987. A festival of jazz takes place below it every July."
    )
    check = check_answer(answer, [EVIDENCE])
    assert check.verdict is not Verdict.SUPPORTED
    assert check.score < 0.5
    (start, end), *_ = check.unsupported
    assert start >= answer.index("A festival") and "festival" in answer[start : check.unsupported[-1][1]]
    assert end <= len(answer)


def test_another_number_is_contradicted() -> None:
    check = check_answer("The bridge over the Dee is 640 metres long and cost 12 million euros.", [EVIDENCE])
    assert check.verdict is Verdict.CONTRADICTED


def test_a_record_contradicts() -> None:
    record = json.dumps({"name": "Corner Lantern", "attributes": {"OutdoorSeating": False, "WiFi": "free"}, "city": "Fairview", "stars": 4})  # fmt: skip  # noqa: E501
    check = check_answer("The Corner Lantern in Fairview has outdoor seating.", [record])
    assert check.verdict is Verdict.CONTRADICTED


def test_an_answer_that_declines_is_supported() -> None:
    assert check_answer("The passages do not mention the price.", [EVIDENCE]).verdict is Verdict.SUPPORTED
    assert check_answer("", [EVIDENCE]).verdict is Verdict.SUPPORTED


def test_without_evidence_nothing_is_supported() -> None:
    assert check_answer("The bridge is 420 metres long.", []).verdict is not Verdict.SUPPORTED


def test_evidence_in_another_language_supports_only_what_its_names_and_numbers_say() -> None:
    german = "Die Brücke über den Dee wurde 1987 von Ada Moreno fertiggestellt."
    check = check_answer("The harbour was sold to a bank in 2003.", [german])
    assert check.verdict is not Verdict.SUPPORTED


def test_an_answer_beyond_what_is_checked_is_never_called_supported() -> None:
    check = check_answer("The bridge is 420 metres long. " * 2_000, [EVIDENCE])
    assert check.verdict is not Verdict.SUPPORTED


@given(st.text(max_size=150), st.lists(st.text(max_size=150), max_size=3))
@settings(max_examples=40, deadline=None)
def test_any_text_gets_a_verdict_with_ranges_in_it(answer: str, evidence: list[str]) -> None:
    check = check_answer(answer, evidence)
    assert 0.0 <= check.score <= 1.0
    ends = [end for span in check.unsupported for end in span]
    assert ends == sorted(ends)
    assert all(0 <= end <= len(answer) for end in ends)


def test_the_same_answer_gets_the_same_check() -> None:
    answer = "The bridge over the Dee was finished in 1991 by Ada Moreno."
    assert check_answer(answer, [EVIDENCE]) == check_answer(answer, [EVIDENCE])


def test_a_long_answer_over_five_thousand_tokens_takes_less_than_its_budget() -> None:
    """150 ms are allowed an answer; here of the processor, for words alone, of text not seen before."""
    evidence = " ".join(
        f"In {1500 + at} the town {at} had {at * 7} houses and a river of {at} miles." for at in range(260)
    )
    answer = " ".join(f"In {1500 + at} the town {at} had {at * 7} houses." for at in range(10))
    checker = Checker()
    checker.check("Warm.", ["Warm."])
    began = time.process_time()
    checker.check(answer, [evidence])
    assert time.process_time() - began < 0.15


def test_weights_are_data_that_refuse_damage() -> None:
    assert shipped_weights().digest.hex
    for text in (b"{}", b"[]", b"nonsense", b'{"by_words": {"word": {}}}'):
        with pytest.raises((ValueError, KeyError, TypeError)):
            read_weights(text)


@pytest.mark.parametrize(
    "tree",
    [
        [[0], [0.5], [-1], [-3], [0.1, 0.2]],
        [[7], [0.5], [-1], [-2], [0.1, 0.2]],
        [[0], [0.5], [-1], [-2], [0.1]],
    ],
)
def test_a_tree_that_leads_nowhere_is_refused(tree: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="tree"):
        forest_of({"features": ["one"], "trees": [tree]})


def test_a_forest_adds_its_trees() -> None:
    """Worked by hand: at 0.4 the left leaves, 1.0 + 0.25; at 0.6 the right ones, -1.0 + 0.25."""
    forest = forest_of(
        {"features": ["one"], "trees": [[[0], [0.5], [-1], [-2], [1.0, -1.0]], [[], [], [], [], [0.25]]]}
    )
    assert forest.log_odds([0.4]) == 1.25
    assert forest.log_odds([0.6]) == -0.75
