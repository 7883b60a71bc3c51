"""The shape of a transformer: layers, heads, widths, as a GGUF file's metadata or a `config.json` tell them.

A file of an architecture that is not a plain transformer (a state-space model, a mixture of kinds) has no
shape here: better no number than a wrong one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cape.models.header import Header

_PERIODS = {
    "gemma2": 2, "gemma3": 6, "gemma3_text": 6, "gemma3n": 5, "gpt-oss": 2, "gpt_oss": 2, "cohere2": 4,
    "exaone4": 4, "llama4": 4, "olmo2": 4,
}  # fmt: skip
"""Architectures whose layers look at a window, but for one in so many."""
_ENCODERS_TEXT = """
albert bert camembert distilbert electra jina-bert-v2 jina-bert-v3 modern-bert modernbert mpnet neo-bert
nomic-bert nomic-bert-moe roberta xlm-roberta
"""
_ENCODERS = frozenset(_ENCODERS_TEXT.split())
"""Architectures that read all tokens at once, and keep no cache."""
_OTHERS = (
    "mamba", "rwkv", "jamba", "falcon-h1", "plamo2", "nemotron_h", "granitehybrid", "lfm2", "kimi-linear",
)  # fmt: skip
_PLAIN_TEXT = "bloom falcon gpt2 gpt_neox gptneox opt phi phi2 starcoder2"
_PLAIN_FORWARD = frozenset(_PLAIN_TEXT.split())
_TIED = ("gpt2", "gemma", "gemma2", "gemma3_text")
"""Decoders whose feed-forward part has no gate: two matrices, not three."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """A transformer. `kv_widths` has, for each layer, the numbers that its cache keeps per token, and
    `windows` the tokens that it looks back (0: all). `attention` is the width of all query heads together;
    `heads` are these."""

    architecture: str
    hidden: int
    feed_forward: int
    attention: int
    kv_widths: tuple[int, ...]
    vocabulary: int
    merges: int
    trained_context: int | None
    heads: int = 1
    windows: tuple[int, ...] = ()
    experts: int = 0
    experts_used: int = 0
    tied: bool = False

    @property
    def layers(self) -> int:
        return len(self.kv_widths)

    @property
    def is_encoder(self) -> bool:
        return self.architecture in _ENCODERS

    @property
    def has_gate(self) -> bool:
        return not self.is_encoder and self.architecture not in _PLAIN_FORWARD

    @property
    def parameters(self) -> int:
        """The number of weights, without biases: of use where no file tells it."""
        kv = sum(self.kv_widths)
        forward = (3 if self.has_gate else 2) * self.hidden * self.feed_forward * max(1, self.experts)
        layer = 2 * self.hidden * self.attention + forward + self.hidden * self.experts + 2 * self.hidden
        words = self.vocabulary * self.hidden * (1 if self.tied or self.is_encoder else 2)
        return self.layers * layer + kv * self.hidden + words + self.hidden


def shape_of(header: Header) -> Shape | None:
    """The shape that a GGUF header tells; None where it is of an architecture without these keys."""
    architecture = header.metadata.get("general.architecture")
    if header.format != "gguf" or not isinstance(architecture, str) or _is_other(architecture):
        return None
    told = _Keys(header, architecture)
    layers, hidden = told.number("block_count"), told.number("embedding_length")
    heads, forward = told.number("attention.head_count"), told.number("feed_forward_length")
    if not (layers and hidden and heads and forward) or told.number("ssm.state_size"):
        return None
    experts = told.number("expert_count") or 0
    key = told.number("attention.key_length") or hidden // heads
    value = told.number("attention.value_length") or hidden // heads
    pair = key if told.number("attention.key_length_mla") else key + value
    counts = _kv_heads(told, layers, heads)
    return Shape(
        architecture=architecture,
        hidden=hidden,
        feed_forward=(told.number("expert_feed_forward_length") or forward) if experts else forward,
        attention=heads * key,
        heads=heads,
        kv_widths=(0,) * layers if architecture in _ENCODERS else tuple(count * pair for count in counts),
        windows=_windows(architecture, layers, told.number("attention.sliding_window") or 0),
        vocabulary=_length(header, "tokenizer.ggml.tokens") or told.number("vocab_size") or 0,
        merges=_length(header, "tokenizer.ggml.merges"),
        trained_context=told.number("context_length"),
        experts=experts,
        experts_used=told.number("expert_used_count") or 0,
        tied=not any(tensor.name == "output.weight" for tensor in header.tensors),
    )


class _Keys:
    """The numbers of a GGUF file's own architecture."""

    def __init__(self, header: Header, architecture: str) -> None:
        self._header, self._architecture = header, architecture

    def value(self, key: str) -> object:
        return self._header.metadata.get(f"{self._architecture}.{key}")

    def number(self, key: str) -> int | None:
        """A whole number that is not negative; the largest of a list; None for anything else."""
        value = self.value(key)
        numbers = value if isinstance(value, tuple) else (value,)
        return max((one for one in numbers if type(one) is int and 0 <= one < 1 << 40), default=None)


def _is_other(architecture: str) -> bool:
    return architecture.startswith(_OTHERS)


def _kv_heads(told: _Keys, layers: int, heads: int) -> tuple[int, ...]:
    """The key and value heads of each layer."""
    value = told.value("attention.head_count_kv")
    if isinstance(value, tuple) and len(value) == layers and all(type(one) is int for one in value):
        return tuple(int(one) for one in value)
    return (told.number("attention.head_count_kv") or heads,) * layers


def _windows(architecture: str, layers: int, window: int, period: int | None = None) -> tuple[int, ...]:
    """For each layer its window: the last of so many layers looks at everything."""
    period = period or _PERIODS.get(architecture)
    if not window or period is None:
        return (0,) * layers
    return tuple(0 if (layer + 1) % period == 0 else window for layer in range(layers))


def _length(header: Header, key: str) -> int:
    kept = header.metadata.get(key)
    return len(kept) if isinstance(kept, tuple) else header.long_lists.get(key, 0)


# -- config.json ----------------------------------------------------------------------------------------


def shape_of_config(config: Mapping[str, Any]) -> Shape | None:
    """The shape that a `config.json` of transformers tells; None where it is of another kind of model."""
    text = config.get("text_config")
    config = {**config, **text} if isinstance(text, dict) else config
    architecture = config.get("model_type")
    if (
        not isinstance(architecture, str)
        or _is_other(architecture)
        or (
            "layer_types" in config
            and (
                not isinstance(config["layer_types"], list)
                or not {"full_attention", "sliding_attention", "chunked_attention"}.issuperset(
                    config["layer_types"]
                )
            )
        )
    ):
        return None
    number = _numbers_of(config)
    layers = number("num_hidden_layers", "n_layer", "n_layers", "num_layers")
    hidden = number("hidden_size", "n_embd", "d_model", "dim")
    heads = number("num_attention_heads", "n_head", "n_heads")
    if not (layers and hidden and heads):
        return None
    experts = number("num_local_experts", "num_experts", "n_routed_experts") or 0
    forward = number("intermediate_size", "n_inner", "ffn_dim", "hidden_dim", "ffn_hidden_size") or 4 * hidden
    head = number("head_dim") or hidden // heads
    return Shape(
        architecture=architecture,
        hidden=hidden,
        feed_forward=(number("moe_intermediate_size") or forward) if experts else forward,
        attention=heads * head,
        heads=heads,
        kv_widths=(0 if architecture in _ENCODERS else _width(number, heads, head),) * layers,
        windows=_config_windows(config, architecture, layers, number("sliding_window") or 0),
        vocabulary=number("vocab_size") or 0,
        merges=0,
        trained_context=number("max_position_embeddings", "n_positions", "n_ctx", "seq_length"),
        experts=experts,
        experts_used=number("num_experts_per_tok") or 0,
        tied=bool(config.get("tie_word_embeddings", architecture in _TIED)),
    )


def _numbers_of(config: Mapping[str, Any]) -> Any:
    def number(*keys: str) -> int | None:
        return next((config[key] for key in keys if type(config.get(key)) is int and config[key] > 0), None)

    return number


def _width(number: Any, heads: int, head: int) -> int:
    """The numbers of one layer's cache per token: of multi-head latent attention the latent alone."""
    latent: int | None = number("kv_lora_rank")
    if latent:
        return latent + int(number("qk_rope_head_dim") or 0)
    return 2 * head * int(number("num_key_value_heads", "num_kv_heads") or heads)


def _config_windows(
    config: Mapping[str, Any], architecture: str, layers: int, window: int
) -> tuple[int, ...]:
    kinds = config.get("layer_types")
    if window and isinstance(kinds, list) and len(kinds) == layers:
        return tuple(0 if kind == "full_attention" else window for kind in kinds)
    period = config.get("sliding_window_pattern")
    return _windows(architecture, layers, window, period if type(period) is int and period > 0 else None)
