"""Tables of services that serve a model: as a manifest would have them, by llama.cpp or by vLLM.

Both answer as OpenAI's interface does below `/v1`, say `/health`, and count at `/metrics`.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import Any

READY_TIMEOUT_S = 600
"""A large model from a slow disk takes minutes."""

_RESTARTS = 1
"""What could not be loaded twice is not loaded a third time; ten steady seconds make it forget."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Serving:
    """What is served: `path` is shell text that leads to the file or directory, below the environment.

    `port` is 0 for any free one, `limit_bytes` None for no limit. `context` is that of each of the
    `parallel` requests that are answered at once.
    """

    model: str
    path: str
    port: int
    context: int
    parallel: int
    embeds: bool = False
    accelerated: bool = False
    limit_bytes: int | None = None


def llama_table(serving: Serving, program: str) -> dict[str, Any]:
    """The service that llama.cpp serves in; `program` is where `llama.py` lies, for the shell.

    >>> table = llama_table(Serving(model="w", path='"$M"', port=0, context=512, parallel=1), "llama.py")
    >>> table["ready"]["http"]
    '/health'
    """
    settings = {
        "alias": serving.model,
        "context": serving.context,
        "parallel": serving.parallel,
        "embeds": serving.embeds,
        "accelerated": serving.accelerated,
        "limit_bytes": serving.limit_bytes or 0,
    }
    words = shlex.quote(json.dumps(settings))
    return _table(serving, f'exec "$CAPE_ENV/bin/python3" {program} {serving.path} {words}')


def vllm_table(serving: Serving) -> dict[str, Any]:
    """The service that vLLM serves in. Its memory is the GPU's, of which it takes a share itself."""
    words = (
        *("--served-model-name", shlex.quote(serving.model), "--host", "127.0.0.1"),
        *("--port", '"$PORT"', "--max-model-len", str(serving.context)),
        *("--max-num-seqs", str(serving.parallel)),
    )
    return _table(serving, f"exec vllm serve {serving.path} {' '.join(words)}")


def _table(serving: Serving, command: str) -> dict[str, Any]:
    return {
        "command": command,
        "ports": {"http": serving.port},
        "ready": {"http": "/health", "timeout": READY_TIMEOUT_S},
        "restart-limit": _RESTARTS,
    }
