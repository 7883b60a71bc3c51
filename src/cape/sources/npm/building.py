"""Running a package's install scripts, and what comes of it.

Owns the place where they run (a copy of the package, amid links to the environment's other packages), what
they see (the environment's own node, python, make and compilers, no network, a home of their own), and the
errors. What they make is part of the package afterwards; nothing else that they write is kept.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cape.errors import InputError, StateError
from cape.sources.npm.isolation import without_network
from cape.sources.npm.scripts import scripts_of
from cape.sources.tools import last_lines

_TIME_LIMIT_S = 3600

_HEADERS = ("lib/node_modules/node/include/node", "root/usr/include/node")
_PYTHONS = ("root/usr/local/bin/python3", "root/usr/bin/python3")
_NEEDS = (
    ("make", ("root/usr/bin/make",), 'make = "*"'),
    ("a C++ compiler", ("root/usr/bin/g++", "root/usr/bin/clang++"), '"g++" = "*"'),
    ("python3", _PYTHONS, 'python3 = "*"'),
    ("node's headers", _HEADERS, 'libnode-dev = "*"'),
)
"""What building an add-on needs: its name, where one of the environment's is, and the line that adds it."""

_GYPS = (
    "lib/node_modules/node-gyp",
    "lib/project/node_modules/node-gyp",
    "lib/node_modules/npm/node_modules/node-gyp",
    "root/usr/share/nodejs/node-gyp",
)
_WANTED_NETWORK = re.compile(
    r"ENOTFOUND|EAI_AGAIN|ENETUNREACH|ENETDOWN|EHOSTUNREACH|getaddrinfo|[Nn]etwork is unreachable"
    r"|[Cc]ould not resolve host|[Tt]emporary failure in name resolution|ECONNREFUSED|fetch failed"
)
_LEFT_OVER = re.compile(
    r"obj\.target|\.deps|obj|Makefile|config\.gypi|gyp-mac-tool|.*\.(?:o|o\.d|d|mk|a|Makefile)"
)


class ScriptFailed(InputError):
    """An install script of an npm package ended with an error."""

    slug = "script-failed"


class ScriptToolsMissing(InputError):
    """An npm package is built when it is installed, and the environment lacks what that needs."""

    slug = "script-tools-missing"


class NetworkNotCutOff(StateError):
    """Install scripts run without network only, and this machine offers no way to take it from them."""

    slug = "network-not-cut-off"


@dataclass(frozen=True, kw_only=True, slots=True)
class Package:
    """A package to run the scripts of. `placement` is where it stands below the environment."""

    name: str
    version: str
    placement: str


def run_scripts(package: Package, *, scratch: Path, environment: Path, log: Path) -> None:
    """Run the install scripts of a package that lies unpacked at its placement below `scratch`.

    The environment is a whole one, of the same packages; it is not changed. All output goes to `log`.
    Afterwards the package's directory holds what the scripts made, without what only making it needed.
    Raises `ScriptFailed`, `ScriptToolsMissing`, `NetworkNotCutOff`.
    """
    home = scratch / package.placement
    described = _described(home)
    scripts = scripts_of(described, has_gyp=(home / "binding.gyp").exists())
    links = list(_surround(scratch, environment, package.placement))
    variables = _variables(package, described, scratch, environment)
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as output:
        for name, command in scripts:
            output.write(f"$ {name}: {command}\n".encode())
            output.flush()
            code = _run(
                command, home, {**variables, "npm_lifecycle_event": name}, environment, output.fileno()
            )
            if code != 0:
                output.flush()
                raise _failure(package, name, command, code, log, environment, home)
    for link in links:
        link.unlink(missing_ok=True)
    _tidy(home / "build")
    _forget(home, environment)


def _described(home: Path) -> dict[str, Any]:
    found = json.loads((home / "package.json").read_bytes().decode("utf-8-sig"))
    return found if isinstance(found, dict) else {}


# -- the place ----------------------------------------------------------------------------------------


def _surround(scratch: Path, environment: Path, placement: str) -> Iterator[Path]:
    """Link what stands beside and above the package in the environment; yields links inside the package."""
    parts = placement.split("/")
    for depth in range(1, len(parts)):
        above = "/".join(parts[:depth])
        if "node_modules" in parts[:depth]:
            _link_siblings(scratch / above, environment / above, parts[depth])
        if parts[depth - 1] == "node_modules":
            _link_programs(scratch / above, environment / above)
    own = environment / placement / "node_modules"
    inside = scratch / placement / "node_modules"
    if own.is_dir() and not inside.exists():
        inside.symlink_to(own)
        yield inside


def _link_siblings(here: Path, there: Path, own: str) -> None:
    for name in os.listdir(there):
        if name not in (own, ".bin") and not os.path.lexists(here / name):
            (here / name).symlink_to(there / name)


def _link_programs(here: Path, there: Path) -> None:
    """`.bin`, as npm makes it: also of packages that are there for others."""
    programs = here / ".bin"
    programs.mkdir(exist_ok=True)
    for name in _package_names(there):
        try:
            described = _described(there / name)
        except (OSError, ValueError):
            continue
        bins = described.get("bin")
        if isinstance(bins, str):
            bins = {name.rpartition("/")[2]: bins}
        for program, file in (bins or {}).items() if isinstance(bins, dict) else ():
            link = programs / str(program).rpartition("/")[2]
            if not os.path.lexists(link):
                link.symlink_to(f"../{name}/{os.path.normpath(str(file))}")


def _package_names(modules: Path) -> Iterator[str]:
    for name in sorted(os.listdir(modules)):
        if name.startswith("@"):
            yield from (f"{name}/{below}" for below in sorted(os.listdir(modules / name)))
        elif not name.startswith("."):
            yield name


# -- what scripts see ---------------------------------------------------------------------------------


def _variables(
    package: Package, described: Mapping[str, Any], scratch: Path, environment: Path
) -> dict[str, str]:
    own = scratch / "own"
    for name in ("home", "tmp", "bin"):
        (own / name).mkdir(parents=True, exist_ok=True)
    node = environment / "bin" / "node"
    node = node if node.exists() else environment / "root/usr/bin/node"
    _write_gyp(own / "bin" / "node-gyp", node, environment)
    home = scratch / package.placement
    found = {
        "PATH": ":".join(str(place) for place in _search_path(home, scratch, environment)),
        "HOME": str(own / "home"),
        "TMPDIR": str(own / "tmp"),
        "LANG": "C.UTF-8",
        "SOURCE_DATE_EPOCH": "315532800",
        "JOBS": "2",
        "INIT_CWD": str(home),
        "NODE": str(node),
        "CFLAGS": f"-ffile-prefix-map={home}=.",
        "CXXFLAGS": f"-ffile-prefix-map={home}=.",
        "npm_node_execpath": str(node),
        "npm_command": "ci",
        "npm_package_name": package.name,
        "npm_package_version": package.version,
        "npm_package_json": str(home / "package.json"),
        "npm_config_user_agent": "npm/10.0.0 node/v0.0.0 linux",
        "npm_config_cache": str(own / "npm-cache"),
        "npm_config_python": str(_python(environment)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "CAPE_ENV": str(environment),
        "CAPE_ROOT": str(environment / "root"),
    }
    headers = next((place for place in _HEADERS if (environment / place / "node.h").exists()), None)
    if headers is not None:
        found["npm_config_nodedir"] = str((environment / headers).parent.parent)
    config = described.get("config")
    if isinstance(config, dict):
        found |= {f"npm_package_config_{key}": str(value) for key, value in config.items()}
    return found


def _search_path(home: Path, scratch: Path, environment: Path) -> Iterator[Path]:
    yield from (
        above / "node_modules" / ".bin" for above in (home, *home.parents) if scratch in above.parents
    )
    yield scratch / "own" / "bin"
    yield from (environment / "bin", environment / "root/usr/bin", environment / "libexec")


def _write_gyp(file: Path, node: Path, environment: Path) -> None:
    """`node-gyp`, as npm gives it to scripts: the environment's own, where it has one."""
    script = _gyp_of(environment)
    if script is not None:
        file.write_text(f'#!{environment}/root/usr/bin/sh\nexec "{node}" "{script}" "$@"\n')
        if len(f"#!{environment}/root/usr/bin/sh") > 127:
            file.write_text(f'#!/bin/sh\nexec "{node}" "{script}" "$@"\n')
        file.chmod(0o755)


def _gyp_of(environment: Path) -> Path | None:
    found = (environment / place / "bin/node-gyp.js" for place in _GYPS)
    return next((script for script in found if script.exists()), None)


def _run(command: str, home: Path, variables: Mapping[str, str], environment: Path, output: int) -> int:
    enter = without_network()
    if enter is None:
        raise NetworkNotCutOff(
            "install scripts run without network, and this machine offers no way to take it from them",
            hint="allow user namespaces or seccomp filters, or take the package out of `scripts`",
        )
    shell = environment / "root/usr/bin/sh"
    try:
        done = subprocess.run(
            [str(shell if shell.exists() else "/bin/sh"), "-c", command],
            cwd=home, env=dict(variables), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            preexec_fn=enter, check=False, timeout=_TIME_LIMIT_S, start_new_session=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return 124
    return done.returncode


# -- what comes of it ---------------------------------------------------------------------------------


def _failure(
    package: Package, script: str, command: str, code: int, log: Path, environment: Path, home: Path
) -> InputError:
    text = log.read_text(encoding="utf-8", errors="replace")
    lacking = _lacking(environment) if (home / "binding.gyp").exists() or "node-gyp" in text else []
    if lacking:
        names = ", ".join(name for name, _ in lacking)
        return ScriptToolsMissing(
            f"`{package.name}` {package.version} is built when it is installed, and the environment has no "
            f"{names}",
            where=str(log),
            hint="add to `[packages]`: " + "; ".join(f"`{line}`" for _, line in lacking),
        )
    wanted_network = bool(_WANTED_NETWORK.search(text))
    return ScriptFailed(
        f"the script `{script}` of `{package.name}` {package.version} (`{command}`) "
        + ("wanted the network, which install scripts do not have" if wanted_network else f"failed ({code})")
        + "\n"
        + "\n".join(f"    {line}" for line in last_lines(text)),
        where=str(log),
        hint="a package that downloads when it is installed has mostly a way to build, or a package with the "
        "file inside; else take it out of `scripts`"
        if wanted_network
        else "the whole output is in that file",
    )


def _lacking(environment: Path) -> list[tuple[str, str]]:
    found = [
        (name, line)
        for name, places, line in _NEEDS
        if not any(os.path.lexists(environment / place) for place in places)
    ]
    if _gyp_of(environment) is None and not (environment / "root/usr/bin/node-gyp").exists():
        found.append(("node-gyp", 'node-gyp = { npm = "*" }'))
    return found


def _python(environment: Path) -> Path:
    places = [environment / place for place in _PYTHONS]
    return next((place for place in places if place.exists()), places[-1])


def _tidy(build: Path) -> None:
    """Remove what only making an add-on needed: it names this place, and is never read again."""
    if not build.is_dir():
        return
    for top, directories, files in os.walk(build, topdown=True):
        for name in [one for one in directories if _LEFT_OVER.fullmatch(one)]:
            shutil.rmtree(Path(top) / name)
            directories.remove(name)
        for name in files:
            if _LEFT_OVER.fullmatch(name):
                (Path(top) / name).unlink()


def _forget(home: Path, environment: Path) -> None:
    """Blank the search path that the environment's compilers wrote into what they linked.

    It leads into the environment that the package was built in, and add-ons inherit node's. The loader
    passes over an empty one.
    """
    wanted = re.compile(rb"(?:" + re.escape(os.fsencode(environment)) + rb"/root/[^\0:]*:?)+\0")
    for top, _, files in os.walk(home):
        for name in files:
            file = Path(top) / name
            if file.is_symlink() or not file.is_file():
                continue
            with open(file, "rb") as stream:
                if stream.read(4) != b"\x7fELF":
                    continue
                data = b"\x7fELF" + stream.read()
            plain = wanted.sub(lambda found: bytes(len(found[0])), data)
            if plain != data:
                file.write_bytes(plain)
