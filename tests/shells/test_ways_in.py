"""All the ways in that a user takes: shells on a terminal, start-up files, logins, cron, a multiplexer."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.environment.starts import until
from tests.shells.terminal import Terminal
from tests.shells.test_entering import CAPE, Scene, bash_scene, cd, scene, value

__all__ = ["bash_scene", "scene"]
TERMINAL = ("bash", "zsh", "fish", "dash")
FIRST = "/first"
START_UP = [
    ("bash", ".bashrc", "-i"),
    ("bash", ".bash_profile", "-l"),
    ("bash", ".profile", "-l"),
    ("zsh", ".zshenv", "-i"),
    ("zsh", ".zprofile", "-l"),
    ("zsh", ".zshrc", "-i"),
    ("zsh", ".zlogin", "-l"),
    ("fish", ".config/fish/config.fish", "-l"),
    ("dash", ".profile", "-l"),
    ("dash", ".shrc", "-i"),
]
HOOK = '[hook]\non-activate = "echo ran >>$CAPE_PROJECT/runs"\n'
in_all = pytest.mark.parametrize("name", [pytest.param(one, marks=pytest.mark.network) for one in TERMINAL])


def plain_rc(scene: Scene) -> None:
    """Start-up files that put a directory in front of PATH and have a prompt of their own."""
    posix = f"PS1='p> '; PATH={FIRST}:$PATH; RC=read\n"
    texts = {
        ".bashrc": posix,
        ".shrc": posix,
        ".zshrc": f"unsetopt zle promptsp promptcr; {posix}",
        ".config/fish/config.fish": "set -g fish_greeting\nfunction fish_prompt\necho 'p> '\nend\n"
        f"set -gx PATH {FIRST} $PATH\nset -g RC read\n",
    }
    for file, text in texts.items():
        (scene.home / file).write_text(text)


def inside(scene: Scene, name: str, project: Path, *words: str, **more: str) -> Terminal:
    """`cape activate` on a terminal, for somebody whose shell is that one."""
    program = scene._shells[name][0]
    path = f"{Path(program).parent}:/usr/bin:/bin"
    variables = {**scene.variables, "SHELL": program, "PATH": path, **more}
    return Terminal([CAPE, "activate", *words], cwd=project, env=variables)


def path_of(shell: Terminal) -> list[str]:
    return shell.said("printenv PATH").split(":")


def is_of(entry: str, project: str) -> bool:
    return Path(entry, f"tool-{project}").exists()


@in_all
def test_a_shell_inside_reads_start_up_files_first_and_keeps_nested_environments_in_order(
    name: str, scene: Scene
) -> None:
    outer, inner = scene.project("outer"), scene.project("inner")
    plain_rc(scene)
    with inside(scene, name, outer) as shell:
        shell.settled()
        assert value(shell, "RC") == "read"
        first, second = path_of(shell)[:2]
        assert (is_of(first, "outer"), second) == (True, FIRST)
        if name != "fish":
            assert value(shell, "PS1") == "(outer) p> "
        cd(shell, inner)
        shell.send(CAPE + " activate")
        shell.settled()
        first, second, third = path_of(shell)[:3]
        assert (is_of(first, "inner"), is_of(second, "outer"), third) == (True, True, FIRST)
        if name == "fish":
            assert shell.said("fish_prompt").split() == ["(inner)", "p>"]
        assert [value(shell, mark) for mark in ("MARK_outer", "MARK_inner")] == ["in", "in"]
        shell.send("exit")
        shell.settled()
        assert [value(shell, mark) for mark in ("MARK_outer", "MARK_inner")] == ["in", ""]
        shell.type("cape deactivate")
        prompt = shell.said("fish_prompt").strip() + " " if name == "fish" else value(shell, "PS1")
        assert (prompt, value(shell, "MARK_outer")) == ("p> ", "")


@in_all
def test_a_pure_shell_reads_no_start_up_file_and_has_nothing_of_the_machine_on_path(
    name: str, scene: Scene
) -> None:
    project = scene.project("one")
    plain_rc(scene)
    with inside(scene, name, project, "--pure", MANPATH="/usr/share/man") as shell:
        shell.settled()
        assert [value(shell, one) for one in ("RC", "MANPATH", "MARK_one")] == ["", "", "in"]
        entries = value(shell, "PATH").replace(" ", ":") if name == "fish" else value(shell, "PATH")
        assert is_of(entries.split(":")[0], "one")
        assert "/usr/bin" not in entries.split(":")


def eval_line(name: str, project: Path) -> str:
    kind = {"dash": "sh"}.get(name, name)
    if name == "fish":
        return f'begin; cd "{project}"; command {CAPE} activate --shell fish; end | source\n'
    line = f'cd "{project}" && command {CAPE} activate --shell {kind}'
    return f'eval "$({line})"\n'


@pytest.mark.network
@pytest.mark.parametrize(("name", "file", "flag"), START_UP)
def test_activation_from_a_start_up_file_happens_once_and_comes_in_front(
    name: str, file: str, flag: str, scene: Scene
) -> None:
    """Where a login shell reads another file afterwards, what that one prepends is in front: it is later."""
    project = scene.project("one", more=HOOK)
    for other in (".bashrc", ".zshrc", ".shrc", ".config/fish/config.fish"):
        (scene.home / other).write_text("unsetopt zle promptsp promptcr\n" if other == ".zshrc" else "")
    own = scene.home / file
    before = own.read_text() if own.exists() else ""
    own.write_text(before + ("" if name == "fish" else f"PATH={FIRST}:$PATH\n") + eval_line(name, project))
    words = [*scene._shells[name], *([flag] if flag == "-i" else [flag, "-i"])]
    with Terminal(words, cwd=scene.work, env=scene.variables) as shell:
        shell.settled()
        assert value(shell, "MARK_one") == "in"
        assert is_of(path_of(shell)[0], "one")
        # A shell of the same kind that is started in it, and reads the file too.
        shell.send(f"{scene._shells[name][0]} {flag} {'-i' if flag == '-l' else ''}")
        shell.settled()
        assert value(shell, "MARK_one") == "in"
        assert is_of(path_of(shell)[0], "one")
        shell.type("cape deactivate")
        shell.send("exit")
        shell.settled()
        assert value(shell, "MARK_one") == "in"
    assert (project / "runs").read_text().split() == ["ran"]


@pytest.mark.parametrize(
    "text",
    [
        'cd "$PLACE" && "$CAPE" run -- tool-one',
        'cd "$PLACE" && eval "$("$CAPE" activate --shell sh)" && tool-one',
        'cd "$PLACE" && set -eu && eval "$("$CAPE" activate --shell sh)" && tool-one',
        'cd "$PLACE" && "$CAPE" activate -c tool-one',
    ],
)
def test_cron_has_no_variables_and_still_comes_in(text: str, bash_scene: Scene) -> None:
    """`env -i`: neither PATH nor HOME nor a terminal; a job of CI adds `-eu` to that."""
    project = bash_scene.project("one")
    done = subprocess.run(
        ["env", "-i", f"PLACE={project}", f"CAPE={CAPE}", "/bin/sh", "-c", text], cwd="/",
        capture_output=True, text=True, check=False, timeout=20,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "tool\n"), done.stderr


@pytest.mark.network
def test_windows_of_a_multiplexer_enter_where_they_stand_and_come_in_by_hand(scene: Scene) -> None:
    """The server was started outside; each window is a login shell of its own with its own directory."""
    (scene.home / ".profile").write_text(". ~/.bashrc\n")
    project, other = scene.project("one"), scene.project("two", more=HOOK)
    scene.cape("allow", str(project))
    scene.cape("deny", str(other))
    tmux = [*scene._shells["tmux"], "-S", str(scene.home / "socket"), "-f", "/dev/null"]

    def do(*words: str) -> None:
        env = {**scene.variables, "TERM": "screen", "LC_ALL": "C.UTF-8", "SHELL": scene._shells["bash"][0]}
        subprocess.run([*tmux, *words], cwd=scene.work, env=env, check=True, capture_output=True, timeout=20)

    def typed(window: str, line: str) -> None:
        do("send-keys", "-t", window, "-l", line)
        do("send-keys", "-t", window, "Enter")

    told = scene.home / "told"
    do("new-session", "-d", "-s", "s", "-n", "first", "-c", str(project))
    try:
        do("new-window", "-t", "s", "-n", "second", "-c", str(other))
        typed("s:first", 'echo "$MARK_one." >>~/told')
        until(lambda: told.exists())
        typed("s:second", f'eval "$({CAPE} activate)"; echo "$MARK_two$MARK_one." >>~/told')
        until(lambda: len(told.read_text().split()) == 2)
        typed("s:second", 'cape deactivate; echo "$MARK_two." >>~/told')
        until(lambda: len(told.read_text().split()) == 3)
    finally:
        do("kill-server")
    assert told.read_text().split() == ["in.", "in.", "."]
    assert (other / "runs").read_text().split() == ["ran"]
