"""Two users: one store that the other may read, and one project that both use."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.services.conftest import AS_USER, CAPE, USER, Services, project

SLEEPER = '[services.sleeper]\ncommand = "exec sleep 1111"\n'


@pytest.fixture
def roots() -> Iterator[Services]:
    """A project of this user, root, in which another user may read and run everything."""
    if os.geteuid() != 0:
        pytest.skip("only root may become another user")
    check = subprocess.run([*AS_USER, str(CAPE), "--version"], capture_output=True, check=False)
    if check.returncode:
        pytest.skip("this machine does not let root become another user")
    for one in project("guardian"):
        one.directory.parent.chmod(0o755)
        yield one


def as_other(one: Services) -> Services:
    return Services(directory=one.directory, mode=one.mode, store=one.store, as_user=True)


def test_services_of_another_user_are_neither_seen_nor_stopped_nor_taken_over(roots: Services) -> None:
    roots.write(SLEEPER)
    roots.services("up").succeeded()
    before = roots.marked()
    other = as_other(roots)
    for words in (("up",), ("down",), ("restart",), ("status",), ("logs",)):
        other.services(*words).failed(1, "belongs to another user, `root`", "hint: ")
    assert roots.marked() == before
    assert roots.state("sleeper") == "ready"


def test_a_project_of_another_user_is_told_and_a_copy_of_it_is_ones_own(roots: Services) -> None:
    """The store may be read by both: what is in it is made into the other's own store."""
    roots.write(SLEEPER)
    roots.cape("sync").succeeded()
    for words in (("sync",), ("rollback",), ("gc", "--keep", "1")):
        as_other(roots).cape(*words).failed(1, "belongs to another user, `root`", "hint: ")
    copy = roots.directory.parent / "copy"
    copy.mkdir()
    shutil.copy(roots.directory / "cape.toml", copy)
    for path in (copy, copy / "cape.toml"):
        os.chown(path, USER, USER)
    other = Services(directory=copy, mode="guardian", store=copy / "store", as_user=True)
    other.services("up").succeeded()
    assert other.state("sleeper") == "ready"
    roots.services("up").succeeded()
    assert other.services("down").code == 0
    assert roots.state("sleeper") == "ready"
