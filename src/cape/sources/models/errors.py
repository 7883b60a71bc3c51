"""What can be wrong with a model, wherever it comes from."""

from __future__ import annotations

from cape.errors import InputError, SourceError
from cape.sources.protocol import RegistryUnreachable


class NoSuchModelFile(InputError):
    """A model's `file` names no file of its artifact, or several."""

    slug = "no-such-model-file"


class PickleRefused(InputError):
    """A file of a model runs code when it is loaded, and the manifest does not allow it."""

    slug = "pickle-refused"


class DangerousPickle(InputError):
    """A file of a model would run something dangerous that the manifest does not name."""

    slug = "dangerous-pickle"


class DigestDiffers(InputError):
    """A model's file does not have the digest that the manifest gives."""

    slug = "digest-differs"


class HubRefuses(RegistryUnreachable):
    """A model hub does not let this user read a repository."""

    slug = "hub-refuses"


class HubGarbage(SourceError):
    """A model hub or registry answers with something that it does not publish."""

    slug = "hub-garbage"
