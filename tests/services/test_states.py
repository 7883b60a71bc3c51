"""Services on a machine that is odd: broken files of before, no namespaces, no home, no room on the disk."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import struct
import subprocess

import pytest

from tests.services.conftest import Services, wait_until

SLEEPER = (
    '[services.sleeper]\ncommand = "exec sleep 1111"\nports = { http = 0 }\nready = { command = "true" }\n'
)
FILES = ("supervisor.json", "status.json", "ports.json", "asked.json", "pid", "starting", "lock")


@pytest.mark.parametrize(
    "text", ["", "\xff\x00", "[]", "null", '{"sleeper": 5, "services": 7, "token": 1, "sessions": {"a": 1}}']
)
def test_files_that_hold_something_else_are_no_obstacle(one: Services, text: str) -> None:
    one.write(SLEEPER)
    one.home.mkdir(parents=True)
    for name in FILES:
        (one.home / name).write_text(text, encoding="latin-1")
    assert one.state("sleeper") == "stopped"
    one.services("down").succeeded()
    one.services("up").succeeded()
    assert one.state("sleeper") == "ready"


_UNSHARE = {"x86_64": 272, "aarch64": 97}
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000


def forbid_namespaces() -> None:
    """Let `unshare` fail in this process and all that it starts, as where the administrator forbids it."""
    load, equal, end = 0x20, 0x15, 0x06
    rows = ((load, 0, 0, 0), (equal, 0, 1, _UNSHARE[platform.machine()]), (end, 0, 0, _ERRNO | 1))
    program = b"".join(struct.pack("HBBI", *row) for row in (*rows, (end, 0, 0, _ALLOW)))
    kept = ctypes.create_string_buffer(program)

    class Filter(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    libc = ctypes.CDLL(None, use_errno=True)
    given = Filter(4, ctypes.cast(kept, ctypes.c_void_p))
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, ctypes.byref(given), 0, 0) == 0


@pytest.mark.skipif(platform.machine() not in _UNSHARE, reason="this machine's system calls are not known")
def test_a_machine_that_refuses_namespaces_gets_a_guardian_by_itself(one: Services) -> None:
    one.write('[services.family]\ncommand = "setsid sleep 1111 & exec sleep 2222"\n')
    done = subprocess.run(
        one.words("services", "up"),
        cwd=one.directory,
        env={**one.variables, "CAPE_SERVICES_NAMESPACE": "on"},
        preexec_fn=forbid_namespaces,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(one.services("status", "--json").stdout)["namespace"] is False
    one.kill_supervisor()
    wait_until(lambda: one.marked() == [], timeout_s=3)


def test_a_home_that_is_read_only_is_no_obstacle(one: Services) -> None:
    one.write(SLEEPER)
    nowhere = {
        "HOME": "/proc/nowhere",
        "XDG_CONFIG_HOME": "/proc/nowhere",
        "XDG_RUNTIME_DIR": "/proc/nowhere",
    }
    one.services("up", **nowhere).succeeded()
    assert one.state("sleeper") == "ready"
    one.services("down", **nowhere).succeeded()


def test_a_full_disk_is_told_and_services_that_run_go_on(one: Services) -> None:
    small = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", one.directory]
    if os.geteuid() != 0 or subprocess.run(small, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a small file system")
    try:
        one.write(SLEEPER + '[services.late]\ncommand = "exec sleep 2222"\n')
        one.cape("sync").succeeded()
        fill(one)
        one.services("up").failed(1, "room", "hint: ")
        assert one.marked() == []
        (one.directory / "ballast").unlink()
        one.services("up", "sleeper").succeeded()
        fill(one)
        assert one.state("sleeper") == "ready"
        one.services("up").failed(1, "room", "hint: ")
        assert one.state("sleeper") == "ready"
        one.services("down").succeeded()
        assert one.marked() == []
    finally:
        one.services("down")
        subprocess.run(["umount", "-l", one.directory], check=True)


def fill(one: Services) -> None:
    """Leave no byte on the project's disk."""
    with pytest.raises(OSError), open(one.directory / "ballast", "wb", buffering=0) as stream:
        while True:
            stream.write(b"x" * 4096)
