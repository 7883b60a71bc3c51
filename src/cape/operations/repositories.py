"""Trees of git repositories, brought into the store by the `git` program.

Owns finding the commit that a reference means, fetching it, and its tree in `checkouts/COMMIT/`. Git's
own settings say how it authenticates; it never asks anybody. No manifest is read here.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from cape.errors import InputError, SourceError, StateError
from cape.sources import reach
from cape.sources.tools import workplace
from cape.store import Store
from cape.store.files import sync_file_system
from cape.store.leases import leased

CHECKOUTS = "checkouts"
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
_CREDENTIALS = re.compile(r"://[^/@\s]*@")
_PATIENCE_S = 600
_NO_HOST = re.compile(
    r"[Cc]ould not resolve|Network is unreachable|No route to host|unable to look up", re.ASCII
)
_OWN = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE", "GIT_PREFIX")


class GitMissing(StateError):
    """An include comes from git, and this machine has no `git`."""

    slug = "include-needs-git"


class RepositoryUnreachable(SourceError):
    """A git repository cannot be reached, or does not let this user in."""

    slug = "repository-unreachable"


class UnknownReference(InputError):
    """A git repository has no branch, tag or commit of that name."""

    slug = "unknown-reference"


class CommitVanished(SourceError):
    """A locked commit is neither in the store nor in its repository any more."""

    slug = "commit-vanished"


def checkout_path(store: Store, commit: str) -> Path:
    """Where the tree of a commit is, or would be."""
    return store.root / CHECKOUTS / commit


def checked_out(store: Store, url: str, commit: str, *, name: str) -> Path:
    """The tree of a locked commit; only one that is not in the store is fetched.

    Raises `CommitVanished`, `RepositoryUnreachable`, `GitMissing`.
    """
    tree = checkout_path(store, commit)
    if tree.is_dir():
        return tree
    with _bare(store) as repository:
        if not _fetched(repository, url, commit):
            _fetch_all(repository, url, name)
        if not _has(repository, commit):
            raise CommitVanished(
                f"commit {commit[:12]} of include `{name}` is not in its repository any more",
                where=_shown(url),
                hint=f"take the commit there is now: `cape upgrade {name}`",
            )
        return _check_out(repository, store, commit)


def newest(store: Store, url: str, ref: str | None, *, name: str) -> tuple[str, Path]:
    """The commit that a reference means now, and its tree.

    Raises `UnknownReference`, `RepositoryUnreachable`, `GitMissing`.
    """
    with _bare(store) as repository:
        ended = _git(repository, ["fetch", "--quiet", "--depth=1", "--no-tags", url, ref or "HEAD"])
        wanted = "FETCH_HEAD"
        if ended.returncode != 0 and ref is not None and re.fullmatch("[0-9a-f]{7,64}", ref):
            _fetch_all(repository, url, name)
            wanted = ref
        elif ended.returncode != 0:
            raise _failure(ended.stderr, url, ref, name)
        found = _git(repository, ["rev-parse", "--verify", "--quiet", f"{wanted}^{{commit}}"]).stdout.strip()
        if not _COMMIT.match(found):
            raise _unknown(url, ref, name)
        tree = checkout_path(store, found)
        return found, tree if tree.is_dir() else _check_out(repository, store, found)


@contextlib.contextmanager
def _bare(store: Store) -> Iterator[Path]:
    """An empty repository beside the checkouts, gone at the end of the block, or when this process died."""
    store.check_writable()
    store.announce()
    with workplace(store.root / CHECKOUTS, ".fetching") as place:
        ended = _git(place, ["init", "--quiet", "--bare"])
        assert ended.returncode == 0, ended.stderr
        yield place


def _git(repository: Path, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in _OWN}
    environment |= {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "file" if reach.is_forbidden() else "https:http:ssh:git:file",
        "LC_ALL": "C",
    }
    environment.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=20")
    settings = ["core.hooksPath=/dev/null", "http.lowSpeedLimit=1", "http.lowSpeedTime=30", "gc.auto=0"]
    command = ["git", f"--git-dir={repository}", *(word for one in settings for word in ("-c", one)), *words]
    try:
        return subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", check=False, timeout=_PATIENCE_S,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise GitMissing(
            "an include comes from git, and there is no program `git`", hint="install git on this machine"
        ) from error
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"no answer within {_PATIENCE_S} s")


def _fetched(repository: Path, url: str, commit: str) -> bool:
    """Ask for one commit; some servers give only what a branch or tag points to."""
    return _git(repository, ["fetch", "--quiet", "--depth=1", "--no-tags", url, commit]).returncode == 0


def _fetch_all(repository: Path, url: str, name: str) -> None:
    specs = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]
    ended = _git(repository, ["fetch", "--quiet", url, *specs])
    if ended.returncode != 0:
        raise _failure(ended.stderr, url, None, name)


def _has(repository: Path, commit: str) -> bool:
    return _git(repository, ["cat-file", "-e", f"{commit}^{{commit}}"]).returncode == 0


def _check_out(repository: Path, store: Store, commit: str) -> Path:
    """Write the tree of a commit beside, and rename it."""
    final = checkout_path(store, commit)
    leases = store.root / "leases"
    leases.mkdir(parents=True, exist_ok=True)
    with leased(leases / f"checkout-{commit}"):
        if final.is_dir():
            return final
        beside = repository / "tree"
        beside.mkdir()
        ended = _git(
            repository, [f"--work-tree={beside}", "checkout", "--quiet", "--force", commit, "--", "."]
        )
        if ended.returncode != 0:
            raise RepositoryUnreachable(
                f"git cannot write the tree: {_said(ended.stderr)}", where=str(beside)
            )
        sync_file_system(beside)
        os.rename(beside, final)
    return final


def _failure(stderr: str, url: str, ref: str | None, name: str) -> SourceError | InputError:
    if "couldn't find remote ref" in stderr or "not our ref" in stderr:
        return _unknown(url, ref, name)
    if "not allowed" in stderr or (_NO_HOST.search(stderr) and not reach.has_way_out()):
        return reach.offline(f"include `{name}` is not in the store", where=_shown(url))
    return RepositoryUnreachable(
        f"the repository of include `{name}` cannot be read: {_said(stderr)}",
        where=_shown(url),
        hint="what `git ls-remote` says there is what cape is told",
    )


def _unknown(url: str, ref: str | None, name: str) -> UnknownReference:
    return UnknownReference(
        f"the repository of include `{name}` has no branch, tag or commit `{ref or 'HEAD'}`",
        where=_shown(url),
        hint="`ref` names one of them",
    )


def _said(stderr: str) -> str:
    """What git said, in one line without credentials."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    told = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[-1] if lines else "")
    return _shown(re.sub(r"\A(?:fatal|error): ", "", told)) or "it said nothing"


def _shown(text: str) -> str:
    return _CREDENTIALS.sub("://", text)
