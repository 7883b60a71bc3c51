"""`cape push`, `pull`, `fork`, `log`: a project's environment in a place, and from there in another project.

What travels is a project's manifest with the manifests that it includes, its lock, and on demand the
artifacts of the lock. Where both sides have changed nothing is overwritten but by force, which is recorded.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import platform
import shlex
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cape.errors import InputError, StateError
from cape.lock import Lock, all_packages, compare_locks, parse_lock, read_lock
from cape.manifest import Manifest
from cape.names import Digest, System, write_atomically
from cape.operations.agreeing import held_back_while
from cape.operations.including import project_manifest
from cape.operations.knowledge import bases_of
from cape.operations.locking import reasons_to_lock
from cape.operations.project import LOCKFILE, MANIFEST, Project, Workshop, held
from cape.operations.syncing import LockOutOfDate, SyncResult, sync_project
from cape.operations.travelling import (
    CannotTravel,
    beside_knowledge,
    built_packages,
    is_there,
    keep_built,
    packed_indices,
    take_index,
    working_place,
)
from cape.operations.vendoring import bring_all
from cape.sharing import Entry, KeyUnknown, Ledger, PlaceDamaged, PublicKey, Record
from cape.sharing.keys import KeyRing, Trust
from cape.sharing.ledger import Consent, nobody
from cape.sharing.places import open_place, without_login
from cape.sources.protocol import LockedPackage

STATE = "place.json"


class Diverged(StateError):
    """The place has what this project was not made from."""

    slug = "place-diverged"


class LocalChanges(StateError):
    """The project's files were changed since they were pulled or pushed."""

    slug = "local-changes"


class NothingThere(StateError):
    """A place to which nothing was pushed yet, or not this generation."""

    slug = "nothing-at-place"


class NotEmpty(InputError):
    """A directory for a new project has one already."""

    slug = "directory-not-empty"


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What this project last had in common with a place; kept in `.cape/place.json`."""

    place: str
    number: int
    digest: Digest
    files: Mapping[str, Digest]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pushed:
    """What a push did. `unchanged`: the place had it already."""

    place: str
    entry: Entry
    artifacts: int = 0
    artifact_bytes: int = 0
    knowledge: tuple[str, ...] = ()
    unchanged: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Pulled:
    """What a pull did: the record it took, lines of difference to before, and the sync after it."""

    place: str
    entry: Entry
    lines: tuple[str, ...]
    from_place: int
    synced: SyncResult
    knowledge: tuple[str, ...] = ()
    kept_aside: tuple[Path, ...] = ()


def open_ledger(text: str, workshop: Workshop, *, consent: Consent = nobody) -> Ledger:
    """The ledger of the place that a text names. Raises `UnknownPlace`."""
    place = open_place(text, cache=workshop.store.root / "places")
    return Ledger(place, Trust(), consent=consent, today=_today())


def push(
    project: Project,
    workshop: Workshop,
    text: str,
    *,
    argv: Sequence[str],
    with_artifacts: bool = False,
    with_knowledge: bool = False,
    force: bool = False,
    message: str = "",
    key: str | None = None,
    consent: Consent = nobody,
) -> Pushed:
    """Add the project's environment to a place as its next record.

    Raises `Diverged`, `CannotTravel`, `LockOutOfDate`, `KeyMissing`, and what places raise.
    """
    signer = KeyRing().get(key)
    ledger = open_ledger(text, workshop, consent=consent)
    with held(project), contextlib.ExitStack() as stack:
        files, lock, manifest = _travelling(project, with_knowledge=with_knowledge)
        head = ledger.head()
        digests = {path: Digest.of(data) for path, data in files.items()}
        wanted = _artifacts(lock, workshop) if with_artifacts else built_packages(lock, workshop)
        bases = bases_of(manifest) if with_knowledge else {}
        if head and head.record.files == digests and _has(head.record, wanted, bases):
            _remember(project, ledger, head)
            return Pushed(place=ledger.place.shown, entry=head, unchanged=True)
        if head and not force:
            _check_based_on(project, ledger, head, lock)
        indices = stack.enter_context(packed_indices(project, manifest, lock)) if with_knowledge else {}
        sent_bytes = _send(ledger, files, wanted, workshop)
        record = Record(
            number=head.record.number + 1 if head else 1,
            parent=head.digest if head else None,
            files=digests,
            carried=wanted,
            knowledge={name: _kept_file(ledger, file) for name, file in indices.items()},
            name=project.directory.name,
            pushed_by=who(),
            pushed_at=now(),
            command=_command_line(argv),
            message=message,
            key=signer.public.fingerprint,
            forced_over=head.digest if head and force and not _is_based_on(project, ledger, head) else None,
        )
        entry = ledger.add(record, signer)
        if entry is None:
            newer = ledger.head()
            assert newer is not None
            raise _diverged(ledger, newer, lock)
        _remember(project, ledger, entry)
    return Pushed(
        place=ledger.place.shown,
        entry=entry,
        artifacts=len(wanted),
        artifact_bytes=sent_bytes,
        knowledge=tuple(indices),
    )


def _has(record: Record, wanted: Mapping[Digest, int], bases: Collection[str]) -> bool:
    """Whether a record of the same files carries all that; the lock among them names each index's digest."""
    return wanted.items() <= record.carried.items() and set(bases) <= record.knowledge.keys()


def _kept_file(ledger: Ledger, file: Path) -> Digest:
    digest = Digest.of_file(file)
    ledger.keep_file(digest, file)
    return digest


def pull(
    project: Project,
    workshop: Workshop,
    text: str | None,
    *,
    argv: Sequence[str],
    number: int | None = None,
    force: bool = False,
    consent: Consent = nobody,
) -> Pulled:
    """Make the project what a place says, and sync it. Without a text, from the place it knows.

    The project's files are put back if the sync fails. With `force`, changed files are kept beside, as
    `NAME.mine`. Raises `LocalChanges`, `NothingThere`, and what places and syncs raise.
    """
    shown = [without_login(word) for word in argv]
    known = known_place(project)
    if text is None and known is None:
        raise NothingThere("this project knows no place", hint="name one: `cape pull PLACE`")
    ledger = open_ledger(text or (known.place if known else ""), workshop, consent=consent)
    entry = _entry(ledger, number)
    files = _files_of(ledger, entry)
    with held(project):
        changed = _changed_here(project, known, entry)
        if changed and not force:
            raise _local_changes(project, changed, files)
        before = _lock_text(project)
        aside = _kept_aside(project, changed)
        foreign = not KeyRing().owns(entry.key)
        with held_back_while(project, foreign=foreign), _replaced(project, files):
            lock = _lock(files[LOCKFILE].decode())
            from_place = _bring(ledger, entry, lock, workshop)
            manifest = project_manifest(project)
            keep_built(project, manifest, lock)
            synced = sync_project(project, workshop, argv=shown, must_be_locked=True)
            knowledge = _take_knowledge(project, manifest, ledger, entry, lock)
        _remember(project, ledger, entry)
    lines = compare_locks(_lock(before) if before else None, lock).lines()
    return Pulled(
        place=ledger.place.shown,
        entry=entry,
        lines=lines,
        from_place=from_place,
        synced=synced,
        knowledge=knowledge,
        kept_aside=aside,
    )


def _take_knowledge(
    project: Project, manifest: Manifest, ledger: Ledger, entry: Entry, lock: Lock
) -> tuple[str, ...]:
    """Take the indices that the place has and this project lacks; names of those that were taken."""
    taken = []
    for name, digest in entry.record.knowledge.items():
        base = bases_of(manifest).get(name)
        if base is None or is_there(project, base, lock):
            continue
        with working_place(project) as place:
            archive = place / "index"
            if not ledger.fetch(digest, archive) or Digest.of_file(archive) != digest:
                raise PlaceDamaged(
                    f"the index of `{name}` is missing or was altered", where=ledger.place.shown
                )
            take_index(project, base, lock, archive)
        taken.append(name)
    return tuple(taken)


def fork(
    directory: Path, workshop: Workshop, text: str, *, argv: Sequence[str], consent: Consent = nobody
) -> Pulled:
    """A new project from a place. Raises `NotEmpty`, and what `pull` does."""
    if (directory / MANIFEST).exists():
        raise NotEmpty(
            "there is a project already", where=str(directory / MANIFEST), hint="`cape pull PLACE` changes it"
        )
    made = not directory.exists()
    directory.mkdir(parents=True, exist_ok=True)
    try:
        return pull(Project(directory), workshop, text, argv=argv, consent=consent)
    except BaseException:
        if made:
            with contextlib.suppress(OSError):
                _remove_fork(directory)
        raise


def _remove_fork(directory: Path) -> None:
    from cape.store.files import remove_tree

    remove_tree(directory)


def known_place(project: Project) -> Known | None:
    """The place that this project last pulled from or pushed to; None when there is none."""
    try:
        fields = json.loads((project.state / STATE).read_bytes())
        return Known(
            place=fields["place"],
            number=fields["number"],
            digest=Digest(fields["digest"]),
            files={path: Digest(value) for path, value in fields["files"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _command_line(argv: Sequence[str]) -> str:
    """The command for a record, without what an address of a place tells of its user's login."""
    return without_login(shlex.join(["cape", *argv]))


def _remember(project: Project, ledger: Ledger, entry: Entry) -> None:
    fields = {
        "place": ledger.place.shown,
        "number": entry.record.number,
        "digest": entry.digest.hex,
        "files": {path: digest.hex for path, digest in entry.record.files.items()},
    }
    write_atomically(project.state / STATE, json.dumps(fields, indent=1).encode(), mode=0o600)


def _travelling(project: Project, *, with_knowledge: bool) -> tuple[dict[str, bytes], Lock, Manifest]:
    """The files of a project that travel, by their path in it, and the lock and manifest among them."""
    from cape.operations.requiring import own_files

    manifest = project_manifest(project)
    lock = _fresh_lock(project, manifest)
    beside = beside_knowledge(manifest) if with_knowledge else []
    names = (*own_files(manifest).files, *beside)
    own = [name for name in names if (project.directory / name).is_file()]
    files = {name: (project.directory / name).read_bytes() for name in (MANIFEST, LOCKFILE, *own)}
    root = Path(os.path.realpath(project.directory))
    for included in manifest.included:
        if included.is_git:
            continue
        path = Path(os.path.realpath(included.path))
        if not path.is_relative_to(root):
            raise CannotTravel(
                f"the included manifest `{included.name}` lies outside of the project",
                where=str(path),
                hint="move it below the project, or include it by its git url",
            )
        files[path.relative_to(root).as_posix()] = path.read_bytes()
    return files, lock, manifest


def _fresh_lock(project: Project, manifest: Manifest) -> Lock:
    lock = read_lock(project.lock_path)
    reasons = reasons_to_lock(manifest, lock)
    if reasons or lock is None:
        raise LockOutOfDate(
            f"the lock does not answer the manifest: {'; '.join(reasons)}",
            where=str(project.lock_path),
            hint="run `cape lock`",
        )
    return lock


def _artifacts(lock: Lock, workshop: Workshop) -> dict[Digest, int]:
    """Digest and size of every artifact of a lock, for all its systems and environments; those that the
    store lacks are brought from their registries."""
    bring_all(lock, workshop)
    return {row.artifact.digest: row.artifact.size_bytes for row in all_packages(lock)}


def _send(
    ledger: Ledger, files: Mapping[str, bytes], wanted: Mapping[Digest, int], workshop: Workshop
) -> int:
    """Put files and artifacts into the place; the bytes of artifacts that it had not."""
    for data in files.values():
        ledger.keep(data)
    sent = 0
    artifacts = workshop.store.artifacts
    lacking = [digest for digest in wanted if not ledger.holds(digest)]
    workshop.progress.start("pushing", sum(wanted[digest] for digest in lacking), unit="B")
    try:
        for digest in lacking:
            ledger.keep_file(digest, artifacts.path(digest))
            workshop.progress.advance(wanted[digest])
            sent += wanted[digest]
    finally:
        workshop.progress.finish()
    return sent


def _is_based_on(project: Project, ledger: Ledger, head: Entry) -> bool:
    known = known_place(project)
    return known is not None and known.place == ledger.place.shown and known.digest == head.digest


def _check_based_on(project: Project, ledger: Ledger, head: Entry, lock: Lock) -> None:
    if not _is_based_on(project, ledger, head):
        raise _diverged(ledger, head, lock)


def _diverged(ledger: Ledger, head: Entry, lock: Lock) -> Diverged:
    theirs = _lock(_files_of(ledger, head)[LOCKFILE].decode())
    record = head.record
    difference = compare_locks(theirs, lock).lines()
    shown = "; ".join(difference[:8]) + (f"; and {len(difference) - 8} more" if len(difference) > 8 else "")
    return Diverged(
        f"the place has generation {record.number} of {record.pushed_by} ({record.pushed_at}), which this "
        f"project is not made from; to ours it differs by: {shown or 'the manifest only'}",
        where=ledger.place.shown,
        hint="`cape pull` takes theirs; `cape push --force` puts ours over it, and says who did",
    )


def _entry(ledger: Ledger, number: int | None) -> Entry:
    newest = ledger.head()
    if newest is None:
        raise NothingThere("nothing was pushed to this place yet", where=ledger.place.shown)
    if number is None or number == newest.record.number:
        return newest
    if not 0 < number < newest.record.number:
        raise NothingThere(
            f"the place has no generation {number}",
            where=ledger.place.shown,
            hint=f"it has 1 to {newest.record.number}; `cape log PLACE` lists them",
        )
    return next(entry for entry in ledger.log() if entry.record.number == number)


def _files_of(ledger: Ledger, entry: Entry) -> dict[str, bytes]:
    """The files of a record, checked, by their path in a project."""
    files = entry.record.files
    if not {MANIFEST, LOCKFILE} <= files.keys() or any(_escapes(path) for path in files):
        raise PlaceDamaged("a record names files that no project has", where=ledger.place.shown)
    return {path: ledger.blob(digest, what=f"`{path}`") for path, digest in files.items()}


def _escapes(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return not parts or path.startswith("/") or ".." in parts or parts[0] == ".cape" or "\0" in path


def _changed_here(project: Project, known: Known | None, entry: Entry) -> tuple[str, ...]:
    """Files of the project that neither the place it knows nor the new record gave it."""
    base = known.files if known else {}
    changed = []
    for path in sorted({MANIFEST, LOCKFILE, *entry.record.files}):
        file = project.directory / path
        if not file.is_file():
            continue
        here = Digest.of(file.read_bytes())
        if here not in (base.get(path), entry.record.files.get(path)):
            changed.append(path)
    return tuple(changed)


def _local_changes(project: Project, changed: Sequence[str], files: Mapping[str, bytes]) -> LocalChanges:
    before = _lock_text(project)
    theirs = _lock(files[LOCKFILE].decode())
    lines = compare_locks(theirs, _lock(before)).lines() if before else ()
    shown = f"; to theirs it differs by: {'; '.join(lines[:8])}" if lines else ""
    names = ", ".join(f"`{name}`" for name in changed)
    return LocalChanges(
        f"{names} changed here since the last pull or push{shown}",
        where=str(project.directory),
        hint="`cape push` keeps ours; `cape pull --force` takes theirs, and keeps ours beside as `NAME.mine`",
    )


def _kept_aside(project: Project, changed: Sequence[str]) -> tuple[Path, ...]:
    kept = []
    for path in changed:
        file = project.directory / path
        beside = file.with_name(file.name + ".mine")
        write_atomically(beside, file.read_bytes())
        kept.append(beside)
    return tuple(kept)


@contextlib.contextmanager
def _replaced(project: Project, files: Mapping[str, bytes]) -> Iterator[None]:
    """Write files into the project; put back what was there if the block fails."""
    before = {path: _bytes(project.directory / path) for path in files}
    try:
        for path, data in files.items():
            (project.directory / path).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(project.directory / path, data)
        yield
    except BaseException:
        for path, old in before.items():
            if old is None:
                (project.directory / path).unlink(missing_ok=True)
            else:
                write_atomically(project.directory / path, old)
        raise


def _lock(text: str) -> Lock:
    return parse_lock(text, path=Path(LOCKFILE))


def _bytes(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None


def _lock_text(project: Project) -> str | None:
    data = _bytes(project.lock_path)
    return None if data is None else data.decode()


def _bring(ledger: Ledger, entry: Entry, lock: Lock, workshop: Workshop) -> int:
    """Take artifacts that the store lacks from the place, as far as it has them; how many."""
    artifacts = workshop.store.artifacts
    lacking = [
        row
        for row in {row.artifact.digest: row for row in _rows_here(lock)}.values()
        if row.artifact.digest in entry.record.carried and not artifacts.has(row.artifact.digest)
    ]
    workshop.progress.start("pulling", sum(row.artifact.size_bytes for row in lacking), unit="B")
    taken = 0
    try:
        for row in lacking:
            part = artifacts.partial(row.artifact.digest)
            if ledger.fetch(row.artifact.digest, part):
                artifacts.admit(row.artifact.digest, part, size_bytes=row.artifact.size_bytes)
                taken += 1
            workshop.progress.advance(row.artifact.size_bytes)
    finally:
        workshop.progress.finish()
    return taken


def _rows_here(lock: Lock) -> list[LockedPackage]:
    system = System.current()
    return [row for row in lock.packages if system in row.systems]


def who() -> str:
    """This user and host, for records: `anna@laptop`."""
    try:
        return f"{getpass.getuser()}@{platform.node()}"
    except (KeyError, OSError):
        return f"{os.getuid()}@{platform.node()}"


def now() -> str:
    """This machine's clock, ISO 8601 in UTC, for people."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _today() -> str:
    return now()[:10]


def revoke(
    name: str, place: str | None, workshop: Workshop, *, reason: str, signed_by: str | None
) -> tuple[PublicKey, int]:
    """Believe nothing more of a key; with a place, tell everybody there, from its next record on.

    `name` is a fingerprint or public key, or the name of an own key. Gives the key and the first record
    that is refused (0 without a place). Raises `KeyUnknown`, and what places raise.
    """
    key = _named_key(name)
    since = 0
    if place is not None:
        signer = KeyRing().get(signed_by)
        ledger = open_ledger(place, workshop)
        newest = ledger.head()
        since = newest.record.number + 1 if newest else 1
        ledger.revoke(key, signer, since=since, reason=reason)
    Trust().revoke(key, reason=reason, since=_today())
    return key, since


def _named_key(name: str) -> PublicKey:
    ring, trust = KeyRing(), Trust()
    if " " in name:
        return PublicKey.parse(name)
    if name in ring.names():
        return ring.get(name).public
    if judged := trust.find(name):
        return judged.public
    raise KeyUnknown(f"no key has the name or fingerprint `{name}`", hint="`cape key list` lists all")
