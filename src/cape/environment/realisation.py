"""From sealed objects to an environment: linked under another name, finished, digested, renamed.

Owns the order of the stages, generated files, and `environment.json`. Nothing here unpacks, relocates or
knows a source; what maintainer scripts would have done comes in as a callable.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cape.environment.drivers import link_drivers
from cape.environment.facade import build_facade
from cape.environment.finishing import CONTROL
from cape.environment.finishing.diversions import Diversion, read_diversions
from cape.environment.merging import Merged, check_parents, merge
from cape.environment.overlay import IN_ENVIRONMENT, LINK, MODULE
from cape.environment.plan import EnvironmentPlan
from cape.environment.relocation.tree import DRIVERS
from cape.names import Digest, System, write_atomically
from cape.store import ContentHasher, Entry, Store, StoreObject, content_digest
from cape.store.collection import discard_environment
from cape.store.errors import disk_errors
from cape.store.files import place, remove_tree, sync_file_system
from cape.store.leases import holder_name, is_alive, leased

RECORD = "environment.json"
"""The marker of a whole environment; it is written last, before the rename."""

MERGED_LINKS = ("bin", "sbin", "lib", "lib64")
REDIRECT_LIBRARY = "root/usr/lib/libcape-redirect.so"
_SCHEMA = 1

Finish = Callable[[Path], None]
"""What maintainer scripts would have done: takes the root, under its temporary name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RealisedEnvironment:
    """An environment on disk. `content` is equal in every store; `programs` are those on PATH.

    `made` tells whether this call made it; `seconds` how long each stage then took.
    """

    path: Path
    identity: Digest
    content: Digest
    packages: int
    files: int
    programs: tuple[str, ...]
    made: bool
    seconds: float = 0.0

    @property
    def root(self) -> Path:
        """The tree of system packages, `$CAPE_ROOT`."""
        return self.path / "root"


def read_environment(path: Path) -> RealisedEnvironment | None:
    """The environment at `path`; None when there is none, or only a broken one."""
    try:
        record = json.loads((path / RECORD).read_bytes())
        return RealisedEnvironment(
            path=path,
            identity=Digest(record["identity"]),
            content=Digest(record["content"]),
            packages=record["packages"],
            files=record["files"],
            programs=tuple(record["programs"]),
            made=False,
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def objects_of(environment: Path, store: Store) -> Iterator[StoreObject]:
    """The objects that an environment was made from, as far as the store has them."""
    record = json.loads((environment / RECORD).read_bytes())
    for key in record["objects"]:
        if (found := store.objects.get(Digest(key))) is not None:
            yield found


def realise(
    plan: EnvironmentPlan,
    objects: Sequence[StoreObject],
    store: Store,
    *,
    finish: Finish | None = None,
    redirect: Path | None = None,
) -> RealisedEnvironment:
    """The environment of a plan, made from its objects (in the plan's order) if it is not there.

    One process makes it, others wait for it. An environment that is there is not changed; one without
    its marker is made anew. Whatever fails, nothing is left under its name.
    `redirect` is the redirecting library, for an environment with system packages.
    Raises `FileConflict`, `DiskFull`, `StoreNotWritable`, and what `finish` raises.
    """
    path = store.environment_path(plan.identity)
    store.announce()
    _offer_drivers(plan, store)
    with disk_errors(path):
        if found := read_environment(path):
            return found
        store.environments.mkdir(parents=True, exist_ok=True)
        with leased(store.lease(f"environment-{path.name}").path):
            if found := read_environment(path):
                return found
            _sweep(store, path.name)
            library = redirect_object(redirect, store) if redirect is not None else None
            return _Realisation(plan, objects, store, finish, library).run()


def _offer_drivers(plan: EnvironmentPlan, store: Store) -> None:
    """Link to the GPU drivers of this machine; a store that cannot be written keeps the links it has."""
    if plan.libc is not None and plan.system == System.current():
        with contextlib.suppress(OSError):
            link_drivers(store.root, Path("/"), plan.system)


def redirect_object(library: Path, store: Store) -> StoreObject:
    """The object that holds the redirecting library: environments link to it, not to cape's own file."""
    data = library.read_bytes()

    def build(tree: Path) -> dict[str, Any]:
        target = tree / REDIRECT_LIBRARY
        target.parent.mkdir(parents=True)
        target.write_bytes(data)
        return {"package": {"source": "cape", "name": "redirect", "version": Digest.of(data).short}}

    return store.objects.obtain(Digest.of_lines(["redirecting library", Digest.of(data).hex]), build)


def _sweep(store: Store, name: str) -> None:
    """Remove what is under the name without a marker, and what the dead left beside it."""
    discard_environment(store, name)
    for stale in store.environments.glob(f".{name}.*"):
        if not is_alive(stale.name.rpartition(".")[2]):
            remove_tree(stale)


class _Realisation:
    """One making of an environment: its stages, in order, in `run`."""

    def __init__(
        self,
        plan: EnvironmentPlan,
        objects: Sequence[StoreObject],
        store: Store,
        finish: Finish | None,
        redirect: StoreObject | None,
    ) -> None:
        self._plan = plan
        self._objects = objects
        self._store = store
        self._finish = finish
        self._redirect = redirect
        self._final = store.environment_path(plan.identity)
        self._building = store.environments / f".{self._final.name}.{holder_name()}"

    def run(self) -> RealisedEnvironment:
        started = time.perf_counter()
        merged = merge(self._plan, [one.listing() for one in self._objects], self._diversions())
        check_parents(merged, self._plan.packages)
        try:
            self._building.mkdir()
            link_merged(merged, self._objects, self._building, self._final)
            self._generate()
            before = _inodes(self._building)
            if self._finish:
                self._finish(self._building / "root")
            programs = build_facade(self._building, self._plan, merged, final=self._final)
            record = self._record(merged, before, programs)
            write_atomically(self._building / RECORD, json.dumps(record, indent=1).encode() + b"\n")
            sync_file_system(self._building)
            os.rename(self._building, self._final)
        except BaseException:
            remove_tree(self._building)
            raise
        found = read_environment(self._final)
        assert found is not None
        return _as_made(found, time.perf_counter() - started)

    def _diversions(self) -> Iterator[Diversion]:
        control = (self._objects[at].tree / "root" / CONTROL for at in self._system_packages())
        return read_diversions(directory for place in control for directory in sorted(place.glob("*")))

    def _system_packages(self) -> Iterator[int]:
        return (at for at, package in enumerate(self._plan.packages) if package.source == "debian")

    def _generate(self) -> None:
        """The files that no package ships: merged links, the redirecting library, `pyvenv.cfg`."""
        root = self._building / "root"
        root.mkdir(exist_ok=True)
        for name in MERGED_LINKS:
            if (root / "usr" / name).is_dir() and not os.path.lexists(root / name):
                os.symlink(f"usr/{name}", root / name)
        if not os.path.lexists(root / "lib64") and (root / "usr" / "lib").is_dir():
            os.symlink("usr/lib", root / "lib64")
        if self._redirect is not None:
            (root / "usr" / "lib").mkdir(parents=True, exist_ok=True)
            place(self._redirect.tree / REDIRECT_LIBRARY, self._building / REDIRECT_LIBRARY)
            os.symlink(f"../../{DRIVERS}", self._building / DRIVERS)
        _make_virtual_environment(self._building, self._final, self._plan)

    def _record(self, merged: Merged, before: dict[str, int], programs: Sequence[str]) -> dict[str, Any]:
        hasher = ContentHasher(self._store.root, self._final)
        entries = list(_entries_now(self._building, merged, before, hasher))
        entries.sort(key=lambda entry: entry.path)
        return {
            "schema_version": _SCHEMA,
            "identity": self._plan.identity.hex,
            "content": content_digest(entries).hex,
            "system": str(self._plan.system),
            "packages": len(self._plan.packages),
            "files": sum(1 for entry in entries if entry.kind != "d"),
            "programs": list(programs),
            "objects": sorted({one.key.hex for one in (*self._objects, self._redirect) if one}),
            "shadowed": [list(one) for one in merged.shadowed],
        }


def _as_made(found: RealisedEnvironment, seconds: float) -> RealisedEnvironment:
    from dataclasses import replace

    return replace(found, made=True, seconds=seconds)


def link_merged(merged: Merged, objects: Sequence[StoreObject], building: Path, final: Path) -> None:
    """Put every merged path below `building`: hard links, links, and private copies for `final`."""
    private = [frozenset(one.facts.get("private", ())) for one in objects]
    trees = [f"{one.tree}/" for one in objects]
    top = f"{building}/"
    made: set[str] = {""}
    link = os.link
    for path, (entry, owner, source) in merged.placed.items():
        if entry.kind == "d":
            _make_directory(top, path, made)
            continue
        parent = path.rpartition("/")[0]
        if parent not in made:
            _make_directory(top, parent, made)
        if entry.kind == "l":
            os.symlink(entry.target, top + path)
        elif source in private[owner]:
            _write_private(trees[owner] + source, top + path, entry.mode, final)
        else:
            try:
                link(trees[owner] + source, top + path)
            except OSError:
                place(trees[owner] + source, top + path)


def _make_directory(top: str, path: str, made: set[str]) -> None:
    if path in made:
        return
    _make_directory(top, path.rpartition("/")[0], made)
    os.mkdir(top + path, 0o755)
    made.add(path)


def _write_private(source: str, target: str, mode: int, final: Path) -> None:
    from cape.environment.relocation import personalise

    with open(source, "rb") as stream:
        data = personalise(stream.read(), final)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as writing:
        writing.write(data)
        os.fchmod(writing.fileno(), mode)


def _inodes(top: Path) -> dict[str, int]:
    """The inode of every file below `top`, by its relative path."""
    found: dict[str, int] = {}
    for path, entry in _walk(str(top)):
        if not entry.is_dir(follow_symlinks=False):
            found[path] = entry.inode()
    return found


def _walk(top: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Every entry below `top` with its relative path; links are not followed."""
    waiting = [("", top)]
    while waiting:
        prefix, directory = waiting.pop()
        with os.scandir(directory) as children:
            for child in children:
                path = prefix + child.name
                yield path, child
                if child.is_dir(follow_symlinks=False):
                    waiting.append((path + "/", child.path))


def _entries_now(top: Path, merged: Merged, before: dict[str, int], hasher: ContentHasher) -> Iterator[Entry]:
    """The environment as it is: what objects gave by their listings, all else hashed.

    A private copy stands for what its object has, with the placeholder: how long the environment's path
    is decides its form (a `#!` line or a prologue), and must not show in the digest.
    """
    for path, child in _walk(str(top)):
        placed = merged.placed.get(path)
        if child.is_symlink():
            yield Entry(
                "l", path, target=os.fsdecode(hasher.normalised(os.fsencode(os.readlink(child.path))))
            )
        elif child.is_dir(follow_symlinks=False):
            yield Entry("d", path, mode=0o755)
        elif placed and before.get(path) == child.inode():
            yield placed.entry._replace(path=path)
        else:
            yield _seal_generated(child, path, hasher)


def _seal_generated(child: os.DirEntry[str], path: str, hasher: ContentHasher) -> Entry:
    status = child.stat(follow_symlinks=False)
    mode = 0o555 if status.st_mode & 0o111 else 0o444
    if stat.S_IMODE(status.st_mode) != mode:
        os.chmod(child.path, mode)
    with open(child.path, "rb") as stream:
        content = Digest.of(hasher.normalised(stream.read())).hex
    return Entry("f", path, mode, status.st_size, content, content)


def _make_virtual_environment(building: Path, final: Path, plan: EnvironmentPlan) -> None:
    """Make the environment a virtual one of its own Python, where it has one."""
    interpreter = _interpreter(building)
    if interpreter is None:
        return
    home, name = interpreter
    site = building / "lib" / name / "site-packages"
    site.mkdir(parents=True, exist_ok=True)
    (building / "bin").mkdir(exist_ok=True)
    for alias, target in ((name, f"../{home}/{name}"), ("python3", name), ("python", name)):
        if alias not in plan.hide and not os.path.lexists(building / "bin" / alias):
            os.symlink(target, building / "bin" / alias)
    text = (
        f"home = {final}/{home}\n"
        f"include-system-site-packages = {_wants_system_modules(plan)}\n"
        f"version = {_python_version(plan, name)}\n"
    )
    (building / "pyvenv.cfg").write_text(text)
    (site / f"{MODULE}.py").write_text(IN_ENVIRONMENT)
    (site / f"zzz{MODULE}.pth").write_text(LINK)


def _interpreter(building: Path) -> tuple[str, str] | None:
    """Where the environment's own Python is and what its program is called; None where it has none.

    One that is not the suite's lies at `/usr/local`, and goes before the suite's.
    """
    for home in ("root/usr/local/bin", "root/usr/bin"):
        try:
            name = os.path.basename(os.readlink(building / home / "python3"))
        except OSError:
            continue
        if name.startswith("python3.") and (building / home / name).exists():
            return home, name
    return None


def _wants_system_modules(plan: EnvironmentPlan) -> str:
    """Whether the manifest names Debian's Python modules: they are seen then, after wheels."""
    named = any(source == "debian" and name.startswith("python3-") for source, name in plan.roots)
    return "true" if named else "false"


def _python_version(plan: EnvironmentPlan, name: str) -> str:
    """The full version of the interpreter: `3.13.5`."""
    for package in plan.packages:
        if package.source == "uv":
            return package.version
        if package.source == "debian" and package.name in (f"{name}-minimal", name):
            return package.version.partition("-")[0].partition("+")[0].partition("~")[0]
    return name.removeprefix("python")
