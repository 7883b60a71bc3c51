"""What can go wrong with a model that writes."""

from __future__ import annotations

from cape.errors import SourceError


class WriterError(SourceError):
    """A model that writes did not."""

    slug = "writer-failed"


class WriterDown(WriterError):
    """A writer's service did not answer in time, or not at all."""

    slug = "writer-down"


class WriterBusy(WriterError):
    """A writer's service has no room now, or the account's limit is reached."""

    slug = "writer-busy"


class WriterRefused(WriterError):
    """A writer's service does not take the key, or not this request."""

    slug = "writer-refused"


class WriterJunk(WriterError):
    """A writer's service answered with something that is no reply."""

    slug = "writer-junk"
