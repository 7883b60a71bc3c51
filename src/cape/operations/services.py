"""`cape services`: the services of a project's environment, through the one supervisor that runs them.

Owns which services are meant, what they are told of the environment, and what the answers mean.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cape import __version__
from cape.environment.generations import Generation, current_generation
from cape.errors import CapeError, InputError, StateError
from cape.manifest import Manifest
from cape.names import Digest, System, write_atomically
from cape.operations.project import Project, Workshop, held, project_files, require_own
from cape.services import client
from cape.services.asked import asked_tables, forget_tables, keep_table
from cape.services.client import ask, home_of, is_alive, last_known, sweep_if_dead
from cape.services.definition import Definition, definitions_of, named, with_needed
from cape.services.logs import Follower, LogLine, last_lines

SEEN_TO = "_cape_services"
"""Set to `off` for a sealed script that is not to ask for services."""

RUNNING = ("starting", "ready", "stopping", "waiting", "backing-off")


class NoServices(StateError):
    """The manifest has no service for this system."""

    slug = "no-services"


class ServiceFailed(StateError):
    """A service did not become ready, or ended."""

    slug = "service-failed"


class InsideHook(StateError):
    """A hook wants to start services, which wait for the hook."""

    slug = "inside-hook"


class NeedsDefault(InputError):
    """Something that only the services of the manifest's own environment have."""

    slug = "needs-default-environment"


class HookFailed(StateError):
    """The hook of an environment failed when its services were to start."""

    slug = "hook-failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceStatus:
    """One service. Times are in milliseconds since 1970; what is not known or never was is None.

    `state` is one of `waiting`, `starting`, `ready`, `backing-off`, `stopping`, `stopped`, `exited`,
    `failed`; `lost` is one whose supervisor was killed. `generation` is the one that it was started from, and
    `is_current` whether a restart would change nothing: its own table, its environment and variables are
    those of the project's current generation.
    """

    name: str
    state: str
    reason: str | None = None
    pid: int | None = None
    ports: Mapping[str, int]
    generation: int | None = None
    is_current: bool = True
    started_ms: int | None = None
    ready_ms: int | None = None
    ended_ms: int | None = None
    exit_code: int | None = None
    exit_signal: int | None = None
    restarts: int = 0
    lost_log_bytes: int = 0
    persist: bool = False
    log: Path

    @property
    def is_running(self) -> bool:
        return self.state in RUNNING


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """All services of an environment. `supervisor` is its pid, None where none runs.

    `swept` is how many processes of a killed one were ended just now.
    """

    services: tuple[ServiceStatus, ...]
    supervisor: int | None = None
    namespace: bool | None = None
    attached: int = 0
    swept: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _House:
    """One environment of a project and its services."""

    project: Project
    environment: str | None
    generation: Generation | None
    definitions: Mapping[str, Definition]

    @property
    def home(self) -> Path:
        return home_of(self.project.directory, self.environment)

    @property
    def is_made(self) -> bool:
        """Whether the current generation has that environment."""
        if self.generation is None:
            return False
        return self.environment is None or self.environment in self.generation.attached


Heard = Callable[[str, str, str | None], None]
"""Called with a service's name, its new state, and the reason for it."""


def bring_up(
    project: Project,
    workshop: Workshop,
    names: Sequence[str],
    *,
    argv: Sequence[str],
    environment: str | None = None,
    wait: bool = True,
    heard: Heard | None = None,
) -> Status:
    """Start services and what they depend on, and wait until they are ready. All where none is named.

    What runs already is left alone, unless its definition changed. Raises `UnknownService`, `NoServices`,
    `ServiceFailed`, `InsideHook`, and what making the environment raises.
    """
    house = _made(project, workshop, argv, environment)
    wanted = named(house.definitions, names)
    needed = with_needed(house.definitions, wanted)
    _have_supervisor(house)
    request = {
        "services": [_told(house, house.definitions[name]) for name in needed],
        "names": list(needed),
        "whole": not names,
        "known": list(house.definitions),
        "wait": wait,
    }
    return _finished(house, _insist(house, "up", request, heard), wanted, wait=wait)


def bring_up_asked(
    project: Project,
    workshop: Workshop,
    name: str,
    table: Mapping[str, Any],
    *,
    argv: Sequence[str],
    environment: str | None = None,
    wait: bool = True,
    heard: Heard | None = None,
) -> ServiceStatus:
    """Start a service that the manifest has not, and keep its table until it is taken down.

    The same table again leaves alone what runs; another one starts it anew. Raises what `bring_up` raises,
    and `UnknownService` never.
    """
    home = home_of(project.directory, environment)
    before = asked_tables(home).get(name)
    with held(project), project_files(home):
        keep_table(home, name, table)
    try:
        found = bring_up(
            project, workshop, (name,), argv=argv, environment=environment, wait=wait, heard=heard
        )
    except CapeError:
        with held(project), project_files(home):
            if before is None:
                forget_tables(home, (name,))
            else:
                keep_table(home, name, before)
        raise
    return next(one for one in found.services if one.name == name)


def auto_start(
    project: Project, workshop: Workshop, *, argv: Sequence[str], environment: str | None = None
) -> str | None:
    """Start the services that start with the environment, where none runs yet; waits for none of them.

    Gives a sentence if that failed: it is no reason not to enter. The sealed script is told, through a
    variable, that services were seen to.
    """
    try:
        house = _known(project, environment)
        names = [name for name, one in house.definitions.items() if one.auto_start]
        if names and not os.environ.get(SEEN_TO):
            os.environ[SEEN_TO] = "off"
            if not is_alive(house.home):
                bring_up(project, workshop, names, argv=argv, environment=environment, wait=False)
    except CapeError as error:
        return f"services were not started: {error}"
    return None


def restart(
    project: Project,
    workshop: Workshop,
    names: Sequence[str],
    *,
    argv: Sequence[str],
    environment: str | None = None,
    wait: bool = True,
    heard: Heard | None = None,
) -> Status:
    """Stop and start services, as the current generation says. All where none is named."""
    house = _made(project, workshop, argv, environment)
    wanted = named(house.definitions, names)
    _have_supervisor(house)
    request = {
        "services": [
            _told(house, house.definitions[name]) for name in with_needed(house.definitions, wanted)
        ],
        "names": list(wanted),
        "wait": wait,
    }
    return _finished(house, _insist(house, "restart", request, heard), wanted, wait=wait)


def take_down(
    project: Project, names: Sequence[str], *, environment: str | None = None, heard: Heard | None = None
) -> Status:
    """Stop services, those first that others do not depend on. All, and the supervisor, where none is named.

    Raises `UnknownService`.
    """
    house = _known(project, environment, lenient=True)
    swept = sweep_if_dead(house.home)
    running = {str(row["name"]) for row in (ask(house.home, "status") or {}).get("services", ())}
    if unknown := [name for name in names if name not in running]:
        named(house.definitions, unknown)
    ask(house.home, "down", {"names": list(names)}, heard=_hearing(heard))
    _await_end(house)
    with project_files(house.home):
        forget_tables(house.home, names or house.definitions)
    return _status(house, swept=swept)


def _await_end(house: _House) -> None:
    """A supervisor that said its last word needs a moment to be gone."""
    deadline = time.monotonic() + 5
    while is_alive(house.home) and not (house.home / "socket").exists() and time.monotonic() < deadline:
        time.sleep(0.005)


def status(project: Project, names: Sequence[str] = (), *, environment: str | None = None) -> Status:
    """The services and their states. Raises `UnknownService`."""
    house = _known(project, environment, lenient=True)
    found = _status(house, swept=sweep_if_dead(house.home))
    if not names:
        return found
    known = {one.name: one for one in found.services}
    if unknown := [name for name in names if name not in known]:
        named(house.definitions, unknown)
    return Status(
        services=tuple(known[name] for name in dict.fromkeys(names)),
        supervisor=found.supervisor,
        namespace=found.namespace,
        attached=found.attached,
        swept=found.swept,
        notes=found.notes,
    )


def log_lines(
    project: Project, names: Sequence[str], *, count: int | None, environment: str | None = None
) -> list[tuple[str, LogLine]]:
    """The last lines of each service's log. Raises `UnknownService`."""
    house = _known(project, environment)
    logs = str(house.home / "logs")
    chosen = _with_logs(house, names)
    return [(name, line) for name in chosen for line in last_lines(logs, name, count)]


def follow(
    project: Project, names: Sequence[str], *, environment: str | None = None
) -> Iterator[tuple[str, str]]:
    """Lines as they come, with the service's name; never ends by itself. Services need not run yet."""
    house = _known(project, environment)
    followers = [Follower(str(house.home / "logs"), name) for name in _with_logs(house, names)]
    while True:
        found = [(one.name, line) for one in followers for line in one.lines()]
        yield from found
        if not found:
            time.sleep(0.1)


def _with_logs(house: _House, names: Sequence[str]) -> tuple[str, ...]:
    """Services that are named, in the manifest or with a log from before; all of the manifest otherwise."""
    there = {file.name.removesuffix(".log") for file in (house.home / "logs").glob("*.log")}
    if unknown := [name for name in names if name not in there]:
        named(house.definitions, unknown)
    return tuple(dict.fromkeys(names)) or tuple(house.definitions)


def systemd_units(
    project: Project, names: Sequence[str], *, cape: Path, environment: str | None = None
) -> dict[str, str]:
    """Units of systemd's user manager for services and what they need: texts by file name.

    Ports that are any free one get a number, which stays the same. Raises `UnknownService`, `NoServices`,
    `NeedsDefault`.
    """
    from cape.services.ports import Ports
    from cape.services.systemd import render_unit, unit_name

    house = _known(project, environment)
    if environment is not None:
        raise NeedsDefault("units are for services of the manifest's own environment", hint="leave `-e` out")
    if not house.definitions:
        raise NoServices("the manifest has no service for this system", where=str(project.manifest_path))
    with held(project), project_files(house.home):
        house.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        ports = Ports(str(house.home / "ports.json"))
    told = {"CAPE_STORE": os.environ["CAPE_STORE"]} if "CAPE_STORE" in os.environ else {}
    title = _title(project)
    units = {}
    for name in with_needed(house.definitions, named(house.definitions, names)):
        definition = house.definitions[name]
        units[unit_name(title, name)] = render_unit(
            definition,
            name=title,
            project=project.directory,
            cape=cape,
            ports=ports.given(name, dict(definition.ports)),
            variables=told,
        )
    return units


def write_units(units: Mapping[str, str], directory: Path) -> Path:
    """Put units into a directory, each old or new; the directory, in full."""
    directory = Path(os.path.abspath(directory.expanduser()))
    with project_files(directory):
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in units.items():
            write_atomically(directory / name, text.encode())
    return directory


def _title(project: Project) -> str:
    from cape.operations.including import project_manifest

    return project_manifest(project).name


@dataclass(frozen=True, kw_only=True, slots=True)
class Followed:
    """Services that went along with the current generation: names, and sentences about what did not."""

    restarted: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()


def follow_generation(project: Project, *, heard: Heard | None = None) -> Followed:
    """Restart the running services that the current generation starts otherwise; stop those it has not.

    Those that nothing changed for run on, and nothing is started that did not run. Waits until they are
    ready; what cannot follow is told, and is no error.
    """
    found = [_follow(house, heard) for house in _alive_houses(project)]
    return Followed(
        restarted=tuple(name for one in found for name in one.restarted),
        stopped=tuple(name for one in found for name in one.stopped),
        failures=tuple(sentence for one in found for sentence in one.failures),
    )


def left_behind(project: Project) -> tuple[str, ...]:
    """Running services that the current generation would start otherwise, or has not, of all environments."""
    return tuple(
        one.name for house in _alive_houses(project) for one in _status(house).services if not one.is_current
    )


def _alive_houses(project: Project) -> Iterator[_House]:
    """The environments of a project whose services have a supervisor."""
    from cape.manifest import UnknownEnvironment

    main = home_of(project.directory)
    if not main.is_dir():
        return
    for home in (main, *sorted((main / "environments").glob("*"))):
        if is_alive(home):
            name = None if home == main else home.name
            try:
                yield _known(project, name)
            except UnknownEnvironment:  # This generation has it not, and so none of its services.
                yield _House(project, name, current_generation(project.directory), {})


def _follow(house: _House, heard: Heard | None) -> Followed:
    outdated = [one.name for one in _status(house).services if not one.is_current]
    gone = [name for name in outdated if name not in house.definitions]
    moved = [name for name in outdated if name in house.definitions]
    failures: list[str] = []
    try:
        if gone:
            ask(house.home, "down", {"names": gone}, heard=_hearing(heard))
        if moved:
            _restart_as_now(house, moved, heard)
    except CapeError as error:
        failures.append(f"services did not follow: {error}")
        moved = []
    return Followed(restarted=tuple(moved), stopped=tuple(gone), failures=tuple(failures))


def _restart_as_now(house: _House, names: Sequence[str], heard: Heard | None) -> None:
    """Restart services in the environment of the current generation, which must have been made."""
    if not house.is_made:
        raise NoServices(
            f"environment `{house.environment}` of this generation is not made",
            hint=f"`cape services restart -e {house.environment}` makes it",
        )
    _refuse_inside_hook()
    _run_hook(house)
    needed = with_needed(house.definitions, names)
    told = [_told(house, house.definitions[name]) for name in needed]
    request = {"services": told, "names": list(names), "wait": True}
    _finished(house, _insist(house, "restart", request, heard), names, wait=True)


def generations_in_use(project: Path) -> frozenset[int]:
    """The generations that running services were started from, of all environments: their files must stay."""
    found: set[int] = set()
    for home in (home_of(project), *sorted((home_of(project) / "environments").glob("*"))):
        if is_alive(home):
            rows = (last_known(home) or {}).get("services", ())
            found |= {row["generation"] for row in rows if row["state"] in RUNNING and row["generation"]}
    return frozenset(found)


def sweep_project(project: Path) -> int:
    """End what killed supervisors of a project left; costs one look where there was none."""
    home = home_of(project)
    if not home.is_dir():
        return 0
    return sum(sweep_if_dead(one) for one in (home, *(home / "environments").glob("*")))


# -- finding ------------------------------------------------------------------------------------------


def _made(project: Project, workshop: Workshop, argv: Sequence[str], environment: str | None) -> _House:
    """The environment, made if need be, and its services. Raises `NoServices`, `InsideHook`."""
    from cape.environment.kept import kept_manifest
    from cape.environment.shells.hooks import IN_HOOK
    from cape.operations.agreeing import require_agreement
    from cape.operations.living import ready_generation

    if os.environ.get(IN_HOOK):
        raise InsideHook(
            "services cannot be started from inside a hook: they wait for it",
            hint="give the service `auto-start = true`, or start it after activation",
        )
    generation = ready_generation(project, workshop, argv=argv, environment=environment)
    require_agreement(project)
    manifest = kept_manifest(project.directory, generation.directory, environment=environment)
    definitions = _definitions(project, manifest, environment)
    if not definitions:
        raise NoServices(
            f"the manifest has no service for `{System.current()}`",
            where=str(project.manifest_path),
            hint="`cape services template` lists some to begin with",
        )
    return _House(project, environment, generation, definitions)


def _refuse_inside_hook() -> None:
    from cape.environment.shells.hooks import IN_HOOK

    if os.environ.get(IN_HOOK):
        raise InsideHook(
            "services cannot be started from inside a hook: they wait for it",
            hint="give the service `auto-start = true`, or start it after activation",
        )


def _known(project: Project, environment: str | None, *, lenient: bool = False) -> _House:
    """What the current generation says; makes nothing. Without a generation, what the manifest says.

    When it is `lenient`, a manifest that cannot be read has no services: what runs can still be stopped.
    Raises `OtherUsersProject`.
    """
    require_own(project)
    generation = None
    definitions: Mapping[str, Definition] = {}
    try:
        generation = current_generation(project.directory)
        manifest = _manifest(project, generation, environment)
        definitions = _definitions(project, manifest, environment)
    except CapeError:
        if not lenient:
            raise
    return _House(project, environment, generation, definitions)


def _definitions(project: Project, manifest: Manifest, environment: str | None) -> dict[str, Definition]:
    """The manifest's services, and those that a command asked for."""
    asked = asked_tables(home_of(project.directory, environment))
    return definitions_of({**asked, **manifest.services}, System.current())


def _manifest(project: Project, generation: Generation | None, environment: str | None) -> Manifest:
    from cape.environment.kept import kept_manifest
    from cape.manifest import environment_of
    from cape.operations.including import project_manifest

    if generation is not None:
        return kept_manifest(project.directory, generation.directory, environment=environment)
    return environment_of(project_manifest(project), environment)


# -- asking -------------------------------------------------------------------------------------------


def _have_supervisor(house: _House) -> None:
    """A supervisor of this project where it lies now; the hook has run before its services start."""
    present = ask(house.home, "status")
    if present is not None and present["project"] != str(house.project.directory):
        ask(house.home, "down")  # The project was moved: what runs knows places that are gone.
        _await_end(house)
        present = None
    if present is None:
        _run_hook(house)
        with project_files(house.home):
            client.ensure(house.home, house.project.directory, __version__)


def _run_hook(house: _House) -> None:
    from cape.operations.living import inside

    generation = house.generation
    assert generation is not None
    if os.environ.get("CAPE_ENV") == str(generation.environment):
        return
    process = inside(generation, ["true"], pure=False, environment=house.environment)
    done = subprocess.run(
        list(process.words), env=client.base_variables(os.environ), stdin=subprocess.DEVNULL, check=False
    )
    if done.returncode:
        raise HookFailed(
            f"the environment cannot be entered: exit code {done.returncode}",
            where=str(house.project.manifest_path),
            hint="`cape run -- true` shows the same",
        )


def _insist(house: _House, do: str, request: Mapping[str, Any], heard: Heard | None) -> Mapping[str, Any]:
    """The answer; a supervisor that is just leaving is waited for, and another one started."""
    deadline = time.monotonic() + 30
    while True:
        answer = ask(house.home, do, request, heard=_hearing(heard))
        if answer is not None and "error" not in answer:
            return answer
        if time.monotonic() > deadline:
            raise client.SupervisorFailed("the process that runs services is ending, and does not end")
        time.sleep(0.05)
        client.ensure(house.home, house.project.directory, __version__)


def _hearing(heard: Heard | None) -> Callable[[Mapping[str, Any]], None] | None:
    if heard is None:
        return None
    return lambda answer: heard(answer["name"], answer["state"], answer["reason"])


def _told(house: _House, definition: Definition) -> dict[str, Any]:
    """The definition as the supervisor gets it, with the script that leads into the environment."""
    generation = house.generation
    assert generation is not None
    data = _script(house, definition)
    scripts = house.home / "scripts"
    script = scripts / _script_name(definition, data)
    with project_files(house.home):
        scripts.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not script.exists():
            write_atomically(script, data, mode=0o600)
    return definition.told(house.project.directory, script=script, generation=int(generation.number))


def _script(house: _House, definition: Definition) -> bytes:
    """The script that leads into the environment, as the current generation says it."""
    from cape.environment.sealing import read_activation
    from cape.environment.shells.sealed import render_service

    generation = house.generation
    assert generation is not None
    environment = generation.attached[house.environment] if house.environment else generation.environment
    activation = read_activation(
        house.project.directory, generation.directory, environment, name=house.environment
    )
    return os.fsencode(render_service(activation, definition.vars))


def _script_name(definition: Definition, data: bytes) -> str:
    return f"{definition.name}-{Digest.of(data).short}.sh"


def _finished(house: _House, answer: Mapping[str, Any], wanted: Sequence[str], *, wait: bool) -> Status:
    """The status after a request; a service that failed is an error with its last lines."""
    found = _status(house, answer=answer)
    if not wait:
        return found
    rows = {one.name: one for one in found.services}
    failed = [one for one in found.services if one.state == "failed" and one.name in answer["tails"]]
    if failed:
        first = next((one for one in failed if answer["tails"].get(one.name)), failed[0])
        others = [one for one in failed if one is not first]
        error = ServiceFailed(_failure(first, answer["tails"].get(first.name, ())), where=str(first.log))
        error.hint = f"`cape services logs {first.name}` has all that it said"
        error.also = tuple(ServiceFailed(_failure(one, ())) for one in others)
        raise error
    assert set(wanted) <= set(rows)
    return found


def _failure(one: ServiceStatus, lines: Sequence[str]) -> str:
    said = "".join(f"\n    {line}" for line in lines)
    return f"service `{one.name}` failed: {one.reason}{'; its last lines:' if said else ''}{said}"


def _status(house: _House, *, swept: int = 0, answer: Mapping[str, Any] | None = None) -> Status:
    answer = answer or ask(house.home, "status")
    live = answer is not None
    known = answer or last_known(house.home) or {"services": ()}
    rows = {str(row["name"]): row for row in known["services"]}
    logs = house.home / "logs"
    outdated = _outdated(house, rows.values()) if live else frozenset()
    services = [
        _row(rows.get(name), name, logs, outdated, live=live)
        for name in (*house.definitions, *(name for name in rows if name not in house.definitions))
        if name in house.definitions or (live and rows[name]["state"] not in ("stopped", "exited"))
    ]
    notes = []
    if live and known["project"] != str(house.project.directory):
        notes.append(f"they were started when the project was at `{known['project']}`: restart them")
    return Status(
        services=tuple(services),
        supervisor=known["pid"] if live else None,
        namespace=known["namespace"] if live else None,
        attached=known["attached"] if live else 0,
        swept=swept,
        notes=tuple(notes),
    )


def _row(
    row: Mapping[str, Any] | None, name: str, logs: Path, outdated: Collection[str], *, live: bool
) -> ServiceStatus:
    log = logs / f"{name}.log"
    if row is None:
        return ServiceStatus(name=name, state="stopped", ports={}, log=log)
    fields = {key: value for key, value in row.items() if key in ServiceStatus.__slots__}
    if not live and row["state"] in RUNNING:
        fields |= {"state": "lost", "pid": None, "reason": "its supervisor was killed"}
    return ServiceStatus(**{**fields, "log": log, "is_current": name not in outdated})


def _outdated(house: _House, rows: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Running services that would be started otherwise now, and those that the manifest has no more."""
    running = {str(row["name"]): row for row in rows if row["state"] in RUNNING}
    found = {name for name in running if name not in house.definitions}
    for name in running.keys() - found:
        was = running[name].get("made_of")
        if was is not None and (now := _made_of_now(house, name)) is not None:
            moved = was != now
        else:
            number = running[name]["generation"]
            moved = house.generation is not None and number not in (None, int(house.generation.number))
        if moved:
            found.add(name)
    return frozenset(found)


def _made_of_now(house: _House, name: str) -> str | None:
    """What the service would be started from; None where that cannot be told."""
    from cape.services.running import made_of

    definition = house.definitions[name]
    if house.generation is None or not house.is_made:
        return None
    try:
        script = house.home / "scripts" / _script_name(definition, _script(house, definition))
    except (CapeError, OSError):
        return None
    number = int(house.generation.number)
    return made_of(definition.told(house.project.directory, script=script, generation=number))


@contextlib.contextmanager
def until_interrupted() -> Iterator[None]:
    """End quietly on Ctrl-C: following a log has no other end."""
    try:
        yield
    except KeyboardInterrupt:
        return
