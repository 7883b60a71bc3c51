"""What can be wrong when an environment is packed. Nothing else belongs here."""

from __future__ import annotations

from cape.errors import InputError, StateError


class ExtractorMissing(StateError):
    """This installation has no program that could stand in front of a pack for that system."""

    slug = "extractor-missing"


class CannotWritePack(StateError):
    """The file or directory that a pack is to be written to cannot be written."""

    slug = "cannot-write-pack"


class CannotCarry(InputError):
    """Something of the environment only works on this machine."""

    slug = "cannot-carry"
