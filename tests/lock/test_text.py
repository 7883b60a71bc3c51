"""The lock as text: one form, refused when it cannot be trusted, readable after a merge."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.errors import CapeError
from cape.lock import (
    BadLock,
    Lock,
    LockNotWritable,
    LockTooNew,
    LockUnreadable,
    lock_manifest,
    parse_lock,
    read_lock,
    render_lock,
    write_lock,
)
from tests.lock.fakes import DEBIAN, FakeSource, manifest, sources
from tests.lock.values import locks

PATH = Path("cape.lock")


def parsed(text: str) -> Lock:
    return parse_lock(text, path=PATH)


def a_lock() -> Lock:
    return lock_manifest(manifest('jq = "*"', 'tzdata = "*"', 'six = { pypi = "*" }'), sources(), None)


# -- form ---------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(locks())
def test_parsing_what_was_rendered_gives_the_lock(lock: Lock) -> None:
    assert parsed(render_lock(lock)) == lock


@settings(max_examples=50, deadline=None)
@given(locks())
def test_text_is_one_object_a_line_sorted_below_its_header(lock: Lock) -> None:
    text = render_lock(lock)
    header, *lines, end = text.split("\n")
    assert (header, end) == ('{"cape-lock":1}', "")
    assert lines == sorted(set(lines))
    assert text.isascii()
    assert all(next(iter(json.loads(line))) == "row" for line in lines)


def test_row_of_a_package_reads_as_documented() -> None:
    text = render_lock(lock_manifest(manifest('tzdata = "*"'), sources(), None))
    assert re.sub(r"[0-9a-f]{64}", "HEX", text).splitlines() == [
        '{"cape-lock":1}',
        '{"row":"environment","systems":["aarch64-linux","x86_64-linux"],"debian":"trixie"}',
        '{"row":"package","source":"debian","name":"tzdata","version":"2025b",'
        '"systems":["aarch64-linux","x86_64-linux"],"registry":"debian","location":"pool/tzdata/tzdata_2025b_all",'
        '"sha256":"HEX","size":16}',
        '{"row":"requirement","name":"tzdata","source":"debian","package":"tzdata","constraint":"*",'
        '"roots":["tzdata"]}',
        '{"row":"resolution","source":"debian","requirements":"HEX"}',
        '{"row":"snapshot","source":"debian","registry":"debian","name":"trixie","date":"2026-01-01",'
        '"sha256":"HEX"}',
    ]


# -- refusals -----------------------------------------------------------------------------------------


def with_row(**changes: object) -> str:
    """A lock's text in which the first package row has other values (None: none)."""
    lines = render_lock(a_lock()).split("\n")
    row = json.loads(lines[2])
    row.update(changes)
    lines[2] = json.dumps({key: value for key, value in row.items() if value is not None})
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({"sha256": None}, "the row has no `sha256`"),
        ({"size": None}, "the row has no `size`"),
        ({"sha256": None, "size": None}, "the row has no `sha256`, `size`"),
        ({"sha256": "abc"}, "`sha256` is not 64 hexadecimal digits"),
        ({"sha256": "G" * 64}, "`sha256` is not 64 hexadecimal digits"),
        ({"size": -1}, "`size` is -1, and must be a number of bytes"),
        ({"size": True}, "`size` is True"),
        ({"size": "7"}, "`size` is '7'"),
        ({"location": "https" + "://mirror.test/pool/x.deb"}, "`location` names a host: `https://...`"),
        ({"location": "/etc/passwd"}, "`location` is no relative path"),
        ({"location": "pool/../../x"}, "`location` is no relative path"),
        ({"location": ""}, "`location` is no relative path"),
        ({"placement": "../../home"}, "`placement` is no relative path"),
        ({"systems": ["mips-linux"]}, "`systems` has a system that cape does not know"),
        ({"systems": "x86_64-linux"}, "`systems` is no list"),
        ({"name": 7}, "`name` is no text"),
        ({"dependencies": "x"}, "`dependencies` is no list of texts"),
        ({"attributes": {"a": 1}}, "`attributes` is no table of texts"),
        ({"colour": "red"}, "the row has an unknown key `colour`"),
        ({"row": "parcel"}, "a row of the unknown kind `parcel`"),
        ({"row": None}, "the line is no row of a lock"),
    ],
)
def test_row_that_cannot_be_trusted_is_refused_with_its_line(changes: dict[str, object], fact: str) -> None:
    with pytest.raises(BadLock) as caught:
        parsed(with_row(**changes))
    assert fact in caught.value.fact
    assert caught.value.where == "cape.lock:3"


def test_line_that_is_no_json_is_refused_with_its_number() -> None:
    text = render_lock(a_lock()).replace('"size":', "size:", 1)
    with pytest.raises(BadLock, match="the line is no JSON") as caught:
        parsed(text)
    assert caught.value.where == "cape.lock:3"


def test_two_halves_of_a_line_are_not_read_as_one_row_each() -> None:
    text = render_lock(a_lock())
    with pytest.raises(BadLock, match="the line is no JSON"):
        parsed(text.replace(',"version"', '},{"version"', 1))


@pytest.mark.parametrize("text", ["", "\n", "{}\n", '{"row":"environment","systems":[],"debian":null}\n'])
def test_file_without_a_header_is_refused(text: str) -> None:
    with pytest.raises(BadLock, match="header is missing"):
        parsed(text)


def test_lock_of_a_newer_format_is_refused_with_what_to_do() -> None:
    with pytest.raises(LockTooNew, match="the lockfile has format 2, and this cape reads format 1") as caught:
        parsed(render_lock(a_lock()).replace('{"cape-lock":1}', '{"cape-lock":2}') + '{"row":"news"}\n')
    assert caught.value.hint == "use a newer cape"


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_lock_gives_a_value_or_an_error_of_ours(data: st.DataObject) -> None:
    text = render_lock(a_lock())
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        stop = data.draw(st.integers(start, min(len(text), start + 20)))
        text = (
            text[:start] + data.draw(st.text(st.sampled_from('{}[]",:1ae\n<=>|'), max_size=4)) + text[stop:]
        )
    try:
        lock = parsed(text)
    except CapeError as error:
        assert (error.where or "").startswith("cape.lock:")
    else:
        assert lock.needs_relock or render_lock(lock).split() == text.split()


# -- files --------------------------------------------------------------------------------------------


def test_lock_is_read_back_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "cape.lock"
    assert read_lock(path) is None
    assert write_lock(path, a_lock())
    assert read_lock(path) == a_lock()


def test_file_that_holds_the_lock_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "cape.lock"
    write_lock(path, a_lock())
    before = path.stat()
    assert not write_lock(path, a_lock())
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_lock_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "cape.lock"
    write_lock(path, a_lock())
    (tmp_path / f".cape.lock.{os.getpid()}.tmp").mkdir()
    old = path.read_bytes()
    with pytest.raises(LockNotWritable, match="cannot be written"):
        write_lock(path, Lock())
    assert path.read_bytes() == old


def test_lock_that_meets_a_full_disk_leaves_the_old_one_and_no_rest(tmp_path: Path) -> None:
    """The disk is full after 64 bytes: the kernel's own limit, in a process of its own."""
    path = tmp_path / "cape.lock"
    write_lock(path, a_lock())
    old = path.read_bytes()
    code = (
        "import resource, sys; from pathlib import Path; from cape.lock import *\n"
        "path = Path(sys.argv[1]); lock = read_lock(path)\n"
        "path.with_name('new').write_text(''); resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))\n"
        "try: write_lock(path.with_name('new'), lock); print('written')\n"
        "except LockNotWritable as error: print(error.slug, *error.causes())\n"
        "from cape.names import System\n"
        "from dataclasses import replace\n"
        "try: write_lock(path, replace(lock, suite='forky')); print('written')\n"
        "except LockNotWritable as error: print(error.slug)\n"
    )
    answer = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines() == ["lock-not-writable [Errno 27] File too large", "lock-not-writable"]
    assert path.read_bytes() == old
    assert sorted(each.name for each in tmp_path.iterdir()) == ["cape.lock", "new"]


@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
def test_lock_is_old_or_new_whichever_step_of_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "cape.lock"
    write_lock(path, a_lock())
    old = path.read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(LockNotWritable):
        write_lock(path, Lock())
    monkeypatch.undo()
    assert path.read_bytes() == old
    assert [each.name for each in tmp_path.iterdir()] == ["cape.lock"]


def test_lockfile_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "cape.lock").mkdir()
    with pytest.raises(LockUnreadable, match="cannot be read"):
        read_lock(tmp_path / "cape.lock")
    (tmp_path / "other.lock").write_bytes(b"\xff")
    with pytest.raises(BadLock, match="not UTF-8"):
        read_lock(tmp_path / "other.lock")


# -- merges -------------------------------------------------------------------------------------------


def union(tmp_path: Path, base: str, ours: str, theirs: str, *options: str) -> str:
    """What git makes of two changes of one file; `--union` unless other options are given."""
    if shutil.which("git") is None:
        pytest.skip("there is no git")
    for name, text in (("base", base), ("ours", ours), ("theirs", theirs)):
        (tmp_path / name).write_text(text)
    command = ["git", "merge-file", "-p", *(options or ["--union"]), "ours", "base", "theirs"]
    return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout


BASE = ['git = "*"']
MERGES = [
    (['git = "*"', 'jq = "*"'], ['git = "*"', 'ripgrep = "*"'], ['git = "*"', 'jq = "*"', 'ripgrep = "*"']),
    (['git = "*"', 'jq = "<1.7"'], ['git = "*"', 'jq = "*"'], ['git = "*"', 'jq = "*"']),
    ([], ['git = "*"', 'jq = "*"'], ['jq = "*"']),
    (['git = "*"', 'six = { pypi = "*" }'], ['git = "*"', 'pandas = { pypi = "=2.2" }'],
     ['git = "*"', 'six = { pypi = "*" }', 'pandas = { pypi = "=2.2" }']),
    (['git = "*"', 'six = { pypi = "*" }', 'python = "<3.13"'], ['git = "*"', 'six = { pypi = "*" }'],
     ['git = "*"', 'six = { pypi = "*" }', 'python = "<3.13"']),
]  # fmt: skip


@pytest.mark.parametrize(("ours", "theirs", "merged"), MERGES)
@pytest.mark.parametrize(
    "options", [["--union"], ["--ours"], [], ["--diff3"]], ids=lambda each: "".join(each)
)
def test_merge_of_two_locks_relocks_to_the_lock_of_the_merged_manifest(
    tmp_path: Path, ours: list[str], theirs: list[str], merged: list[str], options: list[str]
) -> None:
    texts = [render_lock(lock_manifest(manifest(*lines), sources(), None)) for lines in (BASE, ours, theirs)]
    options = options or ["-L", "a", "-L", "b", "-L", "c"]
    lock = parsed(union(tmp_path, texts[0], texts[1], texts[2], *options))
    again = lock_manifest(manifest(*merged), sources(), lock)
    assert not again.needs_relock
    assert render_lock(again) == render_lock(lock_manifest(manifest(*merged), sources(), None))


PACKAGES = [
    'jq = "*"',
    'git = "*"',
    'ripgrep = "*"',
    'tzdata = "*"',
    'six = { pypi = "*" }',
    'node = { npm = "*" }',
]
some_packages = st.lists(st.sampled_from(PACKAGES), max_size=4, unique=True)


@settings(max_examples=40, deadline=None)
@given(some_packages, some_packages, some_packages)
def test_any_mixture_of_two_locks_relocks_to_a_clean_lock(
    ours: list[str], theirs: list[str], merged: list[str]
) -> None:
    """All lines of both sides, as the coarsest union merge leaves them."""
    sides = [render_lock(lock_manifest(manifest(*lines), sources(), None)) for lines in (ours, theirs)]
    again = lock_manifest(manifest(*merged), sources(), parsed("".join(sides)))
    text = render_lock(again)
    assert parsed(text) == again
    assert text == render_lock(lock_manifest(manifest(*merged), sources(), None))


def test_both_sides_of_a_union_merge_need_relocking(tmp_path: Path) -> None:
    for ours, theirs, _ in MERGES[:2]:
        texts = [
            render_lock(lock_manifest(manifest(*lines), sources(), None)) for lines in (BASE, ours, theirs)
        ]
        lock = parsed(union(tmp_path, *texts))
        assert lock.needs_relock
        assert lock.unsettled == {"debian"}


def test_source_that_no_branch_changed_is_kept_through_a_merge(tmp_path: Path) -> None:
    npm = 'typescript = { npm = "*" }'
    texts = [
        render_lock(lock_manifest(manifest(npm, *lines), sources(), None))
        for lines in (BASE, [*BASE, 'jq = "*"'], [*BASE, 'ripgrep = "*"'])
    ]
    given = sources()
    lock_manifest(manifest(npm, *BASE, 'jq = "*"', 'ripgrep = "*"'), given, parsed(union(tmp_path, *texts)))
    assert [name for name, source in given.items() if source.asked] == ["debian"]


def test_versions_that_only_one_branch_moved_are_kept_through_a_merge(tmp_path: Path) -> None:
    """A merged lock is the starting point: what both sides agree on does not move."""
    old = {**DEBIAN, "ripgrep": DEBIAN["ripgrep"][:1]}
    texts = [
        render_lock(lock_manifest(manifest('ripgrep = "*"', *lines), sources(debian=old), None))
        for lines in ([], ['jq = "*"'], ['tzdata = "*"'])
    ]
    lock = parsed(union(tmp_path, *texts))
    again = lock_manifest(manifest('ripgrep = "*"', 'jq = "*"', 'tzdata = "*"'), sources(), lock)
    assert {row.version for row in again.packages if row.name == "ripgrep"} == {"13.0"}


def test_branches_that_read_other_states_of_a_registry_are_asked_again(tmp_path: Path) -> None:
    dated = [FakeSource("debian", DEBIAN, date=f"2026-01-0{day}") for day in (1, 2, 3)]
    texts = [render_lock(lock_manifest(manifest('jq = "*"'), {"debian": each}, None)) for each in dated]
    lock = parsed(union(tmp_path, *texts))
    assert lock.unsettled == {"debian"}
    assert [snapshot.date for snapshot in lock.snapshots] == ["2026-01-03"]


def test_two_versions_of_a_package_are_dropped_and_the_rest_is_kept() -> None:
    one_side = lock_manifest(manifest('jq = "<1.7"', 'git = "*"'), sources(), None)
    other = lock_manifest(manifest('jq = "*"', 'git = "*"'), sources(), None)
    lines = [*render_lock(one_side).splitlines(), *render_lock(other).splitlines()[1:]]
    lock = parsed("\n".join(lines))
    assert lock.needs_relock
    assert {row.name for row in lock.packages} == {"git", "perl", "libc6", "libjq1"}
    assert [requirement.name for requirement in lock.requirements] == ["git"]


def test_lines_out_of_order_or_twice_are_only_put_in_order() -> None:
    clean = render_lock(a_lock())
    header, *lines = clean.splitlines()
    for muddled in ([*lines[::-1]], [*lines, lines[3]]):
        lock = parsed("\n".join([header, *muddled]))
        assert lock.needs_relock
        assert lock.unsettled == frozenset()
        given = sources()
        again = lock_manifest(manifest('jq = "*"', 'tzdata = "*"', 'six = { pypi = "*" }'), given, lock)
        assert not any(source.asked for source in given.values())
        assert render_lock(again) == clean


@pytest.mark.parametrize("end", ["\r\n", "\n\n"])
def test_line_ends_play_no_part(end: str) -> None:
    assert parsed(render_lock(a_lock()).replace("\n", end)) == a_lock()


def test_requirement_row_that_was_edited_by_hand_needs_relocking() -> None:
    lock = parsed(render_lock(a_lock()).replace('"constraint":"*"', '"constraint":"<9"', 1))
    assert lock.unsettled == {"debian"}


def test_row_that_another_needs_and_that_is_gone_needs_relocking() -> None:
    lines = [line for line in render_lock(a_lock()).splitlines() if '"name":"libjq1"' not in line]
    assert parsed("\n".join(lines)).unsettled == {"debian"}


def test_lock_that_needs_relocking_is_never_written(tmp_path: Path) -> None:
    lock = parsed(render_lock(a_lock()) + "=======\n")
    with pytest.raises(AssertionError):
        write_lock(tmp_path / "cape.lock", lock)
