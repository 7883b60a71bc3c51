"""The store as a whole: its rooms, its default place, and the guard between makers and the collector."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from cape.configuration import Configuration
from cape.names import Digest
from cape.store.artifacts import Artifacts
from cape.store.errors import StoreInUse, StoreNotWritable, disk_errors
from cape.store.leases import Lease
from cape.store.objects import Objects
from cape.store.projects import Projects


class Store:
    """The directory that holds artifacts, objects and environments; shared by all projects of a user.

    Nothing is made on disk before something is put in.
    """

    def __init__(self, root: Path, *, elsewhere: tuple[Path, ...] = ()) -> None:
        self.root = Path(os.path.realpath(root))
        self._elsewhere = elsewhere

    @classmethod
    def default(cls, configuration: Configuration, environment: Mapping[str, str] = os.environ) -> Store:
        """This user's store: `$CAPE_STORE`, else `cape` below the XDG data directory."""
        chosen = configuration.one("store")
        home = environment.get("HOME") or "/"
        base = environment.get("XDG_DATA_HOME") or str(Path(home) / ".local" / "share")
        elsewhere = tuple(Path(place).expanduser() for place in configuration.many("artifacts"))
        return cls(Path(chosen).expanduser() if chosen else Path(base) / "cape", elsewhere=elsewhere)

    @cached_property
    def artifacts(self) -> Artifacts:
        return Artifacts(self.root / "artifacts", self._elsewhere)

    @cached_property
    def objects(self) -> Objects:
        return Objects(self.root)

    @cached_property
    def projects(self) -> Projects:
        return Projects(self.root / "projects")

    @property
    def environments(self) -> Path:
        """The directory of environments."""
        return self.root / "environments"

    def environment_path(self, identity: Digest) -> Path:
        """Where the environment of that identity is, or would be."""
        return self.environments / identity.hex[:32]

    def check_writable(self) -> None:
        """Raise `StoreNotWritable` where nothing can be put in, before work is done in vain."""
        existing = next(path for path in (self.root, *self.root.parents) if os.path.lexists(path))
        if not existing.is_dir():
            fact = "the store cannot be here: this is no directory"
        elif not os.access(existing, os.W_OK | os.X_OK, effective_ids=True):
            fact = "the store cannot be written by this user"
        else:
            return
        raise StoreNotWritable(
            fact,
            where=str(existing),
            hint="give the directory to your user, or set another: `cape config store DIR`",
        )

    def lease(self, name: str) -> Lease:
        """The lease for making the thing of that name."""
        directory = self.root / "leases"
        with disk_errors(directory):
            directory.mkdir(parents=True, exist_ok=True)
        return Lease(directory / name)

    def announce(self) -> None:
        """Keep the collector out from now until this process ends: what is made now has no root yet."""
        if self.root not in _GUARDS:
            _GUARDS[self.root] = self._open_guard()
            with contextlib.suppress(OSError):
                fcntl.flock(_GUARDS[self.root], fcntl.LOCK_SH)

    @contextlib.contextmanager
    def alone(self, *, patience_s: float = 10.0) -> Iterator[None]:
        """Hold the store with no other process making something in it.

        Raises `StoreInUse` after `patience_s`.
        """
        self.announce()
        guard = _GUARDS[self.root]
        try:
            self._take_alone(guard, time.monotonic() + patience_s)
            yield
        finally:
            fcntl.flock(guard, fcntl.LOCK_SH)

    def _take_alone(self, guard: int, until: float) -> None:
        while True:
            try:
                fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until:
                    raise StoreInUse(
                        "another cape makes something in the store",
                        where=str(self.root),
                        hint="try again when it has finished",
                    ) from None
                time.sleep(0.05)
            else:
                return

    def _open_guard(self) -> int:
        self.check_writable()
        with disk_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True, mode=0o755)
            return os.open(self.root / "guard", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


_GUARDS: dict[Path, int] = {}
"""The guards that this process holds, by the store's root; the kernel lets go of them at its end."""
