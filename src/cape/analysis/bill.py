"""The bill of materials: a lock as CycloneDX, by the format's own library.

Owns which component a locked row becomes and its package url. The bill of one lock is the same bytes at
any time and place: its serial number follows from the lock, and it has no time of making.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from cape.lock import Lock
from cape.lock.queries import rows_for
from cape.names import Digest, System
from cape.sources.protocol import LockedPackage

if TYPE_CHECKING:
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component

_SPACE = uuid.UUID("6d1f4f1e-0a3a-4b0e-9a60-0b9f6f4f7c11")
"""The name space of our serial numbers; drawn once."""


_GENERIC = {"uv": "cpython", "build": ""}
"""Sources without a type of their own; what their package is called elsewhere, where that is known."""


_MODEL_FILES = frozenset(("url", "path", "ollama"))
"""Registries of models that no type of package url stands for."""


def package_url(package: LockedPackage, suite: str | None) -> str:
    """A row's package url: `pkg:deb/debian/jq@1.7?arch=amd64&distro=trixie`, `pkg:npm/%40types/node@22`.

    Source: the package-url specification and its types `deb`, `generic`, `huggingface`, `npm`, `pypi`.
    """
    version = quote(package.version, safe="~.+-")
    if package.source == "debian":
        qualifiers = f"arch={package.attributes.get('architecture', 'all')}" + (
            f"&distro={suite}" if suite else ""
        )
        return f"pkg:deb/debian/{quote(package.name, safe='+.-')}@{version}?{qualifiers}"
    if package.source == "npm":
        return f"pkg:npm/{quote(package.name, safe='/')}@{version}"
    if package.source == "model" and package.artifact.registry == "hub":
        owner, name, file = package.name.split("/", 2)
        return f"pkg:huggingface/{quote(owner)}/{quote(name)}@{version.lower()}#{quote(file, safe='/')}"
    if package.source == "model" and package.artifact.registry in _MODEL_FILES:
        return f"pkg:generic/{quote(package.name, safe='')}@{version}"
    if package.source in _GENERIC:
        return f"pkg:generic/{_GENERIC[package.source] or quote(package.name)}@{version}"
    return f"pkg:pypi/{package.name.lower().replace('_', '-')}@{version}"


def source_package(package: LockedPackage) -> str:
    """The name of the Debian source that a binary package is built from: its directory in the pool."""
    return package.artifact.location.split("/")[-2] if package.source == "debian" else package.name


def bill_of_materials(
    lock: Lock,
    lock_digest: Digest,
    name: str,
    system: System,
    licences: Mapping[tuple[str, str, str, str, str], str],
) -> str:
    """The lock's rows of one system as CycloneDX 1.6 in JSON, with the graph of what needs what.

    `licences` are by the rows' keys; a row without one states none.
    """
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    rows = rows_for(lock, system)
    project = Component(name=name, type=ComponentType.APPLICATION, bom_ref="project")
    bom = Bom(serial_number=uuid.uuid5(_SPACE, f"{lock_digest} {system}"))
    bom.metadata.component = project
    bom.metadata.timestamp = None  # type: ignore[assignment]
    components = {row.key: _component(row, lock.suite, licences.get(row.key)) for row in rows}
    for component in components.values():
        bom.components.add(component)
    _connect(bom, project, lock, rows, components)
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


def _component(package: LockedPackage, suite: str | None, licence: str | None) -> Component:
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    is_model = package.source == "model"
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType.MACHINE_LEARNING_MODEL if is_model else ComponentType.LIBRARY,
        bom_ref="/".join((package.source, *filter(None, (package.placement, package.name)), package.version)),
        purl=PackageURL.from_string(package_url(package, suite)),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=package.artifact.digest.hex)],
        licenses=[LicenseFactory().make_from_string(licence)] if licence else (),
    )


def _connect(
    bom: Bom,
    project: Component,
    lock: Lock,
    rows: Sequence[LockedPackage],
    components: Mapping[tuple[str, str, str, str, str], Component],
) -> None:
    by_name: dict[tuple[str, str], list[Component]] = {}
    for row in rows:
        by_name.setdefault((row.source, row.name), []).append(components[row.key])
    for row in rows:
        needed = [found for name in row.dependencies for found in by_name.get((row.source, name), [])]
        bom.register_dependency(
            components[row.key], [one for one in needed if one is not components[row.key]]
        )
    roots = [
        found
        for requirement in lock.requirements
        for name in lock.roots.get(requirement.name, ())
        for found in by_name.get((requirement.source, name), [])
    ]
    bom.register_dependency(project, roots)
