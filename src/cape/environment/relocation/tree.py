"""Relocation of one freshly unpacked tree: a walk, then links, scripts and ELF files, edited in place.

Owns the order of the stages and which file gets which edit. The files are nobody else's yet: whoever
unpacked them renames the whole tree into place afterwards, so an edit need not be atomic by itself.
"""

from __future__ import annotations

import mmap
import os
import posixpath
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cape.environment.relocation.c_library import C_LIBRARY, library_patches
from cape.environment.relocation.elf import (
    DF_1_PIE,
    DT_FLAGS_1,
    MACHINES,
    MAGIC,
    DamagedElf,
    Edit,
    Elf,
    Patch,
    is_separate_debug_file,
    machine_of,
    patches_for,
    read_elf,
)
from cape.environment.relocation.facts import ElfFacts, ElfKind, TreeFacts
from cape.environment.relocation.links import relative_target
from cape.environment.relocation.loader import cut_off, loader_name, triplet
from cape.environment.relocation.paths import in_root
from cape.environment.relocation.scripts import PLACEHOLDER, is_private, with_placeholder
from cape.names import System

RELOCATION_VERSION = 7
"""Part of every object's key: a change of any rule of relocation makes new objects."""

REDIRECT_LIBRARY = "libcape-redirect.so"
CONTROL = "root/var/lib/cape/control"
"""Maintainer scripts, kept as data; they are not scripts of the environment."""

DRIVERS = "drivers"
"""In an environment, the link to the directory of the machine's GPU drivers: searched after all else."""

_DEBUG_FILES = "root/usr/lib/debug/"
_HEAD = 128


@dataclass(frozen=True, kw_only=True, slots=True)
class RelocationContext:
    """What an object's tree is relocated for.

    `loader` is the absolute path of the loader in the libc object; None while that object itself is
    made, whose executables then stay as they are.
    """

    system: System
    loader: Path | None


@dataclass(slots=True)
class _Found:
    """What a walk found: paths relative to the tree, ELF files by inode."""

    elf: dict[int, list[str]] = field(default_factory=dict)
    scripts: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    privileged: list[str] = field(default_factory=list)


def relocate_tree(tree: Path, context: RelocationContext) -> TreeFacts:
    """Make a freshly unpacked tree work below any directory, and give what was learnt of it.

    `tree` is laid out as below an environment (`root/usr/bin/...`, `lib/python3.13/site-packages/...`).
    Modes and modification times stay, but for setuid and setgid bits. Applying it twice is the same as
    once. Raises `OSError`, and `UnknownLoader` for a libc object that is none.
    """
    found = _walk(tree, MACHINES.get(context.system.machine, 0))
    notes = _drop_privileges(tree, found.privileged)
    for link in found.links:
        _relocate_link(tree, link)
    private = [script for script in found.scripts if _relocate_script(tree, script)]
    elf, elf_notes = _relocate_elf_files(tree, found.elf, context)
    private += [
        one.path for one in elf if one.soname == C_LIBRARY and PLACEHOLDER in (tree / one.path).read_bytes()
    ]
    return TreeFacts(
        private=tuple(sorted(private)),
        elf=tuple(sorted(elf, key=lambda facts: facts.path)),
        notes=tuple(sorted(notes + elf_notes)),
    )


def _walk(tree: Path, machine: int) -> _Found:
    found = _Found()
    top = str(tree)
    for entry, path in _entries(top, ""):
        if entry.is_symlink():
            found.links.append(path)
        elif entry.is_dir():
            continue
        elif entry.is_file(follow_symlinks=False):
            _classify(found, entry, path, machine)
    return found


def _entries(top: str, below: str) -> Iterator[tuple[os.DirEntry[str], str]]:
    """Every entry below `top`, but for what the maintainer scripts' directory holds; links not followed."""
    waiting = [below]
    while waiting:
        directory = waiting.pop()
        with os.scandir(f"{top}/{directory}") as entries:
            for entry in entries:
                path = f"{directory}/{entry.name}" if directory else entry.name
                yield entry, path
                if entry.is_dir(follow_symlinks=False) and path != CONTROL:
                    waiting.append(path)


def _classify(found: _Found, entry: os.DirEntry[str], path: str, machine: int) -> None:
    mode = entry.stat(follow_symlinks=False).st_mode
    if mode & (stat.S_ISUID | stat.S_ISGID):
        found.privileged.append(path)
    if not (mode & 0o111 or ".so" in entry.name or entry.name.endswith(".node")):
        return
    head = _head(entry.path)
    if head.startswith(MAGIC):
        if machine_of(head) == machine and not path.startswith(_DEBUG_FILES):
            found.elf.setdefault(entry.inode(), []).append(path)
    elif head.startswith(b"#!") and mode & 0o111:
        found.scripts.append(path)


def _head(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _HEAD)
    finally:
        os.close(descriptor)


def _drop_privileges(tree: Path, paths: list[str]) -> list[str]:
    for path in paths:
        mode = os.lstat(tree / path).st_mode
        os.chmod(tree / path, stat.S_IMODE(mode) & ~(stat.S_ISUID | stat.S_ISGID))
    return [f"`{path}` runs without the privileges of its setuid or setgid bit" for path in paths]


def _relocate_link(tree: Path, link: str) -> None:
    if not link.startswith("root/"):
        return
    place = tree / link
    target = os.readlink(place)
    wanted = relative_target(link.removeprefix("root/"), target)
    if wanted != target:
        os.unlink(place)
        os.symlink(wanted, place)


def _relocate_script(tree: Path, path: str) -> bool:
    """Put the placeholder into a script's first line; whether the script holds it now."""
    file = tree / path
    data = file.read_bytes()
    changed = with_placeholder(data, below_root=path.startswith("root/"))
    if changed is not None:
        _write(file, ((0, changed),), size=len(changed))
    return is_private(data if changed is None else changed)


def _write(file: Path, patches: tuple[Patch, ...], *, size: int | None = None) -> None:
    """Write patches into a file in place; mode and modification time stay."""
    before = os.lstat(file)
    if not before.st_mode & stat.S_IWUSR:
        os.chmod(file, stat.S_IMODE(before.st_mode) | stat.S_IWUSR)
    descriptor = os.open(file, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        for offset, data in patches:
            while data:
                written = os.pwrite(descriptor, data, offset)
                offset, data = offset + written, data[written:]
        if size is not None:
            os.ftruncate(descriptor, size)
        os.utime(descriptor, ns=(before.st_atime_ns, before.st_mtime_ns))
        os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
    finally:
        os.close(descriptor)


def _relocate_elf_files(
    tree: Path, by_inode: dict[int, list[str]], context: RelocationContext
) -> tuple[list[ElfFacts], list[str]]:
    facts: list[ElfFacts] = []
    notes: list[str] = []
    for paths in by_inode.values():
        for path in _parted(tree, sorted(paths)):
            try:
                found = _relocate_elf(tree, path, context)
            except DamagedElf as error:
                notes.append(f"`{path}` looks like a program but is damaged: {error.fact}")
                continue
            if isinstance(found, str):
                notes.append(found)
            elif found is not None:
                facts.append(found)
    return facts, notes


def elf_facts(data: bytes, path: str, system: System) -> ElfFacts | None:
    """What relocation would learn of an ELF file that is not unpacked yet; nothing is edited.

    `path` is where it will lie below the tree. None for a file of no interest: of another machine, with
    symbols only, damaged, or for another C library's loader.
    """
    if machine_of(data[:_HEAD]) != MACHINES.get(system.machine, 0) or path.startswith(_DEBUG_FILES):
        return None
    try:
        elf = read_elf(data)
        if not elf.is_dynamic:
            return ElfFacts(path=path, kind=ElfKind.STATIC)
        if is_separate_debug_file(elf) or _is_foreign(elf, system):
            return None
        search_path, _ = _planned(elf, path, RelocationContext(system=system, loader=Path("/")))
        return _facts(elf, path, search_path)
    except DamagedElf:
        return None


def _parted(tree: Path, paths: list[str]) -> list[str]:
    """The links of one inode, those in other directories than the first one made files of their own.

    `$ORIGIN` is another for them. Links in one directory share their edit: the second finds it done.
    """
    first = posixpath.dirname(paths[0])
    for path in paths[1:]:
        if posixpath.dirname(path) != first:
            copy = tree / f"{path}.cape-parted"
            shutil.copy2(tree / path, copy)
            os.replace(copy, tree / path)
    return paths


def _relocate_elf(tree: Path, path: str, context: RelocationContext) -> ElfFacts | str | None:
    """Edit one ELF file; its facts, a note for a file of another kind, or None for one of no interest."""
    file = tree / path
    with open(file, "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        with mmap.mmap(stream.fileno(), size, access=mmap.ACCESS_READ) as data:
            elf = read_elf(data)
            if not elf.is_dynamic:
                return ElfFacts(path=path, kind=ElfKind.STATIC)
            if is_separate_debug_file(elf):
                return None
            if _is_foreign(elf, context.system):
                return f"`{path}` needs the loader `{elf.interpreter}`; it stays as it is"
            search_path, patches = _planned(elf, path, context)
            facts = _facts(elf, path, search_path)
            if elf.soname == loader_name(context.system):
                patches = ((0, cut_off(bytes(data))),)
            elif elf.soname == C_LIBRARY and context.loader is None:
                patches = library_patches(elf, context.system)
    if patches:
        _write(file, patches)
    return facts


def _is_foreign(elf: Elf, system: System) -> bool:
    """Whether it wants another C library's loader: musl's, or one of a kind that cape does not make."""
    if not elf.interpreter:  # Editors of wheels leave an empty one in libraries that could be run.
        return any(name.startswith(("libc.musl", "ld-musl")) for name in elf.needed)
    return posixpath.basename(elf.interpreter) not in (loader_name(system), "ld-lsb-x86-64.so.3")


def _planned(elf: Elf, path: str, context: RelocationContext) -> tuple[tuple[str, ...], tuple[Patch, ...]]:
    """The search path after relocation, and the patches that bring it about."""
    origin = posixpath.dirname(path)
    if elf.soname in (C_LIBRARY, loader_name(context.system)):
        return (), ()
    kept = tuple(dict.fromkeys(filter(None, (_relative(entry, origin) for entry in elf.search_path))))
    if not elf.is_executable:
        return kept, patches_for(elf, Edit(rpath=kept)) if elf.search_path else ()
    if context.loader is None:
        return kept, ()
    defaults = (f"root/usr/lib/{triplet(context.system)}", "root/usr/lib", DRIVERS)
    rpath = tuple(dict.fromkeys([*kept, *(_from_origin(directory, origin) for directory in defaults)]))
    edit = Edit(interpreter=str(context.loader), rpath=rpath, needed_first=REDIRECT_LIBRARY)
    return rpath, patches_for(elf, edit)


def _relative(entry: str, origin: str) -> str | None:
    """A search path's entry relative to `$ORIGIN`; None for one that depends on the working directory."""
    if entry.startswith(("$ORIGIN", "${ORIGIN}")):
        return entry
    inside = in_root(entry) if entry.startswith("/") else None
    return None if inside is None else _from_origin(f"root/{inside}", origin)


def _from_origin(directory: str, origin: str) -> str:
    relative = posixpath.relpath(directory, origin or ".")
    return "$ORIGIN" if relative == "." else f"$ORIGIN/{relative}"


def _facts(elf: Elf, path: str, search_path: tuple[str, ...]) -> ElfFacts:
    origin = posixpath.dirname(path)
    static = elf.interpreter is None and not elf.needed and elf.soname is None and _is_static_pie(elf)
    return ElfFacts(
        path=path,
        kind=ElfKind.STATIC if static else ElfKind.EXECUTABLE if elf.is_executable else ElfKind.LIBRARY,
        soname=elf.soname,
        needed=tuple(name for name in elf.needed if name != REDIRECT_LIBRARY),
        search_path=tuple(_directory(entry, origin) for entry in search_path),
        glibc=_newest_glibc(elf),
    )


def _is_static_pie(elf: Elf) -> bool:
    return bool((elf.value(DT_FLAGS_1) or 0) & DF_1_PIE)


def _directory(entry: str, origin: str) -> str:
    rest = entry.replace("${ORIGIN}", "$ORIGIN").removeprefix("$ORIGIN").lstrip("/")
    return posixpath.normpath(posixpath.join(origin, rest))


def _newest_glibc(elf: Elf) -> str | None:
    versions = [
        version.removeprefix("GLIBC_")
        for _, version in elf.version_needs()
        if version.startswith("GLIBC_") and version[6:7].isdigit()
    ]
    return max(versions, key=lambda text: tuple(map(int, text.split("."))), default=None)
