"""Finding documents: what patterns name, and what is never entered, followed or opened."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cape.knowledge.gathering import BadPattern, Gathering, NoSuchProject, gather


def make(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("text")


def paths_of(gathering: Gathering) -> list[str]:
    return [file.path for file in gathering.files]


def test_patterns_name_files_by_their_path_in_the_project(tmp_path: Path) -> None:
    make(tmp_path, "a.md", "docs/b.md", "docs/deep/er/c.md", "docs/d.txt", "other/e.md")
    assert paths_of(gather(tmp_path, ["docs/**/*.md"])) == ["docs/b.md", "docs/deep/er/c.md"]
    assert paths_of(gather(tmp_path, ["*.md"])) == ["a.md"]
    assert paths_of(gather(tmp_path, ["docs/**"])) == ["docs/b.md", "docs/d.txt", "docs/deep/er/c.md"]
    assert paths_of(gather(tmp_path, ["**/[ce].md", "docs/d.txt"])) == [
        "docs/d.txt",
        "docs/deep/er/c.md",
        "other/e.md",
    ]


def test_a_file_named_by_two_patterns_is_found_once(tmp_path: Path) -> None:
    make(tmp_path, "a.md")
    assert paths_of(gather(tmp_path, ["*.md", "a.*", "**"])) == ["a.md"]


def test_a_found_file_says_how_large_it_is_and_when_it_was_changed(tmp_path: Path) -> None:
    make(tmp_path, "a.md")
    found = gather(tmp_path, ["a.md"]).files[0]
    status = (tmp_path / "a.md").stat()
    assert (found.size_bytes, found.modified_ns, found.inode) == (4, status.st_mtime_ns, status.st_ino)


def test_a_pattern_that_matches_nothing_is_named(tmp_path: Path) -> None:
    make(tmp_path, "a.md")
    gathering = gather(tmp_path, ["*.md", "exports/*.xlsx"])
    assert paths_of(gathering) == ["a.md"]
    assert gathering.notes == ("no file matches `exports/*.xlsx`",)


def test_a_pattern_that_is_a_directory_says_how_to_name_its_files(tmp_path: Path) -> None:
    make(tmp_path, "docs/a.md")
    assert gather(tmp_path, ["docs/"]).notes == ("`docs/` is a directory; `docs/**` names the files in it",)


def test_an_empty_project_gives_nothing_and_says_so(tmp_path: Path) -> None:
    assert gather(tmp_path, ["**"]) == Gathering(files=(), notes=("no file matches `**`",))


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [("../secrets/*", "a `..`"), ("a/../b", "a `..`"), ("/etc/*", "absolute"), ("", "empty")],
)
def test_a_pattern_that_leaves_the_project_is_refused(tmp_path: Path, pattern: str, fault: str) -> None:
    with pytest.raises(BadPattern, match=fault):
        gather(tmp_path, [pattern])


def test_a_project_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NoSuchProject, match="cannot be read"):
        gather(tmp_path / "missing", ["**"])


def test_hidden_directories_are_never_entered(tmp_path: Path) -> None:
    make(tmp_path, ".git/config.md", ".cape/state/a.md", "docs/.hidden/b.md", "docs/.notes.md", "docs/c.md")
    assert paths_of(gather(tmp_path, ["**/*.md", ".git/*.md", "docs/.hidden/*"])) == ["docs/c.md"]
    assert paths_of(gather(tmp_path, ["docs/.notes.md"])) == ["docs/.notes.md"]
    assert paths_of(gather(tmp_path, ["docs/.*.md"])) == ["docs/.notes.md"]


def test_a_symlink_loop_is_cut_and_noted(tmp_path: Path) -> None:
    make(tmp_path, "docs/a.md")
    (tmp_path / "docs/again").symlink_to("..")
    gathering = gather(tmp_path, ["**/*.md"])
    assert paths_of(gathering) == ["docs/a.md"]
    assert gathering.notes == ("the link `docs/again` leads back to a directory that it lies in; it was cut",)


def test_links_that_lead_to_each_other_end(tmp_path: Path) -> None:
    make(tmp_path, *(f"d{number}/a.md" for number in range(8)))
    for first in range(8):
        for second in range(8):
            (tmp_path / f"d{first}" / f"to{second}").symlink_to(f"../d{second}")
    (tmp_path / "self").symlink_to("self")
    gathering = gather(tmp_path, ["**/*.md", "self"])
    assert paths_of(gathering) == [f"d{number}/a.md" for number in range(8)]


def test_a_link_within_the_project_is_followed(tmp_path: Path) -> None:
    make(tmp_path, "shared/a.md", "shared/b.txt")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/common").symlink_to("../shared")
    (tmp_path / "docs/one.md").symlink_to("../shared/a.md")
    assert paths_of(gather(tmp_path, ["docs/**/*.md"])) == ["docs/common/a.md", "docs/one.md"]


def test_a_link_out_of_the_project_is_not_followed(tmp_path: Path) -> None:
    make(tmp_path, "outside/a.md", "outside.md", "project/docs/b.md")
    (tmp_path / "project/docs/out").symlink_to(tmp_path / "outside")
    (tmp_path / "project/docs/out.md").symlink_to(tmp_path / "outside.md")
    gathering = gather(tmp_path / "project", ["docs/**/*.md"])
    assert paths_of(gathering) == ["docs/b.md"]
    assert set(gathering.notes) == {
        "the link `docs/out` leads out of the project; it was not followed",
        "the link `docs/out.md` leads out of the project; it was not followed",
    }


def test_a_link_to_something_hidden_is_not_followed(tmp_path: Path) -> None:
    make(tmp_path, ".git/a.md", "docs/b.md")
    (tmp_path / "docs/git").symlink_to("../.git")
    gathering = gather(tmp_path, ["docs/**/*.md"])
    assert paths_of(gathering) == ["docs/b.md"]
    assert gathering.notes == ("the link `docs/git` leads to something hidden; it was not followed",)


def test_a_link_that_leads_nowhere_is_noted(tmp_path: Path) -> None:
    (tmp_path / "a.md").symlink_to("gone.md")
    assert "the link `a.md` leads nowhere" in gather(tmp_path, ["*.md"]).notes


def test_pipes_and_sockets_are_passed_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.md")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket.md"))
        gathering = gather(tmp_path, ["*.md"])
    assert gathering.files == ()
    assert "`pipe.md` was passed over: it is not a regular file" in gathering.notes
    assert "`socket.md` was passed over: it is not a regular file" in gathering.notes


def test_a_name_that_is_not_utf_8_is_passed_over(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode(b"caf\xe9.md")).write_text("text")
    except OSError:
        pytest.skip("this file system keeps no such names")
    assert gather(tmp_path, ["*.md"]).notes[0] == "`caf\ufffd.md` was passed over: its name is not UTF-8"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every directory")
def test_a_directory_that_cannot_be_read_is_noted(tmp_path: Path) -> None:
    make(tmp_path, "closed/a.md", "b.md")
    (tmp_path / "closed").chmod(0)
    try:
        gathering = gather(tmp_path, ["**/*.md"])
    finally:
        (tmp_path / "closed").chmod(0o755)
    assert paths_of(gathering) == ["b.md"]
    assert "the directory `closed` cannot be read: Permission denied" in gathering.notes


names = st.sampled_from(["a", "b", "ab", "c.md", "d.md"])
parts = st.sampled_from(["*", "**", "a", "b", "a*", "?", "*.md", "[cd].md"])


def as_expression(pattern: str) -> re.Pattern[str]:
    """An independent reading of a pattern, as one regular expression over the whole path."""
    text = ""
    items = pattern.split("/")
    for number, part in enumerate(items):
        last = number == len(items) - 1
        if part == "**":
            text += r"(?:[^/]+/)*[^/]+" if last else r"(?:[^/]+/)*"
        else:
            text += part.replace(".", r"\.").replace("*", "[^/]*").replace("?", "[^/]") + (
                "" if last else "/"
            )
    return re.compile(text)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.lists(st.lists(names, min_size=1, max_size=4), max_size=8),
    pattern=st.lists(parts, min_size=1, max_size=4).map("/".join),
)
def test_patterns_mean_what_their_regular_expression_says(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[str]], pattern: str
) -> None:
    root = tmp_path_factory.mktemp("project")
    made = []
    for file in files:
        path = root.joinpath(*file)
        if not path.exists() and not any(parent.is_file() for parent in path.parents):
            make(root, "/".join(file))
            made.append("/".join(file))
    expression = as_expression(pattern)
    assert paths_of(gather(root, [pattern])) == sorted(path for path in made if expression.fullmatch(path))
