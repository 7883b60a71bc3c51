"""The demonstration of sharing: pushed by one user, pulled by another, promoted, and rolled back.

Everything lies below `.demo-share` beside the repository's README. Anna and Ben have settings, keys,
stores and directories of their own; each step is the real `cape` command. A step that does not do what it
should ends it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parent
TOP = EXAMPLE.parent.parent
DEMO = TOP / ".demo-share"
CAPE = TOP / ".venv" / "bin" / "cape"
FILES = ("cape.toml", "report.py", "check.py", "releases.json")


@dataclass(frozen=True)
class User:
    """One user: a directory for the project, and a store and settings of the user's own."""

    name: str
    project: Path
    store: Path

    def cape(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command in the project. Ends the demonstration when it gives another exit code."""
        variables = {
            **os.environ,
            "CAPE_STORE": str(self.store),
            "XDG_CONFIG_HOME": str(DEMO / f"settings-{self.name}"),
        }
        done = subprocess.run(
            [CAPE, *words], cwd=self.project, env=variables, capture_output=True, text=True, check=False
        )
        if done.returncode != code:
            print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
            sys.exit(f"demo-share: `cape {' '.join(words)}` of {self.name} gave exit code {done.returncode}")
        return done

    def digests(self) -> dict[str, str]:
        """Lock, identity and content: what must be equal on every machine."""
        told = json.loads(self.cape("list", "--json").stdout)
        return {name: told[name] for name in ("lock", "identity", "content")}


class Screen:
    """One line for each step, and how long it took."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def line(self, what: str, told: str = "") -> None:
        """Print a step that is done."""
        now = time.monotonic()
        print(f"{now - self._started:6.1f} s  {what}")
        for one in told.splitlines():
            print(f"            {one}")
        self._started = now


def main() -> None:
    shutil.rmtree(DEMO, ignore_errors=True)
    anna = User("anna", DEMO / "anna", DEMO / "stores" / "anna")
    ben = User("ben", DEMO / "ben", DEMO / "elsewhere" / "stores" / "ben")
    place = str(DEMO / "place")
    for user in (anna, ben):
        user.project.mkdir(parents=True)
    for name in FILES:
        shutil.copyfile(EXAMPLE / name, anna.project / name)
        if name != "cape.toml":
            shutil.copyfile(EXAMPLE / name, ben.project / name)
    screen = Screen()
    shared(anna, ben, place, screen)
    carried(ben, screen)
    released(anna, ben, screen)


def shared(anna: User, ben: User, place: str, screen: Screen) -> None:
    """Anna pushes with her key; Ben, with nothing but the place, gets the same."""
    key = anna.cape("key", "new", "anna").stdout.strip()
    anna.cape("sync")
    report = anna.cape("run", "--", "python3", "report.py").stdout
    screen.line("anna made a key, locked, synced and ran her report", report)
    anna.cape("push", place, "--with-artifacts", "-m", "the first")
    screen.line("anna pushed manifest, lock and all artifacts, signed")
    refused = ben.cape("fork", place, code=1).stderr.splitlines()[0]
    screen.line("ben, who does not know her key, was refused", refused[:110] + " ...")
    ben.cape("key", "trust", key)
    ben.cape("fork", place)
    if ben.digests() != anna.digests() or ben.cape("run", "--", "python3", "report.py").stdout != report:
        sys.exit("demo-share: ben has something else than anna")
    told = "\n".join(f"{name:8} {digest}" for name, digest in ben.digests().items())
    screen.line("ben trusted it and pulled into an empty store at another path: equal digests", told)


ALONE = """
mount -t proc none "$1/proc" && mount -t tmpfs none "$1/tmp" && cd / && exec /usr/sbin/chroot "$1" /it
"""


def carried(ben: User, screen: Screen) -> None:
    """Ben packs what he has into one file, which runs where there is nothing else: no shell, no library."""
    empty = DEMO / "empty"
    for name in ("proc", "tmp"):
        (empty / name).mkdir(parents=True)
    code = "import os, sys; print('inside', sys.version.split()[0], 'beside', *sorted(os.listdir('/')))"
    ben.cape("pack", "--static", "-o", str(empty / "it"), "--", "python3", "-c", code)
    words = ["unshare", "-rmpf", "sh", "-euc", ALONE, "sh", str(empty)]
    done = subprocess.run(words, env={}, capture_output=True, text=True, check=False)
    if done.returncode and done.stderr.startswith(("unshare:", "mount:")):
        told = f"(it was not started: this machine allows no file system of one's own: {done.stderr.strip()})"
    elif done.returncode or "inside 3.13" not in done.stdout:
        sys.exit(f"demo-share: the pack gave exit code {done.returncode}: {done.stderr}")
    else:
        told = done.stdout
    megabytes = (empty / "it").stat().st_size / 1e6
    screen.line(f"ben packed it into one file of {megabytes:.0f} MB, which ran where nothing else is", told)


def released(anna: User, ben: User, screen: Screen) -> None:
    """An upgrade goes to staging, is found bad at the gate of production, and is rolled back."""
    anna.cape("promote", "1", "staging")
    anna.cape("promote", "staging", "production", "-m", "release")
    ben.cape("pull", "--instance", "production")
    ben.cape("key", "new", "ben")
    anna.cape("key", "trust", ben.cape("key", "export").stdout.strip())
    ben.cape("instances", "report", "production")
    screen.line("production's gate held for generation 1; ben's host runs it", anna.cape("instances").stdout)
    manifest = anna.project / "cape.toml"
    manifest.write_text(manifest.read_text().replace('"==21.3"', '">=22"'))
    anna.cape("sync")
    anna.cape("push", "-m", "a newer packaging")
    anna.cape("promote", "2", "staging")
    drift = anna.cape("ci", "--check", "production", code=1).stdout
    screen.line("a newer packaging went to staging; `cape ci --check production` shows the drift", drift)
    refused = anna.cape("promote", "staging", "production", code=1).stderr
    told = [line.strip() for line in refused.splitlines() if "Error" in line or "Invalid" in line]
    screen.line("the gate found it bad, so production did not move", "\n".join(told[-1:]))
    anna.cape("instances", "rollback", "staging", "-m", "packaging 22 knows no 2004d")
    anna.cape("pull", "--generation", "1")
    if anna.digests() != ben.digests():
        sys.exit("demo-share: after the rollback anna and ben differ")
    screen.line("staging and anna are back at generation 1", anna.cape("instances").stdout)


if __name__ == "__main__":
    main()
