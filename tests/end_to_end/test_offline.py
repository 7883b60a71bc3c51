"""Every command without a network: it works with what is here, or says at once what is lacking.

Two ways: in a network namespace without interfaces (not even loopback is up), where nobody said a word of
it; and with `CAPE_OFFLINE=1`, where the kernel kills whatever process opens an internet socket.

Behaviour 40 of environments' users: each command with the network blocked works from what is here or fails
within a second, and leaves files untouched.
"""

from __future__ import annotations

import ctypes
import platform
import shutil
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pytest

from cape.cli.declarations import COMMANDS
from tests.end_to_end.conftest import stock
from tests.end_to_end.harness import CAPE, INPUT, SOURCE, STATE, Done, Project, World, world_at
from tests.end_to_end.test_composition import committed
from tests.engines import tiny

AT_ONCE_S = 1.0
SHARED_MACHINE = 3.0
"""How much slower than usual a command may be where others use the machine too."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One command line and how it ends. `in_copy`: it changes something, and gets a project of its own."""

    words: tuple[str, ...]
    code: int = 0
    says: tuple[str, ...] = ()
    in_copy: bool = False
    in_empty: bool = False
    other_home: bool = False

    @property
    def command(self) -> str:
        """The longest name of a command that the words begin with."""
        names = (" ".join(self.words[:count]) for count in (2, 1))
        return next(name for name in names if name in NAMES)


NAMES = frozenset(command.name for command in COMMANDS)


def works(*words: str, in_empty: bool = False, other_home: bool = False) -> Case:
    return Case(words=words, in_empty=in_empty, other_home=other_home)


def changes(*words: str) -> Case:
    return Case(words=words, in_copy=True)


def lacks(*words: str, says: tuple[str, ...], code: int = SOURCE) -> Case:
    return Case(words=words, code=code, says=says)


CASES = (
    works("init", "--bare", in_empty=True),
    changes("install", "tool"),
    lacks("install", "unseen", says=("`unseen 1.0-1` is not in the store",)),
    lacks("install", "npm:unknown", says=("`unknown` is not here",)),
    lacks("install", "pypi:unknown", says=("is not here",)),
    lacks("install", "nowhere", says=("has no package `nowhere`",), code=INPUT),
    changes("uninstall", "other"),
    lacks("upgrade", says=("base", "cannot be read")),
    changes("upgrade", "hello"),
    works("outdated"),
    works("lock"),
    works("lock", "--check"),
    works("sync"),
    works("sync", "--locked"),
    changes("vendor", "vendored"),
    changes("push", "../place"),
    lacks("push", "https://nowhere.invalid/place", says=("place does not answer",)),
    lacks("pull", "https://nowhere.invalid/place", says=("place does not answer",)),
    changes("pull", "../shared"),
    works("fork", "../shared", in_empty=True),
    works("log", "../shared"),
    works("instances", "--place", "../shared"),
    lacks("instances", "rollback", "production", "--place", "../shared", says=("production",), code=INPUT),
    lacks("instances", "report", "production", says=("",), code=STATE),
    changes("promote", "1", "staging", "--place", "../shared"),
    lacks("build", "own", says=("`bubblewrap`",), code=INPUT),
    lacks("publish", "own", "published", says=("is not built",), code=STATE),
    works("services", "status"),
    changes("services", "up"),
    works("services", "down"),
    changes("services", "restart"),
    works("services", "logs"),
    works("services", "template"),
    works("services", "systemd"),
    works("gpu"),
    lacks("serve-model", "writer", says=("the manifest has no model",), code=INPUT),
    lacks("fit", "cape.toml", says=("no GGUF",), code=INPUT),
    works("ci"),
    changes("pack", "-o", "packed", "--", "hello"),
    changes("image", "-o", "image.tar", "--", "hello"),
    works("k8s", "registry.example/app:1", "--", "hello"),
    lacks("submit", "--on", "ray://127.0.0.1:9", "--", "hello", says=("ray://127.0.0.1:9",)),
    works("key", "new", "another", other_home=True),
    works("key", "list"),
    works("key", "export"),
    works("run", "--", "hello"),
    works("run", "--with", "tool", "--", "tool"),
    lacks("run", "--with", "unseen", "--", "unseen", says=("`unseen 1.0-1` is not in the store",)),
    works("activate", "--shell", "bash"),
    works("hook", "bash"),
    lacks("editor", "vscode", says=("exposes nothing",), code=INPUT),
    works("allow", other_home=True),
    works("deny", other_home=True),
    works("consent", "list"),
    lacks("consent", "forget", "..", says=("",), code=INPUT),
    lacks("deactivate", says=("no environment was entered",), code=STATE),
    works("list", "--all"),
    works("show", "hello"),
    works("show", "tool"),
    lacks("show", "npm:unknown", says=("npm", "not here")),
    works("search", "hello"),
    works("search", "pypi:greeting"),
    works("why", "hello"),
    works("licences"),
    works("sbom"),
    works("audit", "../advisories"),
    lacks("audit", "https://nowhere.invalid/all.zip", says=("not here",)),
    works("history"),
    changes("rollback"),
    changes("index"),
    works("index", "status"),
    works("index", "diff"),
    works("index", "rollback", "--dry-run"),
    works("index", "verify"),
    works("ask", "When do boats depart?"),
    lacks("graph", "show", "Nobody", says=("mentions `Nobody`",), code=INPUT),
    works("usage"),
    lacks("evaluate", says=("names no questions",), code=INPUT),
    works("evaluate", "generate"),
    lacks("evaluate", "questions", says=("questions",), code=INPUT),
    lacks("evaluate", "answers", "nothing.jsonl", says=("nothing.jsonl",), code=INPUT),
    lacks("evaluate", "claims", "nothing.jsonl", says=("nothing.jsonl",), code=INPUT),
    lacks("evaluate", "routing", "nothing", says=("nothing",), code=INPUT),
    lacks("evaluate", "retrieval", "nothing", says=("nothing",), code=INPUT),
    lacks("evaluate", "writers", says=("names no questions",), code=INPUT),
    changes("gc"),
    works("doctor"),
    works("config"),
    works("completions", "bash"),
)
ELSEWHERE: dict[str, str] = {
    "key trust": "reads its argument and writes a file of the user's",
    "key revoke": "as `key trust`, and `push` to a place",
    "key remove": "removes a file of the user's",
}
"""Commands that have no case here, and why."""


def test_no_command_is_forgotten() -> None:
    assert {case.command for case in CASES} | set(ELSEWHERE) == NAMES


HOLE = """{"id": "HOLE-1", "modified": "2026-01-01T00:00:00Z", "affected": [
    {"package": {"ecosystem": "PyPI", "name": "sunken"}, "versions": ["1.0"]}]}"""
MANIFEST_MORE = """
[models]
embedder = { pypi = "tiny-model", file = "*.onnx", tokenizer = { pypi = "tiny-model", file = "*.json" } }

[knowledge.manual]
sources = ["docs/*.md"]
embedder = "embedder"

[build.own]
command = "mkdir -p $out/usr/bin; echo own > $out/usr/bin/own"

[services.sleeper]
command = "sleep 100"

[include]
environments = [{ git = "GIT", ref = "main", path = "environments/base" }]
"""


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with something of every kind, all of it here; what is `unseen` or `unknown` never was."""
    with world_at(tmp_path_factory.mktemp("offline")) as world:
        yield _settled(world)


def _settled(world: World) -> Project:
    for name in ("python3", "libstdc++6", "unseen"):
        world.archive.add(name, "1.0-1" if name == "unseen" else "3.13.5-1", architecture="all")
    stock(world)
    model, tokenizer = tiny.write(world.place)
    files = {"tiny/m.onnx": model.read_bytes(), "tiny/t.json": tokenizer.read_bytes()}
    world.index.add_wheel("tiny-model", "1.0", files=files)
    world.index.add_wheel("greeting", "1.2")
    world.npm.publish("is-odd", "1.0.0")
    base = world.place / "repository"
    committed(base, '[vars]\nFROM_BASE = "1"\n')
    (world.directory("advisories")).joinpath("one.json").write_text(HOLE)
    text = MANIFEST_MORE.replace("GIT", f"file://{base}")
    project = world.project(text=text, hello="*", other="*")
    docs = project.directory / "docs"
    docs.mkdir()
    (docs / "ferry.md").write_text("# Boats\n\nBoats depart at seven.\n")
    project.cape("sync").succeeded()
    project.cape("run", "--with", "tool", "--", "tool").succeeded()
    project.cape("index").succeeded()
    project.cape("key", "new", "own").succeeded()
    project.cape("search", "pypi:greeting").succeeded()
    (docs / "holiday.md").write_text("# Vacation\n\nThere are thirty days of leave.\n")
    project.cape("index").succeeded()
    project.cape("install", "pypi:greeting").succeeded()
    project.cape("push", "../shared").succeeded()
    shutil.rmtree(base)
    return project


# -- the two ways ------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def namespace_words() -> tuple[str, ...]:
    """What starts a command in a network namespace without interfaces; empty where that is not allowed."""
    for words in (("unshare", "-n"), ("unshare", "-rn")):
        tried = [*words, "true"]
        if shutil.which("unshare") and not subprocess.run(tried, capture_output=True, check=False).returncode:
            return words
    return ()


_ALLOW, _KILL = 0x7FFF0000, 0x80000000
_SOCKET = {"x86_64": 41, "aarch64": 198}


def forbid_sockets() -> None:
    """Let the kernel kill this process, and all that it starts, at an internet socket."""
    load, equal, end = 0x20, 0x15, 0x06
    program = struct.pack(
        "HBBI" * 6,
        *(load, 0, 0, 0),
        *(equal, 0, 3, _SOCKET[platform.machine()]),
        *(load, 0, 0, 16),
        *(equal, 2, 0, 2),
        *(equal, 1, 0, 10),
        *(end, 0, 0, _ALLOW),
    ) + struct.pack("HBBI", end, 0, 0, _KILL)
    kept = ctypes.create_string_buffer(program)

    class Filter(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    libc = ctypes.CDLL(None, use_errno=True)
    given = Filter(7, ctypes.cast(kept, ctypes.c_void_p))
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    assert libc.prctl(22, 2, ctypes.byref(given), 0, 0) == 0


def run_without_interfaces(project: Project, *words: str) -> Done:
    if not namespace_words():
        pytest.skip("this machine gives nobody a network namespace")
    return run([*namespace_words(), str(CAPE), *words], project, words)


def run_forbidden(project: Project, *words: str) -> Done:
    if platform.machine() not in _SOCKET:
        pytest.skip("the numbers of this machine's system calls are not known here")
    told = project.with_variables(CAPE_OFFLINE="1")
    return run([str(CAPE), *words], told, words, before=forbid_sockets)


def run(
    command: list[str], project: Project, words: tuple[str, ...], *, before: Callable[[], None] | None = None
) -> Done:
    ended = subprocess.run(
        command, cwd=project.directory, env=dict(project.environment), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False, timeout=60, preexec_fn=before,
    )  # fmt: skip
    return Done(words=words, code=ended.returncode, stdout=ended.stdout, stderr=ended.stderr)


WAYS = {"no interfaces": run_without_interfaces, "forbidden": run_forbidden}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: " ".join(case.words))
def test_command_works_with_what_is_here_or_says_what_is_lacking(
    settled: Project, case: Case, way: str, tmp_path: Path
) -> None:
    project = _place_for(case, settled, tmp_path)
    before = project.state()
    started = time.monotonic()
    done = WAYS[way](project, *case.words)
    took_s = time.monotonic() - started
    if case.code == 0:
        done.succeeded()
    else:
        done.failed(case.code, *case.says)
        assert took_s < AT_ONCE_S * SHARED_MACHINE, f"{took_s:.1f} s"
    if not (case.in_copy or case.in_empty):
        assert project.state() == before
    if "up" in case.words or "restart" in case.words:
        project.cape("services", "down").succeeded()


def _place_for(case: Case, settled: Project, fresh: Path) -> Project:
    if case.other_home:
        return settled.with_variables(XDG_CONFIG_HOME=str(fresh))
    if not (case.in_copy or case.in_empty):
        return settled
    directory = settled.directory.parent / f"{fresh.name}-{abs(hash(fresh)) % 10**6}"
    if case.in_copy:
        shutil.copytree(settled.directory, directory, symlinks=True)
    else:
        directory.mkdir()
    return Project(directory=directory, environment=settled.environment)


# -- single questions ---------------------------------------------------------------------------------------


def test_changed_manifest_is_locked_from_indices_that_are_here(settled: Project, tmp_path: Path) -> None:
    project = _place_for(Case(words=(), in_copy=True), settled, tmp_path)
    text = project.manifest.read_text()
    project.manifest.write_text(text.replace('hello = "*"', 'hello = ">=1"\ntool = "*"'))
    done = run_without_interfaces(project, "sync").succeeded()
    assert "tool" in done.stdout
    assert run_without_interfaces(project, "run", "--", "tool").stdout == "tool 1.0-1\n"


def _package_rows(lock: Path) -> list[str]:
    return [line for line in lock.read_text().splitlines() if line.startswith('{"row":"package"')]


@pytest.mark.parametrize("way", WAYS)
def test_upgrade_takes_the_newest_of_what_is_here_and_says_how_old_that_is(
    settled: Project, way: str, tmp_path: Path
) -> None:
    project = _place_for(Case(words=(), in_copy=True), settled, tmp_path)
    project.manifest.write_text(project.manifest.read_text().partition("[include]")[0])
    before = _package_rows(project.lock)
    told = WAYS[way](project, "upgrade").succeeded()
    assert "the mirror of `trixie` could not be asked; its state of " in told.stdout + told.stderr
    asked = WAYS[way](project, "outdated").succeeded()
    assert (asked.stdout, "could not be asked" in asked.stderr) == ("", True)
    assert _package_rows(project.lock) == before


def test_outdated_without_a_network_answers_for_npm_too(tmp_path: Path) -> None:
    with world_at(tmp_path) as world:
        world.archive.add("libstdc++6", "3.13.5-1", architecture="all")
        stock(world)
        world.npm.publish("is-odd", "1.0.0")
        project = world.project(is_odd='{ npm = "*" }')
        project.cape("lock").succeeded()
        run_forbidden(project, "outdated").succeeded()
        run_forbidden(project, "upgrade", "--dry-run").succeeded()


@pytest.mark.parametrize("way", WAYS)
def test_include_from_a_repository_that_never_was_here_is_named(
    settled: Project, way: str, tmp_path: Path
) -> None:
    project = _place_for(Case(words=(), in_empty=True), settled, tmp_path)
    row = '[include]\nenvironments = [{ git = "https://nowhere.invalid/far.git" }]\n'
    project.manifest.write_text(f'schema = 1\n[environment]\nname = "x"\nsystems = ["x86_64-linux"]\n{row}')
    WAYS[way](project, "lock").failed(SOURCE, "include `far` is not in the store")
    assert not project.lock.exists()


def test_offline_can_be_said_in_three_ways(settled: Project, tmp_path: Path) -> None:
    said = "no network may be used"
    settled.cape("--offline", "install", "unseen").failed(SOURCE, said)
    settled.cape("install", "unseen", "--offline").failed(SOURCE, said)
    settled.cape("install", "unseen", CAPE_OFFLINE="1").failed(SOURCE, said)
    own = settled.with_variables(XDG_CONFIG_HOME=str(tmp_path))
    own.cape("config", "offline", "1").succeeded()
    own.cape("install", "unseen").failed(SOURCE, said)
    own.cape("install", "--dry-run", "unseen", CAPE_OFFLINE="0").succeeded()


def test_lacking_artifacts_are_all_named_and_nothing_is_changed(settled: Project, tmp_path: Path) -> None:
    project = _place_for(Case(words=(), in_copy=True), settled, tmp_path)
    for part in ("checkouts", "indices"):
        shutil.copytree(project.store / part, tmp_path / "poor" / part, symlinks=True)
    other = project.with_variables(CAPE_STORE=str(tmp_path / "poor"))
    before = project.state()
    run_forbidden(other, "sync", "--locked").failed(
        SOURCE, "`hello 1.0-1`", "`other 1.0-1`", "not in the store"
    )
    assert project.state() == before
