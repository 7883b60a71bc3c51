"""Small real stores, packages and environments for tests: no network, no mock of a store."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cape.environment.objects import make_objects
from cape.environment.plan import EnvironmentPlan
from cape.environment.realisation import RealisedEnvironment, realise
from cape.names import Digest, System
from cape.sources.protocol import Artifact, LockedPackage
from cape.store import Store

Files = Mapping[str, str]
"""Path to content; `-> TARGET` makes a link, a path that ends in `*` is executable."""


def package(
    store: Store,
    name: str,
    files: Files,
    *,
    source: str = "debian",
    version: str = "1.0",
    dependencies: tuple[str, ...] = (),
    attributes: Mapping[str, str] | None = None,
) -> LockedPackage:
    """A package whose artifact, a JSON text of its files, is in the store."""
    data = json.dumps({"name": name, "version": version, "files": dict(files)}).encode()
    digest = Digest.of(data)
    if not store.artifacts.has(digest):
        file = store.artifacts.partial(digest).with_suffix(f".{os.getpid()}")
        file.write_bytes(data)
        store.artifacts.admit(digest, file, size_bytes=len(data))
    return LockedPackage(
        source=source,
        name=name,
        version=version,
        systems=(System.X86_64_LINUX,),
        artifact=Artifact(
            digest=digest, size_bytes=len(data), registry=source, location=f"pool/{name}/{name}.deb"
        ),
        dependencies=dependencies,
        attributes=attributes or {},
    )


def unpack(package: LockedPackage, artifact: Path, into: Path) -> None:
    """Write the files that the artifact's JSON names."""
    for path, content in json.loads(artifact.read_bytes())["files"].items():
        target = into / path.rstrip("*")
        target.parent.mkdir(parents=True, exist_ok=True)
        if content.startswith("-> "):
            target.symlink_to(content[3:])
        else:
            target.write_text(content)
            target.chmod(0o755 if path.endswith("*") else 0o644)


def relocate(tree: Path, system: System, loader: Path | None) -> Mapping[str, Any]:
    """Only tells which files hold the placeholder."""
    private = [
        str(path.relative_to(tree))
        for path in sorted(tree.rglob("*"))
        if path.is_file() and not path.is_symlink() and b"/@cape-env@" in path.read_bytes()
    ]
    return {"private": private}


def plan(
    *packages: LockedPackage,
    roots: tuple[str, ...] = (),
    expose: tuple[str, ...] = (),
    hide: tuple[str, ...] = (),
) -> EnvironmentPlan:
    named = tuple((one.source, one.name) for one in packages if one.name in roots)
    lines = [f"{one.name} {one.version} {one.artifact.digest}" for one in packages]
    return EnvironmentPlan(
        system=System.X86_64_LINUX,
        identity=Digest.of_lines([*lines, *roots, "add", *expose, "hide", *hide]),
        packages=packages,
        roots=named,
        expose=expose,
        hide=hide,
    )


def make(store: Store, made_of: EnvironmentPlan, **options: Any) -> RealisedEnvironment:
    objects = make_objects(made_of, unpack=unpack, relocate=relocate, store=store, workers=1)
    return realise(made_of, objects, store, **options)
