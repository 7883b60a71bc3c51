"""Which accelerator this machine has, found in files alone: nothing of a driver is loaded or woken.

Owns reading the layouts of `/proc`, `/sys` and `/dev` that kernels and drivers publish, the decision what a
package may use, and its cache. Which variant of a package that chooses is not decided here.
"""

from __future__ import annotations

from cape.accelerators.cache import find_accelerator
from cape.accelerators.decision import Accelerator, Fact, decide
from cape.accelerators.machine import Machine

__all__ = ["Accelerator", "Fact", "Machine", "decide", "find_accelerator"]
