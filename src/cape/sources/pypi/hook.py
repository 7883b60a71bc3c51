"""Runs one hook of a Python build backend; started with the environment's Python that builds.

    python3 hook.py {"hook": "build_wheel", "home": DIRECTORY, "out": DIRECTORY, "answer": FILE}

Owns finding the backend as the standard says (PEP 517, 660), and checking what it asks for besides. It
imports nothing of cape: it runs in an environment that has none.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
from typing import Any


def main() -> None:
    told = json.loads(sys.argv[1])
    sys.path[:] = [place for place in sys.path if place != os.path.dirname(os.path.abspath(__file__))]
    os.chdir(told["home"])
    answer: dict[str, Any] = {}
    try:
        backend = _backend()
        hook = told["hook"]
        if hook == "build_editable" and not hasattr(backend, hook):
            answer["lacks"] = "build_editable"
        else:
            wanted = _wanted(backend, f"get_requires_for_{hook}")
            if wanted:
                answer["wants"] = wanted
            else:
                answer["wheel"] = getattr(backend, hook)(told["out"])
    finally:
        with open(told["answer"], "w", encoding="utf-8") as stream:
            json.dump(answer, stream)


def _backend() -> Any:
    import tomllib

    system: dict[str, Any] = {}
    if os.path.exists("pyproject.toml"):
        with open("pyproject.toml", "rb") as stream:
            system = tomllib.load(stream).get("build-system", {})
    sys.path[:0] = [os.path.abspath(place) for place in system.get("backend-path", [])]
    name = system.get("build-backend", "setuptools.build_meta:__legacy__")
    module, _, attributes = name.partition(":")
    found: Any = importlib.import_module(module)
    for attribute in attributes.split(".") if attributes else ():
        found = getattr(found, attribute)
    return found


def _wanted(backend: Any, name: str) -> list[str]:
    """What the backend asks for besides, and this environment has not got."""
    from importlib import metadata

    ask = getattr(backend, name, None)
    lacking = []
    for line in ask() if ask else ():
        package = re.split(r"[\s\[<>=!~;(@]", line.strip(), maxsplit=1)[0]
        try:
            metadata.version(package)
        except metadata.PackageNotFoundError:
            lacking.append(line)
    return lacking


if __name__ == "__main__":
    main()
