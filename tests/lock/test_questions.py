"""Freshness, comparison, identity and reasons: what a lock answers by itself."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.lock import (
    Lock,
    artifacts_of,
    check_freshness,
    compare_locks,
    explain,
    identity,
    lock_manifest,
    rows_for,
)
from cape.lock.changes import version_order
from cape.manifest import Expose, Manifest
from cape.names import System
from tests.lock.fakes import DEBIAN, manifest, one, sources

X86, ARM = System.X86_64_LINUX, System.AARCH64_LINUX


def locked(*lines: str, **catalogues: object) -> Lock:
    return lock_manifest(manifest(*lines), sources(**catalogues), None)  # type: ignore[arg-type]


# -- freshness ----------------------------------------------------------------------------------------

OLD = ('jq = "*"', 'six = { pypi = "*" }')
DIFFERENCES: list[tuple[Manifest, str]] = [
    (manifest(*OLD, 'git = "*"'), "`git` is in the manifest and not locked"),
    (manifest(*OLD[1:]), "`jq` is locked and no longer in the manifest"),
    (manifest('jq = ">=1.7"', *OLD[1:]), "`jq` is `>=1.7` in the manifest, and was locked as `*`"),
    (manifest('jq = { npm = "*" }', *OLD[1:]),
     "`jq` is `npm:jq` in the manifest, and was locked as `debian:jq`"),
    (manifest('jq = { debian = "*", systems = ["x86_64-linux"] }', *OLD[1:]),
     "`jq` is wanted on other systems than it was locked for"),
    (manifest('jq = { debian = "*", recommends = true }', *OLD[1:]),
     "`jq` has other options than it was locked with"),
    (manifest(*OLD, systems=["x86_64-linux"]),
     "the manifest lists `x86_64-linux`, and locked are `aarch64-linux`, `x86_64-linux`"),
    (manifest(*OLD, debian="forky"), "the manifest's suite is `forky`, and the lock's is `trixie`"),
    (manifest(*OLD, more='[environment.expose]\nhide = ["jq"]\n'),
     "the programs that `environment.expose` adds or hides differ"),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "sentence"), DIFFERENCES)
def test_difference_is_told_in_a_sentence(changed: Manifest, sentence: str) -> None:
    assert sentence in check_freshness(changed, locked(*OLD))


def test_order_comments_and_other_tables_play_no_part_in_freshness() -> None:
    changed = manifest(
        "# moved", *OLD[::-1], more='[vars]\nA = "b"\n', systems=["aarch64-linux", "x86_64-linux"]
    )
    assert check_freshness(changed, locked(*OLD)) == ()


def test_removing_the_last_python_package_makes_the_interpreter_stale_too() -> None:
    assert check_freshness(manifest('jq = "*"'), locked(*OLD)) == (
        "`libstdc++6` is locked and no longer in the manifest",
        "`python3` is locked and no longer in the manifest",
        "`six` is locked and no longer in the manifest",
    )


# -- comparison ---------------------------------------------------------------------------------------


def test_changes_read_as_lines() -> None:
    old = locked('jq = "<1.7"', 'git = "*"', 'typescript = { npm = "*" }')
    new = locked('jq = "*"', 'ripgrep = "*"', 'typescript = { npm = "=5.6.3" }')
    changes = compare_locks(old, new)
    assert changes.lines() == (
        "- git 2.47",
        "~ jq 1.6 -> 1.7",
        "- perl 5.40",
        "+ ripgrep 14.1",
        "~ npm:typescript 5.9.0 -> 5.6.3 (older)",
    )
    assert changes.fields()[-1] == {
        "kind": "downgraded",
        "source": "npm",
        "name": "typescript",
        "before": ["5.9.0"],
        "after": ["5.6.3"],
    }
    assert [change.name for change in changes.upgraded] == ["jq"]
    assert [change.name for change in changes.downgraded] == ["typescript"]
    assert len(changes) == 5


def test_first_lock_adds_everything() -> None:
    assert compare_locks(None, locked('tzdata = "*"')).lines() == ("+ tzdata 2025b",)


def test_equal_locks_have_no_changes() -> None:
    assert not compare_locks(locked(*OLD), locked(*OLD))


def test_same_version_with_another_artifact_is_told() -> None:
    old = locked('tzdata = "*"')
    new = locked('tzdata = "*"', debian={**DEBIAN, "tzdata": [one("2025b")]})
    assert compare_locks(old, new).lines() == ("~ tzdata 2025b (other files)",)


ORDERED = [
    "0.9", "1.0~beta1", "1.0a1", "1.0rc1", "1.0", "1.0+b1", "1.0.1", "1.2-1", "1.2-1+deb13u1", "1.9", "1.10",
    "2.0.0-rc.1", "2.0.0", "2025a", "2025b", "1:0.5", "2:0.1",
]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.tuples(st.sampled_from(range(len(ORDERED))), st.sampled_from(range(len(ORDERED)))))
def test_ordinary_versions_sort_as_people_read_them(pair: tuple[int, int]) -> None:
    """The order of the list is worked by hand from Debian's, Python's and npm's rules."""
    low, high = sorted(pair)
    assert (version_order(ORDERED[low]) < version_order(ORDERED[high])) == (low != high)


# -- identity -----------------------------------------------------------------------------------------


def test_identity_does_not_change_with_other_systems_or_wording() -> None:
    both = locked('jq = "*"')
    only = lock_manifest(manifest('jq = "=1.7"', systems=["x86_64-linux"]), sources(), None)
    assert identity(both, X86, layout_version=1) == identity(only, X86, layout_version=1)


def test_identity_does_not_change_with_the_state_of_a_registry() -> None:
    lock = locked('jq = "*"')
    later = replace(lock, snapshots=tuple(replace(each, date="2027-01-01") for each in lock.snapshots))
    assert identity(later, X86, layout_version=1) == identity(lock, X86, layout_version=1)


def test_identity_changes_with_all_that_decides_the_tree() -> None:
    lock = locked('jq = "*"', 'ripgrep = "*"')
    root = replace(lock, roots={"jq": ("jq",), "ripgrep": ("ripgrep", "libc6")})
    others = [
        identity(lock, ARM, layout_version=1),
        identity(lock, X86, layout_version=2),
        identity(locked('jq = "<1.7"', 'ripgrep = "*"'), X86, layout_version=1),
        identity(replace(lock, expose=Expose(add=("perl",))), X86, layout_version=1),
        identity(replace(lock, expose=Expose(hide=("perl",))), X86, layout_version=1),
        identity(root, X86, layout_version=1),
    ]
    assert len({identity(lock, X86, layout_version=1), *others}) == 7


def test_rows_of_a_system_are_those_that_hold_on_it() -> None:
    rows = rows_for(locked('jq = { debian = "*", systems = ["aarch64-linux"] }', 'tzdata = "*"'), X86)
    assert [row.name for row in rows] == ["tzdata"]


def test_artifacts_are_each_named_once() -> None:
    lock = locked('jq = "*"', 'tzdata = "*"')
    rows = artifacts_of(lock)
    assert len(rows) == len({row.artifact.digest for row in lock.packages}) == 7


# -- reasons ------------------------------------------------------------------------------------------


def test_reasons_are_chains_from_the_manifest_shortest_first() -> None:
    lock = locked('git = "*"', 'perl = "*"', 'jq = "*"', 'py = { debian = "*", name = "python" }')
    assert explain(lock, "libc6") == (
        ("git", "libc6"),
        ("perl", "libc6"),
        ("jq", "libjq1", "libc6"),
        ("py", "python3", "libc6"),
    )


def test_reason_of_what_the_manifest_names_is_itself() -> None:
    assert explain(locked('jq = "*"'), "jq") == (("jq",),)
    assert explain(locked('python = "*"'), "python") == (("python", "python3"),)


def test_reasons_may_be_asked_by_source() -> None:
    lock = locked('node = { npm = "*" }', 'git = "*"')
    assert explain(lock, "npm:node") == (("node",),)
    assert explain(lock, "debian:node") == ()


def test_package_that_is_not_locked_has_no_reason() -> None:
    assert explain(locked('jq = "*"'), "emacs") == ()


# -- cost ---------------------------------------------------------------------------------------------


def test_room_imports_nothing_heavy() -> None:
    code = "import sys, cape.lock, cape.manifest; print(sorted(set(sys.modules) & set(sys.argv[1:])))"
    heavy = [
        "tomlkit",
        "tomllib",
        "urllib3",
        "packaging",
        "solv",
        "difflib",
        "subprocess",
        "inspect",
        "hypothesis",
    ]
    answer = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() in ("[]", "['inspect']")
