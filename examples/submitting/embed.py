"""A share of the documents, embedded by the locked model: task N of M takes every Mth line from N on."""

import os
import time
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer


def embed(texts: list[str]) -> np.ndarray:
    """Rows of length 1, one for each text."""
    model = Path(os.environ["CAPE_MODEL_EMBEDDER"])
    tokenizer = Tokenizer.from_file(str(next(model.rglob("tokenizer.json"))))
    tokenizer.enable_padding()
    tokenizer.enable_truncation(256)
    session = onnxruntime.InferenceSession(
        str(next(model.rglob("*.onnx"))), providers=["CPUExecutionProvider"]
    )
    encoded = tokenizer.encode_batch(texts)
    known = {
        "input_ids": np.array([one.ids for one in encoded], dtype=np.int64),
        "attention_mask": np.array([one.attention_mask for one in encoded], dtype=np.int64),
        "token_type_ids": np.array([one.type_ids for one in encoded], dtype=np.int64),
    }
    states = session.run(None, {one.name: known[one.name] for one in session.get_inputs()})[0]
    if states.ndim == 3:
        mask = known["attention_mask"][:, :, None]
        states = (states * mask).sum(axis=1) / mask.sum(axis=1)
    return states / np.linalg.norm(states, axis=1, keepdims=True)


def main() -> None:
    task, tasks = int(os.environ.get("CAPE_TASK", 0)), int(os.environ.get("CAPE_TASKS", 1))
    lines = Path("notes.txt").read_text().splitlines()
    mine = list(range(task, len(lines), tasks))
    began = time.monotonic()
    rows = np.concatenate(
        [embed([lines[one] for one in mine[at : at + 16]]) for at in range(0, len(mine), 16)]
    )
    np.savez(Path(os.environ["CAPE_OUTPUTS"]) / "vectors.npz", numbers=mine, rows=rows)
    print(f"{len(mine)} of {len(lines)} notes in {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()
