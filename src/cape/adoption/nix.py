"""Manifests of tools that take packages from nixpkgs: Devbox and Flox."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

from cape.adoption.model import Reading
from cape.adoption.tools import add_tool

_COMMENTS = re.compile(r'("(?:[^"\\]|\\.)*")|//[^\n]*|/\*.*?\*/', re.DOTALL)
_TRAILING = re.compile(r'("(?:[^"\\]|\\.)*")|,(?=\s*[}\]])')
_ATTRIBUTE = re.compile(r"[A-Za-z0-9_.+-]+\Z")


def read_devbox(name: str, text: str, reading: Reading) -> None:
    """`packages` (a list, or a table), `env`, and `shell.init_hook`; scripts stay Devbox's."""
    table = json.loads(_TRAILING.sub(_kept, _COMMENTS.sub(_kept, text)))
    packages = table.get("packages") or []
    if isinstance(packages, dict):
        packages = [f"{package}@{_devbox_version(wanted)}" for package, wanted in packages.items()]
    for package in packages:
        tool, _, version = str(package).partition("@")
        _add(tool, version, f"{name} packages", reading)
    for key, value in (table.get("env") or {}).items():
        reading.variables[key] = str(value)
    shell = table.get("shell") or {}
    hook = shell.get("init_hook") or []
    _add_hook("\n".join(hook) if isinstance(hook, list) else str(hook), f"{name} shell.init_hook", reading)
    reading.leave_all(f"{name} shell.scripts", shell.get("scripts") or {}, "a script is no package")


def _kept(match: re.Match[str]) -> str:
    return match[1] or ""


def _devbox_version(wanted: Any) -> str:
    return str(wanted.get("version", "latest") if isinstance(wanted, dict) else wanted)


def read_flox(name: str, text: str, reading: Reading) -> None:
    """`[install]`, `[vars]`, `[hook]` and services' names of a Flox manifest."""
    table = tomllib.loads(text)
    for key, wanted in table.get("install", {}).items():
        if "pkg-path" in wanted:
            _add(str(wanted["pkg-path"]), str(wanted.get("version", "")), f"{name} [install] {key}", reading)
        else:
            reading.leave(f"{name} [install]", key, "a flake or a store path is no package here")
    reading.variables |= {str(key): str(value) for key, value in table.get("vars", {}).items()}
    _add_hook(str(table.get("hook", {}).get("on-activate", "")), f"{name} [hook]", reading)
    for shell, script in table.get("profile", {}).items():
        reading.leave(f"{name} [profile] {shell}", str(script), "copy it to `[profile]` where it fits")
    for service, wanted in table.get("services", {}).items():
        reading.leave(
            f"{name} [services] {service}",
            str(wanted.get("command", "")),
            "copy it to `[services]` where it fits",
        )


def _add(attribute: str, version: str, where: str, reading: Reading) -> None:
    """A package by its attribute path: `ripgrep`, `python312Packages.pip`, `nodePackages.prettier`."""
    if not _ATTRIBUTE.match(attribute):
        reading.leave(where, attribute, "a flake's reference is no package here")
        return
    family, _, member = attribute.rpartition(".")
    if re.fullmatch(r"python\d*Packages", family):
        add_tool(f"pypi:{member}", version, where, reading)
    elif family in ("nodePackages", "nodePackages_latest"):
        add_tool(f"npm:{member}", version, where, reading)
    else:
        add_tool(member or attribute, "" if version == "latest" else version, where, reading)


def _add_hook(script: str, where: str, reading: Reading) -> None:
    if not script.strip():
        return
    if re.search(r"\bFLOX_|\bDEVBOX_", script):
        reading.leave(where, script, "it speaks of its tool's own variables; rewrite it for `[hook]`")
    else:
        reading.hooks.append(script.strip())
