"""The policy on licences of models, and what an expression of several allows."""

from __future__ import annotations

import pytest

from cape.lock.licences import is_allowed


@pytest.mark.parametrize(
    ("licence", "allowed", "expected"),
    [
        ("Apache-2.0", ["apache-2.0"], True),
        ("gemma", ["apache-2.0", "mit"], False),
        ("unknown", ["mit"], False),
        ("unknown", ["unknown"], True),
        ("MIT OR GPL-3.0-only", ["MIT"], True),
        ("MIT AND GPL-3.0-only", ["MIT"], False),
        ("MIT AND GPL-3.0-only", ["MIT", "gpl-3.0-only"], True),
        ("MIT AND (GPL-3.0-only OR Apache-2.0)", ["MIT", "Apache-2.0"], True),
        ("GPL-3.0-only OR MIT AND Apache-2.0", ["MIT"], False),
        ("Apache-2.0 WITH LLVM-exception", ["apache-2.0"], False),
        ("Apache-2.0 WITH LLVM-exception OR MIT", ["apache-2.0 with llvm-exception"], True),
        ("Apache Software License", ["apache software license"], True),
        ("MIT OR", ["mit"], True),
        ("MIT AND )", ["mit"], False),
        ("(MIT OR Apache-2.0", ["mit"], False),
    ],
)
def test_a_licence_is_allowed_by_its_name_or_by_each_part_that_it_needs(
    licence: str, allowed: list[str], expected: bool
) -> None:
    assert is_allowed(licence, allowed) is expected
