"""Ports of services: free ones that stay the same, and who has one that is taken.

Part of the supervisor's process: imports are light.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket


class Ports:
    """The ports that were given out, kept in a file so that a restart gives the same ones."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._known: dict[str, dict[str, int]] = {}
        # Whatever is wrong with the file, other ports will do.
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError), open(file, "rb") as stream:
            self._known = {
                service: {name: int(number) for name, number in ports.items()}
                for service, ports in json.load(stream).items()
            }

    def given(self, service: str, wanted: dict[str, int]) -> dict[str, int]:
        """Numbers for the ports that a service wants; 0 asks for any free one. Raises `OSError`."""
        before = self._known.get(service, {})
        ports = {name: number or self._free(service, before.get(name)) for name, number in wanted.items()}
        if ports != before:
            self._known[service] = ports
            self._save()
        return ports

    def _free(self, service: str, before: int | None) -> int:
        taken = {
            number for other, ports in self._known.items() if other != service for number in ports.values()
        }
        if before and before not in taken and is_free(before):
            return before
        while True:
            number = _any_free()
            if number not in taken:
                return number

    def _save(self) -> None:
        temporary = f"{self._file}.{os.getpid()}.tmp"
        with open(temporary, "w", encoding="utf-8") as stream:
            json.dump(self._known, stream, sort_keys=True)
        os.replace(temporary, self._file)


def _any_free() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def is_free(number: int) -> bool:
    """Whether nobody listens at a port of this machine."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("", number))
        except OSError as error:
            # A port below 1024 may be free and still not for this user: then the service says so itself.
            return isinstance(error, PermissionError)
    return True


def holder(number: int) -> str | None:
    """Who listens at a port, as `NAME (pid N)`; None where that cannot be seen."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError), open(table, encoding="utf-8") as stream:
            for row in stream.readlines()[1:]:
                fields = row.split()
                if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == number:
                    inodes.add(f"socket:[{fields[9]}]")
    for pid in (name for name in os.listdir("/proc") if name.isdigit()):
        with contextlib.suppress(OSError):
            for descriptor in os.listdir(f"/proc/{pid}/fd"):
                if os.readlink(f"/proc/{pid}/fd/{descriptor}") in inodes:
                    with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as stream:
                        return f"{stream.read().strip()} (pid {pid})"
    return None
