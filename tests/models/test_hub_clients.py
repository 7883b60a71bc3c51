"""The hub's own client finds locked models offline: the real `huggingface_hub`, of the index at hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cape.configuration import Configuration
from cape.sources.pypi.index import choose_index
from cape.sources.pypi.tool import find_uv
from tests.mirrors.hub import model_hub
from tests.models.test_projects import project_with
from tests.models.weights import safetensors

ASKING = """
import os, sys
sys.path.insert(0, sys.argv[1])
from huggingface_hub import hf_hub_download, scan_cache_dir, snapshot_download
assert open(hf_hub_download("org/tiny", "config.json", revision="main")).read() == "{}"
assert sorted(os.listdir(snapshot_download("org/tiny"))) == ["config.json", "model.safetensors", "sub"]
found = scan_cache_dir()
assert not found.warnings, found.warnings
print([one.repo_id for one in found.repos])
try:
    hf_hub_download("org/other", "config.json")
except Exception as error:
    print(type(error).__name__)
"""


@pytest.mark.network
def test_the_hubs_client_finds_a_locked_repository_without_network(tmp_path: Path) -> None:
    place = tmp_path / "client"
    install = [find_uv(), "pip", "install", "--quiet", "--target", str(place), "huggingface_hub"]
    env = {**os.environ, **choose_index(Configuration.read()).variables}
    subprocess.run([*install, "--python", sys.executable], env=env, check=True, timeout=120)
    with model_hub() as hub:
        files = {"config.json": b"{}", "sub/config.json": b"{}", "model.safetensors": safetensors()}
        hub.add("org/tiny", files, large=("model.safetensors",))
        project = project_with(tmp_path, hub, 'bert = { hf = "org/tiny" }\n')
        project.cape("sync").succeeded()
    told = project.cape("run", "--", sys.executable, "-c", ASKING, str(place)).succeeded().stdout
    assert told.splitlines() == ["['org/tiny']", "LocalEntryNotFoundError"]
