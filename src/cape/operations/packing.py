"""`cape pack`, `cape image` and `cape k8s`: the project's environment, carried away in one piece.

Values of files of variables and of secrets stay here: what is carried knows their names at most.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from cape.environment.activation import Activation, Reference, activation_of, parse_value
from cape.environment.generations import Generation
from cape.manifest import Manifest, environment_of
from cape.manifest.variables import in_order
from cape.names import Digest, System
from cape.operations.including import project_manifest
from cape.operations.living import ready_generation
from cape.operations.project import NotLocked, Project, Workshop
from cape.packing.activation import render_activation
from cape.packing.carried import Carried
from cape.packing.errors import CannotCarry
from cape.packing.file import Packed, write_pack
from cape.packing.image import Image, ImageSettings, write_image
from cape.packing.kubernetes import Workload, kubernetes_manifest, kubernetes_name
from cape.services.definition import Definition, definitions_of
from cape.services.running import port_variables


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """An environment that is to be carried: where it lies, what entering it means, and its lock's digest.

    `outside` are variables that stay here, since they may be secrets.
    """

    manifest: Manifest
    environment: Path
    activation: Activation
    system: System
    lock: Digest
    outside: tuple[str, ...] = ()


def choose(
    project: Project,
    workshop: Workshop,
    *,
    argv: Sequence[str],
    system: System | None = None,
    environment: str | None = None,
    gpu: str | None = None,
) -> Chosen:
    """The environment that answers manifest and lock, made where it is not there yet.

    Raises what a sync raises, `SystemNotLocked`, and `CannotCarry` for projects that are installed in place.
    """
    wanted = system or System.current()
    manifest = project_manifest(project)
    if environment is not None:
        manifest = environment_of(manifest, environment)
    if wanted is System.current() and gpu is None:
        place = _place_of(
            ready_generation(project, workshop, argv=argv, environment=environment), environment
        )
    else:
        from cape.operations.syncing import sync_elsewhere

        made = sync_elsewhere(project, workshop, system=wanted, environment=environment, gpu=gpu)
        place = made.environment.path
    _check_whole(place, project)
    return Chosen(
        manifest=manifest,
        environment=place,
        activation=activation_of(replace(manifest, env_files=()), place, project.directory),
        system=wanted,
        lock=Digest.of_file(project.lock_path),
        outside=outside_of(manifest, project),
    )


def outside_of(manifest: Manifest, project: Project) -> tuple[str, ...]:
    """Names of variables whose values come from files of variables, or are secrets."""
    from cape.environment.variables import variables_of

    of_files = {one.name for one in variables_of(manifest, project.directory)} - manifest.vars.keys()
    return tuple(sorted({*of_files, *manifest.secrets}))


def _place_of(generation: Generation, environment: str | None) -> Path:
    return generation.attached[environment] if environment else generation.environment


def _check_whole(environment: Path, project: Project) -> None:
    """Editable projects are links to a directory of this machine: nothing of them would be carried."""
    for file in sorted(environment.glob("lib/python3*/site-packages/*.pth")):
        if str(project.directory) in file.read_text(errors="replace"):
            raise CannotCarry(
                f"`{file.name}` leads to `{project.directory}`: an editable project would stay behind",
                hint="install it as a package (`editable = false`, or `[build.NAME]`), then pack",
            )


def pack(
    project: Project,
    workshop: Workshop,
    target: Path | None,
    *,
    argv: Sequence[str],
    command: Sequence[str] = (),
    system: System | None = None,
    environment: str | None = None,
    gpu: str | None = None,
    shell: bool = True,
) -> Packed:
    """Write the environment as one self-extracting file that runs `command`.

    Raises what `choose` and `write_pack` raise.
    """
    chosen = choose(project, workshop, argv=argv, system=system, environment=environment, gpu=gpu)
    name = chosen.activation.name
    packed = write_pack(
        Carried(chosen.environment, workshop.store),
        (target or Path(f"{name}-{chosen.system}.pack")).absolute(),
        title=name,
        system=chosen.system,
        activation=render_activation(chosen.activation, system=str(chosen.system), command=command),
        shell=shell,
        progress=workshop.progress,
    )
    return replace(packed, outside=chosen.outside)


def image(
    project: Project,
    workshop: Workshop,
    target: Path | None,
    *,
    argv: Sequence[str],
    command: Sequence[str] = (),
    system: System | None = None,
    environment: str | None = None,
    gpu: str | None = None,
) -> Image:
    """Write the environment as an OCI image layout, or as a tar file of one where `target` ends so.

    Raises what `choose` and `write_image` raise.
    """
    chosen = choose(project, workshop, argv=argv, system=system, environment=environment, gpu=gpu)
    name = chosen.activation.name
    ports = (port for one in _services(chosen).values() for port in one.ports.values() if port)
    settings = ImageSettings(
        name=name,
        system=chosen.system,
        activation=render_activation(
            chosen.activation, system=str(chosen.system), yielding=chosen.manifest.vars
        ),
        command=tuple(["--cape-run", *command] if command else ()),
        ports=tuple(sorted(set(ports))),
        labels={"org.opencontainers.image.title": name, "cape.lock": str(chosen.lock)},
    )
    place = (target or Path(f"{name}-{chosen.system}.oci")).absolute()
    made = write_image(
        Carried(chosen.environment, workshop.store),
        chosen.environment,
        workshop.store,
        place,
        settings,
        archive=place.suffix == ".tar",
        progress=workshop.progress,
    )
    return replace(made, outside=chosen.outside)


def _services(chosen: Chosen) -> Mapping[str, Definition]:
    return definitions_of(chosen.manifest.services, chosen.system)


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """A Kubernetes manifest, and the keys that its `Secret` of that name must have."""

    text: str
    secret: str
    secrets: tuple[str, ...]


def k8s(
    project: Project,
    image_name: str,
    *,
    command: Sequence[str] = (),
    environment: str | None = None,
) -> Written:
    """A Kubernetes manifest that runs the environment's services, or `command` as a job, from an image.

    Variables that refer to others stay with the image's activation; secrets, and variables of files, are
    referred to. Raises `NotLocked`.
    """
    manifest = project_manifest(project)
    if environment is not None:
        manifest = environment_of(manifest, environment)
    if not project.lock_path.exists():
        raise NotLocked("the project has no lock yet", hint="`cape lock` writes one")
    services = definitions_of(manifest.services, System.X86_64_LINUX)
    secrets = outside_of(manifest, project)
    text = kubernetes_manifest(
        name=manifest.name,
        image=image_name,
        lock=str(Digest.of_file(project.lock_path)),
        workloads=_workloads(services),
        command=command,
        variables=plain_variables(manifest),
        secrets=secrets,
    )
    return Written(text=text, secret=kubernetes_name(manifest.name), secrets=secrets)


def _workloads(services: Mapping[str, Definition]) -> list[Workload]:
    """The services; each knows its own ports and those of all, under the names that `cape services` uses."""
    ports = {name: _fixed(one.ports) for name, one in services.items()}
    shared = {
        f"CAPE_{_port_variable(name)}_{_port_variable(port).removeprefix('PORT_')}": str(number)
        for name, numbers in ports.items()
        for port, number in numbers.items()
    }
    return [_workload(one, ports[name], shared) for name, one in services.items()]


def _port_variable(name: str) -> str:
    return next(iter(port_variables({name: 0})))


_FIRST_PORT = 8080


def _fixed(ports: Mapping[str, int]) -> dict[str, int]:
    """The ports, with numbers from 8080 on for those that may be any: a pod shares them with nobody."""
    taken = set(ports.values())
    free = (number for number in count(_FIRST_PORT) if number not in taken)
    return {name: number or next(free) for name, number in ports.items()}


def _workload(service: Definition, ports: dict[str, int], shared: Mapping[str, str]) -> Workload:
    ready = service.ready
    port = ready.port if ready else None
    plain = {name: text for name, text in service.vars.items() if _is_plain(text)}
    exports = "".join(
        f"export {name}={_double_quoted(text)}\n"
        for name, text in in_order(service.vars).items()
        if name not in plain
    )
    return Workload(
        name=service.name,
        command=exports + service.command,
        ports=ports,
        variables={**shared, **port_variables(ports), **plain},
        stop_command=service.stop_command or _signalled(service.stop_signal),
        ready_command=ready.command if ready else None,
        ready_http=ready.http if ready else None,
        ready_port=ports.get(port) if isinstance(port, str) else port,
        interval_s=ready.interval_s if ready else 1.0,
        timeout_s=ready.timeout_s if ready else 60.0,
        grace_s=service.stop_grace_s,
    )


def plain_variables(manifest: Manifest) -> dict[str, str]:
    """Variables of the manifest that refer to no others: a cluster can set them itself."""
    return {name: text for name, text in manifest.vars.items() if _is_plain(text)}


def _is_plain(text: str) -> bool:
    """Whether a value refers to no variable."""
    return not any(isinstance(part, Reference) for part in parse_value(text))


def _double_quoted(text: str) -> str:
    """A word of a shell, in which `$NAME` and `${NAME}` are references, and nothing else is anything."""
    parts = (
        "${" + part.name + "}" if isinstance(part, Reference) else re.sub(r'(["$`\\])', r"\\\1", part)
        for part in parse_value(text)
    )
    return f'"{"".join(parts)}"'


def _signalled(number: int) -> str | None:
    """How a service gets another signal than the one that Kubernetes sends: it is its container's first
    process."""
    return None if number == signal.SIGTERM else f"kill -{signal.Signals(number).name[3:]} 1"
