"""A project's own `package.json`: locked, kept to, found by node, and what bad ones get."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.harness import INPUT, INTEGRITY, SOURCE, Project, World, add_program
from tests.mirrors.loopback import Fault

pytestmark = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not on this machine")

OWN = '\n[npm]\nproject = "package.json"\n'


@pytest.fixture
def stocked_npm(world: World) -> World:
    """A world with a C library, and a small family of npm packages."""
    world.archive.add("libc6", "2.41-12", architecture="all")
    world.archive.add("libstdc++6", "14.2.0-19", architecture="all", depends="libc6")
    add_program(world.archive, "hello")
    world.publish()
    for version in ("1.0.0", "1.1.0", "2.0.0"):
        world.npm.publish("base", version, files={"index.js": f"module.exports = '{version}'\n".encode()})
    world.npm.publish(
        "app",
        "1.0.0",
        dependencies={"base": "^1.0.0"},
        files={
            "index.js": b"module.exports = 'app over ' + require('base')\n",
            "cli.js": b"#!/bin/sh\necho app\n",
        },
        bin={"app": "cli.js"},
    )
    world.npm.publish("@team/lint", "3.0.0", files={"index.js": b"module.exports = 'lint'\n"})
    return world


def own_project(world: World, text: str = OWN, **described: object) -> Project:
    project = world.project(text=text)
    describe(project, **described)
    return project


def describe(project: Project, **described: object) -> None:
    (project.directory / "package.json").write_text(
        json.dumps({"name": "own", "version": "1.0.0", **described})
    )


def npm_lock(world: World, project: Project, *options: str) -> Path:
    """The lock that npm itself writes of the project."""
    subprocess.run(
        ["npm", "install", "--package-lock-only", "--ignore-scripts", "--no-audit", *options,
         "--registry", world.npm.url, "--cache", str(world.place / "npm-cache")],
        cwd=project.directory, check=True, capture_output=True, env={**os.environ, "HOME": str(world.place)},
    )  # fmt: skip
    return project.directory / "package-lock.json"


def rows(project: Project) -> dict[str, str]:
    """The versions of the project's own packages, by their place."""
    found = {}
    for line in project.lock.read_text().splitlines():
        row = json.loads(line)
        if row.get("row") == "package" and row.get("placement", "").startswith("lib/project/"):
            found[row["placement"].removeprefix("lib/project/node_modules/")] = row["version"]
    return found


def say(project: Project, script: str, *, directory: str = ".") -> str:
    """What this machine's node prints for a module in the project."""
    file = project.directory / directory / "said.mjs"
    file.write_text(script)
    done = subprocess.run(["node", file], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_dependencies_are_locked_and_found_from_the_projects_files(stocked_npm: World) -> None:
    project = own_project(stocked_npm, dependencies={"app": "*"}, devDependencies={"@team/lint": "^3.0.0"})
    project.cape("sync").succeeded()
    assert rows(project) == {"app": "1.0.0", "base": "1.1.0", "@team/lint": "3.0.0"}
    assert say(project, "import app from 'app'; import l from '@team/lint'; console.log(app, l)") == (
        "app over 1.1.0 lint"
    )
    assert os.path.lexists(project.directory / "node_modules/.bin/app")
    assert (project.directory / "node_modules/.gitignore").read_text() == "*\n"


def test_versions_of_a_package_lock_are_kept_to(stocked_npm: World) -> None:
    project = own_project(stocked_npm, dependencies={"base": "1.0.0"})
    npm_lock(stocked_npm, project)
    describe(project, dependencies={"base": "^1.0.0"})
    text = (
        (project.directory / "package-lock.json").read_text().replace('"base": "1.0.0"', '"base": "^1.0.0"')
    )
    (project.directory / "package-lock.json").write_text(text)
    asked = len(stocked_npm.npm.server.headers_seen)
    done = project.cape("lock").succeeded()
    assert rows(project) == {"base": "1.0.0"}
    assert "does not answer" not in done.stderr
    assert len(stocked_npm.npm.server.headers_seen) - asked <= 1  # the tarball


def test_development_packages_can_be_left_out(stocked_npm: World) -> None:
    project = own_project(
        stocked_npm, OWN + "dev = false\n", dependencies={"base": "*"}, devDependencies={"@team/lint": "*"}
    )
    project.cape("lock").succeeded()
    assert rows(project) == {"base": "2.0.0"}


def test_a_lock_out_of_step_is_named_and_only_what_changed_moves(stocked_npm: World) -> None:
    project = own_project(stocked_npm, dependencies={"base": "1.0.0"})
    npm_lock(stocked_npm, project)
    text = (
        (project.directory / "package-lock.json").read_text().replace('"base": "1.0.0"', '"base": "^1.0.0"')
    )
    (project.directory / "package-lock.json").write_text(text)
    describe(project, dependencies={"base": "^1.0.0", "@team/lint": "*"})
    done = project.cape("lock").succeeded()
    assert "`package-lock.json` does not answer `package.json`: `@team/lint` is not in it" in done.stderr
    assert rows(project) == {"base": "1.0.0", "@team/lint": "3.0.0"}


def test_without_npms_lock_the_locked_versions_stay(stocked_npm: World) -> None:
    project = own_project(stocked_npm, dependencies={"base": "^1.0.0"})
    project.cape("lock").succeeded()
    stocked_npm.npm.publish("base", "1.2.0")
    describe(project, dependencies={"base": "^1.0.0", "@team/lint": "*"})
    project.cape("lock").succeeded()
    assert rows(project) == {"base": "1.1.0", "@team/lint": "3.0.0"}


def test_a_changed_package_json_makes_the_lock_stale(stocked_npm: World) -> None:
    project = own_project(stocked_npm, dependencies={"base": "^1.0.0"})
    project.cape("sync").succeeded()
    describe(project, dependencies={"base": "^1.0.0"}, scripts={"test": "x"})
    project.cape("lock", "--check").succeeded()
    describe(project, dependencies={"base": "^2.0.0"})
    done = project.cape("lock", "--check")
    assert (
        done.code == 1
        and "`package.json` asks for something else than was locked" in done.stdout + done.stderr
    )
    project.cape("run", "--", "true").succeeded()
    assert say(project, "import base from 'base'; console.log(base)") == "2.0.0"


def test_workspaces_are_linked_and_their_packages_locked(stocked_npm: World) -> None:
    project = own_project(stocked_npm, workspaces=["packages/*"], dependencies={"base": "^1.0.0"})
    member = project.directory / "packages" / "tool"
    member.mkdir(parents=True)
    (member / "package.json").write_text(
        json.dumps({"name": "@own/tool", "version": "0.1.0", "dependencies": {"base": "^2.0.0"}})
    )
    (member / "index.js").write_text("module.exports = 'tool over ' + require('base')\n")
    project.cape("sync").succeeded()
    said = say(project, "import t from '@own/tool'; import b from 'base'; console.log(t, b)")
    assert said == "tool over 2.0.0 1.1.0"


def test_somebody_elses_node_modules_is_left_alone_and_told(stocked_npm: World) -> None:
    project = own_project(stocked_npm, dependencies={"base": "*"})
    theirs = project.directory / "node_modules" / "base"
    theirs.mkdir(parents=True)
    (theirs / "index.js").write_text("module.exports = 'theirs'\n")
    done = project.cape("sync").succeeded()
    assert "`node_modules` was made by another tool" in done.stderr
    assert say(project, "import base from 'base'; console.log(base)") == "theirs"


def test_node_modules_goes_when_it_is_no_longer_wanted(stocked_npm: World) -> None:
    project = own_project(stocked_npm, dependencies={"base": "*"})
    project.cape("sync").succeeded()
    kept = project.directory / "node_modules" / ".cache"
    kept.mkdir()
    project.manifest.write_text(project.manifest.read_text().replace(OWN, ""))
    project.cape("sync").succeeded()
    assert sorted(os.listdir(project.directory / "node_modules")) == [".cache", ".gitignore"]
    kept.rmdir()
    project.manifest.write_text(project.manifest.read_text() + OWN)
    project.cape("sync").succeeded()
    project.manifest.write_text(project.manifest.read_text().replace(OWN, ""))
    project.cape("sync").succeeded()
    assert not (project.directory / "node_modules").exists()


def test_a_rollback_takes_node_modules_along(stocked_npm: World) -> None:
    project = own_project(stocked_npm, dependencies={"base": "^1.0.0"})
    project.cape("sync").succeeded()
    describe(project, dependencies={"base": "^2.0.0", "app": "*"})
    project.cape("sync").succeeded()
    assert say(project, "import base from 'base'; console.log(base)") == "2.0.0"
    project.cape("rollback").succeeded()
    assert say(project, "import base from 'base'; console.log(base)") == "1.1.0"
    assert not os.path.lexists(project.directory / "node_modules" / "app")


def test_locking_twice_gives_equal_bytes(stocked_npm: World) -> None:
    project = own_project(stocked_npm, dependencies={"app": "*"}, devDependencies={"@team/lint": "*"})
    project.cape("lock").succeeded()
    first = project.lock.read_bytes()
    project.lock.unlink()
    project.cape("lock").succeeded()
    assert project.lock.read_bytes() == first


def test_a_package_json_in_a_directory_gets_its_modules_there(stocked_npm: World) -> None:
    project = stocked_npm.project(text=OWN.replace("package.json", "web/package.json"))
    web = project.directory / "web"
    web.mkdir()
    (web / "package.json").write_text(json.dumps({"name": "web", "dependencies": {"app": "*"}}))
    project.cape("sync").succeeded()
    assert say(project, "import a from 'app'; console.log(a)", directory="web") == "app over 1.1.0"
    assert not (project.directory / "node_modules").exists()


def test_scripts_that_do_not_run_are_told_with_what_lets_them(stocked_npm: World) -> None:
    stocked_npm.npm.publish(
        "native", "1.0.0", hasInstallScript=True, scripts={"install": "node-gyp rebuild", "test": "x"}
    )
    project = own_project(stocked_npm, dependencies={"native": "*"})
    done = project.cape("lock").succeeded()
    assert "`native` 1.0.0 wants to run `install: node-gyp rebuild`" in done.stderr
    assert '`scripts = ["native"]` in `[npm]`' in done.stderr
    project.manifest.write_text(project.manifest.read_text() + 'scripts = ["native", "absent"]\n')
    done = project.cape("lock").succeeded()
    assert "wants to run" not in done.stderr
    assert "`scripts` names `absent`, and no npm package of that name is locked" in done.stderr
    assert '"scripts":"run"' in project.lock.read_text().replace(" ", "")


def test_named_scripts_run_once_and_what_they_make_is_kept(stocked_npm: World) -> None:
    stocked_npm.npm.publish(
        "native",
        "1.0.0",
        hasInstallScript=True,
        scripts={"install": "echo \"module.exports = 'built'\" > index.js"},
        files={"index.js": b"module.exports = 'plain'\n"},
    )
    project = own_project(stocked_npm, OWN + 'scripts = ["native"]\n', dependencies={"native": "*"})
    project.cape("sync").succeeded()
    assert say(project, "import n from 'native'; console.log(n)") == "built"
    logs = list((stocked_npm.place / "store" / "logs").iterdir())
    written = [log.stat().st_mtime_ns for log in logs]
    describe(project, dependencies={"native": "*", "base": "*"})
    project.cape("sync").succeeded()
    assert say(project, "import n from 'native'; console.log(n)") == "built"
    assert [log.stat().st_mtime_ns for log in logs] == written


def test_a_script_that_fails_leaves_the_project_as_it_was(stocked_npm: World) -> None:
    stocked_npm.npm.publish(
        "native", "1.0.0", hasInstallScript=True, scripts={"postinstall": "echo it went wrong; exit 3"}
    )
    project = own_project(stocked_npm, OWN + 'scripts = ["native"]\n', dependencies={"native": "*"})
    before = project.state()
    done = project.cape("sync").failed(INPUT, "the script `postinstall` of `native` 1.0.0")
    assert "it went wrong" in done.stderr and "native-1.0.0.log" in done.stderr
    assert project.state() == before


def test_a_project_that_asks_for_nothing_is_locked(stocked_npm: World) -> None:
    project = own_project(stocked_npm)
    project.cape("sync").succeeded()
    assert rows(project) == {}
    project.cape("lock", "--check").succeeded()


def test_a_ring_of_dependencies_is_locked(stocked_npm: World) -> None:
    stocked_npm.npm.publish("ring-a", "1.0.0", dependencies={"ring-b": "*"})
    stocked_npm.npm.publish("ring-b", "1.0.0", dependencies={"ring-a": "*"})
    project = own_project(stocked_npm, dependencies={"ring-a": "*"})
    project.cape("sync").succeeded()
    assert rows(project) == {"ring-a": "1.0.0", "ring-b": "1.0.0"}


@pytest.mark.parametrize(
    ("text", "place", "told"),
    [
        ('{\n  "name": "own",\n  dependencies: {}\n}', "package.json:3:3", "is not JSON"),
        ('{\n  "name": "own",\n}', "package.json:3:1", "no comma may stand before"),
        ("<<<<<<< ours\n{}\n", "package.json:1:1", "both sides of a merge"),
        ("[]", "package.json:1:1", "holds no object"),
        ('{\n "dependencies": ["base"]\n}', "package.json:2:2", "does not map names to versions"),
        ('{\n "dependencies": {\n  "x": "git+ssh://g@h/x"\n }\n}', "package.json:3:3", "a git repository"),
        ('{"dependencies": {"x": "me/x"}}', "package.json:1:19", "is a git repository"),
        ('{"dependencies": {"x": "http://h/x.tgz"}}', "package.json:1:19", "is a file at a web address"),
        ('{"dependencies": {"x": "file:../x"}}', "package.json:1:19", "is a path"),
    ],
)  # fmt: skip
def test_a_bad_package_json_is_told_with_its_place(
    stocked_npm: World, text: str, place: str, told: str
) -> None:
    project = own_project(stocked_npm)
    (project.directory / "package.json").write_text(text)
    before = project.state()
    done = project.cape("sync").failed(INPUT, place)
    assert told in done.stderr
    assert project.state() == before


def test_a_missing_package_json_is_told(stocked_npm: World) -> None:
    project = stocked_npm.project(text=OWN)
    project.cape("sync").failed(INPUT, "there is no `package.json`", "npm init")


def test_a_wrong_integrity_in_npms_lock_is_refused(stocked_npm: World) -> None:
    project = own_project(stocked_npm, dependencies={"base": "2.0.0"})
    file = npm_lock(stocked_npm, project)
    lock = json.loads(file.read_text())
    lock["packages"]["node_modules/base"]["integrity"] = "sha512-" + "A" * 86 + "=="
    file.write_text(json.dumps(lock))
    project.cape("sync").failed(INTEGRITY, "base")
    assert not project.lock.exists()


def test_an_old_form_of_npms_lock_says_what_to_do(stocked_npm: World) -> None:
    project = own_project(stocked_npm, dependencies={"base": "2.0.0"})
    (project.directory / "package-lock.json").write_text('{"lockfileVersion": 1, "dependencies": {}}')
    project.cape("lock").failed(INPUT, "is of version 1", "--lockfile-version=3")


def test_tools_of_the_manifest_and_the_project_may_differ(stocked_npm: World) -> None:
    stocked_npm.npm.publish(
        "app", "2.0.0", bin={"app": "cli.js"}, files={"cli.js": b"#!/bin/sh\necho tool\n"}
    )
    project = own_project(stocked_npm, 'app = { npm = "2" }\n' + OWN, dependencies={"app": "^1.0.0"})
    project.cape("sync").succeeded()
    assert rows(project)["app"] == "1.0.0"
    link = project.directory / ".cape" / "current"
    record = json.loads((link / "generation.json").read_text())
    assert os.readlink(Path(record["environment"]) / "bin/app") == "../lib/node_modules/app/cli.js"


def test_a_registry_that_asks_for_a_login_says_where_the_token_goes(stocked_npm: World) -> None:
    project = own_project(stocked_npm, dependencies={"base": "2.0.0"})
    stocked_npm.npm.server.faults["/base"] = [Fault(status=401)] * 9
    done = project.cape("lock").failed(SOURCE, "asks for a login", ":_authToken")
    assert "${NPM_TOKEN}" in done.stderr


def test_a_token_of_the_projects_npmrc_is_used_and_never_written(stocked_npm: World) -> None:
    project = own_project(stocked_npm, dependencies={"base": "2.0.0"})
    host = stocked_npm.npm.url.partition(":")[2]
    (project.directory / ".npmrc").write_text(f"{host}:_authToken = s3cret\n{host}:always-auth=true\n")
    done = project.cape("--verbose", "sync").succeeded()
    sent = {
        seen.get("Authorization", seen.get("authorization")) for seen in stocked_npm.npm.server.headers_seen
    }
    assert "Bearer s3cret" in sent
    assert "s3cret" not in project.lock.read_text() + done.stdout + done.stderr
    assert "s3cret" not in "".join(
        path.read_text(errors="replace") for path in (stocked_npm.place / "store" / "indices").rglob("*.json")
    )
