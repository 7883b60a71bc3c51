"""The acceptance cases and how one is run; `python -m tests.acceptance` runs them and prints a table.

A case passes when its script exits 0 within 60 seconds: on the host as it is, and *strict*, in a file
system that has no `/usr`, `/lib*` and `/bin` of the host but a static `/bin/sh`. Both run as an ordinary
user; strict needs root (or the right to make user namespaces) for the chroot. As root they may run too:
then hashing the store again must find every object as it was made.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cape.names import write_atomically

HERE = Path(__file__).parent
TOP = HERE.parent.parent
CAPE = TOP / ".venv" / "bin" / "cape"
USER = 1000
TIMEOUT_S = 60
REFUSE_ROOT = ("postgresql", "mariadb", "php-fpm", "apache-modules", "perl-doc")
"""Cases whose programs do not let root run them, or become another user who may read nothing here."""


@dataclass(frozen=True, slots=True)
class Case:
    """A set of packages and a script that uses them."""

    name: str
    packages: tuple[str, ...]
    script: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a case: its exit code (124 for a time-out) and the end of what it printed."""

    code: int
    output: str

    @property
    def passed(self) -> bool:
        return self.code == 0


FILES = (HERE / "system_packages.toml", HERE / "more_packages.toml", HERE / "compilers.toml")
FAILED_BEFORE = HERE / "failed_before.txt"
FIFTHS = 5


def load_cases(*paths: Path) -> list[Case]:
    """The cases of files, in their order."""
    tables = (tomllib.loads(path.read_text(encoding="utf-8")) for path in paths or FILES)
    return [
        Case(row["name"], tuple(row["packages"]), row["run"]) for table in tables for row in table["case"]
    ]


def fifth(cases: Sequence[Case], turn: int) -> list[Case]:
    """Every fifth case, another fifth for each of five turns in a row: together they are all."""
    return [case for at, case in enumerate(cases) if at % FIFTHS == turn % FIFTHS]


def failed_before() -> list[str]:
    """The names of cases that failed once: a sample has them always."""
    lines = FAILED_BEFORE.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def remember(names: Iterable[str]) -> None:
    """Add cases that failed to those that every sample has; the file's head stays."""
    lines = FAILED_BEFORE.read_text(encoding="utf-8").splitlines()
    head = [line for line in lines if line.startswith("#")]
    known = sorted({*failed_before(), *names})
    write_atomically(FAILED_BEFORE, "\n".join([*head, *known, ""]).encode())


def turn_of(commit: str) -> int:
    """A commit's turn: its number in the history, or of a history that is not here in full, its digest."""
    if _git("rev-parse", "--is-shallow-repository") == "false":
        return int(_git("rev-list", "--count", commit) or 0)
    return int(_git("rev-parse", commit)[:8] or "0", 16)


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=TOP, capture_output=True, text=True, check=False)
    return done.stdout.strip()


class Laboratory:
    """A directory that holds the store, a project per case, and the jail."""

    def __init__(self, directory: Path, *, as_root: bool = False) -> None:
        self.directory = directory
        self.user = 0 if as_root else USER
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o755)
        self.store = directory / "store"

    def project(self, case: Case) -> Path:
        return self.directory / "projects" / case.name

    def variables(self) -> dict[str, str]:
        """What `cape` is started with."""
        return {**os.environ, "CAPE_STORE": str(self.store)}

    def environment(self, case: Case) -> Path:
        """The current environment of a case that was prepared."""
        record = self.project(case) / ".cape" / "current" / "generation.json"
        return Path(json.loads(record.read_text())["environment"])

    def verify(self) -> tuple[bool, list[str]]:
        """Hash the store again: whether all is as it was made, and what was found, a sentence each."""
        done = subprocess.run(
            [CAPE, "doctor", "--verify", "--json"],
            cwd=self.directory,
            env=self.variables(),
            capture_output=True,
            text=True,
            check=False,
        )
        checks = json.loads(done.stdout)["checks"]
        about = [check for check in checks if check["name"] in ("object", "objects")]
        if not about:
            return False, [f"the store was not hashed: {done.stdout}{done.stderr}"]
        return all(check["ok"] for check in about), [check["found"] for check in about]

    def prepare(self, case: Case) -> Outcome:
        """Lock and sync the case's environment."""
        project = self._written(case)
        outcome = self._cape("sync", project)
        self._open_to_user(project)
        return outcome

    def _written(self, case: Case) -> Path:
        from cape.names import System

        project = self.project(case)
        project.mkdir(parents=True, exist_ok=True)
        name = case.packages[0].rstrip("+")
        lines = ["schema = 1", "[environment]", f'name = "{name}"', f'systems = ["{System.current()}"]']
        lines += ['debian = "trixie"', "[packages]", *(f'"{package}" = "*"' for package in case.packages)]
        text = "\n".join(lines) + "\n"
        manifest = project / "cape.toml"
        if not manifest.exists() or manifest.read_text() != text:
            manifest.write_text(text)
        return project

    def _cape(self, command: str, project: Path) -> Outcome:
        done = subprocess.run(
            [CAPE, command],
            cwd=project,
            env=self.variables(),
            capture_output=True,
            text=True,
            check=False,
        )
        return Outcome(done.returncode, done.stdout + done.stderr)

    def _open_to_user(self, project: Path) -> None:
        """Let the ordinary user that runs the case use the project that root made."""
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", f"{self.user}:{self.user}", project], check=True)

    def workplace(self, case: Case, kind: str) -> Path:
        """`$W`: an empty directory with `in.txt`."""
        work = self.directory / "work" / f"{case.name}-{kind}"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        (work / "in.txt").write_text("hello\n")
        if os.geteuid() == 0:
            os.chown(work, self.user, self.user)
            os.chown(work / "in.txt", self.user, self.user)
        return work

    def run_on_host(self, case: Case) -> Outcome:
        """The case's script inside its environment, on this machine as it is."""
        work = self.workplace(case, "host")
        command = [str(CAPE), "run", "-C", str(self.project(case)), "--", "sh", "-c", case.script]
        variables = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}
        return run_script(command, work, variables, user=self.user)

    def run_strict(self, case: Case) -> Outcome:
        """The same in a file system without the host's programs and libraries."""
        work = self.workplace(case, "strict")
        jail = self._jail()
        inner = [str(CAPE), "run", "-C", str(self.project(case)), "--pure", "--", "sh", "-c", case.script]
        mounts = [self.directory, CAPE.parent]
        script = ["set -e"]
        for path in mounts:
            script.append(f"mkdir -p '{jail}{path}'; mount --bind '{path}' '{jail}{path}'")
        script += [
            f"mount -t proc proc '{jail}/proc'; mount --rbind /dev '{jail}/dev'",
            f"mount -t tmpfs tmpfs '{jail}/tmp'; chmod 1777 '{jail}/tmp'" if not _below_tmp(mounts) else ":",
            f"exec chroot --userspec={self.user}:{self.user} '{jail}' /bin/sh '{CAPE}' \"$@\"",
        ]
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", "; ".join(script), "sh"]
        return run_script([*command, *inner[1:]], work, {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})

    def _jail(self) -> Path:
        """A file system with a shell, and the users that every machine has."""
        jail = self.directory / "jail"
        for name in ("bin", "proc", "dev", "tmp", "etc"):
            (jail / name).mkdir(parents=True, exist_ok=True)
        (jail / "tmp").chmod(0o1777)
        (jail / "etc" / "passwd").write_text(
            f"root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\nme:x:{USER}:{USER}::/:/bin/sh\n"
        )
        (jail / "etc" / "group").write_text(f"root:x:0:\nnogroup:x:65534:\nme:x:{USER}:\n")
        if not (jail / "bin" / "sh").exists():
            shutil.copy2(self._busybox(), jail / "bin" / "sh")
        return jail

    def _busybox(self) -> Path:
        """A static busybox, from Debian's package of that name, through cape."""
        case = Case("busybox", ("busybox-static",), "")
        outcome = self.prepare(case)
        if not outcome.passed:
            raise RuntimeError(f"no static busybox: {outcome.output}")
        return self.environment(case) / "root" / "usr" / "bin" / "busybox"


def _below_tmp(paths: list[Path]) -> bool:
    return any(str(path).startswith("/tmp/") for path in paths)


def run_script(
    command: list[str], work: Path, variables: dict[str, str], *, user: int | None = None
) -> Outcome:
    """Run a command in `$W`, as another user if this one is root; what it printed last is kept."""
    as_user = {"user": user, "group": user, "extra_groups": []} if user and os.geteuid() == 0 else {}
    variables = {"W": str(work), "HOME": str(work), "TERM": "dumb", "LANG": "C.UTF-8", **variables}
    process = subprocess.Popen(
        command,
        env=variables,
        cwd=work,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        **as_user,  # type: ignore[call-overload]
    )
    try:
        stdout, stderr = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        stdout, stderr = process.communicate()
        return Outcome(124, f"timed out after {TIMEOUT_S} s\n{stdout.decode(errors='replace')[-2000:]}")
    text = (stdout + stderr).decode(errors="replace")
    return Outcome(process.returncode, text[-2000:])
