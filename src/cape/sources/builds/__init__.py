"""Packages that a project builds itself, as a source: what `cape build` has made can be installed.

Owns the record of what was built (`.cape/builds/NAME.json` of the project that built it), and how a result is
laid out in an environment. How anything is built is `cape.building`'s.
"""

from __future__ import annotations

from cape.sources.builds.records import Built, read_record, write_record
from cape.sources.builds.source import BuildSource, NotBuiltYet

__all__ = ["BuildSource", "Built", "NotBuiltYet", "read_record", "write_record"]
