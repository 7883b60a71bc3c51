"""What a model takes of memory when it runs or is trained, by arithmetic over what its header says.

Owns the shape of a transformer, the law of each part of each run time (llama.cpp, torch, onnxruntime), and
the sums over them. Which file is meant, the network and what a machine has must never be put here; nothing
of a model is loaded.
"""

from __future__ import annotations

from cape.fitting.estimate import Estimate, Part
from cape.fitting.llama import (
    CACHE_BYTES,
    LOAD,
    UnknownShape,
    estimate_gguf,
    largest_context,
    memory_needed,
)
from cape.fitting.shape import Shape, shape_of, shape_of_config

__all__ = [
    "CACHE_BYTES",
    "LOAD",
    "Estimate",
    "Part",
    "Shape",
    "UnknownShape",
    "estimate_gguf",
    "largest_context",
    "memory_needed",
    "shape_of",
    "shape_of_config",
]
