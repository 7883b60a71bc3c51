"""Archives of directories and commits, what they say of building, and logins of indices."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from cape.sources.protocol import Requirement
from cape.sources.pypi.credentials import with_login, without_credentials
from cape.sources.pypi.direct import (
    DamagedSource,
    GitFailed,
    address_of,
    archive_of_commit,
    archive_of_directory,
    build_requires,
    digest_of_directory,
    unpack_source,
)
from cape.sources.pypi.source import requirement_line
from cape.sources.tools import BadConstraint


def tree(place: Path) -> Path:
    (place / "src").mkdir(parents=True)
    (place / "src/own.py").write_text("x = 1\n")
    (place / "run").write_text("#!/bin/sh\n")
    (place / "run").chmod(0o755)
    return place


def test_archives_of_equal_directories_are_equal_bytes(tmp_path: Path) -> None:
    one, two = tree(tmp_path / "one"), tree(tmp_path / "two")
    os.utime(two / "src/own.py", (1, 1))
    (two / "src/own.py").chmod(0o600)
    (two / ".git").mkdir()
    (two / ".git/config").write_text("other")
    (two / "src/__pycache__").mkdir()
    (two / "src/__pycache__/own.pyc").write_bytes(b"other")
    archive_of_directory(one, tmp_path / "one.tar")
    archive_of_directory(two, tmp_path / "two.tar")
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    assert digest_of_directory(one) == digest_of_directory(two)
    (two / "src/own.py").write_text("x = 2\n")
    assert digest_of_directory(one) != digest_of_directory(two)


def git(place: Path, *words: str) -> str:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    done = subprocess.run(["git", *identity, *words], cwd=place, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_a_commit_gives_equal_archives_from_any_cache(tmp_path: Path) -> None:
    repository = tree(tmp_path / "repository")
    git(repository, "init", "-q")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "one")
    commit = git(repository, "rev-parse", "HEAD")
    url = f"file://{repository}"
    for name in ("a", "b"):
        archive_of_commit(url, commit, tmp_path / name, tmp_path / f"{name}.tar", directory=None)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    with pytest.raises(GitFailed, match="is not in its repository"):
        archive_of_commit(url, "0" * 40, tmp_path / "a", tmp_path / "c.tar", directory=None)


def test_an_archive_with_a_path_that_escapes_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "bad.tar.gz", "w:gz") as archive:
        info = tarfile.TarInfo("../escaped")
        info.size = 1
        archive.addfile(info, io.BytesIO(b"x"))
    (tmp_path / "into").mkdir()
    with pytest.raises(DamagedSource, match="cannot be unpacked"):
        unpack_source(tmp_path / "bad.tar.gz", "bad.tar.gz", tmp_path / "into")
    assert not (tmp_path / "escaped").exists()


def test_what_building_needs_is_what_the_standard_says() -> None:
    assert build_requires({}) == ("setuptools>=40.8.0", "wheel")
    assert build_requires({"build-system": {"requires": []}}) == ()
    hatch = {"build-system": {"requires": ["hatchling"], "build-backend": "hatchling.build"}}
    assert build_requires(hatch, editable=True) == ("hatchling", "editables")


def wanted(**options: str) -> Requirement:
    return Requirement(source="pypi", name="tool", package="tool", options=options, where="cape.toml:7:1")


def test_direct_references_are_requirement_lines(tmp_path: Path) -> None:
    line = requirement_line(wanted(git="ssh://git@git.example/t.git", ref="v1", subdirectory="py"))
    assert line == "tool @ git+ssh://git@git.example/t.git@v1#subdirectory=py"
    assert requirement_line(wanted(git="git@git.example:t.git")) == "tool @ git+ssh://git@git.example/t.git"
    assert address_of(wanted(git="../t"), tmp_path / "x") == f"git+file://{tmp_path}/t"
    marked = requirement_line(wanted(marker="os_name == 'posix'"))
    assert marked == "tool ; os_name == 'posix'"
    with pytest.raises(BadConstraint, match="has a user or password in it"):
        requirement_line(wanted(url="https://me:word@files.example/t.whl"))


def test_the_login_of_an_index_goes_to_its_host_only() -> None:
    variables = {"UV_INDEX_CORP_USERNAME": "me", "UV_INDEX_CORP_PASSWORD": "p@ss/word", "HOME": "/nowhere"}
    indices = ["corp=https://index.example/simple", "https://other.example/simple"]
    told = with_login("https://index.example/files/a.whl", indices, variables)
    assert told == "https://me:p%40ss%2Fword@index.example/files/a.whl"
    assert without_credentials(told) == "https://index.example/files/a.whl"
    for url in ("https://other.example/a.whl", "https://index.example.evil.example/a.whl"):
        assert with_login(url, indices, variables) == url
