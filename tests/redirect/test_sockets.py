"""Sockets with a path: a service listens in the overlay; who calls looks there first, then on the machine."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.redirect.conftest import House
from tests.redirect.rows import CALLERS

EROFS, ENOENT, EEXIST, EADDRINUSE = "errno 30", "errno 2", "errno 17", "errno 98"
KINDS = {"connect": socket.SOCK_STREAM, "sendto": socket.SOCK_DGRAM, "sendmsg": socket.SOCK_DGRAM}
PATHS = ["/run/cape/socket", "/var/run/cape/socket", "/var/lib/cape/socket", "/run/s"]


@contextmanager
def listening(place: Path, kind: socket.SocketKind) -> Iterator[socket.socket]:
    """A socket at a path of any length."""
    place.parent.mkdir(parents=True, exist_ok=True)
    directory = os.open(place.parent, os.O_PATH)
    with socket.socket(socket.AF_UNIX, kind) as server:
        server.bind(f"/proc/self/fd/{directory}/{place.name}")
        os.close(directory)
        if kind == socket.SOCK_STREAM:
            server.listen(1)
        yield server


def is_socket(path: Path) -> bool:
    return path.exists() and stat.S_ISSOCK(path.stat().st_mode)


@pytest.mark.parametrize("path", PATHS)
def test_service_listens_in_the_overlay_and_is_found_there(house: House, path: str) -> None:
    made = house.overlay / path.replace("/var/run", "/run").lstrip("/")
    assert house.call("talk", path, state=True) == "ok hello"
    assert is_socket(made)
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert house.call("talk", path, state=True) == "ok hello"  # removed, and made again
    assert house.call("bind", path, state=True) == EADDRINUSE
    assert house.call("unlink", path, state=True) == "ok"
    assert not made.exists()


@pytest.mark.parametrize("depth", range(10))
def test_overlay_may_lie_at_any_depth(house: House, depth: int) -> None:
    """The room of an address ends at 108 letters, and each length around it is met."""
    short = house.top.parent / f"p{depth}"
    for length in range(10 * depth, 10 * depth + 10):
        state = short / ("d" * (length + 1))
        state.mkdir(parents=True)
        answer = house.call("talk", "/run/socket", CAPE_STATE=str(state))
        assert answer == "ok hello"
        assert is_socket(state / "overlay/run/socket")


def test_address_may_be_full_to_its_last_letter(house: House) -> None:
    """One of 108 letters has no zero at its end."""
    name = "/run/" + "n" * 103
    assert house.call("bind", name, state=True) == "errno 36"  # no room beside the descriptor's path
    assert house.call("bind", name[:80], state=True).startswith("ok inode")
    state = Path("/tmp") if len("/tmp/overlay") < 40 else house.state
    assert house.call("connect", name, CAPE_STATE=str(state)) == ENOENT


@pytest.mark.parametrize("function", CALLERS)
def test_caller_looks_in_the_overlay_then_on_the_machine(house: House, function: str) -> None:
    path, kind = "/run/cape/socket", KINDS[function]
    assert house.call(function, path, state=True) == ENOENT
    with listening(house.overlay / "run/cape/socket", kind) as server:
        assert house.call(function, path, state=True) == "ok"
        assert house.call(function, "/var/run/cape/../cape//socket", state=True) == "ok"
        assert house.call(function, path) == ENOENT  # without the project's state it is not there
        if kind == socket.SOCK_DGRAM:
            assert server.recv(8) == b"one"
    assert house.call(function, path, state=True) == "errno 111"


@pytest.mark.skipif(not os.access("/run", os.W_OK), reason="/run belongs to root")
@pytest.mark.parametrize("function", CALLERS)
def test_sockets_of_the_machine_are_reached(house: House, function: str) -> None:
    place = Path(f"/run/cape-test-{os.getpid()}")
    try:
        with listening(place, KINDS[function]):
            assert house.call(function, place, state=True) == "ok"
            assert house.call("bind", place, state=True).startswith("ok inode")  # the project's hides it
            assert house.call(function, place, state=True) == "errno 111"
            assert house.call(function, place) == "ok"
            assert is_socket(place)
    finally:
        place.unlink()


@pytest.mark.parametrize("function", CALLERS)
def test_own_sockets_are_left_alone(house: House, function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(house.project)
    with listening(house.project / "s", KINDS[function]):
        assert house.call(function, "s") == "ok"
        assert house.call(function, "./s", state=True) == "ok"
    assert house.call("bind", "own", state=True).startswith("ok inode")


def test_no_socket_is_made_in_the_tree(house: House) -> None:
    assert house.call("bind", "/usr/share/cape/new", state=True) == EROFS
    assert house.call("bind", "/usr/share/cape/file", state=True) == EADDRINUSE
    assert house.call("bind", "new", cwd=house.in_tree("/usr/share/cape")) == EROFS
    assert house.call("bind", "/etc/cape/file", state=True) == EADDRINUSE
    assert house.call("connect", "/usr/share/cape/file") in ("errno 111", "errno 13")
    assert not house.in_tree("/usr/share/cape/new").exists()
