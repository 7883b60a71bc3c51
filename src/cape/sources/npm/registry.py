"""Which npm registry this machine uses, and how it is spoken to.

Owns reading npm's settings: of these only registries, credentials, proxies and certificates count.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cape.configuration import Configuration

_NETWORK_KEY = re.compile(
    r"registry|@[^:]+:registry|//.+:(_authToken|_auth|_password|username|certfile|keyfile)"
    r"|proxy|https-proxy|http-proxy|noproxy|cafile|ca(\[\])?|strict-ssl|cert|key\Z"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class NpmSettings:
    """Those of npm's settings that say how registries are reached. `registry` is None if none is set."""

    registry: str | None
    origin: str
    network: Mapping[str, str] = field(default_factory=dict)

    def registry_for(self, package: str, default: str) -> str:
        """The registry of a package: that of its scope, else `default`; ends with `/`."""
        scope = package.split("/")[0] if package.startswith("@") else ""
        return with_slash(self.network.get(f"{scope}:registry", default) if scope else default)

    def authorisations(self) -> dict[str, str]:
        """The `Authorization` of each registry that credentials are known for, by URL without scheme."""
        found: dict[str, str] = {}
        for key, value in self.network.items():
            place, colon, kind = key.rpartition(":")
            if not colon or not place.startswith("//"):
                continue
            if kind == "_authToken":
                found[place] = f"Bearer {value}"
            elif kind == "_auth":
                found.setdefault(place, f"Basic {value}")
            elif kind == "username" and f"{place}:_password" in self.network:
                password = base64.b64decode(self.network[f"{place}:_password"])
                found.setdefault(
                    place, "Basic " + base64.b64encode(value.encode() + b":" + password).decode()
                )
        return found

    def npmrc(self) -> str:
        """The text of an npmrc that holds just these settings."""
        lines = [f"{key} = {value}" for key, value in sorted(self.network.items()) if key != "registry"]
        return "".join(f"{line}\n" for line in lines)


def read_settings(configuration: Configuration, environment: Mapping[str, str] = os.environ) -> NpmSettings:
    """cape's setting, else `NPM_CONFIG_REGISTRY`, else npm's files; credentials come along in all cases."""
    network: dict[str, str] = {}
    origin = ""
    project = _project_npmrc(Path.cwd())
    for file in reversed([*([project] if project else []), *_npmrc_files(environment)]):
        found = _network_settings(file, environment)
        origin = str(file) if "registry" in found else origin
        network |= found
    for name, value in environment.items():
        key = re.sub(r"^npm_config_", "", name, flags=re.IGNORECASE)
        key = key if key.startswith("//") else key.lower().replace("_", "-")
        if key.lower() != name.lower().replace("_", "-") and value and _NETWORK_KEY.fullmatch(key):
            network[key] = value
            origin = f"${name}" if key == "registry" else origin
    if own := configuration.one("npm.registry"):
        network["registry"], origin = own, "`npm.registry`"
    return NpmSettings(registry=network.get("registry"), origin=origin, network=network)


def _project_npmrc(start: Path) -> Path | None:
    """The `.npmrc` of the project that a directory is in, as npm reads it; None where there is none."""
    for directory in (start, *start.parents):
        if (directory / "cape.toml").is_file():
            return directory / ".npmrc"
    return None


def with_slash(registry: str) -> str:
    """The registry's URL, ending with `/`."""
    return registry.rstrip("/") + "/"


def _npmrc_files(environment: Mapping[str, str]) -> list[Path]:
    """npm's files, strongest first: of the user, and of the machine."""
    home = Path(environment.get("HOME", "/"))
    user = environment.get("NPM_CONFIG_USERCONFIG") or environment.get("npm_config_userconfig")
    machine = environment.get("NPM_CONFIG_GLOBALCONFIG") or environment.get("npm_config_globalconfig")
    prefix = environment.get("PREFIX") or "/usr"
    machine_files = [Path(machine)] if machine else [Path(prefix) / "etc/npmrc", Path("/etc/npmrc")]
    return [Path(user) if user else home / ".npmrc", *machine_files]


def _network_settings(file: Path, environment: Mapping[str, str]) -> dict[str, str]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    found: dict[str, str] = {}
    for line in lines:
        key, equals, value = line.partition("=")
        key = key.strip()
        if not equals or line.lstrip().startswith((";", "#")) or not _NETWORK_KEY.fullmatch(key):
            continue
        found[key] = _expanded(value.strip().strip("\"'"), environment)
    return found


def _expanded(text: str, environment: Mapping[str, str]) -> str:
    """The value with `${NAME}` and `${NAME-default}` filled in; an unset name stays as it is, as in npm."""

    def value(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        return environment.get(name, default if default is not None else match.group())

    return re.sub(r"\$\{(?P<name>[^}?-]+)\??(?:-(?P<default>[^}]*))?\}", value, text)
