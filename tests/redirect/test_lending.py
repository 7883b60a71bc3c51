"""Locales, character sets, messages and plug-ins: what libc opens by itself, and dlopen."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cape.environment.relocation.c_library import library_patches
from cape.environment.relocation.elf import read_elf
from cape.environment.relocation.loader import loader_name
from cape.names import System
from tests.redirect.conftest import House, write
from tests.redirect.rows import CHARACTER_SETS, LOADERS, LOCALES
from tests.relocation.conftest import host_library

Compile = Callable[..., Path]
HOST_LOCALE = Path("/usr/lib/locale/C.utf8")


@pytest.fixture
def with_locale(house: House) -> House:
    """The tree has a locale that no host has."""
    if not HOST_LOCALE.is_dir():
        pytest.skip("the host has no locale to copy")
    shutil.copytree(HOST_LOCALE, house.root / "usr/lib/locale/cp_CP.utf8")
    return house


@pytest.mark.parametrize("function", LOCALES)
def test_locale_of_the_tree_is_lent(with_locale: House, function: str) -> None:
    found = "cp_CP.UTF-8" if function == "setlocale" else "there"
    assert with_locale.call(function, "cp_CP.UTF-8", inside=False) == "ok none lent=no"
    assert with_locale.call(function, "cp_CP.UTF-8").startswith(f"ok {found} lent=no")


@pytest.mark.parametrize("function", LOCALES)
def test_users_own_locale_path_wins(with_locale: House, function: str) -> None:
    answer = with_locale.call(function, "cp_CP.UTF-8", LOCPATH=str(with_locale.project))
    assert answer.startswith("ok none lent=still")


@pytest.fixture
def on_edited_libc(house: House, system: System) -> House:
    """The driver runs on this host's C library as relocation leaves it: with no directory of locales."""
    place = house.top / "libc"
    place.mkdir()
    libc, loader = host_library("libc.so.6"), host_library(loader_name(system))
    patched = bytearray(libc.read_bytes())
    for offset, data in library_patches(read_elf(libc.read_bytes()), system):
        patched[offset : offset + len(data)] = data
    (place / "libc.so.6").write_bytes(patched)
    shutil.copy2(loader, place / loader.name)
    words = f'exec "{place / loader.name}" --library-path "{place}" "{house.driver}" "$@"'
    house.driver = write(house.top / "driver", f"#!/bin/sh\n{words}\n", 0o755)
    return house


@pytest.mark.parametrize("function", LOCALES)
@pytest.mark.parametrize("name", ["C.UTF-8", "C.utf8"])
def test_locale_of_the_host_never_stands_in(on_edited_libc: House, function: str, name: str) -> None:
    """libc adds its own directory to the one that is lent, so its own must be none."""
    if not HOST_LOCALE.is_dir():
        pytest.skip("the host has no locale that could leak")
    house = on_edited_libc
    found = name if function == "setlocale" else "there"
    assert house.call(function, name).startswith("ok none lent=no")
    shutil.copytree(HOST_LOCALE, house.root / "usr/lib/locale/cp_CP.utf8")
    assert house.call(function, name).startswith("ok none lent=no")
    shutil.copytree(HOST_LOCALE, house.root / "usr/lib/locale/C.utf8")
    assert house.call(function, name).startswith(f"ok {found} lent=no")


@pytest.fixture
def with_charset(house: House, build: object, machine: str) -> House:
    """The tree knows a name for UTF-8 that no host knows."""
    place = house.root / "usr/lib" / f"{machine}-linux-gnu" / "gconv" / "gconv-modules"
    write(place, "alias CAPE-CHARSET// ISO-10646/UTF8/\n")
    return house


@pytest.mark.parametrize("function", CHARACTER_SETS)
def test_character_set_of_the_tree_is_lent(with_charset: House, function: str) -> None:
    assert with_charset.call(function, "CAPE-CHARSET", inside=False) == "ok none lent=no"
    assert with_charset.call(function, "CAPE-CHARSET") == "ok there lent=no"


def test_iconv_program_gets_the_trees_character_sets(with_charset: House) -> None:
    """It calls the private `__gconv_open`."""
    program = shutil.which("iconv")
    if program is None:
        pytest.skip("the host has no iconv")
    done = subprocess.run(
        [program, "-f", "CAPE-CHARSET", "-t", "UTF-16LE"],
        env=with_charset.variables(inside=True),
        input=b"a",
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, b"a\0"), done.stderr


def test_messages_are_bound_to_the_trees_directory(house: House) -> None:
    (house.root / "usr/share/locale").mkdir(parents=True)
    assert house.call("bindtextdomain", "/usr/share/locale") == f"ok {house.root}/usr/share/locale"
    shutil.rmtree(house.root / "usr/share/locale")
    assert house.call("bindtextdomain", "/usr/share/locale") == "ok /usr/share/locale"


def test_catalogue_of_the_tree_is_opened(house: House) -> None:
    """A catalogue with one message, in both byte orders (glibc's `catgetsinfo.h`)."""
    text = b"from the tree\0"
    table = [2, 1, 0]  # set 1 is kept as 2
    body = b"".join(struct.pack(f"{order}3I", *table) for order in "<>")
    catalogue = struct.pack("<3I", 0x960408DE, 1, 1) + body + text
    path = house.in_tree("/usr/share/cape/catalogue")
    path.write_bytes(catalogue)
    assert house.call("catopen", "/usr/share/cape/catalogue") == "ok from the tree"
    assert house.call("catopen", "/usr/share/cape/none") == "errno 2"


# ---- plug-ins ----


@pytest.fixture(scope="session")
def plugin(compile_c: Compile) -> Path:
    source = 'const char *whoami(void) { return "plug-in"; }'
    return compile_c(source, "-shared", "-fPIC", name="libcapeplugin.so")


@pytest.fixture(scope="session")
def opener(compile_c: Compile, for_driver: list[str]) -> Path:
    """A library with a search path of its own, that opens another by its bare name."""
    source = """
    #include <dlfcn.h>
    const char *whois(const char *name) {
        void *found = dlopen(name, RTLD_NOW);
        const char *(*who)(void) = found ? dlsym(found, "whoami") : 0;
        return who ? who() : dlerror();
    }"""
    return compile_c(
        source,
        "-shared",
        "-fPIC",
        "-ldl",
        "-Wl,-rpath,$ORIGIN/private",
        name="libcapeopener.so",
        command=for_driver,
    )


@pytest.mark.parametrize("function", LOADERS)
def test_library_of_the_tree_is_loaded_by_its_path(house: House, function: str, plugin: Path) -> None:
    shutil.copy2(plugin, house.root / "usr/lib/libcapeplugin.so")
    assert house.call(function, "/usr/lib/libcapeplugin.so") == "ok plug-in"
    assert house.call(function, plugin) == "ok plug-in"


@pytest.mark.parametrize("function", LOADERS)
def test_library_of_the_host_does_not_stand_in(house: House, function: str) -> None:
    name = "/usr/lib/cape-none/libz.so.1"
    assert str(house.in_tree(name)) in house.call(function, name)


@pytest.mark.parametrize("name", ["libcuda.so.1", "libnvidia-ml.so.1", "libGLX_cape.so.0", "dri/cape_dri.so"])
def test_graphics_drivers_are_looked_for_on_the_host(house: House, name: str) -> None:
    path = f"/usr/lib/cape-none/{name}"
    answer = house.call("dlopen", path)
    assert answer.startswith(path)
    inside = house.in_tree(path)
    write(inside, "not a library\n")
    assert str(inside) in house.call("dlopen", path)


def test_bare_name_is_found_by_the_callers_search_path(house: House, plugin: Path, opener: Path) -> None:
    """glibc knows the caller by the return address, so the wrapper must leave no frame."""
    shutil.copy2(opener, house.project / "libcapeopener.so")
    (house.project / "private").mkdir()
    shutil.copy2(plugin, house.project / "private" / "libcapeplugin.so")
    words = ("dlopen_from", house.project / "libcapeopener.so", "libcapeplugin.so")
    assert house.call(*words) == "ok plug-in"


@pytest.mark.parametrize("function", LOADERS)
def test_machine_code_of_dlopen_is_a_tail_call(library: Path, machine: str, function: str) -> None:
    """The real function is jumped to through a register, after the frame is gone, and never called."""
    if machine != "x86_64" or shutil.which("objdump") is None:
        pytest.skip("needs objdump on x86_64")
    words = ["objdump", "-d", "--no-show-raw-insn", f"--disassemble={function}", str(library)]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert re.search(r"\bjmp\s+\*%r", text), text
    assert not re.search(r"\bcall\s+\*", text), text
