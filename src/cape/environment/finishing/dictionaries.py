"""Dictionaries of aspell and ispell: packages bring lists of words, and links to where the compiled ones go.

Owns the compiling, with the tree's own programs, as Debian's tools for it would have called them.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import tempfile
from pathlib import Path

from cape.environment.finishing.place import put_file, put_link
from cape.environment.finishing.programs import require_native

_WORDS = "usr/share/aspell"
_COMPILED = "var/lib/aspell"
_DATA = "usr/lib/aspell"
_TIME_LIMIT_S = 120
_ISPELL_WORDS = "usr/share/ispell"
_ISPELL_DATA = "usr/lib/ispell"
_ISPELL_COMPILED = "var/lib/ispell"


def compile_dictionaries(root: Path) -> tuple[str, ...]:
    """Compile each list of words of each language that has one; a sentence where that failed."""
    return (*_compile_aspell(root), *_compile_ispell(root))


def _compile_ispell(root: Path) -> tuple[str, ...]:
    """A hash of each list of munched words that has a file of affixes; the first is the usual language's."""
    program = root / "usr/bin/buildhash"
    words = sorted((root / _ISPELL_WORDS).glob("*.mwl.gz"))
    names = [file.name.removesuffix(".mwl.gz") for file in words]
    names = [name for name in names if (root / _ISPELL_DATA / f"{name}.aff").exists()]
    if not program.exists() or not names:
        return ()
    try:
        require_native(program)
        for name in names:
            _hash(root, name)
    except (OSError, EOFError, subprocess.SubprocessError) as error:
        return (f"ispell's dictionaries could not be compiled: {error}",)
    for suffix in ("aff", "hash"):
        if not os.path.lexists(root / _ISPELL_DATA / f"default.{suffix}"):
            put_link(root, f"{_ISPELL_DATA}/default.{suffix}", f"{_ISPELL_DATA}/{names[0]}.{suffix}")
    return ()


def _hash(root: Path, name: str) -> None:
    words = gzip.decompress((root / _ISPELL_WORDS / f"{name}.mwl.gz").read_bytes())
    with tempfile.TemporaryDirectory(prefix="cape-cache-") as directory:
        (Path(directory) / "words").write_bytes(words)
        command = ["buildhash", "-s", "words", f"/{_ISPELL_DATA}/{name}.aff", "made"]
        _run(root, command, b"", directory)
        put_file(root, f"{_ISPELL_COMPILED}/{name}.hash", (Path(directory) / "made").read_bytes())
    if not os.path.lexists(root / _ISPELL_DATA / f"{name}.hash"):
        put_link(root, f"{_ISPELL_DATA}/{name}.hash", f"{_ISPELL_COMPILED}/{name}.hash")


def _compile_aspell(root: Path) -> tuple[str, ...]:
    """Compile each list of words of each language that has one; a sentence where that failed.

    A language (`en.compat`) has one dictionary of its name, or those that its table of contents lists.
    """
    aspell = root / "usr/bin/aspell"
    if not aspell.exists():
        return ()
    try:
        require_native(aspell)
        for mark in sorted((root / _COMPILED).glob("*.compat")):
            contents = root / _WORDS / f"{mark.stem}.contents"
            names = contents.read_text().split() if contents.exists() else [mark.stem]
            for name in names:
                _compile(root, mark.stem, name)
    except (OSError, EOFError, subprocess.SubprocessError) as error:
        return (f"aspell's dictionaries could not be compiled: {error}",)
    return ()


def _compile(root: Path, language: str, name: str) -> None:
    words = _words(root, name)
    if words is None:
        return
    with tempfile.TemporaryDirectory(prefix="cape-cache-") as directory:
        options = ["--per-conf=/dev/null", "--dont-validate-affixes", f"--local-data-dir=/{_DATA}"]
        command = ["aspell", *options, f"--lang={language}", "create", "master", f"{directory}/made"]
        _run(root, command, words, directory)
        put_file(root, f"{_COMPILED}/{name}.rws", (Path(directory) / "made").read_bytes())


def _words(root: Path, name: str) -> bytes | None:
    """The words of a list, of whatever kind of the three that there are; None without one."""
    for suffix in (".mwl.gz", ".wl.gz", ".cwl.gz"):
        file = root / _WORDS / (name + suffix)
        if file.exists():
            words = gzip.decompress(file.read_bytes())
            return _run(root, ["prezip-bin", "-d"], words, "/") if suffix == ".cwl.gz" else words
    return None


def _run(root: Path, command: list[str], words: bytes, directory: str) -> bytes:
    program, *arguments = command
    done = subprocess.run(
        [str(root / "usr/bin" / program), *arguments],
        input=words,
        check=True,
        capture_output=True,
        timeout=_TIME_LIMIT_S,
        cwd=directory,
        env={"LC_ALL": "C.UTF-8", "PATH": f"{root}/usr/bin", "HOME": directory},
    )
    return done.stdout
