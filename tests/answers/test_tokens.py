"""Estimated tokens: nothing for nothing, more for more."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cape.answers.tokens import estimated_tokens


def test_words_and_marks_count() -> None:
    assert estimated_tokens("") == 0
    assert estimated_tokens("The train leaves.") == 4
    assert estimated_tokens("internationalisation") == 4


@given(st.text(max_size=50), st.text(max_size=50))
def test_texts_apart_cost_what_they_cost_together(one: str, other: str) -> None:
    assert estimated_tokens(f"{one} {other}") == estimated_tokens(one) + estimated_tokens(other)
