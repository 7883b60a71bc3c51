"""TeX's configuration: its settings, formats, fonts and languages, and the lists of its files.

Owns the joining of what packages bring as pieces, which Debian's tools do when they are installed. Maps
of fonts are a cache (`caches`), made from what is joined here; formats are made by TeX itself in the
user's directory when they are first used.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from cape.environment.finishing.place import put_file

_PIECES = "var/lib/tex-common"
_MADE = "var/lib/texmf"
_TREES = (("texlive", "TEXLIVEDIST"), ("texmf", "DEBIAN"))
_JOINED = (("fmtutil-cnf", "*.cnf", "fmtutil.cnf"), ("fontmap-cfg", "*.cfg", "updmap.cfg"))
_LANGUAGES = "usr/share/texlive/texmf-dist/tex/generic/config"
_LISTED = (("usr/share/texlive/texmf-dist", "TEXLIVEDIST"), ("usr/share/texmf", "TEXMFMAIN"))
_LIST_HEAD = "% ls-R -- filename database for kpathsea; do not change this line.\n"


def configure_tex(root: Path) -> None:
    """Make TeX's files in a root that has TeX; does nothing in others."""
    if not (root / "etc/texmf/texmf.d").is_dir():
        return
    _join(root, "etc/texmf/texmf.d", "*.cnf", "etc/texmf/web2c/texmf.cnf")
    for kind, pattern, name in _JOINED:
        for tree, suffix in _TREES:
            _join(root, f"{_PIECES}/{kind}/{tree}", pattern, f"{_MADE}/{name}-{suffix}")
    if (root / _LANGUAGES).is_dir():
        _configure_languages(root)
    for tree, suffix in _LISTED:
        if (root / tree).is_dir():
            put_file(root, f"{_MADE}/ls-R-{suffix}", file_list(root / tree).encode(errors="surrogateescape"))


def list_tex_files(root: Path) -> None:
    """List the files that were made, when all are: TeX looks for its maps of fonts in the list only."""
    if (root / "etc/texmf/texmf.d").is_dir():
        put_file(root, f"{_MADE}/ls-R", file_list(root / _MADE).encode(errors="surrogateescape"))


def _join(root: Path, directory: str, pattern: str, target: str) -> None:
    pieces = sorted((root / directory).glob(pattern))
    put_file(root, target, b"".join(piece.read_bytes().rstrip(b"\n") + b"\n" for piece in pieces))


def file_list(tree: Path) -> str:
    """The database of file names that kpathsea looks a tree up in: what `ls -LAR` prints."""
    lines = [_LIST_HEAD]
    for directory, names, files in os.walk(tree, followlinks=True):
        names.sort()
        relative = os.path.relpath(directory, tree)
        place = "./" if relative == "." else f"./{relative}"
        lines.append("\n".join([f"{place}:", *sorted([*names, *files]), "\n"]))
    return "\n".join(lines)


def _configure_languages(root: Path) -> None:
    """The three lists of hyphenation patterns: for LaTeX, for formats on e-TeX, and for LuaTeX."""
    languages = list(_languages(root))
    plain = [line for one in languages if "dat" in _lists_of(one) for line in _plain_lines(one)]
    etex = [_etex_line(one) for one in languages if "def" in _lists_of(one)]
    lua = [_lua_entry(one) for one in languages if "lua" in _lists_of(one)]
    last = ["\\uselanguage {USenglish}  %%% This MUST be the last line of the file."]
    for head, name, lines in (
        ("language.us", "language.dat", plain),
        ("language.us.def", "language.def", [*etex, *last]),
        ("language.us.lua", "language.dat.lua", [*lua, "}"]),
    ):
        start = root / _LANGUAGES / head
        if start.is_file():
            text = (
                start.read_text(encoding="utf-8").rstrip("\n") + "\n" + "".join(f"{row}\n" for row in lines)
            )
            put_file(root, f"{_MADE}/tex/generic/config/{name}", text.encode())


def _languages(root: Path) -> Iterator[dict[str, str]]:
    """The languages that packages declare: `name=german file=loadhyph-de.tex synonyms=a,b`, one a line."""
    for tree, _ in _TREES:
        for file in sorted((root / _PIECES / "hyphen-cnf" / tree).glob("*.cnf")):
            for line in file.read_text(encoding="utf-8").splitlines():
                words = shlex.split(line) if line.strip() and not line.lstrip().startswith("%") else []
                options = dict(word.split("=", 1) for word in words if "=" in word)
                if "name" in options and "file" in options:
                    yield options


def _lists_of(language: dict[str, str]) -> list[str]:
    for_lua = any(key in language for key in ("file_patterns", "file_exceptions", "luaspecial"))
    return language.get("databases", "dat,def,lua" if for_lua else "dat,def").split(",")


def _synonyms(language: dict[str, str]) -> list[str]:
    return [name for name in language.get("synonyms", "").split(",") if name]


def _plain_lines(language: dict[str, str]) -> list[str]:
    return [f"{language['name']} {language['file']}", *(f"={name}" for name in _synonyms(language))]


def _minima(language: dict[str, str]) -> tuple[str, str]:
    return language.get("lefthyphenmin") or "2", language.get("righthyphenmin") or "3"


def _etex_line(language: dict[str, str]) -> str:
    left, right = _minima(language)
    return f"\\addlanguage{{{language['name']}}}{{{language['file']}}}{{}}{{{left}}}{{{right}}}"


def _lua_entry(language: dict[str, str]) -> str:
    left, right = _minima(language)
    names = ", ".join(f"'{name}'" for name in _synonyms(language))
    rows = [f"loader = '{language['file']}'", f"lefthyphenmin = {left}", f"righthyphenmin = {right}"]
    rows.append(f"synonyms = {{ {names} }}")
    for key, word in (
        ("file_patterns", "patterns"),
        ("file_exceptions", "hyphenation"),
        ("luaspecial", "special"),
    ):
        if key in language:
            rows.append(f"{word} = '{language[key]}'")
    return f"  ['{language['name']}'] = {{\n" + "".join(f"    {row},\n" for row in rows) + "  },"
