"""Conditions: their form, what they hold on, and the machines that they tell apart."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.accelerators import Accelerator, BadCondition, Condition, decide
from cape.accelerators.conditions import KINDS, distinguishable
from cape.accelerators.machine import Machine
from cape.names import System


def machine(kind: str, version: str | None = None, **more: object) -> Accelerator:
    return Accelerator(kind=kind, version=version, reason="a test", **more)  # type: ignore[arg-type]


def asked(word: str) -> Accelerator:
    return decide(Machine(), library=False, chosen=word)


@pytest.mark.parametrize(
    ("text", "here", "holds"),
    [
        ("cuda", machine("cuda", "11.8"), True),
        ("cuda>=12", machine("cuda", "11.8"), False),
        ("cuda>=12", machine("cuda", "12.0"), True),
        ("cuda>=12,<13", machine("cuda", "13.0"), False),
        ("cuda==12", machine("cuda", "12.4"), True),
        ("cuda>=12.4", machine("cuda", "12.10"), True),
        ("cuda>=12", machine("cpu"), False),
        ("rocm>=6", machine("rocm"), True),
        ("metal", machine("metal"), True),
        ("cpu", machine("cuda", "12.0"), True),
        ("capability>=8.0", machine("cuda", "12.0", capability="7.5"), False),
        ("capability>=8.0", machine("cuda", "12.0", capability="10.0"), True),
        ("avx512", machine("cpu", features=("x86-64-v4", "avx512f")), True),
        ("avx512", machine("cpu", features=("x86-64-v3", "avx2")), False),
        ("x86-64-v2", machine("cpu", features=("x86-64-v3",)), True),
        ("cuda>=12.4", asked("cuda12"), True),
        ("cuda<13", asked("cuda12"), True),
        ("cuda>=12.4", asked("cuda12.2"), False),
        ("cuda", asked("none"), False),
    ],
)
def test_condition_holds_where_it_should(text: str, here: Accelerator, holds: bool) -> None:
    assert Condition.parse(text).holds(here) is holds
    assert bool(Condition.parse(text).failing(here)) is not holds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no condition"),
        (">=12", "no condition"),
        ("cuda>=", "no condition"),
        ("cuda 12", "no condition"),
        ("cudo>=12", "did you mean `cuda`"),
        ("cpu>=2", "has no version"),
        ("capability", "wants a version"),
        ("cuda>=12;rocm", "no condition"),
    ],
)
def test_text_that_is_no_condition_is_refused(text: str, said: str) -> None:
    with pytest.raises(BadCondition) as caught:
        Condition.parse(text)
    assert said in f"{caught.value.fact} {caught.value.hint}"


_TERMS = st.builds(
    lambda word, relation, version: f"{word}{relation}{version}",
    st.sampled_from(["cuda", "rocm", "capability"]),
    st.sampled_from([">=", "<=", "==", ">", "<"]),
    st.sampled_from(["5.0", "7.5", "8", "11.8", "12", "12.4", "12.4.1", "13"]),
) | st.sampled_from(["cuda", "rocm", "metal", "cpu", "avx512", "avx2", "sve"])
_CONDITIONS = st.lists(_TERMS, min_size=1, max_size=3).map(",".join)
_VERSIONS = st.sampled_from(["5.0", "6.1", "7.5", "8.0", "11.8", "12.0", "12.4", "12.4.1", "12.5", "13.0"])


@settings(max_examples=80, deadline=None)
@given(_CONDITIONS)
def test_text_of_a_condition_is_read_as_the_same_one(text: str) -> None:
    condition = Condition.parse(text)
    assert Condition.parse(condition.text) == condition


@settings(max_examples=120, deadline=None)
@given(
    st.lists(_CONDITIONS, min_size=1, max_size=3),
    st.sampled_from(list(System)),
    _VERSIONS,
    _VERSIONS,
    st.data(),
)
def test_every_machine_is_like_one_that_is_told_apart(
    texts: list[str], system: System, version: str, capability: str, data: st.DataObject
) -> None:
    """So no real machine finds a combination that was not locked."""
    conditions = [Condition.parse(text) for text in texts]
    kind = data.draw(st.sampled_from(KINDS[system]))
    features = ("x86-64-v4", "avx512f", "avx2") if system is System.X86_64_LINUX else ()
    real = Accelerator(
        kind=kind,
        version=version if kind in ("cuda", "rocm") else None,
        capability=capability if kind == "cuda" else None,
        features=features if data.draw(st.booleans()) else (),
        reason="a test",
    )
    told = {tuple(one.holds(each) for one in conditions) for each in distinguishable(conditions, system)}
    assert tuple(one.holds(real) for one in conditions) in told
