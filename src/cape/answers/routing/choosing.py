"""Which writers are asked for a question, in which order, within policy and budget; and the asking, with
fallback.

Owns the order and the reasons. How hard a question is comes as a number, how a writer is called as a
function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from cape.answers.routing.budget import Account, OverBudget, Reservation
from cape.answers.routing.writers import WriterRow
from cape.errors import CapeError, SourceError, StateError

Value = TypeVar("Value")


class NoWriter(StateError):
    """No writer of the table may or can answer the question."""

    slug = "no-writer"


@dataclass(frozen=True, kw_only=True, slots=True)
class RoutingPolicy:
    """What is asked of a route.

    Questions from `strong_from` of difficulty go to the strongest writer, the others to the cheapest.
    `data` is the class of the question's and the evidence's data; `local_only` keeps everything on this
    machine; with `priced_only` nobody is asked whose price is not known.
    """

    strong_from: float
    data: str | None = None
    local_only: bool = False
    priced_only: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """A question as a writer would get it: its difficulty, about the tokens sent, the most that come back.

    `most_input` is what the tokens sent cannot exceed, whoever counts them; None: they are exact.
    """

    difficulty: float
    input_tokens: int
    output_tokens: int
    most_input: int | None = None

    @property
    def bound(self) -> int:
        """What the tokens sent cannot exceed."""
        return self.input_tokens if self.most_input is None else self.most_input


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """The writers to try in order, and why each other one is left out."""

    writers: tuple[WriterRow, ...]
    left_out: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Called(Generic[Value]):
    """What a call gave: its value, the tokens that were sent and came back, and why it is of no use."""

    value: Value
    sent: int
    came: int
    problem: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Routed(Generic[Value]):
    """What a writer gave, what all calls cost, and what those before it failed with.

    `problem` is why it is of no use: the last writer's, where none had a better one.
    """

    writer: WriterRow
    value: Value
    cost: float
    failures: tuple[tuple[str, str], ...]
    problem: str = ""


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
    wanted = ask.input_tokens + ask.output_tokens
    if policy.local_only and not writer.local:
        return "is not on this machine"
    if not writer.may_see(policy.data):
        return f"may not see `{policy.data}`"
    if policy.priced_only and not writer.priced:
        return "has no price, and there is a budget"
    if wanted > writer.window:
        return f"reads {writer.window} tokens, and the question wants {wanted}"
    if writer.tokens_per_second is not None and writer.patience_s is not None:
        seconds = ask.output_tokens / max(writer.tokens_per_second, 1e-9)
        if seconds > writer.patience_s:
            return f"may write for {seconds:.0f} s, and is waited for {writer.patience_s:g} s"
    return None


Call = Callable[[WriterRow], Called[Value]]
"""Calls a writer. Raises `CapeError` where it fails; one whose `charged` is False has cost nothing."""


def write(chosen: Route, ask: Ask, account: Account, call: Call[Value]) -> Routed[Value]:
    """Ask the writers of a route until one gives something of use. What each may cost is reserved before it
    is asked.

    One that does not fit into the budget is passed over; one that fails counts as if it had cost all that
    was held, unless it says that it was not charged. Where all that answered are of no use, the last of them
    is given, with its problem.

    Raises:
        OverBudget: no writer of the route fits into what is left.
        SourceError: all that fit failed; the last failure is its cause.
    """
    failures: list[tuple[str, str]] = []
    last: CapeError | None = None
    useless: tuple[WriterRow, Called[Value]] | None = None
    asked, spent = False, 0.0
    for writer in chosen.writers:
        held: Reservation | None = None
        try:
            with account.reserve(writer.most(ask.bound, ask.output_tokens), writer=writer.name) as held:
                called = _called(call, writer, ask, held)
        except CapeError as error:
            failures.append((writer.name, error.fact))
            last = error
            continue
        finally:
            if held is not None:
                asked = True
                spent += held.final
        if not called.problem:
            return Routed(writer=writer, value=called.value, cost=spent, failures=tuple(failures))
        failures.append((writer.name, called.problem))
        useless = writer, called
    if useless is not None:
        row, called = useless
        return Routed(
            writer=row, value=called.value, cost=spent, failures=tuple(failures), problem=called.problem
        )
    if not asked and isinstance(last, OverBudget):
        raise last
    told = "; ".join(f"`{name}`: {why}" for name, why in failures)
    raise SourceError(f"no writer answered: {told}") from last


def _called(call: Call[Value], writer: WriterRow, ask: Ask, held: Reservation) -> Called[Value]:
    """Call, and settle what it did cost: all that was held where the writer does not count its tokens."""
    try:
        called = call(writer)
    except CapeError as error:
        if not getattr(error, "charged", True):
            held.cost(0.0)
        raise
    sent = min(called.sent or ask.bound, ask.bound)
    came = min(called.came or ask.output_tokens, ask.output_tokens)
    held.cost(writer.most(sent, came), sent=called.sent, came=called.came)
    return called
