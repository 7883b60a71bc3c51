"""What a pulled, forked or borrowed environment would run, it runs after consent and not before."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from pathlib import Path

import pytest

from tests.end_to_end.harness import CAPE, STATE, Project, World
from tests.end_to_end.test_sharing import anna, bens, with_key

__all__ = ["anna"]

HOOK = '\n[hook]\non-activate = "touch $CAPE_PROJECT/ran-{what}"\n[vars]\nMODE = "{what}"\n'
RAN = "ran-first"


@pytest.fixture
def place(stocked: World, anna: Project) -> str:
    """A place with Anna's project, which has a hook."""
    anna.manifest.write_text(anna.manifest.read_text() + HOOK.format(what="first"))
    anna.cape("sync").succeeded()
    where = str(stocked.place / "place")
    anna.cape("push", where, "--with-artifacts").succeeded()
    return where


def change_hook(anna: Project, old: str, new: str) -> None:
    anna.manifest.write_text(anna.manifest.read_text().replace(old, new))
    anna.cape("sync").succeeded()
    anna.cape("push").succeeded()


def allow_command(stderr: str) -> list[str]:
    """The words after `cape` of the command that the hint names."""
    return stderr.split("`cape allow ")[1].split("`")[0].split()


def ran(project: Project) -> set[str]:
    return {file.name for file in project.directory.glob("ran-*")}


def test_a_forked_hook_runs_after_consent_only_and_asks_again_when_it_changed(
    stocked: World, anna: Project, place: str
) -> None:
    ben = bens(stocked, anna)
    ben.cape("fork", place).succeeded()
    for command in (("run", "--", "hello"), ("activate", "-c", "hello"), ("activate", "--shell", "bash")):
        told = ben.cape(*command).failed(STATE, "somebody else's", "`hook.on-activate`", "`vars.MODE`")
        assert not told.stdout and ran(ben) == set()
    ben.cape("allow", *allow_command(told.stderr)).succeeded()
    ben.cape("run", "--", "hello").succeeded()
    assert ran(ben) == {RAN}
    change_hook(anna, "ran-first", "ran-second")
    ben.cape("pull").succeeded()
    ben.cape("run", "--", "hello").failed(STATE, "it changed since you did")
    ben.cape("run", "--allow-hooks", "--", "hello").succeeded()
    ben.cape("run", "--", "hello").succeeded()
    assert ran(ben) == {RAN, "ran-second"}
    change_hook(anna, "ran-second", "ran-third")
    ben.cape("pull").succeeded()
    ben.cape("pull", "--generation", "2").succeeded()
    ben.cape("run", "--", "hello").succeeded()  # the same content was agreed to


def test_what_one_signed_oneself_asks_nothing(anna: Project, place: str) -> None:
    anna.cape("pull", place).succeeded()
    anna.cape("run", "--", "hello").succeeded()
    other = anna.directory.parent / "annas-second"
    anna.cape("fork", place, str(other)).succeeded()
    anna.cape("-C", str(other), "run", "--", "hello").succeeded()
    assert (other / RAN).exists()


def test_a_borrowed_hook_runs_after_consent_only(stocked: World, anna: Project, place: str) -> None:
    ben = bens(stocked, anna)
    told = ben.cape("run", "-r", place, "--", "hello").failed(STATE, "somebody else's", "--allow-hooks")
    ben.cape("activate", "-r", place, "--shell", "bash").failed(STATE, "somebody else's")
    (borrowed,) = allow_command(told.stderr)
    ben.cape("allow", borrowed).succeeded()
    assert ben.cape("run", "-r", place, "--", "hello").succeeded().stdout
    assert (Path(borrowed) / RAN).exists()
    change_hook(anna, "ran-first", "ran-second")
    ben.cape("run", "-r", place, "--", "hello").failed(STATE, "it changed since you did")
    assert not (Path(borrowed) / "ran-second").exists()
    ben.cape("run", "-r", place, "--allow-hooks", "--", "hello").succeeded()
    assert (Path(borrowed) / "ran-second").exists()


def test_the_hook_of_another_environment_of_it_is_asked_for_too(
    stocked: World, anna: Project, place: str
) -> None:
    more = '\n[environments.test.hook]\non-activate = "touch $CAPE_PROJECT/ran-test"\n'
    anna.manifest.write_text(anna.manifest.read_text().replace(HOOK.format(what="first"), more))
    anna.cape("sync").succeeded()
    anna.cape("push").succeeded()
    ben = bens(stocked, anna)
    ben.cape("fork", place).succeeded()
    ben.cape("run", "-e", "test", "--", "hello").failed(STATE, "`environments.test.hook.on-activate`")
    assert ran(ben) == set()


def test_services_and_rules_of_promotion_wait_for_consent_too(
    stocked: World, anna: Project, place: str
) -> None:
    rule = '\n[services.web]\ncommand = "touch ran-web; sleep 60"\n'
    rule += '[promote.production]\nrequire = ["touch ran-rule"]\n'
    anna.manifest.write_text(anna.manifest.read_text() + rule)
    anna.cape("sync").succeeded()
    anna.cape("push").succeeded()
    ben = bens(stocked, anna)
    ben.cape("fork", place).succeeded()
    with_key(ben, "ben")
    ben.cape("services", "up").failed(STATE, "`services.web`")
    ben.cape("promote", "2", "production").failed(STATE, "`services.web`")
    assert ran(ben) == set()
    ben.cape("allow").succeeded()
    ben.cape("promote", "2", "production").succeeded()
    assert ran(ben) == {"ran-rule"}


def test_a_rule_of_somebody_else_is_asked_for_before_it_runs_and_not_before_that(
    stocked: World, anna: Project
) -> None:
    rule = '\n[promote.production]\nrequire = ["touch ran-{what}"]\n'
    where = str(stocked.place / "place")
    plain = anna.manifest.read_text()
    anna.manifest.write_text(plain + rule.format(what="rule"))
    anna.cape("sync").succeeded()
    anna.cape("push", where, "--with-artifacts").succeeded()
    anna.cape("promote", "1", "production").succeeded()
    ben = bens(stocked, anna)
    ben.cape("fork", where).succeeded()
    with_key(ben, "ben")
    anna.cape("key", "trust", ben.cape("key", "export").succeeded().stdout.strip()).succeeded()
    ben.cape("run", "--", "hello").succeeded()  # a rule is nothing that running runs
    told = ben.cape("promote", "1", "production").failed(STATE, "`promote.production`", "`cape promote`")
    assert ran(ben) == set() and "checking:" not in told.stderr
    ben.cape("allow", *allow_command(told.stderr)).succeeded()
    ben.cape("promote", "1", "production").succeeded()
    assert ran(ben) == {"ran-rule"}
    anna.manifest.write_text(plain + rule.format(what="other"))
    anna.cape("sync").succeeded()
    anna.cape("push").succeeded()
    ben.cape("pull").succeeded()
    ben.cape("promote", "2", "production").failed(STATE, "it changed since you did")
    ben.cape("promote", "2", "production", "--allow-hooks").succeeded()
    assert ran(ben) == {"ran-rule", "ran-other"}


def test_a_pull_that_fails_holds_nothing_back(stocked: World, anna: Project, place: str) -> None:
    ben = bens(stocked, anna)
    ben.cape("fork", place).succeeded()
    ben.cape("allow").succeeded()
    ben.cape("run", "--", "hello").succeeded()
    change_hook(anna, "ran-first", "ran-second")
    for blob in Path(place).glob("blobs/*/*"):
        if b"ran-second" in blob.read_bytes():
            blob.unlink()
    ben.cape("pull").failed(3, "lacks `cape.toml`")
    ben.cape("run", "--", "hello").succeeded()


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", STATE)])
def test_a_terminal_is_asked_and_shows_what_would_run(
    stocked: World, anna: Project, place: str, answer: str, code: int
) -> None:
    ben = bens(stocked, anna)
    ben.cape("fork", place).succeeded()
    here, there = pty.openpty()
    process = subprocess.Popen(
        [CAPE, "run", "--", "hello"],
        cwd=ben.directory,
        env=dict(ben.environment),
        stdin=there,
        stdout=subprocess.DEVNULL,
        stderr=there,
    )
    os.close(there)
    said = b""
    deadline = time.monotonic() + 30
    while b"[y/N]" not in said and time.monotonic() < deadline:
        if select.select([here], [], [], 0.1)[0]:
            said += os.read(here, 4096)
    os.write(here, f"{answer}\n".encode())
    assert process.wait(timeout=30) == code
    os.close(here)
    assert b"touch $CAPE_PROJECT/ran-first" in said and b"vars.MODE" in said
    assert ran(ben) == ({RAN} if answer == "y" else set())


def test_a_yes_at_the_prompt_counts_for_commands_too(stocked: World, anna: Project, place: str) -> None:
    ben = bens(stocked, anna)
    ben.cape("fork", place).succeeded()
    hook = ("hook", "bash", "--at", str(ben.directory))
    assert str(ben.directory) not in ben.cape(*hook).succeeded().stdout
    ben.cape("allow").succeeded()
    assert str(ben.directory) in ben.cape(*hook).succeeded().stdout
    assert not (ben.directory / ".cape/unconsented").exists()
    ben.cape("run", "--", "hello").succeeded()
    assert ran(ben) == {RAN}
