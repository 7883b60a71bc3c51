"""Install scripts: which there are, what they see, that they have no network, and what comes of them."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cape.sources.npm import isolation
from cape.sources.npm.building import Package, ScriptFailed, ScriptToolsMissing, last_lines, run_scripts
from cape.sources.npm.scripts import scripts_of

PLACE = "lib/project/node_modules"


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """An environment with two packages, one of them with a program, and no compiler."""
    environment = tmp_path / "environment"
    for name, described in (
        ("addon", {}),
        ("helper", {"bin": {"help-me": "cli.sh"}}),
        ("@team/other", {}),
    ):
        home = environment / PLACE / name
        home.mkdir(parents=True)
        (home / "package.json").write_text(json.dumps({"name": name, "version": "1.0.0", **described}))
        (home / "cli.sh").write_text("#!/bin/sh\necho helped > helped.txt\n")
        (home / "cli.sh").chmod(0o755)
    return environment


def prepared(tmp_path: Path, *, files: dict[str, str] | None = None, **scripts: str) -> Path:
    scratch = tmp_path / "scratch"
    home = scratch / PLACE / "addon"
    home.mkdir(parents=True)
    (home / "package.json").write_text(json.dumps({"name": "addon", "version": "1.0.0", "scripts": scripts}))
    for name, text in (files or {}).items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    return scratch


def run(scratch: Path, environment: Path) -> Path:
    package = Package(name="addon", version="1.0.0", placement=f"{PLACE}/addon")
    run_scripts(package, scratch=scratch, environment=environment, log=scratch.parent / "logs/addon.log")
    return scratch / PLACE / "addon"


def test_only_the_three_scripts_count_and_in_their_order() -> None:
    described = {"scripts": {"postinstall": "c", "test": "x", "install": "b", "preinstall": "a"}}
    assert scripts_of(described, has_gyp=True) == (
        ("preinstall", "a"),
        ("install", "b"),
        ("postinstall", "c"),
    )


def test_gypfile_false_builds_nothing() -> None:
    assert scripts_of({"gypfile": False}, has_gyp=True) == ()


def test_scripts_find_programs_and_packages_beside_them(tmp_path: Path, environment: Path) -> None:
    scratch = prepared(tmp_path, install="help-me && test -f ../@team/other/package.json")
    home = run(scratch, environment)
    assert (home / "helped.txt").read_text() == "helped\n"


def test_scripts_see_nothing_of_the_users_variables(
    tmp_path: Path, environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NPM_TOKEN", "s3cret")
    home = run(prepared(tmp_path, install='echo "$NPM_TOKEN|$npm_package_name" > seen'), environment)
    assert (home / "seen").read_text() == "|addon\n"


def test_what_only_a_build_needed_is_not_kept(tmp_path: Path, environment: Path) -> None:
    files = {"build/Release/obj.target/a.o": "", "build/Release/x.node": "x", "build/Makefile": ""}
    home = run(prepared(tmp_path, files=files, install="true"), environment)
    assert sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()) == [
        "build/Release/x.node",
        "package.json",
    ]


def test_a_failing_script_shows_its_last_lines_and_names_the_log(tmp_path: Path, environment: Path) -> None:
    scratch = prepared(tmp_path, postinstall="echo begun; echo 'no such thing' >&2; exit 7")
    with pytest.raises(ScriptFailed) as raised:
        run(scratch, environment)
    assert "the script `postinstall` of `addon` 1.0.0" in raised.value.fact
    assert "failed (7)" in raised.value.fact and "no such thing" in raised.value.fact
    assert raised.value.where == str(tmp_path / "logs/addon.log")
    assert "begun" in (tmp_path / "logs/addon.log").read_text()


def test_a_script_that_wants_the_network_is_told_so(tmp_path: Path, environment: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        accepted: list[object] = []
        server.settimeout(2)
        thread = threading.Thread(target=lambda: _accept(server, accepted))
        thread.start()
        program = f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 1)"
        with pytest.raises(ScriptFailed, match="wanted the network, which install scripts do not have"):
            run(prepared(tmp_path, install=f'{sys.executable} -c "{program}"'), environment)
        thread.join()
    assert accepted == []


def _accept(server: socket.socket, accepted: list[object]) -> None:
    try:
        connection, _ = server.accept()
    except TimeoutError:
        return
    connection.close()
    accepted.append(connection)


def test_missing_tools_are_named_with_the_lines_that_add_them(tmp_path: Path, environment: Path) -> None:
    scratch = prepared(tmp_path, files={"binding.gyp": "{}"})
    with pytest.raises(ScriptToolsMissing) as raised:
        run(scratch, environment)
    assert "make, a C++ compiler, python3, node's headers, node-gyp" in raised.value.fact
    assert '`"g++" = "*"`' in (raised.value.hint or "")
    assert '`node-gyp = { npm = "*" }`' in (raised.value.hint or "")


@pytest.mark.parametrize("enter", [isolation._enter_namespace, isolation._enter_filter])
def test_each_way_takes_the_internet_and_leaves_the_rest(enter: isolation.Enter) -> None:
    if not isolation._works(enter):
        pytest.skip("this machine does not allow it")
    program = (
        "import socket\nsocket.socketpair()\n"
        "try:\n s = socket.socket(); s.settimeout(1); s.connect(('192.0.2.1', 9)); print('out')\n"
        "except OSError as error: print(error.errno)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], preexec_fn=enter, capture_output=True, text=True, check=True
    )
    assert done.stdout == "101\n"


def test_last_lines_are_plain() -> None:
    assert last_lines("a\n\n\x1b[31mb\x1b[0m\n", 2) == ["a", "b"]


@pytest.mark.network
@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not on this machine")
def test_a_real_add_on_is_built_with_the_environments_compiler(tmp_path: Path) -> None:
    """`fs-ext` has no prebuilt files: its script is `node-gyp configure build`."""
    (tmp_path / "cape.toml").write_text(
        'schema = 1\n[environment]\nsystems = ["x86_64-linux"]\ndebian = "trixie"\n[packages]\n'
        'node = { npm = "22" }\nnode-gyp = { npm = "*" }\n"g++" = "*"\nmake = "*"\npython3 = "*"\n'
        'fs-ext = { npm = "2.1.1", scripts = true }\n'
    )
    cape = Path(sys.executable).parent / "cape"
    variables = {**os.environ, "CAPE_STORE": str(tmp_path / "store")}
    done = subprocess.run(
        [cape, "sync"], cwd=tmp_path, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = subprocess.run(
        [cape, "run", "--", "node", "-e", "console.log(typeof require(process.env.CAPE_ENV + "
         "'/lib/node_modules/fs-ext').flock)"],
        cwd=tmp_path, env=variables, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.stdout == "function\n", said.stderr
