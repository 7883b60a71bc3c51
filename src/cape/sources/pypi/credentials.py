"""User and password for an index that asks for a login, from where pip and uv keep them.

Owns the places that are looked at: uv's variables for a named index, the user's netrc, and the `keyring`
program. Nothing here is written, logged, or put into a lock.
"""

from __future__ import annotations

import contextlib
import netrc
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

WAYS = (
    "`$UV_INDEX_NAME_USERNAME` and `$UV_INDEX_NAME_PASSWORD` (for an index named `name`: "
    "`UV_DEFAULT_INDEX=name=URL`), `~/.netrc`, the `keyring` program (`UV_KEYRING_PROVIDER=subprocess` and "
    "the user in the index's URL), or user and password in the URL of `pip.conf`"
)
"""How a login can be told, for a hint."""

_USER = re.compile(r"(?<=://)[^/@\s]*@")
_KEYRING_PATIENCE_S = 20


def without_credentials(url: str) -> str:
    """The URL without user and password."""
    return _USER.sub("", url)


def named(text: str) -> tuple[str | None, str]:
    """Name and URL of an index as uv takes it: `name=https://...`, or the URL alone."""
    name, equals, url = text.partition("=")
    return (name, url) if equals and re.fullmatch(r"[A-Za-z0-9._-]+", name) else (None, text)


def with_login(url: str, indices: Sequence[str], environment: Mapping[str, str] = os.environ) -> str:
    """The URL with the login of its index, where one is known; it must only be sent, never written.

    `indices` are those in use, as uv takes them.
    """
    parts = urlsplit(url)
    if "@" in parts.netloc:
        return url
    found = _login(parts.scheme, parts.netloc, tuple(indices), environment)
    if found is None:
        return url
    user, password = found
    login = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    return urlunsplit(parts._replace(netloc=f"{login}@{parts.netloc}"))


def _login(
    scheme: str, host: str, indices: tuple[str, ...], environment: Mapping[str, str]
) -> tuple[str, str] | None:
    for name, index in map(named, indices):
        parts = urlsplit(index)
        if parts.netloc.rpartition("@")[2] != host:
            continue
        user, password = parts.username or "", parts.password or ""
        if told := _of_variables(name, environment):
            user, password = told[0] or user, told[1] or password
        if user and not password and (kept := _of_keyring(without_credentials(index), user, environment)):
            password = kept
        if user and password:
            from urllib.parse import unquote

            return unquote(user), unquote(password)
    return _of_netrc(urlsplit(f"{scheme}://{host}").hostname or "", environment)


def _of_variables(name: str | None, environment: Mapping[str, str]) -> tuple[str, str] | None:
    if name is None:
        return None
    key = re.sub(r"[^A-Za-z0-9]", "_", name).upper()
    user, password = (environment.get(f"UV_INDEX_{key}_{word}", "") for word in ("USERNAME", "PASSWORD"))
    return (quote(user, safe=""), quote(password, safe="")) if user or password else None


def _of_netrc(host: str, environment: Mapping[str, str]) -> tuple[str, str] | None:
    place = environment.get("NETRC") or os.path.join(environment.get("HOME", "/"), ".netrc")
    with contextlib.suppress(OSError, netrc.NetrcParseError, UnicodeDecodeError):
        found = netrc.netrc(place).authenticators(host)
        if found and found[0] and found[2]:
            return found[0], found[2]
    return None


def _of_keyring(url: str, user: str, environment: Mapping[str, str]) -> str | None:
    if environment.get("UV_KEYRING_PROVIDER", environment.get("PIP_KEYRING_PROVIDER")) != "subprocess":
        return None
    host = urlsplit(url).netloc
    return _asked(url, user, environment.get("PATH", "")) or _asked(host, user, environment.get("PATH", ""))


@lru_cache(maxsize=32)
def _asked(service: str, user: str, path: str) -> str | None:
    program = shutil.which("keyring", path=path)
    if program is None:
        return None
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            [program, "get", service, user], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False, timeout=_KEYRING_PATIENCE_S,
        )  # fmt: skip
        if done.returncode == 0:
            return done.stdout.rstrip("\r\n") or None
    return None


def configured_indices(files: Sequence[Path], environment: Mapping[str, str]) -> Iterator[str]:
    """The indices of uv's variables and files, as uv takes them: `name=URL` where they have a name."""
    for variable in ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL"):
        yield from environment.get(variable, "").split()
    for file in files:
        with contextlib.suppress(OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
            table = tomllib.loads(file.read_text(encoding="utf-8"))
            for row in table.get("index", ()) if isinstance(table.get("index"), list) else ():
                if isinstance(row, dict) and isinstance(row.get("url"), str):
                    yield f"{row['name']}={row['url']}" if "name" in row else row["url"]
            if isinstance(table.get("index-url"), str):
                yield table["index-url"]
