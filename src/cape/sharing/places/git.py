"""A place that is a branch of a git repository, with git's own credentials.

Owns a bare repository in the cache, where a commit is put together without a working tree, and the push that
others see whole or not at all. Artifacts bloat a repository: a bucket or a directory holds them better.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

from cape.sharing.errors import PlaceMissing, PlaceNotWritable, PlaceUnreachable
from cape.sharing.places.protocol import without_login
from cape.sources import reach
from cape.store.leases import leased

_TIMEOUT_S = 600
_ATTEMPTS = 5


class GitMissing(PlaceUnreachable):
    """A place in a git repository, where the program `git` is not on PATH."""

    slug = "place-needs-git"


class GitPlace:
    """See `Place`. `url` is as git reads it; one commit per push on `branch`."""

    def __init__(self, url: str, branch: str, *, cache: Path) -> None:
        self._url = url
        self._branch = branch
        self.shown = f"git+{without_login(url)}#{branch}"
        self._bare = cache / f"{hashlib.sha256(url.encode()).hexdigest()[:24]}.git"
        self._waiting: dict[str, bytes | Path] = {}
        self._tip: str | None = None
        self._fetched = False

    def read(self, path: str) -> bytes | None:
        """See `Place.read`."""
        tip = self._current()
        if tip is None:
            return None
        done = self._git("cat-file", "blob", f"{tip}:{path}", check=False)
        return done.stdout if done.returncode == 0 else None

    def fetch(self, path: str, into: Path) -> bool:
        """See `Place.fetch`."""
        data = self.read(path)
        if data is None:
            return False
        into.write_bytes(data)
        return True

    def has(self, path: str) -> bool:
        """See `Place.has`."""
        tip = self._current()
        return tip is not None and self._git("cat-file", "-e", f"{tip}:{path}", check=False).returncode == 0

    def names(self, directory: str) -> list[str] | None:
        """See `Place.names`."""
        tip = self._current()
        if tip is None:
            return []
        done = self._git("ls-tree", "-z", "--name-only", f"{tip}:{directory}", check=False)
        return sorted(name for name in done.stdout.decode().split("\0") if name)

    def put(self, path: str, data: bytes | Path) -> None:
        """See `Place.put`: it waits for the commit."""
        if not self.has(path):
            self._waiting[path] = data

    def commit(self, path: str, data: bytes) -> bool:
        """See `Place.commit`."""
        return self._push(path, data, only_new=True)

    def overwrite(self, path: str, data: bytes) -> None:
        """See `Place.overwrite`."""
        self._push(path, data, only_new=False)

    def _push(self, path: str, data: bytes, *, only_new: bool) -> bool:
        """Push a commit; a branch that moved meanwhile is taken up and tried on again."""
        for _ in range(_ATTEMPTS):
            self._fetched = False
            if only_new and self.has(path):
                return False
            self._current()
            made = self._commit({**self._waiting, path: data}, path)
            done = self._git("push", "--quiet", self._url, f"{made}:refs/heads/{self._branch}", check=False)
            if done.returncode == 0:
                self._waiting, self._fetched = {}, False
                return True
            said = done.stderr.decode(errors="replace")
            if not re.search(r"rejected|cannot lock ref|failed to update ref|non-fast-forward", said):
                raise PlaceNotWritable(
                    f"git could not push: {_last_line(said)}",
                    where=self.shown,
                    hint="can you push there with `git push`?",
                )
        raise PlaceUnreachable(
            "the branch moved at every attempt to push", where=self.shown, hint="push again"
        )

    def hint(self, path: str, data: bytes) -> None:
        """See `Place.hint`: whoever reads a branch can list it."""

    def _current(self) -> str | None:
        """The commit at the branch's tip; None for a branch that is not there yet."""
        if self._fetched:
            return self._tip
        with leased(self._repository().with_suffix(".lease")):
            done = self._git(
                "fetch", "--quiet", "--no-tags", self._url, f"refs/heads/{self._branch}", check=False
            )
            if done.returncode == 0:
                self._tip = self._git("rev-parse", "FETCH_HEAD").stdout.decode().strip()
            else:
                self._check_absent(done.stderr.decode(errors="replace"))
                self._tip = None
        self._fetched = True
        return self._tip

    def _check_absent(self, said: str) -> None:
        """Accept that the branch is not there; any other failure is raised."""
        if re.search(r"couldn't find remote ref|could not find remote ref", said):
            return
        if re.search(r"does not appear to be a git repository|[Rr]epository .*not found|not found", said):
            raise PlaceMissing(
                "there is no git repository", where=self.shown, hint="make one: `git init --bare DIR`"
            )
        raise PlaceUnreachable(f"git could not fetch: {_last_line(said)}", where=self.shown)

    def _commit(self, files: dict[str, bytes | Path], path: str) -> str:
        """A commit with the files over those of the tip, in the bare repository."""
        index = self._bare / f"index-{os.getpid()}"
        index.unlink(missing_ok=True)
        try:
            if self._tip is not None:
                self._git("read-tree", self._tip, index=index)
            lines = "".join(f"100644 {self._blob(data)}\t{name}\n" for name, data in sorted(files.items()))
            self._git("update-index", "--index-info", index=index, data=lines.encode())
            tree = self._git("write-tree", index=index).stdout.decode().strip()
        finally:
            index.unlink(missing_ok=True)
        parents = ["-p", self._tip] if self._tip else []
        return self._git("commit-tree", tree, *parents, "-m", f"cape: {path}").stdout.decode().strip()

    def _blob(self, data: bytes | Path) -> str:
        if isinstance(data, Path):
            return self._git("hash-object", "-w", "--no-filters", str(data)).stdout.decode().strip()
        return self._git("hash-object", "-w", "--stdin", data=data).stdout.decode().strip()

    def _repository(self) -> Path:
        if not (self._bare / "HEAD").exists():
            self._bare.parent.mkdir(parents=True, exist_ok=True)
            self._run(["git", "init", "--quiet", "--bare", str(self._bare)])
        return self._bare

    def _git(
        self, *words: str, check: bool = True, index: Path | None = None, data: bytes | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        variables = {"GIT_INDEX_FILE": str(index)} if index else {}
        command = ["git", "--git-dir", str(self._repository()), *words]
        done = self._run(command, variables=variables, data=data)
        if check and done.returncode:
            said = done.stderr.decode(errors="replace")
            if reach.is_forbidden() and "not allowed" in said:
                raise PlaceUnreachable(
                    "the place is on another machine, and no network may be used", where=self.shown
                )
            raise PlaceUnreachable(f"`git {words[0]}` failed: {_last_line(said)}", where=self.shown)
        return done

    def _run(
        self, command: list[str], *, variables: dict[str, str] | None = None, data: bytes | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        if shutil.which("git") is None:
            raise GitMissing(
                "a git place needs the program `git`",
                where=self.shown,
                hint="`cape run --with git`, or install it",
            )
        own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_DIR")}
        identity = {
            "GIT_AUTHOR_NAME": "cape",
            "GIT_AUTHOR_EMAIL": "cape@localhost",
            "GIT_COMMITTER_NAME": "cape",
            "GIT_COMMITTER_EMAIL": "cape@localhost",
        }
        limits = {"GIT_ALLOW_PROTOCOL": "file"} if reach.is_forbidden() else {}
        told = {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **limits}
        everything = {**own, **identity, **told, **(variables or {})}
        try:
            return subprocess.run(
                command,
                input=data or b"",
                capture_output=True,
                check=False,
                env=everything,
                timeout=_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            raise PlaceUnreachable(f"git did not end within {_TIMEOUT_S} s", where=self.shown) from None


def _last_line(said: str) -> str:
    """The line of git's that says most, without what a url may hold."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    told = next((line for line in lines if line.startswith(("fatal:", "error:", "remote:"))), "")
    return without_login(told or (lines[-1] if lines else "no word"))
