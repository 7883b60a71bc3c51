"""`cape init`, `history`, `rollback`, `gc`, `doctor`, `config`."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cape.cli.living import chosen_project
from cape.cli.output import count, say, show_json, size, table
from cape.errors import UsageError
from cape.operations.project import Workshop, held

if TYPE_CHECKING:
    from cape.configuration import Configuration
    from cape.operations.adopting import Adopted
    from cape.operations.starting import Started


class NotANumber(UsageError):
    """A word where a number is wanted."""

    slug = "not-a-number"


def _number(text: str | None, what: str) -> int | None:
    if text is None:
        return None
    if not text.isdigit():
        raise NotANumber(f"{what} is a number, not `{text}`")
    return int(text)


def init(arguments: argparse.Namespace) -> int:
    """`cape init`."""
    from cape.operations.starting import start_project

    started = start_project(
        Path.cwd(),
        Workshop.open(),
        name=arguments.name,
        suite=arguments.debian,
        bare=arguments.bare,
        dry_run=arguments.dry_run,
    )
    if arguments.json:
        show_json(_started_fields(started) | {"dry_run": arguments.dry_run})
        return 0
    if arguments.dry_run:
        print(started.adopted.text, end="")
    _show_adopted(started.adopted, quiet=arguments.quiet)
    verb = "would write" if arguments.dry_run else "wrote"
    also = " and `.gitattributes`" if started.told_git else ""
    say(f"{verb} `{started.manifest_path.name}`{also} for `{started.name}`", quiet=arguments.quiet)
    for warning in started.warnings:
        say(f"warning: {warning}")
    following = "`cape install ripgrep`, then `cape run -- rg --version`"
    if started.adopted.wishes:
        following = "look it over, then `cape sync`"
    say(f"next: {following}", quiet=arguments.quiet)
    return 0


def _show_adopted(adopted: Adopted, *, quiet: bool) -> None:
    """What other tools' files gave, a line each, and what they say that a manifest cannot."""
    for wish in adopted.wishes:
        say(f"  {wish.source}:{wish.package} {wish.constraint}  from {wish.where}", quiet=quiet)
    for one in adopted.unmapped:
        say(f"not mapped: {one}", quiet=quiet)
    if adopted.unconfirmed:
        say(f"warning: not every name could be confirmed: {adopted.unconfirmed}")


def _started_fields(started: Started) -> dict[str, object]:
    return {
        "manifest": str(started.manifest_path),
        "name": started.name,
        "files": list(started.adopted.files),
        "packages": [
            {"source": one.source, "name": one.package, "constraint": one.constraint, "where": one.where}
            for one in started.adopted.wishes
        ],
        "unmapped": [
            {"where": one.where, "text": one.text, "reason": one.reason} for one in started.adopted.unmapped
        ],
        "warnings": list(started.warnings),
    }


def history(arguments: argparse.Namespace) -> int:
    """`cape history`: generations, newest first, the current one marked."""
    from cape.environment.generations import current_number
    from cape.environment.generations import history as generations_of

    project = chosen_project(arguments)
    generations = generations_of(project.directory)
    current = current_number(project.directory)
    if arguments.json:
        show_json(
            {
                "current": current,
                "generations": [
                    {
                        "number": one.number,
                        "created_s": one.created_s,
                        "argv": list(one.argv),
                        "identity": str(one.identity),
                        "content": str(one.content),
                        "previous": one.previous,
                    }
                    for one in generations
                ],
            }
        )
        return 0
    rows = [
        (
            "*" if one.number == current else " ",
            str(one.number),
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.created_s)),
            one.identity.short,
            "cape " + " ".join(one.argv),
        )
        for one in generations
    ]
    print(table(rows, right=(1,)) if rows else "no generations yet: run `cape sync`")
    return 0


def rollback(arguments: argparse.Namespace) -> int:
    """`cape rollback [N]`."""
    from cape.environment import generations

    project = chosen_project(arguments)
    number = _number(arguments.generation, "a generation")
    if arguments.dry_run:
        target = generations.rollback_target(project.directory, number)
    else:
        with held(project):
            target = generations.rollback(project.directory, number)
    if arguments.json:
        show_json(
            {"generation": target.number, "identity": str(target.identity), "dry_run": arguments.dry_run}
        )
    else:
        verb = "would be" if arguments.dry_run else "is"
        say(f"generation {target.number} {verb} current, with its manifest and lock", quiet=arguments.quiet)
    return 0


def gc(arguments: argparse.Namespace) -> int:
    """`cape gc`."""
    from cape.operations.collecting import collect_garbage

    keep = _number(arguments.keep, "`--keep`")
    collected = collect_garbage(Path.cwd(), Workshop.open(), keep=keep, dry_run=arguments.dry_run)
    if arguments.json:
        show_json(
            {
                "environments": list(collected.environments),
                "objects": [str(key) for key in collected.objects],
                "artifacts": [str(digest) for digest in collected.artifacts],
                "forgotten_projects": [str(project) for project in collected.forgotten_projects],
                "freed_bytes": collected.freed_bytes,
                "dry_run": arguments.dry_run,
            }
        )
        return 0
    if not (collected.environments or collected.objects or collected.artifacts):
        say("nothing to remove: every environment, object and artifact is needed", quiet=arguments.quiet)
        return 0
    verb = "would remove" if arguments.dry_run else "removed"
    parts = [
        count(len(collected.environments), "environment"),
        count(len(collected.objects), "object"),
        count(len(collected.artifacts), "artifact"),
    ]
    say(f"{verb} {', '.join(parts)}: {size(collected.freed_bytes)}", quiet=arguments.quiet)
    return 0


def doctor(arguments: argparse.Namespace) -> int:
    """`cape doctor`; exit code 1 when a check failed, 3 when an object was changed."""
    from cape.operations.checking import examine

    checks = examine(Path.cwd(), Workshop.open(), verify=arguments.verify)
    if arguments.json:
        show_json(
            {
                "checks": [
                    {"name": one.name, "ok": one.ok, "found": one.found, "hint": one.hint} for one in checks
                ]
            }
        )
    else:
        for one in checks:
            print(f"{'ok   ' if one.ok else 'WRONG'}  {one.name}: {one.found}")
            if one.hint and not one.ok:
                print(f"       hint: {one.hint}")
    return max((one.exit_code for one in checks if not one.ok), default=0)


def config(arguments: argparse.Namespace) -> int:
    """`cape config [KEY [VALUE...]]`."""
    from cape.configuration import Configuration, setting, write_setting

    if arguments.key is None:
        return _list_settings(Configuration.read(), as_json=arguments.json)
    known = setting(arguments.key)
    if arguments.unset or arguments.values:
        if len(arguments.values) > 1 and not known.many:
            raise UsageError(f"`{known.key}` holds one value")
        file = write_setting(known.key, None if arguments.unset else tuple(arguments.values))
        say(f"{'removed' if arguments.unset else 'set'} `{known.key}` in {file}", quiet=arguments.quiet)
        return 0
    configuration = Configuration.read()
    values = configuration.many(known.key)
    if arguments.json:
        show_json({"key": known.key, "values": list(values), "origin": configuration.origins.get(known.key)})
    elif values:
        print("\n".join(values))
    else:
        say(f"`{known.key}` is not set: {known.meaning}", quiet=arguments.quiet)
    return 0


def _list_settings(configuration: Configuration, *, as_json: bool) -> int:
    from cape.configuration import SETTINGS

    if as_json:
        show_json(
            {
                "settings": [
                    {
                        "key": one.key,
                        "values": list(configuration.many(one.key)),
                        "origin": configuration.origins.get(one.key),
                        "variable": one.variable,
                        "meaning": one.meaning,
                    }
                    for one in SETTINGS
                ]
            }
        )
        return 0
    for one in SETTINGS:
        values = " ".join(configuration.many(one.key)) or "not set"
        origin = configuration.origins.get(one.key)
        print(f"{one.key} = {values}" + (f"  (from {origin})" if origin else ""))
        print(f"    {one.meaning} (${one.variable} wins)")
    return 0
