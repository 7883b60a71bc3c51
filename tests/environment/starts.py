"""A project with hooks, entered by real shells and by the sealed script, for the tests of hooks."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from cape.environment.activation import activation_of
from cape.environment.shells import render_bash, render_run
from cape.environment.shells.hooks import write_start
from cape.manifest import parse_manifest

HEAD = 'schema = 1\n[environment]\nname = "demo"\nsystems = ["x86_64-linux"]\n'
PATIENCE_S = 20


class Entered:
    """A project whose scripts are sealed, and the ways in."""

    def __init__(self, directory: Path, text: str) -> None:
        self.project = Path(os.path.realpath(directory)) / "my project"
        self.state = self.project / ".cape" / "state"
        self.environment = directory / "env"
        (self.environment / "bin").mkdir(parents=True, exist_ok=True)
        (self.environment / "environment.json").write_text("{}")
        self.state.mkdir(parents=True, exist_ok=True)
        self.begun: list[subprocess.Popen[str]] = []
        self.write(text)

    def write(self, text: str) -> None:
        manifest = parse_manifest(HEAD + text, path=self.project / "cape.toml")
        manifest.path.write_text(HEAD + text)
        self.activation = activation_of(manifest, self.environment, self.project)
        write_start(self.activation)
        (self.project / "activate.bash").write_text(render_bash(self.activation))
        run = render_run(self.activation, self.project / "generation", [(manifest.path, manifest.path)])
        (self.project / "run.sh").write_text(run)

    def close(self) -> None:
        """End what is still inside."""
        for process in self.begun:
            if process.poll() is None:
                process.kill()
            process.communicate(timeout=PATIENCE_S)

    def run(self, command: str, *, shell: str = "dash", **env: str) -> subprocess.CompletedProcess[str]:
        """`cape run -- sh -c COMMAND`."""
        return finished(self.starting(command, shell=shell, **env))

    def starting(self, command: str, *, shell: str = "dash", **env: str) -> subprocess.Popen[str]:
        starter = f'cape_mode=run cape_project="{self.project}"; . "{self.project}/run.sh"; exit 70'
        words = [*shell.split(), "-c", starter, "cape", "sh", "-c", command]
        return self._begun(started(words, self.project, env))

    def bash(self, script: str, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
        return finished(self.in_bash(script, *options, **env))

    def in_bash(self, script: str, *options: str, **env: str) -> subprocess.Popen[str]:
        file = self.project / f"script.{time.monotonic_ns()}.bash"
        file.write_text(script.replace("ENTER", f'. "{self.project}/activate.bash"'))
        return self._begun(started(["bash", "--norc", *options, str(file)], self.project, env))

    def _begun(self, process: subprocess.Popen[str]) -> subprocess.Popen[str]:
        self.begun.append(process)
        return process

    def said(self, name: str) -> list[str]:
        """The lines of a file below `$CAPE_STATE`; none where it is not there."""
        file = self.state / name
        return file.read_text().split("\n")[:-1] if file.exists() else []

    @property
    def home(self) -> Path:
        (home,) = (self.project / ".cape" / "starts").iterdir()
        return home


def started(words: list[str], directory: Path, env: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=directory,
        env={"PATH": "/usr/bin:/bin", "HOME": str(directory), **env},
    )


def finished(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    out, err = process.communicate(timeout=PATIENCE_S)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def until(holds: Callable[[], object]) -> None:
    """Wait until something holds, at most some seconds."""
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)
