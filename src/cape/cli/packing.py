"""`cape pack`, `cape image` and `cape k8s`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cape.cli.output import count, say, show_json, size
from cape.cli.progress import progress
from cape.names import System
from cape.operations.project import Workshop, find_project


def _words(arguments: argparse.Namespace) -> list[str]:
    words = list(arguments.command or ())
    return words[1:] if words[:1] == ["--"] else words


def _system(arguments: argparse.Namespace) -> System | None:
    return System.parse(arguments.system) if arguments.system else None


def pack(arguments: argparse.Namespace) -> int:
    """`cape pack [-o FILE] [-- CMD]`."""
    from cape.operations.packing import pack as pack_project

    packed = pack_project(
        find_project(Path.cwd()),
        Workshop.open(progress(quiet=arguments.quiet)),
        Path(arguments.output) if arguments.output else None,
        argv=sys.argv[1:],
        command=_words(arguments),
        system=_system(arguments),
        environment=arguments.environment,
        gpu=arguments.gpu,
        shell=not arguments.static,
    )
    if arguments.json:
        fields = {
            "path": str(packed.path),
            "digest": str(packed.digest),
            "system": str(packed.system),
            "files": packed.files,
            "size_bytes": packed.size_bytes,
            "unpacked_bytes": packed.unpacked_bytes,
            "outside": list(packed.outside),
        }
        show_json(fields)
        return 0
    what = (
        f"{count(packed.files, 'file')}, {size(packed.size_bytes)} ({size(packed.unpacked_bytes)} unpacked)"
    )
    say(f"{packed.path.name}: {what}, {packed.digest}", quiet=arguments.quiet)
    _tell_outside(packed.outside, quiet=arguments.quiet)
    return 0


def _tell_outside(names: tuple[str, ...], *, quiet: bool) -> None:
    """Name what is not carried, since it may be secret."""
    if names:
        listed = ", ".join(f"`{name}`" for name in names)
        say(f"note: not carried, to be set where it runs: {listed}", quiet=quiet)


def image(arguments: argparse.Namespace) -> int:
    """`cape image [-o DIR|FILE.tar] [-- CMD]`."""
    from cape.operations.packing import image as image_of_project

    made = image_of_project(
        find_project(Path.cwd()),
        Workshop.open(progress(quiet=arguments.quiet)),
        Path(arguments.output) if arguments.output else None,
        argv=sys.argv[1:],
        command=_words(arguments),
        system=_system(arguments),
        environment=arguments.environment,
        gpu=arguments.gpu,
    )
    if arguments.json:
        layers = [
            {
                "source": layer.source,
                "digest": str(layer.digest),
                "size_bytes": layer.size_bytes,
                "files": layer.files,
            }
            for layer in made.layers
        ]
        show_json(
            {
                "path": str(made.path),
                "digest": str(made.digest),
                "size_bytes": made.size_bytes,
                "layers": layers,
                "outside": list(made.outside),
            }
        )
        return 0
    layers_text = ", ".join(f"{layer.source} {size(layer.size_bytes)}" for layer in made.layers)
    say(f"{made.path.name}: {layers_text}; {made.digest}", quiet=arguments.quiet)
    _tell_outside(made.outside, quiet=arguments.quiet)
    return 0


def k8s(arguments: argparse.Namespace) -> int:
    """`cape k8s IMAGE [-- CMD]`."""
    from cape.operations.packing import k8s as manifest_of_project

    written = manifest_of_project(
        find_project(Path.cwd()),
        arguments.image,
        command=_words(arguments),
        environment=arguments.environment,
    )
    sys.stdout.write(written.text)
    if written.secrets:
        keys = ", ".join(f"`{name}`" for name in written.secrets)
        say(f"note: the Secret `{written.secret}` must have the keys {keys}", quiet=arguments.quiet)
    return 0
