"""What sources share that work through another ecosystem's own tool (uv, npm).

Owns the errors of such tools and of constraints in their language. Nothing that knows one tool belongs
here.
"""

from __future__ import annotations

from cape.errors import InputError, SourceError, StateError


class ToolMissing(StateError):
    """A tool that a source works with is not on this machine."""

    slug = "tool-missing"


class ToolFailed(SourceError):
    """A tool that a source works with failed in a way that cape does not know."""

    slug = "tool-failed"


class BadConstraint(InputError):
    """A package's name or constraint is not in the language of its source."""

    slug = "bad-constraint"
