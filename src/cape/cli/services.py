"""`cape services`: up, down, restart, status, logs, systemd, template."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cape.cli.living import environment_name
from cape.cli.output import SCHEMA_VERSION, count, duration, say, show_json, table
from cape.errors import UsageError
from cape.operations.project import Project, Workshop, find_project

if TYPE_CHECKING:
    from cape.operations.services import Heard, ServiceStatus, Status


class BadCount(UsageError):
    """A number of lines that is none."""

    slug = "bad-count"


def _workshop(arguments: argparse.Namespace) -> tuple[Project, Workshop]:
    from cape.cli.progress import progress

    return find_project(Path.cwd()), Workshop.open(progress(quiet=arguments.quiet))


def hearing(arguments: argparse.Namespace) -> Heard:
    """Says each step of a service on stderr, as it happens."""
    quiet = arguments.quiet or arguments.json
    words = {
        "starting": "starting",
        "ready": "ready",
        "backing-off": "will be started again",
        "failed": "failed",
    }

    def heard(name: str, state: str, reason: str | None) -> None:
        if state in (*words, "stopped", "exited"):
            told = words.get(state, state)
            say(f"{name}: {told}{f' ({reason})' if reason else ''}", quiet=quiet)

    return heard


def up(arguments: argparse.Namespace) -> int:
    """`cape services up [NAME ...]`."""
    from cape.operations.services import bring_up

    project, workshop = _workshop(arguments)
    found = bring_up(
        project,
        workshop,
        arguments.names,
        argv=sys.argv[1:],
        environment=environment_name(arguments),
        wait=not arguments.no_wait,
        heard=hearing(arguments),
    )
    return _show(found, arguments)


def restart(arguments: argparse.Namespace) -> int:
    """`cape services restart [NAME ...]`."""
    from cape.operations.services import restart as restart_services

    project, workshop = _workshop(arguments)
    found = restart_services(
        project,
        workshop,
        arguments.names,
        argv=sys.argv[1:],
        environment=environment_name(arguments),
        wait=not arguments.no_wait,
        heard=hearing(arguments),
    )
    return _show(found, arguments)


def down(arguments: argparse.Namespace) -> int:
    """`cape services down [NAME ...]`."""
    from cape.operations.services import take_down

    found = take_down(
        find_project(Path.cwd()),
        arguments.names,
        environment=environment_name(arguments),
        heard=hearing(arguments),
    )
    return _show(found, arguments)


def status(arguments: argparse.Namespace) -> int:
    """`cape services status [NAME ...]`."""
    from cape.operations import services

    found = services.status(
        find_project(Path.cwd()), arguments.names, environment=environment_name(arguments)
    )
    return _show(found, arguments)


def _show(found: Status, arguments: argparse.Namespace) -> int:
    if arguments.json:
        show_json(_fields(found))
        return 0
    if found.swept:
        say(f"ended {count(found.swept, 'process')} of a supervisor that was killed", quiet=arguments.quiet)
    for note in found.notes:
        say(f"note: {note}", quiet=arguments.quiet)
    rows = [_row(one) for one in found.services]
    print(
        table([("SERVICE", "STATE", "PID", "PORTS", "GENERATION", "SINCE"), *rows]) if rows else "no services"
    )
    return 0


def _row(one: ServiceStatus) -> tuple[str, ...]:
    state = f"{one.state}: {one.reason}" if one.reason else one.state
    if one.state in ("exited", "stopped") and one.exit_code is not None:
        state = f"{one.state} (exit code {one.exit_code})"
    if one.lost_log_bytes:
        state += f" (its log lost {one.lost_log_bytes} bytes)"
    generation = "" if one.generation is None else str(one.generation)
    return (
        one.name,
        state,
        str(one.pid or ""),
        " ".join(f"{name}={number}" for name, number in one.ports.items()),
        generation if one.is_current else f"{generation} (restart moves it)",
        _since(one),
    )


def _since(one: ServiceStatus) -> str:
    moment = one.ready_ms if one.state == "ready" else one.started_ms if one.is_running else one.ended_ms
    return "" if moment is None else f"{duration(max(0.0, time.time() - moment / 1000))} ago"


def _fields(found: Status) -> dict[str, Any]:
    return {
        "supervisor": found.supervisor,
        "namespace": found.namespace,
        "attached": found.attached,
        "swept": found.swept,
        "notes": list(found.notes),
        "services": [
            {
                "name": one.name,
                "state": one.state,
                "reason": one.reason,
                "pid": one.pid,
                "ports": dict(one.ports),
                "generation": one.generation,
                "is_current": one.is_current,
                "started": _instant(one.started_ms),
                "ready": _instant(one.ready_ms),
                "ended": _instant(one.ended_ms),
                "exit_code": one.exit_code,
                "exit_signal": one.exit_signal,
                "restarts": one.restarts,
                "lost_log_bytes": one.lost_log_bytes,
                "persist": one.persist,
                "log": str(one.log),
            }
            for one in found.services
        ],
    }


def _instant(moment_ms: int | None) -> str | None:
    if moment_ms is None:
        return None
    seconds, milliseconds = divmod(moment_ms, 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{milliseconds:03}Z"


def template(arguments: argparse.Namespace) -> int:
    """`cape services template [NAME]`."""
    from cape.operations.service_templates import add_template, known_templates

    if arguments.name is None:
        known = known_templates()
        if arguments.json:
            show_json({"templates": [{"name": name, "summary": summary} for name, summary in known]})
        else:
            print(table(known))
        return 0
    added = add_template(find_project(Path.cwd()), arguments.name, dry_run=arguments.dry_run)
    if arguments.json:
        fields = {"packages": list(added.packages), "services": list(added.services)}
        show_json({"name": added.name, **fields, "dry_run": arguments.dry_run})
        return 0
    if arguments.dry_run:
        print(added.text, end="")
        return 0
    listed = ", ".join(f"`{name}`" for name in (*added.packages, *added.services))
    say(f"added {listed}; `cape services up` installs and starts it", quiet=arguments.quiet)
    return 0


def systemd(arguments: argparse.Namespace) -> int:
    """`cape services systemd [NAME ...]`."""
    from cape.operations.services import systemd_units, write_units

    units = systemd_units(
        find_project(Path.cwd()),
        arguments.names,
        cape=_command(),
        environment=environment_name(arguments),
    )
    directory = write_units(units, Path(arguments.write)) if arguments.write else None
    if arguments.json:
        fields = [{"name": name, "text": text} for name, text in units.items()]
        show_json({"units": fields, "directory": str(directory) if directory else None})
    elif directory is not None:
        say(f"wrote {count(len(units), 'unit')} to {directory}", quiet=arguments.quiet)
        say(f"next: systemctl --user daemon-reload && systemctl --user enable --now {' '.join(units)}")
    else:
        print("\n".join(f"# {name}\n{text}" for name, text in units.items()), end="")
    return 0


def _command() -> Path:
    """The `cape` command: the one beside this interpreter, or on PATH."""
    import shutil

    beside = Path(sys.executable).with_name("cape")
    return beside if beside.exists() else Path(shutil.which("cape") or "cape")


def logs(arguments: argparse.Namespace) -> int:
    """`cape services logs [NAME ...]`."""
    from cape.operations import services

    project, name = find_project(Path.cwd()), environment_name(arguments)
    if arguments.lines is not None and not str(arguments.lines).isdigit():
        raise BadCount(f"`{arguments.lines}` is no number of lines", hint="for example `-n 100`")
    lines = None if arguments.lines is None else int(arguments.lines)
    if lines is None and arguments.follow:
        lines = 10
    coming = services.follow(project, arguments.names, environment=name) if arguments.follow else None
    found = services.log_lines(project, arguments.names, count=lines, environment=name)
    several = len({service for service, _ in found}) > 1 or len(arguments.names) != 1
    if coming is None and arguments.json:
        fields = [{"service": one, "at": _instant(line.at_ms), "line": line.text} for one, line in found]
        show_json({"lines": fields})
        return 0
    for service, line in found:
        _print(service, _instant(line.at_ms), line.text, arguments, several=several)
    if coming is None:
        return 0
    sys.stdout.flush()
    with services.until_interrupted():
        for service, text in coming:
            _print(service, _instant(time.time_ns() // 1_000_000), text, arguments, several=several)
            sys.stdout.flush()
    return 0


def _print(
    service: str, moment: str | None, text: str, arguments: argparse.Namespace, *, several: bool
) -> None:
    """One line; as JSON it is an object on a line of its own, since there may never be a last one."""
    if arguments.json:
        fields = {"schema_version": SCHEMA_VERSION, "service": service, "at": moment, "line": text}
        print(json.dumps(fields, ensure_ascii=False))
    else:
        print(
            f"{f'{moment or chr(45)} ' if arguments.times else ''}{f'{service} | ' if several else ''}{text}"
        )
