"""`cape pack`, `cape image` and `cape k8s`: the project's environment, carried away in one piece."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cape.environment.activation import Activation, activation_of
from cape.environment.generations import Generation
from cape.manifest import Manifest, environment_of
from cape.names import Digest, System
from cape.operations.including import project_manifest
from cape.operations.living import ready_generation
from cape.operations.project import NotLocked, Project, Workshop
from cape.packing.activation import render_activation
from cape.packing.carried import Carried
from cape.packing.errors import CannotCarry
from cape.packing.file import Packed, write_pack
from cape.packing.image import Image, ImageSettings, write_image
from cape.packing.kubernetes import Workload, kubernetes_manifest
from cape.services.definition import Definition, definitions_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """An environment that is to be carried: where it lies, what entering it means, and its lock's digest."""

    manifest: Manifest
    environment: Path
    activation: Activation
    system: System
    lock: Digest


def choose(
    project: Project,
    workshop: Workshop,
    *,
    argv: Sequence[str],
    system: System | None = None,
    environment: str | None = None,
) -> Chosen:
    """The environment that answers manifest and lock, made where it is not there yet.

    Raises what a sync raises, `SystemNotLocked`, and `CannotCarry` for projects that are installed in place.
    """
    wanted = system or System.current()
    manifest = project_manifest(project)
    if environment is not None:
        manifest = environment_of(manifest, environment)
    if wanted is System.current():
        place = _place_of(
            ready_generation(project, workshop, argv=argv, environment=environment), environment
        )
    else:
        from cape.operations.syncing import sync_elsewhere

        made = sync_elsewhere(project, workshop, system=wanted, environment=environment)
        place = made.environment.path
    _check_whole(place, project)
    return Chosen(
        manifest=manifest,
        environment=place,
        activation=activation_of(manifest, place, project.directory),
        system=wanted,
        lock=Digest.of_file(project.lock_path),
    )


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
    shell: bool = True,
) -> Packed:
    """Write the environment as one self-extracting file that runs `command`.

    Raises what `choose` and `write_pack` raise.
    """
    chosen = choose(project, workshop, argv=argv, system=system, environment=environment)
    name = chosen.activation.name
    return write_pack(
        Carried(chosen.environment, workshop.store),
        (target or Path(f"{name}-{chosen.system}.pack")).absolute(),
        title=name,
        system=chosen.system,
        activation=render_activation(chosen.activation, system=str(chosen.system), command=command),
        shell=shell,
        progress=workshop.progress,
    )


def image(
    project: Project,
    workshop: Workshop,
    target: Path | None,
    *,
    argv: Sequence[str],
    command: Sequence[str] = (),
    system: System | None = None,
    environment: str | None = None,
) -> Image:
    """Write the environment as an OCI image layout, or as a tar file of one where `target` ends so.

    Raises what `choose` and `write_image` raise.
    """
    chosen = choose(project, workshop, argv=argv, system=system, environment=environment)
    name = chosen.activation.name
    ports = (port for one in _services(chosen).values() for port in one.ports.values() if port)
    settings = ImageSettings(
        name=name,
        system=chosen.system,
        activation=render_activation(chosen.activation, system=str(chosen.system)),
        command=tuple(["--cape-run", *command] if command else ()),
        ports=tuple(sorted(set(ports))),
        labels={"org.opencontainers.image.title": name, "cape.lock": str(chosen.lock)},
    )
    place = (target or Path(f"{name}-{chosen.system}.oci")).absolute()
    return write_image(
        Carried(chosen.environment, workshop.store),
        chosen.environment,
        workshop.store,
        place,
        settings,
        archive=place.suffix == ".tar",
        progress=workshop.progress,
    )


def _services(chosen: Chosen) -> Mapping[str, Definition]:
    return definitions_of(chosen.manifest.services, chosen.system)


def k8s(
    project: Project,
    image_name: str,
    *,
    command: Sequence[str] = (),
    environment: str | None = None,
) -> str:
    """A Kubernetes manifest that runs the environment's services, or `command` as a job, from an image.

    Variables that refer to others, and secrets, stay with the image's activation.
    Raises `NotLocked`.
    """
    manifest = project_manifest(project)
    if environment is not None:
        manifest = environment_of(manifest, environment)
    if not project.lock_path.exists():
        raise NotLocked("the project has no lock yet", hint="`cape lock` writes one")
    plain = {name: text for name, text in manifest.vars.items() if "$" not in text}
    return kubernetes_manifest(
        name=manifest.name,
        image=image_name,
        lock=str(Digest.of_file(project.lock_path)),
        workloads=[_workload(one) for one in definitions_of(manifest.services, System.X86_64_LINUX).values()],
        command=command,
        variables=plain,
    )


def _workload(service: Definition) -> Workload:
    ready = service.ready
    port = ready.port if ready else None
    return Workload(
        name=service.name,
        command=service.command,
        ports={name: number for name, number in service.ports.items() if number},
        ready_command=ready.command if ready else None,
        ready_http=ready.http if ready else None,
        ready_port=service.ports.get(port) or None if isinstance(port, str) else port,
        interval_s=ready.interval_s if ready else 1.0,
        timeout_s=ready.timeout_s if ready else 60.0,
        grace_s=service.stop_grace_s,
    )
