"""Models that write: adapters for services and for files of this machine, behind `answers.writing.Writer`.

Owns the wire formats, the waits and the errors of each. Which writer is asked, with what, and what its reply
is worth must never be decided here. No service's address is known: it comes with the writer's settings.
"""

from __future__ import annotations

from cape.engines.writers.errors import (
    WriterBusy,
    WriterDown,
    WriterError,
    WriterJunk,
    WriterRefused,
    WriterUnreached,
)
from cape.engines.writers.opening import WriterSettings, open_writer

__all__ = [
    "WriterBusy",
    "WriterDown",
    "WriterError",
    "WriterJunk",
    "WriterRefused",
    "WriterSettings",
    "WriterUnreached",
    "open_writer",
]
