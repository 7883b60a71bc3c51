"""What can go wrong with a build."""

from __future__ import annotations

from cape.errors import InputError, StateError


class BuildFailed(InputError):
    """The command of a build gave another exit code than 0."""

    slug = "build-failed"


class NothingBuilt(InputError):
    """A build ended well and left nothing of what it should have."""

    slug = "nothing-built"


class OutputEscapes(InputError):
    """A build left a link that leads out of its result."""

    slug = "output-escapes"


class NotTracked(InputError):
    """A build names files that git does not track."""

    slug = "not-tracked"


class SandboxMissing(StateError):
    """This machine cannot keep a build from the network and from other files."""

    slug = "no-sandbox"


class NotReproducible(InputError):
    """The same build gave different results."""

    slug = "not-reproducible"


class BuildCycle(InputError):
    """Builds that depend on each other in a ring."""

    slug = "build-cycle"


class UnknownBuild(InputError):
    """The manifest has no build of that name."""

    slug = "unknown-build"


class DirtyTree(StateError):
    """Files of the project differ from what git has committed."""

    slug = "dirty-tree"


class NotBuilt(StateError):
    """A build whose result is wanted was not built yet."""

    slug = "not-built"
