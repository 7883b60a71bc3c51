"""Building a wheel, or the few files of an editable install, in an environment made for it.

Owns what a build sees (that environment, no network, a home of its own, a fixed time), its log, and its
errors. Which environment that is, and where results are kept, is the caller's.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cape.errors import InputError, StateError
from cape.sources.tools import last_lines

_TIME_LIMIT_S = 3600
_EPOCH = "315532800"
"""The time that archives of a build carry, 1980-01-01: what a zip archive can hold."""

_COMPILERS = re.compile(
    r"gcc['\"]?(: command)? (failed: )?(not found|No such file)|command '?\S*gcc'? failed: No such"
)


class BuildFailed(InputError):
    """A Python package could not be built from its source."""

    slug = "python-build-failed"


class BuildNotIsolated(StateError):
    """Python packages are built without network only, and this machine has no way to take it from them."""

    slug = "python-build-not-isolated"


@dataclass(frozen=True, kw_only=True, slots=True)
class Build:
    """One build: of the project in `home`, with the Python of `environment`. `enter` takes the network."""

    name: str
    version: str
    home: Path
    environment: Path
    editable: bool
    log: Path


def build_wheel(build: Build, scratch: Path, *, enter: Callable[[], None] | None) -> Path:
    """Build a project's wheel (or its editable one) below `scratch`; the wheel.

    All output goes to the log. Raises `BuildFailed`, `BuildNotIsolated`.
    """
    if enter is None:
        raise BuildNotIsolated(
            "Python packages are built without network, and this machine offers no way to take it from them",
            hint="allow user namespaces or seccomp filters, or use packages with wheels",
        )
    for name in ("out", "home", "tmp"):
        (scratch / name).mkdir(parents=True)
    answer_file = scratch / "answer.json"
    build.log.parent.mkdir(parents=True, exist_ok=True)
    code = _run(build, scratch, answer_file, enter)
    try:
        answer = json.loads(answer_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        answer = {}
    wheel = scratch / "out" / str(answer.get("wheel"))
    if code == 0 and "wheel" in answer and wheel.is_file():
        return wheel
    raise _failure(build, answer, code)


def _run(build: Build, scratch: Path, answer: Path, enter: Callable[[], None]) -> int:
    script = scratch / "hook.py"
    shutil.copyfile(Path(__file__).with_name("hook.py"), script)
    hook = "build_editable" if build.editable else "build_wheel"
    told = {"hook": hook, "home": str(build.home), "out": str(scratch / "out"), "answer": str(answer)}
    with open(build.log, "wb") as output:
        output.write(f"$ {hook} of {build.name} {build.version}\n".encode())
        output.flush()
        try:
            done = subprocess.run(
                [str(build.environment / "bin" / "python3"), "-s", str(script), json.dumps(told)],
                cwd=build.home, env=_variables(build, scratch), stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, preexec_fn=enter, check=False, timeout=_TIME_LIMIT_S, start_new_session=True,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return 124
        except OSError as error:
            output.write(f"{error}\n".encode())
            return 127
    return done.returncode


def _variables(build: Build, scratch: Path) -> dict[str, str]:
    environment = build.environment
    places = ("bin", "libexec", "root/usr/bin")
    name = re.sub(r"[-_.]+", "_", build.name).upper()
    found = {
        "PATH": ":".join(str(environment / place) for place in places),
        "HOME": str(scratch / "home"),
        "TMPDIR": str(scratch / "tmp"),
        "LANG": "C.UTF-8",
        "SOURCE_DATE_EPOCH": _EPOCH,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONNOUSERSITE": "1",
        "CAPE_ENV": str(environment),
        "CAPE_ROOT": str(environment / "root"),
        "CFLAGS": f"-ffile-prefix-map={build.home}=.",
        "CXXFLAGS": f"-ffile-prefix-map={build.home}=.",
    }
    if not build.editable and build.version not in ("", "0"):
        # Archives have no history that a version could be read from.
        found |= dict.fromkeys(
            (f"SETUPTOOLS_SCM_PRETEND_VERSION_FOR_{name}", "SETUPTOOLS_SCM_PRETEND_VERSION", "PBR_VERSION"),
            build.version,
        )
    return found


def _failure(build: Build, answer: Mapping[str, Any], code: int) -> BuildFailed:
    named = f"`{build.name}`" + (f" {build.version}" if build.version not in ("", "0") else "")
    if wants := answer.get("wants"):
        listed = ", ".join(f"`{one}`" for one in wants)
        return BuildFailed(
            f"building {named} also needs {listed}, which its `build-system.requires` does not say",
            where=str(build.log),
            hint="if it is a program, a system package that has it will do (`ninja-build`); or add it there: "
            "what is only known while building cannot be locked",
        )
    if "lacks" in answer:
        return BuildFailed(
            f"the build backend of {named} has no editable installs",
            where=str(build.home / "pyproject.toml"),
            hint="`editable = false`, or another backend",
        )
    text = build.log.read_text(encoding="utf-8", errors="replace")
    shown = "\n".join(f"    {line}" for line in last_lines(text))
    compiler = _COMPILERS.search(text)
    return BuildFailed(
        f"building {named} failed ({code})\n{shown}",
        where=str(build.log),
        hint='it wants a C compiler: add `"g++" = "*"` and, for headers, `python3-dev = "*"` to `[packages]`'
        if compiler
        else "the whole output is in that file",
    )


def without_places(tree: Path, environment: Path, home: Path) -> None:
    """Blank what compilers wrote into binaries of the places that they ran in: search paths."""
    wanted = re.compile(rb"(?:" + re.escape(os.fsencode(environment)) + rb"/root/[^\0:]*:?)+\0")
    for top, _, files in os.walk(tree):
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
