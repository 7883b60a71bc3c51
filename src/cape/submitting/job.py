"""A job: what runs, how often, what it needs, and what became of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cape.submitting.errors import UnknownCluster

_RAY = re.compile(r"ray://(?P<host>[^/:\s]+|\[[0-9a-fA-F:]+\])(?::(?P<port>\d{1,5}))?/?")
_DEFAULT_PORT = 10001
KUBERNETES = "k8s"


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where a Ray cluster's client server listens."""

    host: str
    port: int = _DEFAULT_PORT

    def __str__(self) -> str:
        return f"ray://{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """The cluster that a text names. Raises `UnknownCluster`.

    >>> parse_address("ray://head")
    Address(host='head', port=10001)
    """
    match = _RAY.fullmatch(text)
    if match is None or not 0 < int(match["port"] or _DEFAULT_PORT) < 65536:
        raise UnknownCluster(
            f"`{text}` is no cluster", hint="write `ray://HOST:PORT` (Ray's client server, 10001), or `k8s`"
        )
    return Address(host=match["host"], port=int(match["port"] or _DEFAULT_PORT))


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A command that runs `tasks` times, each time with its number in `$CAPE_TASK`, from 0.

    `cpus` and `gpus` are what one of them takes; `retries` how often one is started again when its machine
    is lost; `outputs` the directory of results, below the project; `variables` go to the command.
    """

    command: tuple[str, ...]
    tasks: int = 1
    cpus: float = 1.0
    gpus: float = 0.0
    retries: int = 3
    outputs: str = "outputs"
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """One task that ended: its exit code (None: its machines were lost too often), where, and how long.

    `starts` counts all attempts; `files` are its results, below the project, sorted.
    """

    task: int
    code: int | None
    node: str
    seconds: float
    starts: int
    files: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """A whole job that ended. `code` is that of the first task whose code is not 0."""

    finished: tuple[Finished, ...]
    nodes: int

    @property
    def code(self) -> int:
        codes = [1 if one.code is None else one.code for one in self.finished]
        return next((code for code in codes if code), 0)
