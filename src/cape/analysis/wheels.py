"""Reading what a wheel, or an npm package, needs of the system, from the artifact itself.

Owns which files of an artifact are looked into, and what is taken from each. Nothing is unpacked, imported
or run; a damaged file among them is passed over, since unpacking tells of it.
"""

from __future__ import annotations

import contextlib
import re
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import IO

from cape.analysis.javascript_loads import read_script_loads
from cape.analysis.loads import read_loads
from cape.analysis.modules import guarded_modules
from cape.analysis.needs import ElfNeeds, Load, PackageNeeds
from cape.environment.relocation import elf_facts
from cape.environment.relocation.elf import MACHINES, DamagedElf, machine_of, read_elf
from cape.environment.relocation.facts import ElfKind
from cape.errors import StateError
from cape.names import Digest, System

LARGEST_MEMBER_BYTES = 400 << 20
_LARGEST_SCRIPT_BYTES = 2 << 20
_LARGEST_METADATA_BYTES = 1 << 20
_DATA = re.compile(r"[^/]+\.data/(purelib|platlib|scripts|data|headers)/(.+)\Z")
_MANYLINUX = re.compile(r"manylinux(?:_(\d+)_(\d+)|(1|2010|2014))_")
_LEGACY = {"1": "2.5", "2010": "2.12", "2014": "2.17"}
_STRESSED = 3
_WORD = re.compile(r"[a-z][a-z0-9_+-]{2,30}")


class CannotBeRead(StateError):
    """An artifact that is no archive of its kind."""

    slug = "cannot-be-read"


def wheel_needs(
    stream: IO[bytes],
    file_name: str,
    system: System,
    *,
    python: str,
    largest_bytes: int = LARGEST_MEMBER_BYTES,
    scripts: MutableMapping[str, Scripts] | None = None,
) -> PackageNeeds:
    """What a wheel needs on a system. Raises `CannotBeRead`, and what reading the stream raises.

    `stream` can seek; of a remote file only what is asked for needs to be brought. Members that are larger
    than `largest_bytes` are counted, and not read. `scripts` is what was read of code, by checksums of the
    directory: it grows, and code that is in it is not read again.
    """
    known = {} if scripts is None else scripts
    try:
        with zipfile.ZipFile(stream) as archive:
            return _Wheel(archive, file_name, system, python, largest_bytes, known).needs()
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise CannotBeRead("the wheel cannot be read", where=file_name) from error


@dataclass(frozen=True, kw_only=True, slots=True)
class Scripts:
    """What a wheel's code says: what it loads by name, and the modules that it imports in guards alone."""

    loads: tuple[Load, ...]
    guarded: frozenset[str]


class _Wheel:
    """One opened wheel."""

    def __init__(
        self,
        archive: zipfile.ZipFile,
        file_name: str,
        system: System,
        python: str,
        largest_bytes: int,
        scripts: MutableMapping[str, Scripts],
    ) -> None:
        self.archive = archive
        self.file_name = file_name
        self.system = system
        self.site = f"lib/python{python}/site-packages"
        self.largest_bytes = largest_bytes
        self.scripts = scripts
        self.unread = 0
        self.carried: set[str] = set()
        """Programs that lie among a package's files, wherever."""

    def needs(self) -> PackageNeeds:
        members = [(one, self._placed(one.filename)) for one in self.archive.infolist() if not one.is_dir()]
        scripts = self._scripts(members)
        loads = scripts.loads
        elf = sorted(self._elf_files(members), key=lambda one: one.path)
        text = self._description(members) if loads else ""
        return PackageNeeds(
            elf=_with_guards(elf, scripts.guarded),
            loads=loads,
            libraries=tuple(sorted({_base(path) for _, path in members if _is_library(path)})),
            programs=self._programs(members),
            described=words_of(text),
            stressed=words_of(text, times=_STRESSED),
            glibc_promised=promised_glibc(self.file_name),
            unread=self.unread,
            modules=sum(path.endswith(".py") for _, path in members),
        )

    def _placed(self, name: str) -> str:
        match = _DATA.match(name)
        if not match:
            return f"{self.site}/{name}"
        kind, rest = match.groups()
        return {"scripts": f"bin/{rest}", "data": rest, "headers": f"include/{rest}"}.get(
            kind, f"{self.site}/{rest}"
        )

    def _elf_files(self, members: Iterable[tuple[zipfile.ZipInfo, str]]) -> Iterator[ElfNeeds]:
        for info, path in members:
            if not _may_be_elf(path) or info.file_size < 64:
                continue
            with self.archive.open(info) as member:
                head = member.read(64)
                if machine_of(head) is None:
                    continue
                if not _is_library(path) and machine_of(head) == MACHINES.get(self.system.machine):
                    self.carried.add(_base(path))
                if info.file_size > self.largest_bytes:
                    self.unread += 1
                    continue
                data = head + member.read()
            if found := elf_needs(data, path, self.system):
                yield found

    def _scripts(self, members: Sequence[tuple[zipfile.ZipInfo, str]]) -> Scripts:
        """What the code says; read once for all wheels whose directories say that they have the same."""
        prefix = f"{self.site}/"
        chosen = {
            path.removeprefix(prefix): info
            for info, path in members
            if path.endswith(".py")
            and path.startswith(prefix)
            and info.file_size <= _LARGEST_SCRIPT_BYTES
            and not _IS_TEST.search(path)
        }
        started = self._started(members)
        lines = [f"{path} {info.CRC} {info.file_size}" for path, info in sorted(chosen.items(), key=_first)]
        key = Digest.of_lines([*lines, *started]).hex
        if key not in self.scripts:
            sources = {path: self.archive.read(info) for path, info in chosen.items()}
            has_libraries = any(_is_library(path) for _, path in members)
            self.scripts[key] = Scripts(
                loads=read_loads(sources, _tops(sources), started),
                guarded=guarded_modules(sources.values()) if has_libraries else frozenset(),
            )
        return self.scripts[key]

    def _programs(self, members: Iterable[tuple[zipfile.ZipInfo, str]]) -> tuple[str, ...]:
        found = {_base(path) for _, path in members if path.startswith("bin/")} | self.carried
        names = re.findall(r"^([\w.-]+)\s*=", self._entry_points(members), re.MULTILINE)
        return tuple(sorted(found.union(names)))

    def _started(self, members: Iterable[tuple[zipfile.ZipInfo, str]]) -> list[str]:
        """The modules of a wheel's commands."""
        return re.findall(r"^[\w.-]+\s*=\s*([\w.]+)", self._entry_points(members), re.MULTILINE)

    def _entry_points(self, members: Iterable[tuple[zipfile.ZipInfo, str]]) -> str:
        for info, path in members:
            if path.endswith(".dist-info/entry_points.txt"):
                return self.archive.read(info).decode("utf-8", "replace")
        return ""

    def _description(self, members: Iterable[tuple[zipfile.ZipInfo, str]]) -> str:
        for info, path in members:
            if path.endswith(".dist-info/METADATA") and info.file_size <= _LARGEST_METADATA_BYTES:
                return self.archive.read(info).decode("utf-8", "replace")
        return ""


def _first(pair: tuple[str, object]) -> str:
    return pair[0]


def _with_guards(elf: Sequence[ElfNeeds], guarded: frozenset[str]) -> tuple[ElfNeeds, ...]:
    """Extensions that code imports in guards alone are plug-ins: what loads them can do without."""
    return tuple(
        replace(one, role="library")
        if one.role == "extension" and _base(one.path).split(".")[0] in guarded
        else one
        for one in elf
    )


_IS_TEST = re.compile(
    r"(?:^|/)(?:tests?|testing|_?examples?|docs?|benchmarks?|demos?|samples?)/|/conftest\.py\Z"
)


def words_of(text: str, *, times: int = 1) -> tuple[str, ...]:
    """The words that a description has so many times, sorted, without classifiers and the addresses in it."""
    lines = (line for line in text.splitlines() if not line.startswith(("Classifier:", "Requires-Dist:")))
    plain = re.sub(r"https?://\S+", " ", "\n".join(lines).lower())
    found = Counter(_WORD.findall(plain))
    return tuple(sorted(word for word, count in found.items() if count >= times))


def promised_glibc(file_name: str) -> str | None:
    """The newest glibc that a wheel's tags say to need, the least of them; None without such a tag.

    >>> promised_glibc("a-1-cp313-cp313-manylinux2014_x86_64.manylinux_2_17_x86_64.whl")
    '2.17'
    """
    found = [
        f"{major}.{minor}" if major else _LEGACY[legacy]
        for major, minor, legacy in _MANYLINUX.findall(file_name.replace(".", "_."))
    ]
    return min(found, key=lambda text: tuple(map(int, text.split("."))), default=None)


def _tops(sources: Iterable[str]) -> Iterator[str]:
    """The modules that people import: packages and modules at the top, and those of a namespace."""
    paths = set(sources)
    for path in sorted(paths):
        parts = path.split("/")
        if len(parts) == 1:
            yield path.removesuffix(".py")
        elif parts[-1] == "__init__.py" and len(parts) == 2:
            yield parts[0]
        elif len(parts) == 2 and f"{parts[0]}/__init__.py" not in paths:
            yield f"{parts[0]}.{parts[1].removesuffix('.py')}"
        elif len(parts) == 3 and parts[-1] == "__init__.py" and f"{parts[0]}/__init__.py" not in paths:
            yield f"{parts[0]}.{parts[1]}"


def _base(path: str) -> str:
    return path.rpartition("/")[2]


def _is_library(path: str) -> bool:
    name = _base(path)
    return name.endswith(".so") or ".so." in name or name.endswith(".node")


_TEXT = re.compile(
    r"\.(py|pyi|txt|h|hpp|c|cpp|json|js|mjs|cjs|ts|map|md|html|css|png|jpg|svg|dat|csv|a|pyc|xml|yaml)\Z"
)


def _may_be_elf(path: str) -> bool:
    return _is_library(path) or path.startswith("bin/") or not _TEXT.search(path)


# -- ELF ------------------------------------------------------------------------------------------------


def elf_needs(data: bytes, path: str, system: System) -> ElfNeeds | None:
    """What one ELF file needs; None for a file of no interest (static, symbols only, another C library)."""
    machine = machine_of(data[:64])
    if machine is None:
        return None
    role = _role(data, path)
    if machine != MACHINES.get(system.machine) or data[_OS_ABI] not in _LINUX_ABI:
        return ElfNeeds(path=path, role=role, is_foreign=True)
    facts = elf_facts(data, path, system)
    if facts is None or facts.kind is ElfKind.STATIC or any(map(_OTHER_LIBC.match, facts.needed)):
        return None
    return ElfNeeds(
        path=path,
        role="program" if facts.kind is ElfKind.EXECUTABLE else role,
        soname=facts.soname,
        needed=facts.needed,
        search_path=facts.search_path,
        versions=_versions(data),
    )


_OS_ABI = 7
_LINUX_ABI = (0, 3)
"""System V's, which says nothing, and GNU's; FreeBSD's and others' programs name their own."""

_OTHER_LIBC = re.compile(r"libc\.so\Z|libc\.musl-")
"""A C library as musl and Android call it."""

_EXTENSION = re.compile(r"\.(?:cpython-[\w-]+|abi3|[\w-]*linux-gnu)\.so\Z|\.node\Z")


def _role(data: bytes, path: str) -> str:
    if _EXTENSION.search(path):
        return "extension"
    if path.endswith(".so") and not _base(path).startswith("lib") and b"PyInit_" in data:
        return "extension"
    return "library"


def _versions(data: bytes) -> tuple[tuple[str, str], ...]:
    try:
        return tuple(dict.fromkeys(read_elf(data).version_needs()))
    except DamagedElf:
        return ()


# -- npm ------------------------------------------------------------------------------------------------


def tarball_needs(stream: IO[bytes], placement: str, system: System) -> PackageNeeds:
    """What an npm package needs on a system. Raises `CannotBeRead`, and what reading the stream raises."""
    elf: list[ElfNeeds] = []
    loads: list[Load] = []
    libraries: set[str] = set()
    text = ""
    modules = 0
    try:
        with tarfile.open(fileobj=stream, mode="r|gz") as archive:
            for member in archive:
                if not member.isfile():
                    continue
                path = f"{placement}/{member.name.partition('/')[2]}"
                if _is_library(path):
                    libraries.add(_base(path))
                data = _member_bytes(archive, member, path)
                if data.startswith(b"\x7fELF"):
                    elf += filter(None, [elf_needs(data, path, system)])
                elif path.endswith((".js", ".cjs", ".mjs")):
                    modules += 1
                    loads += read_script_loads(path, data.decode("utf-8", "replace"))
                elif path.lower() == f"{placement}/readme.md".lower():
                    text = data.decode("utf-8", "replace")
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise CannotBeRead("the package cannot be read", where=placement) from error
    return PackageNeeds(
        elf=tuple(sorted(_own_builds(elf), key=lambda one: one.path)),
        loads=tuple(sorted(set(loads))),
        libraries=tuple(sorted(libraries)),
        described=words_of(text) if loads else (),
        stressed=words_of(text, times=_STRESSED) if loads else (),
        modules=modules,
    )


def _member_bytes(archive: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> bytes:
    """A member, as far as it is of interest: all of a small script or a program, nothing of the rest."""
    is_script = path.endswith((".js", ".cjs", ".mjs", ".md"))
    if (is_script and member.size > _LARGEST_SCRIPT_BYTES) or member.size > LARGEST_MEMBER_BYTES:
        return b""
    if not is_script and not _may_be_elf(path):
        return b""
    stream = archive.extractfile(member)
    if stream is None:
        return b""
    with contextlib.closing(stream):
        head = stream.read(64)
        return head + stream.read() if is_script or head.startswith(b"\x7fELF") else b""


def _own_builds(elf: list[ElfNeeds]) -> list[ElfNeeds]:
    """Without the builds for other machines that lie beside this one's."""
    own = [one for one in elf if not one.is_foreign]
    return own or elf
