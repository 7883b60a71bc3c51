"""Files of version managers: `.tool-versions` (asdf), `mise.toml`, `.python-version`, `.nvmrc`."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from cape.adoption import python
from cape.adoption.model import Reading, Wish
from cape.adoption.names import known_as

_BACKENDS = {"npm": "npm", "pipx": "pypi", "pypi": "pypi", "apt": "debian"}
_PACKAGE = re.compile(r"@?[A-Za-z0-9][A-Za-z0-9@/+._-]*\Z")


def read_tool_versions(name: str, text: str, reading: Reading) -> None:
    """A tool and its versions a line; the first version counts."""
    for number, raw in enumerate(text.splitlines(), start=1):
        words = raw.split("#", 1)[0].split()
        if words:
            add_tool(words[0], words[1] if len(words) > 1 else "", f"{name}:{number}", reading)


def read_python_version(name: str, text: str, reading: Reading) -> None:
    """The version that pyenv and uv read."""
    python.add_python(text.split("\n")[0].strip(), f"{name}:1", reading)


def read_node_version(name: str, text: str, reading: Reading) -> None:
    """The version that nvm and its like read."""
    add_tool("node", text.split("\n")[0].strip(), f"{name}:1", reading)


def read_mise(name: str, text: str, reading: Reading) -> None:
    """`[tools]` and plain values of `[env]`."""
    table = tomllib.loads(text)
    for tool, wanted in table.get("tools", {}).items():
        add_tool(tool, _version(wanted), f"{name} [tools]", reading)
    for key, value in table.get("env", {}).items():
        if isinstance(value, str | int | float) and not key.startswith("_"):
            reading.variables[key] = str(value)
        else:
            reading.leave(f"{name} [env]", key, "only plain values are taken over")
    for key in ("tasks", "hooks", "plugins"):
        if table.get(key):
            reading.leave(name, f"[{key}]", "it is mise's own business")


def _version(wanted: Any) -> str:
    if isinstance(wanted, list):
        wanted = wanted[0] if wanted else ""
    if isinstance(wanted, dict):
        wanted = wanted.get("version", "")
    return str(wanted)


def add_tool(tool: str, version: str, where: str, reading: Reading) -> None:
    """Add a tool by its name in a version manager, perhaps with a back end before it (`npm:prettier`)."""
    backend, _, rest = tool.rpartition(":")
    if backend in _BACKENDS:
        source, package, certain = _BACKENDS[backend], rest, True
    elif backend in ("", "core"):
        source, package, certain = known_as(rest)
    else:
        reading.leave(where, f"{tool} {version}".strip(), f"cape has no source like `{backend}`")
        return
    if not _PACKAGE.match(package):
        reading.leave(where, tool, "it is no name of a package")
    elif (source, package) == ("debian", "python"):
        python.add_python("" if version in ("latest", "system") else version, where, reading)
    else:
        constraint = _constraint(version, source)
        wish = Wish(source=source, package=package, constraint=constraint, where=where, certain=certain)
        reading.wishes.append(wish)
        if source == "debian" and re.match(r"\d", version):
            reading.leave(where, f"{tool} {version}", f"`{package}` is taken in the version of the suite")


def _constraint(version: str, source: str) -> str:
    """A version manager's version as a constraint; a suite of Debian has one version of each package."""
    version = version.removeprefix("v")
    if source == "debian" or not re.match(r"\d", version):
        return "*"
    if source == "npm":
        return version
    return f"=={version}" if version.count(".") >= 2 else f"=={version}.*"
