"""A GGUF file that writes on this machine: llama.cpp's server in a process of its own, on loopback.

Owns starting and ending it. Its settings are those that give equal text for equal input: greedy, one slot, a
fixed number of threads, no prompt cache.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from cape.engines.errors import MissingEngine, MissingModelFile
from cape.engines.writers.chat import ChatWriter
from cape.engines.writers.errors import WriterDown
from cape.engines.writers.wire import Service
from cape.names import Digest

CONTEXT_TOKENS = 4096
LONGEST_S = 600.0
"""Seconds for which a reply is waited, however it comes."""
THREADS = 1
"""Threads of it: several wait for each other at each step, which on a busy machine takes many times as long
(24 tokens of a small model: 29 s with two threads on two busy cores, 4 s with one)."""
_SERVE = """
import os, signal, sys
try:
    import xllamacpp
except ImportError:
    os._exit(3)
said = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.n_parallel = sys.argv[1], int(sys.argv[2]), 1
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(sys.argv[3])
params.hostnames, params.port = ["127.0.0.1"], 0
server = xllamacpp.Server(params)
print(server.listening_address, file=said, flush=True)
sys.stdin.read()
os._exit(0)
"""
"""Serves until its standard input is closed: so it ends with whoever started it, however that ends."""


@contextlib.contextmanager
def local_writer(
    name: str,
    file: Path,
    *,
    context: int = CONTEXT_TOKENS,
    threads: int = THREADS,
    longest_s: float = LONGEST_S,
) -> Iterator[ChatWriter]:
    """A file that is loaded until the block ends, or this process does.

    Raises `MissingModelFile`, `MissingEngine`, `WriterDown`.
    """
    if not file.is_file():
        raise MissingModelFile(f"the writer `{name}` has no file", where=str(file))
    process = _started(file, context, threads)
    try:
        address = _address(process, name, file)
        yield ChatWriter(
            name=name,
            model=file.name,
            service=Service(
                name=name,
                base=f"{address}/v1",
                headers={},
                silence_s=longest_s,
                attempts=1,
                longest_s=longest_s,
            ),
            more={"seed": 0, "cache_prompt": False},
            known={
                "file": Digest.of_file(file).hex,
                "context": str(context),
                "threads": str(threads),
                "slots": "1",
            },
        )
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        if process.stdin:
            process.stdin.close()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()


def _started(file: Path, context: int, threads: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _SERVE, str(file), str(context), str(threads)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "LLAMA_ARG_MMAP": "1"},
    )


def _address(process: subprocess.Popen[bytes], name: str, file: Path) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().decode().strip()
    if line:
        return line
    if process.wait() == 3:
        raise MissingEngine(
            "a local writer needs the package `xllamacpp`", hint="install cape with it: `cape[writer]`"
        )
    raise WriterDown(
        f"the writer `{name}` cannot be loaded",
        where=str(file),
        hint="is the file whole, and is there memory for it? `cape fit` tells",
    )
