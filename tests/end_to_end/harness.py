"""Projects, stores and registries for the tests of this directory, and the `cape` command as a process.

    world.archive.add("hello", files={"usr/bin/hello": b"#!/bin/sh\\necho hi\\n"})
    world.publish()
    project = world.project(hello="*")
    project.cape("sync").succeeded()
    assert project.cape("run", "--", "hello").stdout == "hi\\n"

Nothing here reaches the internet, and nothing of the machine's own settings reaches `cape`.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from tests.mirrors.debian import DebianMirror
from tests.mirrors.loopback import Loopback
from tests.mirrors.npm import NpmRegistry, npm_registry
from tests.mirrors.pypi import PythonIndex, python_index

CAPE = Path(sys.prefix) / "bin" / "cape"
SYSTEMS = '["x86_64-linux", "aarch64-linux"]'
PATIENCE = {"CAPE_NETWORK_SILENCE": "0.5", "CAPE_NETWORK_ATTEMPTS": "2", "UV_HTTP_RETRIES": "0"}

INPUT = STATE = NO = 1
USAGE = 2
INTEGRITY = 3
SOURCE = 4
INTERRUPTED = 130


@dataclass(frozen=True, kw_only=True)
class Done:
    """A command that ended: exit code (negative: the signal that killed it), stdout, stderr."""

    words: tuple[str, ...]
    code: int
    stdout: str
    stderr: str

    def succeeded(self) -> Done:
        """This, if the exit code is 0."""
        assert self.code == 0, self._told()
        return self

    def failed(self, code: int, *said: str) -> Done:
        """This, if it failed with that exit code, said all that on stderr, and said it well."""
        assert self.code == code, self._told()
        for words in said:
            assert words in self.stderr, f"`{words}` is not in:\n{self._told()}"
        assert "Traceback" not in self.stderr, self._told()
        assert "This is a bug" not in self.stderr, self._told()
        return self

    def _told(self) -> str:
        return f"cape {' '.join(self.words)}: exit code {self.code}\n{self.stdout}\n{self.stderr}"


@dataclass(frozen=True, kw_only=True)
class Project:
    """A directory with (or without) a manifest, and the variables that `cape` is started with."""

    directory: Path
    environment: Mapping[str, str]

    @property
    def manifest(self) -> Path:
        return self.directory / "cape.toml"

    @property
    def lock(self) -> Path:
        return self.directory / "cape.lock"

    @property
    def store(self) -> Path:
        return Path(self.environment["CAPE_STORE"])

    def cape(self, *words: str, timeout_s: float = 60, input: str | None = None, **more: str) -> Done:
        """Run a command to its end; `more` are variables."""
        ended = subprocess.run(
            [CAPE, *words],
            cwd=self.directory,
            env={**self.environment, **more},
            stdin=subprocess.DEVNULL if input is None else None,
            input=input,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
        return Done(words=words, code=ended.returncode, stdout=ended.stdout, stderr=ended.stderr)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command in a process group of its own."""
        return subprocess.Popen(
            [CAPE, *words],
            cwd=self.directory,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def with_variables(self, **more: str) -> Project:
        """The same directory, with other variables."""
        return Project(directory=self.directory, environment={**self.environment, **more})

    def state(self) -> State:
        """The manifest, the lock, and the generations, byte for byte."""
        return State.of(self.directory)


@dataclass(frozen=True, kw_only=True)
class State:
    """What must not change when a command fails. Absent files are None."""

    manifest: bytes | None
    lock: bytes | None
    current: str | None
    generations: tuple[tuple[str, bytes], ...]

    @classmethod
    def of(cls, directory: Path) -> State:
        current = directory / ".cape" / "current"
        generations = directory / ".cape" / "generations"
        files = sorted(
            file
            for file in generations.glob("[0-9]*/*")
            if file.name in ("cape.toml", "cape.lock", "generation.json")
        )
        return cls(
            manifest=_bytes_of(directory / "cape.toml"),
            lock=_bytes_of(directory / "cape.lock"),
            current=os.readlink(current) if current.is_symlink() else None,
            generations=tuple((str(file.relative_to(generations)), file.read_bytes()) for file in files),
        )


def _bytes_of(file: Path) -> bytes | None:
    return file.read_bytes() if file.exists() else None


def collect(process: subprocess.Popen[str], *, timeout_s: float = 60) -> Done:
    """Wait for a command that was started."""
    stdout, stderr = process.communicate(timeout=timeout_s)
    words = tuple(str(word) for word in process.args[1:])  # type: ignore[index]
    return Done(words=words, code=process.returncode, stdout=stdout, stderr=stderr)


def signal_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Signal a command as a terminal does: every process of its group."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


@lru_cache(maxsize=1)
def archive_key() -> Any:
    """The key of every archive of this run: making one takes longer than using it."""
    from pysequoia import Tsk

    return Tsk.generate("Test archive")


def script(text: str) -> bytes:
    """A program that needs nothing of its environment: this `#!` line leads to the machine's `sh`."""
    return f"#!/proc/self/root/bin/sh\n{text}\n".encode()


def noise(size_bytes: int) -> bytes:
    """Bytes that no compression makes fewer; equal for equal sizes."""
    return random.Random(size_bytes).randbytes(size_bytes)


def add_program(archive: DebianMirror, name: str, version: str = "1.0-1", **more: Any) -> None:
    """Add a package for all systems with one program of its name, which says its name and version."""
    files = {f"usr/bin/{name}": script(f"echo {name} {version}"), **more.pop("files", {})}
    archive.add(name, version, architecture="all", files=files, **more)


@dataclass
class World:
    """A Debian archive, a Python index and an npm registry on loopback, and places for projects."""

    place: Path
    archive: DebianMirror
    server: Loopback
    index: PythonIndex
    npm: NpmRegistry
    made: int = field(default=0)

    def publish(self, *, valid_for: timedelta | None = None, **how: Any) -> None:
        """Write the archive's indices and signatures."""
        self.archive.publish(valid_for=valid_for, **how)

    def variables(self, *, store: str = "store") -> dict[str, str]:
        """What `cape` is started with: nothing of this machine's but where its programs are."""
        home = self.place / "home"
        home.mkdir(exist_ok=True)
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / "config"),
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
            "CAPE_STORE": str(self.place / store),
            "CAPE_PYPI_INDEX": self.index.simple,
            "CAPE_NPM_REGISTRY": self.npm.url,
            **self.archive.environment(self.server.url),
            **PATIENCE,
        }

    def directory(self, name: str | None = None) -> Path:
        """A fresh directory."""
        self.made += 1
        directory = self.place / (name or f"project-{self.made}")
        directory.mkdir(parents=True)
        return directory

    def project(
        self, *, name: str | None = None, store: str = "store", text: str = "", **packages: str
    ) -> Project:
        """A fresh project with a manifest; `packages` are its rows, `text` more of the manifest.

        A value that starts with `{` stands as it is, another is a string; `_` in a name is `-`.
        """
        rows = [f"{key.replace('_', '-')} = {_value(value)}\n" for key, value in packages.items()]
        manifest = (
            f'# A project of a test.\nschema = 1\n\n[environment]\nname = "test"\nsystems = {SYSTEMS}\n'
            f'debian = "trixie"\n\n[packages]   # what it needs\n{"".join(rows)}{text}'
        )
        project = Project(directory=self.directory(name), environment=self.variables(store=store))
        project.manifest.write_text(manifest)
        return project

    def clone(self, project: Project, *, store: str) -> Project:
        """A second directory with the manifest and lock of a project, and another store."""
        directory = self.directory()
        for file in (project.manifest, project.lock):
            shutil.copy(file, directory)
        return Project(directory=directory, environment=self.variables(store=store))


def _value(text: str) -> str:
    return text if text.startswith("{") else f'"{text}"'


@contextmanager
def world_at(place: Path) -> Iterator[World]:
    """A world whose registries run until the block ends."""
    archive = DebianMirror(place / "archive")
    archive.__dict__["key"] = archive_key()
    with ExitStack() as stack:
        server = stack.enter_context(archive.serve())
        index = stack.enter_context(python_index())
        npm = stack.enter_context(npm_registry())
        yield World(place=place, archive=archive, server=server, index=index, npm=npm)


def files_below(directory: Path) -> dict[str, bytes]:
    """Every file below a directory, by its path from there."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def make_writable(directory: Path) -> None:
    """Let a tree of the store be changed, as something that means harm would."""
    for path in (directory, *directory.rglob("*")):
        if not path.is_symlink():
            path.chmod(stat.S_IMODE(path.stat().st_mode) | 0o200)
