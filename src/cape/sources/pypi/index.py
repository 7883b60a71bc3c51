"""Which Python index this machine uses.

Owns reading the settings of cape, uv and pip. Nothing here asks an index anything.
"""

from __future__ import annotations

import configparser
import logging
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from cape.configuration import Configuration, named_indices
from cape.names import Digest
from cape.sources.pypi.credentials import configured_indices, named, with_login, without_credentials

_log = logging.getLogger(__name__)

_UV_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL")


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexChoice:
    """The indices to ask.

    With `default` None, uv's own settings and its built-in default hold. `origin` says for messages
    where the choice comes from. `named` are indices that only packages which name them are asked of.
    """

    default: str | None
    extra: tuple[str, ...] = ()
    origin: str
    named: Mapping[str, str] = field(default_factory=dict)

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables that tell uv; no secret of a URL is then in a process list."""
        if self.default is None:
            return {}
        told = {"UV_DEFAULT_INDEX": self.default}
        if self.extra:
            told["UV_INDEX"] = " ".join(self.extra)
        return told

    @property
    def identity(self) -> str:
        """A short name that differs between choices, for caches."""
        told = [self.default or "", *self.extra, *_uv_settings(os.environ)]
        told += [f"{name}={url}" for name, url in sorted(self.named.items())]
        return Digest.of_lines([without_credentials(one) for one in told]).short

    @property
    def all(self) -> tuple[str, ...]:
        """Every index that may be asked, as uv takes them (`name=URL`, or the URL)."""
        own = (self.default, *self.extra) if self.default is not None else ()
        told = () if self.default is not None else configured_indices(uv_files(os.environ), os.environ)
        named = [f"{name}={url}" for name, url in self.named.items()]
        return tuple(one for one in (*own, *told, *named) if one)

    def with_credentials(self, url: str) -> str:
        """The URL with user and password, if those of its index are known on this machine."""
        return with_login(url, self.all)

    @property
    def has_login(self) -> bool:
        """Whether a login is known for one of the indices."""
        return any("@" in self.with_credentials(without_credentials(named(one)[1])) for one in self.all)


def choose_index(configuration: Configuration, environment: Mapping[str, str] = os.environ) -> IndexChoice:
    """The indices of this machine: cape's setting, else uv's, else pip's, else uv's own default; and those
    that have a name. Raises `BadConfiguration`."""
    return replace(_choice(configuration, environment), named=named_indices(configuration))


def _choice(configuration: Configuration, environment: Mapping[str, str]) -> IndexChoice:
    if own := configuration.one("pypi.index"):
        return IndexChoice(default=own, origin="`pypi.index`")
    for variable in _UV_VARIABLES:
        if environment.get(variable):
            return IndexChoice(default=None, origin=f"${variable}")
    for file in uv_files(environment):
        if _names_an_index(file):
            return IndexChoice(default=None, origin=str(file))
    return _pip_choice(environment) or IndexChoice(default=None, origin="uv's default")


def uv_files(environment: Mapping[str, str]) -> list[Path]:
    """The files that hold uv's settings for the user and the machine."""
    if named := environment.get("UV_CONFIG_FILE"):
        return [Path(named)]
    home = Path(environment.get("HOME", "/"))
    user = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    machine = (environment.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")
    return [user / "uv/uv.toml", *(Path(place) / "uv/uv.toml" for place in machine), Path("/etc/uv/uv.toml")]


def _uv_settings(environment: Mapping[str, str]) -> list[str]:
    return [environment.get(variable, "") for variable in _UV_VARIABLES]


def _names_an_index(file: Path) -> bool:
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return False
    pip = table.get("pip")
    places = [table, pip] if isinstance(pip, dict) else [table]
    return any(key in place for place in places for key in ("index", "index-url", "extra-index-url"))


def _pip_choice(environment: Mapping[str, str]) -> IndexChoice | None:
    """pip's settings; variables win over files, and later files over earlier ones."""
    default: str | None = None
    extra: tuple[str, ...] = ()
    origin = ""
    for file in _pip_files(environment):
        settings = _pip_settings(file)
        if "index-url" in settings:
            default, origin = settings["index-url"].strip(), str(file)
        if "extra-index-url" in settings:
            extra, origin = _web_only(settings["extra-index-url"].split()), str(file)
    if environment.get("PIP_INDEX_URL"):
        default, origin = environment["PIP_INDEX_URL"], "$PIP_INDEX_URL"
    if environment.get("PIP_EXTRA_INDEX_URL"):
        extra = _web_only(environment["PIP_EXTRA_INDEX_URL"].split())
    if default is None or not _web_only([default]):
        return None
    return IndexChoice(default=default, extra=extra, origin=origin)


def _pip_files(environment: Mapping[str, str]) -> list[Path]:
    """pip's configuration files, weakest first: of the machine, of the user, and the one named."""
    home = Path(environment.get("HOME", "/"))
    user = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    machine = (environment.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")
    files = [Path(place) / "pip/pip.conf" for place in reversed(machine)] + [Path("/etc/pip.conf")]
    files += [home / ".pip/pip.conf", user / "pip/pip.conf"]
    if named := environment.get("PIP_CONFIG_FILE"):
        if named == os.devnull:
            return []
        files.append(Path(named))
    return files


def _pip_settings(file: Path) -> dict[str, str]:
    """The index settings of one file: those of `[global]`, then those of `[install]`."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        _log.warning("`%s` cannot be read and is passed over (%s)", file, type(error).__name__)
        return {}
    found: dict[str, str] = {}
    for section in ("global", "install"):
        if parser.has_section(section):
            found |= {key.replace("_", "-"): value for key, value in parser.items(section)}
    return {key: found[key] for key in ("index-url", "extra-index-url") if found.get(key)}


def _web_only(urls: Iterable[str]) -> tuple[str, ...]:
    """Those that are indices on the web; directories of this machine would not hold elsewhere."""
    return tuple(url for url in urls if url.startswith(("http://", "https://")))
