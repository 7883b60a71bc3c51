"""The acceptance cases and how one is run; `python -m tests.acceptance` runs them and prints a table.

A case passes when its script exits 0 within 60 seconds: on the host as it is, and *strict*, in a file
system that has no `/usr`, `/lib*` and `/bin` of the host but a static `/bin/sh`. Both run as an ordinary
user; strict needs root (or the right to make user namespaces) for the chroot.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
TOP = HERE.parent.parent
CAPE = TOP / ".venv" / "bin" / "cape"
USER = 1000
TIMEOUT_S = 60


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


def load_cases(path: Path = HERE / "system_packages.toml") -> list[Case]:
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    return [Case(row["name"], tuple(row["packages"]), row["run"]) for row in table["case"]]


class Laboratory:
    """A directory that holds the store, a project per case, and the jail."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o755)
        self.store = directory / "store"

    def project(self, case: Case) -> Path:
        return self.directory / "projects" / case.name

    def prepare(self, case: Case) -> Outcome:
        """Lock and sync the case's environment."""
        project = self.project(case)
        project.mkdir(parents=True, exist_ok=True)
        name = case.packages[0].rstrip("+")
        lines = ["schema = 1", "[environment]", f'name = "{name}"', "systems = [SYSTEM]"]
        lines += ['debian = "trixie"', "[packages]", *(f'"{name}" = "*"' for name in case.packages)]
        from cape.names import System

        text = "\n".join(lines).replace("SYSTEM", f'"{System.current()}"') + "\n"
        manifest = project / "cape.toml"
        if not manifest.exists() or manifest.read_text() != text:
            manifest.write_text(text)
        done = subprocess.run(
            [CAPE, "sync"],
            cwd=project,
            env={**os.environ, "CAPE_STORE": str(self.store)},
            capture_output=True,
            text=True,
            check=False,
        )
        self._open_to_user(project)
        return Outcome(done.returncode, done.stdout + done.stderr)

    def _open_to_user(self, project: Path) -> None:
        """Let the ordinary user that runs the case use the project that root made."""
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", f"{USER}:{USER}", project], check=True)

    def workplace(self, case: Case, kind: str) -> Path:
        """`$W`: an empty directory with `in.txt`."""
        work = self.directory / "work" / f"{case.name}-{kind}"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        (work / "in.txt").write_text("hello\n")
        if os.geteuid() == 0:
            os.chown(work, USER, USER)
            os.chown(work / "in.txt", USER, USER)
        return work

    def run_on_host(self, case: Case) -> Outcome:
        """The case's script inside its environment, on this machine as it is."""
        work = self.workplace(case, "host")
        command = [str(CAPE), "run", "-C", str(self.project(case)), "--", "sh", "-c", case.script]
        return _run(command, work, {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"})

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
            f"exec chroot --userspec={USER}:{USER} '{jail}' /bin/sh '{CAPE}' \"$@\"",
        ]
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", "; ".join(script), "sh"]
        return _run([*command, *inner[1:]], work, {"PATH": "/nowhere"}, as_user=False)

    def _jail(self) -> Path:
        jail = self.directory / "jail"
        if not (jail / "bin" / "sh").exists():
            for name in ("bin", "proc", "dev", "tmp", "etc"):
                (jail / name).mkdir(parents=True, exist_ok=True)
            (jail / "tmp").chmod(0o1777)
            (jail / "etc" / "passwd").write_text(f"root:x:0:0::/:/bin/sh\nme:x:{USER}:{USER}::/:/bin/sh\n")
            (jail / "etc" / "group").write_text(f"root:x:0:\nme:x:{USER}:\n")
            shutil.copy2(self._busybox(), jail / "bin" / "sh")
        return jail

    def _busybox(self) -> Path:
        """A static busybox, from Debian's package of that name, through cape."""
        case = Case("busybox", ("busybox-static",), "")
        outcome = self.prepare(case)
        if not outcome.passed:
            raise RuntimeError(f"no static busybox: {outcome.output}")
        found = next((self.project(case) / ".cape" / "current").resolve().glob("environment"), None)
        candidates = [found] if found else []
        candidates += list((self.store / "environments").iterdir())
        for environment in candidates:
            program = environment.resolve() / "root" / "usr" / "bin" / "busybox"
            if program.exists():
                return program
        raise RuntimeError("the environment of busybox-static has no busybox")


def _below_tmp(paths: list[Path]) -> bool:
    return any(str(path).startswith("/tmp/") for path in paths)


def _run(command: list[str], work: Path, environment: dict[str, str], *, as_user: bool = True) -> Outcome:
    user = {"user": USER, "group": USER, "extra_groups": []} if as_user and os.geteuid() == 0 else {}
    environment = {"W": str(work), "HOME": str(work), "TERM": "dumb", "LANG": "C.UTF-8", **environment}
    path = environment["PATH"] if as_user else "/usr/sbin:/usr/bin:/sbin:/bin"
    try:
        done = subprocess.run(
            command,
            env={**environment, "PATH": path},
            cwd=work,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
            **user,  # type: ignore[call-overload]
        )
    except subprocess.TimeoutExpired as expired:
        return Outcome(
            124, f"timed out after {TIMEOUT_S} s\n{(expired.stdout or b'').decode(errors='replace')}"
        )
    text = (done.stdout + done.stderr).decode(errors="replace")
    return Outcome(done.returncode, text[-2000:])
