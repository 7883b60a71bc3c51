"""Sealing: scripts that a shell can use without asking Python, and the stamps that tell when it may not.

Owns the files of a generation that are derived from its manifest: `run.sh`, `activate.bash`, `bashrc`,
`activation.json`, and `NAME.stamp`. A stamp carries the time of the file that it stands for; a file that
is newer *or* older may be another.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from cape.environment.activation import Activation, activation_of, recorded
from cape.environment.shells import render_bash, render_bashrc, render_run
from cape.names import write_atomically

STAMPED = ("cape.toml", "cape.lock")
_RACY_S = 2.0


def seal_scripts(project: Path, directory: Path, final: Path, environment: Path) -> None:
    """Write the scripts of the generation in `directory`, which will be (or is) at `final`.

    Files that hold the right text already are left alone. Raises `InputError` for a manifest that cannot
    be activated.
    """
    activation = read_activation(project, directory, environment)
    stamps = [(project / name, final / f"{name}.stamp") for name in STAMPED]
    texts = {
        "activation.json": json.dumps(recorded(activation), indent=1) + "\n",
        "activate.bash": render_bash(activation),
        "bashrc": render_bashrc(final / "activate.bash"),
        "run.sh": render_run(activation, final, stamps),
    }
    for name, text in texts.items():
        _write(directory / name, text)


def read_activation(project: Path, directory: Path, environment: Path) -> Activation:
    """The activation that the manifest kept in a generation's directory says."""
    from cape.manifest import parse_manifest

    text = (directory / "cape.toml").read_text(encoding="utf-8")
    manifest = parse_manifest(text, path=project / "cape.toml")
    return activation_of(manifest, environment, project)


def _write(file: Path, text: str) -> None:
    data = os.fsencode(text)
    try:
        if file.read_bytes() == data:
            return
    except FileNotFoundError:
        pass
    write_atomically(file, data, mode=0o600)


def seal_stamps(project: Path, directory: Path) -> None:
    """Give each stamp its file's time, if the file holds what the generation does; else remove it."""
    for name in STAMPED:
        file, stamp = project / name, directory / f"{name}.stamp"
        try:
            before = file.stat()
            same = file.read_bytes() == (directory / name).read_bytes()
        except FileNotFoundError:
            same = False
        if not same:
            stamp.unlink(missing_ok=True)
            continue
        _stamp(stamp, _stamp_time(before.st_mtime_ns, stamp))


def _stamp(stamp: Path, time_ns: int) -> None:
    temporary = stamp.with_name(f".{stamp.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.close(descriptor)
    os.utime(temporary, ns=(time_ns, time_ns))
    os.replace(temporary, stamp)


def _stamp_time(file_ns: int, stamp: Path) -> int:
    """The file's time; a second less where a shell could miss an edit made within the same second.

    Some shells compare whole seconds. For a file that was changed just now such a shell must look
    closer once more, and the file is sealed with its true time then.
    """
    is_racy = abs(time.time() - file_ns / 1e9) < _RACY_S
    if is_racy and not _shell_tells_fractions(stamp.parent):
        return file_ns - 1_000_000_000
    return file_ns


def _shell_tells_fractions(directory: Path) -> bool:
    """Whether `/bin/sh` compares times more finely than seconds."""
    import subprocess

    older, newer = (directory / f".probe.{name}.{os.getpid()}" for name in ("older", "newer"))
    try:
        for file, time_ns in ((older, 10**18), (newer, 10**18 + 10**6)):
            _stamp(file, time_ns)
        test = ["/bin/sh", "-c", '[ "$1" -nt "$2" ]', "probe", str(newer), str(older)]
        return subprocess.run(test, check=False, stdin=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False
    finally:
        older.unlink(missing_ok=True)
        newer.unlink(missing_ok=True)
