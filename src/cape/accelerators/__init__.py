"""Which accelerator this machine has, found in files alone: nothing of a driver is loaded or woken.

Owns reading the layouts of `/proc`, `/sys` and `/dev` that kernels and drivers publish, the decision what a
package may use, its cache, and conditions that a machine meets or not. Which variant of a package that
chooses is not decided here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cape.accelerators.cache import find_accelerator
    from cape.accelerators.conditions import BadCondition, Condition
    from cape.accelerators.decision import Accelerator, Fact, decide
    from cape.accelerators.machine import Machine

__all__ = ["Accelerator", "BadCondition", "Condition", "Fact", "Machine", "decide", "find_accelerator"]

_HOME_OF = {
    "Accelerator": "decision",
    "BadCondition": "conditions",
    "Condition": "conditions",
    "Fact": "decision",
    "Machine": "machine",
    "decide": "decision",
    "find_accelerator": "cache",
}
"""The module that each public name lives in: it is imported when the name is first asked for, because most
commands look at no machine."""


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value
