"""Which accelerator this machine has, found in files alone: nothing of a driver is loaded or woken.

Owns reading the layouts of `/proc`, `/sys` and `/dev` that kernels and drivers publish, the decision what a
package may use, its cache, and conditions that a machine meets or not. Which variant of a package that
chooses is not decided here.
"""

from __future__ import annotations

from cape.accelerators.cache import find_accelerator
from cape.accelerators.conditions import BadCondition, Condition
from cape.accelerators.decision import Accelerator, Fact, decide
from cape.accelerators.machine import Machine

__all__ = ["Accelerator", "BadCondition", "Condition", "Fact", "Machine", "decide", "find_accelerator"]
