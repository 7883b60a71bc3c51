"""The closure check, on facts written by hand."""

from __future__ import annotations

import pytest

from cape.analysis.closure import MissingLibrary, check_closure
from cape.environment.relocation import ElfFacts, ElfKind, TreeFacts
from cape.names import System

DIRECTORY = "root/usr/lib/x86_64-linux-gnu"
SEARCH = (DIRECTORY, "root/usr/lib")


def program(*needed: str, path: str = "root/usr/bin/tool", also: tuple[str, ...] = ()) -> ElfFacts:
    return ElfFacts(path=path, kind=ElfKind.EXECUTABLE, needed=needed, search_path=(*also, *SEARCH))


def library(soname: str, *needed: str, directory: str = DIRECTORY, search: tuple[str, ...] = ()) -> ElfFacts:
    path = f"{directory}/{soname}.9"
    return ElfFacts(path=path, kind=ElfKind.LIBRARY, soname=soname, needed=needed, search_path=search)


def check(**packages: list[ElfFacts]) -> tuple[tuple[MissingLibrary, ...], tuple[MissingLibrary, ...]]:
    facts = [(name, TreeFacts(elf=tuple(elf))) for name, elf in packages.items()]
    report = check_closure(facts, System.X86_64_LINUX)
    assert report.is_closed is (not report.errors)
    return report.errors, report.notes


def test_library_is_found_by_soname_in_another_package() -> None:
    assert check(tool=[program("liba.so.1")], liba=[library("liba.so.1")]) == ((), ())


def test_missing_library_of_a_program_is_an_error_that_names_the_package() -> None:
    errors, _ = check(tool=[program("liba.so.1")])
    assert [str(error) for error in errors] == [
        "`root/usr/bin/tool` (tool) needs `liba.so.1`, which no package of the environment has"
    ]


def test_missing_library_below_a_library_names_both() -> None:
    errors, _ = check(tool=[program("liba.so.1")], liba=[library("liba.so.1", "libb.so.1")])
    assert [(error.package, error.library, error.program) for error in errors] == [
        ("liba", "libb.so.1", "root/usr/bin/tool")
    ]


def test_library_inherits_the_search_path_of_its_program() -> None:
    private = "root/usr/lib/tool"
    elf = [
        program("liba.so.1", also=(private,)),
        library("liba.so.1", "libb.so.1"),
        library("libb.so.1", directory=private),
    ]
    assert check(tool=elf) == ((), ())


def test_library_in_a_directory_nobody_searches_is_a_note() -> None:
    elf = [program("libblas.so.3"), library("libblas.so.3", directory=f"{DIRECTORY}/blas")]
    errors, notes = check(tool=elf)
    assert errors == ()
    assert str(notes[0]).endswith("which is only at `root/usr/lib/x86_64-linux-gnu/blas/libblas.so.3.9`")


def test_missing_library_of_an_add_on_is_a_note() -> None:
    errors, notes = check(plugin=[library("addon.so", "libgone.so.1")])
    assert errors == ()
    assert [note.library for note in notes] == ["libgone.so.1"]


def test_circle_of_libraries_ends() -> None:
    elf = [program("liba.so.1"), library("liba.so.1", "libb.so.1"), library("libb.so.1", "liba.so.1")]
    assert check(tool=elf) == ((), ())


def test_report_does_not_depend_on_the_order_of_packages() -> None:
    one = TreeFacts(elf=(program("liba.so.1", "libx.so"),))
    two = TreeFacts(elf=(library("liba.so.1", "liby.so"),))
    system = System.X86_64_LINUX
    assert check_closure([("a", one), ("b", two)], system) == check_closure([("b", two), ("a", one)], system)


@pytest.mark.parametrize("kind", [ElfKind.STATIC])
def test_static_program_provides_no_library(kind: ElfKind) -> None:
    static = ElfFacts(path=f"{DIRECTORY}/liba.so.1", kind=kind)
    errors, _ = check(tool=[program("liba.so.1"), static])
    assert len(errors) == 1


def test_library_of_a_gpu_driver_is_the_machines_to_have() -> None:
    errors, _ = check(train=[program("libcuda.so.1", "libcudart.so.12")])
    assert [error.library for error in errors] == ["libcudart.so.12"]
