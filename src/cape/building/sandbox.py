"""The sandbox of a build: no network, no file of the machine, fixed names, places and times.

Owns the words with which `bubblewrap` is started, and the variables of a build. Without a sandbox the command
runs in a directory of its own, with the same variables; that is said, and kept with the result.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cape.building.errors import BuildFailed, SandboxMissing

SOURCE, HOME, OUT = Path("/build/source"), Path("/build/home"), Path("/build/out")
ENVIRONMENT = Path("/build/environment")
"""Where a build finds its environment, wherever the store is: a result must not know that."""

_COMPILERS = (
    "usr/lib*/gcc/*/*/specs",
    "usr/lib*/gcc/*/*/collect-ld",
    "usr/lib/llvm-*/bin/*.cfg",
    "usr/lib/cape/linkers/*",
)
"""Files that tell compilers where the environment's libraries are: in a sandbox these are at `/usr`."""
_LAST_LINES = 25


@dataclass(frozen=True, kw_only=True, slots=True)
class Room:
    """The places of one build on this machine: sources, home and result, below one directory."""

    directory: Path

    @property
    def source(self) -> Path:
        return self.directory / "source"

    @property
    def home(self) -> Path:
        return self.directory / "home"

    @property
    def out(self) -> Path:
        return self.directory / "out"

    @property
    def compilers(self) -> Path:
        return self.directory / "compilers"

    def prepare(self) -> None:
        """Make the directories."""
        for path in (self.source, self.home, self.out, self.compilers):
            path.mkdir(parents=True)


def variables(inside: Mapping[str, str], *, time_s: int, places: tuple[Path, Path, Path]) -> dict[str, str]:
    """The variables of a build: those of the environment, then fixed ones."""
    source, home, out = places
    return {
        **inside,
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "PWD": str(source),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "SOURCE_DATE_EPOCH": str(time_s),
        "TMPDIR": "/tmp",
        "TZ": "UTC",
        "USER": "build",
        "out": str(out),
        "prefix": "/usr",
    }


def standing_clock(library: Path, time_s: int) -> dict[str, str]:
    """Variables by which `libfaketime` shows one time to all dynamic programs.

    Clocks that only measure (`CLOCK_MONOTONIC`) go on, so that what waits is not stuck, and the times of
    files are what they are: `make` compares them.
    """
    time = datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME": time,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }


class Sandbox:
    """A way to run builds cut off. `starter` are the words that start `bwrap` (its own environment's)."""

    def __init__(self, starter: Sequence[str], starter_variables: Mapping[str, str]) -> None:
        self._starter = tuple(starter)
        self._variables = dict(starter_variables)

    def check(self) -> None:
        """Raise `SandboxMissing`, with the reason, where this machine does not allow one."""
        done = subprocess.run(
            [*self._starter, "--unshare-all", "--ro-bind", "/", "/", "true"],
            env=self._variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise SandboxMissing(
                f"this machine does not allow a sandbox: {said}",
                hint="allow user namespaces, or build with `--no-sandbox`: the result then says so",
            )

    def words(
        self, room: Room, *, environment: Path, store: Path, told: Mapping[str, str], command: Sequence[str]
    ) -> list[str]:
        """The words that run a command in a room, inside an environment of a store."""
        root = environment / "root"
        told = {name: value.replace(str(environment), str(ENVIRONMENT)) for name, value in told.items()}
        binds = ["--ro-bind", str(root / "usr"), "/usr", "--ro-bind", str(store), str(store)]
        binds += ["--ro-bind", str(environment), str(ENVIRONMENT)]
        if (root / "etc").is_dir():
            binds += ["--ro-bind", str(root / "etc"), "/etc"]
        links = [
            word
            for name in ("bin", "lib", "lib64", "sbin")
            for word in ("--symlink", f"usr/{name}", f"/{name}")
        ]
        settings = [word for name, value in sorted(told.items()) for word in ("--setenv", name, value)]
        return [
            *self._starter,
            *("--unshare-all", "--die-with-parent", "--new-session", "--hostname", "build"),
            *("--uid", "1000", "--gid", "1000"),
            *("--tmpfs", "/tmp"),
            *binds,
            *links,
            *("--proc", "/proc", "--dev", "/dev"),
            *_movable_compilers(root, room.compilers),
            *("--bind", str(room.source), str(SOURCE)),
            *("--bind", str(room.home), str(HOME)),
            *("--bind", str(room.out), str(OUT)),
            *("--clearenv", *settings, "--chdir", str(SOURCE), "--"),
            *command,
        ]

    def run(self, words: Sequence[str], log: Path, *, what: str) -> None:
        """Run such words; what they say goes into `log`. Raises `BuildFailed`."""
        run_logged(words, self._variables, Path("/"), log, what=what)


def _movable_compilers(root: Path, into: Path) -> list[str]:
    """Words that put copies over the files of compilers, which name `/usr` instead of the environment."""
    words: list[str] = []
    for number, file in enumerate(sorted(one for pattern in _COMPILERS for one in root.glob(pattern))):
        copy = into / str(number)
        copy.write_bytes(file.read_bytes().replace(os.fsencode(root), b""))
        copy.chmod(file.stat().st_mode & 0o777)
        path = file.relative_to(root)
        for place in (Path("/") / path, ENVIRONMENT / "root" / path, file):
            words += ["--ro-bind", str(copy), str(place)]
    return words


def run_logged(
    words: Sequence[str], told: Mapping[str, str], directory: Path, log: Path, *, what: str
) -> None:
    """Run a command with its output in `log`. Raises `BuildFailed` with the last lines."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as stream:
        process = subprocess.Popen(
            list(words),
            cwd=directory,
            env=dict(told),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_set_umask,
        )
        try:
            code = process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
    if code:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:]
        said = "".join(f"\n    {line}" for line in lines)
        raise BuildFailed(
            f"{what} gave exit code {code}:{said}",
            where=str(log),
            hint=_hint(lines),
        )


def _set_umask() -> None:
    os.umask(0o022)


_NO_NETWORK = ("resolve", "Network is unreachable", "getaddrinfo", "Name or service not known", "ENOTFOUND")
_NO_FILE = ("No such file or directory", "ENOENT", "not found")


def _hint(lines: Sequence[str]) -> str:
    """What most probably went wrong."""
    text = "\n".join(lines)
    if any(word in text for word in _NO_NETWORK):
        return "a build has no network: what it needs belongs into `[packages]`, or into the project"
    if any(word in text for word in _NO_FILE):
        return "a build sees files that git tracks, and programs of `[packages]`: `git add` what it lacks"
    return "the log has all that it said"
