"""Python interpreters that uv provides: standalone builds, one archive for each system.

Owns the choice among uv's list, and laying an archive out at the environment's `/usr/local`, where an
interpreter that is not the suite's belongs. Which of several interpreters an environment uses must never be
decided here.
"""

from __future__ import annotations

from cape.sources.interpreters.source import InterpreterSource

__all__ = ["InterpreterSource"]
