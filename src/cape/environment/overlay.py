"""The project's writable Python overlay: where a stray `pip install` lands.

Owns `$CAPE_STATE/python`, a virtual environment over the locked one (`$VIRTUAL_ENV`: pip and uv install
there), the file by which the locked environment's Python sees it, and what is in it. What is locked always
wins over it. Nothing of the store is ever written.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from cape.names import write_atomically

PLACE = "python"
"""Below `$CAPE_STATE`."""

MODULE = "_cape_overlay"

IN_ENVIRONMENT = '''"""Lets this environment see the project's overlay, after what is locked."""

import os
import sys


def add():
    state = os.environ.get("CAPE_STATE")
    if not state:
        return
    overlay = os.path.join(state, "python")
    if sys.prefix != overlay and _is_pip(sys.orig_argv[1:3]):
        os.environ.setdefault("PIP_PREFIX", overlay)
    version = "python%d.%d" % sys.version_info[:2]
    place = os.path.join(overlay, "lib", version, "site-packages")
    if sys.prefix != overlay and os.path.isdir(place) and place not in sys.path:
        sys.path.append(place)


def _is_pip(words):
    if words[:2] == ["-m", "pip"]:
        return True
    return bool(words) and os.path.basename(words[0]).rstrip("0123456789.") == "pip"
'''
"""The module in the environment's `site-packages`; `LINK` calls it at each start."""

LINK = f"import {MODULE}; {MODULE}.add()\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class Stray:
    """A package in the overlay. `is_asked` tells whether it was named, or came with another one.

    `url` is where it came from, if not from an index.
    """

    name: str
    version: str
    is_asked: bool
    url: str | None


def make_overlay(project: Path, environment: Path) -> None:
    """Bring the overlay's virtual environment in step with an environment that has a Python.

    What was installed into it stays. Files that are right already are left alone.
    """
    name = _python_of(environment)
    if name is None:
        return
    top = project / ".cape" / "state" / PLACE
    site = top / "lib" / name / "site-packages"
    site.mkdir(parents=True, exist_ok=True)
    (top / "bin").mkdir(exist_ok=True)
    _write(top / "pyvenv.cfg", _configuration(environment))
    _write(site / "_cape_locked.pth", _locked_first(environment / "lib" / name / "site-packages"))
    _link(top / "bin" / name, f"{_home_of(environment)}/{name}")
    for alias in ("python3", "python"):
        _link(top / "bin" / alias, name)


def _python_of(environment: Path) -> str | None:
    """`python3.13`; None where the environment has no Python."""
    home = _home_of(environment)
    if home is None:
        return None
    try:
        name = os.path.basename(os.readlink(home / "python3"))
    except OSError:
        return None
    return name if re.fullmatch(r"python3\.\d+", name) else None


def _home_of(environment: Path) -> Path | None:
    """The directory of the interpreter, which the environment itself names."""
    try:
        text = (environment / "pyvenv.cfg").read_text(encoding="utf-8")
    except OSError:
        return None
    return Path(text.partition("home = ")[2].partition("\n")[0])


def _configuration(environment: Path) -> str:
    text = (environment / "pyvenv.cfg").read_text(encoding="utf-8")
    return f"{text}prompt = cape\n"


def _locked_first(site: Path) -> str:
    """Puts what is locked in front of what was installed; editable projects are found too."""
    return (
        f"import sys, site; had = list(sys.path); site.addsitedir({str(site)!r}); "
        "new = [one for one in sys.path if one not in had]; "
        "at = next((i for i, one in enumerate(sys.path) if one.endswith('site-packages')), len(had)); "
        "sys.path[:] = [*had[:at], *new, *had[at:]]\n"
    )


def _write(file: Path, text: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        if file.read_text(encoding="utf-8") == text:
            return
    write_atomically(file, text.encode())


def _link(link: Path, target: str) -> None:
    with contextlib.suppress(OSError):
        if os.readlink(link) == target:
            return
    beside = link.with_name(f".{link.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    os.symlink(target, beside)
    os.replace(beside, link)


def strays(project: Path) -> tuple[Stray, ...]:
    """What was installed into the overlay, sorted by name."""
    sites = (project / ".cape" / "state" / PLACE / "lib").glob("python3.*/site-packages")
    found = {}
    for site in sorted(sites):
        for info in sorted(site.glob("*.dist-info")):
            if stray := _stray(info):
                found[stray.name.lower()] = stray
    return tuple(found[name] for name in sorted(found))


def _stray(info: Path) -> Stray | None:
    import json
    from email.parser import HeaderParser

    try:
        text = (info / "METADATA").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    headers = HeaderParser().parsestr(text)
    url = None
    with contextlib.suppress(OSError, ValueError, AttributeError):
        url = json.loads((info / "direct_url.json").read_bytes()).get("url")
    if not headers["Name"] or not headers["Version"]:
        return None
    asked = (info / "REQUESTED").exists()
    return Stray(name=headers["Name"], version=headers["Version"], is_asked=asked, url=url)


def clear_overlay(project: Path, environment: Path) -> None:
    """Remove all that was installed into the overlay."""
    top = project / ".cape" / "state" / PLACE
    doomed = top.with_name(f".{PLACE}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        os.rename(top, doomed)
    shutil.rmtree(doomed, ignore_errors=True)
    make_overlay(project, environment)
