"""Hooks, variables, files of variables, secrets and `cape why VARIABLE`, through the command."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.end_to_end.harness import CAPE, Project, World, add_program

TOKEN = "hunter2-and-more"


@pytest.fixture
def projects(world: World) -> World:
    add_program(world.archive, "hello")
    world.publish()
    return world


def synced(world: World, text: str, env: str | None = None, head: str = "") -> Project:
    project = world.project(hello="*", text=text)
    manifest = project.manifest.read_text()
    project.manifest.write_text(manifest.replace("[environment]\n", f"[environment]\n{head}", 1))
    if env is not None:
        (project.directory / ".env").write_text(env)
    project.cape("sync").succeeded()
    return project


ENV_FILES = 'env-files = [".env", "more.env"]\n'


def run(project: Project, text: str) -> str:
    return project.cape("run", "--", "sh", "-c", text).succeeded().stdout


def line_of(project: Project, text: str) -> int:
    lines = project.manifest.read_text().split("\n")
    return next(number for number, line in enumerate(lines, start=1) if line.startswith(text))


def test_variables_of_files_hold_and_a_change_holds_at_once(projects: World) -> None:
    env = "# mine\nexport A=1\nB='$A literal'\nC=\"two\\nlines $A\"\nD=file\n"
    project = synced(projects, '\n[vars]\nD = "manifest"\nE = "${A}e"\n', env, ENV_FILES)
    show = 'echo "$A|$B|$C|$D|$E"'
    assert run(project, show) == "1|$A literal|two\nlines 1|manifest|1e\n"
    (project.directory / ".env").write_text(env.replace("A=1", "A=2"))
    assert run(project, show) == "2|$A literal|two\nlines 2|manifest|2e\n"
    (project.directory / "more.env").write_text("A=3\n")
    assert run(project, 'echo "$A$E"') == "33e\n"
    (project.directory / "more.env").unlink()
    (project.directory / ".env").unlink()
    assert run(project, 'echo "${A-none}$E"') == "nonee\n"
    history = json.loads(project.cape("history", "--json").succeeded().stdout)
    assert len(history["generations"]) == 1


def test_wrong_file_of_variables_is_told_with_its_line(projects: World) -> None:
    project = synced(projects, "", "A=1\n", ENV_FILES)
    for text, said in {
        "A=1\n\nnot one\n": ".env:3",
        "A=1\n1B=2\n": ".env:2",
        "A='open\n": ".env:1",
        "A=$B\nB=$A\n": ".env:1, .env:2",
        "A=1\nCAPE_ENV=x\n": ".env:2",
    }.items():
        (project.directory / ".env").write_text(text)
        project.cape("run", "--", "true").failed(1, said)
    (project.directory / ".env").write_bytes(b"A=\xff\n")
    project.cape("run", "--", "true").failed(1, ".env", "UTF-8")
    (project.directory / ".env").write_text("A=good\n")
    assert run(project, "echo $A") == "good\n"


def test_ring_of_variables_names_its_members(projects: World) -> None:
    project = projects.project(hello="*", text='\n[vars]\nA = "$C"\nB = "$A"\nC = "$B"\n')
    project.cape("sync").failed(1, "`A` -> `C` -> `B` -> `A`", f"cape.toml:{line_of(project, 'A =')}")


def test_secret_is_exported_and_written_nowhere(projects: World, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN + "\n")
    text = f"\n[secrets]\nTOKEN = {{ command = \"cat '{tmp_path}/token'\" }}\n"
    text += '[vars]\nURL = "https://me:${TOKEN}@host"\n[hook]\non-activate = "export SEEN=yes"\n'
    project = synced(projects, text)
    assert run(project, "echo $TOKEN $URL $SEEN") == f"{TOKEN} https://me:{TOKEN}@host yes\n"
    for words in (("why", "TOKEN"), ("why", "URL"), ("why", "TOKEN", "--json"), ("list", "--json")):
        done = project.cape(*words, TOKEN=TOKEN).succeeded()
        assert TOKEN not in done.stdout + done.stderr
    assert "secrets.TOKEN" in project.cape("why", "URL").succeeded().stdout
    (tmp_path / "token").unlink()
    done = project.cape("run", "--", "echo", "never").failed(1, "secret `TOKEN`", "secrets.TOKEN")
    assert done.stdout == ""
    for place in (project.directory, project.store):
        for file in place.rglob("*"):
            if file.is_file() and not file.is_symlink():
                assert TOKEN.encode() not in file.read_bytes(), file


def test_secret_of_a_keyring_is_read(projects: World, tmp_path: Path) -> None:
    """A `secret-tool` that answers as the real one does."""
    tool = tmp_path / "bin" / "secret-tool"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\n[ "$*" = "lookup service example username me" ] && printf %s {TOKEN}\n')
    tool.chmod(0o755)
    project = synced(
        projects, '\n[secrets]\nTOKEN = { keyring = "example/me" }\nNONE = { keyring = "example/you" }\n'
    )
    path = f"{tool.parent}:{os.environ['PATH']}"
    project.cape("run", "--", "true", PATH=path).failed(1, "secret `NONE`")
    project.manifest.write_text(
        project.manifest.read_text().replace('NONE = { keyring = "example/you" }\n', "")
    )
    assert project.cape("run", "--", "sh", "-c", "echo $TOKEN", PATH=path).succeeded().stdout == TOKEN + "\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[secrets]\nA = { command = "x", keyring = "y/z" }\n', "is looked up in one way"),
        ("[secrets]\nA = {}\n", "is looked up in one way"),
        ('[secrets]\nA = { keyring = "alone" }\n', "`SERVICE/USER`"),
        ('[secrets]\nA = { command = " " }\n', "has no `command`"),
        ('[secrets]\nCAPE_ENV = { command = "x" }\n', "no name of a variable"),
        ('[secrets]\nA = { command = "x" }\n[vars]\nA = "b"\n', "`A` is a secret here and a variable"),
    ],
)
def test_wrong_secret_is_told(projects: World, text: str, said: str) -> None:
    projects.project(hello="*", text=f"\n{text}").cape("sync").failed(1, said, "cape.toml:")


def test_why_tells_file_and_line_of_each_part(projects: World) -> None:
    text = '\n[vars]\nURL = "pg:///${NAME}?host=${CAPE_STATE}/db"\nNAME = "app"\n'
    text += 'PATH = "$CAPE_STATE/bin:$PATH"\n'
    text += "[hook]\non-activate = 'export PATH=/by/hook:$PATH HOOKED=1; unset GONE'\n"
    project = synced(projects, text, "FROM=file\nGONE=x\n", ENV_FILES)
    run(project, "true")
    done = project.cape("why", "URL", "--json").succeeded()
    found = json.loads(done.stdout)
    state = f"{project.directory}/.cape/state"
    url, name = (f"cape.toml:{line_of(project, f'{one} =')} vars.{one}" for one in ("URL", "NAME"))
    assert found["value"] == f"pg:///app?host={state}/db"
    assert [(part["text"], part["origin"]) for part in found["parts"]] == [
        ("pg:///", url), ("app", name), ("?host=", url), (state, "cape"), ("/db", url),
    ]  # fmt: skip
    assert "URL=pg:///app" in project.cape("why", "URL").succeeded().stdout
    assert ".env:1" in project.cape("why", "$FROM").succeeded().stdout
    assert "hook.on-activate" in project.cape("why", "HOOKED").succeeded().stdout
    assert "taken away by hook.on-activate" in project.cape("why", "GONE").succeeded().stdout
    parts = json.loads(project.cape("why", "PATH", "--json").succeeded().stdout)["parts"]
    texts = [part["text"] for part in parts]
    assert texts[:2] == ["/by/hook", f"{state}/bin"] and texts[2].endswith("/bin")
    assert parts[0]["origin"] == "hook.on-activate"
    assert parts[1]["origin"] == f"cape + cape.toml:{line_of(project, 'PATH =')} vars.PATH"
    assert "generation 1" in parts[2]["origin"] and {part["origin"] for part in parts[3:]} == {"from outside"}
    project.cape("why", "NOTHING_LIKE_IT").failed(1)
    project.cape("why", "$NOTHING_LIKE_IT").failed(1, "is set neither by the environment nor outside")
    assert "hello" in project.cape("why", "hello").succeeded().stdout


def test_why_inside_tells_the_same_and_what_was_changed(projects: World) -> None:
    outer = synced(projects, '\n[vars]\nA = "a"\n')
    inner = synced(projects, '\n[vars]\nB = "b"\n')
    look = f"PATH=/mine:$PATH; B=c; {CAPE} why PATH --json; {CAPE} why B"
    script = f'cd {inner.directory} && exec {CAPE} run -- sh -c "{look}"'
    done = outer.cape("run", "--", "sh", "-c", script.replace("$PATH", "\\$PATH")).succeeded()
    text, _, last = done.stdout.rpartition("}\n")
    parts = json.loads(text + "}")["parts"]
    origins = {part["text"]: part["origin"] for part in parts}
    assert origins["/mine"] == "from outside"
    bins = [origin for place, origin in origins.items() if "/environments/" in place]
    assert f"of {inner.directory}" in bins[0]
    assert "this process has another value, set after entering: c" in last


def test_files_with_values_are_the_users_alone(projects: World) -> None:
    text = "\n[hook]\non-activate = 'export A=1'\non-deactivate = 'true'\n"
    project = synced(projects, text, "B=1\n", ENV_FILES)
    run(project, "true")
    time.sleep(0.5)
    own = project.directory / ".cape"
    for directory in (own, own / "starts", own / "attached", own / "logs", *(own / "starts").iterdir()):
        assert directory.stat().st_mode & 0o077 == 0, directory
    for file in own.rglob("variables*"):
        assert file.stat().st_mode & 0o077 == 0, file


def test_twenty_commands_at_once_run_the_hook_once(projects: World) -> None:
    text = "\n[hook]\non-activate = 'sleep 0.5; echo run >>$CAPE_STATE/hook'\n"
    project = synced(projects, text)
    words = [str(CAPE), "run", "--", "sh", "-c", "sleep 1.5"]
    many = [subprocess.Popen(words, cwd=project.directory, env=dict(project.environment)) for _ in range(20)]
    assert [one.wait(timeout=60) for one in many] == [0] * 20
    assert (project.directory / ".cape/state/hook").read_text() == "run\n"
