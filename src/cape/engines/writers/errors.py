"""What can go wrong with a model that writes."""

from __future__ import annotations

from cape.errors import SourceError


class WriterError(SourceError):
    """A model that writes did not."""

    slug = "writer-failed"
    charged: bool = True
    """Whether it may have cost something all the same."""


class WriterDown(WriterError):
    """A writer's service did not answer in time, or not at all."""

    slug = "writer-down"


class WriterUnreached(WriterDown):
    """No connection to a writer's service could be made: nothing was sent."""

    slug = "writer-unreached"
    charged = False


class WriterBusy(WriterError):
    """A writer's service has no room now, or the account's limit is reached."""

    slug = "writer-busy"
    charged = False


class WriterRefused(WriterError):
    """A writer's service does not take the key, or not this request."""

    slug = "writer-refused"
    charged = False


class WriterJunk(WriterError):
    """A writer's service answered with something that is no reply."""

    slug = "writer-junk"
