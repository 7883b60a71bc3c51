"""Entering directories, in real shells on a terminal: consent, the way in, the way out."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from cape.environment.generations import new_generation
from cape.store import Store
from tests.environment.builders import make, package, plan
from tests.shells.programs import launcher
from tests.shells.terminal import Terminal

SHELLS = ("bash", "zsh", "fish", "dash", "busybox")
WITH_PROMPTS = ("bash", "zsh", "fish")
ASKED = "not now"
MANIFEST = """\
schema = 1
[environment]
name = "{name}"
systems = ["x86_64-linux"]
[vars]
MARK_{name} = "{mark}"
"""
CAPE = str(launcher())


class Scene:
    """A home with start-up files for each shell, and a tree of projects in `work`."""

    def __init__(self, directory: Path, shells: dict[str, list[str]]) -> None:
        self.home = directory / "home"
        self.work = directory / "work {it's} é"
        self.state = self.home / ".local/state/cape/consent"
        self._shells = shells
        self._store = Store(directory / "store")
        for place in (self.home / ".config/fish", self.work / "nowhere"):
            place.mkdir(parents=True)
        self.rc()

    def rc(self, *, after: str = "") -> None:
        """Start-up files that end with the hook, and with `after`."""
        texts = {
            ".bashrc": f'PS1=p; eval "$({CAPE} hook bash)"\n{after}\n',
            ".zshrc": f'unsetopt zle promptsp promptcr; PS1=p; eval "$({CAPE} hook zsh)"\n{after}\n',
            ".shrc": f'PS1=p; eval "$({CAPE} hook sh)"\n{after}\n',
            ".config/fish/config.fish": "set -g fish_greeting\nfunction fish_prompt\necho p\nend\n"
            f"{CAPE} hook fish | source\n{after}\n",
        }
        for name, text in texts.items():
            (self.home / name).write_text(text)

    def project(self, name: str, *, mark: str = "in", more: str = "", where: str | None = None) -> Path:
        made = self.work / (where or name)
        made.mkdir(exist_ok=True, parents=True)
        self.sync(made, MANIFEST.format(name=name, mark=mark) + more)
        (made / "deep" / "er").mkdir(parents=True, exist_ok=True)
        return made

    def sync(self, project: Path, text: str) -> None:
        """What a sync leaves, with a program that has the project's name."""
        name = project.name
        tool = package(
            self._store,
            name,
            {f"root/usr/bin/tool-{name}*": "#!/bin/sh\necho tool\n", "root/usr/include/x.h": "x"},
        )
        environment = make(self._store, plan(tool, roots=(name,)))
        new_generation(project, environment, manifest_text=text, lock_text="lock")

    @property
    def variables(self) -> dict[str, str]:
        return {
            "PATH": "/usr/bin:/bin", "HOME": str(self.home), "TERM": "dumb", "ENV": str(self.home / ".shrc"),
            "CAPE_STORE": str(self._store.root),
        }  # fmt: skip

    def shell(self, name: str, cwd: Path | None = None, **more: str) -> Terminal:
        words = [*self._shells[name], "-i"]
        return Terminal(words, cwd=cwd or self.work / "nowhere", env={**self.variables, **more})

    def cape(self, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [CAPE, *words], cwd=cwd or self.work, env=self.variables, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip


@pytest.fixture
def bash_scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path, {"bash": ["bash"]})


@pytest.fixture
def scene(tmp_path: Path, shells: dict[str, list[str]]) -> Scene:
    return Scene(tmp_path, shells)


def cd(terminal: Terminal, place: Path | str) -> str:
    return terminal.type(f'cd "{place}"')


def enter(terminal: Terminal, place: Path | str, answer: str) -> str:
    """Change into a directory that asks, and answer; what was shown."""
    terminal.send(f'cd "{place}"')
    return terminal.wait(ASKED) + terminal.settled_after(answer)


def value(terminal: Terminal, name: str) -> str:
    return terminal.said(f'echo "=${name}="').strip().strip("=")


in_all = pytest.mark.parametrize("name", [pytest.param(one, marks=pytest.mark.network) for one in SHELLS])
"""Shells that the machine may lack come from registries."""
in_prompting = pytest.mark.parametrize(
    "name", ["bash", *(pytest.param(one, marks=pytest.mark.network) for one in WITH_PROMPTS[1:])]
)


@in_all
def test_nested_projects_are_asked_for_once_entered_in_order_and_left(name: str, scene: Scene) -> None:
    outer = scene.project("outer")
    inner = scene.project("inner", where="outer/inner")
    with scene.shell(name) as shell:
        shell.settled()
        path = value(shell, "PATH")
        shown = enter(shell, inner / "deep", "y")
        assert shown.count("wants to activate") == 2
        assert "MARK_inner" in shown
        assert "all 2" in shown
        assert [value(shell, one) for one in ("MARK_outer", "MARK_inner")] == ["in", "in"]
        assert value(shell, "CAPE_PROJECT") == str(inner)
        assert shell.said("tool-inner; tool-outer").split() == ["tool", "tool"]
        cd(shell, outer / "deep/er")
        assert [value(shell, one) for one in ("MARK_outer", "MARK_inner")] == ["in", ""]
        assert value(shell, "CAPE_PROJECT") == str(outer)
        cd(shell, scene.work)
        assert [value(shell, one) for one in ("MARK_outer", "CAPE_PROJECT")] == ["", ""]
        assert value(shell, "PATH") == path


@in_all
def test_never_is_remembered_and_allow_takes_it_back(name: str, scene: Scene) -> None:
    project = scene.project("one")
    with scene.shell(name) as shell:
        shell.settled()
        enter(shell, project, "n")
        assert value(shell, "MARK_one") == ""
    with scene.shell(name) as shell:
        shell.settled()
        assert "activate" not in cd(shell, project)
        assert value(shell, "MARK_one") == ""
        assert scene.cape("allow", str(project)).returncode == 0
        cd(shell, "..")
        cd(shell, project)
        assert value(shell, "MARK_one") == "in"


@in_all
def test_who_leaves_by_hand_is_not_taken_in_again_before_leaving(name: str, scene: Scene) -> None:
    project = scene.project("one")
    scene.cape("allow", str(project))
    with scene.shell(name, project) as shell:
        shell.settled()
        assert value(shell, "MARK_one") == "in"
        shell.type("cape deactivate")
        assert value(shell, "MARK_one") == ""
        cd(shell, project / "deep")
        assert value(shell, "MARK_one") == ""
        cd(shell, scene.work)
        cd(shell, project)
        assert value(shell, "MARK_one") == "in"


@in_prompting
def test_a_new_generation_is_entered_and_a_changed_hook_asks_again(name: str, scene: Scene) -> None:
    project = scene.project("one", more='[profile]\ncommon = "P=1"\n')
    scene.cape("allow", str(project))
    with scene.shell(name, project) as shell:
        shell.settled()
        text = MANIFEST.format(name="one", mark="later") + '[profile]\ncommon = "P=2"\n'
        scene.sync(project, text)
        shell.send("true")
        shown = shell.wait(ASKED)
        assert "changed what it activates" in shown
        assert "- P=1" in shown.replace("\r", "")
        assert "+ P=2" in shown
        shell.settled_after("y")
        assert value(shell, "MARK_one") == "later"


@in_prompting
def test_an_unsynced_project_is_told_once_and_entered_once_it_is_synced(name: str, scene: Scene) -> None:
    project = scene.work / "fresh"
    project.mkdir()
    text = MANIFEST.format(name="fresh", mark="in")
    (project / "cape.toml").write_text(text)
    scene.cape("allow", str(project))
    with scene.shell(name) as shell:
        shell.settled()
        assert "cape sync" in cd(shell, project)
        assert "cape sync" not in shell.type("true")
        assert value(shell, "MARK_fresh") == ""
        scene.sync(project, text)
        shell.type("true")
        assert value(shell, "MARK_fresh") == "in"


@in_prompting
def test_a_project_that_is_deleted_while_inside_is_left(name: str, scene: Scene) -> None:
    project = scene.project("one")
    scene.cape("allow", str(project))
    with scene.shell(name, project / "deep") as shell:
        shell.settled()
        assert value(shell, "MARK_one") == "in"
        subprocess.run(["rm", "-rf", str(project)], check=True)
        shell.type("true")
        assert value(shell, "MARK_one") == ""


@in_prompting
def test_an_unchanged_prompt_starts_no_process(name: str, scene: Scene) -> None:
    """Children that were waited for add page faults to the shell's own account, whatever they were."""
    project = scene.project("one")
    scene.cape("allow", str(project))
    with scene.shell(name, project) as shell:
        shell.settled()
        assert value(shell, "MARK_one") == "in"
        before = faults_of_children(shell.pid)
        for _ in range(10):
            shell.type("true")
        assert faults_of_children(shell.pid) == before
        cd(shell, scene.work)
        cd(shell, project)
        assert faults_of_children(shell.pid) > before, "the measure sees the process that entering starts"


def faults_of_children(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[8])


@in_all
def test_entering_again_asks_no_python(name: str, scene: Scene) -> None:
    project = scene.project("one")
    scene.cape("allow", str(project))
    with scene.shell(name, project) as shell:
        shell.settled()
        cd(shell, scene.work)
        shell.type("set -g _CAPE_PROGRAM /nowhere" if name == "fish" else "_CAPE_PROGRAM=/nowhere")
        cd(shell, project)
        assert value(shell, "MARK_one") == "in"


def test_links_pushd_and_the_directory_before_lead_in_and_out(bash_scene: Scene) -> None:
    project = bash_scene.project("one")
    bash_scene.cape("allow", str(project))
    link = bash_scene.work / "nowhere" / "link"
    link.symlink_to(project / "deep")
    with bash_scene.shell("bash") as shell:
        shell.settled()
        marks = []
        for line in ("cd link", "cd -", "pushd link", "popd", "cd link/er", "cd ..", "cd -P .", "cd ../.."):
            shell.type(line)
            marks.append(value(shell, "MARK_one"))
        assert marks == ["in", "", "in", "", "in", "in", "in", ""]


def test_what_was_entered_by_hand_on_top_stays_until_it_is_left(bash_scene: Scene) -> None:
    one, other = bash_scene.project("one"), bash_scene.project("other")
    bash_scene.cape("allow", str(one))
    bash_scene.cape("deny", str(other))
    with bash_scene.shell("bash", one) as shell:
        shell.settled()
        shell.type(f'eval "$(cd "{other}" && {CAPE} activate --shell bash)"')
        cd(shell, bash_scene.work)
        assert [value(shell, mark) for mark in ("MARK_one", "MARK_other")] == ["in", "in"]
        shell.type("cape deactivate")
        assert [value(shell, mark) for mark in ("MARK_one", "MARK_other")] == ["", ""]


@in_all
def test_a_shell_that_was_started_inside_in_another_mode_stays_as_it_is(name: str, scene: Scene) -> None:
    project = scene.project("one")
    scene.cape("allow", str(project))
    kind = {"dash": "sh", "busybox": "sh"}.get(name, name)
    with scene.shell(name) as shell:
        shell.settled()
        line = f'command "{CAPE}" activate --shell {kind} --mode dev'
        shell.type(f'cd "{project}"; ' + (f"{line} | source" if name == "fish" else f'eval "$({line})"'))
        before = value(shell, "CPATH")
        assert before.endswith("/include")
        cd(shell, project / "deep")
        cd(shell, project)
        assert value(shell, "CPATH") == before
        shell.type("cape deactivate")
        assert [value(shell, one) for one in ("CPATH", "MARK_one")] == ["", ""]
        shell.type("true")
        cd(shell, project / "deep")
        assert value(shell, "MARK_one") == ""


def test_a_failing_hook_is_told_once_and_leaves_the_shell_as_it_was(bash_scene: Scene) -> None:
    project = bash_scene.project("one", more='[hook]\non-activate = "exit 3"\n')
    bash_scene.cape("allow", str(project))
    with bash_scene.shell("bash") as shell:
        shell.settled()
        assert "on-activate" in cd(shell, project)
        assert value(shell, "MARK_one") == ""
        assert "on-activate" not in shell.type("true")


def test_the_status_of_the_command_before_and_the_options_of_the_user_stay(bash_scene: Scene) -> None:
    project = bash_scene.project("one", more='[profile]\nbash = "declare -i P=1+1; set -o noclobber"\n')
    bash_scene.cape("allow", str(project))
    bash_scene.rc(after="set -u; shopt -s failglob nocasematch; IFS=/; set -f")
    with bash_scene.shell("bash") as shell:
        shell.settled()
        before = shell.said("set +o; shopt -p; declare -p IFS")
        shell.type(f'cd "{project}"; (exit 7)')
        shell.type(f'cd "{bash_scene.work}"; cd "{project}"')
        assert shell.said("declare -p P; set -o | grep noclobber").split()[-1] == "on"
        shell.send("(exit 7)")
        assert shell.said("true") == ""
        cd(shell, bash_scene.work)
        assert shell.said("set +o; shopt -p; declare -p IFS") == before


def test_a_child_shell_keeps_the_order_of_path_though_its_start_up_file_prepends(bash_scene: Scene) -> None:
    project = bash_scene.project("one", more='[hook]\non-activate = "echo ran >>$CAPE_PROJECT/runs"\n')
    bash_scene.cape("allow", str(project))
    bash_scene.rc(after="PATH=/own:$PATH")
    with bash_scene.shell("bash", project) as shell:
        shell.settled()
        shell.type("bash -i")
        first = value(shell, "PATH").split(":")[0]
        assert Path(first, "tool-one").exists()
        shell.type("true")
        assert value(shell, "MARK_one") == "in"
        shell.type("exit")
        assert (project / "runs").read_text().split() == ["ran"]


def test_shells_without_a_prompt_get_no_hook(bash_scene: Scene) -> None:
    project = bash_scene.project("one")
    bash_scene.cape("allow", str(project))
    text = f'eval "$({CAPE} hook bash)"; echo "${{PROMPT_COMMAND-none}} ${{MARK_one-none}}"'
    for words in (["bash", "-c", text], ["bash", "-lc", text], ["env", "-i", "/bin/bash", "-c", text]):
        done = subprocess.run(
            words,
            cwd=project,
            env=bash_scene.variables,
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        )
        assert done.stdout == "none none\n"


def test_scripts_that_somebody_changed_are_not_run(bash_scene: Scene) -> None:
    project = bash_scene.project("one")
    bash_scene.cape("allow", str(project))
    script = project / ".cape/current/activate.bash"
    with bash_scene.shell("bash", project) as shell:
        shell.settled()
        cd(shell, bash_scene.work)
        script.write_text("echo EVIL\n")
        assert "EVIL" not in cd(shell, project)
        assert value(shell, "MARK_one") == "in"
        assert "EVIL" not in script.read_text()


def test_answers_are_listed_forgotten_and_nobody_elses_to_read(bash_scene: Scene) -> None:
    one, other = (
        bash_scene.project("one"),
        bash_scene.project("other", more='[secrets]\nS = { command = "pw" }\n'),
    )
    assert "MARK_one" in bash_scene.cape("allow", str(one)).stderr
    assert bash_scene.cape("deny", cwd=other / "deep").returncode == 0
    rows = json.loads(bash_scene.cape("consent", "list", "--json").stdout)["answers"]
    told = [(Path(row["project"]).name, row["verdict"], row["standing"]) for row in rows]
    assert told == [("one", "allowed", "current"), ("other", "denied", "current")]
    for directory, _, files in os.walk(bash_scene.state):
        for place in (Path(directory), *(Path(directory, file) for file in files)):
            assert not stat.S_IMODE(place.stat().st_mode) & 0o077, place
    text = (one / "cape.toml").read_text()
    bash_scene.sync(one, text.replace('"in"', '"changed"'))
    lines = bash_scene.cape("consent", "list").stdout.splitlines()
    assert [line.split()[-1] for line in lines] == ["changed", "current"]
    assert bash_scene.cape("consent", "forget", str(one)).returncode == 0
    assert bash_scene.cape("consent", "forget", str(one)).returncode == 1


def test_a_broken_manifest_or_a_record_that_is_damaged_stops_no_prompt(bash_scene: Scene) -> None:
    project = bash_scene.project("one")
    bash_scene.cape("allow", str(project))
    record = Path(f"{bash_scene.state}{project}")
    (project / "cape.toml").write_text("schema = ")
    with bash_scene.shell("bash") as shell:
        shell.settled()
        assert "is not entered" in cd(shell, project)
        assert value(shell, "MARK_one") == ""
    bash_scene.sync(project, MANIFEST.format(name="one", mark="in"))
    (record / ".cape-answer").write_text("{")
    (record / ".cape-allowed").unlink(missing_ok=True)
    with bash_scene.shell("bash") as shell:
        shell.settled()
        enter(shell, project, "y")
        assert value(shell, "MARK_one") == "in"


def test_what_a_terminal_would_obey_is_not_shown(bash_scene: Scene) -> None:
    project = bash_scene.project("one", more='[hook]\non-activate = "true \\u001b[2K\\r # hidden"\n')
    shown = bash_scene.cape("hook", "bash", "--at", str(project)).stderr
    assert "\x1b" not in shown
    assert "\r" not in shown
    assert "hidden" in shown


@pytest.mark.parametrize("words", [("hook", "csh"), ("hook", "bash", "extra")])
def test_shells_without_a_hook_are_refused(words: tuple[str, ...], bash_scene: Scene) -> None:
    assert bash_scene.cape(*words).returncode == 2
