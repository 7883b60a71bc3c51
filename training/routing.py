"""Train the router on all subjects of a test of routing, and say how good it is with each subject left out.

    python training/routing.py DIR [--write]

DIR holds `*.jsonl` with `{"subject", "prompt", "weak", "strong"}`. `--write` puts the weights into the
package. The fit is the package's own (`cape.answers.routing.difficulty`); nothing beside its `knowledge`
extra is needed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cape.answers.routing as package
from cape.answers.routing.features import question_row
from cape.evaluation.routing import read_routing
from cape.operations.routing import evaluate_routing, fitted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    score = evaluate_routing(arguments.directory, shipped=False).score
    print(score)
    if arguments.write:
        rows = [row for row in read_routing(arguments.directory) if row.weak is not None]
        fit = fitted(rows, [question_row(row.prompt) for row in rows])
        place = Path(package.__file__).parent / "weights.json"
        place.write_text(json.dumps(fit.fields(), indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
