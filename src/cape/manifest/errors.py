"""What can be wrong with a manifest or with a package named on the command line.

Owns the leaves of the error tree that this room raises. No checking happens here.
"""

from __future__ import annotations

from collections.abc import Sequence

from cape.errors import InputError, StateError


class ManifestError(InputError):
    """The manifest is wrong. `also` holds the other errors of the same manifest, in order of place."""

    slug = "bad-manifest"


class ManifestSyntax(ManifestError):
    """The manifest is not TOML."""

    slug = "manifest-syntax"


class DuplicateManifestKey(ManifestError):
    """A key or a table stands in the manifest twice."""

    slug = "manifest-duplicate-key"


class UnknownManifestKey(ManifestError):
    """A key that cape does not know at that place."""

    slug = "manifest-unknown-key"


class WrongManifestType(ManifestError):
    """A value of another type than its key wants."""

    slug = "manifest-wrong-type"


class BadManifestValue(ManifestError):
    """A value of the right type that cannot be meant, or one that is missing."""

    slug = "manifest-bad-value"


class UnknownSchema(ManifestError):
    """The manifest says a schema that this version of cape does not read."""

    slug = "manifest-unknown-schema"


class VariableCycle(ManifestError):
    """Variables of `[vars]` that refer to each other in a ring."""

    slug = "manifest-variable-cycle"


class BadVariableFile(InputError):
    """A file of `env-files` that is not UTF-8, cannot be read, or has a line that sets no variable."""

    slug = "bad-variable-file"


class IncludeMissing(ManifestError):
    """An included directory that is not there, or has no manifest."""

    slug = "include-missing"


class IncludeCycle(ManifestError):
    """Manifests that include each other in a ring."""

    slug = "include-cycle"


class IncludesDisagree(ManifestError):
    """Included manifests that cannot hold together: other suites, no system in common."""

    slug = "includes-disagree"


class UnknownEnvironment(InputError):
    """An environment that the manifest does not have."""

    slug = "unknown-environment"


class UnknownRequirement(InputError):
    """A name that the manifest does not ask for."""

    slug = "unknown-requirement"


class NameTaken(InputError):
    """A package to add whose name the manifest gives to a package of another source."""

    slug = "name-taken"


class BadPackageArgument(InputError):
    """A package on the command line that cannot be read."""

    slug = "bad-package-argument"


class ManifestMissing(StateError):
    """There is no manifest at that path."""

    slug = "manifest-missing"


class ManifestUnreadable(StateError):
    """The manifest's file is there and cannot be read."""

    slug = "manifest-unreadable"


def raise_all(errors: Sequence[ManifestError]) -> None:
    """Raise the first error, with the others in its `also`; nothing when there is none."""
    if errors:
        first = errors[0]
        first.also = tuple(errors[1:])
        raise first
