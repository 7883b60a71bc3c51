"""`cape build`: in a sandbox, from tracked files, equal wherever it is made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

CAPE = Path(sys.prefix) / "bin" / "cape"
pytestmark = pytest.mark.network

MANIFEST = """
schema = 1

[environment]
name = "built"
systems = ["x86_64-linux"]
debian = "trixie"

[packages]
coreutils = "*"
"""


@dataclass(frozen=True)
class Done:
    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Building:
    """A project in a git repository, and a store."""

    directory: Path
    store: Path

    def cape(self, *words: str, code: int = 0) -> Done:
        variables = {**os.environ, "CAPE_STORE": str(self.store), "XDG_CONFIG_HOME": str(self.store / "none")}
        done = subprocess.run(
            [CAPE, *words],
            cwd=self.directory,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    def git(self, *words: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
        subprocess.run(["git", "-C", self.directory, *identity, *words], check=True, capture_output=True)

    def write(self, files: Mapping[str, str], *, commit: bool = True) -> None:
        for path, text in files.items():
            (self.directory / path).parent.mkdir(parents=True, exist_ok=True)
            (self.directory / path).write_text(text)
        if commit:
            self.git("add", "-A")
            self.git("commit", "-q", "-m", "more")

    def built(self, *words: str) -> list[dict[str, object]]:
        told = json.loads(self.cape("build", "--json", *words).stdout)["builds"]
        assert isinstance(told, list)
        return told


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for all tests here: what they need is brought once."""
    return tmp_path_factory.mktemp("store")


def project(directory: Path, store: Path, manifest: str, files: Mapping[str, str]) -> Building:
    directory.mkdir()
    subprocess.run(["git", "init", "-q", directory], check=True)
    made = Building(directory, store)
    made.write({"cape.toml": MANIFEST + manifest, ".gitignore": ".cape\n", **files})
    return made


SCRIPT = """
[build.greet]
version = "1.0"
command = '''
mkdir -p "$out/bin" "$out/share"
printf '#!/bin/sh\\necho %s\\n' "$(cat word)" > "$out/bin/greet"
chmod 755 "$out/bin/greet"
date -d "@$SOURCE_DATE_EPOCH" > "$out/share/when"
'''
"""


@pytest.fixture
def greeting(tmp_path: Path, store: Path) -> Building:
    """A project that builds a script."""
    return project(tmp_path / "greeting", store, SCRIPT, {"word": "hello"})


def test_a_build_is_installed_and_runs(greeting: Building) -> None:
    (built,) = greeting.built("--check")
    assert built["sandboxed"] and built["checked"]
    assert greeting.built()[0]["made"] is False, "the same inputs are not built again"
    greeting.write({"cape.toml": MANIFEST + 'greet = { build = "*" }\n' + SCRIPT})
    greeting.cape("sync")
    assert greeting.cape("run", "--", "greet").stdout == "hello\n"
    greeting.write({"word": "good-day"})
    assert greeting.built()[0]["digest"] != built["digest"]
    greeting.cape("upgrade", "greet")
    assert greeting.cape("run", "--", "greet").stdout == "good-day\n"


def test_another_project_installs_it_by_its_directory(
    greeting: Building, tmp_path: Path, store: Path
) -> None:
    greeting.built()
    user = project(tmp_path / "user", store, 'greet = { build = "1.0", project = "../greeting" }\n', {})
    user.cape("sync")
    assert user.cape("run", "--", "greet").stdout == "hello\n"
    user.write({"cape.toml": MANIFEST + 'greet = { build = "2.0", project = "../greeting" }\n'})
    assert "built as 1.0, not as 2.0" in user.cape("sync", code=1).stderr
    user.write({"cape.toml": MANIFEST + 'greet = { build = "*", project = "../nowhere" }\n'})
    assert "there is none" in user.cape("sync", code=1).stderr


def test_what_is_not_built_yet_says_how(greeting: Building) -> None:
    greeting.write({"cape.toml": MANIFEST + 'greet = { build = "*" }\n' + SCRIPT})
    told = greeting.cape("sync", code=1).stderr
    assert "`greet` is not built yet" in told and "`cape build greet`" in told
    greeting.cape("build")
    greeting.cape("sync")


def test_a_failing_command_shows_its_last_lines_and_its_log(tmp_path: Path, store: Path) -> None:
    failing = project(
        tmp_path / "p", store, "[build.bad]\ncommand = 'echo step one; cat missing; echo never'\n", {}
    )
    told = failing.cape("build", code=1).stderr
    assert "step one" in told and "missing: No such file" in told and "never" not in told
    assert ".cape/logs/build-bad.log" in told and "`git add` what it lacks" in told
    assert "step one" in (failing.directory / ".cape/logs/build-bad.log").read_text()


def test_only_tracked_files_are_there_and_no_network_and_no_host(tmp_path: Path, store: Path) -> None:
    command = """
mkdir -p "$out"
ls -A > "$out/files"
cat /proc/net/dev | wc -l > "$out/networks"
ls -A / | tr "\\n" " " > "$out/root"
pwd > "$out/where"; id -u > "$out/who"; umask > "$out/mask"; echo "$TZ $LC_ALL" > "$out/places"
"""
    one = project(tmp_path / "p", store, f"[build.look]\ncommand = '''{command}'''\n", {"tracked": "x"})
    one.write({"untracked": "x"}, commit=False)
    one.cape("build")
    archive = next(
        file for file in (store / "artifacts").glob("*/*") if b"networks" in file.read_bytes()[:4096]
    )
    subprocess.run(["tar", "-xf", archive, "-C", tmp_path], check=True)
    assert (tmp_path / "files").read_text().split() == [".gitignore", "cape.toml", "tracked"]
    assert (tmp_path / "networks").read_text() == "3\n", "two lines of heading, and the loopback"
    assert "home" not in (tmp_path / "root").read_text().split()
    told = [(tmp_path / name).read_text().strip() for name in ("where", "who", "mask", "places")]
    assert told == ["/build/source", "1000", "0022", "UTC C.UTF-8"]


def test_a_pattern_that_git_does_not_track_is_named(tmp_path: Path, store: Path) -> None:
    one = project(tmp_path / "p", store, "[build.x]\ncommand = 'true'\ninputs = ['new.c']\n", {})
    assert "matches no file" in one.cape("build", code=1).stderr
    one.write({"new.c": "x"}, commit=False)
    told = one.cape("build", code=1).stderr
    assert "git does not track it" in told and "`git add new.c`" in told


def test_a_build_that_is_not_reproducible_is_found_with_the_difference(tmp_path: Path, store: Path) -> None:
    command = 'mkdir -p "$out"; echo "made by $$ at $(date +%N)" > "$out/stamp"'
    one = project(tmp_path / "p", store, f"[build.random]\ncommand = '''{command}'''\n", {})
    told = one.cape("build", "--check", code=1).stderr
    assert "gave different results" in told and "`stamp` differs from byte" in told
    report = one.directory / ".cape/logs/build-random.differences"
    assert str(report) in told and "made by" in report.read_text(), "diffoscope tells more"


def test_a_clock_that_stands_makes_what_asks_for_the_time_equal(tmp_path: Path, store: Path) -> None:
    command = """
mkdir -p "$out"
date +%s.%N > "$out/time"
make -s both; cp made "$out/made"
read first rest < /proc/uptime; sleep 0.01; timeout 5 true
test "$(date +%s)" = "$SOURCE_DATE_EPOCH"
"""
    files = {"Makefile": "both: made\nmade: half\n\tdate > made\nhalf:\n\tdate > half\n"}
    manifest = f"[build.timed]\nclock = 'fixed'\ncommand = '''{command}'''\n"
    one = project(tmp_path / "p", store, f'make = "*"\n{manifest}', files)
    assert "equal when built again" in one.cape("build", "--check").stderr
    one.write({"cape.toml": MANIFEST + manifest.replace("'fixed'", "'slow'")})
    assert "has no clock `slow`" in one.cape("build", code=1).stderr


def test_nothing_in_out_and_links_that_lead_away_are_errors(tmp_path: Path, store: Path) -> None:
    manifest = """
[build.nothing]
command = 'true'
[build.away]
command = 'mkdir -p "$out/bin"; ln -s /etc/passwd "$out/bin/x"'
[build.other]
command = 'mkdir -p "$out/bin"; touch "$out/bin/x"'
outputs = ["lib/*"]
"""
    one = project(tmp_path / "p", store, manifest, {})
    assert "left nothing in `$out`" in one.cape("build", "nothing", code=1).stderr
    assert "outside of `$out`" in one.cape("build", "away", code=1).stderr
    assert "left no `lib/*`" in one.cape("build", "other", code=1).stderr


def test_builds_that_depend_on_each_other_see_the_results(tmp_path: Path, store: Path) -> None:
    manifest = """
[build.library]
command = 'mkdir -p "$out/share"; echo base > "$out/share/base"'
[build.tool]
command = 'mkdir -p "$out/share"; cat "$CAPE_BUILD_library/share/base" > "$out/share/copy"'
depends = ["library"]
"""
    one = project(tmp_path / "p", store, manifest, {})
    assert [built["name"] for built in one.built("tool")] == ["library", "tool"]
    one.write({"cape.toml": MANIFEST + manifest.replace("[build.tool]", "depends = ['tool']\n[build.tool]")})
    assert "in a ring: tool -> library -> tool" in one.cape("build", "tool", code=1).stderr
    assert "no build `tol`" in one.cape("build", "tol", code=1).stderr


def test_the_network_is_not_there_and_the_message_says_so(tmp_path: Path, store: Path) -> None:
    command = "bash -c 'exec 3<>/dev/tcp/192.0.2.1/80'"
    manifest = f'[build.net]\ncommand = "{command}"\n'
    one = project(tmp_path / "p", store, manifest, {})
    assert "a build has no network" in one.cape("build", code=1).stderr


def test_publishing_wants_a_clean_tree_and_a_built_version(greeting: Building, tmp_path: Path) -> None:
    target = tmp_path / "published"
    assert "not built" in greeting.cape("publish", "greet", str(target), code=1).stderr
    greeting.built()
    greeting.write({"word": "changed"}, commit=False)
    told = greeting.cape("publish", "greet", str(target), code=1).stderr
    assert "`word`" in told and "commit" in told
    greeting.git("checkout", "-q", "word")
    greeting.cape("publish", "greet", str(target))
    (record,) = (target / "builds").iterdir()
    fields = json.loads(record.read_text())
    archive = target / fields["sha256"][:2] / fields["sha256"]
    assert archive.stat().st_size == fields["size"]


C_PROGRAM = """
gcc = "*"
make = "*"
libc6-dev = "*"
zlib1g-dev = "*"
hello = { build = "*" }

[build.hello]
version = "2.1"
command = "make && make install DESTDIR=$out prefix="
runtime = ["zlib1g"]
"""


HELLO = """\
#include <stdio.h>
#include <zlib.h>
int main(void) { puts(zlibVersion()); }
"""
MAKEFILE = """\
hello: hello.c
\tgcc -g -O2 -o hello hello.c -lz
install: hello
\tmkdir -p $(DESTDIR)$(prefix)/bin && cp hello $(DESTDIR)$(prefix)/bin/
"""


@pytest.mark.slow
def test_a_c_program_is_equal_from_two_stores_and_finds_its_library(tmp_path: Path, store: Path) -> None:
    one = project(tmp_path / "one", store, C_PROGRAM, {"hello.c": HELLO, "Makefile": MAKEFILE})
    (built,) = one.built()
    one.cape("sync")
    assert one.cape("run", "--", "hello").stdout.startswith("1.")
    other = Building(one.directory, tmp_path / "a-second-store-at-a-longer-path")
    (again,) = other.built()
    assert again["digest"] == built["digest"]
