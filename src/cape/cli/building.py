"""`cape build` and `cape publish`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from cape.cli.output import count, say, show_json, size
from cape.cli.progress import progress
from cape.operations.project import Workshop, find_project, held

if TYPE_CHECKING:
    from cape.sources.builds import Built


def build(arguments: argparse.Namespace) -> int:
    """`cape build [NAME ...]`."""
    from cape.operations.builds import build as build_project

    project = find_project(Path.cwd())
    workshop = Workshop.open(progress(quiet=arguments.quiet))
    with held(project):
        results = build_project(
            project,
            workshop,
            arguments.builds,
            check=arguments.check,
            sandboxed=not arguments.no_sandbox,
            telling=lambda text: say(text, quiet=arguments.quiet),
        )
    if arguments.json:
        fields = [
            _fields(one.built)
            | {"made": one.made, "checked": one.checked, "log": str(one.log) if one.log else None}
            for one in results
        ]
        show_json({"builds": fields})
        return 0
    for one in results:
        built = one.built
        how = "equal when built again" if one.checked else "built" if one.made else "there already"
        text = f"{built.name} {built.version}: {how}, {count(built.files, 'file')}, {size(built.size_bytes)}"
        say(f"{text}, {built.digest}", quiet=arguments.quiet)
    return 0


def publish(arguments: argparse.Namespace) -> int:
    """`cape publish NAME DIRECTORY`."""
    from cape.operations.builds import publish as publish_build

    published = publish_build(
        find_project(Path.cwd()), Workshop.open(), arguments.build, Path(arguments.into).absolute()
    )
    built = published.built
    if arguments.json:
        show_json(_fields(built) | {"directory": str(published.directory), "commit": published.commit})
        return 0
    of = f" of commit {published.commit[:12]}" if published.commit else ""
    say(
        f"{built.name} {built.version}{of} is in {published.directory}: {built.digest}", quiet=arguments.quiet
    )
    return 0


def _fields(built: Built) -> dict[str, object]:
    return {
        "name": built.name,
        "version": built.version,
        "system": str(built.system),
        "digest": str(built.digest),
        "size_bytes": built.size_bytes,
        "files": built.files,
        "sandboxed": built.sandboxed,
    }
