"""Units for systemd: checked by systemd where it is, and run word for word by a small reader of them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from cape.services.systemd import unit_name
from tests.services.conftest import Services

MANIFEST = """
[services.db]
command = '''
echo "it's 100% $OWN \\"quoted\\" at $PORT in $PWD"
exec sleep 0.1
'''
ports = { main = 0 }
ready = { command = "test -e /", timeout = 7 }
restart = "always"
restart-limit = 3
stop = { signal = "INT", grace = 2.5 }
directory = "sub dir"
vars = { OWN = "${CAPE_PROJECT}: a'b" }
[services.web]
command = "exec sleep 1000"
depends-on = ["db"]
restart = "never"
"""


def written(one: Services) -> Path:
    (one.directory / "sub dir").mkdir(exist_ok=True)
    one.write(MANIFEST)
    one.cape("sync").succeeded()
    into = one.directory / "units"
    one.services("systemd", "--write", str(into)).succeeded()
    return into


def values(unit: Path, key: str) -> list[str]:
    return [line.partition("=")[2] for line in unit.read_text().splitlines() if line.startswith(f"{key}=")]


def test_units_say_order_restarts_and_stops(one: Services) -> None:
    into = written(one)
    db, web = into / "cape-served-db.service", into / "cape-served-web.service"
    assert values(web, "Requires") == values(web, "After") == ["cape-served-db.service"]
    assert values(db, "Restart") == ["always"] and values(web, "Restart") == ["no"]
    assert values(db, "KillSignal") == ["SIGINT"] and values(db, "TimeoutStopSec") == ["2.5"]
    assert values(db, "StartLimitBurst") == ["4"] and values(db, "TimeoutStartSec") == ["7"]
    assert values(db, "WorkingDirectory") == [str(one.directory)]
    assert f'"CAPE_STORE={one.store}"' in values(db, "Environment")
    assert one.services("systemd", "db", "--json").succeeded().stdout.count("[Unit]") == 1


def words_of(line: str) -> list[str]:
    """A command line as systemd reads it: C escapes in double quotes, `%%` and `$$`."""
    words, at = [], 0
    while at < len(line):
        assert line[at] == '"' or line[at].isalnum() or line[at] in "/-"
        if line[at] == '"':
            at, word = at + 1, ""
            while line[at] != '"':
                if line[at] == "\\":
                    word += {"n": "\n", "t": "\t", "\\": "\\", '"': '"'}[line[at + 1]]
                    at += 2
                else:
                    word += line[at]
                    at += 1
            at += 1
        else:
            end = line.find(" ", at)
            word, at = line[at : end if end > 0 else len(line)], end if end > 0 else len(line)
        words.append(word.replace("%%", "%").replace("$$", "$"))
        at += 1
    return words


def test_the_command_of_a_unit_runs_as_the_service_would(one: Services) -> None:
    into = written(one)
    db = into / "cape-served-db.service"
    told = dict(words_of(value)[0].split("=", 1) for value in values(db, "Environment"))
    done = subprocess.run(
        words_of(values(db, "ExecStart")[0]),
        cwd=values(db, "WorkingDirectory")[0],
        env={"PATH": "/usr/bin:/bin", "HOME": str(one.store.parent), **told},
        capture_output=True,
        text=True,
        check=True,
    )
    own = f"{one.directory}: a'b"
    assert done.stdout == f'it\'s 100% {own} "quoted" at {told["PORT"]} in {one.directory}/sub dir\n'
    subprocess.run(
        words_of(values(db, "ExecStartPost")[0]),
        cwd=one.directory,
        env={**told, "PATH": "/usr/bin:/bin", "HOME": "/"},
        check=True,
    )


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not on this machine")
def test_systemd_finds_no_fault_in_the_units(one: Services) -> None:
    into = written(one)
    done = subprocess.run(
        ["systemd-analyze", "--user", "verify", *map(str, into.glob("*.service"))],
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(one.store.parent),
            "XDG_RUNTIME_DIR": str(one.store.parent),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if "cape-served" in line]
    if not said and "Failed to initialize manager" in done.stderr:
        pytest.skip("systemd cannot look at units here")
    assert said == []


def test_a_unit_has_a_file_name_that_systemd_takes() -> None:
    assert unit_name("a project/é", "x y") == "cape-a-project--x-y.service"


def test_units_of_other_environments_are_refused(one: Services) -> None:
    one.write(MANIFEST + "[environments.test]\n")
    one.cape("sync").succeeded()
    one.services("systemd", "-e", "test").failed(1, "own environment")
