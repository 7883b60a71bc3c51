"""Sentence embedders of the MiniLM family: an ONNX graph and a `tokenizer.json`, run by onnxruntime.

A vector is the mean of a text's first `TOKENS` tokens' outputs, L2-normalised. Each text runs alone,
unpadded, on one thread, and several texts side by side: on two cores that is four times as quick as padded
batches on both threads (the activations stay in a core's cache), and a vector cannot depend on what was
embedded beside it. Choosing what to embed must never be put here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cape.engines.errors import DamagedModel, MissingEngine, MissingModelFile, UnfitModel
from cape.knowledge.protocol import Embedder
from cape.names import Digest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TOKENS = 256
"""Tokens of a text that count, with the two that mark its ends; what follows is not read."""

CHARACTERS = 16_384
"""Characters of a text that count: no 256 word pieces need more, and a longer text costs no more time."""

_SETTINGS = (f"tokens {TOKENS}", f"characters {CHARACTERS}", "pooling mean", "normalised l2")
_INPUTS = {"input_ids", "attention_mask", "token_type_ids"}


def open_embedder(name: str, model: Path, tokenizer: Path, *, threads: int = 2) -> Embedder:
    """The embedder that two files make; ready to embed, the graph is optimised while the words load.

    Raises:
        MissingEngine: onnxruntime, tokenizers or numpy is not installed.
        MissingModelFile: a file is not there or cannot be read.
        DamagedModel: onnxruntime or tokenizers cannot read it.
        UnfitModel: the graph takes or gives something else than token ids and their vectors.
    """
    for path in (model, tokenizer):
        if not os.access(path, os.R_OK) or not path.is_file():
            raise MissingModelFile(
                f"the model `{name}` lacks its file `{path.name}`", where=str(path), hint="run `cape sync`"
            )
    with ThreadPoolExecutor(1) as aside:
        session = aside.submit(_open_session, name, model)
        words = _open_tokenizer(name, tokenizer)
        return MiniLM(name, (model, tokenizer), session.result(), words, max(1, threads))


def embedder_digest(model: Digest, tokenizer: Digest) -> Digest:
    """The `digest` of the embedder that files of these digests make, without opening it."""
    return Digest.of_lines([str(model), str(tokenizer), *_SETTINGS])


def _open_session(name: str, model: Path) -> Any:
    """The graph, optimised. The errors of onnxruntime have no common base below `Exception`."""
    runtime = _engine("onnxruntime", name)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = runtime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise _damaged(name, model, "onnxruntime", error) from error
    unknown = {given.name for given in session.get_inputs()} - _INPUTS
    if unknown or len(session.get_outputs()[0].shape) not in (2, 3):
        raise UnfitModel(
            f"the model `{name}` is not a sentence embedder: it reads {_listed(session.get_inputs())} and "
            f"gives {_listed(session.get_outputs())}",
            where=str(model),
            hint="name one whose inputs are `input_ids` and `attention_mask`",
        )
    return session


def _open_tokenizer(name: str, path: Path) -> Any:
    """The tokenizer, cutting and not padding. tokenizers raises bare `Exception`."""
    library = _engine("tokenizers", name)
    try:
        tokenizer = library.Tokenizer.from_file(str(path))
        tokenizer.no_padding()
        tokenizer.enable_truncation(TOKENS)
    except Exception as error:
        raise _damaged(name, path, "tokenizers", error) from error
    return tokenizer


def _engine(package: str, name: str) -> Any:
    """A package that runs models, imported."""
    import importlib

    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise MissingEngine(
            f"the model `{name}` needs the Python package `{package}`, which is not installed",
            hint="install `cape[knowledge]`",
        ) from error


def _damaged(name: str, path: Path, reader: str, error: Exception) -> DamagedModel:
    """Its cause is the library's message, cut to a line."""
    said = " ".join(str(error).split())[:200]
    return DamagedModel(
        f"`{reader}` cannot read `{path.name}` of the model `{name}`: {said}",
        where=str(path),
        hint="run `cape doctor --verify`, or name another file in `[models]`",
    )


def _listed(nodes: Sequence[Any]) -> str:
    return ", ".join(f"`{node.name}`" for node in nodes)


def _readable(text: str) -> str:
    """What of a text is read; a lone surrogate, which is no character, becomes `?`."""
    return text.strip()[:CHARACTERS].encode("utf-8", "replace").decode()


class MiniLM:
    """An opened embedder; `open_embedder` makes one. May be used from several threads at a time."""

    def __init__(
        self, name: str, files: tuple[Path, Path], session: Any, tokenizer: Any, threads: int
    ) -> None:
        self._name, self._files, self._threads = name, files, threads
        self._session, self._tokenizer = session, tokenizer
        self._inputs = {given.name for given in session.get_inputs()}

    @property
    def name(self) -> str:
        return self._name

    @cached_property
    def digest(self) -> Digest:
        """Over both files' bytes and the settings; the files are read when it is first asked for."""
        return embedder_digest(*map(Digest.of_file, self._files))

    @cached_property
    def dimensions(self) -> int:
        declared = self._session.get_outputs()[0].shape[-1]
        return declared if isinstance(declared, int) else self._rows([0]).shape[1]

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        import numpy as np

        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for at, vector in enumerate(self._side_by_side(self._vector, texts)):
            vectors[at] = vector
        return vectors

    def embed_pieces(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """What the graph says of each word piece of each text, (pieces, dimensions) float32, in order.

        The mean of a text's rows, L2-normalised, is what `embed` gives; a graph that pools gives one row.
        """
        return self._side_by_side(self._pieces, texts)

    def piece_spans(self, text: str) -> list[tuple[int, int]]:
        """Where each row of `embed_pieces` stands in a text; (0, 0) for the marks of its ends.

        Blanks before the text and surrogates in it shift nothing.
        """
        skipped = len(text) - len(text.lstrip())
        encoded = self._tokenizer.encode(_readable(text))
        return [(a + skipped, b + skipped) if b > a else (0, 0) for a, b in encoded.offsets]

    def _side_by_side(
        self, make: Callable[[str], NDArray[np.float32]], texts: Sequence[str]
    ) -> list[NDArray[np.float32]]:
        """What `make` gives for each text, in their order."""
        if len(texts) <= 1 or self._threads == 1:
            return [make(text) for text in texts]
        # Long texts first, so that no thread is left alone with one at the end.
        longest_first = sorted(range(len(texts)), key=lambda at: -len(texts[at]))
        with ThreadPoolExecutor(self._threads) as pool:
            made = dict(zip(longest_first, pool.map(make, (texts[at] for at in longest_first)), strict=True))
        return [made[at] for at in range(len(texts))]

    def _vector(self, text: str) -> NDArray[np.float32]:
        """The vector of one text, (dimensions,) float32; where there is no token, one of equal parts."""
        import numpy as np

        rows = self._pieces(text)
        pooled = rows.mean(axis=0) if len(rows) else np.ones(self.dimensions, dtype=np.float32)
        length = float(np.sqrt(np.square(pooled, dtype=np.float64).sum()))
        vector: NDArray[np.float32] = (pooled / max(length, 1e-12)).astype(np.float32)
        return vector

    def _pieces(self, text: str) -> NDArray[np.float32]:
        """The graph's rows for one text, (pieces, dimensions) float32; none where there is no token."""
        import numpy as np

        tokens = self._tokenizer.encode(_readable(text)).ids
        return self._rows(tokens) if tokens else np.zeros((0, self.dimensions), dtype=np.float32)

    def _rows(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """The graph's rows for tokens, (tokens, dimensions) float32; one row if the graph pools by itself."""
        import numpy as np

        ids = np.array([tokens], dtype=np.int64)
        feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        given = {name: feeds[name] for name in feeds if name in self._inputs}
        rows: NDArray[np.float32] = np.atleast_2d(self._run(given)[0])
        return rows

    def _run(self, given: dict[str, Any]) -> Any:
        """The graph's first output, a row per text."""
        try:
            return self._session.run(None, given)[0]
        except Exception as error:
            raise _damaged(self._name, self._files[0], "onnxruntime", error) from error
