"""`cape serve-model`: a locked model behind an interface like OpenAI's, as a service of the environment.

Owns what has to hold before a server starts: the model and its server are in the lock, the file is the locked
one, it is a model, and there is memory for it. The service itself is `operations.services`'.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cape.errors import InputError, IntegrityError, StateError
from cape.lock import Lock, parse_lock, read_lock
from cape.manifest import Manifest, environment_of
from cape.names import Digest, System, nearest
from cape.operations.project import Project, Workshop, held
from cape.serving.tables import Serving, llama_table, vllm_table
from cape.sources.protocol import LockedPackage

if TYPE_CHECKING:
    from cape.models.header import Header
    from cape.operations.services import Heard

LLAMA, VLLM = "llama.cpp", "vllm"
RUNTIMES = {LLAMA: "xllamacpp", VLLM: "vllm"}
"""The package of the Python index that each server comes in."""

_LINES = {
    LLAMA: '`xllamacpp = { pypi = "*" }` and `libgomp1 = "*"`',
    VLLM: '`vllm = { pypi = "*", when = "cuda", systems = ["x86_64-linux"] }`',
}
_CONTEXT, _EMBEDDED_CONTEXT = 4096, 2048
_STEP = 256
_MICRO_BATCH = 512


class UnknownModel(InputError):
    """A model to serve that the manifest does not name."""

    slug = "unknown-model"


class CannotServe(InputError):
    """A model whose files no server here can take, or numbers that it cannot be served with."""

    slug = "cannot-serve"


class NoModelServer(StateError):
    """The environment has no package that serves a model of this format."""

    slug = "no-model-server"


class ModelDiffers(IntegrityError):
    """The file of a model in an environment is not the one that the lock names."""

    slug = "model-differs"


class NotEnoughMemory(StateError):
    """A model takes more memory than is free."""

    slug = "not-enough-memory"


@dataclass(frozen=True, kw_only=True, slots=True)
class ServeRequest:
    """What was asked for. `port` 0 is any free one; `context` None the usual one, of each of `parallel`
    answers at once; `add` puts what is lacking into the manifest."""

    model: str
    port: int = 0
    context: int | None = None
    parallel: int = 1
    gpu: str | None = None
    environment: str | None = None
    add: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """How a model is served: the service, its table, and what stands behind it.

    `needed_bytes` and `limit_bytes` are None where they are not known, or not to be held to.
    """

    service: str
    engine: str
    serving: Serving
    table: Mapping[str, Any]
    packages: tuple[LockedPackage, ...]
    needed_bytes: int | None = None
    limit_bytes: int | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedModel:
    """A model that is served: where, and how its memory is held (None: not told)."""

    planned: Planned
    port: int
    pid: int | None
    memory: str | None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


def plan_serving(project: Project, workshop: Workshop, request: ServeRequest) -> Planned:
    """How the model would be served, from manifest and lock alone; also for another machine's accelerator.

    What it takes is known where its file is in the current environment. Nothing is made or started. Raises
    `UnknownModel`, `CannotServe`, `NoModelServer`, `LockOutOfDate`, `NotEnoughMemory`, and what choosing
    variants raises.
    """
    from cape.environment.generations import current_generation

    manifest, lock = _read(project, workshop, request)
    _require_fresh(project, manifest, lock)
    assert lock is not None
    generation = current_generation(project.directory)
    home = _home(generation.environment, generation.attached, request) if generation else None
    return _planned(project, lock, request, home, is_elsewhere=request.gpu is not None)


def serve_model(
    project: Project,
    workshop: Workshop,
    request: ServeRequest,
    *,
    argv: Sequence[str],
    heard: Heard | None = None,
) -> ServedModel:
    """Start serving, and wait until it answers. What is served so already is left alone.

    Raises what `plan_serving` raises, `ModelDiffers`, `ServiceFailed`, and what making the environment
    raises.
    """
    from cape.operations.living import ready_generation

    manifest, lock = _read(project, workshop, request)
    _foresee(project, manifest, lock, workshop, request, argv)
    generation = ready_generation(project, workshop, argv=argv, environment=request.environment)
    made = parse_lock(generation.lock_text, path=generation.directory / "cape.lock")
    home = _home(generation.environment, generation.attached, request)
    planned = _planned(project, made, request, home)
    _check_digests(planned, home)
    return _started(project, workshop, request, planned, argv=argv, heard=heard)


def _started(
    project: Project,
    workshop: Workshop,
    request: ServeRequest,
    planned: Planned,
    *,
    argv: Sequence[str],
    heard: Heard | None,
) -> ServedModel:
    from cape.operations.services import bring_up_asked, log_lines

    if planned.engine == LLAMA:
        _place_program(project, request.environment)
    one = bring_up_asked(
        project,
        workshop,
        planned.service,
        planned.table,
        argv=argv,
        environment=request.environment,
        heard=heard,
    )
    lines = log_lines(project, (one.name,), count=2000, environment=request.environment)
    said = [line.text for _, line in lines if line.text.startswith("memory: ")]
    memory = said[-1].removeprefix("memory: ") if said else None
    return ServedModel(planned=planned, port=one.ports["http"], pid=one.pid, memory=memory)


# -- what is there --------------------------------------------------------------------------------------


def _read(project: Project, workshop: Workshop, request: ServeRequest) -> tuple[Manifest, Lock | None]:
    """The manifest, which names the model, and the lock as it is. Raises `UnknownModel`."""
    from cape.operations.including import project_manifest

    manifest = project_manifest(project, store=workshop.store)
    models = [
        one.name
        for one in environment_of(manifest, request.environment).requirements
        if one.source == "model"
    ]
    if request.model not in models:
        close = nearest(request.model, models)
        listed = ", ".join(f"`{name}`" for name in models)
        hint = f"`[models]` has {listed}" if models else "add it to `[models]`"
        raise UnknownModel(
            f"the manifest has no model `{request.model}`",
            where=str(project.manifest_path),
            hint=f"did you mean `{close[0]}`?" if close else hint,
        )
    return manifest, read_lock(project.lock_path)


def _require_fresh(project: Project, manifest: Manifest, lock: Lock | None) -> None:
    from cape.operations.locking import reasons_to_lock
    from cape.operations.syncing import LockOutOfDate

    if reasons := reasons_to_lock(manifest, lock):
        raise LockOutOfDate(
            f"the lock does not answer the manifest: {'; '.join(reasons)}",
            where=str(project.lock_path),
            hint="run `cape lock`",
        )


def _foresee(
    project: Project,
    manifest: Manifest,
    lock: Lock | None,
    workshop: Workshop,
    request: ServeRequest,
    argv: Sequence[str],
) -> None:
    """Say what can be said before anything is downloaded, and add the server where that is asked for."""
    from cape.operations.locking import reasons_to_lock

    if lock is not None and not reasons_to_lock(manifest, lock):
        fitted = _fitted(lock, request)
        rows = _weights(fitted, request.model)
        engine = _engine(request.model, rows)
        if not _has_server(fitted, engine) and request.add and engine == LLAMA:
            _add_server(project, workshop, request, argv)
        else:
            _check_server(project, fitted, engine, request)
        _check_size(request, rows)
    elif request.add and not any(one.package == RUNTIMES[LLAMA] for one in manifest.requirements):
        _add_server(project, workshop, request, argv)


def _add_server(project: Project, workshop: Workshop, request: ServeRequest, argv: Sequence[str]) -> None:
    from cape.manifest import parse_package_argument
    from cape.operations.editing import install

    packages = [parse_package_argument(word) for word in ("pypi:xllamacpp", "debian:libgomp1")]
    with held(project):
        install(project, workshop, packages, argv=argv, environment=request.environment)


def _fitted(lock: Lock, request: ServeRequest) -> Lock:
    from cape.operations.composing import chosen_lock
    from cape.operations.variants import fitting

    return fitting(chosen_lock(lock, request.environment), gpu=request.gpu)


def _home(environment: Path, attached: Mapping[str, Path], request: ServeRequest) -> Path | None:
    """The environment that is meant; None where the generation has not got it."""
    return attached.get(request.environment) if request.environment else environment


# -- how it is served -----------------------------------------------------------------------------------


def _planned(
    project: Project,
    lock: Lock,
    request: ServeRequest,
    home: Path | None,
    *,
    is_elsewhere: bool = False,
) -> Planned:
    _check_free_name(project, request)
    fitted = _fitted(lock, request)
    rows = _weights(fitted, request.model)
    engine = _engine(request.model, rows)
    _check_server(project, fitted, engine, request)
    packages = (*rows, *(row for row in fitted.packages_of("pypi") if row.name == RUNTIMES[engine]))
    if engine == VLLM:
        return _by_vllm(request, packages)
    file = home / _below(rows[0], request.model) if home else None
    header = _header(file) if file and file.exists() else None
    return _by_llama(project, request, packages, header, _below(rows[0], request.model), is_elsewhere)


def _by_vllm(request: ServeRequest, packages: tuple[LockedPackage, ...]) -> Planned:
    serving = Serving(
        model=request.model,
        path=f'"$CAPE_ENV/models/{request.model}"',
        port=request.port,
        context=request.context or _CONTEXT,
        parallel=request.parallel,
        accelerated=True,
    )
    return Planned(
        service=service_of(request.model),
        engine=VLLM,
        serving=serving,
        table=vllm_table(serving),
        packages=packages,
        notes=("vLLM takes its share of the GPU's memory itself: nothing is compared with it here",),
    )


def _by_llama(
    project: Project,
    request: ServeRequest,
    packages: tuple[LockedPackage, ...],
    header: Header | None,
    below: str,
    is_elsewhere: bool,
) -> Planned:
    embeds = header is not None and is_embedder(header)
    context = request.context or usual_context(header, embeds=embeds)
    accelerated = _is_accelerated(request)
    serving = Serving(
        model=request.model,
        path=f'"$CAPE_ENV/{below}"',
        port=request.port,
        context=context,
        parallel=request.parallel,
        embeds=embeds,
        accelerated=accelerated,
    )
    needed = _needed(header, serving) if header else None
    limit = limit_for(needed) if needed and not accelerated else None
    if limit and header and not is_elsewhere:
        _check_memory(project, request, header, serving, limit)
    serving = replace(serving, limit_bytes=limit)
    return Planned(
        service=service_of(request.model),
        engine=LLAMA,
        serving=serving,
        table=llama_table(serving, _program(request.environment)),
        packages=packages,
        needed_bytes=needed,
        limit_bytes=limit,
        notes=_notes(header, serving, needed),
    )


def _notes(header: Header | None, serving: Serving, needed: int | None) -> tuple[str, ...]:
    notes = []
    if serving.accelerated:
        notes.append("all layers go to the GPU, whose memory is not compared; no limit is set")
    elif header is None:
        notes.append("what it takes is known once its file is here: `cape sync`")
    elif needed is None:
        notes.append("what it takes is not known of this architecture: no limit is set")
    trained = _trained(header)
    if trained and serving.context > trained:
        notes.append(f"the model was trained with {trained} tokens of context, not {serving.context}")
    return tuple(notes)


def service_of(model: str) -> str:
    """The name of the service that serves a model."""
    return f"model-{model}"


def is_embedder(header: Header) -> bool:
    """Whether a GGUF file gives vectors: it says how to pool them, or is of such an architecture."""
    from cape.fitting import shape_of

    shape = shape_of(header)
    architecture = str(header.metadata.get("general.architecture"))
    return bool(header.metadata.get(f"{architecture}.pooling_type") or (shape and shape.is_encoder))


def usual_context(header: Header | None, *, embeds: bool) -> int:
    """The context where none was asked for: no more than the model was trained with."""
    usual = _EMBEDDED_CONTEXT if embeds else _CONTEXT
    return min(usual, _trained(header) or usual)


def _trained(header: Header | None) -> int | None:
    """The context that a model was trained with, where its file says so."""
    from cape.fitting import shape_of

    shape = shape_of(header) if header else None
    return shape.trained_context if shape else None


def limit_for(needed_bytes: int) -> int:
    """What a server may have: a tenth more than the sum says, and room for what its requests hold."""
    return needed_bytes * 11 // 10 + (64 << 20)


def _weights(lock: Lock, model: str) -> tuple[LockedPackage, ...]:
    system = System.current()
    found = [
        row
        for row in lock.packages_of("model")
        if row.placement == model and system in row.systems and "file" in row.attributes
    ]
    return tuple(sorted(found, key=lambda row: row.attributes["file"]))


def _engine(model: str, rows: Sequence[LockedPackage]) -> str:
    """Which server takes these files. Raises `CannotServe`."""
    names = [row.attributes["file"] for row in rows]
    gguf = [name for name in names if name.lower().endswith(".gguf")]
    if len(gguf) == len(names) == 1:
        return LLAMA
    if gguf:
        raise CannotServe(
            f"`{model}` is {len(names)} files, and llama.cpp is given one", hint="name one with `file`"
        )
    if any(name.lower().endswith(".safetensors") for name in names):
        return VLLM
    shown = ", ".join(f"`{name.rpartition('/')[2]}`" for name in names[:3]) or "no file"
    raise CannotServe(
        f"`{model}` is {shown}: llama.cpp serves GGUF files, and vLLM safetensors of a model hub",
        hint="many models are also published as GGUF",
    )


def _has_server(lock: Lock, engine: str) -> bool:
    system = System.current()
    return any(row.name == RUNTIMES[engine] and system in row.systems for row in lock.packages_of("pypi"))


def _check_server(project: Project, lock: Lock, engine: str, request: ServeRequest) -> None:
    """The environment has the server, and vLLM a GPU. Raises `CannotServe`, `NoModelServer`."""
    from cape.operations.variants import accelerator_for

    if engine == VLLM:
        accelerator = accelerator_for(request.gpu, System.current())
        if accelerator.kind != "cuda":
            raise CannotServe(
                f"`{request.model}` is safetensors, which vLLM serves, and that needs a GPU of NVIDIA's; "
                f"here is {accelerator.kind} ({accelerator.reason})",
                hint="take the model as GGUF; or `--gpu cuda12 --dry-run` for another machine",
            )
    if not _has_server(lock, engine):
        add = f"; `cape serve-model {request.model} --add` does it" if engine == LLAMA else ""
        raise NoModelServer(
            f"the environment has no `{RUNTIMES[engine]}`, which serves `{request.model}`",
            where=str(project.manifest_path),
            hint=f"add {_LINES[engine]} to `[packages]`{add}",
        )


def _check_free_name(project: Project, request: ServeRequest) -> None:
    from cape.operations.including import project_manifest
    from cape.operations.service_templates import ServiceTaken

    name = service_of(request.model)
    manifest = environment_of(project_manifest(project), request.environment)
    if name in manifest.services:
        raise ServiceTaken(
            f"the manifest has a service `{name}` already",
            where=manifest.origins.get(f"services.{name}"),
            hint=f"`cape services up {name}` starts that one",
        )


def _is_accelerated(request: ServeRequest) -> bool:
    from cape.operations.variants import accelerator_for

    return accelerator_for(request.gpu, System.current()).kind != "cpu"


def _below(row: LockedPackage, model: str) -> str:
    """Where a model's file lies below the environment."""
    from cape.sources.models.rows import placed_path

    return f"models/{model}/{placed_path(row, 'file')}"


def _header(file: Path) -> Header:
    """What the file says of itself. Raises `BadModelFile`."""
    from cape.models.errors import BadModelFile
    from cape.models.recognition import read_header

    try:
        return read_header(file)
    except BadModelFile as error:
        raise BadModelFile(error.fact, where=str(file), hint=error.hint) from error


def _check_digests(planned: Planned, home: Path | None) -> None:
    """The files are those of the lock, byte for byte. Raises `ModelDiffers`."""
    for row in planned.packages:
        if row.source != "model" or home is None:
            continue
        file = home / _below(row, planned.serving.model)
        wanted = row.attributes["file-digest"]
        if (found := str(Digest.of_file(file))) != wanted:
            raise ModelDiffers(
                f"the file of `{planned.serving.model}` has {found}, and the lock says {wanted}",
                where=str(file),
                hint="`cape doctor --verify` finds what else differs; `cape sync` makes anew what is removed",
            )


# -- memory ---------------------------------------------------------------------------------------------


def _needed(header: Header, serving: Serving) -> int | None:
    """The bytes that it takes at its fullest; None where its architecture is unknown."""
    from cape.fitting import estimate_gguf

    batch = max(_MICRO_BATCH, serving.context) if serving.embeds else _MICRO_BATCH
    found = estimate_gguf(header, context=serving.context, parallel=serving.parallel, micro_batch=batch)
    return None if found.unknown else found.size_bytes


def _check_memory(
    project: Project, request: ServeRequest, header: Header, serving: Serving, limit: int
) -> None:
    """Raise where what it takes is not free, with what would fit; what serves it now would go first."""
    from cape.operations.fitting import free_memory

    free = free_memory() + _held(project, request)
    if limit > free:
        asked = f"{serving.parallel} x {serving.context}" if serving.parallel > 1 else serving.context
        raise NotEnoughMemory(
            f"`{serving.model}` takes up to {_megabytes(limit)} with {asked} tokens of context, and "
            f"{_megabytes(free)} are free",
            hint=_remedy(header, serving, free),
        )


def _remedy(header: Header, serving: Serving, free: int) -> str:
    """What would fit: the largest context for as many answers at once, else for one; else a smaller file."""
    most = min(serving.context, _trained(header) or serving.context)
    for parallel in dict.fromkeys((serving.parallel, 1)):
        low, high = 0, most // _STEP
        while low < high:
            middle = (low + high + 1) // 2
            takes = _needed(header, replace(serving, context=middle * _STEP, parallel=parallel))
            low, high = (middle, high) if takes and limit_for(takes) <= free else (low, middle - 1)
        if low:
            fewer = "" if parallel == serving.parallel else " --parallel 1"
            return f"`--context {low * _STEP}{fewer}` fits"
    least = _needed(header, replace(serving, context=1, parallel=1)) or header.size_bytes
    return (
        f"it takes {_megabytes(limit_for(least))} at least: take a smaller quantisation, or a smaller model"
    )


def _held(project: Project, request: ServeRequest) -> int:
    """What the server that runs for this model has resident now."""
    from cape.services.client import home_of, last_known

    rows = (last_known(home_of(project.directory, request.environment)) or {}).get("services", ())
    pid = next((row["pid"] for row in rows if row["name"] == service_of(request.model)), None)
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) if pid else 0
    except OSError:
        pages = 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _check_size(request: ServeRequest, rows: Sequence[LockedPackage]) -> None:
    """Raise where the weights alone are more than is free; from the lock, before they are downloaded."""
    from cape.operations.fitting import free_memory

    size = sum(int(row.attributes.get("file-size", 0)) for row in rows)
    free = free_memory()
    if size > free and not _is_accelerated(request):
        raise NotEnoughMemory(
            f"the weights of `{request.model}` are {_megabytes(size)}, and {_megabytes(free)} are free",
            hint="take a smaller quantisation, or a smaller model",
        )


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.0f} MB"


# -- the program ----------------------------------------------------------------------------------------


def _program(environment: str | None) -> str:
    """Where the program lies, relative to the project, as the service's shell says it.

    Its name has its digest, so that another one starts the service anew.
    """
    below = f"environments/{environment}/" if environment else ""
    return f".cape/services/{below}programs/llama-{Digest.of(_program_bytes()).short}.py"


def _program_bytes() -> bytes:
    from importlib.resources import files

    return files("cape.serving").joinpath("llama.py").read_bytes()


def _place_program(project: Project, environment: str | None) -> None:
    """Copy the program into the project's state: where cape lies, the environment may have its own files."""
    from cape.names import write_atomically
    from cape.operations.project import project_files

    file = project.directory / _program(environment)
    with held(project), project_files(file.parent):
        if not file.exists():
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(file, _program_bytes(), mode=0o600)
