"""The functions that every activation of a shell begins with: the texts `enter.NAME`.

Owns which of them an activation takes along: what looks at a whole shell is nearly half of each text, and
only a profile needs it, so without one no shell has to read it.
"""

from __future__ import annotations

import re
from pathlib import Path

_FOR_PROFILES = "# A profile may do anything"
_NAMED = re.compile(r"^(?:function (_cape_\w+)|(_cape_\w+)\(\))", re.MULTILINE)


def functions_of(shell: str, *, with_profile: bool) -> str:
    """The functions of a shell (`bash`, `zsh`, `fish`, `sh`), with those for profiles if there is one."""
    text = (Path(__file__).parent / f"enter.{shell}").read_text(encoding="utf-8")
    return text if with_profile else text.partition(_FOR_PROFILES)[0]


def names_of(functions: str) -> list[str]:
    """The names of functions that a text defines at its own left margin, in order."""
    return [fish or other for fish, other in _NAMED.findall(functions)]
