"""The shape of a language model: layers, heads, widths, as a GGUF file's metadata give them."""

from __future__ import annotations

from dataclasses import dataclass

from cape.models.header import Header


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """A decoder. `kv_widths` has, for each layer, the numbers that its cache keeps per token."""

    architecture: str
    hidden: int
    feed_forward: int
    attention: int
    kv_widths: tuple[int, ...]
    vocabulary: int
    merges: int
    trained_context: int | None


def shape_of(header: Header) -> Shape | None:
    """The shape that a GGUF header tells; None where it is of an architecture without these keys."""
    architecture = header.metadata.get("general.architecture")
    if header.format != "gguf" or not isinstance(architecture, str):
        return None

    def number(key: str) -> int | None:
        value = header.metadata.get(f"{architecture}.{key}")
        if isinstance(value, tuple):
            return max((int(one) for one in value), default=None)
        return int(value) if isinstance(value, int) and not isinstance(value, bool) else None

    layers, hidden, heads = number("block_count"), number("embedding_length"), number("attention.head_count")
    forward = number("feed_forward_length")
    if not (layers and hidden and heads and forward):
        return None
    key = number("attention.key_length") or hidden // heads
    value = number("attention.value_length") or hidden // heads
    return Shape(
        architecture=architecture,
        hidden=hidden,
        feed_forward=forward,
        attention=heads * key,
        kv_widths=tuple(count * (key + value) for count in _kv_heads(header, architecture, layers, heads)),
        vocabulary=_length(header, "tokenizer.ggml.tokens"),
        merges=_length(header, "tokenizer.ggml.merges"),
        trained_context=number("context_length"),
    )


def _kv_heads(header: Header, architecture: str, layers: int, heads: int) -> tuple[int, ...]:
    """The key and value heads of each layer."""
    told = header.metadata.get(f"{architecture}.attention.head_count_kv", heads)
    if isinstance(told, tuple) and len(told) == layers:
        return tuple(int(one) for one in told)
    return (int(told),) * layers if isinstance(told, int) else (heads,) * layers


def _length(header: Header, key: str) -> int:
    kept = header.metadata.get(key)
    return len(kept) if isinstance(kept, tuple) else header.long_lists.get(key, 0)
