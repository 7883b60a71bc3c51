"""The manifest: what a user asks for, as text and as a value.

Owns reading and validating `cape.toml` (every error with its line and column), the table of its keys,
edits that keep comments and order, and the form of a package on the command line. It must never hold
anything that asks a source, writes a lock or knows a shell: a manifest is text in, frozen value out.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cape.manifest.argument import PackageArgument, parse_package_argument
    from cape.manifest.edit import add_requirements, remove_requirements, set_value
    from cape.manifest.errors import (
        BadManifestValue,
        BadPackageArgument,
        DuplicateManifestKey,
        IncludeCycle,
        IncludeMissing,
        IncludesDisagree,
        ManifestError,
        ManifestMissing,
        ManifestSyntax,
        ManifestUnreadable,
        NameTaken,
        UnknownEnvironment,
        UnknownManifestKey,
        UnknownRequirement,
        UnknownSchema,
        VariableCycle,
        WrongManifestType,
    )
    from cape.manifest.keys import KEYS, Key
    from cape.manifest.merge import compose, environment_of
    from cape.manifest.model import SCHEMA, Expose, Hook, Included, Manifest, Part
    from cape.manifest.parse import parse_manifest, read_manifest
    from cape.manifest.template import new_manifest

__all__ = [
    "KEYS",
    "SCHEMA",
    "BadManifestValue",
    "BadPackageArgument",
    "DuplicateManifestKey",
    "Expose",
    "Hook",
    "IncludeCycle",
    "IncludeMissing",
    "Included",
    "IncludesDisagree",
    "Key",
    "Manifest",
    "ManifestError",
    "ManifestMissing",
    "ManifestSyntax",
    "ManifestUnreadable",
    "NameTaken",
    "PackageArgument",
    "Part",
    "UnknownEnvironment",
    "UnknownManifestKey",
    "UnknownRequirement",
    "UnknownSchema",
    "VariableCycle",
    "WrongManifestType",
    "add_requirements",
    "compose",
    "environment_of",
    "new_manifest",
    "parse_manifest",
    "parse_package_argument",
    "read_manifest",
    "remove_requirements",
    "set_value",
]

_HOMES = {
    "argument": ("PackageArgument", "parse_package_argument"),
    "edit": ("add_requirements", "remove_requirements", "set_value"),
    "errors": (
        "BadManifestValue",
        "BadPackageArgument",
        "DuplicateManifestKey",
        "IncludeCycle",
        "IncludeMissing",
        "IncludesDisagree",
        "ManifestError",
        "ManifestMissing",
        "ManifestSyntax",
        "ManifestUnreadable",
        "NameTaken",
        "UnknownEnvironment",
        "UnknownManifestKey",
        "UnknownRequirement",
        "UnknownSchema",
        "VariableCycle",
        "WrongManifestType",
    ),
    "keys": ("KEYS", "Key"),
    "merge": ("compose", "environment_of"),
    "model": ("SCHEMA", "Expose", "Hook", "Included", "Manifest", "Part"),
    "parse": ("parse_manifest", "read_manifest"),
    "template": ("new_manifest",),
}
"""The module that each public name lives in: a name is imported when it is first asked for, because
whoever only reads a manifest should not wait for what edits one."""

_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value
