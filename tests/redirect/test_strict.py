"""Every row in a file system that has no host `/usr`, `/lib*`, `/bin` or `/etc`: only the environment.

What the tree has is there as on any machine, what it lacks is nowhere, and programs are started by the
tree's own loader.
"""

from __future__ import annotations

import shutil
import stat
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.redirect.conftest import Jail, snapshot, write
from tests.redirect.rows import (
    BY_DESCRIPTOR,
    BY_NAME,
    BY_PATH,
    CALLERS,
    CHANGERS,
    CHARACTER_SETS,
    DIRECTORIES,
    EVERY,
    FILES,
    LINKS,
    LOADERS,
    LOCALES,
    MAKERS,
    PAIRS,
    PATTERNS,
    REMOVERS,
    SHELLS,
    TEMPORARY,
)

EROFS, ENOENT, EEXIST, EXDEV = "errno 30", "errno 2", "errno 17", "errno 18"
HOST_LOCALE = Path("/usr/lib/locale/C.utf8")
NO_ATTRIBUTES = ("errno 95", "errno 61")


@pytest.fixture
def environment_stays(jail: Jail) -> Iterator[None]:
    before = snapshot(jail.environment)
    yield
    assert snapshot(jail.environment) == before


def told(answer: str) -> str:
    line = next(line for line in answer.splitlines() if "told" in line)
    return line[line.index("told") + 5 :].strip()


def test_there_is_no_host(jail: Jail) -> None:
    for path in ("/usr", "/bin", "/lib", "/lib64", "/etc", "/var", "/run"):
        assert jail.call("stat", path, inside=False) == ENOENT


@pytest.mark.parametrize("function", FILES)
def test_file_is_the_trees_or_nowhere(jail: Jail, function: str) -> None:
    path = "/usr/share/cape/file"
    answer = jail.call(function, path)
    assert answer == jail.call(function, jail.in_tree(path), inside=False)
    assert answer.startswith(("ok", *NO_ATTRIBUTES))
    assert jail.call(function, "/usr/bin/env") == ENOENT
    assert jail.call(function, "/etc/passwd") == ENOENT


@pytest.mark.parametrize("function", LINKS)
def test_link_is_the_trees_or_nowhere(jail: Jail, function: str) -> None:
    path = "/usr/share/cape/link"
    assert jail.call(function, path) == jail.call(function, jail.in_tree(path), inside=False)
    assert jail.call(function, "/usr/bin/which") == ENOENT


@pytest.mark.parametrize("function", DIRECTORIES)
def test_directory_is_the_trees_or_nowhere(jail: Jail, function: str) -> None:
    path = "/usr/share/cape/dir"
    answer = jail.call(function, path)
    assert answer == jail.call(function, jail.in_tree(path), inside=False)
    assert answer.startswith("ok")
    assert jail.call(function, "/usr/share/doc") == ENOENT


@pytest.mark.parametrize("function", PATTERNS)
def test_pattern_finds_the_trees_names(jail: Jail, function: str) -> None:
    assert jail.call(function, "/usr/share/cape/d*/*") == "ok /usr/share/cape/dir/one /usr/share/cape/dir/two"
    assert jail.call(function, "/usr/bin/en[v]") == "glob 3"


@pytest.mark.usefixtures("environment_stays")
@pytest.mark.parametrize("function", MAKERS)
def test_name_is_made_in_the_overlay_only(jail: Jail, function: str) -> None:
    assert jail.call(function, "/usr/share/cape/new") == EROFS
    assert jail.call(function, "/var/lib/cape/new", state=True).startswith("ok")
    made = jail.overlay / "var/lib/cape/new"
    assert made.is_symlink() or made.exists()


@pytest.mark.usefixtures("environment_stays")
@pytest.mark.parametrize("function", [*CHANGERS, *REMOVERS, *BY_DESCRIPTOR])
def test_file_of_the_tree_is_changed_by_nothing(jail: Jail, function: str) -> None:
    assert jail.call(function, "/usr/share/cape/file") == EROFS
    assert jail.call(function, "/usr/share/cape/none") == ENOENT


@pytest.mark.parametrize("function", [*CHANGERS, *REMOVERS])
def test_file_of_the_overlay_is_changed(jail: Jail, function: str) -> None:
    write(jail.overlay / "etc/cape/own", "mine\n")
    answer = jail.call(function, "/etc/cape/own", state=True)
    assert answer.startswith("ok") or answer in (*NO_ATTRIBUTES, "errno 38")


@pytest.mark.usefixtures("environment_stays")
def test_directory_is_removed_from_the_overlay_only(jail: Jail) -> None:
    (jail.overlay / "run/cape").mkdir(parents=True)
    assert jail.call("rmdir", "/usr/share/cape/dir") == EROFS
    assert jail.call("rmdir", "/run/cape", state=True) == "ok"


@pytest.mark.usefixtures("environment_stays")
@pytest.mark.parametrize("function", PAIRS)
def test_no_name_leaves_the_tree(jail: Jail, function: str) -> None:
    expected = EXDEV if function.startswith("link") else EROFS
    assert jail.call(function, "/usr/share/cape/file", jail.project / "out") == expected
    own = write(jail.project / "own", "mine\n")
    assert jail.call(function, own, "/usr/share/cape/into") == EROFS
    assert jail.call(function, own, "/run/into", state=True) == "ok"


@pytest.mark.usefixtures("environment_stays")
@pytest.mark.parametrize("function", TEMPORARY)
def test_temporary_file_is_made_in_the_overlay_only(jail: Jail, function: str) -> None:
    assert jail.call(function, "/usr/share/cape/tXXXXXX") == EROFS
    assert jail.call(function, "/run/cape/tXXXXXX", state=True) == "ok named"


@pytest.mark.parametrize("function", EVERY)
def test_program_and_script_are_started_by_the_trees_loader(jail: Jail, function: str) -> None:
    script = jail.in_tree("/usr/bin/script")
    assert told(jail.call(function, "/usr/bin/teller")) == "zero one"
    assert told(jail.call(function, "/usr/bin/script")) == f"/usr/bin/teller with flag {script} one"


@pytest.mark.parametrize("function", BY_NAME)
def test_name_is_looked_up_in_the_tree(jail: Jail, function: str) -> None:
    assert told(jail.call(function, "teller")) == "zero one"
    assert jail.call(function, "env") == ENOENT


@pytest.mark.parametrize("function", [name for name in BY_PATH if name != "vfork"])
def test_program_of_the_host_is_not_there(jail: Jail, function: str) -> None:
    assert jail.call(function, "/usr/bin/env") == ENOENT


@pytest.mark.parametrize("function", SHELLS)
def test_command_runs_in_the_trees_shell(jail: Jail, function: str) -> None:
    answer = jail.call(function, "some command")
    assert told(answer) == "sh -c some command"
    assert "status 0" in answer


def test_spawned_program_gets_files_and_directory_of_the_tree(jail: Jail) -> None:
    path = "/usr/share/cape/file"
    answer = jail.call("posix_spawn_file_actions_addopen", "/usr/bin/teller", path, TELL="inode")
    assert told(answer) == f"zero one inode {jail.in_tree(path).stat().st_ino}"
    path = "/usr/share/cape/dir"
    answer = jail.call("posix_spawn_file_actions_addchdir_np", "/usr/bin/teller", path, TELL="cwd")
    assert told(answer) == f"zero one in {jail.in_tree(path)}"


@pytest.mark.parametrize("function", ["fork_open", "threads", "signals"])
def test_children_threads_and_handlers_read_the_tree(jail: Jail, function: str) -> None:
    answers = {"fork_open": "ok status 0", "threads": "ok wrong 0", "signals": "ok wrong 0 handled often"}
    assert jail.call(function, "/usr/share/cape/file") == answers[function]


# ---- what libc opens by itself, and libraries ----


@pytest.mark.parametrize("function", LOCALES)
def test_locale_is_the_trees_or_missing(jail: Jail, function: str) -> None:
    if not HOST_LOCALE.is_dir():
        pytest.skip("the host has no locale to copy")
    assert jail.call(function, "C.UTF-8").startswith("ok none")
    shutil.copytree(HOST_LOCALE, jail.root / "usr/lib/locale/C.utf8")
    found = "C.UTF-8" if function == "setlocale" else "there"
    assert jail.call(function, "C.UTF-8").startswith(f"ok {found} lent=no")


@pytest.mark.parametrize("function", CHARACTER_SETS)
def test_character_set_is_the_trees_or_missing(jail: Jail, function: str) -> None:
    assert jail.call(function, "CAPE-CHARSET").startswith("ok none")
    write(jail.libraries / "gconv/gconv-modules", "alias CAPE-CHARSET// ISO-10646/UTF8/\n")
    assert jail.call(function, "CAPE-CHARSET") == "ok there lent=no"


def test_messages_are_the_trees(jail: Jail) -> None:
    (jail.root / "usr/share/locale").mkdir()
    assert jail.call("bindtextdomain", "/usr/share/locale") == f"ok {jail.root}/usr/share/locale"
    table = b"".join(struct.pack(f"{order}3I", 2, 1, 0) for order in "<>")
    catalogue = struct.pack("<3I", 0x960408DE, 1, 1) + table + b"from the tree\0"
    jail.in_tree("/usr/share/cape/catalogue").write_bytes(catalogue)
    assert jail.call("catopen", "/usr/share/cape/catalogue") == "ok from the tree"
    assert jail.call("catopen", "/usr/share/cape/none") == ENOENT


@pytest.mark.parametrize("function", LOADERS)
def test_library_is_the_trees_or_nowhere(jail: Jail, function: str, compile_c: Callable[..., Path]) -> None:
    source = 'const char *whoami(void) { return "plug-in"; }'
    plugin = compile_c(source, "-shared", "-fPIC", "-nostdlib", name="libcapeplugin.so")
    shutil.copy2(plugin, jail.root / "usr/lib/libcapeplugin.so")
    assert jail.call(function, "/usr/lib/libcapeplugin.so") == "ok plug-in"
    assert "cannot open" in jail.call(function, "/usr/lib/libcapenone.so")


@pytest.mark.parametrize("function", CALLERS)
def test_socket_is_the_overlays_or_nowhere(jail: Jail, function: str) -> None:
    assert jail.call(function, "/run/cape/socket", state=True) == ENOENT
    assert jail.call("bind", "/run/cape/socket", state=True).startswith("ok inode")
    assert stat.S_ISSOCK((jail.overlay / "run/cape/socket").stat().st_mode)
    assert jail.call(function, "/run/cape/socket", state=True) == "errno 111"
    assert jail.call("talk", "/run/cape/socket", state=True) == "ok hello"


def test_chroot_goes_into_the_tree_and_switches_the_redirect_off(jail: Jail) -> None:
    answer = jail.call("chroot", "/usr/share/cape/dir", "/usr/share/cape/file")
    if answer == "errno 1":
        pytest.skip("chroot needs root")
    assert answer == "ok -1 in /"
