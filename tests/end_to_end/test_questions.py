"""`cape why` for files and libraries, and `cape outdated`."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.harness import INPUT, Project, World


def library(directory: Path, soname: str) -> bytes:
    """A real shared library of that soname. Skips where there is no C compiler."""
    if shutil.which("gcc") is None:
        pytest.skip("no C compiler on this machine")
    source, made = directory / "empty.c", directory / "made.so"
    source.write_text("int sample;\n")
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-nostdlib", f"-Wl,-soname,{soname}", "-o", made, source], check=True
    )
    return made.read_bytes()


def project_with_files(world: World, tmp_path: Path) -> Project:
    data = {"usr/share/words/list": b"words\n", "bin/tool-of-words": b"\x7fnot elf\n"}
    world.archive.add("words-data", architecture="all", files=data)
    deep = {"usr/lib/x86_64-linux-gnu/libdeep.so.4.2": library(tmp_path, "libdeep.so.4")}
    for architecture in ("amd64", "arm64"):
        world.archive.add("deep", architecture=architecture, files=deep, depends="words-data")
    world.archive.add("top", architecture="all", files={"usr/share/top/x": b"x"}, depends="deep")
    world.publish()
    project = world.project(top="*")
    project.cape("sync").succeeded()
    return project


ASKED = '   (cape.toml:10:1: top = "*")\n'


def test_library_program_and_path_are_traced_to_the_manifest(world: World, tmp_path: Path) -> None:
    project = project_with_files(world, tmp_path)
    done = project.cape("why", "libdeep.so.4").succeeded()
    assert (
        done.stdout == "/usr/lib/x86_64-linux-gnu/libdeep.so.4.2 is of debian:deep 1.0-1\ntop -> deep" + ASKED
    )
    for asked in ("/usr/share/words/list", "/bin/tool-of-words", "tool-of-words"):
        assert project.cape("why", asked).succeeded().stdout.endswith("top -> deep -> words-data" + ASKED), (
            asked
        )
    found = json.loads(project.cape("why", "/usr/share/words/list", "--json").succeeded().stdout)
    assert found["chains"] == [["top", "deep", "words-data"]]
    assert [one["line"] for one in found["asked_by"]] == ['top = "*"']
    assert [file["package"] for file in found["files"]] == ["words-data"]


def test_what_is_nowhere_is_an_error(world: World, tmp_path: Path) -> None:
    project = project_with_files(world, tmp_path)
    project.cape("why", "/usr/bin/nothing").failed(INPUT, "the lock has no package `/usr/bin/nothing`")


def test_outdated_tells_what_is_allowed_newest_and_what_holds_it(world: World) -> None:
    for version in ("1.0", "1.1", "2.0"):
        world.index.add_wheel("pkg", version)
    for name, version in (("python3", "3.13.5-1"), ("libc6", "2.41-12"), ("libstdc++6", "14.2.0-19")):
        world.archive.add(name, version, architecture="all")
    world.publish()
    project = world.project(pkg='{ pypi = "==1.0" }')
    project.cape("lock").succeeded()
    assert project.cape("outdated").succeeded().stdout.splitlines()[1].split() == [
        "pkg", "pypi", "1.0", "1.0", "2.0", f"cape.toml:{line_of(project, 'pkg')}:1",
    ]  # fmt: skip
    project.manifest.write_text(project.manifest.read_text().replace("==1.0", "<2"))
    project.cape("lock").succeeded()
    row = json.loads(project.cape("outdated", "--json").succeeded().stdout)["packages"][0]
    assert (row["locked"], row["allowed"], row["newest"]) in {("1.0", "1.1", "2.0"), ("1.1", "1.1", "2.0")}
    lock = project.lock.read_bytes()
    assert project.cape("outdated").succeeded() and project.lock.read_bytes() == lock


def line_of(project: Project, name: str) -> int:
    lines = project.manifest.read_text().splitlines()
    return next(number for number, line in enumerate(lines, start=1) if line.startswith(name))
