"""What programs inside are told of models: a variable for each, and where a hub's clients look.

Owns these variables. Where a model's files lie is their source's doing, and what is in them nobody's here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from cape.manifest.models import variable_of

MODELS = "models"
HUB_CACHE = "hub"


def model_variables(environment: Path, project: Path) -> Iterator[tuple[str, str, str]]:
    """Name, value and origin of each variable, sorted by model.

    A model of one file is that file; of several, their directory. With a model of a hub, the hub's clients
    find it offline, and keep what they write in the project's state.
    """
    home = environment / MODELS
    for name in sorted(os.listdir(home)) if home.is_dir() else ():
        yield variable_of(name), str(_place(home / name)), f"models.{name}"
    if (environment / HUB_CACHE).is_dir():
        yield "HF_HOME", str(project / ".cape" / "state" / "huggingface"), MODELS
        yield "HF_HUB_CACHE", str(environment / HUB_CACHE), MODELS
        yield "HF_HUB_OFFLINE", "1", MODELS


def _place(directory: Path) -> Path:
    """The one file below a directory; the directory where there are several."""
    found: Path | None = None
    for top, _, files in os.walk(directory):
        for file in files:
            if found is not None:
                return directory
            found = Path(top) / file
    return found or directory
