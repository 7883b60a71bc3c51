"""`cape fit` against what real loading takes: predicted, resident at its highest, and their ratio.

    .venv/bin/python benchmarks/fit.py --python PYTHON [--torch-project DIR] [--gguf FILE]... [--onnx FILE]...
        [--write]

PYTHON has xllamacpp, onnxruntime and onnx; DIR is a project with torch and transformers, which `cape run`
enters. Models of random weights are made for the run. None of them was used when constants were found; the
files that are named were, as the table says.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fit_models import Decoder, write_gguf

from cape.fitting.training import Training
from cape.operations.fitting import FitRequest, fit_model
from cape.operations.project import Workshop

LOADS = Path(__file__).with_name("fit_loads.py")
PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
CAPE = Path(sys.prefix) / "bin" / "cape"
MIB = 1 << 20
LONGEST_S = 600

DECODERS = (
    ("llama, Q4_K", Decoder(hidden=768, forward=2048, layers=12, heads=12, vocabulary=48000, dtype="Q4_K"),
     (("4096", "1", "f16"),)),
    ("qwen3, Q6_K, tied", Decoder(architecture="qwen3", hidden=1024, forward=3072, layers=8, heads=16,
     kv_heads=8, head=128, dtype="Q6_K", tied=True), (("2048", "4", "f16"),)),
    ("gemma3, Q8_0, windows of 1024", Decoder(architecture="gemma3", hidden=640, forward=2560, layers=18,
     heads=4, kv_heads=1, head=256, vocabulary=64000, window=1024, tied=True), (("6144", "1", "f16"),)),
    ("qwen3moe, Q4_0, 4 of 16 experts", Decoder(architecture="qwen3moe", hidden=768, forward=512, layers=6,
     heads=12, experts=16, experts_used=4, dtype="Q4_0"), (("2048", "1", "f16"),)),
    ("llama, F16", Decoder(hidden=1280, forward=3456, layers=6, heads=20, kv_heads=20, dtype="F16"),
     (("1024", "1", "f16"), ("16384", "1", "q8_0"))),
)  # fmt: skip
"""Decoders of random weights, each with its loads: context, sequences at once, type of the cache."""

GRAPHS = (("640", "2560", "9", "10", "30000"),)
GRAPH_LOADS = (("1", "256"), ("8", "256"))

TORCH_MODELS = (
    ("llama", "hidden_size=640 intermediate_size=1792 num_hidden_layers=10 num_attention_heads=10 "
     "num_key_value_heads=5 vocab_size=24000 tie_word_embeddings=false", "float32",
     (("infer", "1", "256", "8"), ("full", "1", "96", "8"), ("lora", "1", "128", "16"))),
    ("qwen2", "kind=qwen2 hidden_size=896 intermediate_size=2432 num_hidden_layers=6 num_attention_heads=14 "
     "num_key_value_heads=2 vocab_size=8000 tie_word_embeddings=true dtype=bfloat16", "bfloat16",
     (("infer", "4", "128", "8"), ("full", "1", "64", "8"), ("lora", "1", "96", "16"))),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One load: what it was, how it was used, and both numbers."""

    model: str
    use: str
    is_fitted: bool
    predicted: int
    measured: int

    @property
    def cells(self) -> tuple[str, ...]:
        ratio = self.predicted / self.measured
        over = "" if abs(ratio - 1) <= 0.1 else " OVER"
        seen = "yes" if self.is_fitted else "no"
        sizes = (f"{size / MIB:.0f} MiB" for size in (self.predicted, self.measured))
        return (self.model, self.use, seen, *sizes, f"{ratio:.3f}{over}")


class Loader:
    """The environments that load for real."""

    def __init__(self, python: str, project: Path | None) -> None:
        self.python, self.project = python, project

    def run(self, *words: str) -> dict[str, object]:
        return _answer([self.python, str(LOADS), *words], None)

    def run_torch(self, *words: str) -> dict[str, object]:
        return _answer([str(CAPE), "run", "--", "python3", str(LOADS), *words], self.project)


def _answer(words: Sequence[str], directory: Path | None) -> dict[str, object]:
    done = subprocess.run(
        words, cwd=directory, capture_output=True, text=True, timeout=LONGEST_S, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        sys.exit(f"{' '.join(words)}\n{done.stderr[-2000:]}")
    answer: dict[str, object] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def _peak(answer: dict[str, object]) -> int:
    used = answer["used"]
    assert isinstance(used, dict)
    return int(used["peak"])


def _predicted(request: FitRequest) -> int:
    return fit_model(request, Workshop.open, Path.cwd()).estimate.size_bytes


def _llama(loader: Loader, name: str, file: Path, load: Sequence[str], *, is_fitted: bool) -> Row:
    context, parallel, cache = load
    request = FitRequest(
        model=str(file), context=int(context), batch=int(parallel), cache_type=cache, gpu="none"
    )
    times = f"{parallel} x " if parallel != "1" else ""
    use = f"llama.cpp, {times}{context} tokens" + ("" if cache == "f16" else f", cache {cache}")
    measured = _peak(loader.run("llama", str(file), *load))
    return Row(model=name, use=use, is_fitted=is_fitted, predicted=_predicted(request), measured=measured)


def _onnx(loader: Loader, name: str, file: Path, load: Sequence[str], *, is_fitted: bool) -> Row:
    batch, tokens = load
    request = FitRequest(model=str(file), context=int(tokens), batch=int(batch), gpu="none")
    measured = _peak(loader.run("onnx", str(file), *load))
    return Row(
        model=name,
        use=f"onnxruntime, {batch} x {tokens} tokens",
        is_fitted=is_fitted,
        predicted=_predicted(request),
        measured=measured,
    )


def _torch(loader: Loader, name: str, place: Path, load: Sequence[str], dtype: str) -> Row:
    mode, batch, tokens, rank = load
    request = FitRequest(
        model=str(place),
        context=int(tokens),
        batch=int(batch),
        training=None if mode == "infer" else Training(mode),
        rank=int(rank),
        gpu="none",
    )
    said = {"infer": "answering", "full": "two steps of AdamW", "lora": f"two steps of LoRA, rank {rank}"}[
        mode
    ]
    return Row(
        model=name,
        use=f"torch, {said}, {batch} x {tokens} tokens",
        is_fitted=False,
        predicted=_predicted(request),
        measured=_peak(loader.run_torch("torch", str(place), *load, dtype)),
    )


def rows(loader: Loader, place: Path, named: argparse.Namespace) -> Iterator[Row]:
    """All rows, one model on the disk at a time."""
    for name, decoder, loads in DECODERS:
        file = place / "random.gguf"
        write_gguf(file, decoder)
        for load in loads:
            yield _llama(loader, f"random, {name}", file, load, is_fitted=False)
        file.unlink()
    for text in named.gguf:
        for load in (("1024", "1", "f16"), ("8192", "1", "q8_0")):
            yield _llama(loader, Path(text).stem, Path(text), load, is_fitted=True)
    for sizes in GRAPHS:
        file = place / "random.onnx"
        loader.run("graph", str(file), *sizes)
        for load in GRAPH_LOADS:
            yield _onnx(loader, f"random encoder, {sizes[0]} wide", file, load, is_fitted=False)
        file.unlink()
    for text in named.onnx:
        for load in (("1", "256"), ("4", "128")):
            yield _onnx(loader, Path(text).stem, Path(text), load, is_fitted=True)
    if loader.project is not None:
        for kind, sizes_text, dtype, loads in TORCH_MODELS:
            loader.run_torch("make", str(place / kind), *sizes_text.split())
            for load in loads:
                yield _torch(loader, f"random {kind}, {dtype}", place / kind, load, dtype)
            shutil.rmtree(place / kind)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", required=True)
    parser.add_argument("--torch-project", type=Path)
    parser.add_argument("--gguf", action="append", default=[])
    parser.add_argument("--onnx", action="append", default=[])
    parser.add_argument("--write", action="store_true")
    named = parser.parse_args()
    lines = [
        "| model | use | its kind was seen when constants were found | predicted | measured | ratio |",
        "|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as place:
        for row in rows(Loader(named.python, named.torch_project), Path(place), named):
            lines.append(f"| {' | '.join(row.cells)} |")
            print(lines[-1], flush=True)
    if named.write:
        before, _, rest = PAGE.read_text().partition("<!-- fit -->\n")
        _, _, after = rest.partition("<!-- end of fit -->\n")
        PAGE.write_text(f"{before}<!-- fit -->\n" + "\n".join(lines) + f"\n<!-- end of fit -->\n{after}")


if __name__ == "__main__":
    main()
