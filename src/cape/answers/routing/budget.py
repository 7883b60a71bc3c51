"""A budget that is never overrun: what a call may cost at most is reserved before it is made.

Owns the account. May be used from several threads.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from cape.errors import StateError


class OverBudget(StateError):
    """No writer that may answer fits into what is left of the budget."""

    slug = "over-budget"


class Reservation:
    """What is held of a budget for a call; `cost` settles it, and without that all of it is spent."""

    def __init__(self, most: float) -> None:
        self.most = most
        self.spent: float | None = None
        self.sent = self.came = 0

    def cost(self, amount: float, *, sent: int = 0, came: int = 0) -> None:
        """Say what the call did cost, and the tokens that were sent and came back.

        More than was reserved is a bug of whoever reserved: it raises.
        """
        if not 0.0 <= amount <= self.most * (1 + 1e-9) + 1e-12:
            raise ValueError(f"the call cost {amount}, and {self.most} was reserved")
        self.spent, self.sent, self.came = amount, sent, came

    @property
    def final(self) -> float:
        """What counts as spent: what it did cost, or all that was held."""
        return self.most if self.spent is None else self.spent


class Account(Protocol):
    """What calls are paid from."""

    def reserve(self, most: float, *, writer: str = "") -> AbstractContextManager[Reservation]:
        """Hold `most` during a call to a writer; what is not settled counts as spent. Raises `OverBudget`."""
        ...


class Budget:
    """An account of one process: an amount that calls draw from. `spent + reserved` never exceeds `limit`."""

    def __init__(self, limit: float) -> None:
        if not limit >= 0.0:
            raise ValueError(f"{limit} is no budget")
        self.limit = limit
        self._spent = 0.0
        self._reserved = 0.0
        self._lock = threading.Lock()

    @property
    def spent(self) -> float:
        """What calls did cost."""
        return self._spent

    @property
    def left(self) -> float:
        """What can still be reserved."""
        with self._lock:
            return max(0.0, self.limit - self._spent - self._reserved)

    @contextmanager
    def reserve(self, most: float, *, writer: str = "") -> Iterator[Reservation]:
        """Hold `most` during a call; what it did not cost is given back. Raises `OverBudget`.

        A call that fails without saying its cost counts as having cost everything that was held: a provider
        may charge for what it did not deliver.
        """
        with self._lock:
            left = self.limit - self._spent - self._reserved
            if most > left:
                raise OverBudget(
                    f"the call may cost {most:.6g}, and {left:.6g} of {self.limit:.6g} is left",
                    hint="raise the budget, or ask a cheaper writer",
                )
            self._reserved += most
        held = Reservation(most)
        try:
            yield held
        finally:
            with self._lock:
                self._reserved -= most
                self._spent += held.final
