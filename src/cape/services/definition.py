"""What a service is: the value that a table of `[services]` says, and how it is told to the supervisor.

Owns defaults and the choice of the services that run together. The supervisor gets plain JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cape.errors import InputError, StateError
from cape.manifest.services import ADDRESS, ring_of, signal_number
from cape.names import Digest, System, nearest

READY_TIMEOUT_S, READY_INTERVAL_S = 60.0, 0.1
RESTART, RESTART_LIMIT = "on-failure", 5
STOP_SIGNAL, STOP_GRACE_S = "TERM", 10.0


class UnknownService(InputError):
    """A service that the manifest does not name, or not on this system."""

    slug = "unknown-service"


class ServiceRing(StateError):
    """Services of several manifests depend on each other in a ring."""

    slug = "service-ring"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ready:
    """How to know that a service can be used: by `command`, `log`, or `port` (with `http`, a path there).

    `port` is a number, or the name of one of the service's ports.
    """

    command: str | None = None
    log: str | None = None
    port: int | str | None = None
    host: str = "127.0.0.1"
    http: str | None = None
    timeout_s: float = READY_TIMEOUT_S
    interval_s: float = READY_INTERVAL_S

    def told(self) -> dict[str, Any]:
        ways = {"command": self.command, "log": self.log, "http": self.http, "port": self.port}
        return {
            **{way: value for way, value in ways.items() if value is not None},
            "host": self.host,
            "timeout_s": self.timeout_s,
            "interval_s": self.interval_s,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Definition:
    """One service. `ports` keeps the manifest's order; `directory` is relative to the project."""

    name: str
    command: str
    ready: Ready | None = None
    depends_on: tuple[str, ...] = ()
    ports: Mapping[str, int]
    restart: str = RESTART
    restart_limit: int = RESTART_LIMIT
    stop_signal: int
    stop_grace_s: float = STOP_GRACE_S
    stop_command: str | None = None
    daemon: bool = False
    vars: Mapping[str, str]
    directory: str = "."
    auto_start: bool = False
    persist: bool = False

    def told(self, project: Path, *, script: Path, generation: int) -> dict[str, Any]:
        """What the supervisor gets. `digest` is equal where nothing about the service itself changed."""
        told = {
            "name": self.name,
            "command": self.command,
            "ready": self.ready.told() if self.ready else None,
            "depends_on": list(self.depends_on),
            "ports": dict(self.ports),
            "restart": self.restart,
            "restart_limit": self.restart_limit,
            "stop": {
                "signal": self.stop_signal,
                "grace_s": self.stop_grace_s,
                "command": self.stop_command,
            },
            "daemon": self.daemon,
            "persist": self.persist,
            "directory": str(project / self.directory),
            "log": {},
        }
        digest = Digest.of_lines([json.dumps([told, dict(self.vars)], sort_keys=True)])
        return {**told, "digest": digest.hex, "script": str(script), "generation": generation}


def definitions_of(tables: Mapping[str, Any], system: System) -> dict[str, Definition]:
    """The services of a manifest that run on a system, by name, in its order. Raises `ServiceRing`."""
    found = {
        name: _definition(name, table)
        for name, table in tables.items()
        if str(system) in table.get("systems", (str(system),))
    }
    if ring := ring_of({name: one.depends_on for name, one in found.items()}):
        shown = " -> ".join(f"`{name}`" for name in (*ring, ring[0]))
        raise ServiceRing(f"services depend on each other in a ring: {shown}", hint="break it at one of them")
    return found


def _definition(name: str, table: Mapping[str, Any]) -> Definition:
    stop: Mapping[str, Any] = table.get("stop", {})
    number = signal_number(stop.get("signal", STOP_SIGNAL))
    assert number is not None, "a checked manifest names signals that there are"
    return Definition(
        name=name,
        command=table["command"],
        ready=_ready(table),
        depends_on=tuple(table.get("depends-on", ())),
        ports=dict(table.get("ports", {})),
        restart=table.get("restart", RESTART),
        restart_limit=table.get("restart-limit", RESTART_LIMIT),
        stop_signal=number,
        stop_grace_s=float(stop.get("grace", STOP_GRACE_S)),
        stop_command=stop.get("command"),
        daemon=table.get("daemon", False),
        vars=dict(table.get("vars", {})),
        directory=table.get("directory", "."),
        auto_start=table.get("auto-start", False),
        persist=table.get("persist", False),
    )


def _ready(table: Mapping[str, Any]) -> Ready | None:
    first = next(iter(table.get("ports", {})), None)
    said: Mapping[str, Any] | None = table.get("ready")
    if said is None:
        return None if first is None else Ready(port=first)
    host, port, path = "127.0.0.1", said.get("port"), said.get("http")
    if path is not None and (address := ADDRESS.match(path)):
        host = {"localhost": host, "[::1]": "::1"}.get(address[1], address[1])
        port, path = int(address[2]), address[3] or "/"
    elif path is not None and port is None:
        port = first
    return Ready(
        command=said.get("command"),
        log=said.get("log"),
        port=port,
        host=host,
        http=path,
        timeout_s=float(said.get("timeout", READY_TIMEOUT_S)),
        interval_s=float(said.get("interval", READY_INTERVAL_S)),
    )


def named(definitions: Mapping[str, Definition], names: Iterable[str]) -> tuple[str, ...]:
    """These names, checked; all where none is given. Raises `UnknownService`."""
    wanted = tuple(dict.fromkeys(names))
    for name in wanted:
        if name not in definitions:
            close = nearest(name, definitions)
            listed = ", ".join(f"`{one}`" for one in definitions) or "no services"
            hint = f"did you mean `{close[0]}`?" if close else f"the manifest has {listed}"
            raise UnknownService(f"there is no service `{name}` here", hint=hint)
    return wanted or tuple(definitions)


def with_needed(definitions: Mapping[str, Definition], names: Iterable[str]) -> tuple[str, ...]:
    """The names and what they depend on, each after those that it needs. Raises `UnknownService`.

    A dependency that does not run on this system is unknown.
    """
    order: dict[str, None] = {}

    def visit(name: str) -> None:
        if name not in order:
            for other in definitions[name].depends_on:
                visit(*named(definitions, (other,)))
            order[name] = None

    for name in names:
        visit(name)
    return tuple(order)
