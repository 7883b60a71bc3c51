"""Which writers are asked for a question, in which order, within policy and budget; and the asking, with
fallback.

Owns the order and the reasons. How hard a question is comes as a number, how a writer is called as a
function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cape.answers.routing.budget import Budget, OverBudget
from cape.answers.routing.writers import WriterRow
from cape.errors import CapeError, SourceError, StateError


class NoWriter(StateError):
    """No writer of the table may or can answer the question."""

    slug = "no-writer"


@dataclass(frozen=True, kw_only=True, slots=True)
class RoutingPolicy:
    """What is asked of a route.

    Questions from `strong_from` of difficulty go to the strongest writer, the others to the cheapest.
    `data` is the class of the question's and the evidence's data; `local_only` keeps everything on this
    machine.
    """

    strong_from: float
    data: str | None = None
    local_only: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """A question as a writer would get it: its difficulty, the tokens sent, and the most that come back."""

    difficulty: float
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """The writers to try in order, and why each other one is left out."""

    writers: tuple[WriterRow, ...]
    left_out: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """What a writer gave, what it cost, and what those before it failed with."""

    writer: WriterRow
    text: str
    cost: float
    failures: tuple[tuple[str, str], ...]


def route(writers: Sequence[WriterRow], ask: Ask, policy: RoutingPolicy) -> Route:
    """The writers for a question, the one to try first at the front.

    An easy question goes to the cheapest and then to ever stronger ones; a hard one to the strongest and
    then to ever weaker ones. Ties go by name. Raises `NoWriter` where policy or windows leave none.
    """
    reasons = [(writer, _why_not(writer, ask, policy)) for writer in writers]
    allowed = [writer for writer, why in reasons if why is None]
    left_out = tuple((writer.name, why) for writer, why in reasons if why is not None)
    if not allowed:
        told = "; ".join(f"`{name}` {why}" for name, why in left_out) or "the table of writers is empty"
        raise NoWriter(f"no writer may answer this question: {told}")

    def cost(writer: WriterRow) -> float:
        return writer.most(ask.input_tokens, ask.output_tokens)

    if ask.difficulty >= policy.strong_from:
        ordered = sorted(allowed, key=lambda one: (-one.strength, cost(one), one.name))
    else:
        ordered = sorted(allowed, key=lambda one: (cost(one), -one.strength, one.name))
    return Route(writers=tuple(ordered), left_out=left_out)


def _why_not(writer: WriterRow, ask: Ask, policy: RoutingPolicy) -> str | None:
    if policy.local_only and not writer.local:
        return "is not on this machine"
    if not writer.may_see(policy.data):
        return f"may not see `{policy.data}`"
    if ask.input_tokens + ask.output_tokens > writer.window:
        return f"reads {writer.window} tokens, and the question wants {ask.input_tokens + ask.output_tokens}"
    return None


Call = Callable[[WriterRow], tuple[str, int, int]]
"""Calls a writer: its text, and the tokens that were sent and came back. Raises `CapeError` where it "
"fails."""


def write(chosen: Route, ask: Ask, budget: Budget, call: Call) -> Written:
    """Ask the writers of a route until one answers. What each may cost is reserved before it is asked.

    One that does not fit into the budget is passed over; one that fails counts as if it had cost all that
    was held.

    Raises:
        OverBudget: no writer of the route fits into what is left.
        SourceError: all that fit failed; the last failure is its cause.
    """
    failures: list[tuple[str, str]] = []
    last: CapeError | None = None
    asked = False
    for writer in chosen.writers:
        try:
            with budget.reserve(writer.most(ask.input_tokens, ask.output_tokens)) as held:
                asked = True
                text, sent, came = call(writer)
                cost = writer.most(min(sent, ask.input_tokens), min(came, ask.output_tokens))
                held.cost(cost)
            return Written(writer=writer, text=text, cost=cost, failures=tuple(failures))
        except CapeError as error:
            failures.append((writer.name, str(error)))
            last = error
    if not asked and isinstance(last, OverBudget):
        raise last
    told = "; ".join(f"`{name}`: {why}" for name, why in failures)
    raise SourceError(f"no writer answered: {told}") from last
