"""What is nearest to a question, from the vectors that all tasks brought back."""

import sys
from pathlib import Path

import numpy as np
from embed import embed

lines = Path("notes.txt").read_text().splitlines()
vectors = np.zeros((len(lines), 384), dtype=np.float32)
for file in sorted(Path("outputs").glob("task-*/vectors.npz")):
    part = np.load(file)
    vectors[part["numbers"]] = part["rows"]
assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3), "a note has no vector"
found = vectors @ embed([" ".join(sys.argv[1:])])[0]
for number in np.argsort(-found)[:3]:
    print(f"{found[number]:.3f}  {lines[number]}")
