"""`cape init`, `history`, `rollback`, `gc`, `doctor`, `config`."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cape.cli.living import chosen_project
from cape.cli.output import count, say, show_json, size
from cape.errors import UsageError
from cape.names import Age
from cape.operations.project import Workshop

if TYPE_CHECKING:
    from cape.configuration import Configuration
    from cape.environment.generations import Generation, Switch
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
        template=arguments.template,
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
    if arguments.template or started.adopted.wishes or started.adopted.followed:
        following = "look it over, then `cape sync`"
    say(f"next: {following}", quiet=arguments.quiet)
    return 0


def _show_adopted(adopted: Adopted, *, quiet: bool) -> None:
    """What other tools' files gave, a line each, and what they say that a manifest cannot."""
    for section, file in adopted.followed:
        say(f"  [{section}] project = {file}  what it asks for, as it says it", quiet=quiet)
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
        "followed": dict(started.adopted.followed),
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
    """`cape history`: generations and rollbacks, newest first, the current one marked."""
    from cape.environment.generations import current_number, switches
    from cape.environment.generations import history as generations_of

    project = chosen_project(arguments)
    generations = generations_of(project.directory)
    current = current_number(project.directory)
    rollbacks = switches(project.directory)
    if arguments.json:
        show_json(
            {
                "current": current,
                "generations": [_generation_fields(one) for one in generations],
                "rollbacks": [
                    {
                        "from": one.origin,
                        "to": one.target,
                        "made_s": one.made_s,
                        "user": one.user,
                        "argv": list(one.argv),
                    }
                    for one in rollbacks
                ],
            }
        )
        return 0
    if not generations:
        print("no generations yet: run `cape sync`")
        return 0
    told = [(one.created_s, _generation_lines(one, is_current=one.number == current)) for one in generations]
    told += [(one.made_s, [_rollback_line(one)]) for one in rollbacks]
    for _, lines in sorted(told, key=lambda found: found[0], reverse=True):
        print("\n".join(lines))
    return 0


_SHOWN_CHANGES = 6


def _generation_lines(one: Generation, *, is_current: bool) -> list[str]:
    mark = "*" if is_current else " "
    head = f"{mark} {one.number:>4}  {_moment(one.created_s)}  {one.user or '-'}  {_command(one.argv)}"
    changes = one.changes or ()
    lines = [head, *(f"        {line}" for line in changes[:_SHOWN_CHANGES])]
    if len(changes) > _SHOWN_CHANGES:
        lines.append(f"        ... and {len(changes) - _SHOWN_CHANGES} more")
    return lines


def _rollback_line(one: Switch) -> str:
    way = f"{one.origin} -> {one.target}" if one.origin is not None else f"-> {one.target}"
    return f"        {_moment(one.made_s)}  {one.user or '-'}  {_command(one.argv)}  ({way})"


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _command(argv: Sequence[str]) -> str:
    return " ".join(("cape", *argv))


def _generation_fields(one: Generation) -> dict[str, object]:
    return {
        "number": one.number,
        "created_s": one.created_s,
        "user": one.user,
        "argv": list(one.argv),
        "identity": str(one.identity),
        "content": str(one.content),
        "previous": one.previous,
        "environments": sorted(one.attached),
        "changes": None if one.changes is None else [_change_fields(line) for line in one.changes],
    }


def _change_fields(line: str) -> dict[str, str | None]:
    """`~ ripgrep 14.0 -> 14.1` by its parts."""
    kind = {"+": "added", "-": "removed"}.get(line[0], "changed")
    name, _, versions = line[2:].partition(" ")
    before, arrow, after = versions.partition(" -> ")
    if not arrow:
        before, after = (before, "") if kind == "removed" else ("", before)
    return {"kind": kind, "name": name, "before": before or None, "after": after or None}


def rollback(arguments: argparse.Namespace) -> int:
    """`cape rollback [N]`: 1 if a running service could not follow."""
    from cape.cli.services import hearing
    from cape.operations.returning import roll_back

    returned = roll_back(
        chosen_project(arguments),
        _number(arguments.generation, "a generation"),
        argv=sys.argv[1:],
        dry_run=arguments.dry_run,
        services=not arguments.no_services,
        heard=hearing(arguments),
    )
    target, followed = returned.generation, returned.services
    if arguments.json:
        show_json(
            {
                "generation": target.number,
                "identity": str(target.identity),
                "notes": list(returned.notes),
                "restarted": list(followed.restarted) if followed else [],
                "stopped": list(followed.stopped) if followed else [],
                "failures": list(followed.failures) if followed else [],
                "dry_run": arguments.dry_run,
            }
        )
    else:
        verb = "would be" if arguments.dry_run else "is"
        say(f"generation {target.number} {verb} current, with its manifest and lock", quiet=arguments.quiet)
        for note in returned.notes:
            say(f"note: {note}", quiet=arguments.quiet)
        for sentence in followed.failures if followed else ():
            say(f"warning: {sentence}")
    return int(bool(followed and followed.failures))


_AGE = re.compile(r"(\d{1,5}) ?([hdw])\Z")
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


def _age_s(text: str | None) -> float | None:
    """Seconds of an age: `30d`, or as manifests write it, `30 days`."""
    if text is None:
        return None
    short = _AGE.match(text.strip())
    try:
        return float(Age.parse(f"{short[1]} {_UNITS[short[2]]}" if short else text).seconds)
    except ValueError:
        raise NotANumber(f"`--older-than` is an age such as `30d` or `12 hours`, not `{text}`") from None


def gc(arguments: argparse.Namespace) -> int:
    """`cape gc`."""
    from cape.operations.collecting import collect_garbage

    keep = _number(arguments.keep, "`--keep`")
    older_than_s = _age_s(arguments.older_than)
    project = None
    if keep is not None or older_than_s is not None:
        project = chosen_project(arguments)
    cleared = collect_garbage(
        Workshop.open(), project=project, keep=keep, older_than_s=older_than_s, dry_run=arguments.dry_run
    )
    collected = cleared.collected
    if arguments.json:
        show_json(
            {
                "generations": list(cleared.generations),
                "environments": list(collected.environments),
                "objects": [str(key) for key in collected.objects],
                "artifacts": [str(digest) for digest in collected.artifacts],
                "checkouts": list(cleared.checkouts),
                "forgotten_projects": [str(project) for project in collected.forgotten_projects],
                "freed_bytes": cleared.freed_bytes,
                "dry_run": arguments.dry_run,
            }
        )
        return 0
    if cleared.is_empty:
        say("nothing to remove: every environment, object and artifact is needed", quiet=arguments.quiet)
        return 0
    verb = "would remove" if arguments.dry_run else "removed"
    parts = [
        count(len(collected.environments), "environment"),
        count(len(collected.objects), "object"),
        count(len(collected.artifacts), "artifact"),
    ]
    if cleared.generations:
        parts.insert(0, count(len(cleared.generations), "generation"))
    if cleared.checkouts:
        parts.append(count(len(cleared.checkouts), "checkout"))
    say(f"{verb} {', '.join(parts)}: {size(cleared.freed_bytes)}", quiet=arguments.quiet)
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
