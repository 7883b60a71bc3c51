"""Serve one GGUF file by llama.cpp, within a limit of memory: `python3 llama.py MODEL SETTINGS`.

Run by an environment's own Python, which has `xllamacpp`; nothing of cape is there, so nothing of it is
imported. `SETTINGS` is a JSON object: `alias`, `context` (of each slot), `parallel`, `embeds`,
`accelerated`, `limit_bytes` (0: none). The port is `$PORT`. Ends at SIGTERM and SIGINT.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

GROUPS = "/sys/fs/cgroup"
_PREFIX = "cape-model-"
_ALL_LAYERS = 999
_OWN_PAGES = "http://127.0.0.1"
"""Whose pages a browser lets ask: without this, any that somebody has open."""
_OWN_THREADS, _USUAL_STACK = 8, 8 << 20


def main(words: list[str]) -> int:
    """Serve until a signal. 1 where the model cannot be loaded, with llama.cpp's own words above."""
    model, settings = words[1], json.loads(words[2])
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    limited = limit_memory(int(settings["limit_bytes"]))
    _say(f"memory: {limited or 'no limit'}")
    try:
        server = _served(model, settings)
    except (RuntimeError, MemoryError) as error:
        _say(f"the model cannot be served: {error}")
        leave_group()
        return 1
    _say(f"serving at {server.listening_address}")
    signal.sigwait(signals)
    leave_group()
    os._exit(0)  # Its threads would be waited for, with whatever answers are being written.


def _served(model: str, settings: dict[str, Any]) -> Any:
    """The running server: as many slots as were asked for, and no memory that was not counted.

    A cache of earlier prompts would grow beyond what was counted; that llama.cpp shortens the context to fit
    is what `cape fit` has done already, and said.
    """
    import xllamacpp  # type: ignore[import-not-found, unused-ignore]

    params = xllamacpp.CommonParams()
    params.model.path = model
    params.model_alias = {settings["alias"]}
    params.hostnames, params.port = ["127.0.0.1"], int(os.environ["PORT"])
    params.cors_origins, params.cors_credentials = _OWN_PAGES, False
    params.n_parallel = int(settings["parallel"])
    params.n_ctx = int(settings["context"]) * params.n_parallel
    params.n_gpu_layers = _ALL_LAYERS if settings["accelerated"] else 0
    params.fit_params = False
    params.cache_ram_mib, params.endpoint_metrics = 0, True
    if settings["embeds"]:
        params.embedding = True
        params.n_batch = params.n_ubatch = int(settings["context"])
    return xllamacpp.Server(params)


# -- memory -------------------------------------------------------------------------------------------


def limit_memory(size_bytes: int) -> str | None:
    """Hold this process to so many bytes: by a control group of its own, else by a limit of its data.

    Says which; None where none was asked for. A control group also counts what of the file is in memory,
    which the kernel can drop; the limit of data counts only what the process has for itself.
    """
    if not size_bytes:
        return None
    _sweep_groups()
    for parent, file in _parents():
        if group := _joined(parent, file, size_bytes):
            return f"{size_bytes} bytes, by the control group {group}"
    return _limited_data(size_bytes)


def _limited_data(size_bytes: int) -> str:
    """The limit of a process's data; what the stacks of its threads reserve, and hardly use, comes on top."""
    import resource

    stack = resource.getrlimit(resource.RLIMIT_STACK)[0]
    stack = _USUAL_STACK if stack == resource.RLIM_INFINITY else stack
    size = size_bytes + stack * (_OWN_THREADS + 2 * (os.cpu_count() or 1))
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    size = size if hard == resource.RLIM_INFINITY else min(size, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (size, hard))
    return f"{size} bytes of data, by a limit of the process"


def leave_group() -> None:
    """Go back to the group above, and remove the own one; nothing where there is none."""
    for directory, _ in _own_groups():
        if os.path.basename(directory).startswith(_PREFIX):
            with contextlib.suppress(OSError):
                _write(os.path.join(os.path.dirname(directory), "cgroup.procs"), "0")
                os.rmdir(directory)


def _joined(parent: str, file: str, size_bytes: int) -> str | None:
    """A new group below `parent` with this process in it; None where the machine does not allow it."""
    group = os.path.join(parent, f"{_PREFIX}{os.getpid()}-{os.stat('/proc/self').st_ino}")
    try:
        os.mkdir(group)
    except OSError:
        return None
    try:
        if not os.path.exists(os.path.join(group, file)):
            raise OSError("memory is not counted there")
        _write(os.path.join(group, file), str(size_bytes))
        _write(os.path.join(group, "cgroup.procs"), "0")
    except OSError:
        with contextlib.suppress(OSError):
            os.rmdir(group)
        return None
    return group


def _parents() -> Iterator[tuple[str, str]]:
    """Groups that a new one may lie in: this process's own, and the one above it.

    In version 2 a group with processes gives nothing on to groups below it, so it is the one above that
    works where a user's session was given a part of the tree.
    """
    for directory, file in _own_groups():
        yield directory, file
        if file == "memory.max" and os.path.realpath(directory) != os.path.realpath(GROUPS):
            yield os.path.dirname(directory), file


def _own_groups() -> Iterator[tuple[str, str]]:
    """The directory of this process's group, and the file of its limit, in both versions of the tree."""
    with contextlib.suppress(OSError), open("/proc/self/cgroup", encoding="utf-8") as stream:
        for line in stream:
            number, controllers, path = line.rstrip("\n").split(":", 2)
            below = path.lstrip("/")
            if ".." in below.split("/"):
                continue
            if number == "0":
                yield os.path.join(GROUPS, below).rstrip("/"), "memory.max"
            elif "memory" in controllers.split(","):
                yield os.path.join(GROUPS, "memory", below).rstrip("/"), "memory.limit_in_bytes"


def _sweep_groups() -> None:
    """Remove groups that servers which were killed have left; those that are not empty stay."""
    for parent, _ in _parents():
        with contextlib.suppress(OSError):
            for name in os.listdir(parent):
                if name.startswith(_PREFIX):
                    with contextlib.suppress(OSError):
                        os.rmdir(os.path.join(parent, name))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _write(file: str, text: str) -> None:
    with open(file, "w", encoding="utf-8") as stream:
        stream.write(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
