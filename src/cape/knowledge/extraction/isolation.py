"""Runs extraction over many files; a parser that crashes, hangs or eats memory costs one document.

Owns the worker processes. Formats that only Python reads are read in this process when the file is small,
as starting a worker takes longer than that.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cape.errors import StateError
from cape.knowledge.documents import ExtractedDocument, UnreadDocument
from cape.knowledge.extraction.document import OUT_OF_MEMORY, extract
from cape.knowledge.extraction.formats import format_of
from cape.knowledge.extraction.limits import DEFAULT_LIMITS, MIB, Limits
from cape.knowledge.extraction.reading import Unreadable, read_file
from cape.knowledge.extraction.wire import BadReply, from_bytes
from cape.knowledge.extraction.worker import EXIT_OUT_OF_MEMORY, WALL_FACTOR
from cape.names import Digest

_BATCH_BYTES = 256 * 1024
_BATCH = 40
_MANY = 400
"""So many small files are worth the start of the workers."""
_LONGEST_ANSWER = 1024 * MIB
_PIECE = 1 * MIB

Document = ExtractedDocument | UnreadDocument


class WorkerNotStarted(StateError):
    """A process that reads documents could not be started."""

    slug = "worker-not-started"


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to read: its path in the project, and where it lies."""

    path: str
    file: Path


def extract_all(
    files: Iterable[SourceFile], *, workers: int = 2, limits: Limits = DEFAULT_LIMITS
) -> Iterator[Document]:
    """Read every file; results come as they are ready, one for each, in no promised order.

    What a document becomes depends on its bytes, name and limits alone, not on its neighbours. Workers end
    with the iterator; closing it early ends them at once.

    Raises:
        KnowledgeNotInstalled: a package that reads one of these formats is missing; before any result.
        WorkerNotStarted: Python, or this package in it, could not be started.
    """
    here: deque[_Task] = deque()
    apart: deque[_Task] = deque()
    for source in files:
        task = _Task(source, _size_of(source))
        (apart if _belongs_apart(task) else here).append(task)
    if len(here) > _MANY:
        apart.extend(here)
        here.clear()
    with contextlib.closing(_Pool(apart, max(1, workers), limits)) as pool:
        while here or pool.is_busy:
            pool.assign()
            if here:
                source = here.popleft().source
                yield extract(source.path, source.file, limits)
            yield from pool.answers(wait=not here)


@dataclass(frozen=True, slots=True)
class _Task:
    """A file that waits, and its size when the run began."""

    source: SourceFile
    size_bytes: int

    @property
    def weight(self) -> int:
        """How much it fills a batch. Paths weigh more: a batch of them has to fit into a pipe."""
        return self.size_bytes + 32 * (len(self.source.path) + len(os.fspath(self.source.file)))


def _size_of(source: SourceFile) -> int:
    try:
        return os.stat(source.file).st_size
    except OSError:
        return 0


def _belongs_apart(task: _Task) -> bool:
    format_ = format_of(task.source.path)
    if format_ is None:
        return False
    assert format_.extractor, "asked for now, so that a missing package is told before any work"
    return task.size_bytes > format_.here_bytes


class _Pool:
    """The workers of one run, and the files that wait for one."""

    def __init__(self, waiting: deque[_Task], most: int, limits: Limits) -> None:
        self._waiting = waiting
        self._most = most
        self._limits = limits
        self._workers: list[_Worker] = []
        self._selector = selectors.DefaultSelector()

    @property
    def is_busy(self) -> bool:
        return bool(self._waiting) or any(worker.tasks for worker in self._workers)

    def assign(self) -> None:
        """Give each idle worker a file; start workers while there are files for them."""
        for worker in list(self._workers):
            if self._waiting and not worker.tasks:
                worker.give(self._batch())
        while self._waiting and len(self._workers) < self._most:
            worker = _Worker(self._limits)
            self._workers.append(worker)
            self._selector.register(worker.output, selectors.EVENT_READ, worker)
            worker.give(self._batch())

    def _batch(self) -> list[_Task]:
        """The next file, and some more while they are small: a worker should not wait for each."""
        batch = [self._waiting.popleft()]
        total = batch[0].weight
        fair = len(self._waiting) // (2 * self._most)
        while self._waiting and len(batch) < min(_BATCH, fair):
            total += self._waiting[0].weight
            if total > _BATCH_BYTES:
                break
            batch.append(self._waiting.popleft())
        return batch

    def answers(self, *, wait: bool) -> Iterator[Document]:
        """What has come from the workers; waits for the first when asked to."""
        busy = [worker for worker in self._workers if worker.tasks]
        if not busy:
            return
        nearest = min(worker.deadline for worker in busy) - time.monotonic()
        for key, _ in self._selector.select(max(0.0, nearest) if wait else 0):
            worker: _Worker = key.data
            yield from self._hear(worker)
        for worker in [worker for worker in self._workers if worker.is_late]:
            worker.process.kill()
            yield from self._bury(worker, late=True)

    def _hear(self, worker: _Worker) -> Iterator[Document]:
        ended = not worker.read()
        while (answer := worker.answer()) is not None:
            if not worker.has_begun:
                worker.has_begun = True
                continue
            document = _understood(answer, worker)
            if document is None:
                worker.process.kill()
                ended = True
                break
            worker.tasks.popleft()
            worker.served += 1
            yield document
        if ended:
            yield from self._bury(worker, late=False)

    def _bury(self, worker: _Worker, *, late: bool) -> Iterator[Document]:
        """Remove a dead worker. The document at hand is to blame if it was the worker's first, or took
        too long; else what came before may be, and it is tried again by a fresh worker."""
        self._selector.unregister(worker.output)
        self._workers.remove(worker)
        code = worker.end()
        if not worker.has_begun:
            raise WorkerNotStarted(f"a process that reads documents ended with code {code} before it began")
        if worker.tasks and (late or not worker.served):
            file = worker.tasks.popleft().source
            reason = _reason(code, late, self._limits)
            yield UnreadDocument(path=file.path, digest=_digest_of(file.file, self._limits), reason=reason)
        self._waiting.extendleft(reversed(worker.tasks))

    def close(self) -> None:
        """End every worker, whatever it does."""
        for worker in self._workers:
            worker.process.kill()
            worker.end()
        self._workers.clear()
        self._selector.close()


def _understood(answer: bytes, worker: _Worker) -> Document | None:
    """The document in an answer; None when it is none, or not the one that was asked for."""
    try:
        document = from_bytes(answer)
    except BadReply:
        return None
    return document if worker.tasks and document.path == worker.tasks[0].source.path else None


class _Worker:
    """One worker process, and the documents that it was given, the one at hand first."""

    def __init__(self, limits: Limits) -> None:
        self.tasks: deque[_Task] = deque()
        self.has_begun = False
        self.served = 0
        self.deadline = 0.0
        self._limits = limits
        self._heard = bytearray()
        # -P: a module in the directory at hand must not stand in for one of ours.
        command = [sys.executable, "-P", "-m", "cape.knowledge.extraction.worker"]
        try:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        except OSError as error:
            raise WorkerNotStarted(f"`{sys.executable}` cannot be started: {error.strerror}") from error
        assert self.process.stdin is not None and self.process.stdout is not None
        self._input, self.output = self.process.stdin, self.process.stdout
        os.set_blocking(self.output.fileno(), False)
        self._say(json.dumps(dataclasses.asdict(limits)))

    def give(self, tasks: list[_Task]) -> None:
        self.tasks.extend(tasks)
        self._await()
        self._say("\n".join(json.dumps([task.source.path, os.fspath(task.source.file)]) for task in tasks))

    def _say(self, line: str) -> None:
        """A worker that is dead already is noticed by its output's end."""
        with contextlib.suppress(BrokenPipeError):
            self._input.write(line.encode() + b"\n")
            self._input.flush()

    def _await(self) -> None:
        self.deadline = time.monotonic() + self._limits.seconds * WALL_FACTOR

    @property
    def is_late(self) -> bool:
        return bool(self.tasks) and time.monotonic() > self.deadline

    def read(self) -> bool:
        """Take in what has come; False at the end of the output."""
        piece = os.read(self.output.fileno(), _PIECE)
        self._heard += piece
        self._await()
        return bool(piece) and len(self._heard) < _LONGEST_ANSWER

    def answer(self) -> bytes | None:
        """A whole answer; None while it is still coming."""
        size = int.from_bytes(self._heard[:8], "big")
        if len(self._heard) < 8 or len(self._heard) < 8 + size:
            return None
        answer = bytes(self._heard[8 : 8 + size])
        del self._heard[: 8 + size]
        return answer

    def end(self) -> int:
        """Wait for the process; its return code."""
        with contextlib.suppress(BrokenPipeError):
            self._input.close()
        self.output.close()
        return self.process.wait()


def _reason(code: int, late: bool, limits: Limits) -> str:
    if late or code in (-signal.SIGXCPU, -signal.SIGALRM):
        return f"could not be read within {limits.seconds:g} s"
    if code == EXIT_OUT_OF_MEMORY:
        return OUT_OF_MEMORY
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"could not be read: what reads it crashed ({signal.Signals(-code).name})"
    return f"could not be read: what reads it ended with code {code}"


def _digest_of(file: Path, limits: Limits) -> Digest | None:
    try:
        return read_file(file, limits).digest
    except Unreadable:
        return None
