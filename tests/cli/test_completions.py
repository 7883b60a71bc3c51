"""Completions: bash completes in a real bash; the scripts of the others are read by their shells."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from cape.cli.completions import SCRIPTS
from cape.cli.declarations import COMMANDS, GLOBAL
from tests.end_to_end.harness import CAPE, Project


def complete(project: Project, line: str) -> list[str]:
    """What bash offers for the last word of `line`, in the project's directory."""
    words = line.split(" ")
    script = (
        'eval "$(cape completions bash)"\n'
        'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}\n'
        '_cape cape "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"\n'
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script, "bash", *words],
        cwd=project.directory,
        env={**project.environment, "PATH": f"{CAPE.parent}:{project.environment['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return sorted(word for word in done.stdout.splitlines() if word)


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("cape ini", ["init"]),
        ("cape index st", ["status"]),
        ("cape un", ["uninstall"]),
        ("cape --h", ["--help"]),
        ("cape sync --d", ["--directory", "--dry-run"]),
        ("cape deactivate --", ["--directory", "--offline", "--quiet", "--verbose"]),
        ("cape -C . lock --ch", ["--check"]),
        ("cape -q lock --ch", ["--check"]),
        ("cape why h", ["hello"]),
        ("cape upgrade gr", ["greeting"]),
        ("cape config debian.m", ["debian.mirror"]),
        ("cape completions f", ["fish"]),
        ("cape activate --sh", ["--shell"]),
        ("cape run -- ech", ["echo"]),
        ("cape run ech", ["echo"]),
        ("cape run --pure ech", ["echo"]),
        ("cape run --pure -- ech", ["echo"]),
        ("cape run --p", ["--pure"]),
        ("cape run --pure --q", ["--quiet"]),
    ],
)
def test_bash_completes(line: str, offered: list[str], project: Project) -> None:
    found = complete(project, line)
    assert found == offered if offered != ["echo"] else "echo" in found


def test_bash_offers_directories(project: Project) -> None:
    assert ".cape" in complete(project, "cape vendor .ca")


@pytest.mark.parametrize("shell", SCRIPTS)
def test_every_command_and_flag_is_in_each_script(shell: str) -> None:
    text = SCRIPTS[shell]()
    for command in COMMANDS:
        assert all(word in text for word in command.name.split())
        for argument in (*command.arguments, *GLOBAL):
            for flag in argument.flags:
                spelled = flag if shell != "fish" else flag.lstrip("-")
                assert argument.is_positional or spelled in text


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_reads_its_script(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not on this machine")
    file = tmp_path / "script"
    file.write_text(SCRIPTS[shell]() + "\n")
    subprocess.run([shell, "-n", file], check=True)


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_shell_of_debian_reads_its_script(shell: str, tmp_path: Path) -> None:
    """cape brings the shell itself, in an environment of its own."""
    project = Project(directory=tmp_path / "project", environment={**environment_of(tmp_path)})
    project.directory.mkdir()
    project.cape("init").succeeded()
    project.cape("install", shell, timeout_s=300).succeeded()
    (project.directory / "script").write_text(SCRIPTS[shell]() + "\n")
    project.cape("run", "--", shell, "-n", "script").succeeded()
    if shell == "fish":
        asked = 'source script; complete -C "cape uninst"'
        offered = project.cape("run", "--", "fish", "--no-config", "-c", asked).succeeded().stdout
        assert offered.split("\t")[0] == "uninstall"
    else:
        loaded = "autoload -Uz compinit; compinit -D; source ./script; print -r -- $_comps[cape]"
        assert project.cape("run", "--", "zsh", "-f", "-c", loaded).succeeded().stdout == "_cape\n"


def environment_of(place: Path) -> dict[str, str]:
    """This machine's registries, and a store and a home of the test's own."""
    import os

    return {**os.environ, "CAPE_STORE": str(place / "store"), "XDG_CONFIG_HOME": str(place / "config")}
