"""Every call that changes: refused in the environment however it is addressed, made in the overlay.

After each test the environment's files are byte for byte what they were.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.redirect.conftest import House, snapshot, write
from tests.redirect.rows import BY_DESCRIPTOR, CHANGERS, MAKERS, PAIRS, REMOVERS, TEMPORARY

EROFS, ENOENT, EEXIST, EXDEV = "errno 30", "errno 2", "errno 17", "errno 18"

NOT_HERE = {"errno 95", "errno 38", "errno 61"}  # no attributes here, or libc has no lchmod


@pytest.fixture(autouse=True)
def environment_stays(house: House) -> Iterator[None]:
    before = snapshot(house.environment)
    yield
    assert snapshot(house.environment) == before


def spellings(house: House, path: str) -> dict[str, tuple[str, Path]]:
    """The ways to name a file of the tree, with the directory to be in."""
    return {
        "redirected": (path, house.project),
        "real": (str(house.in_tree(path)), house.project),
        "relative": (os.path.relpath(house.in_tree(path), house.root), house.root),
        "upwards": (os.path.relpath(house.in_tree(path), house.project), house.project),
        "from above": (os.path.relpath(house.in_tree(path), house.top), house.top),
        "from the store": (f"./environments/e1/root{path}", house.top / "store"),
        "from the root": (str(house.in_tree(path))[1:], Path("/")),
    }


WAYS = ["redirected", "real", "relative", "upwards", "from above", "from the store", "from the root"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("function", MAKERS)
def test_nothing_is_made_in_the_tree(house: House, function: str, way: str) -> None:
    path, cwd = spellings(house, "/usr/share/cape/new")[way]
    assert house.call(function, path, cwd=cwd) == EROFS
    assert not house.in_tree("/usr/share/cape/new").exists()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("function", [*CHANGERS, *REMOVERS, *BY_DESCRIPTOR])
def test_nothing_of_the_tree_is_changed(house: House, function: str, way: str) -> None:
    path, cwd = spellings(house, "/usr/share/cape/file")[way]
    assert house.call(function, path, cwd=cwd) == EROFS
    none, cwd = spellings(house, "/usr/share/cape/none")[way]
    assert house.call(function, none, cwd=cwd) == ENOENT


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("function", PAIRS)
def test_no_name_leaves_or_enters_the_tree(house: House, function: str, way: str) -> None:
    path, cwd = spellings(house, "/usr/share/cape/file")[way]
    expected = EXDEV if function.startswith("link") else EROFS
    assert house.call(function, path, house.project / "out", cwd=cwd) == expected
    own = write(house.project / "own", "mine\n")
    into, cwd = spellings(house, "/usr/share/cape/into")[way]
    assert house.call(function, own, into, cwd=cwd) == EROFS
    assert own.exists()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("function", TEMPORARY)
def test_no_temporary_file_is_made_in_the_tree(house: House, function: str, way: str) -> None:
    path, cwd = spellings(house, "/usr/share/cape/tXXXXXX")[way]
    assert house.call(function, path, cwd=cwd) == EROFS


def test_names_below_an_open_directory_of_the_tree_stay(house: House) -> None:
    """`rm -r` and its like work with descriptors."""
    assert house.call("unlinkat_below", "/usr/share/cape/dir", "one") == EROFS
    assert house.call("unlinkat_below", "/usr/share/cape/dir", "none") == ENOENT
    write(house.project / "dir" / "one", "mine\n")
    assert house.call("unlinkat_below", house.project / "dir", "one") == "ok"
    inside = os.path.relpath(house.in_tree("/usr/share/cape/file"), house.project / "dir")
    assert house.call("unlinkat_below", house.project / "dir", inside) == EROFS


@pytest.mark.parametrize("function", ["mkdir", "mkdirat", "open_exclusive", "symlink", "mknod", "mkfifo"])
def test_name_that_is_there_is_there(house: House, function: str) -> None:
    """`mkdir -p` goes on after EEXIST, as on a read-only file system."""
    assert house.call(function, "/usr/share/cape/dir") == EEXIST
    assert house.call(function, house.in_tree("/usr/share/cape/file")) == EEXIST


@pytest.mark.parametrize("function", [*MAKERS, *CHANGERS, *REMOVERS, *BY_DESCRIPTOR, *TEMPORARY])
def test_change_of_a_path_too_long_gets_the_kernels_answer(house: House, function: str) -> None:
    too_long = "errno 36"
    tail = "XXXXXX" if function in TEMPORARY else ""
    for path in ("/usr/" + "x/" * 2100 + tail, "/usr/" + "./" * 3000 + "share/cape/file" + tail):
        assert house.call(function, path) == too_long
        assert house.call(function, path, state=True) == too_long
    for path in ("/usr/share/cape/" + "n" * 250 + "XXXXXX", "/var/lib/cape/" + "n" * 250 + "XXXXXX"):
        assert house.call(function, path, state=True) == too_long


@pytest.mark.parametrize("function", PAIRS)
def test_second_name_too_long_gets_the_kernels_answer(house: House, function: str) -> None:
    own = write(house.project / "own", "mine\n")
    for path in ("/run/" + "x/" * 2100, "/usr/share/cape/" + "n" * 256, "/run/" + "n" * 256):
        assert house.call(function, own, path, state=True) == "errno 36"
        assert house.call(function, path, own, state=True) == "errno 36"


def test_creating_flag_alone_reads_a_file_that_is_there(house: House) -> None:
    """`flock FILE` opens with O_RDONLY | O_CREAT."""
    path = "/usr/share/cape/file"
    assert house.call("open_touch", path) == house.call("open", house.in_tree(path), inside=False)
    assert house.call("open_touch", "/usr/share/cape/none") == EROFS


def test_environment_under_another_name_is_the_same(house: House) -> None:
    alias = house.project / "alias"
    alias.symlink_to(house.environment)
    path = alias / "root/usr/share/cape/file"
    assert house.call("open_write", path, CAPE_ENV=str(alias)) == EROFS


@pytest.mark.parametrize("function", [*MAKERS, *TEMPORARY])
def test_own_files_are_made_as_ever(house: House, function: str) -> None:
    path = house.project / "own-XXXXXX"
    assert house.call(function, path).startswith("ok")
    assert any(entry.name.startswith("own-") for entry in house.project.iterdir())


@pytest.mark.parametrize("function", [*CHANGERS, *REMOVERS, *BY_DESCRIPTOR])
def test_own_files_are_changed_as_ever(house: House, function: str) -> None:
    path = write(house.project / "own", "mine\n")
    assert house.call(function, path).startswith("ok") or house.call(function, path) in NOT_HERE


# ---- the overlay ----


@pytest.mark.parametrize(
    "path", ["/etc/cape/new", "/var/lib/cape/new", "/run/cape/new", "/var/none/deep/new"]
)
@pytest.mark.parametrize("function", MAKERS)
def test_new_name_is_made_in_the_overlay(house: House, function: str, path: str) -> None:
    assert house.call(function, path, state=True).startswith("ok")
    made = house.overlay / path.lstrip("/")
    assert made.is_symlink() or made.exists()
    assert house.call("lstat", path, state=True).startswith("ok")
    assert house.call("lstat", path) == ENOENT  # without the project's state it is not there


@pytest.mark.parametrize("function", TEMPORARY)
def test_temporary_file_is_made_in_the_overlay(house: House, function: str) -> None:
    assert house.call(function, "/var/lib/cape/tXXXXXX", state=True) == "ok named"
    assert len(list((house.overlay / "var/lib/cape").iterdir())) == 1


@pytest.mark.parametrize("function", [name for name in CHANGERS if name != "access_write"])
def test_file_of_the_tree_is_copied_up_before_a_change(house: House, function: str) -> None:
    answer = house.call(function, "/etc/cape/file", state=True)
    assert answer.startswith("ok") or answer in NOT_HERE
    copy = house.overlay / "etc/cape/file"
    whole = house.in_tree("/etc/cape/file").read_text()
    assert copy.read_text() in (whole, "", whole[:1])
    assert [entry.name for entry in copy.parent.iterdir()] == ["file"]


def test_writing_is_allowed_where_the_overlay_takes_it(house: House) -> None:
    assert house.call("access_write", "/etc/cape/file", state=True) == "ok"
    assert house.call("access_write", "/etc/cape/none", state=True) == ENOENT


def test_appending_keeps_what_was_there(house: House) -> None:
    house.call("fopen_append", "/etc/cape/file", state=True)
    assert (house.overlay / "etc/cape/file").read_text() == "tree etc/cape/file\n"


def test_overlays_own_files_are_changed_and_removed(house: House) -> None:
    own = write(house.overlay / "var/lib/cape/own", "overlay\n")
    assert house.call("chmod", "/var/lib/cape/own", state=True) == "ok"
    assert own.stat().st_mode & 0o777 == 0o600
    assert house.call("rename", "/var/lib/cape/own", "/var/lib/cape/deep/other", state=True) == "ok"
    assert house.call("unlink", "/var/lib/cape/deep/other", state=True) == "ok"
    assert house.call("rmdir", "/var/lib/cape/deep", state=True) == "ok"
    assert house.call("link", own, "/var/lib/cape/x", state=True) == ENOENT


@pytest.mark.parametrize("function", REMOVERS)
def test_file_below_the_overlay_cannot_be_removed(house: House, function: str) -> None:
    assert house.call(function, "/var/lib/cape/file", state=True) == EROFS
    assert house.call(function, "/var/lib/cape/none", state=True) == ENOENT


def test_file_below_the_overlay_is_moved_by_copying(house: House) -> None:
    assert house.call("rename", "/var/lib/cape/file", "/var/lib/cape/other", state=True) == EXDEV


def test_files_that_are_there_are_replaced_by_rename(house: House) -> None:
    """Programs write a new file beside the old one and rename it over."""
    write(house.overlay / "etc/cape/file.new", "new\n")
    assert house.call("rename", "/etc/cape/file.new", "/etc/cape/file", state=True) == "ok"
    assert (house.overlay / "etc/cape/file").read_text() == "new\n"


def test_directory_of_the_tree_is_there_for_the_overlay(house: House) -> None:
    assert house.call("mkdir", "/var/lib/cape", state=True) == EEXIST
    assert house.call("open_exclusive", "/var/lib/cape/file", state=True) == EEXIST


def test_without_state_only_files_of_the_tree_are_guarded(house: House) -> None:
    assert house.call("open_write", "/etc/cape/file") == EROFS
    assert house.call("open_create", "/var/none/deep/new") == ENOENT
    assert house.call("mkdir", "/run/cape/none") == ENOENT


def test_machines_files_are_left_to_the_machine(house: House) -> None:
    house.call("access_write", "/etc/passwd", state=True)
    assert house.call("access_write", "/etc/passwd", state=True) == house.call(
        "access_write", "/etc/passwd", inside=False
    )
    assert not (house.overlay / "etc").exists()


def test_temporary_directory_of_the_machine_is_shared(house: House) -> None:
    """/var/tmp is not the project's."""
    answer = house.call("stat", "/var/tmp", state=True)
    assert answer == house.call("stat", "/var/tmp", inside=False)
    assert house.call("access_write", "/var/tmp", state=True) == house.call(
        "access_write", "/var/tmp", inside=False
    )


def test_home_below_var_is_the_users(house: House) -> None:
    home = "/var/lib/cape-home"
    assert house.call("open_create", f"{home}/x", state=True, HOME=home) == ENOENT
    assert house.call("open_create", f"{home}/x", state=True, HOME="/").startswith("ok")


@pytest.fixture
def as_root(house: House) -> House:
    """A project with links into the environment, which root's programs follow."""
    if os.geteuid() != 0:
        pytest.skip("other users are stopped by the files' modes")
    (house.project / "into").symlink_to(house.in_tree("/usr/share/cape"))
    (house.project / "onto").symlink_to(house.in_tree("/usr/share/cape/file"))
    return house


@pytest.mark.parametrize("before", [".//", "././", "store/../", "././/./", "store//"])
@pytest.mark.parametrize("function", ["open_write", "open_create", "chmod", "unlink"])
def test_no_spelling_of_a_relative_path_leads_past_the_guard(
    house: House, function: str, before: str
) -> None:
    inside = "environments/e1/root/usr/share/cape/file"
    path = before + inside if before == "store//" else f"{before}store/{inside}"
    assert house.call(function, path, cwd=house.top) == EROFS


@pytest.mark.parametrize("cwd", ["", "project", "store"])
@pytest.mark.parametrize("function", ["open_write", "open_create", "open_truncate", "creat", "open_append"])
def test_relative_files_of_the_project_are_written_from_anywhere(
    house: House, function: str, cwd: str
) -> None:
    for name in ("store2/own", "stor", "plain", "./dotted", "sub/../own", ".hidden/..own"):
        own = write(house.top / cwd / name, "mine\n")
        expected = house.call("stat", own, inside=False)
        assert house.call(function, name, cwd=house.top / cwd) == expected


def test_a_file_is_opened_for_writing_through_links_that_lead_elsewhere(house: House) -> None:
    own = write(house.project / "real" / "own", "mine\n")
    (house.project / "link").symlink_to("real")
    (house.project / "direct").symlink_to(own)
    for path in (Path("link/own"), house.project / "link" / "own", house.project / "direct", Path("direct")):
        assert house.call("open_truncate", path) == house.call("stat", own, inside=False)
        assert house.call("open_create", path) == house.call("stat", own, inside=False)
    assert house.call("open_create", "/dev/stdout").startswith("ok")


THEMSELVES = {"lchmod", "lchown", "lutimes", "lsetxattr", "lremovexattr", *REMOVERS}


@pytest.mark.parametrize("function", [*MAKERS, *CHANGERS, *REMOVERS, *TEMPORARY])
def test_root_changes_nothing_through_a_link_of_the_project(as_root: House, function: str) -> None:
    made = {**dict.fromkeys(MAKERS, "new"), **dict.fromkeys(TEMPORARY, "tXXXXXX")}
    for path in (as_root.project / "into", Path("into"), Path("./into"), as_root.project / "./into"):
        assert as_root.call(function, path / made.get(function, "file")) == EROFS
    if function in CHANGERS and function not in THEMSELVES:
        assert as_root.call(function, as_root.project / "onto") == EROFS


@pytest.mark.parametrize("function", PAIRS)
def test_root_moves_nothing_through_a_link_of_the_project(as_root: House, function: str) -> None:
    expected = EXDEV if function.startswith("link") else EROFS
    assert as_root.call(function, as_root.project / "into" / "file", as_root.project / "out") == expected
    own = write(as_root.project / "own", "mine\n")
    assert as_root.call(function, own, as_root.project / "into" / "new") == EROFS


def test_a_link_of_the_project_itself_is_roots_to_change(as_root: House) -> None:
    link = as_root.project / "onto"
    assert as_root.call("lchown", link) == "ok"
    assert as_root.call("lutimes", link) == "ok"
    assert as_root.call("rename", link, as_root.project / "moved") == "ok"
    assert as_root.call("unlink", as_root.project / "moved") == "ok"


@pytest.mark.parametrize("inside", ["objects/" + "0a" * 32, "environments/" + "1b" * 16])
@pytest.mark.parametrize("function", ["open_write", "open_create", "chmod", "unlink", "truncate", "mkdir"])
def test_nothing_in_an_object_or_another_environment_is_changed(
    house: House, function: str, inside: str
) -> None:
    write(house.top / "store" / inside / "tree" / "file", "sealed\n")
    name = "new" if function in ("open_create", "mkdir") else "file"
    place = house.top / "store" / inside / "tree" / name
    assert house.call(function, place) == EROFS
    assert house.call(function, name, cwd=place.parent) == EROFS
    assert house.call(function, os.path.relpath(place, house.project)) == EROFS


def test_cape_may_be_run_from_an_environment(house: House) -> None:
    """It makes objects under names that begin with a dot, and renames them."""
    objects = house.top / "store" / "objects"
    objects.mkdir()
    assert house.call("mkdir", objects / ".making") == "ok"
    assert house.call("open_create", objects / ".making" / "file").startswith("ok")
    assert house.call("rename", objects / ".making", objects / ("0a" * 32)) == "ok"
    assert house.call("rename", objects / ("0a" * 32), objects / ".doomed") == "ok"
    assert house.call("unlink", objects / ".doomed" / "file") == "ok"
