"""What writers have cost a project, and its budget: reserved before a call, settled after it.

Owns that file. Calls of all processes draw from it: a reservation is read, judged and written down under one
lock, and is on the disk before the call is made. One that is never settled, as the process was killed or the
power failed, counts as having cost all that was held. Amounts are whole millionths of the currency, rounded
up. Days and months are UTC's. Nothing of a question is in it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cape.answers.routing.budget import OverBudget, Reservation
from cape.errors import StateError
from cape.names import write_atomically
from cape.operations.project import Project

if TYPE_CHECKING:
    from cape.manifest import Manifest

_log = logging.getLogger(__name__)

LONG_BYTES = 256_000
"""Size from which days that are over are put together: one line for each writer and day."""

_MILLION = 1_000_000
_PERIODS = ("run", "day", "month")


class BudgetUnwritable(StateError):
    """What a call may cost cannot be written down, so it is not made."""

    slug = "budget-unwritable"


@dataclass(frozen=True, kw_only=True, slots=True)
class SpentDay:
    """What a writer cost on one day (`2026-03-14`): calls, those that failed, tokens, and money.

    `open_calls` are reserved and not settled, as they run or were killed: `cost` has all that is held for
    them.
    """

    day: str
    writer: str
    calls: int = 0
    failed: int = 0
    open_calls: int = 0
    sent: int = 0
    came: int = 0
    cost: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowance:
    """A limit of the budget in one period: `2026-03-14`, `2026-03`."""

    period: str
    limit: float
    spent: float

    @property
    def is_day(self) -> bool:
        """Whether it is a day's limit; a month's otherwise."""
        return self.period.count("-") == 2

    @property
    def left(self) -> float:
        return max(0.0, self.limit - self.spent)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Call:
    day: str
    writer: str
    most: int
    cost: int | None = None
    sent: int = 0
    came: int = 0
    failed: bool = False

    @property
    def counted(self) -> int:
        return self.most if self.cost is None else self.cost


@dataclass(frozen=True, kw_only=True, slots=True)
class _Book:
    """The file's content: calls by id, and days that were put together."""

    calls: Mapping[str, _Call]
    days: tuple[Mapping[str, Any], ...]

    def spent(self, period: str) -> int:
        """Millionths that count in a day or a month."""
        calls = sum(one.counted for one in self.calls.values() if one.day.startswith(period))
        return calls + sum(int(one["cost"]) for one in self.days if one["day"].startswith(period))


def spending_file(project: Project) -> Path:
    """Where calls are written down."""
    return project.state / "knowledge" / "spending.jsonl"


class Ledger:
    """The account of one run of cape, over the file that all runs of a project share.

    `limits` may have `run`, `day` and `month`. Without any, a file that cannot be written stops no call.
    """

    def __init__(
        self, file: Path, limits: Mapping[str, float], *, clock: Callable[[], float] = time.time
    ) -> None:
        self._file = file
        self._limits = {name: int(limits[name] * _MILLION + 1e-6) for name in _PERIODS if name in limits}
        self._clock = clock
        self._run = 0
        self._guard = threading.Lock()

    @contextlib.contextmanager
    def reserve(self, most: float, *, writer: str = "") -> Iterator[Reservation]:
        """Hold `most` during a call, on the disk; what it did not cost is given back.

        Raises `OverBudget`, and `BudgetUnwritable` where there is a budget and the file cannot be written.
        """
        held = Reservation(most)
        millionths = _up(most)
        id = self._hold(millionths, writer)
        failed = True
        try:
            yield held
            failed = False
        finally:
            self._settle(id, millionths, held, failed=failed)

    def _hold(self, most: int, writer: str) -> str:
        id, now = secrets.token_hex(8), _day(self._clock())
        try:
            with self._guard, _held(self._file):
                book = _read(self._file)
                self._check(book, now, most)
                if self._file.exists() and self._file.stat().st_size > LONG_BYTES:
                    _put_together(self._file, book, now)
                _append(self._file, {"held": id, "day": now, "writer": writer, "most": most})
                self._run += most
        except OSError as error:
            if self._limits and most:
                raise BudgetUnwritable(
                    "what the writer may cost cannot be written down",
                    where=str(self._file),
                    hint="a budget holds only where it can be kept",
                ) from error
            _log.info("a call is not written down: %s", error)
            with self._guard:
                self._run += most
        return id

    def _check(self, book: _Book, now: str, most: int) -> None:
        spent = {"run": self._run, "day": book.spent(now), "month": book.spent(now[:7])}
        for name, limit in self._limits.items():
            if spent[name] + most > limit:
                left = max(0, limit - spent[name]) / _MILLION
                raise OverBudget(
                    f"the call may cost {most / _MILLION:.6g}, and {left:.6g} of the {name}'s "
                    f"{limit / _MILLION:.6g} is left",
                    hint=f"raise `{name}` of `[budget]`, or ask a cheaper writer",
                )

    def _settle(self, id: str, most: int, held: Reservation, *, failed: bool) -> None:
        cost = most if held.spent is None else min(most, _up(held.spent))
        row = {"settled": id, "cost": cost, "sent": held.sent, "came": held.came, "failed": failed}
        with self._guard:
            self._run += cost - most
        try:
            with _held(self._file):
                _append(self._file, row)
        except OSError as error:
            _log.info("a call is not settled, and counts in full: %s", error)


def ledger_of(project: Project, manifest: Manifest) -> Ledger:
    """The account of this run, within the manifest's budget."""
    return Ledger(spending_file(project), _limits(manifest))


def _limits(manifest: Manifest) -> dict[str, float]:
    return {name: float(value) for name, value in manifest.budget.items()}  # type: ignore[arg-type]


def has_budget(manifest: Manifest) -> bool:
    """Whether the manifest limits what writers cost."""
    return bool(manifest.budget)


def spent_days(project: Project) -> tuple[SpentDay, ...]:
    """What each writer cost on each day, oldest first."""
    book = _readable(spending_file(project))
    found: dict[tuple[str, str], SpentDay] = {}
    for row in book.days:
        day = SpentDay(
            day=row["day"], writer=row["writer"], calls=row["calls"], failed=row["failed"],
            sent=row["sent"], came=row["came"], cost=row["cost"] / _MILLION,
        )  # fmt: skip
        found[day.day, day.writer] = _added(found.get((day.day, day.writer)), day)
    for call in book.calls.values():
        one = SpentDay(
            day=call.day, writer=call.writer, calls=1, failed=int(call.failed),
            open_calls=int(call.cost is None), sent=call.sent, came=call.came,
            cost=call.counted / _MILLION,
        )  # fmt: skip
        found[one.day, one.writer] = _added(found.get((one.day, one.writer)), one)
    return tuple(found[key] for key in sorted(found))


def spent_months(days: Iterable[SpentDay]) -> tuple[SpentDay, ...]:
    """The same by month: `day` is then `2026-03`."""
    found: dict[tuple[str, str], SpentDay] = {}
    for one in days:
        month = replace(one, day=one.day[:7])
        found[month.day, one.writer] = _added(found.get((month.day, one.writer)), month)
    return tuple(found[key] for key in sorted(found))


def _added(one: SpentDay | None, other: SpentDay) -> SpentDay:
    if one is None:
        return other
    return replace(
        one,
        calls=one.calls + other.calls,
        failed=one.failed + other.failed,
        open_calls=one.open_calls + other.open_calls,
        sent=one.sent + other.sent,
        came=one.came + other.came,
        cost=one.cost + other.cost,
    )


def allowances(
    project: Project, manifest: Manifest, clock: Callable[[], float] = time.time
) -> tuple[Allowance, ...]:
    """What is spent of the day's and the month's limits now; empty without any."""
    limits, book, now = _limits(manifest), _readable(spending_file(project)), _day(clock())
    periods = {"day": now, "month": now[:7]}
    return tuple(
        Allowance(period=periods[name], limit=limits[name], spent=book.spent(periods[name]) / _MILLION)
        for name in ("day", "month")
        if name in limits
    )


# -- the file -------------------------------------------------------------------------------------------


def _up(amount: float) -> int:
    """Whole millionths, rounded up; what floats add below a thousandth of one does not count."""
    return ceil(amount * _MILLION - 1e-3)


def _day(time_s: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(time_s))


@contextlib.contextmanager
def _held(file: Path) -> Iterator[None]:
    """The file's lock: other runs wait."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file.with_name("spending.held"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _readable(file: Path) -> _Book:
    """What the file says, or nothing where it cannot be read: for those who only show it."""
    try:
        return _read(file)
    except OSError as error:
        _log.info("what writers cost cannot be read: %s", error)
        return _Book(calls={}, days=())


def _read(file: Path) -> _Book:
    """What the file says. A line that is none was broken off before its call was made, and counts nothing."""
    calls: dict[str, _Call] = {}
    days: list[Mapping[str, Any]] = []
    try:
        lines = file.read_bytes().splitlines()
    except FileNotFoundError:
        lines = []
    for line in lines:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            _take(json.loads(line), calls, days)
    return _Book(calls=calls, days=tuple(days))


def _take(row: Mapping[str, Any], calls: dict[str, _Call], days: list[Mapping[str, Any]]) -> None:
    if "held" in row:
        calls[row["held"]] = _Call(day=str(row["day"]), writer=str(row["writer"]), most=int(row["most"]))
    elif "settled" in row:
        call = calls[row["settled"]]
        calls[row["settled"]] = replace(
            call, cost=int(row["cost"]), sent=int(row["sent"]), came=int(row["came"]),
            failed=bool(row["failed"]),
        )  # fmt: skip
    else:
        numbers = {name: int(row[name]) for name in ("calls", "failed", "cost", "sent", "came")}
        days.append({"day": str(row["day"]), "writer": str(row["writer"]), **numbers})


def _append(file: Path, row: Mapping[str, Any]) -> None:
    """Write one line whole, onto the disk; what a killed process left half written is ended first."""
    descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        broken = bool(size) and os.pread(descriptor, 1, size - 1) != b"\n"
        os.write(descriptor, b"\n" * broken + _line(row).encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n"


def _put_together(file: Path, book: _Book, now: str) -> None:
    """One line for each writer and day that is over; today's calls stay as they are."""
    over = [one for one in book.calls.values() if one.day < now]
    if not over:
        return
    totals: dict[tuple[str, str], dict[str, int]] = {}
    for row in (*book.days, *map(_as_day, over)):
        total = totals.setdefault((row["day"], row["writer"]), {})
        for name in ("calls", "failed", "cost", "sent", "came"):
            total[name] = total.get(name, 0) + row[name]
    days = [{"day": day, "writer": writer, **total} for (day, writer), total in sorted(totals.items())]
    today = [(id, one) for id, one in book.calls.items() if one.day >= now]
    write_atomically(file, "".join(map(_line, (*days, *_rows(today)))).encode(), mode=0o600)


def _as_day(call: _Call) -> Mapping[str, Any]:
    failed = int(call.failed or call.cost is None)
    return {
        "day": call.day, "writer": call.writer, "calls": 1, "failed": failed,
        "cost": call.counted, "sent": call.sent, "came": call.came,
    }  # fmt: skip


def _rows(calls: Iterable[tuple[str, _Call]]) -> Iterator[Mapping[str, Any]]:
    for id, call in calls:
        yield {"held": id, "day": call.day, "writer": call.writer, "most": call.most}
        if call.cost is not None:
            yield {
                "settled": id, "cost": call.cost, "sent": call.sent, "came": call.came, "failed": call.failed
            }  # fmt: skip
