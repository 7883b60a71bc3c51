"""The machine's GPU drivers: found by name in made-up machines, linked, and found by a relocated program."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from cape.environment.drivers import driver_libraries, link_drivers
from cape.environment.relocation import RelocationContext, relocate_tree
from cape.environment.relocation.loader import triplet
from cape.environment.relocation.tree import DRIVERS
from cape.names import System
from tests.relocation.conftest import (
    Compile,
    compile_c,
    compiler,
    run,
    system,
    tree,
    with_libc,
)

__all__ = ["compile_c", "compiler", "system", "tree", "with_libc"]

AMD64 = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00\x3e\x00" + bytes(44)
ARM64 = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00\xb7\x00" + bytes(44)
LIBRARY = {System.X86_64_LINUX: AMD64, System.AARCH64_LINUX: ARM64}


def machine(root: Path, directory: str, *names: str, data: bytes = AMD64) -> Path:
    place = root / directory
    place.mkdir(parents=True, exist_ok=True)
    for name in names:
        (place / name).write_bytes(data)
    return root


@pytest.mark.parametrize(
    "directory",
    [
        "usr/lib/x86_64-linux-gnu",
        "usr/lib64",
        "usr/lib/wsl/lib",
        "usr/local/nvidia/lib64",
        "run/opengl-driver/lib",
    ],
)
def test_driver_is_found_where_distributions_put_it(tmp_path: Path, directory: str) -> None:
    machine(tmp_path, directory, "libcuda.so.1", "libnvidia-ptxjitcompiler.so.1")
    found = driver_libraries(tmp_path, System.X86_64_LINUX)
    assert list(found) == ["libcuda.so.1", "libnvidia-ptxjitcompiler.so.1"]
    assert found["libcuda.so.1"] == tmp_path / directory / "libcuda.so.1"


def test_nothing_but_a_driver_comes_in(tmp_path: Path) -> None:
    ordinary = ("libc.so.6", "libcudart.so.12", "libGLX_mesa.so.0", "libGL.so.1", "libcuda.so.550.90.07")
    machine(tmp_path, "usr/lib/x86_64-linux-gnu", "libGLX_nvidia.so.0", *ordinary)
    assert list(driver_libraries(tmp_path, System.X86_64_LINUX)) == ["libGLX_nvidia.so.0"]


def test_library_of_another_processor_or_a_dangling_link_is_no_driver(tmp_path: Path) -> None:
    machine(tmp_path, "usr/lib", "libcuda.so.1", data=ARM64)
    machine(tmp_path, "usr/lib64").joinpath("usr/lib64/libnvidia-ml.so.1").symlink_to("gone")
    machine(tmp_path, "usr/lib64", "libnvoptix.so.1", data=b"text")
    assert driver_libraries(tmp_path, System.X86_64_LINUX) == {}


def test_links_follow_the_machine_as_drivers_come_move_and_go(tmp_path: Path) -> None:
    store, root = tmp_path / "store", tmp_path / "machine"
    store.mkdir()
    assert link_drivers(store, root, System.X86_64_LINUX) == ()
    assert os.listdir(store / DRIVERS) == []
    machine(root, "usr/lib64", "libcuda.so.1", "libnvidia-ml.so.1")
    assert link_drivers(store, root, System.X86_64_LINUX) == ("libcuda.so.1", "libnvidia-ml.so.1")
    shutil.rmtree(root / "usr/lib64")
    machine(root, "usr/lib/wsl/lib", "libcuda.so.1")
    assert link_drivers(store, root, System.X86_64_LINUX) == ("libcuda.so.1",)
    assert os.listdir(store / DRIVERS) == ["libcuda.so.1"]
    assert (store / DRIVERS / "libcuda.so.1").read_bytes() == AMD64


LOADS = r"""
#include <dlfcn.h>
#include <stdio.h>
int main(void) {
    void *driver = dlopen("libcuda.so.1", RTLD_NOW);
    int (*version)(void) = driver ? (int (*)(void))dlsym(driver, "cuDriverGetVersion") : 0;
    printf("%s", version ? "" : dlerror());
    printf("driver %d\n", version ? version() : 0);
    return 0;
}
"""


def test_program_loads_the_machines_driver_by_its_bare_name_and_no_other_library_of_the_machine(
    tmp_path: Path, tree: Path, with_libc: RelocationContext, system: System, compile_c: Compile
) -> None:
    source = "int cuDriverGetVersion(void) { return 12040; }"
    stub = compile_c("-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", source=source)
    root = tmp_path / "machine"
    machine(root, f"usr/lib/{triplet(system)}", "libcuda.so.1", "libother.so.1", data=stub.read_bytes())
    store = tmp_path / "store"
    store.mkdir()
    link_drivers(store, root, system)
    (tree / DRIVERS).symlink_to(store / DRIVERS)

    program = tree / "root/usr/bin/loads"
    shutil.copy(compile_c("-Wl,--no-as-needed", source=LOADS), program)
    relocate_tree(tree, with_libc)
    assert "driver 12040" in run(program)

    other = tree / "root/usr/bin/other"
    shutil.copy(compile_c("-DOTHER", source=LOADS.replace("libcuda.so.1", "libother.so.1")), other)
    relocate_tree(tree, with_libc)
    assert "libother.so.1: cannot open shared object file" in run(other)
