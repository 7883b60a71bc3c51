"""The releases of releases.json, oldest first, as `packaging` orders versions."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from packaging.version import parse


def report() -> str:
    releases = json.loads((Path(__file__).parent / "releases.json").read_text())
    return " < ".join(sorted(releases, key=parse))


if __name__ == "__main__":
    sys.stdout.write(report() + "\n")
