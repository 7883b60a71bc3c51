"""Templates that really run: a project made from one, started, and stopped after a kill of its supervisor."""

from __future__ import annotations

import os
import shutil
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.services.conftest import Services, project, wait_until

HEAD = (
    'schema = 1\n[environment]\nname = "t"\nsystems = ["x86_64-linux", "aarch64-linux"]\ndebian = "trixie"\n'
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One store for all templates: they share Python and the indices."""
    place = Path(tempfile.mkdtemp(prefix="cape-services-store-"))
    place.chmod(0o777)
    yield place
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def ordinary(store: Path) -> Iterator[Services]:
    """A project of an ordinary user, in the way that this machine holds services by itself."""
    for made in project("namespace", as_user=os.geteuid() == 0):
        yield replace(made, store=store / "store", outside=dict(os.environ))


def started(one: Services, name: str) -> int:
    """The first port of a template's service, which is ready."""
    (one.directory / "cape.toml").write_text(HEAD)
    if one.as_user:
        shutil.chown(one.directory / "cape.toml", 1000, 1000)
    one.services("template", name).succeeded()
    one.cape("sync", timeout_s=600).succeeded()
    one.services("up").succeeded()
    rows = one.status()
    assert rows[name]["state"] == "ready"
    return next(iter(rows[name]["ports"].values()), 0)


def stopped(one: Services, name: str) -> None:
    """It goes on after its supervisor was killed, and leaves nothing when it is stopped."""
    one.kill_supervisor()
    wait_until(lambda: one.marked() == [])
    one.services("up").succeeded()
    assert one.state(name) == "ready"
    one.services("down").succeeded()
    assert one.marked() == []


def get(url: str, *, data: bytes | None = None) -> str:
    with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=120) as answer:
        return str(answer.read().decode())
