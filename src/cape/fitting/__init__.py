"""What a model takes of memory when it runs, by arithmetic over what its header says.

Owns the shape of a language model, and the sum over weights, cache, compute and run time. Which file is
meant, the network and what a machine has must never be put here; nothing of a model is loaded.
"""

from __future__ import annotations

from cape.fitting.estimate import Estimate, Part, estimate_gguf, largest_context
from cape.fitting.shape import Shape, shape_of

__all__ = ["Estimate", "Part", "Shape", "estimate_gguf", "largest_context", "shape_of"]
