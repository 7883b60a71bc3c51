"""Many shells at once, a sync beside them, and a project that moves or goes while somebody is inside."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cape.environment.attachments import alive
from tests.environment.starts import PATIENCE_S, finished, started
from tests.shells.programs import launcher
from tests.shells.random_nesting import KINDS
from tests.shells.test_hooks_in_shells import Inside, inside

__all__ = ["inside"]
MANIFEST = """\
schema = 1
[environment]
name = "demo"
systems = ["x86_64-linux", "aarch64-linux"]
[vars]
MARK = "{mark}"
[hook]
on-activate = 'echo "$MARK" >>"$CAPE_STATE/hook"'
"""


@pytest.mark.network
def test_twenty_shells_enter_at_once_while_a_sync_runs(shells: dict[str, list[str]], tmp_path: Path) -> None:
    """Each is inside the old or the new generation, as a whole; each generation's hook ran once at most."""
    project, cape = tmp_path / "project", str(launcher())
    project.mkdir()
    env = {"HOME": str(tmp_path), "CAPE_STORE": str(tmp_path / "store")}
    (project / "cape.toml").write_text(MANIFEST.format(mark="old"))
    assert finished(started([cape, "sync"], project, env)).returncode == 0
    text = "printenv MARK; read line"
    many = []
    for number in range(20):
        program = shells[("bash", "zsh", "fish", "dash")[number % 4]][0]
        more = {"SHELL": program, "PATH": f"{Path(program).parent}:/usr/bin:/bin"}
        many.append(started([cape, "activate", "-c", text], project, {**env, **more}))
        if number == 14:
            (project / "cape.toml").write_text(MANIFEST.format(mark="new"))
            syncing = started([cape, "sync"], project, env)
    marks = [shell.stdout.readline() for shell in many if shell.stdout is not None]
    assert finished(syncing).returncode == 0
    inside = {one.pid: one.how for one in alive(project)}
    assert inside.keys() == {shell.pid for shell in many}, inside
    done = [shell.communicate("end\n", timeout=PATIENCE_S) for shell in many]
    assert [shell.returncode for shell in many] == [0] * 20, done
    assert set(marks) <= {"old\n", "new\n"} and marks[-1] == "new\n", (marks, done)
    assert sorted((project / ".cape/state/hook").read_text().split()) == sorted(
        {mark.strip() for mark in marks}
    )


@pytest.mark.network
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("fate", ["moved", "deleted"])
def test_who_is_inside_leaves_as_ever_though_the_project_was_moved_or_deleted(
    fate: str, inside: Inside, tmp_path: Path
) -> None:
    one = inside.write('[vars]\nMARK = "in"\n')
    shell = inside.starting(
        "cd /\nENTER\nprintenv MARK\nread line\ncape deactivate\necho left\nprintenv MARK PATH CAPE_PROJECT"
    )
    assert shell.stdout is not None and shell.stdout.readline() == "in\n"
    if fate == "moved":
        one.project.rename(tmp_path / "elsewhere")
    else:
        shutil.rmtree(one.project)
    out, err = shell.communicate("go on\n", timeout=PATIENCE_S)
    assert (out, err) == ("left\n/usr/bin:/bin\n", "")
