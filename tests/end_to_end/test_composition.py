"""Several manifests, several environments: included, named, locked together, and run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from tests.end_to_end.harness import CAPE, INPUT, SOURCE, Project, World, add_program

HEAD = 'schema = 1\n\n[environment]\nsystems = ["x86_64-linux", "aarch64-linux"]\n'


def base_at(directory: Path, text: str, *, systems: str = '["x86_64-linux", "aarch64-linux"]') -> Path:
    """Write a manifest to include."""
    directory.mkdir(parents=True, exist_ok=True)
    head = f"schema = 1\n\n[environment]\nsystems = {systems}\n\n"
    (directory / "cape.toml").write_text(head + text)
    return directory


def including(world: World, *paths: str, text: str = "", **packages: str) -> Project:
    """A project that includes the directories of these paths."""
    rows = ", ".join(f'{{ path = "{path}" }}' for path in paths)
    return world.project(text=f"{text}\n[include]\nenvironments = [{rows}]\n", **packages)


# -- includes ----------------------------------------------------------------------------------------


def test_packages_variables_and_hooks_of_an_include_are_there(stocked: World) -> None:
    base_at(
        stocked.place / "base",
        '[packages]\nhello = "*"\n\n[vars]\nPLACE = "$INCLUDE_DIR/share"\nLEVEL = "base"\n'
        '\n[hook]\non-activate = "echo hook of base"\n',
    )
    project = including(
        stocked, "../base", text='[vars]\nLEVEL = "own"\n\n[hook]\non-activate = "echo own hook"\n', tool="*"
    )
    project.cape("sync").succeeded()
    ran = project.cape("run", "--", "sh", "-c", "hello; tool; echo $LEVEL; cd $PLACE/.. && pwd").succeeded()
    assert ran.stdout.splitlines() == ["hello 1.0-1", "tool 1.0-1", "own", str(stocked.place / "base")]
    assert ran.stderr.splitlines()[-2:] == ["hook of base", "own hook"]


def test_changed_include_is_noticed_without_being_asked(stocked: World) -> None:
    base = base_at(stocked.place / "base", '[packages]\nhello = "*"\n')
    project = including(stocked, "../base")
    project.cape("sync").succeeded()
    project.cape("run", "--", "hello").succeeded()
    base_at(base, '[packages]\nhello = "*"\ntool = "*"\n')
    assert "include `base` is not what was locked" in project.cape("lock", "--check").failed(1).stderr
    project.cape("sync", "--locked").failed(1, "include `base` is not what was locked")
    assert project.cape("run", "--", "tool").succeeded().stdout == "tool 1.0-1\n"
    assert project.cape("lock", "--check").succeeded()


def test_nested_includes_and_a_diamond_keep_what_was_changed(stocked: World) -> None:
    place = stocked.place
    base_at(place / "common", '[vars]\nA = "common"\nB = "common"\nC = "common"\n')
    include = '[include]\nenvironments = [{ path = "../common" }]\n'
    base_at(place / "left", f'[vars]\nA = "left"\n{include}')
    base_at(place / "right", f'[vars]\nB = "right"\n{include}')
    project = including(stocked, "../left", "../right", hello="*")
    project.cape("sync").succeeded()
    assert project.cape("run", "--", "sh", "-c", "echo $A $B $C").stdout == "left right common\n"
    names = [line for line in project.lock.read_text().splitlines() if '"row":"include"' in line]
    assert [line.split('"name":"')[1].split('"')[0] for line in names] == [
        "left",
        "left/common",
        "right",
        "right/common",
    ]


def test_removal_takes_away_only_what_is_included(stocked: World) -> None:
    base_at(
        stocked.place / "base",
        '[packages]\nhello = "*"\ntool = "*"\n\n[vars]\nDEBUG = "1"\n\n[hook]\non-activate = "echo no"\n',
    )
    project = stocked.project(
        text='\n[include]\nenvironments = [{ path = "../base" }]\n'
        'remove = ["packages.tool", "vars.DEBUG", "hook.on-activate"]\n'
    )
    locked = project.cape("sync").succeeded()
    assert "is removed by" in locked.stderr
    ran = project.cape("run", "--", "sh", "-c", "hello; echo ${DEBUG-unset}; command -v tool").failed(127)
    assert ran.stdout.splitlines() == ["hello 1.0-1", "unset"]
    assert "no" not in ran.stderr.split()


def test_removing_what_nobody_includes_names_the_nearest(stocked: World) -> None:
    base_at(stocked.place / "base", '[packages]\nhello = "*"\n')
    project = stocked.project(
        text='\n[include]\nenvironments = [{ path = "../base" }]\nremove = ["packages.helo"]\n'
    )
    failed = project.cape("lock").failed(INPUT, "`packages.helo` is to be removed", "cape.toml:13:11")
    assert "did you mean `packages.hello`?" in failed.stderr


def test_what_gives_way_is_told(stocked: World) -> None:
    base_at(stocked.place / "base", '[vars]\nLEVEL = "base"\n')
    project = including(stocked, "../base", text='[vars]\nLEVEL = "own"\n', hello="*")
    told = project.cape("lock").succeeded().stderr
    assert f"`vars.LEVEL` of {stocked.place}/base/cape.toml:7:1 gives way to that of" in told


def test_uninstall_of_an_included_package_names_the_include_and_the_way(stocked: World) -> None:
    base_at(stocked.place / "base", '[packages]\ntool = "*"\n')
    project = including(stocked, "../base", hello="*")
    project.cape("sync").succeeded()
    before = project.state()
    failed = project.cape("uninstall", "tool").failed(INPUT, "`tool` comes from the include `base`")
    assert 'remove = ["packages.tool"]' in failed.stderr
    assert f"{stocked.place}/base/cape.toml:7:1" in failed.stderr
    assert project.state() == before


def test_error_about_an_included_requirement_names_its_file_and_line(stocked: World) -> None:
    base_at(stocked.place / "base", '[packages]\nno-such-package = "*"\n')
    project = including(stocked, "../base", hello="*")
    project.cape("lock").failed(INPUT, f"{stocked.place}/base/cape.toml:7:1", "no-such-package")


def test_error_of_an_included_manifest_names_the_include(stocked: World) -> None:
    base_at(stocked.place / "base", "[packages]\nhello = 3\n")
    project = including(stocked, "../base", hello="*")
    project.cape("lock").failed(INPUT, "include `base`:", f"{stocked.place}/base/cape.toml:7:9")


def test_missing_include_says_where_it_was_looked_for(stocked: World) -> None:
    project = including(stocked, "../nowhere", hello="*")
    project.cape("lock").failed(INPUT, f"`{stocked.place}/nowhere` is not there", "cape.toml:13:17")
    (stocked.place / "nowhere").mkdir()
    project.cape("lock").failed(INPUT, "has no `cape.toml`")


def test_include_of_a_file_says_that_a_directory_is_wanted(stocked: World) -> None:
    project = including(stocked, "cape.toml")
    project.cape("lock").failed(INPUT, "`cape.toml`: ", "is a file", "the directory that the manifest is in")


def test_include_that_moved_is_named_and_found_again_through_a_link(stocked: World) -> None:
    base = base_at(stocked.place / "moving", '[packages]\nhello = "*"\n')
    project = including(stocked, "../moving")
    project.cape("sync").succeeded()
    before = project.state()
    base.rename(base.with_name("moved"))
    project.cape("run", "--", "hello").failed(INPUT, "include `moving`: ", "is not there", "hint: ")
    project.cape("list").succeeded()
    assert project.state() == before
    base.symlink_to(base.with_name("moved"))
    assert project.cape("run", "--", "hello").succeeded().stdout == "hello 1.0-1\n"
    assert project.state() == before


def test_include_of_another_schema_is_refused(stocked: World) -> None:
    base = stocked.place / "base"
    base.mkdir()
    (base / "cape.toml").write_text("schema = 99\n")
    project = including(stocked, "../base", hello="*")
    project.cape("lock").failed(INPUT, "include `base`: schema `99` is unknown", "a newer cape reads it")


def test_ring_of_includes_is_named(stocked: World) -> None:
    place = stocked.place
    base_at(place / "one", '[include]\nenvironments = [{ path = "../two" }]\n')
    base_at(place / "two", '[include]\nenvironments = [{ path = "../one" }]\n')
    project = including(stocked, "../one", hello="*")
    project.cape("lock").failed(INPUT, "manifests include each other in a ring: `one` -> `two` -> `one`")


def test_includes_without_a_system_in_common_are_refused(stocked: World) -> None:
    base_at(stocked.place / "base", "", systems='["aarch64-darwin"]')
    project = including(stocked, "../base", hello="*")
    project.cape("lock").failed(INPUT, "no system is common to all", "`aarch64-darwin`")


def test_includes_of_other_suites_are_refused(stocked: World) -> None:
    base_at(stocked.place / "base", 'debian = "bookworm"\n')
    project = including(stocked, "../base", hello="*")
    project.cape("lock").failed(INPUT, "include `base` wants the suite `bookworm`", "`trixie`")


def test_variables_of_two_manifests_in_a_ring_name_both_places(stocked: World) -> None:
    base_at(stocked.place / "base", '[vars]\nA = "$B"\n')
    project = including(stocked, "../base", text='[vars]\nB = "$A"\n', hello="*")
    project.cape("lock").failed(INPUT, "refer to each other in a ring", "base/cape.toml:7:1")


def test_rollback_is_undone_by_no_included_change_that_nobody_made(stocked: World) -> None:
    base_at(stocked.place / "base", '[packages]\nhello = "*"\n')
    project = including(stocked, "../base")
    project.cape("sync").succeeded()
    project.cape("install", "tool").succeeded()
    project.cape("rollback").succeeded()
    project.cape("run", "--", "sh", "-c", "command -v tool").failed(127)
    assert project.state().current == "generations/1"


def test_moved_project_finds_its_includes_from_where_it_is(stocked: World) -> None:
    base_at(stocked.place / "there" / "base", '[packages]\nhello = "*"\n\n[vars]\nAT = "$INCLUDE_DIR"\n')
    project = including(stocked, "../base")
    there = stocked.place / "there" / "project"
    os.rename(project.directory, there)
    project = Project(directory=there, environment=project.environment)
    project.cape("sync").succeeded()
    os.rename(stocked.place / "there", stocked.place / "here")
    moved = Project(directory=stocked.place / "here" / "project", environment=project.environment)
    ran = moved.cape("run", "--", "sh", "-c", "cd $AT && pwd").succeeded()
    assert ran.stdout == f"{stocked.place}/here/base\n"


# -- git ---------------------------------------------------------------------------------------------


def git(directory: Path, *words: str) -> str:
    identity = {"GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@t", "GIT_COMMITTER_NAME": "t"}
    ended = subprocess.run(
        ["git", "-c", "init.defaultBranch=main", "-c", "commit.gpgsign=false", *words],
        cwd=directory,
        env={**os.environ, **identity, "GIT_COMMITTER_EMAIL": "t@t", "HOME": str(directory)},
        check=True,
        capture_output=True,
        text=True,
    )
    return ended.stdout.strip()


def committed(repository: Path, text: str) -> str:
    """Commit a manifest in `environments/base` of a repository, and give the commit."""
    if not repository.exists():
        repository.mkdir()
        git(repository, "init", "-q")
    base_at(repository / "environments" / "base", text)
    (repository / "environments" / "base" / "note").write_text("a file beside\n")
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "change")
    return git(repository, "rev-parse", "HEAD")


def from_git(world: World, url: str, *, more: str = "", **packages: str) -> Project:
    row = f'{{ git = "{url}", ref = "main", path = "environments/base"{more} }}'
    return world.project(text=f"\n[include]\nenvironments = [{row}]\n", **packages)


def test_git_include_stays_at_its_commit_until_it_is_upgraded(stocked: World) -> None:
    repository = stocked.place / "shared"
    first = committed(repository, '[packages]\nhello = "*"\n\n[vars]\nNOTE = "$INCLUDE_DIR/note"\n')
    project = from_git(stocked, f"file://{repository}")
    project.cape("sync").succeeded()
    assert project.cape("run", "--", "sh", "-c", "hello; cat $NOTE").stdout == "hello 1.0-1\na file beside\n"
    assert first in project.lock.read_text()
    assert "file://" not in project.lock.read_text()

    second = committed(repository, '[packages]\nhello = "*"\ntool = "*"\n')
    project.cape("sync").succeeded()
    project.cape("install", "other").succeeded()
    assert first in project.lock.read_text()
    project.cape("upgrade", "base").succeeded()
    assert second in project.lock.read_text()
    assert project.cape("run", "--", "tool").succeeded().stdout == "tool 1.0-1\n"


def test_git_include_needs_its_repository_no_more(stocked: World) -> None:
    repository = stocked.place / "shared"
    committed(repository, '[packages]\nhello = "*"\n')
    project = from_git(stocked, f"file://{repository}")
    project.cape("sync").succeeded()
    os.rename(repository, stocked.place / "gone")
    project.cape("sync", "--locked").succeeded()
    project.cape("install", "tool").succeeded()
    before = project.state()
    project.cape("upgrade", "base").failed(SOURCE, "the repository of include `base` cannot be read")
    assert project.state() == before


def test_second_clone_takes_the_locked_commit(stocked: World) -> None:
    repository = stocked.place / "shared"
    committed(repository, '[packages]\nhello = "*"\n')
    project = from_git(stocked, f"file://{repository}")
    project.cape("sync").succeeded()
    committed(repository, '[packages]\ntool = "*"\n')
    clone = stocked.clone(project, store="another-store")
    clone.cape("sync", "--locked").succeeded()
    assert clone.cape("run", "--", "hello").stdout == "hello 1.0-1\n"


def test_vanished_commit_is_named(stocked: World) -> None:
    repository = stocked.place / "shared"
    commit = committed(repository, '[packages]\nhello = "*"\n')
    project = from_git(stocked, f"file://{repository}")
    project.cape("lock").succeeded()
    git(repository, "commit", "-q", "--amend", "-m", "another history")
    git(repository, "reflog", "expire", "--expire=now", "--all")
    git(repository, "gc", "-q", "--prune=now")
    clone = stocked.clone(project, store="another-store")
    clone.cape("sync").failed(SOURCE, f"commit {commit[:12]} of include `base`", "`cape upgrade base`")


def test_unknown_reference_of_a_repository_is_refused(stocked: World) -> None:
    repository = stocked.place / "shared"
    committed(repository, '[packages]\nhello = "*"\n')
    project = stocked.project(
        text=f'\n[include]\nenvironments = [{{ git = "file://{repository}", ref = "no-such-branch" }}]\n'
    )
    project.cape("lock").failed(INPUT, "has no branch, tag or commit `no-such-branch`")


def test_credentials_in_an_address_are_refused_and_not_repeated(stocked: World) -> None:
    project = from_git(stocked, "https://me:s3cret@localhost:1/shared.git", hello="*")
    failed = project.cape("lock").failed(INPUT, "the address holds credentials")
    assert "s3cret" not in failed.stdout + failed.stderr
    token = from_git(stocked, "https://s3cret@localhost:1/shared.git", hello="*")
    assert "s3cret" not in token.cape("lock").failed(INPUT, "the address holds credentials").stderr


def test_unreachable_repository_is_named(stocked: World) -> None:
    project = from_git(stocked, "http://127.0.0.1:1/shared.git", hello="*")
    project.cape("lock").failed(SOURCE, "the repository of include `base` cannot be read", "127.0.0.1")


def test_include_may_not_lead_out_of_its_repository(stocked: World) -> None:
    repository = stocked.place / "shared"
    base_at(stocked.place / "outside", "")
    committed(repository, '[include]\nenvironments = [{ path = "../../../outside" }]\n')
    project = from_git(stocked, f"file://{repository}")
    project.cape("lock").failed(INPUT, "leads out of the repository")


# -- environments ------------------------------------------------------------------------------------

TEST = '\n[environments.test]\nvars = { LEVEL = "test" }\n\n[environments.test.packages]\ntool = "*"\n'


def test_environment_adds_to_the_manifest_and_is_run_by_name(stocked: World) -> None:
    project = stocked.project(text=f'\n[vars]\nLEVEL = "own"\n{TEST}', hello="*")
    project.cape("sync").succeeded()
    ran = project.cape("run", "-e", "test", "--", "sh", "-c", "hello; tool; echo $LEVEL").succeeded()
    assert ran.stdout.splitlines() == ["hello 1.0-1", "tool 1.0-1", "test"]
    own = project.cape("run", "--", "sh", "-c", "echo $LEVEL; command -v tool").failed(127)
    assert own.stdout == "own\n"
    listed = project.cape("list", "-e", "test").succeeded().stdout
    assert "tool" in listed and "tool" not in project.cape("list").stdout
    assert project.state().current == "generations/1"


def test_sealed_script_runs_another_environment_without_python(stocked: World) -> None:
    project = stocked.project(text=TEST, hello="*")
    project.cape("sync", "-e", "test").succeeded()
    launcher = stocked.place / "bin" / "cape"  # with no Python beside it, and none on PATH
    launcher.parent.mkdir()
    shutil.copy(CAPE, launcher)
    for words in (["-e", "test"], ["--environment", "test"], ["-e", "test", "--pure"], ["-q", "-e", "test"]):
        ended = subprocess.run(
            [launcher, "run", *words, "--", "tool"],
            cwd=project.directory,
            env={**project.environment, "PATH": "/nowhere"},
            check=False,
            capture_output=True,
            text=True,
        )
        assert (ended.returncode, ended.stdout) == (0, "tool 1.0-1\n"), ended.stderr


def test_rows_of_several_environments_stand_once(stocked: World) -> None:
    project = stocked.project(text=TEST, hello="*")
    project.cape("lock").succeeded()
    rows = project.lock.read_text().splitlines()
    hello = [row for row in rows if '"row":"package"' in row and '"name":"hello"' in row]
    tool = [row for row in rows if '"row":"package"' in row and '"name":"tool"' in row]
    assert len(hello) == len(tool) == 1
    assert '"environments":["default","test"]' in hello[0]
    assert '"environments":["test"]' in tool[0]
    before = project.lock.read_bytes()
    project.cape("lock").succeeded()
    project.cape("upgrade").succeeded()
    assert project.lock.read_bytes() == before


def test_environments_share_versions_where_they_can(stocked: World) -> None:
    project = stocked.project(text=TEST, hello="*")
    project.cape("lock").succeeded()
    add_program(stocked.archive, "hello", "2.0-1")
    add_program(stocked.archive, "tool", "2.0-1")
    stocked.publish()
    project.cape("upgrade", "hello").succeeded()
    locked = project.lock.read_text()
    assert "hello_2.0-1" in locked and "hello_1.0-1" not in locked
    assert "tool_1.0-1" in locked and "tool_2.0-1" not in locked
    project.cape("upgrade", "tool").succeeded()
    assert "tool_2.0-1" in project.lock.read_text()


def test_environments_may_want_what_cannot_be_had_together(world: World) -> None:
    for version in ("1.0-1", "2.0-1"):
        add_program(world.archive, "hello", version)
    world.publish()
    project = world.project(text='\n[environments.old.packages]\nhello = "=1.0-1"\n', hello=">=2")
    project.cape("sync", "-e", "old").succeeded()
    assert project.cape("run", "--", "hello").stdout == "hello 2.0-1\n"
    assert project.cape("run", "-e", "old", "--", "hello").stdout == "hello 1.0-1\n"


def test_environment_that_inherits_nothing_has_its_own_packages_alone(stocked: World) -> None:
    text = '\n[vars]\nA = "1"\n\n[environments.lint]\ninherit = false\npackages = { tool = "*" }\n'
    project = stocked.project(text=text, hello="*")
    ran = project.cape("run", "-e", "lint", "--", "sh", "-c", "tool; echo ${A-unset}; command -v hello")
    assert ran.failed(127).stdout.splitlines() == ["tool 1.0-1", "unset"]


def test_environment_builds_on_others_and_removes(stocked: World) -> None:
    text = (
        '\n[environments.one]\npackages = { tool = "*" }\nvars = { A = "one", B = "one" }\n'
        '\n[environments.two]\nfrom = ["one"]\nremove = ["packages.hello", "vars.B"]\nvars = { A = "two" }\n'
    )
    project = stocked.project(text=text, hello="*")
    ran = project.cape("run", "-e", "two", "--", "sh", "-c", "tool; echo $A ${B-unset}; command -v hello")
    assert ran.failed(127).stdout.splitlines() == ["tool 1.0-1", "two unset"]


def test_environment_of_an_include_can_be_added_to(stocked: World) -> None:
    base_at(stocked.place / "base", '[environments.test]\npackages = { tool = "*" }\n')
    project = including(
        stocked, "../base", text='[environments.test]\npackages = { other = "*" }\n', hello="*"
    )
    ran = project.cape("run", "-e", "test", "--", "sh", "-c", "hello; tool; other").succeeded()
    assert ran.stdout.splitlines() == ["hello 1.0-1", "tool 1.0-1", "other 1.0-1"]


def test_unknown_environment_is_answered_with_the_nearest(stocked: World) -> None:
    project = stocked.project(text=TEST, hello="*")
    project.cape("sync").succeeded()
    for words in (["run", "-e", "tset", "--", "true"], ["sync", "-e", "tset"], ["list", "-e", "tset"]):
        project.cape(*words).failed(INPUT, "has no environment `tset`", "did you mean `test`?")
    project.cape("run", "-e", "../..", "--", "true").failed(INPUT, "has no environment `../..`")
    project.cape("install", "-e", "tset", "other").failed(INPUT, "did you mean `test`?")


def test_environment_without_a_system_of_the_manifest_is_refused(stocked: World) -> None:
    project = stocked.project(text='\n[environments.mac]\nsystems = ["aarch64-darwin"]\n', hello="*")
    project.cape("lock").failed(INPUT, "environment `mac` has no system in common with the manifest")


def test_environments_in_a_ring_are_refused(stocked: World) -> None:
    text = '\n[environments.one]\nfrom = ["two"]\n\n[environments.two]\nfrom = ["one"]\n'
    project = stocked.project(text=text, hello="*")
    project.cape("lock").failed(INPUT, "environments build on each other in a ring")


def test_packages_are_installed_into_one_environment_and_out_of_it(stocked: World) -> None:
    project = stocked.project(text=TEST, hello="*")
    project.cape("sync").succeeded()
    before = project.manifest.read_text()
    project.cape("install", "-e", "test", "other").succeeded()
    assert 'tool = "*"\nother = "*"\n' in project.manifest.read_text()
    assert project.cape("run", "-e", "test", "--", "other").stdout == "other 1.0-1\n"
    project.cape("run", "--", "sh", "-c", "command -v other").failed(127)
    project.cape("uninstall", "-e", "test", "other").succeeded()
    assert project.manifest.read_text() == before
    project.cape("uninstall", "-e", "test", "hello").failed(INPUT, "is not in this environment's own tables")


def test_environments_follow_a_change_and_a_rollback(stocked: World) -> None:
    project = stocked.project(text=TEST, hello="*")
    project.cape("sync", "-e", "test").succeeded()
    project.cape("install", "other").succeeded()
    assert project.cape("run", "-e", "test", "--", "other").stdout == "other 1.0-1\n"
    project.cape("rollback").succeeded()
    project.cape("run", "-e", "test", "--", "sh", "-c", "command -v other").failed(127)
    assert project.cape("run", "-e", "test", "--", "tool").stdout == "tool 1.0-1\n"
    project.cape("gc").succeeded()
    assert project.cape("run", "-e", "test", "--", "tool").stdout == "tool 1.0-1\n"


def test_wrong_environment_of_the_manifest_is_named_with_its_place(stocked: World) -> None:
    project = stocked.project(text="\n[environments.test]\npackages = { tool = 3 }\n", hello="*")
    project.cape("lock").failed(INPUT, "`environments.test.packages.tool` is a string or table")
    project = stocked.project(text='\n[environments.test]\npackage = { tool = "*" }\n', hello="*")
    project.cape("lock").failed(INPUT, "has no key `package`", "did you mean `packages`?")
    project = stocked.project(text="\n[environments.default]\n", hello="*")
    project.cape("lock").failed(INPUT, "`default` is the environment of the manifest itself")


def test_running_shell_enters_another_environment_in_place(stocked: World) -> None:
    project = stocked.project(text=TEST, hello="*")
    project.cape("sync", "-e", "test").succeeded()
    entered = subprocess.run(
        [
            "bash",
            "--norc",
            "-c",
            'eval "$("$0" activate -e test)"; tool; echo $LEVEL; cape deactivate; echo $LEVEL.',
            CAPE,
        ],
        cwd=project.directory,
        env=dict(project.environment),
        check=False,
        capture_output=True,
        text=True,
    )
    assert entered.stdout.splitlines() == ["tool 1.0-1", "test", "."], entered.stderr


def test_included_knowledge_base_is_filled_by_the_project(stocked: World) -> None:
    base_at(stocked.place / "base", '[knowledge.notes]\nsources = ["docs/*.md"]\n')
    project = including(stocked, "../base", hello="*")
    (project.directory / "docs").mkdir()
    (project.directory / "docs" / "a.md").write_text("# Colour\n\nThe gate is green.\n")
    project.cape("sync").succeeded()
    assert "1 document" in project.cape("index").succeeded().stderr


def test_what_a_generation_keeps_of_an_include_is_enough(stocked: World) -> None:
    base = base_at(stocked.place / "base", '[packages]\nhello = "*"\n\n[vars]\nA = "old"\n')
    project = including(stocked, "../base")
    project.cape("sync").succeeded()
    os.rename(base, stocked.place / "away")
    failed = project.cape("run", "--", "hello").failed(INPUT, "`" + str(base) + "` is not there")
    assert "Traceback" not in failed.stderr
    os.rename(stocked.place / "away", base)
    assert project.cape("run", "--", "sh", "-c", "echo $A").succeeded().stdout == "old\n"
    assert project.state().current == "generations/1"


def test_touched_include_costs_no_generation(stocked: World) -> None:
    base = base_at(stocked.place / "base", '[packages]\nhello = "*"\n')
    project = including(stocked, "../base")
    project.cape("sync").succeeded()
    for stamp in (1_000_000_000, 2_000_000_000):
        os.utime(base / "cape.toml", (stamp, stamp))
        assert project.cape("run", "--", "hello").stdout == "hello 1.0-1\n"
    assert project.state().current == "generations/1"


def test_installing_what_an_include_brings_goes_over_it(world: World) -> None:
    for version in ("1.0-1", "2.0-1"):
        add_program(world.archive, "hello", version)
    world.publish()
    base_at(world.place / "base", '[packages]\nhello = "*"\n')
    project = including(world, "../base")
    project.cape("sync").succeeded()
    project.cape("install", "hello@=1.0-1").succeeded()
    assert project.cape("run", "--", "hello").stdout == "hello 1.0-1\n"
    project.cape("uninstall", "hello").succeeded()
    assert project.cape("run", "--", "hello").stdout == "hello 2.0-1\n"


def test_includes_are_listed_with_what_gave_way(stocked: World) -> None:
    repository = stocked.place / "shared"
    commit = committed(repository, '[vars]\nA = "base"\n')
    project = from_git(stocked, f"file://{repository}", hello="*")
    project.manifest.write_text(project.manifest.read_text() + '\n[vars]\nA = "own"\n')
    project.cape("lock").succeeded()
    told = project.cape("list", "--includes").succeeded()
    assert told.stdout.split() == ["base", f"file://{repository}", "environments/base", "main", commit[:12]]
    assert "`vars.A` of" in told.stderr
    listed = json.loads(project.cape("list", "--includes", "--json").succeeded().stdout)
    assert (listed["includes"][0]["commit"], len(listed["overridden"])) == (commit, 1)
    assert "includes no other" in stocked.project(hello="*").cape("list", "--includes").stdout


def test_other_environment_is_made_for_another_system(stocked: World) -> None:
    project = stocked.project(text=TEST, hello="*")
    project.cape("lock").succeeded()
    made = project.cape("sync", "--system", "aarch64-linux", "-e", "test").succeeded().stdout.strip()
    assert sorted(os.listdir(Path(made) / "bin")) == ["hello", "tool"]
    project.cape("sync", "--system", "aarch64-linux", "-e", "no").failed(INPUT, "has no environment `no`")


def test_why_names_the_include_and_the_environment(stocked: World) -> None:
    base_at(stocked.place / "base", '[packages]\nhello = "*"\n')
    project = including(stocked, "../base", text=TEST)
    project.cape("lock").succeeded()
    assert f"hello   ({stocked.place}/base/cape.toml:7:1" in project.cape("why", "hello").stdout
    told = project.cape("why", "tool").succeeded().stdout
    assert told.startswith("in environment test:\ntool   (cape.toml:")
    assert project.cape("why", "-e", "test", "hello").succeeded().stdout.startswith("in environment test:")
    project.cape("why", "neither").failed(INPUT)
