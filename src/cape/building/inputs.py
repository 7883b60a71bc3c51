"""What goes into a build: the files of a project that git tracks, as they are now.

Owns finding, digesting and copying them. What git does not track never gets into a build, so a result
never depends on what only one machine has.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cape.building.errors import NotTracked
from cape.names import Digest

OWN = (".cape", ".git")


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Input:
    """One file: its path in the project, whether it can be run, the target of a link, else its digest."""

    path: str
    runnable: bool = False
    link: str = ""
    digest: str = ""


def tracked_inputs(project: Path, patterns: Sequence[str] = ()) -> list[Input]:
    """The tracked files that a pattern matches, sorted; all without patterns.

    Without git, all files but cape's own are tracked. Raises `NotTracked` for a pattern that matches no
    tracked file.
    """
    paths = _tracked(project)
    chosen = set(paths) if not patterns else set()
    for pattern in patterns:
        found = [path for path in paths if _matches(path, pattern)]
        if not found:
            raise _nothing(project, pattern)
        chosen.update(found)
    return sorted(_input(project, path) for path in chosen if os.path.lexists(project / path))


def digest_of(inputs: Iterable[Input]) -> Digest:
    """The digest of all inputs."""
    return Digest.of_lines(f"{one.path}\0{one.runnable}\0{one.link}\0{one.digest}" for one in inputs)


def copy_inputs(project: Path, inputs: Iterable[Input], into: Path, *, time_s: int) -> None:
    """Copy the files below `into`, with modes 0644 or 0755 and one time for all."""
    for one in inputs:
        target = into / one.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if one.link:
            target.symlink_to(one.link)
        else:
            shutil.copyfile(project / one.path, target)
            target.chmod(0o755 if one.runnable else 0o644)
        os.utime(target, (time_s, time_s), follow_symlinks=False)
    for directory, _, _ in os.walk(into):
        os.chmod(directory, 0o755)
        os.utime(directory, (time_s, time_s))


def changed_files(project: Path) -> list[str] | None:
    """Files that differ from what git has committed, untracked ones too; None where there is no git."""
    done = _git(project, "status", "--porcelain", "-z", "--untracked-files=all")
    if done is None:
        return None
    entries = [entry[3:] for entry in done.split("\0") if entry]
    return sorted(entry for entry in entries if entry.partition("/")[0] not in OWN)


def time_of(project: Path) -> int:
    """The time that a build is told it is: that of git's last commit; 1 January 1980 where there is none."""
    told = _git(project, "log", "-1", "--format=%ct")
    return int(told) if told and told.strip().isdigit() else 315532800


def commit_of(project: Path) -> str | None:
    """The commit that is checked out; None where there is none."""
    told = _git(project, "rev-parse", "HEAD")
    return told.strip() if told and told.strip() else None


def _tracked(project: Path) -> list[str]:
    told = _git(project, "ls-files", "-z", "--cached")
    if told is not None:
        return sorted(path for path in told.split("\0") if path and path.partition("/")[0] not in OWN)
    found = []
    for directory, names, files in os.walk(project):
        names[:] = [name for name in names if not (directory == str(project) and name in OWN)]
        found += [os.path.relpath(os.path.join(directory, name), project) for name in files]
    return sorted(found)


def _git(project: Path, *words: str) -> str | None:
    """What git says of the project; None without git, or outside of a repository."""
    try:
        done = subprocess.run(
            ["git", "-C", str(project), *words], capture_output=True, text=True, check=False, timeout=60
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _matches(path: str, pattern: str) -> bool:
    import fnmatch

    plain = pattern.removeprefix("./").rstrip("/")
    return (
        path == plain or path.startswith(plain + "/") or fnmatch.fnmatchcase(path, plain.replace("**/", "*"))
    )


def _nothing(project: Path, pattern: str) -> NotTracked:
    exists = any(True for _ in project.glob(pattern))
    why = "is there, and git does not track it" if exists else "matches no file that git tracks"
    hint = f"`git add {pattern}`" if exists else "mend the pattern"
    return NotTracked(f"the build's input `{pattern}` {why}", where=str(project), hint=hint)


def _input(project: Path, path: str) -> Input:
    file = project / path
    status = file.lstat()
    if stat.S_ISLNK(status.st_mode):
        return Input(path=path, link=os.readlink(file))
    if stat.S_ISDIR(status.st_mode):
        return Input(path=path, link="")
    return Input(path=path, runnable=bool(status.st_mode & 0o100), digest=Digest.of_file(file).hex)
