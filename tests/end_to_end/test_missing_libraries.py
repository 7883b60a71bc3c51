"""A wheel that needs a library of the system: told when it is locked, and added with consent."""

from __future__ import annotations

import gzip
import os
import platform
import pty
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.harness import CAPE, INPUT, Project, World
from tests.end_to_end.test_native import ARCHITECTURE, TRIPLET, libraries_of
from tests.end_to_end.test_python_projects import source_release

LOADER = """
from ctypes.util import find_library
if find_library("gone") is None:
    raise ImportError("no libgone")
"""
OPTIONAL = "import ctypes\ntry:\n    ctypes.CDLL('libgone.so.1')\nexcept OSError:\n    pass\n"


@pytest.fixture
def archive(world: World) -> World:
    """An archive with a C library, a Python, a library that an extension needs, and one asked for by name."""
    libraries = libraries_of("/bin/ls") if shutil.which("ldd") else {}
    selinux = next((path for name, path in libraries.items() if name.startswith("libselinux")), "")
    wanted = next((name for name in libraries if name.startswith("libpcre")), "")
    if not ARCHITECTURE or "libc.so.6" not in libraries or not selinux or not wanted:
        pytest.skip("this machine's `ls` is not Debian's")
    place = f"usr/lib/{TRIPLET}"
    libc = {
        f"{place}/{name}": Path(path).read_bytes()
        for name, path in libraries.items()
        if not name.startswith(("libselinux", "libpcre"))
    }
    pcre = {f"{place}/{wanted}": Path(libraries[wanted]).read_bytes()}
    world.archive.add("libc6", "2.41-1", architecture=ARCHITECTURE, files=libc, runnable=list(libc))
    world.archive.add("libpcre2-8-0", architecture=ARCHITECTURE, files=pcre, depends="libc6")
    world.archive.add("libgone1t64", architecture=ARCHITECTURE, files={f"{place}/libgone.so.1": b"x"})
    world.archive.add("libgone-dev", architecture=ARCHITECTURE, files={f"{place}/libgone.so": b"x"})
    python = {"usr/bin/python3.13": b"#!/bin/sh\n"}
    world.archive.add("python3.13", "3.13.5-1", architecture=ARCHITECTURE, files=python, depends="libc6")
    world.archive.add("python3", "3.13.5-1", architecture=ARCHITECTURE, depends="python3.13")
    world.archive.add("libstdc++6", architecture=ARCHITECTURE, depends="libc6")
    listed = (
        f"{place}/{wanted}    libs/libpcre2-8-0\n{place}/libgone.so.1    libs/libgone1t64\n"
        f"{place}/libgone.so    libdevel/libgone-dev\nusr/bin/python3.13    python/python3.13\n"
    )
    contents = {f"main/Contents-{ARCHITECTURE}.gz": gzip.compress(listed.encode(), mtime=0)}
    world.publish(more=contents)
    world.index.add_wheel(
        "linked", "1.0", files={"linked.abi3.so": Path(selinux).read_bytes()}, tag=f"py3-none-linux_{MACHINE}"
    )
    world.index.add_wheel("named", "1.0", files={"named.py": LOADER.encode()})
    world.index.add_wheel("careful", "1.0", files={"careful.py": OPTIONAL.encode()})
    world.index.add_wheel("user", "1.0", requires=["named"])
    world.index.add_wheel("plain", "1.0", files={"plain.py": b"import os\n"})
    return world


MACHINE = platform.machine()
OTHER_MACHINE = "aarch64" if MACHINE == "x86_64" else "x86_64"
OTHER = "arm64" if MACHINE == "x86_64" else "amd64"
OTHER_TRIPLET = f"{OTHER_MACHINE}-linux-gnu"
OTHER_ELF = (183 if MACHINE == "x86_64" else 62).to_bytes(2, "little")
"""What the head of a file for the other machine says."""


def project_here(world: World, **packages: str) -> Project:
    """A project for this machine's system."""
    project = world.project(**packages)
    system = f'systems = ["{MACHINE}-linux"]'
    project.manifest.write_text(re.sub(r"systems = .*", system, project.manifest.read_text()))
    return project


def test_lock_names_what_is_missing_and_what_would_help(archive: World) -> None:
    project = project_here(archive, linked='{ pypi = "*" }', named='{ pypi = "*" }')
    before = project.state()
    done = project.cape("lock").failed(
        INPUT, "`linked` needs `libpcre2-8.so.0`", "`named` needs `libgone.so.1`"
    )
    assert "`cape lock --fix` adds `libpcre2-8-0` and `libgone1t64` to the manifest" in done.stderr
    assert f"{project.manifest}:10:1" in done.stderr
    assert project.state() == before
    assert '"slug": "missing-library"' in project.cape("lock", "--json").stdout


def test_fix_adds_them_with_a_reason_and_keeps_comments(archive: World) -> None:
    project = project_here(archive, linked='{ pypi = "*" }  # eyes', named='{ pypi = "*" }')
    told = project.cape("lock", "--fix").succeeded().stderr
    assert "added `libgone1t64` to the manifest: named needs libgone.so.1" in told
    text = project.manifest.read_text()
    assert 'libgone1t64 = "*"  # named needs libgone.so.1' in text
    assert "# eyes" in text and "# A project of a test." in text
    project.cape("lock", "--check").succeeded()
    assert "libpcre2-8-0" in project.lock.read_text()


def test_a_dry_run_of_fix_changes_nothing(archive: World) -> None:
    project = project_here(archive, named='{ pypi = "*" }')
    before = project.state()
    told = project.cape("lock", "--fix", "--dry-run").succeeded().stderr
    assert "would add `libgone1t64`" in told
    assert project.state() == before


def test_a_dependency_that_lacks_something_is_told_with_who_brings_it(archive: World) -> None:
    project = project_here(archive, user='{ pypi = "*" }')
    project.cape("lock").failed(INPUT, "`named` (`user` brings it) needs `libgone.so.1`")


def test_what_the_manifest_says_to_do_without_is_no_error(archive: World) -> None:
    project = project_here(archive, user='{ pypi = "*", without = ["libgone.so.1"] }')
    project.cape("lock").succeeded()
    assert "libgone1t64" not in project.lock.read_text()


def test_an_optional_library_is_a_note_and_nothing_is_none(archive: World) -> None:
    project = project_here(archive, careful='{ pypi = "*" }')
    told = project.cape("lock").succeeded().stderr
    assert "note: `careful` would use `libgone.so.1` (`libgone1t64` has it)" in told
    quiet = project_here(archive, plain='{ pypi = "*" }').cape("lock").succeeded().stderr
    assert "would use" not in quiet and "not looked at" not in quiet


def test_what_only_a_build_needs_is_no_note_and_what_is_built_is_looked_at_later(archive: World) -> None:
    release = source_release("onlysource", "1.0", requires=["careful"])
    archive.index.add_file("onlysource", "onlysource-1.0.tar.gz", release)
    project = project_here(archive, onlysource='{ pypi = "*" }')
    project.manifest.write_text(project.manifest.read_text() + '\n[python]\nbuild = ["onlysource"]\n')
    done = project.cape("lock").succeeded()
    assert "careful" in project.lock.read_text() and "careful" not in done.stderr
    assert "not looked at" not in done.stderr


def test_without_is_for_language_packages_and_names_of_files(archive: World) -> None:
    project = project_here(archive, python3='{ debian = "*", without = ["libgone.so.1"] }')
    project.cape("lock").failed(INPUT, "`without` is for language packages")
    project = project_here(archive, plain='{ pypi = "*", without = ["a b"] }')
    project.cape("lock").failed(INPUT, "`a b` is no name of a library or program")


def test_without_the_archives_list_of_files_nothing_is_refused(archive: World) -> None:
    archive.publish()
    project = project_here(archive, named='{ pypi = "*" }')
    project.cape("lock").succeeded()


def test_a_list_that_no_signature_vouches_for_is_a_hint_all_the_same(archive: World) -> None:
    listed = f"usr/lib/{TRIPLET}/libgone.so.1    libs/libgone1t64\n".encode()
    for file in archive.archive.directory.rglob(f"Contents-{ARCHITECTURE}.gz"):
        file.write_bytes(gzip.compress(listed, mtime=0))
    project = project_here(archive, named='{ pypi = "*" }')
    project.cape("lock").failed(INPUT, "`named` needs `libgone.so.1`", "`libgone1t64`")


def test_a_terminal_is_asked_and_yes_adds(archive: World) -> None:
    project = project_here(archive, named='{ pypi = "*" }')
    assert "named needs libgone.so.1: add libgone1t64? [Y/n]" in _at_a_terminal(
        project, "n\n", expected=INPUT
    )
    assert "libgone1t64" not in project.manifest.read_text()
    _at_a_terminal(project, "y\n", expected=0)
    assert 'libgone1t64 = "*"  # named needs libgone.so.1' in project.manifest.read_text()


def test_install_names_the_flag_that_works_there(archive: World) -> None:
    project = project_here(archive)
    before = project.state()
    done = project.cape("install", "pypi:named").failed(INPUT, "`named` needs `libgone.so.1`")
    assert "`cape install --fix` adds `libgone1t64` to the manifest" in done.stderr
    assert project.state() == before
    told = project.cape("install", "--fix", "--dry-run", "pypi:named").succeeded().stderr
    assert "would add `libgone1t64`" in told
    assert project.state() == before
    told = project.cape("install", "--fix", "pypi:named").succeeded().stderr
    assert "added `libgone1t64` to the manifest: named needs libgone.so.1" in told
    assert 'libgone1t64 = "*"  # named needs libgone.so.1' in project.manifest.read_text()
    project.cape("lock", "--check").succeeded()


def test_install_at_a_terminal_asks_as_lock_does(archive: World) -> None:
    project = project_here(archive)
    before = project.state()
    question = "named needs libgone.so.1: add libgone1t64? [Y/n]"
    assert question in _at_a_terminal(project, "n\n", "install", "pypi:named", expected=INPUT)
    assert project.state() == before
    _at_a_terminal(project, "y\n", "install", "pypi:named", expected=0)
    assert 'libgone1t64 = "*"  # named needs libgone.so.1' in project.manifest.read_text()


def test_uninstall_of_what_is_needed_offers_no_flag(archive: World) -> None:
    project = project_here(archive, named='{ pypi = "*" }')
    project.cape("lock", "--fix").succeeded()
    done = project.cape("uninstall", "libgone1t64").failed(INPUT, "`named` needs `libgone.so.1`")
    assert "--fix" not in done.stderr and "does without it" in done.stderr


def test_an_environment_of_the_manifest_gets_its_own_additions(archive: World) -> None:
    project = project_here(archive, plain='{ pypi = "*" }')
    told = project.manifest.read_text() + '\n[environments.eyes.packages]\nnamed = { pypi = "*" }\n'
    project.manifest.write_text(told)
    project.cape("lock").failed(INPUT, "`named` needs `libgone.so.1`")
    project.cape("lock", "--fix").succeeded()
    first, own = project.manifest.read_text().split("[environments.eyes.packages]")
    assert "libgone" not in first
    assert 'libgone1t64 = "*"  # named needs libgone.so.1' in own


def _at_a_terminal(project: Project, answer: str, *words: str, expected: int) -> str:
    """What a command (`cape lock`) says at a terminal where somebody types an answer."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [CAPE, *(words or ("lock",))],
        cwd=project.directory,
        env=dict(project.environment),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    os.write(ours, answer.encode())
    said = b""
    try:
        while piece := os.read(ours, 4096):
            said += piece
    except OSError:
        pass
    os.close(ours)
    assert process.wait(60) == expected, said.decode()
    return said.decode()


def test_a_wheel_is_looked_into_once(archive: World) -> None:
    project = project_here(archive, careful='{ pypi = "*" }')
    project.cape("lock").succeeded()
    kept = sorted(file.stat().st_mtime_ns for file in (project.store / "indices/needs").iterdir())
    project.manifest.write_text(project.manifest.read_text() + 'plain = { pypi = "*" }\n')
    project.cape("lock").succeeded()
    after = sorted(file.stat().st_mtime_ns for file in (project.store / "indices/needs").iterdir())
    assert len(after) == len(kept) + 1 and after[: len(kept)] == kept


def test_what_another_system_of_the_lock_lacks_is_told_too(archive: World) -> None:
    """The extension says another machine in its head; what it is linked with is there for this one only."""
    for name, version in (("libc6", "2.41-1"), ("python3.13", "3.13.5-1"), ("libstdc++6", "1.0-1")):
        archive.archive.add(name, version, architecture=OTHER)
    archive.archive.add("python3", "3.13.5-1", architecture=OTHER, depends="python3.13, libc6")
    archive.archive.add("libpcre2-8-0", architecture=OTHER, depends="libc6")
    pcre = next(iter(name for name in libraries_of("/bin/ls") if name.startswith("libpcre")))
    listed = f"usr/lib/{OTHER_TRIPLET}/{pcre}    libs/libpcre2-8-0\n"
    own = (archive.archive.directory / f"dists/trixie/main/Contents-{ARCHITECTURE}.gz").read_bytes()
    others = {f"main/Contents-{OTHER}.gz": gzip.compress(listed.encode(), mtime=0)}
    archive.publish(more={f"main/Contents-{ARCHITECTURE}.gz": own, **others})
    here = Path(libraries_of("/bin/ls")["libselinux.so.1"]).read_bytes()
    for machine, data in ((MACHINE, here), (OTHER_MACHINE, here[:18] + OTHER_ELF + here[20:])):
        archive.index.add_wheel(
            "twofold", "1.0", files={"twofold.abi3.so": data}, tag=f"py3-none-linux_{machine}"
        )
    project = archive.project(twofold='{ pypi = "*" }', libpcre2_8_0="*")
    text = project.manifest.read_text().replace(
        'libpcre2-8-0 = "*"', f'libpcre2-8-0 = {{ debian = "*", systems = ["{MACHINE}-linux"] }}'
    )
    project.manifest.write_text(text)
    project.cape("lock").failed(INPUT, f"`twofold` needs `{pcre}`", "adds `libpcre2-8-0`")
    text = text.replace(f', systems = ["{MACHINE}-linux"]', "")
    project.manifest.write_text(text)
    project.cape("lock").succeeded()


def test_an_extension_that_needs_a_newer_c_library_than_the_suites_is_refused(archive: World) -> None:
    """An extension as it is on this machine, and a suite whose C library is from before it was split."""
    archive.archive.add("libc6", "2.13-1", architecture=ARCHITECTURE, suite="older")
    archive.archive.add("python3.13", "3.13.5-1", architecture=ARCHITECTURE, depends="libc6", suite="older")
    archive.archive.add("python3", "3.13.5-1", architecture=ARCHITECTURE, depends="python3.13", suite="older")
    archive.archive.add("libstdc++6", architecture=ARCHITECTURE, suite="older")
    archive.archive.add("libpcre2-8-0", architecture=ARCHITECTURE, depends="libc6", suite="older")
    own = (archive.archive.directory / f"dists/trixie/main/Contents-{ARCHITECTURE}.gz").read_bytes()
    archive.publish(more={f"main/Contents-{ARCHITECTURE}.gz": own})
    project = project_here(archive, linked='{ pypi = "*" }', libpcre2_8_0="*")
    project.cape("lock").succeeded()
    project.manifest.write_text(project.manifest.read_text().replace("trixie", "older"))
    done = project.cape("lock").failed(
        INPUT, "`linked` needs `GLIBC_2.", "of `libc.so.6`", "the environment's has up to `2.13`"
    )
    assert "cape.toml:" in done.stderr and "a newer suite has more" in done.stderr


@pytest.mark.network
@pytest.mark.parametrize("name", ["python-magic", "opencv-python", "pytesseract", "numpy"])
def test_real_packages_are_told_as_the_corpus_says(name: str, tmp_path: Path) -> None:
    from tests.acceptance.libraries import Bench, load_needs

    (need,) = [one for one in load_needs() if one.name == name]
    report = Bench(tmp_path / "bench").measure(need, runs=False)
    assert report.locked, report.said
    assert (report.missed, report.false) == ([], [])
