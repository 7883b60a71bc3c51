from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from cape.editors import BadSettings
from cape.environment.generations import new_generation
from cape.operations.editors import NoInterpreter, NotSynced, kernel_directory, tell_editor
from cape.operations.project import Project
from cape.store import Store
from tests.environment.builders import make, package, plan
from tests.shells.programs import launcher

MANIFEST = 'schema = 1\n[environment]\nname = "demo"\nsystems = ["x86_64-linux"]\n[vars]\nMARK = "{mark}"\n'
PROGRAM = '#!/bin/sh\necho "$MARK {version} $*"\n'


def synced(project: Project, *, program: str = "python3", version: str = "1", mark: str = "in") -> None:
    """A generation with one program, which tells `[vars]`."""
    store = Store(project.directory.parent / "store")
    files = {f"root/usr/bin/{program}*": PROGRAM.format(version=version)}
    environment = make(store, plan(package(store, program, files, version=version), roots=(program,)))
    new_generation(
        project.directory, environment, manifest_text=MANIFEST.format(mark=mark), lock_text=version
    )


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    made = tmp_path / "it's a project"
    made.mkdir()
    return Project(made)


def test_the_interpreter_that_is_named_enters_by_itself_and_follows_a_sync(project: Project) -> None:
    synced(project)
    tell_editor(project, "vscode")
    settings = json.loads((project.directory / ".vscode/settings.json").read_text())
    named = settings["python.defaultInterpreterPath"].replace("${workspaceFolder}", str(project.directory))
    said = subprocess.run([named, "a b"], cwd="/", capture_output=True, text=True, check=True, timeout=10)
    assert said.stdout == "in 1 a b\n"
    synced(project, version="2", mark="later")
    said = subprocess.run([named], cwd="/", capture_output=True, text=True, check=True, timeout=10)
    assert said.stdout == "later 2 \n"


def test_an_editor_never_waits_for_a_sync_when_the_manifest_was_edited(project: Project) -> None:
    synced(project)
    tell_editor(project, "vscode")
    project.manifest_path.write_text("broken")
    program = project.state / "editor/bin/python3"
    said = subprocess.run([str(program)], capture_output=True, text=True, check=True, timeout=10)
    assert said.stdout == " 1 \n"


@pytest.mark.parametrize("editor", ["vscode", "pycharm", "jupyter"])
def test_a_dry_run_writes_nothing_and_removing_leaves_nothing(editor: str, project: Project) -> None:
    synced(project)
    before = sorted(project.directory.rglob("*"))
    told = tell_editor(project, editor, dry_run=True)
    assert [change.before for change in told.changes] == [None]
    assert sorted(project.directory.rglob("*")) == before
    tell_editor(project, editor)
    assert told.changes[0].path.read_text() == told.changes[0].after
    assert not tell_editor(project, editor).changes
    tell_editor(project, editor, remove=True)
    assert not told.changes[0].path.exists()


def test_removing_leaves_what_a_user_set_himself(project: Project) -> None:
    synced(project)
    file = project.directory / ".vscode/settings.json"
    file.parent.mkdir()
    text = '{\n  "python.defaultInterpreterPath": "/usr/bin/python3", // mine\n}\n'
    file.write_text(text)
    tell_editor(project, "vscode", remove=True)
    assert file.read_text() == text


def test_settings_that_are_broken_stay_as_they_are(project: Project) -> None:
    synced(project)
    file = project.directory / ".vscode/settings.json"
    file.parent.mkdir()
    file.write_text('{"a": }')
    with pytest.raises(BadSettings) as raised:
        tell_editor(project, "vscode")
    assert raised.value.where == f"{file}:1:7"
    assert file.read_text() == '{"a": }'


def test_an_environment_without_python_has_no_interpreter(project: Project) -> None:
    with pytest.raises(NotSynced):
        tell_editor(project, "pycharm")
    synced(project, program="other")
    for editor in ("pycharm", "jupyter", "vscode"):
        with pytest.raises(NoInterpreter):
            tell_editor(project, editor)


def test_kernels_of_projects_with_one_name_differ(tmp_path: Path) -> None:
    one, other = (Project(tmp_path / place / "app") for place in ("a", "b"))
    assert kernel_directory(one) != kernel_directory(other)


KERNEL = """\
import sys
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(kernel_name=sys.argv[1], startup_timeout=60)
try:
    answers = []
    hook = lambda message: answers.append(message["content"].get("text", ""))
    client.execute_interactive("import os; print(1 + 1, os.environ['MARK'])", timeout=60, output_hook=hook)
    print("".join(answers).strip())
finally:
    client.stop_channels()
    manager.shutdown_kernel(now=True)
"""


@pytest.mark.network
def test_a_real_kernel_runs_inside(tmp_path: Path) -> None:
    project = tmp_path / "notebook"
    project.mkdir()
    (project / "cape.toml").write_text(
        MANIFEST.format(mark="inside").replace("[vars]", 'debian = "trixie"\n[vars]')
        + '[packages]\npython3 = "*"\nipykernel = { pypi = "*" }\n'
    )
    env = {**os.environ, "JUPYTER_DATA_DIR": str(tmp_path / "jupyter")}
    env.setdefault("CAPE_STORE", os.environ.get("CAPE_TEST_SHELLS_STORE") or str(tmp_path / "store"))
    cape = str(launcher())
    for words in (["sync"], ["editor", "jupyter"]):
        subprocess.run([cape, *words], cwd=project, env=env, check=True, capture_output=True, timeout=300)
    (kernel,) = (tmp_path / "jupyter/kernels").iterdir()
    done = subprocess.run(
        [cape, "run", "--", "python3", "-c", KERNEL, kernel.name],
        cwd=project, env=env, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.stdout.strip() == "2 inside", done.stderr[-2000:]
