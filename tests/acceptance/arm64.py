"""`python -m tests.acceptance.arm64`: cases whose environments are made for arm64, on any machine.

`cape sync --system aarch64-linux` makes each environment in the store (so its programs are edited, and
their libraries checked, by a machine that cannot run them); then the case's script is run by this
machine's shell, with every program of the environment started through `qemu-aarch64`, which cape installs.
The kernel need not know how to start arm64 programs, so the cases are those whose programs start no others.
With `--teach-kernel` it is told, in a user namespace of the case's own (Linux 6.7), and cases that start
programs run too (`git`, `make`). Prints a table.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from cape.names import System
from tests.acceptance.__main__ import DEFAULT
from tests.acceptance.cases import CAPE, FILES, Case, Laboratory, Outcome, load_cases, run_script

CASES = (
    *("python", "perl", "curl", "ripgrep", "jq", "ruby", "php", "sqlite3", "openssl", "lua", "tcl", "gawk"),
    *("vim", "file", "zip", "nodejs", "imagemagick", "pandoc", "python-numpy-deb", "iconv-locale"),
)
"""All from the acceptance cases; more than the ten that must pass."""

WITH_CHILDREN = ("git", "make", "groff", "socat", "gpg", "openssh", "zsh", "man")
"""Those whose programs start others."""

TARGET = System.AARCH64_LINUX

_MAGIC = r"\x7fELF\x02\x01\x01" + r"\x00" * 9 + r"\x02\x00\xb7\x00"
_MASK = r"\xff" * 7 + r"\x00" + r"\xff" * 8 + r"\xfe\xff\xff\xff"
_TEACH = """
mount -t binfmt_misc none "$1" && printf '%s' "$2" > "$1/register" && shift 2 && exec "$@"
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """An environment for arm64, or why there is none."""

    path: Path | None
    notes: tuple[str, ...] = field(default=())
    why: str = ""


class Foreign:
    """Environments for another kind of machine in a laboratory, and the program that runs their programs."""

    def __init__(self, laboratory: Laboratory, *, teach_kernel: bool) -> None:
        self.laboratory = laboratory
        self.teach_kernel = teach_kernel
        self.emulator = self._emulator()

    def _emulator(self) -> Path:
        case = Case("qemu-user", ("qemu-user",), "")
        outcome = self.laboratory.prepare(case)
        if not outcome.passed:
            raise SystemExit(outcome.output)
        found = self.laboratory.environment(case) / "root/usr/bin" / f"qemu-{TARGET.machine}"
        assert found.exists(), found
        return found

    def make(self, case: Case) -> Made:
        """Lock the case's packages for arm64 and make the environment."""
        project = self.laboratory.directory / "arm64" / case.name
        project.mkdir(parents=True, exist_ok=True)
        lines = ["schema = 1", "[environment]", f'name = "{case.name}"', f'systems = ["{TARGET}"]']
        lines += ['debian = "trixie"', "[packages]", *(f'"{name}" = "*"' for name in case.packages)]
        (project / "cape.toml").write_text("\n".join(lines) + "\n")
        for words in (["lock"], ["sync", "--system", str(TARGET), "--json"]):
            done = subprocess.run(
                [CAPE, "-q", *words],
                cwd=project,
                env=self.laboratory.variables(),
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                return Made(path=None, why=done.stdout + done.stderr)
        told = json.loads(done.stdout)
        return Made(path=Path(told["path"]), notes=tuple(told["notes"]))

    def run(self, case: Case, environment: Path) -> Outcome:
        """The case's script, its programs emulated."""
        work = self.laboratory.workplace(case, "arm64")
        command = ["sh", "-c", case.script]
        programs = environment / "bin"
        if self.teach_kernel:
            command = [*self._in_a_namespace(), *command]
        else:
            programs = self._started_by_the_emulator(case, environment)
        variables = {
            "PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin",
            "CAPE_ENV": str(environment),
            "CAPE_ROOT": f"{environment}/root",
        }
        return run_script(command, work, variables, user=self.laboratory.user)

    def _in_a_namespace(self) -> list[str]:
        """The words before a command that is to run where the kernel starts arm64 programs."""
        place = self.laboratory.directory / "arm64" / "binfmt"
        place.mkdir(exist_ok=True)
        rule = f":{TARGET.machine}:M::{_MAGIC}:{_MASK}:{self.emulator}:F"
        spaces = ["unshare", "--user", "--map-root-user", "--mount"]
        return [*spaces, "sh", "-c", _TEACH, "sh", str(place), rule]

    def _started_by_the_emulator(self, case: Case, environment: Path) -> Path:
        """A directory that has, for each program on the environment's PATH, a script that emulates it."""
        directory = self.laboratory.directory / "arm64" / f"{case.name}-programs"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        for program in sorted((environment / "bin").iterdir()):
            command = [str(self.emulator), *_command(program, environment)]
            file = directory / program.name
            file.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
            file.chmod(0o755)
        return directory


def _command(program: Path, environment: Path) -> list[str]:
    """The words that start a program of the environment: a script's are its interpreter and itself."""
    with open(program, "rb") as stream:
        first = stream.readline(256)
    if not first.startswith(b"#!"):
        return ["-0", str(program), str(program)]
    interpreter, *option = first[2:].decode().split(maxsplit=1)
    return [interpreter, *option, str(program)]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", help="cases; a score of them when none is named")
    parser.add_argument("--where", default=DEFAULT, help="directory for store and projects")
    parser.add_argument("--teach-kernel", action="store_true", help="have the kernel start the emulator")
    arguments = parser.parse_args()
    foreign = Foreign(Laboratory(Path(arguments.where)), teach_kernel=arguments.teach_kernel)
    known = {case.name: case for file in FILES for case in load_cases(file)}
    failed = 0
    names = arguments.names or (*CASES, *(WITH_CHILDREN if arguments.teach_kernel else ()))
    for name in names:
        case, started = known[name], time.monotonic()
        made = foreign.make(case)
        seconds = time.monotonic() - started
        outcome = foreign.run(case, made.path) if made.path else Outcome(1, made.why)
        failed += not outcome.passed
        print(
            f"{name:<20} lock and make {seconds:6.1f} s  {'pass' if outcome.passed else 'FAIL'}", flush=True
        )
        for note in made.notes:
            print(f"    note: {note}")
        if not outcome.passed:
            print("".join(f"    {line}\n" for line in outcome.output.splitlines()[-6:]), end="")
    print(f"{len(names) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
