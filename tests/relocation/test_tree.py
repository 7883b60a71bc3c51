"""A tree after relocation: links, scripts, modes, notes, facts; and what must stay byte by byte."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path

import pytest

from cape.environment.relocation import (
    DamagedFacts,
    ElfKind,
    RelocationContext,
    TreeFacts,
    loader_path,
    relocate_tree,
)
from cape.environment.relocation.elf import read_elf
from cape.environment.relocation.links import relative_target
from cape.environment.relocation.loader import NoLoader, UnknownLoader, cut_off
from cape.names import System
from tests.relocation.conftest import Compile, host_library

CONTEXT = RelocationContext(system=System.X86_64_LINUX, loader=Path("/store/ld.so"))


def put(tree: Path, path: str, data: bytes, *, mode: int = 0o755) -> Path:
    place = tree / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    place.chmod(mode)
    return place


@pytest.mark.parametrize(
    ("link", "target", "expected"),
    [
        ("usr/bin/awk", "/etc/alternatives/awk", "../../etc/alternatives/awk"),
        ("etc/alternatives/awk", "/usr/bin/mawk", "../../usr/bin/mawk"),
        ("usr/bin/sh", "/bin/dash", "dash"),
        ("usr/lib/x/libz.so", "/lib/x86_64-linux-gnu/libz.so.1", "../x86_64-linux-gnu/libz.so.1"),
        ("usr/lib/libz.so", "../../lib/libz.so.1", "libz.so.1"),
        ("usr/lib/libz.so", "libz.so.1", "libz.so.1"),
        ("usr/share/x", "../../../../../etc/x", "../../etc/x"),
        ("bin", "usr/bin", "usr/bin"),
        ("x", "/usr/bin", "usr/bin"),
        ("etc/mtab", "/proc/mounts", "/proc/mounts"),
        ("usr/lib/systemd/masked", "/dev/null", "/dev/null"),
        ("var/run", "/run", "/run"),
        ("usr/share/zoneinfo/localtime", "/etc/localtime", "/etc/localtime"),
    ],
)
def test_link_points_into_the_root_unless_it_is_the_machines(link: str, target: str, expected: str) -> None:
    assert relative_target(link, target) == expected


def test_links_outside_of_the_root_stay(tree: Path) -> None:
    (tree / "bin").mkdir()
    (tree / "bin/x").symlink_to("/usr/bin/x")
    (tree / "root/usr/bin/x").symlink_to("/usr/bin/y")
    relocate_tree(tree, CONTEXT)
    assert os.readlink(tree / "bin/x") == "/usr/bin/x"
    assert os.readlink(tree / "root/usr/bin/x") == "y"


def test_scripts_are_listed_as_private_and_keep_mode_and_time(tree: Path) -> None:
    script = put(tree, "root/usr/bin/tool", b"#!/usr/bin/perl -w\n1;\n", mode=0o555)
    os.utime(script, (1, 1_000_000_000))
    ready = put(tree, "bin/ready", b"#!/@cape-env@/bin/python3\n")
    put(tree, "root/usr/share/doc/example", b"#!/usr/bin/perl\n", mode=0o644)
    facts = relocate_tree(tree, CONTEXT)
    assert facts.private == ("bin/ready", "root/usr/bin/tool")
    assert script.read_bytes() == b"#!/@cape-env@/root/usr/bin/perl -w\n1;\n"
    assert (stat.S_IMODE(script.stat().st_mode), script.stat().st_mtime) == (0o555, 1_000_000_000)
    assert ready.read_bytes() == b"#!/@cape-env@/bin/python3\n"


def test_maintainer_scripts_stay(tree: Path) -> None:
    script = put(tree, "root/var/lib/cape/control/tool/postinst", b"#!/bin/sh\n")
    assert relocate_tree(tree, CONTEXT) == TreeFacts()
    assert script.read_bytes() == b"#!/bin/sh\n"


def test_setuid_and_setgid_bits_are_dropped_with_a_note(tree: Path) -> None:
    program = put(tree, "root/usr/bin/su", b"x", mode=0o6755)
    facts = relocate_tree(tree, CONTEXT)
    assert stat.S_IMODE(program.stat().st_mode) == 0o755
    assert facts.notes == ("`root/usr/bin/su` runs without the privileges of its setuid or setgid bit",)


def test_damaged_program_is_noted_and_stays(tree: Path) -> None:
    head = b"\x7fELF\x02\x01\x01" + b"\0" * 9 + b"\x02\0\x3e\0" + b"\xff" * 44
    program = put(tree, "root/usr/bin/broken", head)
    facts = relocate_tree(tree, CONTEXT)
    assert facts.elf == ()
    assert len(facts.notes) == 1
    assert "`root/usr/bin/broken` looks like a program but is damaged" in facts.notes[0]
    assert program.read_bytes() == head


def test_programs_of_other_machines_and_debug_files_stay(
    tree: Path, system: System, compile_c: Compile
) -> None:
    sample = compile_c("-g").read_bytes()
    other = System.AARCH64_LINUX if system is System.X86_64_LINUX else System.X86_64_LINUX
    foreign = put(tree, "root/usr/bin/foreign", sample)
    assert relocate_tree(tree, RelocationContext(system=other, loader=Path("/store/ld.so"))) == TreeFacts()
    assert foreign.read_bytes() == sample


def test_separate_debug_file_stays(tree: Path, system: System, compile_c: Compile) -> None:
    import subprocess

    if shutil.which("objcopy") is None:
        pytest.skip("no objcopy on this machine")
    debug = tree / "root/usr/bin/hello.debug"
    subprocess.run(["objcopy", "--only-keep-debug", compile_c("-g"), debug], check=True)
    debug.chmod(0o755)
    before = debug.read_bytes()
    assert relocate_tree(tree, RelocationContext(system=system, loader=Path("/store/ld.so"))).elf == ()
    assert debug.read_bytes() == before


def test_program_for_another_c_library_is_noted_and_stays(
    tree: Path, system: System, compile_c: Compile
) -> None:
    sample = compile_c().read_bytes()
    name = loader_path(system).rsplit("/", 1)[1].encode()
    sample = sample.replace(name, b"ld-musl".ljust(len(name), b"x"))
    program = put(tree, "lib/node_modules/tool/bin/tool", sample)
    facts = relocate_tree(tree, RelocationContext(system=system, loader=Path("/store/ld.so")))
    assert "needs the loader" in facts.notes[0]
    assert program.read_bytes() == sample


def test_library_whose_interpreter_is_empty_is_a_library_like_others(
    tree: Path, system: System, compile_c: Compile
) -> None:
    """Editors of wheels leave an empty one in a library that could be run, as the C library can."""
    loader = loader_path(system).rsplit("/", 1)[1]
    source = f'const char way[] __attribute__((section(".interp"), used)) = "{loader}"; int sample;'
    whole = compile_c("-shared", "-fPIC", "-Wl,-soname,libsample.so.1", source=source).read_bytes()
    interpreter = loader.encode() + b"\0"
    assert read_elf(whole).interpreter == loader
    put(
        tree,
        "lib/python3.13/site-packages/a.libs/libsample.so.1",
        whole.replace(interpreter, bytes(len(interpreter))),
    )
    facts = relocate_tree(tree, RelocationContext(system=system, loader=Path("/store/ld.so")))
    (elf,) = facts.elf
    assert (elf.kind, elf.soname, facts.notes) == (ElfKind.LIBRARY, "libsample.so.1", ())


def test_plain_libraries_stay_byte_identical(tree: Path, with_libc: RelocationContext) -> None:
    assert with_libc.loader is not None
    library = shutil.copy(host_library("libm.so.6"), with_libc.loader.parent / "libm.so.6")
    relocate_tree(tree, with_libc)
    assert Path(library).read_bytes() == host_library("libm.so.6").read_bytes()


def test_relocating_twice_is_the_same_as_once(
    tree: Path, with_libc: RelocationContext, compile_c: Compile
) -> None:
    shutil.copy(compile_c(), tree / "root/usr/bin/hello")
    put(tree, "root/usr/bin/tool", b"#!/usr/bin/perl\n")
    first = relocate_tree(tree, with_libc)
    before = {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    assert relocate_tree(tree, with_libc) == first
    assert {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()} == before


def test_equal_trees_in_two_places_become_equal(tmp_path: Path, system: System, compile_c: Compile) -> None:
    """The content digest of an environment leans on it."""
    results = []
    for place in ("here", "there/deeper"):
        tree = tmp_path / place
        put(tree, "root/usr/bin/hello", compile_c().read_bytes())
        put(tree, "bin/tool", b"#!/usr/bin/env python3\n")
        facts = relocate_tree(tree, RelocationContext(system=system, loader=Path("/store/ld.so")))
        results.append((facts, (tree / "root/usr/bin/hello").read_bytes(), (tree / "bin/tool").read_bytes()))
    assert results[0] == results[1]


def test_facts_tell_what_a_program_needs_and_where_it_looks(
    tree: Path, system: System, compile_c: Compile
) -> None:
    put(tree, "root/usr/bin/hello", compile_c("-Wl,-rpath,/usr/lib/sample:relative").read_bytes())
    facts = relocate_tree(tree, RelocationContext(system=system, loader=Path("/store/ld.so")))
    (elf,) = facts.elf
    assert elf.kind is ElfKind.EXECUTABLE
    assert elf.needed == ("libc.so.6",)
    assert elf.search_path[0] == "root/usr/lib/sample"
    assert elf.search_path[1:] == (loader_path(system).rsplit("/", 1)[0], "root/usr/lib", "drivers")
    assert elf.glibc is not None
    assert elf.glibc.startswith("2.")


def test_facts_survive_json(tree: Path, with_libc: RelocationContext, compile_c: Compile) -> None:
    put(tree, "root/usr/bin/hello", compile_c().read_bytes())
    put(tree, "root/usr/bin/su", b"#!/bin/sh\n", mode=0o4755)
    facts = relocate_tree(tree, with_libc)
    assert TreeFacts.from_json(json.loads(json.dumps(facts.to_json()))) == facts
    with pytest.raises(DamagedFacts, match="cannot be read"):
        TreeFacts.from_json({"private": []})


def test_loader_is_cut_off_from_the_host_once_and_for_all(system: System) -> None:
    data = host_library(loader_path(system).rsplit("/", 1)[1]).read_bytes()
    cut = cut_off(data)
    assert len(cut) == len(data)
    for path in (b"\0/etc/ld.so.cache\0", b"\0/etc/ld.so.preload\0", b"\0/lib/\0", b"\0/usr/lib/\0"):
        assert path in data
        assert path not in cut
    assert cut_off(cut) == cut


def test_loader_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UnknownLoader, match="does not hold"):
        cut_off(b"no loader")


def test_darwin_has_no_loader() -> None:
    with pytest.raises(NoLoader, match="aarch64-darwin"):
        loader_path(System.AARCH64_DARWIN)
