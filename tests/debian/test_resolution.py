"""Which packages a set of requirements locks to: apt's choices, Debian's rules, and fine errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from cape.names import System
from cape.sources.debian import DebianSource
from cape.sources.protocol import (
    Requirement,
    RequirementsConflict,
    Resolution,
    ResolveContext,
    UnknownPackage,
    UnknownVersion,
)
from tests.debian.conftest import AMD64, BOTH, names, row, want
from tests.mirrors.debian import DebianMirror

Opener = Callable[..., DebianSource]


@pytest.fixture
def resolve(mirror: DebianMirror, open_source: Opener) -> Callable[..., Resolution]:
    """Publishes what was added, and resolves requirements or plain names."""

    def resolved(*wanted: str | Requirement, context: ResolveContext = AMD64) -> Resolution:
        mirror.publish()
        asked = [one if isinstance(one, Requirement) else want(one) for one in wanted]
        return open_source().resolve(asked, context)

    return resolved


Resolve = Callable[..., Resolution]


def test_dependencies_follow(mirror: DebianMirror, resolve: Resolve) -> None:
    mirror.add("tool", depends="lib (>= 2), data")
    mirror.add("lib", "2.1", Pre_Depends="base")
    mirror.add("data")
    mirror.add("base")
    resolution = resolve("tool")
    assert names(resolution) == ["base", "data", "lib", "tool"]
    assert row(resolution, "tool").dependencies == ("data", "lib")
    assert row(resolution, "lib").dependencies == ("base",)


def test_essential_packages_and_what_they_need_are_always_there(
    mirror: DebianMirror, resolve: Resolve
) -> None:
    mirror.add("tool")
    mirror.add("shell", essential=True, depends="libc")
    mirror.add("libc")
    resolution = resolve("tool")
    assert names(resolution) == ["libc", "shell", "tool"]
    assert row(resolution, "shell").attributes == {"architecture": "amd64", "essential": "yes"}
    assert row(resolution, "tool").attributes == {"architecture": "amd64"}


def test_the_first_alternative_is_preferred(mirror: DebianMirror, resolve: Resolve) -> None:
    mirror.add("tool", depends="zeta | alpha")
    mirror.add("zeta")
    mirror.add("alpha")
    assert names(resolve("tool")) == ["tool", "zeta"]


def test_the_first_alternative_that_can_be_installed_is_taken(mirror: DebianMirror, resolve: Resolve) -> None:
    mirror.add("tool", depends="absent | broken | refused | good | late")
    mirror.add("broken", depends="nothing-has-this")
    mirror.add("refused", Conflicts="tool")
    mirror.add("good")
    mirror.add("late")
    assert names(resolve("tool")) == ["good", "tool"]


def test_what_is_wanted_answers_an_alternative(mirror: DebianMirror, resolve: Resolve) -> None:
    mirror.add("tool", depends="mta-default | mail-agent")
    mirror.add("mta-default", depends="exim")
    mirror.add("exim", Provides="mail-agent", Conflicts="mail-agent")
    mirror.add("postfix", Provides="mail-agent", Conflicts="mail-agent")
    assert names(resolve("tool", "postfix")) == ["postfix", "tool"]
    assert names(resolve("tool")) == ["exim", "mta-default", "tool"]


def test_a_provider_of_higher_priority_is_preferred(mirror: DebianMirror, resolve: Resolve) -> None:
    mirror.add("tool", depends="awk")
    mirror.add("gawk", Provides="awk", Priority="optional")
    mirror.add("mawk", Provides="awk", Priority="required")
    mirror.add("original-awk", Provides="awk", Priority="optional")
    assert names(resolve("tool")) == ["mawk", "tool"]


def test_a_name_provided_without_a_version_answers_no_versioned_relation(
    mirror: DebianMirror, resolve: Resolve
) -> None:
    mirror.add("tool", depends="api (>= 2)")
    mirror.add("plain", Provides="api")
    mirror.add("old", Provides="api (= 1)")
    mirror.add("new", Provides="api (= 2.5)")
    assert names(resolve("tool")) == ["new", "tool"]


def test_a_package_may_conflict_with_what_it_provides_itself(mirror: DebianMirror, resolve: Resolve) -> None:
    mirror.add("exim", Provides="mail-agent", Conflicts="mail-agent")
    assert names(resolve("exim")) == ["exim"]


def test_qualified_relations_want_a_package_that_allows_it(mirror: DebianMirror, resolve: Resolve) -> None:
    mirror.add("tool", depends="python3:any, lib:amd64, plain:any | other:i386 | last")
    mirror.add("python3", Multi_Arch="allowed")
    mirror.add("lib")
    mirror.add("plain")
    mirror.add("other")
    mirror.add("last")
    assert names(resolve("tool")) == ["last", "lib", "python3", "tool"]


def test_recommended_packages_come_only_where_they_are_asked_for(
    mirror: DebianMirror, resolve: Resolve
) -> None:
    mirror.add("tool", Recommends="extra, absent, hostile", depends="lib")
    mirror.add("lib", Recommends="unasked")
    mirror.add("extra", depends="more", Recommends="unasked")
    mirror.add("hostile", Conflicts="tool")
    for name in ("more", "unasked"):
        mirror.add(name)
    assert names(resolve("tool")) == ["lib", "tool"]
    assert names(resolve(want("tool", recommends="true"))) == ["extra", "lib", "more", "tool"]


def test_an_early_choice_in_the_way_of_a_later_need_is_taken_back(
    mirror: DebianMirror, resolve: Resolve
) -> None:
    """The plain walk takes `a1` for the first need, which the second cannot be with: libsolv decides."""
    mirror.add("tool", depends="first, second")
    mirror.add("first", depends="a1 | a2")
    mirror.add("second", depends="strict")
    mirror.add("strict", Conflicts="a1")
    mirror.add("a1")
    mirror.add("a2")
    assert names(resolve("tool")) == ["a2", "first", "second", "strict", "tool"]


def test_another_version_is_taken_when_the_highest_cannot_be(mirror: DebianMirror, resolve: Resolve) -> None:
    mirror.add("tool", depends="lib")
    mirror.add("lib", "1")
    mirror.add("lib", "2", Breaks="tool")
    assert row(resolve("tool"), "lib").version == "1"


def test_dependency_chains_may_be_long(mirror: DebianMirror, resolve: Resolve) -> None:
    for number in range(1500):
        mirror.add(f"link{number:04}", depends=f"link{number + 1:04}" if number < 1499 else "", deb=b"x")
    assert len(names(resolve("link0000"))) == 1500


def test_rows_name_the_chosen_packages_whose_files_they_replace(
    mirror: DebianMirror, resolve: Resolve
) -> None:
    mirror.add("new", "2", depends="old, other", Replaces="old (<< 3), other (<< 1), absent")
    mirror.add("old", "2.5")
    mirror.add("other", "1")
    assert row(resolve("new"), "new").attributes == {"architecture": "amd64", "replaces": "old"}


def test_what_every_installed_debian_has_is_a_dependency_too(mirror: DebianMirror, resolve: Resolve) -> None:
    mirror.add("libext2fs2t64")
    mirror.add("libcom-err2")
    assert names(resolve("libext2fs2t64")) == ["libcom-err2", "libext2fs2t64"]


def test_circles_are_no_problem(mirror: DebianMirror, resolve: Resolve) -> None:
    mirror.add("hen", depends="egg")
    mirror.add("egg", depends="hen")
    assert names(resolve("hen")) == ["egg", "hen"]


def test_rows_of_both_systems_are_shared_where_the_artifact_is(
    mirror: DebianMirror, resolve: Resolve
) -> None:
    for architecture in ("amd64", "arm64"):
        mirror.add("tool", architecture=architecture, depends="data")
    mirror.add("data", architecture="all")
    resolution = resolve("tool", context=BOTH)
    assert names(resolution) == ["data", "tool", "tool"]
    assert row(resolution, "data").systems == (System.AARCH64_LINUX, System.X86_64_LINUX)
    assert row(resolution, "data").attributes == {"architecture": "all"}


def test_a_requirement_of_one_system_is_locked_for_that(mirror: DebianMirror, resolve: Resolve) -> None:
    for architecture in ("amd64", "arm64"):
        mirror.add("tool", architecture=architecture)
    only = replace(want("tool"), systems=(System.AARCH64_LINUX,))
    assert [package.systems for package in resolve(only, context=BOTH).packages] == [(System.AARCH64_LINUX,)]


def test_a_system_that_debian_has_nothing_for_is_noted(mirror: DebianMirror, resolve: Resolve) -> None:
    mirror.add("tool")
    context = ResolveContext(systems=(System.X86_64_LINUX, System.AARCH64_DARWIN))
    resolution = resolve("tool", context=context)
    assert resolution.notes == ("Debian has no packages for `aarch64-darwin`; not there: `tool`",)
    assert names(resolution) == ["tool"]


def test_python_means_python3(mirror: DebianMirror, resolve: Resolve) -> None:
    mirror.add("python3", "3.13.5-1")
    resolution = resolve(want("python", "3.13"))
    assert resolution.roots == {"python": ("python3",)}


def test_a_virtual_package_with_one_provider_means_it(mirror: DebianMirror, resolve: Resolve) -> None:
    mirror.add("real", Provides="virtual")
    assert resolve("virtual").roots == {"virtual": ("real",)}


def test_a_virtual_package_with_several_providers_names_them(mirror: DebianMirror, resolve: Resolve) -> None:
    mirror.add("one", Provides="virtual")
    mirror.add("two", Provides="virtual")
    with pytest.raises(UnknownPackage) as caught:
        resolve("virtual")
    assert set(caught.value.nearest) == {"one", "two"}


def test_kept_versions_stay_while_they_are_there(mirror: DebianMirror, resolve: Resolve) -> None:
    mirror.add("tool", depends="lib")
    mirror.add("lib", "1")
    before = resolve("tool")
    mirror.add("lib", "2", suite="trixie-updates")
    kept = replace(AMD64, kept=before.packages)
    assert row(resolve("tool", context=kept), "lib").version == "1"


def test_a_misspelled_name_is_told_with_the_nearest(mirror: DebianMirror, resolve: Resolve) -> None:
    for name in ("ripgrep", "ripper", "unrelated"):
        mirror.add(name)
    with pytest.raises(UnknownPackage, match=r"cape\.toml:ripgrpe") as caught:
        resolve("ripgrpe")
    assert caught.value.nearest[0] == "ripgrep"


def test_a_version_that_is_not_there_is_told_with_those_that_are(
    mirror: DebianMirror, resolve: Resolve
) -> None:
    mirror.add("tool", "1.4-2")
    with pytest.raises(UnknownVersion, match=r"cape\.toml:tool") as caught:
        resolve(want("tool", ">=9"))
    assert "`1.4-2`" in (caught.value.hint or "")


def test_a_conflict_is_told_with_its_chain_and_places(mirror: DebianMirror, resolve: Resolve) -> None:
    mirror.add("tool", depends="lib (<< 2)")
    mirror.add("other", depends="middle")
    mirror.add("middle", depends="lib (>= 2)")
    mirror.add("lib", "1.5")
    mirror.add("lib", "2.5")
    with pytest.raises(RequirementsConflict) as caught:
        resolve("tool", "other")
    error = caught.value
    assert "`tool`" in error.fact
    assert "`other`" in error.fact
    assert error.where == "cape.toml:tool, cape.toml:other"
    assert "`middle` 1.0-1 needs `lib (>= 2)`" in (error.hint or "")
    assert "`lib` 2.5" in (error.hint or "")


def test_a_need_that_nothing_answers_is_named(mirror: DebianMirror, resolve: Resolve) -> None:
    mirror.add("tool", depends="ghost (>= 3)")
    with pytest.raises(RequirementsConflict, match="`tool` cannot be installed") as caught:
        resolve("tool")
    assert "`tool` 1.0-1 needs `ghost (>= 3)`, which no package answers" in (caught.value.hint or "")


def test_wanted_packages_that_refuse_each_other_are_named(mirror: DebianMirror, resolve: Resolve) -> None:
    mirror.add("tool", Conflicts="rival")
    mirror.add("rival")
    with pytest.raises(RequirementsConflict, match="together") as caught:
        resolve("tool", "rival")
    assert "`tool` 1.0-1 cannot be with `rival`" in (caught.value.hint or "")


def test_order_of_requirements_changes_nothing_without_conflicts(
    mirror: DebianMirror, resolve: Resolve
) -> None:
    mirror.add("one", depends="shared")
    mirror.add("two", depends="shared")
    mirror.add("shared")
    assert resolve("one", "two") == resolve("two", "one")


def test_search_ranks_names_before_summaries(mirror: DebianMirror, open_source: Opener) -> None:
    mirror.add("grep", Description="patterns in text")
    mirror.add("ripgrep", Description="fast search")
    mirror.add("ugrep", Description="another")
    mirror.add("silver", Description="a Grep for code")
    mirror.publish()
    source = open_source()
    assert [found.name for found in source.find("grep")] == ["grep", "ugrep", "ripgrep", "silver"]
    assert [found.name for found in source.find("grep fast")] == ["ripgrep"]
    assert source.find("", limit=5) == ()


def test_a_package_is_described(mirror: DebianMirror, open_source: Opener) -> None:
    mirror.add("tool", "1.2-3", depends="a | b", Homepage="https://tool.invalid", Installed_Size="12")
    mirror.publish()
    described = open_source().describe("tool")
    assert described is not None
    assert (described.version, described.depends, described.installed_bytes) == ("1.2-3", ("a | b",), 12288)
    assert open_source().describe("none") is None
