"""A program with more rights than who started it is never redirected into.

The kernel tells it by AT_SECURE: it comes from a setuid or setgid bit, or from a capability of the file.
Such a program ignores LD_PRELOAD, so here the library is its first NEEDED, as in an environment.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.redirect.conftest import write

USER = 54321
"""A user and group that nobody is; its processes own nothing here."""

TELL = """
#include <stdio.h>
#include <sys/auxv.h>
#include <unistd.h>
int main(void) {
    printf("secure %lu tree %d\\n", getauxval(AT_SECURE), access("/usr/share/cape/only", R_OK));
    return 0;
}"""

CAPABILITY = struct.pack("<5I", 0x02000000 | 1, 1 << 10, 0, 0, 0)
"""`security.capability`, second version: CAP_NET_BIND_SERVICE, effective (linux/capability.h)."""


@pytest.fixture
def program(library: Path, compile_c: Callable[..., Path]) -> Iterator[Path]:
    """A program of a small tree that all users can reach, as a test's own directory cannot be."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a file with the rights of another user")
    with tempfile.TemporaryDirectory(prefix="cape-secure-") as name:
        root = Path(name).resolve() / "root"
        os.chmod(name, 0o755)
        write(root / "usr/share/cape/only", "tree\n")
        inside = root / "usr/lib/libcape-redirect.so"
        inside.parent.mkdir()
        shutil.copy(library, inside)
        flags = ["-Wl,--no-as-needed", str(inside), f"-Wl,-rpath,{inside.parent}", "-Wl,--disable-new-dtags"]
        made = root / "usr/bin/tell"
        made.parent.mkdir()
        shutil.copy(compile_c(TELL, *flags, name="tell"), made)
        made.chmod(0o755)
        if run(made) != "secure 0 tree 0":
            pytest.skip(f"user {USER} cannot reach {name}: {run(made)}")
        yield made


def run(program: Path) -> str:
    done = subprocess.run(
        [program],
        env={},
        cwd="/",
        user=USER,
        group=USER,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or done.stderr.strip()


def assert_is_let_alone(program: Path, what: str) -> None:
    answer = run(program)
    if answer.startswith("secure 0"):
        nosuid = bool(os.statvfs(program).f_flag & os.ST_NOSUID)
        why = "is mounted nosuid" if nosuid else "its processes may gain no rights (no_new_privs)"
        pytest.skip(f"the kernel ignores {what} here: {program.parent if nosuid else ''} {why}")
    assert answer == "secure 1 tree -1"


@pytest.mark.parametrize("bit", [0o4000, 0o2000])
def test_setuid_and_setgid_programs_are_let_alone(program: Path, bit: int) -> None:
    program.chmod(0o755 | bit)
    assert_is_let_alone(program, "a setuid or setgid bit")
    program.chmod(0o755)
    assert run(program) == "secure 0 tree 0"


def test_program_with_a_capability_is_let_alone(program: Path) -> None:
    try:
        os.setxattr(program, "security.capability", CAPABILITY)
    except OSError as error:
        pytest.skip(f"no capability can be put on a file here: {error}")
    assert_is_let_alone(program, "a capability of a file")
    os.removexattr(program, "security.capability")
    assert run(program) == "secure 0 tree 0"
