"""Making the objects of a plan: unpack, relocate, seal, with a few processes side by side.

Owns the order (the C library first, then the largest artifacts) and the worker processes. How an artifact
is unpacked comes from outside; how a tree is relocated is `relocation`'s.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from cape.environment.plan import EnvironmentPlan, object_key
from cape.errors import CapeError, StateError
from cape.names import Digest, System
from cape.sources.protocol import NO_PROGRESS, LockedPackage, Progress
from cape.store import ArtifactDamaged, Batch, Store, StoreObject

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_log = logging.getLogger(__name__)

Unpack = Callable[[LockedPackage, Path, Path], None]
"""Puts a package's files (from its artifact) below a directory, as they lie below the environment."""

Relocate = Callable[[Path, System, Path | None], Mapping[str, Any]]
"""Edits a tree for a loader's path (None: the libc object's own tree), and gives the facts as JSON."""


class Arriving(Protocol):
    """Artifacts on their way into the store, while objects are made of those that came.

    `start` is called once, when the worker processes are there: it may start threads.
    """

    expected: frozenset[Digest]
    """Those that are not in the store yet."""

    connection: Connection
    """Readable when `take` has something to tell."""

    def start(self) -> None:
        """Let them come."""

    def take(self) -> Digest | None:
        """The next that came; None when no more does. Raises what bringing them raised."""

    def stop(self) -> None:
        """Let no more come; called whatever happened."""


class WorkerDied(StateError):
    """A worker process ended without a word."""

    slug = "worker-died"


_IDLE_S = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class _Task:
    package: LockedPackage
    key: Digest
    is_libc: bool = False


def relocate(tree: Path, system: System, loader: Path | None) -> Mapping[str, Any]:
    """The real relocation, as `make_objects` wants it."""
    from cape.environment.relocation import RelocationContext, relocate_tree

    return relocate_tree(tree, RelocationContext(system=system, loader=loader)).to_json()


def make_objects(
    plan: EnvironmentPlan,
    *,
    unpack: Unpack,
    store: Store,
    relocate: Relocate = relocate,
    workers: int = 2,
    progress: Progress = NO_PROGRESS,
    arriving: Arriving | None = None,
) -> tuple[StoreObject, ...]:
    """The objects of all packages of a plan, in its order; those that are missing are made.

    The artifacts must be in the store, or be `arriving`. What was made stays if a later package fails;
    whatever ends this process, no half object is left under its name.
    Raises what `unpack` and `arriving` raise, `ArtifactDamaged`, `DiskFull`, `WorkerDied`.
    """
    store.announce()
    maker = _Maker(plan.system, unpack, relocate, store, loader_of(plan, store))
    tasks = _tasks(plan, store)
    missing = {task.key: task for task in tasks if store.objects.get(task.key) is None}
    if missing:
        _make_all(list(missing.values()), maker, min(workers, len(missing)), progress, arriving)
    return tuple(_made(store, task) for task in tasks)


def _tasks(plan: EnvironmentPlan, store: Store) -> list[_Task]:
    keys = zip(plan.packages, plan_keys(plan, store), strict=True)
    return [_Task(package=package, key=key, is_libc=package == plan.libc) for package, key in keys]


def plan_keys(plan: EnvironmentPlan, store: Store) -> tuple[Digest, ...]:
    """The keys of the objects of a plan, in its order; nothing is made."""
    libc = _libc_key(plan, store)
    return tuple(_key(plan, package, libc, store) for package in plan.packages)


def _libc_key(plan: EnvironmentPlan, store: Store) -> Digest | None:
    if plan.libc is None:
        return None
    return object_key(
        plan.libc,
        libc=None,
        store=store.root,
        system=plan.system,
        relocation_version=plan.relocation_version,
    )


def _key(plan: EnvironmentPlan, package: LockedPackage, libc: Digest | None, store: Store) -> Digest:
    return object_key(
        package,
        libc=None if package == plan.libc else libc,
        store=store.root,
        system=plan.system,
        relocation_version=plan.relocation_version,
    )


def loader_of(plan: EnvironmentPlan, store: Store) -> Path | None:
    """Where the loader of the plan's libc object is, or will be."""
    key = _libc_key(plan, store)
    if key is None:
        return None
    from cape.environment.relocation import loader_path

    return store.objects.root / key.hex / "tree" / loader_path(plan.system)


def _made(store: Store, task: _Task) -> StoreObject:
    found = store.objects.get(task.key)
    if found is None:
        raise WorkerDied(
            f"the object of `{task.package.name}` was not made",
            where=str(store.objects.root / task.key.hex),
            hint="run the command again",
        )
    return found


class _Maker:
    """Makes one object after another in one process."""

    def __init__(
        self, system: System, unpack: Unpack, relocate: Relocate, store: Store, loader: Path | None
    ) -> None:
        self.store = store
        self._system = system
        self._unpack = unpack
        self._relocate = relocate
        self._loader = loader

    def make(self, batch: Batch, task: _Task, *, wait: bool) -> bool:
        """Make an object, to be committed with its batch; False: another process is at it."""

        def build(tree: Path) -> Mapping[str, Any]:
            return self._build(task.package, tree, None if task.is_libc else self._loader)

        return batch.prepare(task.key, build, wait=wait)

    def _build(self, package: LockedPackage, tree: Path, loader: Path | None) -> Mapping[str, Any]:
        artifact = package.artifact
        try:
            self._unpack(package, self.store.artifacts.path(artifact.digest), tree)
        except Exception:
            self._blame_artifact(package)
            raise
        facts = dict(self._relocate(tree, self._system, loader))
        facts["package"] = {"source": package.source, "name": package.name, "version": package.version}
        facts["artifact"] = artifact.digest.hex
        return facts

    def _blame_artifact(self, package: LockedPackage) -> None:
        """Raise `ArtifactDamaged` if the artifact is why unpacking failed; it is then removed."""
        artifact = package.artifact
        problem = None
        with contextlib.suppress(FileNotFoundError):
            problem = self.store.artifacts.discard_if_damaged(artifact.digest, size_bytes=artifact.size_bytes)
        if problem:
            raise ArtifactDamaged(
                f"the artifact of `{package.name}` {package.version} was damaged in the store: {problem}",
                where=str(self.store.artifacts.path(artifact.digest)),
                hint="it was removed; run the command again to fetch it anew",
            )


def _make_all(
    tasks: Sequence[_Task], maker: _Maker, workers: int, progress: Progress, arriving: Arriving | None
) -> None:
    crew = [_Worker(maker) for _ in range(workers)]  # forked before `arriving` has threads
    try:
        _Sharing(tasks, crew, progress, arriving).run()
    finally:
        for worker in crew:
            worker.end()


class _Sharing:
    """Gives tasks to workers one by one, the largest of those whose artifacts came first.

    A task that another process is at comes again, last and to wait for. When artifacts stop coming for a
    failure, what is begun is finished, and the failure raised then.
    """

    def __init__(
        self,
        tasks: Sequence[_Task],
        crew: Sequence[_Worker],
        progress: Progress,
        arriving: Arriving | None,
    ) -> None:
        expected = arriving.expected if arriving else frozenset()
        self._coming: dict[Digest, list[_Task]] = {}
        self._ready: list[_Task] = []
        for task in tasks:
            digest = task.package.artifact.digest
            (self._coming.setdefault(digest, []) if digest in expected else self._ready).append(task)
        self._others: list[_Task] = []
        self._crew = crew
        self._idle = list(crew)
        self._busy: dict[Any, tuple[_Worker, _Task]] = {}
        self._progress = progress
        self._arriving = arriving
        self._failure: CapeError | None = None

    def run(self) -> None:
        """Make everything. Raises what a worker or `arriving` raised."""
        try:
            if self._arriving:
                self._arriving.start()
            else:
                self._show()
            while self._ready or self._others or self._busy or self._arriving:
                self._give()
                self._listen()
        finally:
            self._progress.finish()
            if self._arriving:
                self._arriving.stop()
        for worker in self._crew:
            worker.give(None, False)
        for worker in self._crew:
            worker.result(None)
        if self._failure:
            raise self._failure

    def _show(self) -> None:
        self._progress.start("unpacking", len(self._ready) + len(self._others) + len(self._busy))

    def _give(self) -> None:
        while self._idle and (self._ready or self._others):
            patient = not self._ready
            self._ready.sort(key=lambda task: task.package.artifact.size_bytes)
            task = self._others.pop() if patient else self._ready.pop()
            worker = self._idle.pop()
            worker.give(task, patient)
            self._busy[worker.connection] = (worker, task)

    def _listen(self) -> None:
        from multiprocessing.connection import wait

        news = [self._arriving.connection] if self._arriving else []
        for connection in wait([*self._busy, *news]):
            if connection in self._busy:
                self._hear(*self._busy.pop(connection))
            else:
                self._receive()

    def _hear(self, worker: _Worker, task: _Task) -> None:
        if not worker.result(task):
            self._others.insert(0, task)
        elif self._arriving is None:
            self._progress.advance()
        self._idle.append(worker)

    def _receive(self) -> None:
        assert self._arriving is not None
        try:
            came = self._arriving.take()
        except CapeError as error:
            came, self._failure = None, error
            self._ready, self._others, self._coming = [], [], {}
        if came is not None:
            self._ready += self._coming.pop(came, [])
            return
        self._ready += [task for tasks in self._coming.values() for task in tasks]
        self._coming = {}
        self._arriving.stop()
        self._arriving = None
        self._show()


class _Worker:
    """A forked process that makes objects, and the connection to it.

    It is forked, not spawned: what `unpack` closes over need not be picklable. It dies with its parent,
    and leaves Ctrl-C to it.
    """

    def __init__(self, maker: _Maker) -> None:
        import multiprocessing

        context = multiprocessing.get_context("fork")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, self.connection, maker), daemon=True)
        with _ctrl_c_held():
            self._process.start()
        theirs.close()

    def give(self, task: _Task | None, patient: bool) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.connection.send((task, patient))

    def result(self, task: _Task | None) -> bool:
        """Whether the task is done. Raises what the worker raised, or `WorkerDied`."""
        try:
            answer = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self._process.join(5)
            what = f" while it made `{task.package.name}`" if task else ""
            raise WorkerDied(
                f"a worker process died{what} (exit code {self._process.exitcode})",
                hint="if the machine is short of memory, close something; then run the command again",
            ) from None
        if isinstance(answer, BaseException):
            raise answer
        return bool(answer)

    def end(self) -> None:
        self.connection.close()
        self._process.join(0.2)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


@contextlib.contextmanager
def _ctrl_c_held() -> Iterator[None]:
    """Hold Ctrl-C back for the block; what is forked inside holds it back until it ignores it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(connection: Connection, parents: Connection, maker: _Maker) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parents.close()
    _die_with_parent()
    batch = Batch(maker.store.objects)
    try:
        while True:
            if not connection.poll(_IDLE_S):
                batch.commit()  # who is idle must hold no lease: another process may wait for it
            task, patient = connection.recv()
            if task is None:
                break
            connection.send(maker.make(batch, task, wait=patient))
        batch.commit()
        connection.send(True)
    except (EOFError, ConnectionError):
        batch.abandon()
    except BaseException as error:  # noqa: BLE001 - it is raised again in the parent
        batch_error = _commit_quietly(batch)
        connection.send(_portable(batch_error or error))


def _commit_quietly(batch: Batch) -> CapeError | None:
    """What was made before a failure is worth keeping."""
    try:
        batch.commit()
    except CapeError as error:
        return error
    except OSError:
        batch.abandon()
    return None


def _portable(error: BaseException) -> BaseException:
    """An error that survives the way to another process: its causes are notes, its class is kept."""
    import pickle

    try:
        copied = pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - whatever pickling cannot do
        if isinstance(error, CapeError):
            return StateError(error.fact, where=error.where, hint=error.hint)
        return RuntimeError(f"{type(error).__name__}: {error}")
    return copied if isinstance(copied, BaseException) else error


def _die_with_parent() -> None:
    """Ask the kernel to end this process when its parent ends, whatever ends that."""
    import ctypes

    parent = os.getppid()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
