"""What was built on this machine is looked at as what was fetched: by its own files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cape.environment.plan import EnvironmentPlan
from cape.names import Digest, System
from cape.operations.built_needs import _needs
from cape.store import StoreObject

SITE = "lib/python3.13/site-packages"


def test_the_libraries_of_a_built_tree_are_read_without_links_and_compilers_objects(tmp_path: Path) -> None:
    program = Path(shutil.which("sh") or "/bin/sh").resolve()
    if not System.current().is_linux or program.read_bytes()[:4] != b"\x7fELF":
        pytest.skip("this machine's shell is no ELF file")
    place = tmp_path / "tree" / SITE
    place.mkdir(parents=True)
    shutil.copy(program, place / "_own.abi3.so")
    shutil.copy(program, place / "left.o")
    (place / "again.so").symlink_to("_own.abi3.so")
    (place / "text.so").write_text("no library")
    made = StoreObject(
        key=Digest.of(b"k"), path=tmp_path, facts={}, content=Digest.of(b"c"), files=4, size_bytes=1
    )
    plan = EnvironmentPlan(
        system=System.current(), identity=Digest.of(b"i"), packages=(), roots=(), relocation_version=0
    )
    needs = _needs(made, plan)
    assert needs.libraries == ("_own.abi3.so",)
    (elf,) = needs.elf
    assert elf.path == f"{SITE}/_own.abi3.so" and "libc.so.6" in elf.needed
