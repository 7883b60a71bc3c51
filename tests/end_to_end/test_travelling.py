"""What travels beside manifest and lock: indices of knowledge bases, and packages that were built."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from cape.names import Digest, System
from cape.sharing.envelopes import seal
from cape.sharing.keys import KeyRing
from tests.end_to_end.harness import INPUT, INTEGRITY, STATE, Done, Project, World
from tests.end_to_end.test_knowledge_index import ACCESS, DOCUMENTS, MANIFEST
from tests.end_to_end.test_sharing import bens, place, user, with_key

__all__ = ["place"]

QUESTION = "Where does the anchor hold?"
KNOWLEDGE = MANIFEST[MANIFEST.index("[knowledge") :]


@pytest.fixture
def anna(stocked: World) -> Project:
    """Anna's synced project with an index of three documents."""
    project = user(stocked.project(hello="*", text=f"\n{KNOWLEDGE}"), stocked, "anna")
    for path, text in {**DOCUMENTS, "access.toml": ACCESS}.items():
        (project.directory / path).parent.mkdir(parents=True, exist_ok=True)
        (project.directory / path).write_text(text)
    project.cape("sync").succeeded()
    project.cape("index").succeeded()
    with_key(project, "anna")
    return project


def answer(project: Project) -> object:
    told = json.loads(project.cape("ask", QUESTION, "--json").succeeded().stdout)
    return {key: value for key, value in told.items() if key not in ("id", "ms")}


def index_digest(project: Project) -> str:
    told = json.loads(project.cape("index", "verify", "--json").succeeded().stdout)
    return str(told["bases"][0]["digest"])


def fork(stocked: World, anna: Project, place: str) -> Project:
    ben = bens(stocked, anna)
    assert "the index of `manual` came along" in ben.cape("fork", place).succeeded().stderr
    return ben


def test_another_user_gets_the_same_answers_from_the_same_index(
    stocked: World, anna: Project, place: str
) -> None:
    left = anna.directory / ".cape/.travelling-killed"
    left.mkdir()
    told = anna.cape("push", place, "--with-knowledge").succeeded()
    assert not left.exists(), "what a killed push left is gone"
    assert "and the indices of `manual`" in told.stderr
    ben = fork(stocked, anna, place)
    assert not (ben.directory / "docs").exists(), "documents stay where they are"
    assert answer(ben) == answer(anna)
    assert index_digest(ben) == index_digest(anna)
    assert ben.lock.read_bytes() == anna.lock.read_bytes()


def test_a_new_index_replaces_the_old_one_and_what_is_there_is_not_taken_again(
    stocked: World, anna: Project, place: str
) -> None:
    anna.cape("push", place, "--with-knowledge").succeeded()
    assert "has this already" in anna.cape("push", place, "--with-knowledge").succeeded().stderr
    ben = fork(stocked, anna, place)
    (anna.directory / "docs/anchor.md").write_text("# Anchors\n\nThe anchor holds in clay alone.\n")
    anna.cape("index").succeeded()
    anna.cape("push", "--with-knowledge").succeeded()
    assert "came along" in ben.cape("pull").succeeded().stderr
    assert "clay" in json.dumps(answer(ben)) and index_digest(ben) == index_digest(anna)
    assert "came along" not in ben.cape("pull").succeeded().stderr


def test_an_index_that_is_not_the_locks_or_private_is_not_pushed(anna: Project, tmp_path: Path) -> None:
    where = str(tmp_path / "place")
    rows = anna.lock.read_text()
    anna.lock.write_text(
        "\n".join(line for line in rows.splitlines() if '"row":"knowledge"' not in line) + "\n"
    )
    anna.cape("push", where, "--with-knowledge").failed(
        STATE, "not what the lock says", "`cape index manual`"
    )
    anna.lock.write_text(rows)
    shutil.rmtree(anna.directory / ".cape/knowledge/manual")
    anna.cape("push", where, "--with-knowledge").failed(STATE, "has no index")
    anna.manifest.write_text(anna.manifest.read_text() + "private = true\n")
    anna.cape("index").succeeded()
    anna.cape("push", where, "--with-knowledge").failed(INPUT, "is private")
    assert not Path(where).exists() or not list(Path(where).glob("records/*"))


def _other_words(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE chunk SET body = (SELECT body FROM chunk ORDER BY id DESC LIMIT 1)")
    connection.close()


def _no_database(database: Path) -> None:
    database.write_bytes(b"SQLite format 3\0" + bytes(4000))


@pytest.mark.parametrize("damage", [_other_words, _no_database])
def test_an_index_that_is_not_what_the_lock_says_is_not_taken(
    stocked: World, anna: Project, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """Signed by a trusted key, with all digests of the place right: the lock still says what it should be."""
    place = stocked.place / "place"
    anna.cape("push", str(place), "--with-knowledge").succeeded()
    database = anna.directory / ".cape/knowledge/manual/index.sqlite"
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    damage(database)
    record = json.loads(json.loads((place / "records/1.json").read_text())["record"])
    blob = place / "blobs" / record["knowledge"]["manual"][:2] / record["knowledge"]["manual"]
    forged = tmp_path / "forged"
    with tarfile.open(forged, "w") as stream:
        stream.add(database, "index.sqlite")
        for file in (database.parent / "segments").iterdir():
            stream.add(file, f"segments/{file.name}")
    sign_again(anna, place, blob, forged)
    ben = bens(stocked, anna)
    ben.cape("fork", str(place)).failed(INTEGRITY, "is not what the lock says")
    assert not ben.manifest.exists()


def sign_again(anna: Project, place: Path, blob: Path, forged: Path) -> None:
    """Put another archive into the record, and let anna's key sign that."""
    digest = Digest.of_file(forged)
    target = place / "blobs" / digest.hex[:2] / digest.hex
    target.parent.mkdir(exist_ok=True)
    shutil.copyfile(forged, target)
    envelope = json.loads((place / "records/1.json").read_text())
    changed = envelope["record"].replace(blob.name, digest.hex)
    signer = KeyRing({"XDG_CONFIG_HOME": anna.environment["XDG_CONFIG_HOME"]}).get("anna")
    (place / "records/1.json").write_bytes(seal(changed.encode(), signer))


def test_an_archive_with_paths_that_lead_away_is_refused(
    anna: Project, stocked: World, tmp_path: Path
) -> None:
    place = stocked.place / "place"
    anna.cape("push", str(place), "--with-knowledge").succeeded()
    record = json.loads(json.loads((place / "records/1.json").read_text())["record"])
    blob = place / "blobs" / record["knowledge"]["manual"][:2] / record["knowledge"]["manual"]
    forged = tmp_path / "forged"
    with tarfile.open(forged, "w") as stream:
        stream.add(anna.manifest, "segments/../../../../stolen")
    sign_again(anna, place, blob, forged)
    bens(stocked, anna).cape("fork", str(place)).failed(INTEGRITY, "does not belong into it")


BUILD = """
greet = { build = "*", systems = ["SYSTEM"] }

[build.greet]
version = "1.0"
command = '''
/bin/mkdir -p "$out/bin"
printf '#!/proc/self/root/bin/sh\\necho built\\n' > "$out/bin/greet"
/bin/chmod 755 "$out/bin/greet"
'''
"""


def built(project: Project) -> Done:
    return project.cape("build", "--no-sandbox")


@pytest.fixture
def builder(stocked: World) -> Project:
    """Anna's project with a package that it built itself, in the open: the world has no bubblewrap."""
    stocked.archive.add(
        "dash",
        architecture="all",
        links={"usr/bin/sh": "/proc/self/root/bin/sh"},
    )
    stocked.publish()
    project = user(
        stocked.project(dash="*", text=BUILD.replace("SYSTEM", str(System.current()))), stocked, "anna"
    )
    subprocess.run(["git", "init", "-q", project.directory], check=True)
    built(project).succeeded()
    project.cape("sync").succeeded()
    with_key(project, "anna")
    return project


def test_what_was_built_travels_without_being_asked_for(stocked: World, builder: Project, place: str) -> None:
    assert "with 1 artifact" in builder.cape("push", place).succeeded().stderr
    ben = bens(stocked, builder)
    ben.cape("fork", place).succeeded()
    assert ben.cape("run", "--", "greet").succeeded().stdout == "built\n"
    ben.cape("install", "hello").succeeded()  # so it can be locked again
    assert ben.cape("run", "--", "greet").succeeded().stdout == "built\n"


def test_what_was_built_and_is_gone_is_named(stocked: World, builder: Project, tmp_path: Path) -> None:
    record = json.loads((builder.directory / ".cape/builds/greet.json").read_text())["built"]
    (hex_,) = {one["digest"] for one in record.values()}
    (builder.store / "artifacts" / hex_[:2] / hex_).unlink()
    builder.cape("push", str(tmp_path / "place")).failed(INPUT, "the build `greet` is not on this machine")
