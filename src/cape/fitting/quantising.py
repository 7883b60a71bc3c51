"""What weights take at other quantisations: by llama.cpp's types and mixes.

Source: blocks from the format's table; mixes (`Q4_K_M`) as llama.cpp's `quantize` prints them for models of
some billion weights, in bits of one weight.
"""

from __future__ import annotations

from cape.models.formats.gguf import BLOCKS

_MIXES = {
    "Q8_0": 8.5, "Q6_K": 6.57, "Q5_K_M": 5.7, "Q5_K_S": 5.57, "Q4_K_M": 4.89, "Q4_K_S": 4.67, "IQ4_XS": 4.46,
    "Q3_K_L": 4.3, "Q3_K_M": 4.0, "Q3_K_S": 3.64, "IQ3_M": 3.76, "Q2_K": 3.16, "IQ2_M": 2.95,
}  # fmt: skip
BITS = {name: 8 * size / block for name, block, size in BLOCKS.values()} | _MIXES
"""The bits of one weight, by name."""
OFFERED = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M", "Q2_K")
"""What is proposed where a model does not fit, best first."""


def quantised_bytes(parameters: int, name: str) -> int:
    """The weights at a quantisation. Raises `KeyError`.

    >>> quantised_bytes(1_000_000, "Q4_0")
    562500
    """
    return round(parameters * BITS[name] / 8)
