"""conda's `environment.yml`: its Python packages are PyPI's, its tools are Debian's."""

from __future__ import annotations

import re
from typing import Any

from cape.adoption import python
from cape.adoption.model import Reading, Wish
from cape.adoption.names import DEBIAN_OF_TOOL, NPM_OF_TOOL

_SPEC = re.compile(r"(?:[\w.-]+::)?([A-Za-z0-9_.-]+)\s*([<>=!~ ].*)?\Z")
_PIP = {"pip", "setuptools", "wheel"}


def read_environment(name: str, text: str, reading: Reading) -> None:
    """`dependencies`, those of `pip` in it, and `variables`; channels are named as not mapped."""
    import yaml

    try:
        table = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"it is no YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(table, dict):
        raise ValueError("it has no `dependencies`")
    for item in table.get("dependencies") or []:
        _add(item, f"{name} dependencies", reading)
    for key, value in (table.get("variables") or {}).items():
        reading.variables[str(key)] = str(value)
    if channels := [str(one) for one in table.get("channels") or []]:
        reading.leave(name, "channels: " + ", ".join(channels), "conda's channels are no source yet")


def _add(item: Any, where: str, reading: Reading) -> None:
    if isinstance(item, dict):
        for requirement in item.get("pip") or []:
            python.add_requirement(str(requirement), f"{where}.pip", reading)
        return
    match = _SPEC.match(str(item).strip())
    if match is None:
        reading.leave(where, str(item), "it is no package")
        return
    package, constraint = match[1], _constraint(match[2] or "")
    if package in _PIP:
        return
    if package == "python":
        python.add_python(constraint, where, reading)
    elif package in NPM_OF_TOOL:
        reading.wishes.append(Wish(source="npm", package=NPM_OF_TOOL[package], where=where))
    elif package in DEBIAN_OF_TOOL:
        reading.wishes.append(Wish(source="debian", package=DEBIAN_OF_TOOL[package], where=where))
    else:
        wish = Wish(source="pypi", package=package, constraint=constraint, where=where, certain=False)
        reading.wishes.append(wish)


def _constraint(text: str) -> str:
    """conda's constraint in Python's language: `=1.2` is `==1.2.*`; a build's name is dropped."""
    text = text.strip()
    if not text or "|" in text:
        return "*"
    if text.startswith("=") and not text.startswith("=="):
        version = text[1:].split("=")[0].strip().removesuffix(".*")
        return f"=={version}.*" if version and version != "*" else "*"
    return text.replace(" ", "")
