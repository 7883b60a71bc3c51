"""`cape init` in a project that other tools know already: names confirmed by real registries of this test."""

from __future__ import annotations

import json

from tests.end_to_end.harness import World


def test_init_takes_over_what_sources_confirm_and_names_the_rest(world: World) -> None:
    world.archive.add("hello", architecture="all", files={"usr/bin/hello": b"#!/bin/sh\necho hi\n"})
    world.publish()
    project = world.project()
    project.manifest.unlink()
    (project.directory / "apt.txt").write_text("hello\nno-such-package\n")
    (project.directory / ".tool-versions").write_text("hello 2.12\n")
    done = project.cape("init", "--json").succeeded()
    told = json.loads(done.stdout)
    assert [(one["source"], one["name"], one["where"]) for one in told["packages"]] == [
        ("debian", "hello", "apt.txt:1")
    ]
    assert [one["text"] for one in told["unmapped"]] == ["hello 2.12", "no-such-package"]
    assert 'hello = "*"' in project.manifest.read_text()
    project.cape("lock").succeeded()


def test_one_name_of_two_sources_gets_a_key_with_its_source(world: World) -> None:
    project = world.project()
    project.manifest.unlink()
    (project.directory / "requirements.txt").write_text("redis>=5\n")
    (project.directory / "Dockerfile").write_text("FROM scratch\nRUN npm install -g redis@^4\n")
    project.cape("init").succeeded()
    text = project.manifest.read_text()
    assert 'redis = { pypi = ">=5" }' in text
    assert 'npm-redis = { npm = "^4", name = "redis" }' in text


def test_variables_and_hooks_are_taken_over_and_a_bare_start_takes_nothing(world: World) -> None:
    project = world.project()
    project.manifest.unlink()
    (project.directory / "devbox.json").write_text(
        '{"packages": [], "env": {"MODE": "dev", "CAPE_ENV": "x"}, "shell": {"init_hook": "mkdir -p build"}}'
    )
    dry = project.cape("init", "--dry-run").succeeded()
    assert 'MODE = "dev"' in dry.stdout and 'on-activate = "mkdir -p build"' in dry.stdout
    assert "not mapped: [vars]: `CAPE_ENV`" in dry.stderr
    assert not project.manifest.exists()
    project.cape("init", "--bare").succeeded()
    assert "MODE" not in project.manifest.read_text()


def test_files_of_a_project_are_followed_not_repeated(world: World) -> None:
    world.archive.add("python3", "3.13.5-1", architecture="all", files={"usr/share/python": b""})
    world.archive.add("libstdc++6", "14.2.0-19", architecture="all", files={"usr/share/cxx": b""})
    world.publish()
    world.index.add_wheel("six", "1.17.0")
    project = world.project()
    project.manifest.unlink()
    described = '[project]\nname = "app"\nversion = "1"\ndependencies = ["six"]\n'
    (project.directory / "pyproject.toml").write_text(described)
    done = project.cape("init", "--json").succeeded()
    assert json.loads(done.stdout)["followed"] == {"python": "pyproject.toml"}
    assert '[python]\nproject = "pyproject.toml"' in project.manifest.read_text()
    project.cape("lock").succeeded()
    assert '"name":"six"' in project.lock.read_text()
