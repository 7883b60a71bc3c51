"""Caches that only a program of the tree can make: schemas, modules, image loaders, types of files.

Owns one row per cache: the program, what it reads, and where its output goes. A program runs outside of
the environment's directories, which are read-only to it: it gets a scratch copy of what it reads, and
what it wrote there is put into place afterwards.
"""

from __future__ import annotations

import filecmp
import logging
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cape.environment.finishing.place import put_file
from cape.environment.finishing.programs import require_native

_log = logging.getLogger(__name__)
_TIME_LIMIT_S = 120
# The second one spares `update-mime-database` an fsync per file; the environment is synced as a whole.
_ENVIRONMENT = {"LC_ALL": "C", "PKGSYSTEM_ENABLE_FSYNC": "0"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Cache:
    """One cache. Paths are relative to the root; `{lib}` is the system's library directory.

    `program`, of whose matches the first counts, gets `arguments`, in which `{scratch}` is a copy of
    `reads` and `{root}` the root. With `output` its standard output becomes that file; otherwise what
    it wrote or changed in the copy goes into `reads`, which it then names as on a real system.
    """

    name: str
    program: str
    reads: str
    arguments: tuple[str, ...] = ("{scratch}",)
    variables: tuple[tuple[str, str], ...] = ()
    """Environment variables, in which `{scratch}` is replaced too."""
    output: str = ""
    pattern: str = "*"
    """What must be in `reads` for the cache to be wanted."""
    makes: str = "*"
    """The names of the files that are taken over from the copy."""
    in_paragraphs: bool = False
    """Whether the output is a list of paragraphs in the order of a directory."""


# The first line of what Octave writes has the time and the machine.
_LIST_OCTAVE_PACKAGES = (
    "f = '{scratch}.list'; pkg('global_list', f); pkg('rebuild', '-global');"
    " s = fileread(f); puts(s(index(s, char(10)) + 1:end))"
)

CACHES: tuple[Cache, ...] = (
    Cache(
        name="settings schemas",
        program="{lib}/glib-2.0/glib-compile-schemas",
        reads="usr/share/glib-2.0/schemas",
        pattern="*.xml",
    ),
    Cache(
        name="GIO modules",
        program="{lib}/glib-2.0/gio-querymodules",
        reads="{lib}/gio/modules",
        pattern="*.so",
    ),
    Cache(
        name="image loaders",
        program="{lib}/gdk-pixbuf-2.0/gdk-pixbuf-query-loaders",
        reads="{lib}/gdk-pixbuf-2.0/2.10.0/loaders",
        arguments=(),
        output="{lib}/gdk-pixbuf-2.0/2.10.0/loaders.cache",
        pattern="*.so",
        in_paragraphs=True,
    ),
    Cache(
        name="GTK 3's input methods",
        program="{lib}/libgtk-3-0t64/gtk-query-immodules-3.0",
        reads="{lib}/gtk-3.0/3.0.0/immodules",
        arguments=(),
        output="{lib}/gtk-3.0/3.0.0/immodules.cache",
        pattern="*.so",
        in_paragraphs=True,
    ),
    Cache(
        name="GTK 2's input methods",
        program="{lib}/libgtk2.0-0t64/gtk-query-immodules-2.0",
        reads="{lib}/gtk-2.0/2.10.0/immodules",
        arguments=(),
        output="{lib}/gtk-2.0/2.10.0/immodules.cache",
        pattern="*.so",
        in_paragraphs=True,
    ),
    Cache(
        name="types of files",
        program="usr/bin/update-mime-database",
        reads="usr/share/mime",
        pattern="packages/*.xml",
    ),
    Cache(
        name="graphviz's formats",
        program="usr/sbin/libgvc6-config-update",
        reads="{lib}/graphviz",
        arguments=("-c",),
        variables=(("GVBINDIR", "{scratch}"),),
        pattern="libgvplugin_*",
    ),
    Cache(
        name="Haskell packages",
        program="usr/lib/ghc/bin/ghc-pkg-*",
        reads="var/lib/ghc/package.conf.d",
        arguments=("--global-package-db", "{scratch}", "recache"),
        pattern="*.conf",
        makes="package.cache",
    ),
    Cache(
        name="Octave's packages",
        program="usr/bin/octave-cli",
        reads="usr/share/octave/packages",
        arguments=("--silent", "--no-history", "--no-init-file", "--eval", _LIST_OCTAVE_PACKAGES),
        output="usr/share/octave/octave_packages",
    ),
    Cache(
        name="TeX's fonts",
        program="usr/bin/perl",
        reads="var/lib/texmf",
        arguments=("{root}/usr/share/texlive/texmf-dist/scripts/texlive/updmap.pl", "--sys", "--nohash"),
        variables=(("TEXMFSYSVAR", "{scratch}"),),
        pattern="updmap.cfg-*",
        makes="*.map",
    ),
)


def make_caches(root: Path, triplet: str, caches: tuple[Cache, ...] = CACHES) -> tuple[str, ...]:
    """Make each cache whose program and input are in the tree; a sentence for each one that failed.

    Programs without their cache still work, most of them, so a failure is no error.
    """
    notes = []
    for cache in caches:
        library_directory = f"usr/lib/{triplet}"
        reads = root / cache.reads.format(lib=library_directory)
        program = next(iter(sorted(root.glob(cache.program.format(lib=library_directory)))), None)
        if program is None or next(reads.glob(cache.pattern), None) is None:
            continue
        try:
            _make(root, cache, program, reads, cache.output.format(lib=library_directory))
        except (OSError, subprocess.SubprocessError) as error:
            _log.debug("cache of %s failed: %s", cache.name, error)
            notes.append(f"the cache of {cache.name} could not be made: {_reason(error)}")
    return tuple(notes)


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError) and error.stderr:
        return str(error.stderr.decode(errors="replace").strip().splitlines()[-1])
    return str(error)


def _make(root: Path, cache: Cache, program: Path, reads: Path, output: str) -> None:
    require_native(program)
    with tempfile.TemporaryDirectory(prefix="cape-cache-") as directory:
        scratch = Path(directory) / "copy"
        shutil.copytree(reads, scratch)
        arguments = [argument.format(scratch=scratch, root=root) for argument in cache.arguments]
        done = subprocess.run(
            [str(program), *arguments],
            check=True,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_TIME_LIMIT_S,
            env=_ENVIRONMENT
            | {"PATH": f"{root}/usr/bin", "HOME": directory}
            | {name: value.format(scratch=scratch) for name, value in cache.variables},
        )
        if output:
            printed = done.stdout.replace(os.fsencode(root), b"")
            put_file(root, output, in_order(printed) if cache.in_paragraphs else printed)
        else:
            _take_over(root, scratch, reads, cache.makes)


def in_order(printed: bytes) -> bytes:
    """A list of modules with its paragraphs sorted: programs print them as a directory has them.

    >>> in_order(b"# made\\nb\\n1\\n\\na\\n2\\n\\n")
    b'# made\\na\\n2\\n\\nb\\n1\\n\\n'
    """
    lines = printed.splitlines(keepends=True)
    head = [line for line in lines if line.startswith(b"#")]
    rest = b"".join(line for line in lines if not line.startswith(b"#"))
    blocks = sorted(block.strip(b"\n") for block in rest.split(b"\n\n") if block.strip())
    return b"".join(head) + b"".join(block + b"\n\n" for block in blocks)


def _take_over(root: Path, scratch: Path, reads: Path, makes: str) -> None:
    """Put what is new or other in the scratch copy into place."""
    for file in sorted(scratch.rglob(makes)):
        place = reads / file.relative_to(scratch)
        if file.is_file() and not (place.is_file() and filecmp.cmp(file, place, shallow=False)):
            inside = str(reads.relative_to(root))
            data = file.read_bytes().replace(os.fsencode(scratch), os.fsencode(f"/{inside}"))
            put_file(root, str(place.relative_to(root)), data)
