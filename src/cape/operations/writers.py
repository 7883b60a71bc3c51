"""Writers of a project, by name: their rows in the table, and opening one.

Joins the manifest's `[writers]` and `[models]`, this machine's settings and keys, and the engines. Which one
is asked is not decided here.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cape.errors import InputError
from cape.operations.project import Project, Workshop

if TYPE_CHECKING:
    from cape.answers.routing.writers import WriterRow
    from cape.answers.writing import Writer
    from cape.manifest import Manifest

_SECRET_S = 30.0
_REMOTE_WINDOW = 128_000
_REMOTE_S = 120.0
_MIDDLING = 0.5


class UnknownWriter(InputError):
    """Neither `[writers]` nor `[models]` has a writer of that name."""

    slug = "unknown-writer"


@contextlib.contextmanager
def open_named_writer(project: Project, name: str, workshop: Workshop) -> Iterator[Writer]:
    """The writer of that name, until the block ends.

    Raises `UnknownWriter`, `BadWriter`, `WriterRefused` without its key, and for a file of this machine what
    finding and loading it raises.
    """
    from cape.operations.including import project_manifest

    manifest = project_manifest(project)
    table = _table(manifest, name)
    if table["api"] != "local":
        yield _service(manifest, name, workshop)
        return
    from cape.engines.writers.local import CONTEXT_TOKENS, LONGEST_S, THREADS, local_writer

    with local_writer(
        name,
        _model_file(project, table["model"], workshop),
        context=table.get("window", CONTEXT_TOKENS),
        threads=table.get("threads", THREADS),
        longest_s=float(table.get("timeout", LONGEST_S)),
    ) as writer:
        yield writer


def writer_row(manifest: Manifest, name: str) -> WriterRow:
    """A writer's row of the table; what the manifest does not say is as its keys' meanings tell.

    Raises `UnknownWriter`.
    """
    from cape.answers.routing.writers import WriterRow
    from cape.engines.writers.local import CONTEXT_TOKENS, LONGEST_S

    table = _table(manifest, name)
    is_file = table["api"] == "local"
    speed = table.get("tokens-per-second")
    return WriterRow(
        name=name,
        input_price=float(table.get("input-price", 0)),
        output_price=float(table.get("output-price", 0)),
        window=table.get("window", CONTEXT_TOKENS if is_file else _REMOTE_WINDOW),
        strength=float(table.get("strength", _MIDDLING)),
        local=is_file or bool(table.get("local", False)),
        data=frozenset(table.get("data", ())),
        tokens_per_second=None if speed is None else float(speed),
        patience_s=float(table.get("timeout", LONGEST_S if is_file else _REMOTE_S)),
        priced=is_file or "input-price" in table,
    )


def writer_settings(manifest: Manifest, name: str) -> str:
    """All that the manifest says of a writer, as one line; of a key just its variable's name.

    Raises `UnknownWriter`.
    """
    import json

    table = _table(manifest, name)
    told = {key: list(value) if isinstance(value, tuple) else value for key, value in table.items()}
    return json.dumps({"name": name, **told}, sort_keys=True)


def _table(manifest: Manifest, name: str) -> Mapping[str, Any]:
    """A writer's table; of a model that `[writers]` does not name, that of a file of this machine."""
    if name in manifest.writers:
        table = manifest.writers[name]
        assert isinstance(table, Mapping)
        return table
    models = [one.name for one in manifest.requirements if one.source == "model"]
    if name in models:
        return {"api": "local", "model": name}
    known = ", ".join(f"`{one}`" for one in (*manifest.writers, *models)) or "none"
    raise UnknownWriter(
        f"there is no writer `{name}`",
        where=str(manifest.path),
        hint=f"`[writers]` and `[models]` have {known}",
    )


def _service(manifest: Manifest, name: str, workshop: Workshop) -> Writer:
    from cape.engines.writers import WriterSettings, open_writer

    table = manifest.writers[name]
    assert isinstance(table, Mapping)
    addresses = dict(one.partition("=")[::2] for one in workshop.configuration.many("writers"))
    key = table.get("key")
    settings = WriterSettings(
        name=name,
        api=table["api"],
        model=table["model"],
        endpoint=table.get("endpoint") or addresses.get(name, ""),
        key=key,
        silence_s=float(table.get("timeout", _REMOTE_S)),
        longest_s=float(table.get("timeout", _REMOTE_S)),
        # A call that is paid for is made once: what is reserved is for one.
        attempts=1 if table.get("input-price") or table.get("output-price") else 3,
    )
    return open_writer(settings, _keys(manifest, key))


def _keys(manifest: Manifest, key: str | None) -> Mapping[str, str]:
    """The variable that holds a writer's key: as it is set here, else looked up as `[secrets]` says."""
    from cape.environment.shells.secrets import secrets_of

    if key is None or os.environ.get(key):
        return os.environ
    for secret in secrets_of(manifest):
        if secret.name == key:
            done = subprocess.run(
                ["/bin/sh", "-c", secret.command], cwd=manifest.path.parent, stdin=subprocess.DEVNULL,
                capture_output=True, text=True, check=False, timeout=_SECRET_S,
            )  # fmt: skip
            return {key: done.stdout.rstrip("\n")} if done.returncode == 0 else {}
    return {}


def _model_file(project: Project, name: str, workshop: Workshop) -> Path:
    from cape.lock import read_lock
    from cape.operations.knowledge import locked_model_file

    return locked_model_file(project, name, read_lock(project.lock_path), workshop)
