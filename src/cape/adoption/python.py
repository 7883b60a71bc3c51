"""pip's `requirements.txt` and the dependencies of `pyproject.toml`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from typing import Any

from cape.adoption.model import Reading, Wish

_COMMENT = re.compile(r"(^|\s)#.*$")
_HASH = re.compile(r"\s--hash[= ]\S+")
_INCLUDES = ("-r", "--requirement")
_REGISTRIES = ("-i", "--index-url", "--extra-index-url", "--find-links", "-f", "--trusted-host", "--no-index")
_SILENT = ("--no-binary", "--only-binary", "--prefer-binary", "--require-hashes", "--pre", "--use-feature")


def folded(name: str) -> str:
    """A project's name as PyPI compares it."""
    from packaging.utils import canonicalize_name

    return canonicalize_name(name)


def both(one: str, other: str) -> str:
    """The constraint that holds where both do."""
    from packaging.specifiers import SpecifierSet

    return str(SpecifierSet(one) & SpecifierSet(other))


def read_requirements(name: str, text: str, reading: Reading) -> None:
    """A `requirements.txt`. What it includes (`-r`) is found by its own name when that fits."""
    for number, line in _logical_lines(text):
        where = f"{name}:{number}"
        word, _, value = line.partition(" ") if " " in line else line.partition("=")
        if word in _INCLUDES:
            if not re.fullmatch(r"(?:\./)?requirements[^/]*\.txt", value.strip()):
                reading.leave(where, line, "the file that it includes is not read; name its packages here")
        elif word in ("-c", "--constraint"):
            reading.leave(where, line, "constraints of another file are not read")
        elif word in _REGISTRIES:
            reading.leave(where, line, "registries are this machine's settings (`cape config`)")
        elif word in ("-e", "--editable"):
            reading.leave(where, line, "a directory or repository is no package of an index")
        elif word not in _SILENT:
            add_requirement(line, where, reading)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, joined where a backslash ends them, without comments and hashes."""
    started, parts = 0, []
    for number, raw in enumerate(text.splitlines(), start=1):
        started = started or number
        parts.append(_COMMENT.sub("", raw).rstrip("\\"))
        if raw.endswith("\\"):
            continue
        line = _HASH.sub("", " ".join(parts)).strip()
        if line:
            yield started, line
        started, parts = 0, []


def add_requirement(text: str, where: str, reading: Reading) -> None:
    """Add what one requirement of Python's own language (PEP 508) asks for."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        parsed = Requirement(text)
    except InvalidRequirement:
        looks_local = "/" in text or text.startswith(".")
        reason = "a file or directory is no package of an index" if looks_local else "it is no requirement"
        reading.leave(where, text, reason)
        return
    if parsed.url:
        reading.leave(where, text, "a package at a url is not there yet")
    elif parsed.marker and not _may_hold(parsed.marker):
        reading.leave(where, text, "its marker does not hold on Linux")
    else:
        reading.wishes.append(
            Wish(
                source="pypi",
                package=parsed.name,
                constraint=str(parsed.specifier) or "*",
                extras=tuple(sorted(parsed.extras)),
                where=where,
            )
        )


def _may_hold(marker: Any) -> bool:
    """Whether a marker holds on Linux with some current Python."""
    linux = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "extra": ""}
    return any(
        marker.evaluate({**linux, "python_version": version, "python_full_version": f"{version}.0"})
        for version in ("3.11", "3.12", "3.13", "3.14")
    )


def read_pyproject(name: str, text: str, reading: Reading) -> None:
    """The file itself where its requirements can be followed; else those that it tells, of Poetry too."""
    table = tomllib.loads(text)
    project = table.get("project", {})
    if "name" in project and "dependencies" not in project.get("dynamic", ()):
        _follow(name, table, reading)
    else:
        for group, requirements in table.get("dependency-groups", {}).items():
            _add_all(requirements, f"{name} [dependency-groups.{group}]", reading)
    for key in ("dependencies", "dev-dependencies"):
        _add_poetry(
            table.get("tool", {}).get("poetry", {}).get(key, {}), f"{name} [tool.poetry.{key}]", reading
        )
    for group, content in table.get("tool", {}).get("poetry", {}).get("group", {}).items():
        _add_poetry(content.get("dependencies", {}), f"{name} [tool.poetry.group.{group}]", reading)
    if "requires-python" in project:
        add_python(project["requires-python"], f"{name} [project]", reading)


def _follow(name: str, table: dict[str, Any], reading: Reading) -> None:
    """Let the manifest name the file: its groups and extras but `dev` are wanted when somebody says so."""
    reading.followed["python"] = name
    for key, kind in (("groups", table.get("dependency-groups", {})), ("extras", _extras(table))):
        for one in kind:
            if (key, one) != ("groups", "dev"):
                reading.leave(name, one, f"to have it, add it to `{key}` of `[python]`")


def _extras(table: dict[str, Any]) -> Iterable[str]:
    extras = table["project"].get("optional-dependencies", {})
    return extras if isinstance(extras, dict) else ()


def _add_all(requirements: Iterable[Any], where: str, reading: Reading) -> None:
    for requirement in requirements:
        if isinstance(requirement, str):
            add_requirement(requirement, where, reading)
        elif not (isinstance(requirement, dict) and "include-group" in requirement):
            reading.leave(where, str(requirement), "it is no requirement")


def _add_poetry(table: dict[str, Any], where: str, reading: Reading) -> None:
    for package, wanted in table.items():
        constraint = wanted.get("version") if isinstance(wanted, dict) else wanted
        if package == "python":
            add_python(str(constraint), where, reading)
        elif not isinstance(constraint, str):
            reading.leave(where, package, "a package without a version of an index")
        else:
            extras = (
                "[" + ",".join(wanted["extras"]) + "]"
                if isinstance(wanted, dict) and "extras" in wanted
                else ""
            )
            add_requirement(f"{package}{extras}{_from_poetry(constraint)}", where, reading)


def _from_poetry(constraint: str) -> str:
    """Poetry's caret and tilde in Python's own language."""
    return ",".join(filter(None, (_one_from_poetry(part.strip()) for part in constraint.split(","))))


def _one_from_poetry(part: str) -> str:
    if part in ("", "*"):
        return ""
    if part[0] not in "^~" or part.startswith("~="):
        return part if part[0] in "<>=!~" else f"=={part}"
    numbers = [int(number) for number in re.findall(r"\d+", part[1:].split("-")[0])]
    if part[0] == "~":
        kept = numbers[:2]
    else:
        kept = numbers[: next((at for at, number in enumerate(numbers) if number), len(numbers) - 1) + 1]
    above = ".".join(map(str, [*kept[:-1], kept[-1] + 1]))
    return f">={part[1:]},<{above}"


_ONE_PYTHON = (
    "the suite has one Python, and `cape show python` tells which; another one is `python = { uv = ... }`"
)


def add_python(constraint: str, where: str, reading: Reading) -> None:
    """Add the interpreter. A suite has one Python, so what the file wants of it is told, not demanded."""
    reading.wishes.append(Wish(source="debian", package="python", where=where))
    if constraint not in ("", "*"):
        reading.leave(where, f"python {constraint}", _ONE_PYTHON)
