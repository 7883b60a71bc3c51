"""An answer becomes claims that stand where they say they stand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.answers.claims.splitting import claims_of


@given(st.text(alphabet="ab .,;:?!\n-*1“é", max_size=200))
@settings(max_examples=60)
def test_a_claim_is_the_characters_that_it_names(answer: str) -> None:
    claims = claims_of(answer)
    assert all(answer[claim.start : claim.end] == claim.text for claim in claims)
    ends = [0, *(end for claim in claims for end in (claim.start, claim.end))]
    assert ends == sorted(ends)


def test_lists_and_semicolons_part_claims() -> None:
    answer = (
        "It has:\n- a wide bay in the north\n- **two** harbours\nAda drew the map; Lee built the pier there."
    )
    assert [claim.text for claim in claims_of(answer) if claim.asserts] == [
        "a wide bay in the north",
        "**two** harbours",
        "Ada drew the map",
        "Lee built the pier there.",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Unable to answer based on given passages.",
        "The passage does not mention the price.",
        "The documents do not provide any details.",
        "Which year do you mean?",
        "Here is a summary of the article:",
    ],
)
def test_what_claims_nothing_is_no_claim(text: str) -> None:
    assert not any(claim.asserts for claim in claims_of(text))


def test_an_empty_answer_has_no_claims() -> None:
    assert claims_of("") == ()
    assert claims_of(" \n\t") == ()
