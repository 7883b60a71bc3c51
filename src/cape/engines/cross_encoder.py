"""Cross-encoders: an ONNX graph and a `tokenizer.json` that read a question and a text together.

A pair runs alone, unpadded, on one thread, so that a score depends on nothing beside it. Choosing what to
score must never be put here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cape.engines.errors import MissingModelFile, UnfitModel
from cape.engines.minilm import _damaged, _engine, _listed
from cape.names import Digest

TOKENS = 512
"""Tokens of a question and a text that count; what the text has beyond them is not read."""
CHARACTERS = 16_384
_SETTINGS = (f"tokens {TOKENS}", f"characters {CHARACTERS}", "cut the text")
_INPUTS = {"input_ids", "attention_mask", "token_type_ids"}


def cross_encoder_digest(model: Digest, tokenizer: Digest) -> Digest:
    """The `digest` of the reranker that files of these digests make, without opening it."""
    return Digest.of_lines([str(model), str(tokenizer), *_SETTINGS])


class CrossEncoder:
    """An opened reranker; `open_cross_encoder` makes one."""

    def __init__(self, name: str, model: Path, session: Any, tokenizer: Any) -> None:
        self._name, self._model = name, model
        self._session, self._tokenizer = session, tokenizer
        self._inputs = {given.name for given in session.get_inputs()}

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """The graph's number for the question with each text: of two classes the second's lead."""
        return [self._score(question, text) for text in texts]

    def _score(self, question: str, text: str) -> float:
        import numpy as np

        encoded = self._tokenizer.encode(_readable(question), _readable(text))
        feeds = {
            "input_ids": encoded.ids,
            "attention_mask": encoded.attention_mask,
            "token_type_ids": encoded.type_ids,
        }
        given = {name: np.array([feeds[name]], dtype=np.int64) for name in feeds if name in self._inputs}
        try:
            values = np.asarray(self._session.run(None, given)[0], dtype=np.float64).reshape(-1)
        except Exception as error:
            raise _damaged(self._name, self._model, "onnxruntime", error) from error
        if len(values) not in (1, 2) or not np.isfinite(values).all():
            raise UnfitModel(
                f"the model `{self._name}` is no reranker: it gives {len(values)} numbers for a pair",
                where=str(self._model),
                hint="name one that scores a question and a text",
            )
        return float(values[-1] - values[0]) if len(values) == 2 else float(values[0])


def open_cross_encoder(name: str, model: Path, tokenizer: Path) -> CrossEncoder:
    """The reranker that two files make.

    Raises `MissingEngine`, `MissingModelFile`, `DamagedModel`, and `UnfitModel` where the graph reads
    something else than token ids.
    """
    for path in (model, tokenizer):
        if not path.is_file():
            raise MissingModelFile(
                f"the model `{name}` lacks its file `{path.name}`", where=str(path), hint="run `cape sync`"
            )
    session, words = _session(name, model), _words(name, tokenizer)
    unknown = {given.name for given in session.get_inputs()} - _INPUTS
    if unknown:
        raise UnfitModel(
            f"the model `{name}` is no reranker: it reads {_listed(session.get_inputs())}",
            where=str(model),
            hint="name one whose inputs are `input_ids` and `attention_mask`",
        )
    return CrossEncoder(name, model, session, words)


def _session(name: str, model: Path) -> Any:
    """The graph. The errors of onnxruntime have no common base below `Exception`."""
    runtime = _engine("onnxruntime", name)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return runtime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise _damaged(name, model, "onnxruntime", error) from error


def _words(name: str, path: Path) -> Any:
    """The tokenizer, cutting the text of a pair and not padding. tokenizers raises bare `Exception`."""
    library = _engine("tokenizers", name)
    try:
        tokenizer = library.Tokenizer.from_file(str(path))
        tokenizer.no_padding()
        tokenizer.enable_truncation(TOKENS, strategy="longest_first")
    except Exception as error:
        raise _damaged(name, path, "tokenizers", error) from error
    return tokenizer


def _readable(text: str) -> str:
    return text.strip()[:CHARACTERS].encode("utf-8", "replace").decode()
