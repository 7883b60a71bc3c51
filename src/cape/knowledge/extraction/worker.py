"""The worker process: reads one document after another, for the process that started it.

Its first line of input is the limits, each further line a document, as JSON. Each answer is its length (8
bytes, big-endian) and a document as JSON; the first one is empty: the process has begun. It ends when its
input does. Only `isolation` starts it.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import BinaryIO

from cape.knowledge.documents import UnreadDocument
from cape.knowledge.extraction.document import OUT_OF_MEMORY, extract
from cape.knowledge.extraction.limits import Limits
from cape.knowledge.extraction.wire import to_bytes

EXIT_OUT_OF_MEMORY = 77
READY = bytes(8)
"""The first answer, an empty one: the process has begun."""

WALL_FACTOR = 4
"""A document may take this many times its seconds of processor time, by the clock."""


def main() -> None:
    """Serve until the input ends."""
    answers = _private_output()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    limits = Limits(**json.loads(sys.stdin.buffer.readline()))
    _bound_memory(limits)
    answers.write(READY)
    answers.flush()
    for line in sys.stdin.buffer:
        path, file = json.loads(line)
        answer = _answer(path, Path(file), limits)
        answers.write(len(answer).to_bytes(8, "big") + answer)
        answers.flush()


def _private_output() -> BinaryIO:
    """The pipe for answers; what a parser prints goes nowhere."""
    answers = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    return answers


def _bound_memory(limits: Limits) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = _address_space() + limits.memory_bytes
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_AS, (allowed, hard))


def _address_space() -> int:
    """What this process has mapped already; a locale archive alone may be hundreds of megabytes."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError):
        return 0
    return pages * resource.getpagesize()


def _answer(path: str, file: Path, limits: Limits) -> bytes:
    """Read one document within its time; the kernel ends this process when it takes longer.

    Processor time counts, so that a busy machine does not decide what is read. The alarm is for a parser
    that sleeps, and for a process that nobody waits for any more.
    """
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    allowed = int(used.ru_utime + used.ru_stime + limits.seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (allowed if hard == -1 else min(allowed, hard), hard))
    signal.alarm(int(limits.seconds * WALL_FACTOR) + 10)
    try:
        document = extract(path, file, limits)
        if isinstance(document, UnreadDocument) and document.reason == OUT_OF_MEMORY:
            os._exit(EXIT_OUT_OF_MEMORY)
        return to_bytes(document)
    except MemoryError:
        os._exit(EXIT_OUT_OF_MEMORY)
    finally:
        signal.alarm(0)


if __name__ == "__main__":
    main()
