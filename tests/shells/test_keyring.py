"""A secret from Python's `keyring`, with the library itself and a keyring that is a file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from cape.sources.pypi.tool import find_uv
from tests.shells.programs import launcher

MANIFEST = """\
schema = 1
[environment]
systems = ["x86_64-linux", "aarch64-linux"]
[secrets]
TOKEN = { keyring = "mail.example/me" }
[vars]
MAIL = "smtp://me:${TOKEN}@mail.example"
"""
TOKEN = "p4ss w0rd $é"


def cape_beside_keyring(place: Path) -> Path:
    """This `cape` in a virtual environment that has the library too."""
    python = place / "bin" / "python3"
    make = [sys.executable, "-m", "venv", "--without-pip", str(place)]
    install = [find_uv(), "pip", "install", "-q", "--python", str(python), "keyring", "keyrings.alt"]
    for words in (make, install):
        subprocess.run(words, check=True, capture_output=True, timeout=120)
    (site,) = (place / "lib").glob("python*/site-packages")
    source = Path(__file__).parents[2] / "src"
    (site / "cape.pth").write_text(f"{sysconfig.get_path('purelib')}\n{source}\n")
    return Path(shutil.copy(launcher(), place / "bin" / "cape"))


@pytest.mark.network
def test_keyring_is_read_by_whoever_enters_and_its_value_is_written_nowhere(tmp_path: Path) -> None:
    cape = cape_beside_keyring(tmp_path / "venv")
    project = tmp_path / "project"
    project.mkdir()
    (project / "cape.toml").write_text(MANIFEST)
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path / "home"), "CAPE_STORE": str(tmp_path / "store")}
    env["PYTHON_KEYRING_BACKEND"] = "keyrings.alt.file.PlaintextKeyring"

    def run(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, cwd=project, env={**env, **more}, capture_output=True, text=True, check=False, timeout=60
        )

    assert run(str(cape), "sync").returncode == 0
    show = ("run", "--", "printenv", "TOKEN", "MAIL")
    failed = run(str(cape), *show)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "the keyring has no such entry" in failed.stderr and "secret `TOKEN`" in failed.stderr
    store = "import sys, keyring; keyring.set_password('mail.example', 'me', sys.argv[1])"
    assert run(str(cape.parent / "python3"), "-c", store, TOKEN).returncode == 0
    wanted = f"{TOKEN}\nsmtp://me:{TOKEN}@mail.example\n"
    assert run(str(cape), *show).stdout == wanted
    text = 'eval "$("$0" activate --shell sh)"; printenv TOKEN MAIL; cape deactivate; echo "$TOKEN."'
    assert run("/bin/sh", "-c", text, str(cape)).stdout == wanted + ".\n"
    broken = run(str(cape), *show, PYTHON_KEYRING_BACKEND="keyring.backends.fail.Keyring")
    assert (broken.returncode, broken.stdout) == (1, "") and "cannot be read: NoKeyringError" in broken.stderr
    assert "secrets.TOKEN" in run(str(cape), "why", "MAIL").stdout
    for place in (project, tmp_path / "store"):
        for file in (file for file in place.rglob("*") if file.is_file()):
            assert os.fsencode(TOKEN) not in file.read_bytes(), file
