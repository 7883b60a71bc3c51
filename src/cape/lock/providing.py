"""What the system packages of a lock stand for among language packages.

Owns reading the version of the project out of a Debian package's. Which package stands for which is the
manifest's word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from cape.manifest.model import Manifest
from cape.sources.protocol import LockedPackage, Provided

_ADDED = re.compile(r"[+~](?:dfsg|ds|repack|really|debian|git|deb)[\w.]*.*\Z")


def provided_by(manifest: Manifest, packages: Iterable[LockedPackage]) -> Mapping[str, Provided]:
    """The Python packages that locked Debian packages stand for, by name, as the manifest says."""
    if not manifest.provided:
        return {}
    rows = {row.name: row for row in packages if row.source == "debian"}
    return {
        re.sub(r"[-_.]+", "-", name).lower(): Provided(
            version=project_version(rows[package].version),
            package=package,
            where=next((one.where for one in manifest.requirements if one.package == package), None),
        )
        for name, package in manifest.provided.items()
        if package in rows
    }


def project_version(version: str) -> str:
    """The version that the project itself gave, out of a Debian package's.

    >>> project_version("1:2.6.0+dfsg-7+b1")
    '2.6.0'
    >>> project_version("2.0~rc1-1")
    '2.0rc1'
    """
    upstream = version.split(":", 1)[-1].rsplit("-", 1)[0]
    return _ADDED.sub("", upstream).replace("~", "")
