"""Generations: the numbered environments of a project, and the switch between them.

Owns `<project>/.cape`: `generations/N/` (record, manifest, lock and sealed scripts), the link `current`,
the note `switching` while a switch is under way, and `state/`. A reader of `current` sees the old or the
new generation. The caller holds the project, so that one process at a time changes it.
The reasons are in `docs/decisions/`, rollback.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cape.errors import InputError, StateError
from cape.names import Digest, GenerationId, sync_directory, write_atomically
from cape.store.leases import holder_name, is_alive, start_time

if TYPE_CHECKING:
    from cape.environment.kept import OwnFiles
    from cape.environment.realisation import RealisedEnvironment
    from cape.manifest import Included
    from cape.store import Store

RECORD = "generation.json"
ATTACHED_RECORD = "attached.json"
SWITCHES = "switches"
_FILES = ("cape.toml", "cape.lock")
_SCHEMA = 1
_TEMPORARY = re.compile(r"\.[\w.-]+\.(\d+)\.tmp")
"""What `write_atomically` calls a file that is not whole yet; the number is its writer's."""
_FILE_BEGINS = tuple(f".{name}." for name in _FILES)


class NoGeneration(StateError):
    """The project has no environment yet."""

    slug = "no-generation"


class UnknownGeneration(InputError):
    """A number that none of the project's generations has."""

    slug = "unknown-generation"


class GenerationRecordUnreadable(StateError):
    """The record of a generation is damaged."""

    slug = "generation-record-unreadable"


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """One numbered environment of a project.

    `environment` is its directory in the store, `argv` the command that made it, `user` who gave that,
    `previous` the generation that was current before it (None for the first), `created_s` seconds since
    1970. `changes` are what was added, removed and changed since that one, a line each (None: a record of
    an older cape, which does not say).
    """

    number: GenerationId
    project: Path
    environment: Path
    identity: Digest
    content: Digest
    created_s: float
    argv: tuple[str, ...]
    previous: GenerationId | None
    user: str | None = None
    changes: tuple[str, ...] | None = None

    @property
    def attached(self) -> dict[str, Path]:
        """The other environments that this generation has, by name: their directories in the store."""
        return attached_to(self.directory)

    @property
    def directory(self) -> Path:
        return directory_of(self.project, self.number)

    @property
    def manifest_text(self) -> str:
        return (self.directory / "cape.toml").read_text(encoding="utf-8", errors="replace")

    @property
    def lock_text(self) -> str:
        return (self.directory / "cape.lock").read_text(encoding="utf-8", errors="replace")


def directory_of(project: Path, number: int) -> Path:
    """Where a generation of that number is, or would be."""
    return project / ".cape" / "generations" / str(number)


def prepare_project(project: Path) -> Path:
    """Make `.cape` with what must be in it, private to its owner, and give its path."""
    own = project / ".cape"
    for directory in (own, own / "state", own / "generations"):
        directory.mkdir(mode=0o700, exist_ok=True)
    ignore = own / ".gitignore"
    if not ignore.exists():
        write_atomically(ignore, b"*\n")
    return own


def new_generation(
    project: Path,
    environment: RealisedEnvironment,
    *,
    lock_text: str,
    manifest_text: str,
    argv: Sequence[str] = (),
    included: Sequence[Included] = (),
    attached: Mapping[str, RealisedEnvironment] | None = None,
    changes: Sequence[str] | None = None,
    own: OwnFiles | None = None,
) -> Generation:
    """Make a generation and switch to it; `cape.toml` and `cape.lock` then hold the texts given.

    `included` are the manifests that `manifest_text` includes, `attached` the environments of other names,
    `changes` lines that say what is new in it, `own` the files of the project that ask for packages.

    If the current generation already is exactly that, it is sealed anew and given back. Until the switch
    nothing that a reader looks at has changed; a switch that is cut off is finished by `heal`.
    Raises `InputError` for a manifest that cannot be activated, `OSError`.
    """
    from cape.store import Store

    project = Path(os.path.realpath(project))
    prepare_project(project)
    heal(project)
    present = current_generation(project)
    store = Store(environment.path.parent.parent)
    store.announce()
    others = attached or {}
    reached = [one.path.name for one in (environment, *others.values())]
    if present and _is_same(present, environment, lock_text, manifest_text, included):
        for name, one in others.items():
            attach_environment(project, present, name, one)
        _keep_own(project, present.directory, own, environment.path)
        return _switch(project, present.number)
    store.projects.register(project, [*reached, *_registered(store, project)])
    texts = _Texts(manifest=manifest_text, lock=lock_text, included=tuple(included), own=own)
    story = {"argv": list(argv), "user": _user(), "changes": None if changes is None else list(changes)}
    number, written = _write(project, environment, texts, story, others, present)
    try:
        return _switch(project, number, written=written)
    finally:
        shutil.rmtree(written, ignore_errors=True)


def _registered(store: Store, project: Path) -> tuple[str, ...]:
    return next((one.environments for one in store.projects.all() if one.directory == project), ())


def _is_same(
    present: Generation,
    environment: RealisedEnvironment,
    lock: str,
    manifest: str,
    included: Sequence[Included],
) -> bool:
    from cape.environment.kept import same_included

    same_place = present.environment == environment.path and present.content == environment.content
    same_texts = present.manifest_text == manifest and present.lock_text == lock
    return same_place and same_texts and same_included(present.directory, included)


def _user() -> str | None:
    """The name of this process's user; None where the machine does not know it."""
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


@dataclass(frozen=True, kw_only=True, slots=True)
class _Texts:
    """What a generation keeps of the files that it was made from."""

    manifest: str
    lock: str
    included: tuple[Included, ...]
    own: OwnFiles | None


def _write(
    project: Path,
    environment: RealisedEnvironment,
    texts: _Texts,
    story: Mapping[str, object],
    attached: Mapping[str, RealisedEnvironment],
    present: Generation | None,
) -> tuple[GenerationId, Path]:
    """Write a generation beside; the next free number, which it will have, and where it is."""
    from cape.environment.kept import keep_included
    from cape.environment.sealing import seal_scripts

    generations = project / ".cape" / "generations"
    _sweep(generations)
    temporary = generations / f".new.{holder_name()}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(mode=0o700)
    try:
        number = max([*numbers(project), 0]) + 1
        record = {
            "schema_version": 1,
            "environment": str(environment.path),
            "identity": environment.identity.hex,
            "content": environment.content.hex,
            "created_s": round(time.time(), 3),
            "previous": present.number if present else None,
            **story,
        }
        (temporary / "cape.toml").write_text(texts.manifest, encoding="utf-8")
        (temporary / "cape.lock").write_text(texts.lock, encoding="utf-8")
        keep_included(temporary, texts.included)
        _keep_own(project, temporary, texts.own, environment.path)
        final = directory_of(project, number)
        seal_scripts(project, temporary, final, environment.path)
        for name, one in attached.items():
            _write_attached(project, temporary, final, name, one)
        write_atomically(temporary / RECORD, json.dumps(record, indent=1).encode() + b"\n")
        _sync_files(temporary)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return GenerationId(number), temporary


def _keep_own(project: Path, directory: Path, own: OwnFiles | None, environment: Path) -> None:
    from cape.environment.kept import OwnFiles, keep_own_files
    from cape.environment.node_modules import point_at_tree

    keep_own_files(project, directory, own or OwnFiles())
    point_at_tree(directory, environment)


def attach_environment(
    project: Path, target: Generation, name: str, environment: RealisedEnvironment
) -> None:
    """Give a generation another environment of its lock: made when it is first asked for.

    The caller holds the project. Raises `UnknownEnvironment`, `InputError` for one that cannot be activated.
    """
    from cape.store import Store

    store = Store(environment.path.parent.parent)
    store.announce()
    store.projects.register(project, [environment.path.name, *_registered(store, project)])
    _write_attached(project, target.directory, target.directory, name, environment)


def _write_attached(
    project: Path, directory: Path, final: Path, name: str, environment: RealisedEnvironment
) -> None:
    """The record goes last: without it the environment is not there."""
    from cape.environment.sealing import ATTACHED, seal_scripts

    place = directory / ATTACHED / name
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    seal_scripts(project, directory, final, environment.path, name=name)
    record = {
        "schema_version": 1,
        "environment": str(environment.path),
        "identity": environment.identity.hex,
        "content": environment.content.hex,
    }
    write_atomically(place / ATTACHED_RECORD, json.dumps(record, indent=1).encode() + b"\n")


def attached_to(directory: Path) -> dict[str, Path]:
    """The other environments of a generation; records that cannot be read are passed over."""
    from cape.environment.sealing import ATTACHED

    found: dict[str, Path] = {}
    for record in sorted((directory / ATTACHED).glob(f"*/{ATTACHED_RECORD}")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found[record.parent.name] = Path(json.loads(record.read_bytes())["environment"])
    return found


def _sync_files(directory: Path) -> None:
    for name in os.listdir(directory):
        descriptor = os.open(directory / name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    sync_directory(directory)


def _rename(temporary: Path, final: Path) -> None:
    try:
        os.rename(temporary, final)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        raise StateError(
            "another cape made a generation of this project meanwhile",
            where=str(final),
            hint="run the command again",
        ) from error


def sweep(project: Path) -> None:
    """Remove what processes that were killed left half written or half removed in a project."""
    own = project / ".cape"
    with contextlib.suppress(OSError):
        _sweep(own / "generations")
        for stale in own.glob(".current.*"):
            if not is_alive(stale.name.removeprefix(".current.")):
                stale.unlink(missing_ok=True)
        for place in (project, own, own / "current"):
            for stale in place.glob(".*.tmp"):
                found = _TEMPORARY.fullmatch(stale.name)
                ours = place != project or stale.name.startswith(_FILE_BEGINS)
                if found and ours and start_time(int(found[1])) is None:
                    stale.unlink(missing_ok=True)


def _sweep(generations: Path) -> None:
    for stale in generations.glob(".new.*"):
        if not is_alive(stale.name.removeprefix(".new.")):
            shutil.rmtree(stale, ignore_errors=True)


# Reading.


def numbers(project: Path) -> list[int]:
    """The numbers of all generations, ascending."""
    try:
        names = os.listdir(project / ".cape" / "generations")
    except FileNotFoundError:
        return []
    return sorted(int(name) for name in names if name.isdigit())


def generation(project: Path, number: int) -> Generation:
    """The generation of that number. Raises `UnknownGeneration`, `GenerationRecordUnreadable`."""
    file = directory_of(project, number) / RECORD
    try:
        record = json.loads(file.read_bytes())
        if record["schema_version"] > _SCHEMA:
            raise GenerationRecordUnreadable(
                f"generation {number} was made by a newer cape",
                where=str(file),
                hint="use that cape; or remove the directory of that generation, then `cape sync`",
            )
        return _parse(project, number, record)
    except FileNotFoundError:
        raise UnknownGeneration(
            f"this project has no generation {number}",
            where=str(project),
            hint="`cape history` lists them",
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GenerationRecordUnreadable(
            f"the record of generation {number} cannot be read",
            where=str(file),
            hint="remove its directory, then `cape sync`",
        ) from error


def _parse(project: Path, number: int, record: dict[str, Any]) -> Generation:
    previous = record["previous"]
    return Generation(
        number=GenerationId(number),
        project=project,
        environment=Path(record["environment"]),
        identity=Digest(record["identity"]),
        content=Digest(record["content"]),
        created_s=float(record["created_s"]),
        argv=tuple(record["argv"]),
        previous=None if previous is None else GenerationId(previous),
        user=record.get("user"),
        changes=None if record.get("changes") is None else tuple(record["changes"]),
    )


def current_number(project: Path) -> GenerationId | None:
    """The number that `current` points to; None before the first generation."""
    try:
        name = os.path.basename(os.readlink(project / ".cape" / "current"))
    except OSError:
        return None
    return GenerationId(int(name)) if name.isdigit() else None


def current_generation(project: Path) -> Generation | None:
    """The generation that the project is at; None before the first, and where `current` leads to nothing."""
    project = Path(os.path.realpath(project))
    number = current_number(project)
    try:
        return None if number is None else generation(project, number)
    except UnknownGeneration:
        return None


def history(project: Path) -> tuple[Generation, ...]:
    """All generations, newest first."""
    project = Path(os.path.realpath(project))
    return tuple(generation(project, number) for number in reversed(numbers(project)))


# Switching.


def rollback(project: Path, to: int | None = None, *, argv: Sequence[str] = ()) -> Generation:
    """Make an earlier generation current again, with its manifest and lock; `switches` tells of it.

    None: the one that was current before the present one. Whatever ends this process, `current` is the
    old or the new one, and `heal` finishes the rest.
    Raises `NoGeneration`, `UnknownGeneration`, `StateError` when its environment was collected.
    """
    project = Path(os.path.realpath(project))
    heal(project)
    origin = current_number(project)
    target = _switch(project, rollback_target(project, to).number)
    if target.number != origin:
        _note_switch(project, origin, target.number, argv)
    return target


def rollback_target(project: Path, to: int | None = None) -> Generation:
    """The generation that `rollback` would make current. Raises what it raises."""
    project = Path(os.path.realpath(project))
    if to is None:
        present = current_generation(project)
        if present is None:
            raise NoGeneration(
                "this project has no environment yet", where=str(project), hint="run `cape sync`"
            )
        to = _before(project, present)
    target = generation(project, to)
    if not (target.environment / "environment.json").exists():
        raise StateError(
            f"the environment of generation {to} is not in the store any more",
            where=str(target.environment),
            hint="take its `cape.lock` from `" + str(target.directory) + "`, then `cape sync`",
        )
    return target


def _before(project: Path, present: Generation) -> int:
    there = numbers(project)
    if present.previous in there:
        return int(present.previous or 0)
    older = [number for number in there if number < present.number]
    if not older:
        raise NoGeneration(
            f"there is no generation before {present.number}",
            where=str(project),
            hint="`cape history` lists what there is",
        )
    return older[-1]


def heal(project: Path) -> bool:
    """Finish a switch that was cut off; whether there was one. The caller holds the project.

    A manifest or lock that somebody edited since is left as it is.
    """
    project = Path(os.path.realpath(project))
    sweep(project)
    note = _note(project)
    try:
        record = json.loads(note.read_bytes())
        target = generation(project, int(record["to"]))
        replaced = {name: record["replaces"][name] for name in _FILES}
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError, UnknownGeneration):
        note.unlink(missing_ok=True)  # Nothing is written before the note is whole.
        return False
    _carry_out(project, target, replaced)
    return True


def _note(project: Path) -> Path:
    return project / ".cape" / "switching"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Before:
    """What a switch replaces: manifest and lock (None: absent), and the number that `current` points to."""

    contents: Mapping[str, bytes | None]
    number: GenerationId | None

    @classmethod
    def read(cls, project: Path) -> _Before:
        contents = {name: _bytes_of(project / name) for name in _FILES}
        return cls(contents=contents, number=current_number(project))

    def digests(self) -> dict[str, str | None]:
        return {
            name: None if content is None else Digest.of(content).hex
            for name, content in self.contents.items()
        }

    def put_back(self, project: Path) -> None:
        for name, content in self.contents.items():
            file = project / name
            if content is None:
                file.unlink(missing_ok=True)
            elif _bytes_of(file) != content:
                write_atomically(file, content, mode=file.stat().st_mode & 0o777)
        if self.number is None:
            (project / ".cape" / "current").unlink(missing_ok=True)
        elif current_number(project) != self.number:
            _point(project, self.number)


def _switch(project: Path, number: GenerationId, *, written: Path | None = None) -> Generation:
    """Note what will be done, do it, and remove the note; Ctrl-C waits until then.

    With `written`, that directory becomes the generation of this number first. If a step fails, what was
    done is undone: otherwise the note would make every later command try it again.
    """
    before = _Before.read(project)
    if written is None and _is_at(project, generation(project, number), before):
        target = generation(project, number)
        seal(project, target)
        return target
    note = json.dumps({"schema_version": 1, "to": number, "replaces": before.digests()})
    with _uninterrupted():
        try:
            write_atomically(_note(project), note.encode() + b"\n", mode=0o600)
            if written is not None:
                _rename(written, directory_of(project, number))
                sync_directory(written.parent)
            target = generation(project, number)
            _carry_out(project, target, before.digests())
        except Exception:
            _undo(project, number, before, written)
            raise
    return target


def _is_at(project: Path, target: Generation, before: _Before) -> bool:
    return before.number == target.number and all(
        before.contents[name] == _bytes_of(target.directory / name) for name in _FILES
    )


def _undo(project: Path, number: GenerationId, before: _Before, written: Path | None) -> None:
    """Undo a switch. What cannot be undone (a broken disk) is left, with the note, for `heal` to finish."""
    with contextlib.suppress(OSError):
        before.put_back(project)
        if written is not None and not written.exists():
            os.rename(directory_of(project, number), written)
        _note(project).unlink(missing_ok=True)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Keep Ctrl-C waiting for the milliseconds of the block; then it is raised as it would have been."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: waiting.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before if before is not None else signal.SIG_DFL)
        if waiting:
            signal.raise_signal(signal.SIGINT)


def _carry_out(project: Path, target: Generation, replaced: dict[str, str | None]) -> None:
    """Each step may be done twice; the note goes last."""
    for name in _FILES:
        _put_back(project / name, target.directory / name, replaced[name])
    _point(project, target.number)
    seal(project, target)
    _note(project).unlink(missing_ok=True)
    sync_directory(project / ".cape")


def _put_back(file: Path, saved: Path, replaces: str | None) -> None:
    present = _digest_of(file)
    if present == replaces and present != _digest_of(saved):
        mode = 0o644 if present is None else file.stat().st_mode & 0o777
        write_atomically(file, saved.read_bytes(), mode=mode)


def _digest_of(file: Path) -> str | None:
    content = _bytes_of(file)
    return None if content is None else Digest.of(content).hex


def _bytes_of(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _point(project: Path, number: int) -> None:
    """Let `current` point to a generation, in one rename."""
    own = project / ".cape"
    temporary = own / f".current.{holder_name()}"
    temporary.unlink(missing_ok=True)
    os.symlink(f"generations/{number}", temporary)
    os.replace(temporary, own / "current")
    sync_directory(own)


def seal(project: Path, target: Generation, *, gpu: str | None = None) -> None:
    """Write the scripts of a generation (if they differ) and its stamps: the fast path is open again.

    To be called when something may have moved and turned out to be the same: the files' times, or the
    project's directory. A manifest or lock that differs from the generation's leaves it unsealed. `gpu` is
    the word of `CAPE_GPU` that its environments are known to answer; without it, any word goes to Python.
    """
    from cape.environment.kept import kept_locals
    from cape.environment.node_modules import link_modules
    from cape.environment.overlay import make_overlay
    from cape.environment.sealing import seal_scripts, seal_stamps

    project = Path(os.path.realpath(project))
    home, locals_ = kept_locals(target.directory)
    link_modules(project, target.directory, locals_, home=home)
    make_overlay(project, target.environment)
    seal_scripts(project, target.directory, target.directory, target.environment, gpu=gpu)
    for name, environment in target.attached.items():
        seal_scripts(project, target.directory, target.directory, environment, name=name, gpu=gpu)
    seal_stamps(project, target.directory)


def is_up_to_date(project: Path, target: Generation) -> bool:
    """Whether manifest, lock and included manifests hold, byte for byte, what it was made from."""
    from cape.environment.kept import live_files

    files = [(project / name, target.directory / name) for name in _FILES]
    return (target.environment / "environment.json").exists() and all(
        _digest_of(file) == _digest_of(kept)
        for file, kept in (*files, *live_files(Path(os.path.realpath(project)), target.directory))
    )


def forget(project: Path, doomed: Sequence[int]) -> None:
    """Remove generations of these numbers; the current one stays. The caller holds the project."""
    project = Path(os.path.realpath(project))
    for number in doomed:
        if number != current_number(project):
            directory = directory_of(project, number)
            hidden = directory.with_name(f".new.{holder_name()}")
            os.rename(directory, hidden)
            shutil.rmtree(hidden, ignore_errors=True)


# Switches that made no generation.


@dataclass(frozen=True, kw_only=True, slots=True)
class Switch:
    """A rollback: from which generation to which, when, who, and by which command."""

    origin: GenerationId | None
    target: GenerationId
    made_s: float
    user: str | None
    argv: tuple[str, ...]


def switches(project: Path) -> tuple[Switch, ...]:
    """All rollbacks of a project, newest first; lines that cannot be read are passed over."""
    found = []
    for line in (_bytes_of(project / ".cape" / SWITCHES) or b"").splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError):
            row = json.loads(line)
            found.append(
                Switch(
                    origin=None if row["from"] is None else GenerationId(row["from"]),
                    target=GenerationId(row["to"]),
                    made_s=float(row["made_s"]),
                    user=row["user"],
                    argv=tuple(row["argv"]),
                )
            )
    return tuple(reversed(found))


def _note_switch(
    project: Path, origin: GenerationId | None, target: GenerationId, argv: Sequence[str]
) -> None:
    """One line more; a disk that refuses it does not undo the switch."""
    row = {
        "from": origin,
        "to": target,
        "made_s": round(time.time(), 3),
        "user": _user(),
        "argv": list(argv),
    }
    with contextlib.suppress(OSError):
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(project / ".cape" / SWITCHES, flags, 0o600)
        try:
            os.write(descriptor, json.dumps(row).encode() + b"\n")
        finally:
            os.close(descriptor)
