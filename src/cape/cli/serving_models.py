"""`cape serve-model`: the address on stdout, all else on stderr."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cape.cli.living import environment_name, obey_gpu
from cape.cli.output import say, show_json, size
from cape.errors import UsageError
from cape.operations.project import Workshop, find_project

if TYPE_CHECKING:
    from cape.operations.serving_models import Planned, ServeRequest

_MOST_TOKENS, _MOST_SLOTS, _MOST_PORT = 1 << 24, 256, 65535


class BadServing(UsageError):
    """A port, a context or a number of answers that cannot be."""

    slug = "bad-serving"


def serve_model(arguments: argparse.Namespace) -> int:
    """`cape serve-model NAME`."""
    from cape.cli.progress import progress
    from cape.cli.services import hearing
    from cape.operations import serving_models

    project, workshop = find_project(Path.cwd()), Workshop.open(progress(quiet=arguments.quiet))
    request = _request(arguments)
    if arguments.dry_run:
        _foretell(serving_models.plan_serving(project, workshop, request), arguments)
        return 0
    obey_gpu(arguments)
    served = serving_models.serve_model(
        project, workshop, request, argv=sys.argv[1:], heard=hearing(arguments)
    )
    planned = served.planned
    if arguments.json:
        told = {"url": served.url, "port": served.port, "pid": served.pid, "memory": served.memory}
        show_json({**_fields(planned), **told, "dry_run": False})
        return 0
    for note in planned.notes:
        say(f"note: {note}", quiet=arguments.quiet)
    if served.memory:
        say(f"memory: {served.memory}", quiet=arguments.quiet)
    say(f"`cape services down {planned.service}` ends it", quiet=arguments.quiet)
    print(served.url)
    return 0


def _request(arguments: argparse.Namespace) -> ServeRequest:
    from cape.operations.serving_models import ServeRequest

    return ServeRequest(
        model=arguments.model,
        port=_number(arguments.port, "port", _MOST_PORT) or 0,
        context=_number(arguments.context, "number of tokens", _MOST_TOKENS),
        parallel=_number(arguments.parallel, "number of answers at once", _MOST_SLOTS) or 1,
        gpu=arguments.gpu,
        environment=environment_name(arguments),
        add=arguments.add,
    )


def _number(text: str | None, what: str, most: int) -> int | None:
    """A number from 1 to `most`; None where nothing was said. Raises `BadServing`."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise BadServing(f"`{text}` is no {what}", hint=f"from 1 to {most}")
    return int(text)


def _foretell(planned: Planned, arguments: argparse.Namespace) -> None:
    if arguments.json:
        nothing = {"url": None, "port": planned.serving.port or None, "pid": None, "memory": None}
        show_json({**_fields(planned), **nothing, "dry_run": True})
        return
    for note in planned.notes:
        say(f"note: {note}", quiet=arguments.quiet)
    for row in planned.packages:
        print(f"{row.source}:{row.name} {row.version}")
    print(planned.table["command"])
    if planned.needed_bytes and planned.limit_bytes:
        print(f"takes {size(planned.needed_bytes)}, and is held to {size(planned.limit_bytes)}")


def _fields(planned: Planned) -> dict[str, Any]:
    serving = planned.serving
    return {
        "model": serving.model,
        "service": planned.service,
        "engine": planned.engine,
        "context": serving.context,
        "parallel": serving.parallel,
        "embeddings": serving.embeds,
        "accelerated": serving.accelerated,
        "command": planned.table["command"],
        "needed_bytes": planned.needed_bytes,
        "limit_bytes": planned.limit_bytes,
        "packages": [
            {"source": row.source, "name": row.name, "version": row.version} for row in planned.packages
        ],
        "notes": list(planned.notes),
    }
