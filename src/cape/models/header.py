"""The values that every reader gives: a header with its tensors.

Nothing here reads a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

Scalar = int | float | bool | str
Value = Scalar | tuple[Scalar, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tensor:
    """One tensor: `dtype` as its format calls it (`Q4_K`, `BF16`, `float16`), sizes in the file.

    `offset` is where its bytes begin in the file; None where they lie elsewhere or are spread. `external`
    names the file beside this one that holds them. `used_by` is the first operator that takes it, where the
    format tells of operators.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    size_bytes: int
    offset: int | None = None
    external: str | None = None
    used_by: str | None = None

    @property
    def elements(self) -> int:
        """How many numbers it has; 1 for a scalar."""
        count = 1
        for extent in self.shape:
            count *= extent
        return count


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """What a file of weights says before its weights.

    `format` is `gguf`, `safetensors` or `onnx`; `metadata` has the file's own keys. A list that is too long
    to be of use (a vocabulary) is not kept: `long_lists` has its length. `data_start` is where weights begin.
    """

    format: str
    metadata: Mapping[str, Value] = field(default_factory=dict)
    tensors: tuple[Tensor, ...] = ()
    long_lists: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    data_start: int = 0

    @property
    def size_bytes(self) -> int:
        """The bytes of all tensors."""
        return sum(tensor.size_bytes for tensor in self.tensors)

    @property
    def elements(self) -> int:
        """The number of parameters."""
        return sum(tensor.elements for tensor in self.tensors)

    @property
    def by_dtype(self) -> Mapping[str, int]:
        """The bytes of tensors of each dtype."""
        found: dict[str, int] = {}
        for tensor in self.tensors:
            found[tensor.dtype] = found.get(tensor.dtype, 0) + tensor.size_bytes
        return found

    @property
    def external(self) -> tuple[str, ...]:
        """The files beside this one that hold tensors of it, sorted."""
        return tuple(sorted({tensor.external for tensor in self.tensors if tensor.external}))

    @property
    def licence(self) -> str | None:
        """The licence that the file's metadata names; None where it names none."""
        for key in ("general.license", "license", "licence", "modelspec.license"):
            value = self.metadata.get(key)
            if isinstance(value, str) and value.strip():
                return value.strip()
        return None
