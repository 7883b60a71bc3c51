"""uv's list of interpreters: asked of uv itself, which has it built in, with the user's settings for mirrors.

Owns uv's command line for it and the meaning of its rows. No host is named here: the list has them.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from cape.names import System
from cape.sources.pypi.tool import find_uv
from cape.sources.tools import BadConstraint, ToolFailed, last_lines

_OS = {"linux": "gnu", "macos": "none"}
"""The systems of uv's list that cape has, and which of their C libraries."""

_DATED = re.compile(r"\d{8}\Z")
_MINOR = re.compile(r"3(\.\d+)?\Z")


@dataclass(frozen=True, kw_only=True, slots=True)
class Build:
    """One archive of an interpreter: `location` is the release's name (a date) and the file's."""

    version: Version
    system: System
    url: str

    @property
    def location(self) -> str:
        return "/".join(unquote(part) for part in urlsplit(self.url).path.rsplit("/", 2)[1:])

    @property
    def base(self) -> str:
        """What the location is relative to."""
        return self.url.rsplit("/", 2)[0]

    @property
    def date(self) -> str | None:
        """The day of the release (`2026-11-10`); None where its name is none."""
        tag = self.location.partition("/")[0]
        return f"{tag[:4]}-{tag[4:6]}-{tag[6:]}" if _DATED.match(tag) else None


def builds() -> tuple[Build, ...]:
    """Every CPython that uv would bring for the systems of cape. Raises `ToolMissing`, `ToolFailed`."""
    done = subprocess.run(
        [
            *(find_uv(), "python", "list", "--all-versions", "--all-platforms", "--all-arches"),
            *("--only-downloads", "--output-format", "json", "--no-cache"),
        ],
        cwd="/", env={**os.environ, "NO_COLOR": "1"}, capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if done.returncode != 0:
        raise ToolFailed("`uv python list` failed", hint=" ".join(last_lines(done.stderr, 3)) or None)
    found = (_build(row) for row in json.loads(done.stdout))
    return tuple(one for one in found if one is not None)


def _build(row: dict[str, str]) -> Build | None:
    if row.get("implementation") != "cpython" or row.get("variant") != "default" or not row.get("url"):
        return None
    if row.get("libc") != _OS.get(row.get("os", "")):
        return None
    kind = "linux" if row["os"] == "linux" else "darwin"
    try:
        return Build(version=Version(row["version"]), system=System(f"{row['arch']}-{kind}"), url=row["url"])
    except (InvalidVersion, ValueError):
        return None


def specifier(constraint: str, where: str | None = None) -> SpecifierSet:
    """What `3.12`, `3.12.4`, `>=3.11,<3.13` or `*` allows. Raises `BadConstraint`."""
    text = constraint.strip()
    if text == "*":
        return SpecifierSet()
    if _MINOR.match(text):
        return SpecifierSet(f"=={text}.*")
    try:
        return SpecifierSet(text if text[:1] in "<>=!~" else f"=={text}")
    except InvalidSpecifier as error:
        raise BadConstraint(
            f"`{constraint}` is no version of Python", where=where, hint='for example `"3.12"`'
        ) from error


def fitting(
    found: Sequence[Build], allowed: SpecifierSet, systems: Sequence[System], latest: str | None
) -> Version | None:
    """The newest version that is there for all systems; releases after `latest` are not there."""
    had: dict[Version, set[System]] = {}
    for build in found:
        if latest is None or (build.date is not None and build.date <= latest[:10]):
            had.setdefault(build.version, set()).add(build.system)
    whole = [version for version, on in had.items() if on >= set(systems)]
    return max(allowed.filter(whole), default=None)
