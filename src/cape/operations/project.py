"""Finding a project, holding it against others who change it, and opening the rooms it works with."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cape.errors import DiskFull, StateError
from cape.sources.protocol import NO_PROGRESS, Progress, Source

if TYPE_CHECKING:
    from cape.configuration import Configuration
    from cape.store import Store

MANIFEST = "cape.toml"
LOCKFILE = "cape.lock"
DEFAULT_SUITE = "trixie"


class NoProject(StateError):
    """Neither this directory nor one above it has a manifest."""

    slug = "no-project"


class NotLocked(StateError):
    """The project has no lock yet."""

    slug = "not-locked"


class DirectoryNotWritable(StateError):
    """The project's directory cannot hold cape's files."""

    slug = "directory-not-writable"


class OtherUsersProject(StateError):
    """What cape keeps in the project is another user's, and closed to this one."""

    slug = "other-users-project"


@contextlib.contextmanager
def project_files(directory: Path) -> Iterator[None]:
    """Turn the kernel's refusals to write the project's files into errors that a user can act on.

    Raises `DiskFull`, `DirectoryNotWritable`.
    """
    try:
        yield
    except OSError as error:
        where = str(error.filename or directory)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                "there is no room left for the project's files",
                where=where,
                hint="make room on its file system, then run the command again",
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise DirectoryNotWritable(
                f"the project's files cannot be written: {error.strerror}",
                where=where,
                hint="make the project's directory writable for you",
            ) from error
        raise


@dataclass(frozen=True, slots=True)
class Project:
    """A directory with a manifest."""

    directory: Path

    @property
    def manifest_path(self) -> Path:
        return self.directory / MANIFEST

    @property
    def lock_path(self) -> Path:
        return self.directory / LOCKFILE

    @property
    def state(self) -> Path:
        """`.cape`: generations, sealed scripts, and `$CAPE_STATE`."""
        return self.directory / ".cape"


def find_project(start: Path) -> Project:
    """The nearest directory with a manifest, from `start` upwards. Raises `NoProject`."""
    start = Path(os.path.abspath(start))
    for directory in (start, *start.parents):
        if (directory / MANIFEST).is_file():
            _end_lost_services(directory)
            return Project(directory)
    raise NoProject(
        f"neither `{start}` nor a directory above it has a `{MANIFEST}`", hint="`cape init` writes one here"
    )


def _end_lost_services(directory: Path) -> None:
    """End what killed supervisors of services left; costs a look or two where there is none."""
    home = directory / ".cape" / "services"
    with contextlib.suppress(OSError):  # It may be somebody else's.
        if not home.is_dir():
            return
        for pid in (home / "pid", *(home / "environments").glob("*/pid")):
            if _was_killed(pid):
                from cape.services.client import sweep_if_dead

                sweep_if_dead(pid.parent)


def _was_killed(pid: Path) -> bool:
    """Whether a supervisor noted itself there and is gone; another process may have its number by now.

    Raises `OSError`.
    """
    from cape.environment.attachments import start_of

    try:
        number = int(pid.read_text())
        noted = json.loads((pid.parent / "supervisor.json").read_bytes())["start"]
        return start_of(number) != str(noted)
    except FileNotFoundError:
        return pid.exists()
    except (ValueError, KeyError, TypeError):
        return True


@dataclass(frozen=True, slots=True)
class Workshop:
    """What an operation works with: this machine's settings, the store, and where progress goes."""

    configuration: Configuration
    store: Store
    progress: Progress = NO_PROGRESS

    @classmethod
    def open(cls, progress: Progress = NO_PROGRESS) -> Workshop:
        """The settings and the store of this user. Raises `BadConfiguration`."""
        from cape.configuration import Configuration
        from cape.store import Store

        configuration = Configuration.read()
        return cls(configuration, Store.default(configuration), progress)

    def sources(self, suite: str | None) -> Mapping[str, Source]:
        """The real sources, by name, opened when they are first asked for. Raises `StoreNotWritable`."""
        self.store.check_writable()
        return _Sources(self, suite or DEFAULT_SUITE)


class _Sources(Mapping[str, Source]):
    """Opens each source on first use: importing all of them would cost every command its start."""

    names = ("debian", "pypi", "npm", "model", "build", "uv")

    def __init__(self, workshop: Workshop, suite: str) -> None:
        self._workshop = workshop
        self._suite = suite
        self._open: dict[str, Source] = {}

    def __getitem__(self, name: str) -> Source:
        if name not in self.names:
            raise KeyError(name)
        if name not in self._open:
            self._open[name] = self._make(name)
        return self._open[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def _make(self, name: str) -> Source:
        configuration = self._workshop.configuration
        artifacts = self._workshop.store.artifacts
        cache = self._workshop.store.root / "indices" / name
        if name == "debian":
            from cape.sources.debian import DebianSource

            return DebianSource(
                suite=self._suite, configuration=configuration, cache=cache, artifacts=artifacts
            )
        if name == "pypi":
            from cape.sources.pypi import PypiSource

            return PypiSource(
                configuration=configuration, cache=cache, artifacts=artifacts, directory=_project_directory()
            )
        if name == "npm":
            from cape.sources.npm import NpmSource

            return NpmSource(configuration=configuration, cache=cache, artifacts=artifacts)
        if name == "uv":
            from cape.sources.interpreters import InterpreterSource

            return InterpreterSource(artifacts=artifacts)
        if name == "build":
            from cape.sources.builds import BuildSource

            return BuildSource(directory=Path.cwd(), artifacts=artifacts)
        from cape.sources.models import ModelSource
        from cape.sources.pypi import PypiSource

        pypi = self["pypi"]
        assert isinstance(pypi, PypiSource)
        return ModelSource(
            pypi=pypi,
            artifacts=artifacts,
            configuration=configuration,
            cache=cache,
            directory=_project_directory(),
        )


def _project_directory() -> Path | None:
    """The directory of the project that this process works in, if there is one."""
    with contextlib.suppress(NoProject):
        return find_project(Path.cwd()).directory
    return None


@contextlib.contextmanager
def held(project: Project) -> Iterator[None]:
    """Keep other changes of this project waiting until the block ends, or this process does.

    The kernel drops the hold when the process dies, whatever kills it.
    Raises `DirectoryNotWritable`, `DiskFull`, `OtherUsersProject`.
    """
    require_own(project)
    try:
        project.state.mkdir(mode=0o700, exist_ok=True)
        ignore = project.state / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
        descriptor = os.open(project.state / "held", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            with project_files(project.state):
                raise
        raise DirectoryNotWritable(
            "the project's directory cannot be written",
            where=str(project.state),
            hint="cape keeps the project's generations in `.cape`; make the directory writable for you",
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def require_own(project: Project) -> None:
    """Raises `OtherUsersProject` where another user has made `.cape`, and this one may not write there.

    Generations, state and services are one user's: they are private, and would be written over.
    """
    try:
        owner = project.state.stat().st_uid
    except OSError:
        return
    if owner != os.geteuid() and not os.access(project.state, os.R_OK | os.W_OK | os.X_OK):
        raise OtherUsersProject(
            f"the environment of this project belongs to another user, `{_user_name(owner)}`",
            where=str(project.state),
            hint="a clone, or a copy without `.cape`, is a project of your own, and its lock "
            "makes the same environment",
        )


def _user_name(number: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
