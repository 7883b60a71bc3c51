"""An interpreter that is not the suite's, in real environments."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.harness import INPUT, World, world_at
from tests.interpreters.standalone import MINOR, VERSION, offer, own_python, tiny
from tests.mirrors.loopback import loopback
from tests.shells.programs import launcher

MANIFEST = """\
schema = 1
[environment]
name = "other"
systems = ["x86_64-linux"]
debian = "trixie"
[packages]
python = {{ uv = "{version}" }}
wheel = {{ pypi = "*" }}
jq = "*"
"""
TOLD = "import json, sys, wheel; print(json.dumps([sys.version.split()[0], sys.prefix, wheel.__file__]))"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with world_at(tmp_path) as made:
        made.archive.add("libstdc++6", "14.2.0-19", architecture="all", files={"usr/share/cxx": b""})
        made.publish()
        yield made


def test_language_packages_are_locked_for_the_interpreter_that_is_named(world: World) -> None:
    world.index.add_wheel("app", "1.0", requires=['old; python_version < "3.13"'])
    world.index.add_wheel("old", "1.0")
    variables = offer(world.server, world.place, {("3.12.4", "20240601"): tiny()})
    project = world.project(python='{ uv = "3.12", systems = ["x86_64-linux"] }', app='{ pypi = "*" }')
    project.manifest.write_text(
        project.manifest.read_text().replace('["x86_64-linux", "aarch64-linux"]', '["x86_64-linux"]')
    )
    project = project.with_variables(**variables)
    project.cape("lock").succeeded()
    rows = [json.loads(line) for line in project.lock.read_text().splitlines()]
    packages = {(row["source"], row["name"]): row for row in rows if row.get("row") == "package"}
    assert packages["uv", "python"]["version"] == "3.12.4"
    assert ("pypi", "old") in packages
    assert ("debian", "python3") not in packages
    assert "127.0.0.1" not in project.lock.read_text()
    assert "pkg:generic/cpython@3.12.4" in project.cape("sbom").succeeded().stdout
    project.cape("lock", "--check").succeeded()
    wrong = project.manifest.read_text().replace('uv = "3.12"', 'uv = "3.7"')
    project.manifest.write_text(wrong)
    project.cape("lock").failed(INPUT, "`uv` has no Python 3.7", "cape.toml:10:1", "there are 3.12")


@pytest.mark.network
@pytest.mark.skipif(
    sys.version_info[:2] == (3, 13), reason="this machine's Python is of the suite's version: nothing to tell"
)
def test_a_python_that_the_suite_does_not_have_runs_with_locked_wheels(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "cape.toml").write_text(MANIFEST.format(version=MINOR))
    cape = str(launcher())

    def run(*words: str, **more: str) -> str:
        done = subprocess.run(
            [cape, *words], cwd=project, env={**env, **more}, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    with loopback() as server:
        env = {**os.environ, **offer(server, tmp_path, {(VERSION, "20260101"): own_python()})}
        env["CAPE_STORE"] = str(tmp_path / "store")
        run("sync")
    version, prefix, wheel = json.loads(run("run", "--", "python3", "-c", TOLD))
    assert version == VERSION
    assert prefix.startswith(str(tmp_path / "store/environments"))
    assert wheel.startswith(f"{prefix}/lib/python{MINOR}/site-packages/")
    home = run("run", "--", "python3", "-c", "import sysconfig; print(sysconfig.get_paths()['include'])")
    assert home.strip() == f"{prefix}/root/usr/local/include/python{MINOR}"
    assert run("run", "--", "python", "-m", "wheel", "version").startswith("wheel ")
