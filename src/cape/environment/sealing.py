"""Sealing: scripts that a shell can use without asking Python, and the stamps that tell when it may not.

Owns the files of a generation that are derived from its manifest: `run.sh`, `activate.bash` and its like,
`activation.json`, and `NAME.stamp`. A stamp carries the time of the file that it stands for; a file that
is newer *or* older may be another.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path

from cape.environment.activation import Activation, activation_of, recorded
from cape.environment.shells import render_run, render_shells
from cape.environment.shells.hooks import write_start
from cape.environment.variables import files_of
from cape.names import write_atomically

STAMPED = ("cape.toml", "cape.lock")
RACY = "racy.stamp"
_RACY_NS = 2_000_000_000


ATTACHED = "environments"
"""The directory of a generation that holds its other environments, by name."""


def seal_scripts(
    project: Path,
    directory: Path,
    final: Path,
    environment: Path,
    *,
    name: str | None = None,
    gpu: str | None = None,
) -> None:
    """Write the scripts of the generation in `directory`, which will be (or is) at `final`.

    With `name`, those of that environment of it, in a directory of its own. `gpu` is the word of `CAPE_GPU`
    that the environment is known to answer. Files that hold the right text already are left alone. Raises
    `InputError` for a manifest that cannot be activated.
    """
    activation = read_activation(project, directory, environment, name=name)
    absent = _keep_variables(project, directory)
    stamps = [(file, final / stamp) for file, _, stamp in _stamped_files(project, directory)]
    below = Path(ATTACHED, name) if name else Path()
    scripts, word = final / below, _word(directory, gpu)
    texts = {
        "activation.json": json.dumps(recorded(activation), indent=1) + "\n",
        **render_shells(activation, scripts),
        "run.sh": render_run(activation, final, stamps, scripts=scripts, absent=absent, gpu=word),
    }
    write_start(activation)
    for file, text in texts.items():
        (directory / below / file).parent.mkdir(mode=0o700, exist_ok=True)
        _write(directory / below / file, text)
    _link(directory / below / "bin", environment / "bin")


def _word(directory: Path, gpu: str | None) -> str | None:
    """What scripts compare `CAPE_GPU` with; None where the lock has no variants."""
    if b'"row":"variants"' not in (directory / "cape.lock").read_bytes():
        return None
    return gpu or ""


def read_activation(
    project: Path, directory: Path, environment: Path, *, name: str | None = None
) -> Activation:
    """The activation that the manifest kept in a generation's directory says."""
    from cape.environment.kept import kept_manifest

    return activation_of(kept_manifest(project, directory, environment=name), environment, project)


def _stamped_files(project: Path, directory: Path) -> list[tuple[Path, Path, str]]:
    """Each file that may change, the copy that the generation keeps, and the name of its stamp."""
    from cape.environment.kept import live_files

    files = [(project / name, directory / name, f"{name}.stamp") for name in STAMPED]
    files += [(file, kept, f"{kept.name}.stamp") for file, kept in live_files(project, directory)]
    return files + [
        (file, directory / kept, f"{kept}.stamp")
        for file, kept in _variable_files(project, directory)
        if file.exists()
    ]


def _variable_files(project: Path, directory: Path) -> list[tuple[Path, str]]:
    """Files of variables, there or not, and the names of the copies that the shell compares them with."""
    from cape.environment.kept import kept_manifest

    if b"env-files" not in (directory / "cape.toml").read_bytes():
        return []
    files = files_of(kept_manifest(project, directory), project)
    return [(file, f"variables-{number}") for number, file in enumerate(files)]


def _keep_variables(project: Path, directory: Path) -> list[Path]:
    """Copy the files of variables as they are now; those that are not there."""
    absent = []
    for file, kept in _variable_files(project, directory):
        try:
            data = file.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            absent.append(file)
        else:
            write_atomically(directory / kept, data, mode=0o600)
    return absent


def _link(link: Path, target: Path) -> None:
    """A path to the programs that `current` leads to whichever generation it is."""
    with contextlib.suppress(OSError):
        if os.readlink(link) == str(target):
            return
    temporary = link.with_name(f".bin.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    os.symlink(target, temporary)
    os.replace(temporary, link)


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
    files = _stamped_files(project, directory)
    times = [_stamped(file, kept, directory / stamp) for file, kept, stamp in files]
    _mark_racy(directory / RACY, [time_ns for time_ns in times if time_ns is not None])


def _stamped(file: Path, kept: Path, stamp: Path) -> int | None:
    """The time that the stamp now carries; None when the file is another and the stamp is gone."""
    try:
        time_ns = file.stat().st_mtime_ns
        same = file.read_bytes() == kept.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        same = False
    if not same:
        stamp.unlink(missing_ok=True)
        return None
    _stamp(stamp, time_ns)
    return time_ns


def _stamp(stamp: Path, time_ns: int) -> None:
    temporary = stamp.with_name(f".{stamp.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.close(descriptor)
    os.utime(temporary, ns=(time_ns, time_ns))
    os.replace(temporary, stamp)


def _mark_racy(marker: Path, times_ns: list[int]) -> None:
    """Say whether a file was changed just now, when a second change may carry the same second.

    Some shells and file systems know whole seconds only. The marker's time differs from the first
    stamp's by less than a second: a shell that cannot tell them apart reads the manifest itself, until a
    later sealing takes the marker away. The lock is not read: people do not edit it.
    """
    now_ns = time.time_ns()
    if not any(abs(now_ns - time_ns) < _RACY_NS for time_ns in times_ns):
        marker.unlink(missing_ok=True)
        return
    seconds, fraction = divmod(times_ns[0], 1_000_000_000)
    _stamp(marker, seconds * 1_000_000_000 + (fraction + 500_000_000) % 1_000_000_000)
