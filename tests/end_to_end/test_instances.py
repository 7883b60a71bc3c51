"""Instances of a place: which generation is staging and which production, and what must hold before it is."""

from __future__ import annotations

import json

import pytest

from tests.end_to_end.harness import STATE, Project, World
from tests.end_to_end.test_sharing import anna, bens, place, with_key

__all__ = ["anna", "place"]


def instances(project: Project) -> dict[str, dict[str, object]]:
    told = json.loads(project.cape("instances", "--json").succeeded().stdout)
    return {one["name"]: one for one in told["instances"]}


RULE = """
[promote.production]
require = ["cape run -- hello", "test -e good"]
"""


@pytest.fixture
def shared(anna: Project, place: str) -> Project:
    """Anna's project with a rule for production, at a place."""
    anna.manifest.write_text(anna.manifest.read_text() + RULE)
    anna.cape("sync").succeeded()
    anna.cape("push", place).succeeded()
    return anna


def test_promotion_goes_through_staging_and_a_failing_rule_stops_it(shared: Project) -> None:
    shared.cape("promote", "1", "staging").succeeded()
    refused = shared.cape("promote", "staging", "production").failed(
        STATE, "`production` requires `test -e good`", "exit code 1", "promote.production.require"
    )
    assert "checking: cape run -- hello" in refused.stderr, "the commands run in order"
    assert instances(shared).keys() == {"staging"}
    (shared.directory / "good").write_text("")
    shared.cape("promote", "staging", "production", "-m", "release").succeeded()
    production = instances(shared)["production"]
    assert (production["generation"], production["source"]) == (1, "staging")
    assert production["checks"] == [
        {"command": "cape run -- hello", "code": 0},
        {"command": "test -e good", "code": 0},
    ]


def test_an_upgrade_that_went_bad_is_rolled_back(shared: Project) -> None:
    (shared.directory / "good").write_text("")
    shared.cape("promote", "1", "production").succeeded()
    shared.cape("install", "tool").succeeded()
    shared.cape("push").succeeded()
    shared.cape("promote", "2", "production").succeeded()
    shared.cape("instances", "rollback", "production", "-m", "worse").succeeded()
    production = instances(shared)["production"]
    assert (production["generation"], production["action"]) == (1, "rollback")
    shared.cape("instances", "rollback", "production").failed(1, "never at another generation before 1")


def test_the_rule_is_checked_at_the_generation_that_is_promoted(shared: Project) -> None:
    shared.cape("install", "tool").succeeded()
    shared.cape("push").succeeded()
    shared.cape("promote", "1", "production").failed(STATE, "not at generation 1", "pull --generation 1")
    (shared.directory / "good").write_text("")
    shared.manifest.write_text(shared.manifest.read_text() + "# mine\n")
    shared.cape("promote", "2", "production").failed(STATE, "`cape.toml` was changed")


def test_hosts_say_whether_they_are_healthy_behind_or_drifted(stocked: World, shared: Project) -> None:
    shared.cape("promote", "1", "staging").succeeded()
    ben = bens(stocked, shared)
    shared.cape("key", "trust", with_key(ben, "ben")).succeeded()
    known = json.loads((shared.directory / ".cape/place.json").read_text())["place"]
    ben.cape("fork", known).succeeded()
    ben.cape("instances", "report", "staging").succeeded()
    assert states(shared) == ["healthy"]
    shared.cape("install", "tool").succeeded()
    shared.cape("push").succeeded()
    shared.cape("promote", "2", "staging").succeeded()
    assert states(shared) == ["behind"]
    ben.cape("pull", "--instance", "staging").succeeded()
    ben.manifest.write_text(ben.manifest.read_text() + "# mine\n")
    assert "`cape.toml` was changed" in ben.cape("instances", "report", "staging").failed(1).stdout
    assert states(shared) == ["drifted"]


def states(project: Project) -> list[object]:
    hosts = instances(project)["staging"]["hosts"]
    assert isinstance(hosts, list)
    return [host["state"] for host in hosts]


def test_an_unknown_instance_is_named_with_those_that_are(shared: Project) -> None:
    shared.cape("promote", "1", "staging").succeeded()
    shared.cape("promote", "stagin", "production").failed(1, "no instance `stagin`", "it has `staging`")
    shared.cape("promote", "9", "staging").failed(1, "no generation 9")
    shared.cape("promote", "1", "Prod/uction").failed(1, "cannot name an instance")


def test_without_a_rule_anybody_with_a_trusted_key_promotes(stocked: World, shared: Project) -> None:
    ben = bens(stocked, shared)
    known = json.loads((shared.directory / ".cape/place.json").read_text())["place"]
    ben.cape("fork", known).succeeded()
    with_key(ben, "ben")
    ben.cape("promote", "1", "staging").succeeded()
    shared.cape("instances").failed(STATE, "which you do not trust")
    shared.cape("key", "trust", ben.cape("key", "export").succeeded().stdout.strip()).succeeded()
    assert instances(shared)["staging"]["generation"] == 1


def test_ci_fails_where_an_instance_has_another_lock(shared: Project) -> None:
    shared.cape("promote", "1", "staging").succeeded()
    assert "no drift" in shared.cape("ci").succeeded().stderr
    shared.cape("install", "tool").succeeded()
    drifted = shared.cape("ci", "--check").failed(1)
    assert "staging: generation 1, which differs" in drifted.stdout
    assert "+ tool 1.0-1" in drifted.stdout
    told = json.loads(shared.cape("ci", "--check", "staging", "--json").failed(1).stdout)
    assert told["drifted"] and told["instances"][0]["changes"] == ["+ tool 1.0-1"]
    shared.cape("ci", "production").failed(1, "no instance `production`", "it has `staging`")


def test_ci_fails_where_the_lock_or_the_environment_is_not_the_manifests(stocked: World) -> None:
    project = stocked.project(hello="*")
    assert "there is no `cape.lock`" in project.cape("ci", "--check").failed(1).stdout
    project.cape("ci").failed(STATE, "there is no `cape.lock`")
    project.cape("lock").succeeded()
    assert "no environment was made" in project.cape("ci", "--check").failed(1).stdout
    project.cape("ci").succeeded()
    project.cape("ci", "--check").succeeded()
