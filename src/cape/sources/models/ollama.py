"""A registry of Ollama's shape: a manifest of layers, each named by its digest.

Owns the registry's addresses and what each kind of layer becomes below the model's directory.

Source: the image manifest of the OCI distribution specification, schema 2, with Ollama's media types.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from cape.configuration import Configuration
from cape.names import Digest
from cape.sources.connections import FileNotServed, RegistryRefuses, shown_url
from cape.sources.download import Download, download_all
from cape.sources.models.errors import HubGarbage, HubRefuses
from cape.sources.models.judging import judged
from cape.sources.models.rows import ALLOW_PICKLE, file_row
from cape.sources.models.single import licence_at
from cape.sources.protocol import (
    Artifact,
    ArtifactLookup,
    LockedPackage,
    RegistryUnknown,
    Requirement,
    ResolveContext,
    UnknownPackage,
)
from cape.sources.streaming import page_of

REGISTRY = "ollama"
_ACCEPTED = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"
_FILES = {
    "model": "model.gguf",
    "projector": "projector.gguf",
    "adapter": "adapter.gguf",
    "template": "template.txt",
    "system": "system.txt",
    "params": "params.json",
    "messages": "messages.json",
    "license": "LICENSE",
}
"""What a layer of `application/vnd.ollama.image.KIND` is called below the model's directory."""

_KIND = re.compile(r"application/vnd\.ollama\.image\.([a-z]+)\Z")
_LARGEST_MANIFEST = 4 << 20
_LARGEST_TEXT = 1 << 20
_KNOWN_LICENCES = (
    ("apache license", "apache-2.0"), ("mit license", "mit"), ("llama 3.3 community", "llama3.3"),
    ("llama 3.2 community", "llama3.2"), ("llama 3.1 community", "llama3.1"),
    ("llama 3 community", "llama3"), ("llama 2 community", "llama2"), ("gemma terms", "gemma"),
    ("bsd 3-clause", "bsd-3-clause"), ("creative commons attribution 4.0", "cc-by-4.0"),
)  # fmt: skip
"""How the texts of licences begin, and what they are called."""


class Ollama:
    """One registry."""

    def __init__(self, *, configuration: Configuration, artifacts: ArtifactLookup) -> None:
        self._configuration = configuration
        self._artifacts = artifacts

    def endpoint(self, where: str | None = None) -> str:
        """The registry's base URL. Raises `RegistryUnknown`."""
        endpoint = (self._configuration.one("ollama") or "").rstrip("/")
        if not endpoint:
            raise RegistryUnknown(
                "no registry of Ollama's shape is known on this machine",
                where=where,
                hint="`cape config ollama URL` says where it is",
            )
        return endpoint

    def url(self, row: LockedPackage) -> str:
        """Where a row's layer is served. Raises `RegistryUnknown`."""
        return f"{self.endpoint()}/v2/{row.artifact.location}"

    def rows(self, requirement: Requirement, context: ResolveContext) -> list[LockedPackage]:
        """The rows of a model, one for each layer; those that are kept, where there are any.

        Raises `UnknownPackage`, `HubRefuses`, `HubGarbage`.
        """
        kept = [
            row
            for row in context.kept
            if row.artifact.registry == REGISTRY and row.placement == requirement.name
        ]
        if kept:
            return kept
        name, tag = _name_and_tag(requirement.package)
        manifest, version = self._manifest(requirement, name, tag)
        layers = _layers(manifest, self.endpoint(requirement.where))
        self._bring_texts(name, layers, context)
        licence = self._licence(layers) or self._licence_of_model(name, layers["model.gguf"])
        self._judge(requirement, layers)
        return [
            file_row(
                requirement,
                name=f"{requirement.package.replace(':', '/')}/{path}",
                version=version,
                artifact=_artifact(name, layer),
                path=path,
                systems=requirement.systems or context.systems,
                attributes={"licence": licence},
            )
            for path, layer in layers.items()
        ]

    def _manifest(self, requirement: Requirement, name: str, tag: str) -> tuple[Any, str]:
        url = f"{self.endpoint(requirement.where)}/v2/{name}/manifests/{tag}"
        try:
            body = page_of(url, headers={"Accept": _ACCEPTED}, limit_bytes=_LARGEST_MANIFEST).body
        except FileNotServed as error:
            raise UnknownPackage(requirement) from error
        except RegistryRefuses as error:
            raise HubRefuses(
                f"the registry does not let you read `{requirement.package}`: {error.fact}",
                where=requirement.where,
            ) from error
        try:
            return json.loads(body), Digest.of(body).short
        except ValueError:
            raise HubGarbage("the registry's manifest is no JSON", where=shown_url(url)) from None

    def _bring_texts(
        self, name: str, layers: Mapping[str, tuple[Digest, int]], context: ResolveContext
    ) -> None:
        """Bring the small layers: the licence is among them."""
        downloads = [
            Download(
                digest=layer[0],
                size_bytes=layer[1],
                name=f"{name}:{path}",
                urls=(f"{self.endpoint()}/v2/{_artifact(name, layer).location}",),
            )
            for path, layer in layers.items()
            if layer[1] <= _LARGEST_TEXT
        ]
        download_all(downloads, self._artifacts, progress=context.progress)

    def _judge(self, requirement: Requirement, layers: Mapping[str, tuple[Digest, int]]) -> None:
        allowed = requirement.options.get(ALLOW_PICKLE, "")
        for path, (digest, _) in layers.items():
            if self._artifacts.has(digest):
                place = self._artifacts.path(digest)
                judged(place, path, model=requirement.name, allowed=allowed, where=requirement.where)

    def _licence(self, layers: Mapping[str, tuple[Digest, int]]) -> str | None:
        found = []
        for path, (digest, _) in layers.items():
            if path.startswith("LICENSE") and self._artifacts.has(digest):
                found.append(licence_of_text(self._artifacts.path(digest).read_text("utf-8", "replace")))
        return " AND ".join(sorted({one for one in found if one})) or None

    def _licence_of_model(self, name: str, layer: tuple[Digest, int]) -> str | None:
        url = f"{self.endpoint()}/v2/{_artifact(name, layer).location}"
        return licence_at(url, "model.gguf", self._artifacts, layer[0])


def licence_of_text(text: str) -> str | None:
    """What a licence's text is called; its first line, where it is none that is known."""
    words = " ".join(text.split())
    head = words[:400].lower()
    for beginning, name in _KNOWN_LICENCES:
        if beginning in head:
            return name
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return first[:100] or None


def _name_and_tag(package: str) -> tuple[str, str]:
    name, _, tag = package.partition(":")
    return (name if "/" in name else f"library/{name}"), tag or "latest"


def _artifact(name: str, layer: tuple[Digest, int]) -> Artifact:
    digest, size_bytes = layer
    return Artifact(
        digest=digest, size_bytes=size_bytes, registry=REGISTRY, location=f"{name}/blobs/sha256:{digest.hex}"
    )


def _layers(manifest: Any, url: str) -> dict[str, tuple[Digest, int]]:
    """Digest and size of each layer that is a file of the model, by its path. Raises `HubGarbage`."""
    found: dict[str, tuple[Digest, int]] = {}
    try:
        for layer in manifest["layers"]:
            kind = _KIND.match(layer["mediaType"])
            if kind is None or kind[1] not in _FILES:
                continue
            digest, size = Digest.parse(layer["digest"]), layer["size"]
            if type(size) is not int or size < 0:
                raise ValueError("size")
            if digest not in {known for known, _ in found.values()}:
                found[_free(_FILES[kind[1]], found)] = (digest, size)
    except (KeyError, TypeError, ValueError):
        raise HubGarbage("the registry's manifest is none of a model", where=shown_url(url)) from None
    if "model.gguf" not in found:
        raise HubGarbage("the registry's manifest has no model", where=shown_url(url))
    return found


def _free(name: str, taken: Mapping[str, object]) -> str:
    """The name, or the name with a number where it is taken."""
    stem, dot, suffix = name.partition(".")
    number = 2
    while name in taken:
        name, number = f"{stem}-{number}{dot}{suffix}", number + 1
    return name
