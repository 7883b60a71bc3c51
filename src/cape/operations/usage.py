"""What answers have cost: one line per answer in the project's state, and the totals of them.

Owns that file: a line is appended whole under a lock, a full file becomes the previous one, and the one
before it goes. No question's text is kept unless the user's settings ask for it, and never an asker's name.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cape.operations.project import Project

if TYPE_CHECKING:
    from cape.configuration import Configuration
    from cape.operations.asking import AskResult

_log = logging.getLogger(__name__)

FULL_BYTES = 4_000_000
"""Size at which a file of records is full: some 20,000 answers. Two files are kept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageRecord:
    """One answer: when (seconds since 1970), from which base, found or not, and what it took."""

    time_s: int
    base: str
    found: bool
    tokens_to_writer: int
    tokens_whole_documents: int
    ms: float


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageTotal:
    """The answers of one base in one period (`2026-03`, `2026-03-14`).

    `saved_tokens` is what whole documents would have cost more. `saved_money` is None without a price.
    """

    base: str
    period: str
    answers: int
    found: int
    tokens_to_writer: int
    tokens_whole_documents: int
    mean_ms: float
    saved_money: float | None

    @property
    def saved_tokens(self) -> int:
        return self.tokens_whole_documents - self.tokens_to_writer


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """All totals, by base and period, oldest first. `price` is of a million tokens; `unreadable` counts lines
    that are no records."""

    totals: tuple[UsageTotal, ...]
    price: float | None
    unreadable: int


def usage_file(project: Project) -> Path:
    """Where answers are recorded."""
    return project.state / "knowledge" / "answers.jsonl"


def _previous(file: Path) -> Path:
    return file.with_name("answers.previous.jsonl")


def record(
    project: Project, result: AskResult, configuration: Configuration, parts: Mapping[str, str] | None = None
) -> str | None:
    """Append an answer's record, and give its id; `parts` are what the answer was made with.

    None, and a line in the log, where the file cannot be written.
    """
    fields: dict[str, object] = {
        "time_s": int(time.time()),
        "base": result.base,
        "question": str(result.question_digest),
        "found": result.answer.is_found,
        "tokens_to_writer": result.tokens_to_writer,
        "tokens_whole_documents": result.tokens_whole_documents,
        "ms": round(sum(result.took_ms.values()), 1),
    }
    if parts is not None:
        from cape.operations.replaying import record_fields

        fields |= record_fields(result, parts)
    if configuration.one("usage.questions") == "text":
        fields["text"] = result.answer.question
    id = secrets.token_hex(6)
    fields["id"] = id
    line = json.dumps(fields, ensure_ascii=False, separators=(",", ":")) + "\n"
    try:
        _append(usage_file(project), line.encode("utf-8", "replace"))
    except OSError as error:
        _log.info("the answer is not recorded: %s", error)
        return None
    return id


def find_record(project: Project, id: str) -> dict[str, Any] | None:
    """The fields of the record of that id; None where there is none any more."""
    file = usage_file(project)
    for place in (file, _previous(file)):
        with contextlib.suppress(OSError):
            for line in place.read_text(encoding="utf-8", errors="replace").splitlines():
                if f'"id":"{id}"' in line:
                    with contextlib.suppress(ValueError):
                        found = json.loads(line)
                        return found if isinstance(found, dict) else None
    return None


def _append(file: Path, line: bytes) -> None:
    """Write one line whole, and make a full file the previous one. Waits for others who do the same."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file.with_name("answers.held"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        target = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _finish_line(target)
            os.write(target, line)
            full = os.fstat(target).st_size >= FULL_BYTES
        finally:
            os.close(target)
        if full:
            os.replace(file, _previous(file))
    finally:
        os.close(descriptor)


def _finish_line(descriptor: int) -> None:
    """End a line that a killed process, or a full disk, left half written: it then spoils no other."""
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        os.write(descriptor, b"\n")


def usage_of(project: Project, configuration: Configuration, *, daily: bool = False) -> Usage:
    """The totals of a project's answers, by month, or with `daily` by day, in local time.

    Raises `BadConfiguration`.
    """
    price = configuration.number("usage.price", 0.0) if configuration.one("usage.price") else None
    file = usage_file(project)
    groups: dict[tuple[str, str], list[UsageRecord]] = {}
    unreadable = 0
    for one in _records([_previous(file), file]):
        if one is None:
            unreadable += 1
            continue
        period = time.strftime("%Y-%m-%d" if daily else "%Y-%m", time.localtime(one.time_s))
        groups.setdefault((period, one.base), []).append(one)
    totals = tuple(_total(base, period, found, price) for (period, base), found in sorted(groups.items()))
    return Usage(totals=totals, price=price, unreadable=unreadable)


def _total(base: str, period: str, records: Sequence[UsageRecord], price: float | None) -> UsageTotal:
    writer = sum(one.tokens_to_writer for one in records)
    whole = sum(one.tokens_whole_documents for one in records)
    return UsageTotal(
        base=base,
        period=period,
        answers=len(records),
        found=sum(one.found for one in records),
        tokens_to_writer=writer,
        tokens_whole_documents=whole,
        mean_ms=sum(one.ms for one in records) / len(records),
        saved_money=None if price is None else (whole - writer) * price / 1e6,
    )


def _records(files: Sequence[Path]) -> Iterator[UsageRecord | None]:
    """The records of some files, in order; None for each line that is none."""
    for file in files:
        try:
            lines = file.read_bytes().splitlines()
        except OSError:
            continue
        for line in lines:
            yield _record(line)


def _record(line: bytes) -> UsageRecord | None:
    try:
        fields = json.loads(line)
        found = UsageRecord(
            time_s=int(fields["time_s"]),
            base=str(fields["base"]),
            found=bool(fields["found"]),
            tokens_to_writer=int(fields["tokens_to_writer"]),
            tokens_whole_documents=int(fields["tokens_whole_documents"]),
            ms=float(fields["ms"]),
        )
        time.localtime(found.time_s)
    except (ValueError, KeyError, TypeError, OverflowError, OSError):
        return None
    return found
