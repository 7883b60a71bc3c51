"""Every call that reads: tree first, then the host, and the errno of neither.

Laws: what a call prints inside, on `/usr/...`, is what it prints outside, on the file that is meant; and
a call that succeeds leaves errno alone (the driver says so when not).
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.redirect.conftest import House, write
from tests.redirect.rows import DIRECTORIES, FILES, LINKS, PATTERNS

PLAIN_LINKS = [name for name in LINKS if name != "lstat"]


def host_link() -> str:
    for name in sorted(os.listdir("/usr/bin")):
        path = f"/usr/bin/{name}"
        if os.path.islink(path) and os.path.exists(path):
            return path
    pytest.skip("no symlink in /usr/bin")


def host_directory() -> str:
    """A small directory of the host below /usr/share, without directories in it."""
    for directory in sorted(Path("/usr/share/doc").iterdir()):
        inside = [] if directory.is_symlink() or not directory.is_dir() else list(directory.iterdir())
        if 0 < len(inside) < 10 and all(file.is_file() and not file.is_symlink() for file in inside):
            return str(directory)
    pytest.skip("no small directory in /usr/share/doc")


@pytest.mark.parametrize("function", FILES)
def test_file_comes_from_tree_then_from_host(house: House, function: str) -> None:
    path = "/usr/share/cape/file"
    assert house.call(function, path) == house.call(function, house.in_tree(path), inside=False)
    assert house.call(function, path).startswith(("ok", f"errno {95}", f"errno {61}"))
    assert house.call(function, "/usr/bin/env") == house.call(function, "/usr/bin/env", inside=False)
    assert house.call(function, "/usr/share/cape/none") == "errno 2"


@pytest.mark.parametrize("function", LINKS)
def test_link_comes_from_tree_then_from_host(house: House, function: str) -> None:
    path, other = "/usr/share/cape/link", host_link()
    assert house.call(function, path) == house.call(function, house.in_tree(path), inside=False)
    assert house.call(function, other) == house.call(function, other, inside=False)
    assert house.call(function, "/usr/share/cape/none") == "errno 2"


@pytest.mark.parametrize("function", DIRECTORIES)
def test_directory_comes_from_tree_then_from_host(house: House, function: str) -> None:
    path, other = "/usr/share/cape/dir", host_directory()
    assert house.call(function, path) == house.call(function, house.in_tree(path), inside=False)
    assert house.call(function, path).startswith("ok")
    assert house.call(function, other) == house.call(function, other, inside=False)
    none = "/usr/share/cape/none"
    assert house.call(function, none) == house.call(function, house.in_tree(none), inside=False)


@pytest.mark.parametrize("function", PATTERNS)
def test_glob_gives_the_names_that_were_asked_for(house: House, function: str) -> None:
    found = house.call(function, "/usr/share/cape/d*/*")
    assert found == "ok /usr/share/cape/dir/one /usr/share/cape/dir/two"
    assert house.call(function, "/usr/share/cape/file") == "ok /usr/share/cape/file"
    assert house.call(function, "/usr/bin/en[v]") == "ok /usr/bin/env"
    assert house.call(function, "/usr/share/cape/none*") == "glob 3"
    nocheck = str(1 << 4)
    assert house.call(function, "/usr/share/cape/none*", nocheck) == "ok /usr/share/cape/none*"


@pytest.mark.parametrize(
    "spelling",
    [
        "//usr/share/cape/file",
        "/usr/./share//cape/file",
        "/usr/share/../share/cape/file",
        "/nowhere/../usr/share/cape/file",
        "/../usr/share/cape/dir/../file",
        "/bin/../share/cape/file",
        "/lib/../share/cape/file",
    ],
)
def test_path_is_taken_in_its_normal_form(house: House, spelling: str) -> None:
    """`/bin/../share` is `/usr/share`, as /bin is a link on every merged system."""
    meant = house.in_tree("/usr/share/cape/file")
    assert house.call("open", spelling) == house.call("open", meant, inside=False)


@pytest.mark.parametrize("prefix", ["bin", "sbin", "lib", "lib64"])
def test_merged_directories_lie_below_usr(house: House, prefix: str) -> None:
    meant = write(house.root / "usr" / prefix / "cape-merged", "tree\n")
    assert house.call("stat", f"/{prefix}/cape-merged") == house.call("stat", meant, inside=False)


READERS = [*FILES, *DIRECTORIES, *PLAIN_LINKS]


@pytest.mark.parametrize("function", READERS)
def test_link_loop_is_a_loop(house: House, function: str) -> None:
    """A loop of the tree is no reason to look on the host, and one of the overlay hides the tree's file."""
    share = house.in_tree("/usr/share/cape")
    for number in range(50):
        (share / f"chain{number}").symlink_to(f"chain{number + 1}")
    (share / "chain50").symlink_to("dir")
    (share / "around").mkdir()
    (share / "around" / "back").symlink_to("../around/back")
    for name in ("loop", "loop/x", "chain0", "chain20/one", "chain11", "around/back/file"):
        path = f"/usr/share/cape/{name}"
        assert house.call(function, path) == house.call(function, share / name, inside=False), name
    (house.overlay / "var/lib/cape").mkdir(parents=True)
    loop = house.overlay / "var/lib/cape/file"
    loop.symlink_to("file")
    assert house.call(function, "/var/lib/cape/file", state=True) == house.call(function, loop, inside=False)


LONG = [
    "x/" * 2045 + "y" * 5,
    "x/" * 2045 + "y" * 6,
    "x/" * 2100,
    "./" * 3000 + "bin/env",
    "n" * 255,
    "n" * 256,
]


@pytest.mark.parametrize("function", READERS)
def test_path_too_long_gets_the_kernels_answer(house: House, function: str) -> None:
    """Up to 4095 letters are a path, whatever its normal form, and up to 255 a name."""
    for rest in LONG:
        path = f"/usr/{rest}"
        assert house.call(function, path) == house.call(function, path, inside=False), (len(path), path[-9:])


def test_path_that_fits_alone_is_looked_for_on_the_host_too(house: House) -> None:
    below = "/usr/" + "x/" * 2020  # fits, but not with the tree's root before it
    assert len(below) < 4096 < len(below) + len(str(house.root))
    assert house.call("open", below) == "errno 2"
    assert house.call("open", "/usr/" + "./" * 2020 + "bin/env").startswith("ok")


def test_trailing_slash_asks_for_a_directory(house: House) -> None:
    assert house.call("stat", "/usr/share/cape/file/") == "errno 20"
    assert house.call("stat", "/usr/share/cape/dir/").startswith("ok")


def test_machines_files_are_never_the_trees(house: House) -> None:
    assert house.call("open", "/etc/passwd") == house.call("open", "/etc/passwd", inside=False)
    assert house.call("open", "/etc/cape/../passwd") == house.call("open", "/etc/passwd", inside=False)


@pytest.mark.parametrize("path", ["/etc/cape/file", "/var/lib/cape/file"])
def test_overlay_is_read_first(house: House, path: str) -> None:
    assert house.call("open", path, state=True) == house.call("open", house.in_tree(path), inside=False)
    own = write(house.overlay / path.lstrip("/"), "overlay\n")
    assert house.call("open", path, state=True) == house.call("open", own, inside=False)
    assert house.call("open", path) == house.call("open", house.in_tree(path), inside=False)


def test_relative_paths_and_other_places_are_untouched(house: House) -> None:
    file = write(house.project / "usr" / "share" / "cape" / "file", "mine\n")
    relative = "usr/share/cape/file"
    assert house.call("open", relative) == house.call("open", relative, inside=False)
    assert house.call("open", file) == house.call("open", file, inside=False)


def test_library_code_of_the_host_never_stands_in(house: House) -> None:
    """/usr/lib holds plug-ins and modules of another system; a program there may still be started."""
    hidden = next(
        str(directory)
        for directory in sorted(Path("/usr/lib").iterdir())
        if directory.is_dir()
        and directory.name not in {"modules", "firmware", "systemd", "udev", "wsl", "ssl"}
    )
    assert house.call("stat", hidden, inside=False).startswith("ok")
    assert house.call("stat", hidden) == "errno 2"


def test_library_in_another_place_is_without_effect(house: House, tmp_path: Path) -> None:
    elsewhere = tmp_path / "libcape-redirect.so"
    elsewhere.write_bytes(house.library.read_bytes())
    assert house.call("open", "/usr/share/cape/file", LD_PRELOAD=str(elsewhere)) == "errno 2"


def test_root_is_cut_at_the_last_suffix(house: House, driver: Path, tmp_path: Path) -> None:
    """A store whose own path has `/usr/lib/` in it."""
    root = tmp_path / "usr" / "lib" / "store" / "root"
    (root / "usr").parent.mkdir(parents=True)
    (house.root / "usr").rename(root / "usr")
    library = str(root / "usr" / "lib" / "libcape-redirect.so")
    meant = house.call("stat", root / "usr/share/cape/file", inside=False)
    assert house.call("stat", "/usr/share/cape/file", LD_PRELOAD=library) == meant


@pytest.mark.skipif(os.geteuid() != 0, reason="chroot needs root")
def test_chroot_switches_the_redirect_off(house: House) -> None:
    (house.top / "jail").mkdir()
    assert house.call("chroot", house.top / "jail", "/usr/share/cape/file") == "ok -1 in /"
    assert house.call("chroot", "/usr/share/cape/dir", "/usr/share/cape/file") == "ok -1 in /"
    assert house.call("chroot", "/usr/share/cape/none", "/usr/share/cape/file") == "errno 2"


def test_child_reads_as_its_parent(house: House) -> None:
    assert house.call("fork_open", "/usr/share/cape/file") == "ok status 0"
    assert house.call("fork_open", "/usr/share/cape/none") == "ok status 2304"


def test_threads_and_forks_read_alike(house: House) -> None:
    assert house.call("threads", "/usr/share/cape/file") == "ok wrong 0"


def test_signal_handlers_may_open(house: House) -> None:
    assert house.call("signals", "/usr/share/cape/file") == "ok wrong 0 handled often"


def test_signal_handlers_may_call_what_they_may(house: House) -> None:
    """They interrupt calls that look functions up, lend variables, allocate, and copy into the overlay."""
    assert house.call("handlers", "/usr/share/cape/file", state=True) == "ok wrong 0 handled often"


def test_null_path_is_left_to_the_kernel(house: House, compile_c: object) -> None:
    assert callable(compile_c)
    source = """
    #include <errno.h>
    #include <fcntl.h>
    #include <stdio.h>
    #include <sys/stat.h>
    #include <unistd.h>
    int main(void) {
        const char *volatile none = 0;
        struct stat s;
        int a = open(none, O_RDONLY) < 0 ? errno : 0, b = stat(none, &s) < 0 ? errno : 0;
        int c = unlink(none) < 0 ? errno : 0, d = open(none, O_WRONLY | O_CREAT, 0) < 0 ? errno : 0;
        printf("%d %d %d %d", a, b, c, d);
        return 0;
    }"""
    house.driver = compile_c(source, name="null")
    assert house.call() == "14 14 14 14"
