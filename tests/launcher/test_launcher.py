from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from cape.environment.generations import new_generation, seal
from cape.environment.generations import rollback as roll_back
from cape.store import Store
from tests.environment.builders import make, package, plan

LAUNCHER = Path(__file__).parents[2] / "src" / "launcher" / "cape"
SHELLS = [["dash"], ["bash", "--posix"], ["busybox", "sh"]]
MANIFEST = """\
schema = 1
[environment]
name = "demo"
systems = ["x86_64-linux"]
[vars]
URL = "postgresql:///app?host=${CAPE_STATE}/db"
EVIL = '$(touch pwned); `touch pwned` " '
"""


class Scene:
    """A project with an environment, the launcher as installed, and a Python that only says its name."""

    def __init__(self, directory: Path) -> None:
        self.directory = Path(os.path.realpath(directory))
        self.project = self.directory / "my project"
        self.project.mkdir()
        self.bin = self.directory / "venv/bin"
        self.bin.mkdir(parents=True)
        self.launcher = self.bin / "cape"
        shutil.copy(LAUNCHER, self.launcher)
        self.launcher.chmod(0o755)
        python = self.bin / "python3"
        python.write_text('#!/bin/sh\nshift 4\necho "python: $*"\necho "in $PWD"\n')
        python.chmod(0o755)
        self.store = Store(self.directory / "store")
        self.sync("tool")

    def sync(self, name: str, manifest: str = MANIFEST) -> None:
        script = '#!/bin/sh\necho "tool $*"\necho "$PWD"\nexit 7\n'
        made = plan(package(self.store, name, {"root/usr/bin/tool*": script}), roots=(name,))
        self.environment = make(self.store, made)
        new_generation(self.project, self.environment, manifest_text=manifest, lock_text=name)

    def cape(
        self,
        shell: list[str],
        *words: str,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        launcher: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*shell, str(launcher or self.launcher), *words],
            capture_output=True,
            text=True,
            cwd=cwd or self.project,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.directory), **(env or {})},
            check=False,
            timeout=20,
        )


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.fixture(params=SHELLS, ids=lambda words: words[0])
def shell(request: pytest.FixtureRequest) -> list[str]:
    words: list[str] = request.param
    if shutil.which(words[0]) is None:
        pytest.skip(f"{words[0]} is not on this machine")
    return words


def settle(scene: Scene) -> None:
    """Let the files be old enough for shells that compare whole seconds."""
    for name in ("cape.toml", "cape.lock"):
        os.utime(scene.project / name, ns=(10**18 + 5, 10**18 + 5))
    generation = (scene.project / ".cape/current").resolve()
    from cape.environment.generations import generation as read

    seal(scene.project, read(scene.project, int(generation.name)))


def test_run_starts_the_command_with_its_arguments_and_exit_code(scene: Scene, shell: list[str]) -> None:
    settle(scene)
    below = scene.project / "a/b"
    below.mkdir(parents=True)
    for words in (("run", "--", "tool", "one two", "*"), ("run", "-q", "tool", "one two", "*")):
        done = scene.cape(shell, *words, cwd=below)
        assert done.stdout == f"tool one two *\n{below}\n", done.stderr
        assert done.returncode == 7


def test_run_sets_the_variables_and_runs_no_text(scene: Scene, shell: list[str]) -> None:
    settle(scene)
    done = scene.cape(shell, "run", "--", "env")
    variables = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    environment, state = scene.environment.path, scene.project / ".cape/state"
    assert variables["CAPE_ENV"] == str(environment)
    assert variables["CAPE_ROOT"] == f"{environment}/root"
    assert variables["CAPE_STATE"] == str(state)
    assert variables["CAPE_PROJECT"] == str(scene.project)
    assert variables["URL"] == f"postgresql:///app?host={state}/db"
    assert variables["EVIL"] == '$(touch pwned); `touch pwned` " '
    assert variables["PATH"] == f"{environment}/bin:/usr/bin:/bin"
    assert not [name for name in variables if name.startswith("cape_")]
    assert not (scene.project / "pwned").exists()


@pytest.mark.parametrize("changed", ["newer", "older", "lock", "no stamp", "switching", "collected", "moved"])
def test_whatever_may_be_stale_is_pythons(scene: Scene, shell: list[str], changed: str) -> None:
    settle(scene)
    project = scene.project
    if changed == "newer":
        os.utime(project / "cape.toml", ns=(10**18 + 10**9, 10**18 + 10**9))
    elif changed == "older":
        os.utime(project / "cape.toml", ns=(10**18 - 10**9, 10**18 - 10**9))
    elif changed == "lock":
        (project / "cape.lock").unlink()
    elif changed == "no stamp":
        (project / ".cape/generations/1/cape.toml.stamp").unlink()
    elif changed == "switching":
        (project / ".cape/switching").write_text("{}")
    elif changed == "collected":
        (scene.environment.path / "environment.json").unlink()
    else:
        project = project.rename(project.with_name("elsewhere"))
    done = scene.cape(shell, "run", "--", "tool", cwd=project)
    assert done.stdout.splitlines()[0] == "python: run -- tool", done.stderr


def test_an_edit_is_seen_at_once(scene: Scene, shell: list[str]) -> None:
    """Right after a sync, within one second: also by shells that compare whole seconds."""
    (scene.project / "cape.toml").write_text(MANIFEST + "# edited\n")
    done = scene.cape(shell, "run", "--", "tool")
    assert done.stdout.startswith("python: run -- tool")


@pytest.mark.parametrize(
    "words",
    [
        ("run",), ("run", "--help"), ("run", "-C"), ("run", "-C", "no", "tool"),
        ("lock",), ("--version",), (), ("activate", "--shell", "tcsh"), ("activate", "--help"),
    ],
)  # fmt: skip
def test_all_else_is_pythons_word_for_word(scene: Scene, shell: list[str], words: tuple[str, ...]) -> None:
    settle(scene)
    done = scene.cape(shell, *words)
    assert done.stdout == f"python: {' '.join(words)}\nin {scene.project}\n"


def test_run_works_in_another_directory(scene: Scene, shell: list[str]) -> None:
    settle(scene)
    done = scene.cape(shell, "run", "-C", "my project", "--", "tool", "x", cwd=scene.directory)
    assert done.stdout == f"tool x\n{scene.project}\n", done.stderr
    os.utime(scene.project / "cape.toml")
    done = scene.cape(shell, "run", "-C", "my project", "--", "tool", "x", cwd=scene.directory)
    assert done.stdout == f"python: run -- tool x\nin {scene.project}\n"


def test_the_working_directory_keeps_its_name(scene: Scene, shell: list[str]) -> None:
    """Entered through a link, the project above the real place is found, and PWD stays what it was."""
    settle(scene)
    (scene.project / "sub").mkdir()
    link = scene.directory / "link"
    link.symlink_to(scene.project / "sub")
    done = scene.cape(shell, "run", "--", "tool", cwd=link, env={"PWD": str(link)})
    assert done.stdout.splitlines() == ["tool ", str(link)]


@pytest.mark.parametrize("kind", ["absolute", "relative", "chain", "path"])
def test_python_is_found_through_links(scene: Scene, shell: list[str], kind: str) -> None:
    elsewhere = scene.directory / "local/bin"
    elsewhere.mkdir(parents=True)
    link = elsewhere / "cape"
    if kind == "relative":
        link.symlink_to("../../venv/bin/cape")
    elif kind == "chain":
        (elsewhere / "middle").symlink_to("../../venv/bin/cape")
        link.symlink_to(elsewhere / "middle")
    else:
        link.symlink_to(scene.launcher)
    done = scene.cape(shell, "lock", launcher=link)
    assert done.stdout.startswith("python: lock")


def test_the_command_takes_the_launchers_place(scene: Scene, shell: list[str]) -> None:
    """Same pid, so signals reach the command and its death is the launcher's."""
    settle(scene)
    script = "echo $$; kill -TERM $$"
    with subprocess.Popen(
        [*shell, str(scene.launcher), "run", "--", "sh", "-c", script],
        cwd=scene.project,
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": "/usr/bin:/bin"},
    ) as process:
        assert process.stdout is not None
        assert int(process.stdout.read()) == process.pid
    assert process.returncode == -signal.SIGTERM


def test_an_unknown_program_is_named(scene: Scene, shell: list[str]) -> None:
    settle(scene)
    done = scene.cape(shell, "run", "--", "no-such-program")
    assert done.returncode == 127
    assert "`no-such-program` is no program of this environment" in done.stderr


def test_a_hook_runs_once_before_the_command(scene: Scene, shell: list[str]) -> None:
    hook = '\n[hook]\non-activate = "echo hook >&2; cat; echo $CAPE_PROJECT >> $CAPE_STATE/hooks"\n'
    scene.sync("tool", MANIFEST + hook)
    settle(scene)
    inner = f"'{scene.launcher}' run -- tool"
    done = scene.cape(shell, "run", "--", "sh", "-c", f"{inner}; {inner}; true")
    assert done.returncode == 0
    assert done.stdout.count("tool") == 2
    assert (scene.project / ".cape/state/hooks").read_text().count("\n") == 1


def test_a_failing_hook_stops_the_command(scene: Scene, shell: list[str]) -> None:
    scene.sync("tool", MANIFEST + '\n[hook]\non-activate = "exit 3"\n')
    settle(scene)
    done = scene.cape(shell, "run", "--", "tool")
    assert done.returncode == 1
    assert "`on-activate`" in done.stderr and "exit code 3" in done.stderr
    assert done.stdout == ""


def test_activate_prints_a_line_for_eval(scene: Scene, shell: list[str]) -> None:
    settle(scene)
    for words in (("activate",), ("activate", "--shell", "bash")):
        printed = scene.cape(shell, *words).stdout
        done = subprocess.run(
            ["bash", "-c", f"{printed}\ntool; echo $URL; cape deactivate; type tool"],
            capture_output=True,
            text=True,
            cwd=scene.project,
            env={"PATH": "/usr/bin:/bin", "CAPE_STATE": "outside"},
            check=False,
        )
        assert done.stdout.splitlines()[0] == "tool "
        assert done.stdout.splitlines()[2].endswith("/.cape/state/db")
        assert "tool: not found" in done.stderr


def test_the_fast_path_starts_no_process(scene: Scene) -> None:
    """Every program is gone from PATH but the command, which reports how many forks there were."""
    settle(scene)
    if shutil.which("strace") is None:
        pytest.skip("strace is not on this machine")
    done = subprocess.run(
        ["strace", "-f", "-e", "trace=process", str(scene.launcher), "run", "--", "tool"],
        capture_output=True,
        text=True,
        cwd=scene.project,
        env={"PATH": "/usr/bin:/bin"},
        check=False,
    )
    calls = [line for line in done.stderr.splitlines() if "clone" in line or "fork" in line]
    assert calls == []


def test_a_rollback_changes_what_runs(scene: Scene, shell: list[str]) -> None:
    first = scene.environment.path
    scene.sync("tool2", MANIFEST + "# 2\n")
    roll_back(scene.project)
    settle(scene)
    done = scene.cape(shell, "run", "--", "sh", "-c", "echo $CAPE_ENV")
    assert done.stdout.strip() == str(first) != str(scene.environment.path)


def test_the_real_command_starts() -> None:
    beside = Path(sys.executable).parent / "cape"
    if not beside.exists():
        pytest.skip("cape is not installed beside this Python")
    done = subprocess.run([str(LAUNCHER), "--version"], capture_output=True, text=True, check=False,
                          env={**os.environ, "PATH": f"{beside.parent}:{os.environ['PATH']}"})  # fmt: skip
    assert done.stdout.startswith("cape "), done.stderr
