"""`cape instances` and `cape promote`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from cape.cli.output import say, show_json, table
from cape.cli.sharing import NoPlace, ask
from cape.operations.project import Workshop, find_project

if TYPE_CHECKING:
    from cape.operations.instances import Promoted
    from cape.sharing.instances import Instance, Step


def _place(arguments: argparse.Namespace) -> str:
    from cape.operations.sharing import known_place

    if arguments.place:
        return str(arguments.place)
    known = known_place(find_project(Path.cwd()))
    if known is None:
        raise NoPlace("this project knows no place yet", hint="`--place PLACE`, or `cape push PLACE` first")
    return known.place


def instances(arguments: argparse.Namespace) -> int:
    """`cape instances`."""
    from cape.operations.instances import instances_of
    from cape.operations.sharing import open_ledger

    place, workshop = _place(arguments), Workshop.open()
    found = instances_of(place, workshop, consent=ask)
    if arguments.json:
        shown = open_ledger(place, workshop).place.shown
        show_json({"place": shown, "instances": [_fields(one) for one in found]})
        return 0
    rows = [row for one in found for row in _rows(one)]
    print(table(rows, right=(1,)) if rows else "no instances: `cape promote GENERATION NAME` makes one")
    return 0


def _rows(one: Instance) -> list[tuple[str, ...]]:
    step = one.step
    came = f"from {step.source}" if step.source else step.action
    rows: list[tuple[str, ...]] = [(one.name, str(step.generation), step.at, step.by, came, step.message)]
    rows += [
        (
            f"  {host.name}",
            str(host.generation),
            host.at,
            host.user,
            one.state_of(host),
            "; ".join(host.problems),
        )
        for host in one.hosts
    ]
    return rows


def _fields(one: Instance) -> dict[str, object]:
    hosts = [
        {
            "name": host.name,
            "user": host.user,
            "generation": host.generation,
            "content": host.content,
            "at": host.at,
            "state": one.state_of(host),
            "problems": list(host.problems),
        }
        for host in one.hosts
    ]
    return _step_fields(one.step) | {"hosts": hosts}


def _step_fields(step: Step) -> dict[str, object]:
    return {
        "name": step.instance,
        "generation": step.generation,
        "record": str(step.record),
        "step": step.number,
        "action": step.action,
        "source": step.source or None,
        "by": step.by,
        "since": step.at,
        "message": step.message,
        "checks": [{"command": one.command, "code": one.code} for one in step.checks],
    }


def promote(arguments: argparse.Namespace) -> int:
    """`cape promote SOURCE TARGET`."""
    from cape.cli import agreeing as terminal
    from cape.operations import agreeing
    from cape.operations.instances import promote as promote_instance

    promoted = promote_instance(
        find_project(Path.cwd()),
        Workshop.open(),
        _place(arguments),
        arguments.source,
        arguments.target,
        message=arguments.message or "",
        key=arguments.key,
        consent=ask,
        agreement=agreeing.everything if arguments.allow_hooks else terminal.ask,
        telling=lambda command: say(f"checking: {command}", quiet=arguments.quiet),
    )
    return _show(promoted, arguments)


def rollback(arguments: argparse.Namespace) -> int:
    """`cape instances rollback NAME`."""
    from cape.operations.instances import roll_back

    promoted = roll_back(
        _place(arguments),
        Workshop.open(),
        arguments.name,
        message=arguments.message or "",
        key=arguments.key,
        consent=ask,
    )
    return _show(promoted, arguments)


def report(arguments: argparse.Namespace) -> int:
    """`cape instances report NAME`; exit code 1 when this host has drifted."""
    from cape.operations.instances import report_host

    host = report_host(
        find_project(Path.cwd()), Workshop.open(), arguments.name, key=arguments.key, consent=ask
    )
    if arguments.json:
        show_json({"host": host.name, "generation": host.generation, "problems": list(host.problems)})
    else:
        for problem in host.problems:
            print(problem)
        state = "drifted" if host.problems else "healthy"
        say(f"`{host.name}` is at generation {host.generation}: {state}", quiet=arguments.quiet)
    return 1 if host.problems else 0


def _show(promoted: Promoted, arguments: argparse.Namespace) -> int:
    step, before = promoted.step, promoted.before
    if arguments.json:
        show_json(_step_fields(step) | {"before": before.generation if before else None})
        return 0
    was = f" (it was at {before.generation})" if before else ""
    say(f"`{step.instance}` is at generation {step.generation} now{was}", quiet=arguments.quiet)
    return 0
