"""The best point of a sweep, from what its tasks brought back."""

import json
from pathlib import Path

rows = [json.loads(file.read_text()) for file in sorted(Path("outputs").glob("task-*/*.json"))]
best = max(rows, key=lambda row: (row["accuracy"], -row["rate"]))
point = f"rate {best['rate']:g}, penalty {best['penalty']:g}, {best['accuracy']:.4f}"
print(f"{len(rows)} points; the best: {point}")
