"""What language packages need of the system and do not find: the verdict over facts alone.

Owns when a library, program, typelib or symbol version counts as there, and when its absence is an error or
a note. Nothing is read or asked here: needs, names and versions come in as values, and which package to add
is `providers`' to choose.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from cape.analysis.loads import stem
from cape.analysis.needs import ElfNeeds, Load, LoadKind, PackageNeeds, Reach
from cape.environment.drivers import is_driver_library
from cape.names import System

DEDICATED_MODULES = 40
"""A package with more Python modules than this is about more than the one thing that it loads."""

_TELLING = 3
"""A longer name than this tells a library: `libspatialindex` is built with `libspatialindex_c`."""

_SEVERAL = 2
"""So many programs of one package of the suite say what a small package is for."""

_MANY_PLACES = 12
"""So many places that start a program say what a package is for, whatever its description says."""

_NAMED = 3
"""So many packages are named in a sentence."""

_C_LIBRARY = re.compile(
    r"(?:libc|libm|libpthread|libdl|librt|libutil|libresolv|libmvec|libnsl|libanl|libcrypt|ld-linux[\w-]*)"
    r"\.so\.\d+\Z"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Examined:
    """A locked package and what it needs; `is_asked_for` says whether the manifest names it itself."""

    name: str
    version: str
    source: str
    needs: PackageNeeds
    is_asked_for: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Missing:
    """Something that is not there. `names` are alternatives, the most likely first.

    `kind` is `needed` for a library that a file is linked with, else what is looked for by name; `path` the
    file (and for code the line) that needs it; `is_error` whether the package cannot work without it.
    """

    package: str
    source: str
    kind: str
    names: tuple[str, ...]
    path: str
    is_error: bool
    is_certain: bool = True
    """Whether an import, or the loader, fails; otherwise it is some call that may."""

    @property
    def name(self) -> str:
        """The first name, as people write it: `libmagic.so`."""
        return shown(self.names[0])


def shown(name: str) -> str:
    """A name for people: `*magic` is a library `libmagic`, a typelib its namespace."""
    return f"lib{name[1:].removeprefix('lib')}" if name.startswith("*") else name


@dataclass(frozen=True, kw_only=True, slots=True)
class TooNew:
    """A file that needs a newer symbol version than the environment's library has."""

    package: str
    source: str
    library: str
    wanted: str
    has: str
    path: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """All that was found; `notes` are sentences that no package would help with."""

    missing: tuple[Missing, ...] = ()
    too_new: tuple[TooNew, ...] = ()
    foreign: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Provided:
    """What the environment has, as questions.

    `has` says whether the environment's system packages have a file of that name, among libraries,
    programs and typelibs; `beginning` gives the names among all packages of the archive that begin so and
    are in the environment. `versions` are the symbol versions that a library defines (empty: not known).
    `owner` is the package of the archive that would be added for a name, if any has it.
    """

    system: System
    has: Callable[[str], bool]
    beginning: Callable[[str], Iterable[str]]
    glibc: str | None
    versions: Callable[[str], frozenset[str]]
    owner: Callable[[str], str | None] = lambda name: None


def examine(packages: Sequence[Examined], provided: Provided) -> Findings:
    """Hold what all language packages of an environment need against what there is."""
    return _Examination(packages, provided).findings()


class _Examination:
    def __init__(self, packages: Sequence[Examined], provided: Provided) -> None:
        self.packages = packages
        self.provided = provided
        self.libraries = {name for one in packages for name in one.needs.libraries}
        self.libraries |= {elf.soname for one in packages for elf in one.needs.elf if elf.soname}
        self.main = _main_files(packages)
        self.programs = {
            known for one in packages for name in one.needs.programs for known in _called_as(name)
        }

    def findings(self) -> Findings:
        missing = [row for one in self.packages for row in (*self._unlinked(one), *self._unloaded(one))]
        too_new = [row for one in self.packages for row in self._too_new(one)]
        foreign = [row for one in self.packages for row in self._foreign(one)]
        notes = [note for one in self.packages for note in self._notes(one)] + self._unread()
        return Findings(
            missing=tuple(missing), too_new=tuple(too_new), foreign=tuple(foreign), notes=tuple(notes)
        )

    # -- linked libraries

    def _unlinked(self, one: Examined) -> Iterator[Missing]:
        """The libraries that a package's files name and nobody has; one row each, an error if one is."""
        found: dict[str, tuple[str, bool]] = {}
        for elf in one.needs.elf:
            for library in elf.needed:
                if self._has_library(library):
                    continue
                path, is_error = found.get(library, (elf.path, False))
                if elf.path in self.main and not is_error:
                    path, is_error = elf.path, True
                found[library] = (path, is_error)
        for library, (path, is_error) in sorted(found.items()):
            yield Missing(
                package=one.name,
                source=one.source,
                kind="needed",
                names=(library,),
                path=path,
                is_error=is_error,
            )

    def _has_library(self, name: str) -> bool:
        return (
            name in self.libraries
            or self.provided.has(name)
            or is_driver_library(name)
            or bool(_C_LIBRARY.match(name) and self.provided.glibc)
        )

    # -- by name

    def _unloaded(self, one: Examined) -> Iterator[Missing]:
        lacking = [load for load in one.needs.loads if not any(map(self._is_there(load), load.names))]
        required = [load for load in lacking if self._is_required(one, load)]
        if any(map(_is_subject, one.needs.loads)):
            required = [
                load for load in required if load.reach is Reach.IMPORT or load.kind is not LoadKind.FILE
            ]
        required = self._named_first(one, required) or self._subject_of_all(one, lacking)
        choice = () if required else self._choice(one)
        for load in lacking:
            if load not in choice:
                yield _missing(one, self._most_spoken_of(one, load), is_error=load in required)
        if choice:
            names = tuple(dict.fromkeys(name for load in choice for name in load.names))
            yield _missing(one, replace(choice[0], names=names), is_error=True)

    def _is_required(self, one: Examined, load: Load) -> bool:
        """Whether a package cannot do what it is for without a name.

        What an import fails without is. What only some call fails without is when the package's own
        description speaks of it; a program moreover only of a package that the manifest names, since who
        brings another one may use a part of it that starts nothing.
        """
        if load.kind is LoadKind.PROGRAM:
            is_started = load.reach is not Reach.OPTIONAL or _is_named_after(one, load)
            return (
                is_started
                and one.is_asked_for
                and (self._is_about(one, load) or _is_started_all_over(one, load))
                and not self._kin_is_there(one, load)
            )
        if self._is_of_plug_in(one, load):
            return False
        if load.reach is Reach.IMPORT:
            return True
        return load.reach is Reach.USE and _is_described(load, _spoken_words(one))

    def _is_of_plug_in(self, one: Examined, load: Load) -> bool:
        """Whether only plug-ins of a package are linked with what its code opens by name.

        Then that code asks whether the plug-in would work.
        """
        users = [elf.path for elf in one.needs.elf if not set(elf.needed).isdisjoint(load.names)]
        return bool(users) and self.main.isdisjoint(users)

    def _is_about(self, one: Examined, load: Load) -> bool:
        """Whether a program, or the package that has it, is what a description speaks of.

        A large package's speaks of many things: there it must be said more than twice.
        """
        words = _spoken_words(one)
        return _is_described(load, words) or any(self._owner_is_among(name, words) for name in load.names)

    def _kin_is_there(self, one: Examined, load: Load) -> bool:
        """Whether a language package carries another program of the same package of the suite.

        Who brings an `ffmpeg` of its own does not do so for want of `ffplay`.
        """
        owners = self._owners(load)
        others = (other for other in one.needs.loads if other.kind is LoadKind.PROGRAM and other != load)
        return any(
            not self.programs.isdisjoint(other.names) and not owners.isdisjoint(self._owners(other))
            for other in others
        )

    def _owners(self, load: Load) -> set[str]:
        return {owner for name in load.names if (owner := self.provided.owner(name)) is not None}

    def _named_first(self, one: Examined, required: Sequence[Load]) -> list[Load]:
        """Without the programs that are not what a package is named after, where it is after one of them."""
        programs = [load for load in required if load.kind is LoadKind.PROGRAM]
        named = [load for load in one.needs.loads if _is_named_after(one, load) and self._is_about(one, load)]
        subjects = {owner for load in named for owner in self._owners(load)}
        return [
            load
            for load in required
            if load not in programs or not named or load in named or subjects & self._owners(load)
        ]

    def _owner_is_among(self, program: str, words: frozenset[str]) -> bool:
        owner = self.provided.owner(program) if words else None
        return owner is not None and owner in words

    def _most_spoken_of(self, one: Examined, load: Load) -> Load:
        """Of alternative programs those that the description speaks of, if it does of some."""
        words = frozenset(one.needs.described) | _words_of_name(one.name)
        spoken = tuple(name for name in load.names if name.lower() in words)
        return replace(load, names=spoken) if load.kind is LoadKind.PROGRAM and spoken else load

    def _subject_of_all(self, one: Examined, lacking: Sequence[Load]) -> list[Load]:
        """The programs of a small package that starts several, where one package of the suite has them all.

        `ffmpeg`, `ffplay` and `ffprobe` are one thing: it is what the package is for, whatever it says.
        """
        loads = [load for load in one.needs.loads if load.kind is LoadKind.PROGRAM]
        if not one.is_asked_for or one.needs.elf or one.needs.modules > DEDICATED_MODULES:
            return []
        owners = {name: self.provided.owner(name) for load in loads for name in load.names}
        known = {owner for owner in owners.values() if owner is not None}
        named = [name for name, owner in owners.items() if owner is not None]
        if len(known) != 1 or len(named) < _SEVERAL or not self.programs.isdisjoint(named):
            return []
        return [load for load in lacking if any(owners.get(name) for name in load.names)]

    def _choice(self, one: Examined) -> tuple[Load, ...]:
        """The back ends of a small package, none of which is there: each is optional, all are not."""
        if one.needs.modules > DEDICATED_MODULES or one.needs.elf:
            return ()
        files = [load for load in one.needs.loads if load.kind is LoadKind.FILE]
        words = frozenset(one.needs.described)
        files = [load for load in files if _is_described(load, words)]
        if any(any(map(self._is_there(load), load.names)) for load in files):
            return ()
        return tuple(load for load in files if load.reach is Reach.OPTIONAL)

    def _is_there(self, load: Load) -> Callable[[str], bool]:
        if load.kind is LoadKind.PROGRAM:
            return lambda name: name in self.programs or self.provided.has(name)
        if load.kind is LoadKind.TYPELIB:
            return self.provided.has
        return self._has_named

    def _has_named(self, name: str) -> bool:
        """Whether `libmagic.so.1`, or for `*magic` any `libmagic.so`, is there, or a wheel's own build."""
        if not name.startswith("*"):
            return self._has_library(name) or self._has_own(stem(name))
        bare = name[1:]
        return (
            any(is_version_of(found, bare) for found in self.provided.beginning(f"lib{bare}.so"))
            or bool(_C_LIBRARY.match(f"lib{bare}.so.6") and self.provided.glibc)
            or self._has_own(stem(bare))
        )

    def _has_own(self, wanted: str) -> bool:
        part = re.split(r"[-_]", wanted)[0]
        return any(
            wanted in (stem(name), stem(re.split(r"[-_]", name.removeprefix("lib"))[0]), _unhashed(name))
            or (len(part) > _TELLING and part == _unhashed(name))
            for name in self.libraries
        )

    # -- versions, machines, tags

    def _too_new(self, one: Examined) -> Iterator[TooNew]:
        worst: dict[str, TooNew] = {}
        for elf in one.needs.elf:
            for library, version in elf.versions if elf.path in self.main else ():
                row = self._checked(one, elf, library, version)
                if row and (library not in worst or _key(row.wanted) > _key(worst[library].wanted)):
                    worst[library] = row
        yield from worst.values()

    def _checked(self, one: Examined, elf: ElfNeeds, library: str, version: str) -> TooNew | None:
        """A version that the environment's library does not have; one of a wheel's own is its own affair."""
        family, _, number = version.partition("_")
        if library in self.libraries or not number[:1].isdigit():
            return None
        if family == "GLIBC" and self.provided.glibc:
            if _key(number) <= _key(self.provided.glibc):
                return None
            return self._row(one, elf, library, version, self.provided.glibc)
        if family in ("GLIBCXX", "CXXABI", "GCC"):
            known = self.provided.versions(library)
            if not known or version in known:
                return None
            newest = max((text for text in known if text.startswith(family + "_")), key=_key, default="")
            return self._row(one, elf, library, version, newest)
        return None

    def _row(self, one: Examined, elf: ElfNeeds, library: str, wanted: str, has: str) -> TooNew:
        return TooNew(
            package=one.name, source=one.source, library=library, wanted=wanted, has=has, path=elf.path
        )

    def _foreign(self, one: Examined) -> Iterator[tuple[str, str]]:
        """An extension for another kind of machine, where there is none for this one."""
        extensions = [elf for elf in one.needs.elf if elf.role == "extension"]
        if extensions and all(elf.is_foreign for elf in extensions):
            yield one.name, extensions[0].path

    def _notes(self, one: Examined) -> Iterator[str]:
        promised = one.needs.glibc_promised
        if promised is None:
            return
        numbers = [
            version.removeprefix("GLIBC_")
            for elf in one.needs.elf
            for _, version in elf.versions
            if version.startswith("GLIBC_") and version[6:7].isdigit()
        ]
        newest = max(numbers, key=_key, default=promised)
        if _key(newest) > _key(promised):
            yield (
                f"the tag of `{one.name}` {one.version} says that glibc {promised} is enough, "
                f"and it needs {newest}"
            )

    def _unread(self) -> list[str]:
        """One sentence about all packages with files that were not looked into."""
        partly = sorted(one.name for one in self.packages if one.needs.unread)
        if not partly:
            return []
        count = sum(one.needs.unread for one in self.packages)
        names = ", ".join(f"`{name}`" for name in partly[:_NAMED])
        more = f" and {len(partly) - _NAMED} more" if len(partly) > _NAMED else ""
        files = f"{count} files" if count > 1 else "one file"
        return [f"what {files} of {names}{more} need was not looked at: they are too large"]


def _missing(one: Examined, load: Load, *, is_error: bool) -> Missing:
    return Missing(
        package=one.name,
        source=one.source,
        kind=str(load.kind),
        names=load.names,
        path=f"{load.path}:{load.line}",
        is_error=is_error,
        is_certain=load.reach is Reach.IMPORT,
    )


def _is_subject(load: Load) -> bool:
    """Whether importing a package loads a library: then others, of submodules, are not what it is about."""
    is_libc = any(_C_LIBRARY.match(f"lib{stem(name.lstrip('*'))}.so.6") for name in load.names)
    return load.reach is Reach.IMPORT and load.kind is LoadKind.FILE and not is_libc


def _is_described(load: Load, words: frozenset[str]) -> bool:
    for name in load.names:
        bare = stem(name.lstrip("*"))
        spoken = {f"lib{bare}", f"open{bare}", name.lstrip("*").lower()}
        if words & (spoken | {bare} if len(bare) > 2 else spoken):
            return True
    return False


def _spoken_words(one: Examined) -> frozenset[str]:
    """The words of a description that say what a package is about; of a large one's those said often."""
    is_large = one.needs.modules > DEDICATED_MODULES
    return frozenset(one.needs.stressed if is_large else one.needs.described) | _words_of_name(one.name)


def _words_of_name(name: str) -> frozenset[str]:
    """What a package is called after, as far as its name tells.

    >>> sorted(_words_of_name("PyOpenGL")), sorted(_words_of_name("fluent-ffmpeg"))
    (['opengl', 'pyopengl'], ['ffmpeg', 'fluent'])
    """
    parts = {part for part in re.split(r"[-_./@]", name.lower()) if len(part) > 1}
    return frozenset(parts | {_PYTHON.sub("", part) for part in parts} - {""})


_PYTHON = re.compile(r"\A(?:python|py)|(?:python|py)\Z")


def _is_started_all_over(one: Examined, load: Load) -> bool:
    """Whether code starts a program from many places, and more often than all others together."""
    places = [other.places for other in one.needs.loads if other.kind is LoadKind.PROGRAM]
    return load.reach is Reach.USE and load.places >= _MANY_PLACES and 2 * load.places > sum(places)


def _is_named_after(one: Examined, load: Load) -> bool:
    """Whether a package is called after a program: `fluent-ffmpeg`, `pytesseract`.

    One with extensions of its own is called after what these are made of: `pyproj`.
    """
    if one.needs.elf:
        return False
    return load.kind is LoadKind.PROGRAM and not _words_of_name(one.name).isdisjoint(load.names)


def _unhashed(name: str) -> str:
    """What a library is called that a wheel carries under a name with a digest: `libgeos_c-4d1f9c2b.so.1`."""
    return stem(re.sub(r"-[0-9a-f]{6,}(?=\.)", "", name))


def _called_as(program: str) -> Iterator[str]:
    """What a program of a wheel stands for: `ffmpeg-linux-x86_64-v7.0.2` is an `ffmpeg`."""
    yield program
    yield re.split(r"[-_.](?=linux|manylinux|x86|amd64|aarch64|arm64|v?\d)", program)[0]


def is_version_of(file: str, bare: str) -> bool:
    """Whether a file is one of the library that `find_library(bare)` is asked for."""
    return re.fullmatch(rf"lib{re.escape(bare)}\.so(\.\d+)*", file) is not None


def _main_files(packages: Sequence[Examined]) -> frozenset[str]:
    """What an interpreter imports, or a user starts, and the libraries of all packages that these need.

    The rest are plug-ins that something may load, or may not.
    """
    files = [elf for one in packages for elf in one.needs.elf]
    by_name: dict[str, ElfNeeds] = {}
    for elf in files:
        by_name.setdefault(elf.soname or "", elf)
        by_name.setdefault(elf.path.rpartition("/")[2], elf)
    loaded = {name for one in packages for load in one.needs.loads for name in load.names}
    waiting = [elf for elf in files if elf.role != "library" and not _is_plug_in(elf.path)]
    waiting += [elf for name, elf in by_name.items() if name in loaded]
    seen = {elf.path for elf in waiting}
    while waiting:
        for library in waiting.pop().needed:
            found = by_name.get(library)
            if found is not None and found.path not in seen:
                seen.add(found.path)
                waiting.append(found)
    return frozenset(seen | {path for one in packages for path in _only_libraries(one, seen)})


def _only_libraries(one: Examined, seen: set[str]) -> Iterator[str]:
    """The files of a package that nothing links with: if it is nothing but libraries, it is for them."""
    if not any(elf.path in seen for elf in one.needs.elf) and len(one.needs.elf) <= 4:
        yield from (elf.path for elf in one.needs.elf if not _is_plug_in(elf.path))


_PLUG_IN = re.compile(
    r"/(?:plugins|qml|drivers|modules|backends|dri|libexec|tests?|testing|examples?)/", re.I
)


def _is_plug_in(path: str) -> bool:
    return _PLUG_IN.search(path.partition("site-packages")[2]) is not None


def _key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


# -- which package to add -------------------------------------------------------------------------------


def best_provider(
    name: str, owners: Sequence[str], needed_by: Mapping[str, int] | Callable[[str], int]
) -> str | None:
    """The package to add for a file: the real one of that soname, then the one that most others need.

    >>> best_provider("libGL.so.1", ["libgl4es0", "libgl1", "libgl1-dbg"], {})
    'libgl1'
    >>> best_provider("libmagic.so.1", ["libmagic1t64", "libmagic-dev"], {})
    'libmagic1t64'
    """
    asked = needed_by.get if isinstance(needed_by, Mapping) else needed_by
    proper = [package for package in owners if package in _conventional(name)] or [
        package for package in owners if not _ASIDE.search(package)
    ]
    if len(proper) == 1 or len(owners) < 2:
        return next(iter(proper or owners), None)

    def order(package: str) -> tuple[int, int, int, int, str]:
        return (
            0 if package in _conventional(name) else 1,
            1 if _ASIDE.search(package) else 0,
            -(asked(package) or 0),
            len(package),
            package,
        )

    return min(owners, key=order, default=None)


_ASIDE = re.compile(r"-(?:dev|dbg|dbgsym|doc|udeb|cross|mingw-w64|testing|tests|headless|minimal)\b|-cross$")


def _conventional(soname: str) -> tuple[str, ...]:
    """What Debian would call the package of a soname: `libmagic1`, and after the change of `time_t`.

    >>> _conventional("libSDL2-2.0.so.0")
    ('libsdl2-2.0-0', 'libsdl2-2.0-0t64')
    """
    match = re.fullmatch(r"(.+?)\.so\.([\d.]+)", soname)
    if match is None:
        return ()
    base = match[1].lower().replace("_", "-")
    dash = "-" if base[-1].isdigit() else ""
    return (f"{base}{dash}{match[2]}", f"{base}{dash}{match[2]}t64")
