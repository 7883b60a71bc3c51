"""What this machine's owner has set: where registries are, where artifacts may be found, the store.

Owns the table of settings, and reading and writing them. A value comes from its environment variable,
else from the user's file, else there is none and the room that needs it looks at the clients that are
there already (apt, pip, uv, npm). Nothing here knows what a registry serves.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cape.errors import InputError, StateError
from cape.names import nearest, write_atomically


class UnknownSetting(InputError):
    """A setting that cape does not have."""

    slug = "unknown-setting"


class BadConfiguration(InputError):
    """The user's configuration file cannot be read."""

    slug = "bad-configuration"


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """One setting: its key, the environment variable that wins over the file, and what it means.

    A setting with `many` holds a list; in the environment its items are parted by spaces.
    """

    key: str
    variable: str
    meaning: str
    many: bool = False


SETTINGS: tuple[Setting, ...] = (
    Setting(
        key="store",
        variable="CAPE_STORE",
        meaning="directory of the store; otherwise `cape` below the XDG data directory",
    ),
    Setting(
        key="artifacts",
        variable="CAPE_ARTIFACTS",
        many=True,
        meaning="directories with artifacts named by sha256, or trees that `cape vendor` wrote; "
        "asked before any registry",
    ),
    Setting(
        key="debian.mirror",
        variable="CAPE_DEBIAN_MIRROR",
        many=True,
        meaning="base URLs of Debian mirrors (the directory that holds `dists` and `pool`); "
        "otherwise apt's sources",
    ),
    Setting(
        key="debian.dated-mirror",
        variable="CAPE_DEBIAN_DATED_MIRROR",
        meaning="base URL of an archive of old states, with `{archive}` and `{date}` where it wants them",
    ),
    Setting(
        key="debian.keyring",
        variable="CAPE_DEBIAN_KEYRING",
        meaning="file with the OpenPGP keys that may sign Debian's indices; otherwise the system's",
    ),
    Setting(
        key="pypi.index",
        variable="CAPE_PYPI_INDEX",
        meaning="base URL of a Python index; otherwise pip's or uv's setting",
    ),
    Setting(
        key="pypi.indices",
        variable="CAPE_PYPI_INDICES",
        many=True,
        meaning="Python indices that packages of a manifest may name (`index`), as `NAME=URL`",
    ),
    Setting(
        key="writers",
        variable="CAPE_WRITERS",
        many=True,
        meaning="addresses of services whose models write, for `[writers]` that name none, as `NAME=URL`",
    ),
    Setting(
        key="npm.registry",
        variable="CAPE_NPM_REGISTRY",
        meaning="base URL of an npm registry; otherwise npm's setting",
    ),
    Setting(
        key="hub",
        variable="CAPE_HUB",
        meaning="base URL of a model hub of Hugging Face's shape; otherwise `$HF_ENDPOINT`",
    ),
    Setting(
        key="ollama",
        variable="CAPE_OLLAMA",
        meaning="base URL of a registry of Ollama's shape",
    ),
    Setting(
        key="certificates",
        variable="CAPE_CERTIFICATES",
        many=True,
        meaning="files of PEM certificates, or directories of such, that programs of environments with "
        "`ca-certificates` trust too; an environment made with them has an identity of its own",
    ),
    Setting(
        key="advisories",
        variable="CAPE_ADVISORIES",
        meaning="records of known holes in OSV's format, for `cape audit`: a directory, a zip file, or a URL "
        "of one",
    ),
    Setting(
        key="usage.price",
        variable="CAPE_USAGE_PRICE",
        meaning="price of a million tokens that a model reads, for `cape usage`; "
        "otherwise it counts tokens only",
    ),
    Setting(
        key="usage.questions",
        variable="CAPE_USAGE_QUESTIONS",
        meaning="`text` keeps the text of questions in a project's record of answers; "
        "otherwise it has digests",
    ),
    Setting(
        key="offline",
        variable="CAPE_OFFLINE",
        meaning="`1`: no network is used, and what is lacking is named; `0` or nothing: it is",
    ),
    Setting(
        key="network.silence",
        variable="CAPE_NETWORK_SILENCE",
        meaning="seconds without a byte after which a registry counts as stalled; otherwise 30",
    ),
    Setting(
        key="network.attempts",
        variable="CAPE_NETWORK_ATTEMPTS",
        meaning="how often in a row a registry is asked in vain before cape gives up; otherwise 5",
    ),
)

_BY_KEY = {setting.key: setting for setting in SETTINGS}


def setting(key: str) -> Setting:
    """The setting of that key. Raises `UnknownSetting`."""
    if key not in _BY_KEY:
        close = nearest(key, _BY_KEY)
        hint = "did you mean " + ", ".join(f"`{name}`" for name in close) + "?" if close else None
        raise UnknownSetting(f"there is no setting `{key}`", hint=hint or "`cape config` lists them all")
    return _BY_KEY[key]


def user_file(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the user's settings are: `cape/config.toml` below the XDG configuration directory."""
    base = environment.get("XDG_CONFIG_HOME") or str(Path(environment.get("HOME", "/")) / ".config")
    return Path(base) / "cape" / "config.toml"


@dataclass(frozen=True, slots=True)
class Configuration:
    """All settings of one start of cape: those of the environment, over those of the user's file."""

    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    """Where each value comes from: `$VARIABLE` or the file's path."""

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Configuration:
        """The settings of this machine and user. Raises `BadConfiguration`, `UnknownSetting`."""
        file = user_file(environment)
        values: dict[str, tuple[str, ...]] = {}
        origins: dict[str, str] = {}
        for key, value in _read_file(file).items():
            values[setting(key).key] = value
            origins[key] = str(file)
        for known in SETTINGS:
            if text := environment.get(known.variable):
                values[known.key] = tuple(text.split()) if known.many else (text,)
                origins[known.key] = f"${known.variable}"
        return cls(values, origins)

    def one(self, key: str) -> str | None:
        """The value of a setting that holds one, or None."""
        found = self.values.get(setting(key).key)
        return found[0] if found else None

    def many(self, key: str) -> tuple[str, ...]:
        """The values of a setting that holds a list; empty when it is not set."""
        return self.values.get(setting(key).key, ())

    def number(self, key: str, otherwise: float) -> float:
        """The value of a setting that holds a number above 0. Raises `BadConfiguration`."""
        text = self.one(key)
        if text is None:
            return otherwise
        try:
            number = float(text)
        except ValueError:
            number = 0.0
        if not 0 < number < 1e9:
            raise BadConfiguration(f"`{key}` is a number above 0, not `{text}`", where=self.origins.get(key))
        return number


def named_indices(configuration: Configuration) -> Mapping[str, str]:
    """The Python indices that have a name, with their URLs. Raises `BadConfiguration`."""
    found: dict[str, str] = {}
    for text in configuration.many("pypi.indices"):
        name, equals, url = text.partition("=")
        if not equals or not name or not url.startswith(("http://", "https://", "file://")):
            raise BadConfiguration(
                f"`pypi.indices` has `{text}`, which is not `NAME=URL`",
                where=configuration.origins.get("pypi.indices"),
            )
        found[name] = url
    return found


def _read_file(file: Path) -> dict[str, tuple[str, ...]]:
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadConfiguration("the configuration cannot be read", where=str(file)) from error
    return dict(_flatten(table, ""))


def _flatten(table: Mapping[str, object], prefix: str) -> list[tuple[str, tuple[str, ...]]]:
    found: list[tuple[str, tuple[str, ...]]] = []
    for key, value in table.items():
        if isinstance(value, dict):
            found += _flatten(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            found.append((prefix + key, tuple(str(item) for item in value)))
        else:
            found.append((prefix + key, (str(value),)))
    return found


def write_setting(key: str, values: tuple[str, ...] | None, *, file: Path | None = None) -> Path:
    """Set (or with None, unset) one setting in the user's file, and give the file's path.

    Comments of the file are kept; the file is replaced atomically.
    """
    import tomlkit

    known = setting(key)
    path = file or user_file()
    document = tomlkit.parse(path.read_text(encoding="utf-8")) if path.exists() else tomlkit.document()
    *tables, last = known.key.split(".")
    table: tomlkit.TOMLDocument | tomlkit.items.Table = document
    for name in tables:
        table = table.setdefault(name, tomlkit.table())
    if values is None:
        table.pop(last, None)
    else:
        table[last] = list(values) if known.many else values[0]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, tomlkit.dumps(document).encode())
    except OSError as error:
        raise StateError(
            f"the settings cannot be written: {error.strerror}",
            where=str(path),
            hint="`XDG_CONFIG_HOME` names another place for them; each setting has a variable, too",
        ) from error
    return path
