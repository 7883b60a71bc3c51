"""The shells that the tests need, and a multiplexer, made by cape itself where the machine has none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

MANIFEST = """\
schema = 1
[environment]
name = "shells"
systems = ["x86_64-linux", "aarch64-linux"]
debian = "trixie"
[packages]
zsh = "*"
fish = "*"
dash = "*"
busybox = "*"
tmux = "*"
"""
WORDS = {
    "bash": ("bash",),
    "zsh": ("zsh",),
    "fish": ("fish",),
    "dash": ("dash",),
    "busybox": ("busybox", "sh"),
    "tmux": ("tmux",),
}


def launcher() -> Path:
    """The installed `cape` of this Python."""
    return Path(sys.executable).parent / "cape"


def shell_programs(directory: Path) -> dict[str, list[str]]:
    """How each shell is called: the machine's own, else from a project that is made in `directory`."""
    found = {name: shutil.which(words[0]) for name, words in WORDS.items()}
    if not all(found.values()):
        made = _made(directory)
        found = {name: path or str(made / WORDS[name][0]) for name, path in found.items()}
    return {name: [str(found[name]), *WORDS[name][1:]] for name in WORDS}


def _made(directory: Path) -> Path:
    """The directory of programs of an environment with all shells."""
    project = directory / "shells"
    project.mkdir(exist_ok=True)
    if not (project / "cape.toml").exists():
        (project / "cape.toml").write_text(MANIFEST)
    store = os.environ.get("CAPE_TEST_SHELLS_STORE") or str(directory / "store")
    subprocess.run(
        [str(launcher()), "sync"], cwd=project, env={**os.environ, "CAPE_STORE": store}, check=True,
        capture_output=True, timeout=300,
    )  # fmt: skip
    return (project / ".cape/current/bin").resolve().parent / "root/usr/bin"
