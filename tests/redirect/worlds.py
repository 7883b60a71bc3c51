"""Two worlds that must look the same to a program.

In the *redirected* one a fake host has `/usr`, `/etc`, `/var` and `/run`, the environment lies in its
store, and the library stands before libc. In the *merged* one the environment's files really lie in
`/usr` and so on, over the host's, with `/usr` and the store mounted read-only: what the kernel answers
there is right.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = "/w/store/environments/e1/root"
PROJECT = "/w/project"
NONE = b"-"

TREE = {
    "usr/bin/tool": "tool of the tree",
    "usr/bin/both": "both, of the tree",
    "usr/share/app/file": "file of the tree",
    "usr/share/app/dir/one": "one",
    "usr/share/app/dir/two": "second",
    "usr/share/app/dir/deep/er/leaf": "leaf",
    "usr/share/app/sp ace": "space",
    "usr/share/app/..dots": "dots",
    "usr/share/app/sta*r": "star",
    "usr/share/both/tree": "the tree's, beside the host's",
    "usr/lib/app/plugin.so": "plug-in",
    "usr/include/app.h": "header",
    "etc/app/conf": "configuration",
    "etc/app/more/inner": "inner",
    "etc/passwd": "not the machine's",
    "var/lib/app/data": "data of the tree",
    "var/lib/app/sub/x": "x of the tree",
}
TREE_LINKS = {
    "usr/share/app/link": "file",
    "usr/share/app/dlink": "dir",
    "usr/share/app/loop": "loop",
    "usr/share/app/dangling": "none",
    "usr/share/app/up": "../app/dir",
    "usr/bin/alias": "tool",
    "usr/share/app/chain": "dlink/deep/../one",
}
HOST = {
    "usr/bin/both": "both, of the host",
    "usr/bin/hosttool": "tool of the host",
    "usr/share/host/file": "file of the host",
    "usr/share/host/dir/a": "a of the host",
    "usr/share/both/host": "the host's, beside the tree's",
    "usr/local/share/h": "local",
    "usr/lib/modules/k.ko": "module of the machine's kernel",
    "usr/lib/os-release": "release",
    "etc/hostconf/conf": "configuration of the host",
    "etc/passwd": "users of the machine",
    "etc/hosts": "hosts of the machine!",
    "var/lib/host/data": "data of the host",
    "run/host/pid": "12",
}
HOST_LINKS = {"usr/share/host/link": "file", "usr/bin/hostalias": "hosttool"}
PRIVATE = {
    "usr/lib/hostplug/x.so": "plug-in of the host",
    "usr/include/host.h": "header of the host",
    "usr/lib/locale/hostloc": "locale of the host",
}
"""Files of the host that the library hides."""
MACHINE = ("etc/passwd", "etc/hosts")
BYTES_NAME = b"usr/share/app/b\xff\xfeytes"
LINKS_OF_THE_ROOT = {
    "bin": "usr/bin",
    "lib": "usr/lib",
    "sbin": "usr/sbin",
    "var/run": "/run",
    "var/lock": "/run/lock",
}


@dataclass(frozen=True)
class Call:
    name: str
    path: bytes | None = b""
    slot: int = -1
    other: bytes | None = b""
    number: int = 0


def fill(top: Path, files: dict[str, str], links: dict[str, str]) -> None:
    for name, text in files.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(0o555 if "/bin/" in name else 0o444 if name.startswith("usr/") else 0o644)
    for name, target in links.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)


@dataclass(frozen=True)
class World:
    top: Path
    redirected: bool
    jail: Path

    def furnish(self, libraries: Path, performer: Path, library: Path | None) -> None:
        """Make the world anew: what calls may change is as it was."""
        self._fill_places()
        (self.top / ROOT[1:] / "usr/lib").mkdir(parents=True, exist_ok=True)
        if library is not None:
            shutil.copy2(library, self.top / ROOT[1:] / "usr/lib/libcape-redirect.so")
        shutil.copytree(libraries, self.top / "w/libraries")
        shutil.copy2(performer, self.top / "w/performer")
        self._close_directories()
        fill(self.top / PROJECT[1:], {"own/file": "mine", "own/dir/x": "x of mine"}, {"own/link": "dir"})
        (self.top / PROJECT[1:] / "into").symlink_to(f"{ROOT}/usr/share/app")
        (self.top / PROJECT[1:] / ".cape/state").mkdir(parents=True)
        for name in ("proc", "dev"):
            (self.top / name).mkdir()

    def _fill_places(self) -> None:
        tree = self.top / ROOT[1:]
        if self.redirected:
            fill(self.top, PRIVATE, {})
        fill(self.top, HOST, HOST_LINKS)
        fill(tree, TREE, TREE_LINKS)
        if not self.redirected:
            fill(self.top, {name: text for name, text in TREE.items() if name not in MACHINE}, TREE_LINKS)
        for place in [tree] if self.redirected else [tree, self.top]:
            with open(os.fsencode(place) + b"/" + BYTES_NAME, "w") as file:
                file.write("bytes")
            os.chmod(file.name, 0o444)
        for directory in ("usr/sbin", "run/lock", "var/lib/misc"):
            (self.top / directory).mkdir(parents=True, exist_ok=True)
        for name, led_to in LINKS_OF_THE_ROOT.items():
            (self.top / name).symlink_to(led_to)

    def _close_directories(self) -> None:
        """Those of the environment can be written to by nobody, and wherever they are seen they look it."""
        tree = self.top / ROOT[1:]
        for directory, _, _ in os.walk(tree / "usr"):
            os.chmod(directory, 0o555)
            if not self.redirected and directory != str(tree / "usr/lib"):
                os.chmod(self.top / Path(directory).relative_to(tree), 0o555)
        if not self.redirected:
            os.chmod(self.top / "usr/lib", 0o555)

    def perform(self, calls: Sequence[Call], variables: dict[str, str]) -> list[str]:
        """What each call gave; shorter than the calls when the program broke, with its last words."""
        loader = next((self.top / "w/libraries").glob("ld-linux-*")).name
        words: list[str | Path] = [self.jail, self.top, "-", PROJECT, f"/w/libraries/{loader}"]
        words += ["--library-path", "/w/libraries", "/w/performer"]
        known = {"PATH": "/usr/bin", "HOME": PROJECT} | variables
        if self.redirected:
            known["JAIL_PRELOAD"] = f"{ROOT}/usr/lib/libcape-redirect.so"
            known["CAPE_STATE"] = f"{PROJECT}/.cape/state"
        else:
            known["JAIL_READ_ONLY"] = "/usr:/w/store"
        with subprocess.Popen(
            [str(word) for word in words],
            env=known,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            try:
                said, blamed = process.communicate(b"".join(map(_line, calls)), timeout=120)
            except subprocess.TimeoutExpired:
                process.kill()
                said, blamed = process.communicate()
        answers = said.decode().splitlines()
        if process.returncode:
            answers.append(f"broke {process.returncode}: {blamed.decode(errors='replace')[:6000]}")
        return answers


def _word(path: bytes | None) -> bytes:
    return NONE if path is None else path.hex().encode() or b"."


def _line(call: Call) -> bytes:
    number = b"%d" % call.number
    return (
        b" ".join([call.name.encode(), b"%d" % call.slot, _word(call.path), _word(call.other), number])
        + b"\n"
    )
