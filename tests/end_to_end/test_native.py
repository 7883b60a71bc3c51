"""A whole environment with a C library: this machine's own, packed as if Debian had published it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.harness import Project, World

TRIPLET = f"{platform.machine()}-linux-gnu"
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), "")

COMPANIONS = ("libdl.so.2", "libpthread.so.0", "libm.so.6", "librt.so.1")
"""What `libc6` has beside the C library."""


def libraries_of(program: str) -> dict[str, str]:
    """The libraries of a program and the C library's, the loader among them, by their names."""
    ended = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    found = {os.path.basename(path): path for path in re.findall(r"(/\S+\.so\S*)", ended.stdout)}
    beside = os.path.dirname(os.path.realpath(found.get("libc.so.6", "/")))
    found |= {name: f"{beside}/{name}" for name in COMPANIONS if os.path.exists(f"{beside}/{name}")}
    return {name: os.path.realpath(path) for name, path in found.items()}


@pytest.fixture
def native(stocked: World) -> Project:
    """A synced project with `dash` and a C library, both with Debian's places for them."""
    libraries = libraries_of("/bin/sh") if shutil.which("ldd") else {}
    strange = {name for name in libraries if not name.startswith("ld-linux")} - {"libc.so.6", *COMPANIONS}
    if not ARCHITECTURE or "libc.so.6" not in libraries or strange:
        pytest.skip("this machine's `sh` needs more than a C library")
    stocked.archive.add(
        "libc6",
        "2.36-9",
        architecture=ARCHITECTURE,
        files={f"usr/lib/{TRIPLET}/{name}": Path(path).read_bytes() for name, path in libraries.items()},
        runnable=[f"usr/lib/{TRIPLET}/{name}" for name in libraries],
    )
    stocked.archive.add(
        "dash",
        "0.5-1",
        architecture=ARCHITECTURE,
        files={"usr/bin/dash": Path(os.path.realpath("/bin/sh")).read_bytes()},
        links={"usr/bin/sh": "dash"},
        depends="libc6",
    )
    stocked.archive.add(
        "reader",
        architecture="all",
        files={
            "usr/bin/reader": b'#!/bin/sh\nread -r line </usr/share/reader/text && echo "$0 $line"\n',
            "usr/share/reader/text": b"from the environment\n",
        },
        depends="dash",
    )
    stocked.publish()
    project = stocked.project(reader="*", dash="*")
    project.manifest.write_text(
        re.sub(r"systems = .*", f'systems = ["{platform.machine()}-linux"]', project.manifest.read_text())
    )
    project.cape("sync").succeeded()
    return project


def test_a_script_reads_the_environments_files_at_their_usual_place(native: Project) -> None:
    done = native.cape("run", "--", "reader").succeeded()
    assert done.stdout.endswith("/usr/bin/reader from the environment\n") or done.stdout.endswith(
        "/bin/reader from the environment\n"
    )
    assert not Path("/usr/share/reader").exists()


def test_a_program_uses_the_stores_c_library_and_works_by_its_full_path(native: Project) -> None:
    maps = native.cape("run", "--", "dash", "-c", 'while read -r l; do echo "$l"; done </proc/self/maps')
    mapped = {line.split()[-1] for line in maps.succeeded().stdout.splitlines() if ".so" in line}
    assert mapped
    assert all(path.startswith(str(native.store)) for path in mapped), mapped
    where = native.cape("run", "--", "dash", "-c", "command -v reader").stdout.strip()
    alone = subprocess.run([where], env={}, capture_output=True, text=True, check=False)
    assert "from the environment" in alone.stdout, alone.stderr


def test_programs_inside_cannot_change_the_environment(native: Project) -> None:
    for place in ("/usr/share/reader/text", "$CAPE_ROOT/usr/share/reader/text", "$CAPE_ENV/new"):
        done = native.cape("run", "--", "dash", "-c", f'echo evil >"{place}"')
        assert done.code != 0, place
    native.cape("doctor", "--verify").succeeded()
    assert "from the environment" in native.cape("run", "--", "reader").stdout


def test_equal_digests_in_a_store_elsewhere(stocked: World, native: Project) -> None:
    other = stocked.clone(native, store="a/store/with a longer path/than the first")
    other.cape("sync", "--locked").succeeded()
    assert other.cape("list", "--json").stdout == native.cape("list", "--json").stdout
    assert "from the environment" in other.cape("run", "--", "reader").stdout
