"""Rules of `[services]` that join keys or look into values.

Owns what the table of keys cannot say of a service: which ways of readiness there are, ports, signals,
rings of dependencies. How a service runs is not known here.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Mapping
from typing import Any

from cape.manifest.naming import VARIABLE_NAME
from cape.names import System

Fault = tuple[tuple[str | int, ...], str, str | None]

RESTARTS = ("on-failure", "always", "never")
WAYS = ("command", "port", "http", "log")
ADDRESS = re.compile(r"http://(localhost|127\.0\.0\.1|\[::1\]):(\d{1,5})(/\S*)?\Z")
_PORT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*\Z")


def faults_of_services(services: Mapping[str, Mapping[str, Any]]) -> Iterator[Fault]:
    """What is wrong with the services, each with its place below `services`, a fact and a hint."""
    for name, service in services.items():
        for path, fact, hint in _faults_of(name, service):
            yield (name, *path), fact, hint
    ring = ring_of({name: tuple(one.get("depends-on", ())) for name, one in services.items()})
    if len(ring) > 1:
        shown = " -> ".join(f"`{name}`" for name in (*ring, ring[0]))
        yield (ring[0], "depends-on"), f"services depend on each other in a ring: {shown}", "break it at one"


def ring_of(needs: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Names that need each other in a ring, in this order; empty where there is no ring.

    >>> ring_of({"a": ("b",), "b": ("c",), "c": ("b",)})
    ('b', 'c')
    """
    done: set[str] = set()
    for first in needs:
        trail = [first]
        while trail:
            name = trail[-1]
            waiting = next((other for other in needs[name] if other in needs and other not in done), None)
            if waiting is None:
                done.add(trail.pop())
            elif waiting in trail:
                return tuple(trail[trail.index(waiting) :])
            else:
                trail.append(waiting)
    return ()


def _faults_of(name: str, service: Mapping[str, Any]) -> Iterator[Fault]:
    yield from _ready(name, service)
    yield from _ports(name, service.get("ports", {}))
    if service.get("restart", RESTARTS[0]) not in RESTARTS:
        fact = f"`{service['restart']}` does not say when service `{name}` is started again"
        yield ("restart",), fact, "one of `on-failure`, `always`, `never`"
    if service.get("restart-limit", 0) < 0:
        yield ("restart-limit",), "a number of restarts is not negative", None
    yield from _stop(name, service.get("stop", {}))
    for variable, value in service.get("vars", {}).items():
        if not VARIABLE_NAME.match(variable):
            hint = "a name has letters, digits and `_`, no digit first"
            yield ("vars", variable), f"`{variable}` is no name of a variable", hint
        elif "\0" in value:
            yield ("vars", variable), f"`{variable}` holds a NUL character", "no variable can hold one"
    for index, system in enumerate(service.get("systems", ())):
        if system not in tuple(System):
            known = ", ".join(f"`{one}`" for one in System)
            yield ("systems", index), f"unknown system `{system}`", f"cape knows {known}"


def _ready(name: str, service: Mapping[str, Any]) -> Iterator[Fault]:
    ready = service.get("ready")
    if ready is None:
        return
    ports = service.get("ports", {})
    ways = [way for way in WAYS if way in ready]
    if not ways:
        listed = ", ".join(f"`{way}`" for way in WAYS)
        yield ("ready",), f"`ready` of service `{name}` does not say how", f"one of {listed}"
    elif len(ways) > 1 and ways != ["port", "http"]:
        fact = f"service `{name}` is ready in one way, and here are `{ways[0]}` and `{ways[1]}`"
        yield ("ready", ways[1]), fact, "keep one of the two"
    yield from _ready_port(name, ready.get("port"), ports)
    http = ready.get("http")
    if http is not None and not http.startswith("/") and not ADDRESS.match(http):
        hint = 'a path (`"/health"`), or an address on this machine (`"http://127.0.0.1:8000/health"`)'
        yield ("ready", "http"), f"`{http}` cannot be asked", hint
    elif http is not None and http.startswith("/") and not ports and "port" not in ready:
        fact = f"service `{name}` has no port to ask `{http}` at"
        yield ("ready", "http"), fact, "add `ports = { http = 0 }`"
    if "log" in ready:
        try:
            re.compile(ready["log"])
        except re.error as error:
            yield ("ready", "log"), f"`{ready['log']}` is no regular expression: {error}", None
    for key in ("timeout", "interval"):
        if key in ready and not 0 < ready[key] <= 86400:
            yield ("ready", key), f"`{key}` is a number of seconds, above 0 and up to a day", None


def _ready_port(name: str, port: int | str | None, ports: Mapping[str, int]) -> Iterator[Fault]:
    if isinstance(port, str) and port not in ports:
        listed = ", ".join(f"`{one}`" for one in ports) or "none"
        yield ("ready", "port"), f"service `{name}` has no port `{port}`", f"its `ports` are {listed}"
    elif isinstance(port, int) and not 0 < port < 65536:
        yield ("ready", "port"), f"{port} is no port", "a number from 1 to 65535"


def _ports(name: str, ports: Mapping[str, int]) -> Iterator[Fault]:
    for port, number in ports.items():
        if not _PORT_NAME.match(port):
            hint = "a name has letters, digits, `-` and `_`, a letter first"
            yield ("ports", port), f"`{port}` is no name of a port of service `{name}`", hint
        if not 0 <= number < 65536:
            yield ("ports", port), f"{number} is no port", "a number up to 65535; 0 is any free one"


def _stop(name: str, stop: Mapping[str, Any]) -> Iterator[Fault]:
    if "signal" in stop and signal_number(stop["signal"]) is None:
        fact = f"service `{name}` is stopped with `{stop['signal']}`, which is no signal"
        yield ("stop", "signal"), fact, "for example `TERM`, `INT` or `QUIT`"
    if "signal" in stop and "command" in stop:
        yield (
            ("stop", "command"),
            f"service `{name}` is stopped by a signal or a command",
            "keep one of the two",
        )
    if not 0 <= stop.get("grace", 0) <= 86400:
        yield ("stop", "grace"), "`grace` is a number of seconds, up to a day", None


def signal_number(name: str) -> int | None:
    """The number of a signal, written `TERM` or `SIGTERM`; None for none.

    >>> signal_number("SIGINT"), signal_number("int"), signal_number("NO")
    (2, 2, None)
    """
    found = getattr(signal.Signals, f"SIG{name.upper().removeprefix('SIG')}", None)
    return int(found) if isinstance(found, signal.Signals) else None
