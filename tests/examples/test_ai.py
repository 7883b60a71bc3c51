"""The example of an AI environment: a lock that answered its manifest, and each machine takes its own torch.

`ai.lock` was made from the example by `cape lock`; examples keep none, because archives forget.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from cape.accelerators import Accelerator
from cape.lock import Lock, check_freshness, read_lock, render_lock
from cape.manifest import read_manifest
from cape.operations.variants import fitting

EXAMPLE = Path(__file__).parents[2] / "examples" / "ai"
LOCK = Path(__file__).with_name("ai.lock")


@pytest.fixture(scope="module")
def lock() -> Lock:
    found = read_lock(LOCK)
    assert found is not None
    return found


def test_lock_answers_the_manifest(lock: Lock) -> None:
    manifest = read_manifest(EXAMPLE / "cape.toml")
    assert check_freshness(manifest, lock) == ()
    assert render_lock(lock) == LOCK.read_text()


@pytest.mark.parametrize(
    ("kind", "version", "torch", "runtime"),
    [
        ("cuda", "13.3", ("pypi", "torch"), "nvidia-cuda-runtime"),
        ("cuda", "12.4", ("pypi", "torch"), "nvidia-cuda-runtime-cu12"),
        ("cpu", None, ("debian", "python3-torch"), None),
    ],
)
def test_machine_takes_its_own_torch(
    lock: Lock, kind: str, version: str | None, torch: tuple[str, str], runtime: str | None
) -> None:
    machine = Accelerator(kind=kind, version=version, capability="8.0" if version else None, reason="a test")
    rows = {(row.source, row.name) for row in fitting(lock, accelerator=machine).packages}
    assert {one for one in rows if one[1] in ("torch", "python3-torch")} == {torch}
    found = {name for source, name in rows if source == "pypi" and name.startswith("nvidia-cuda-runtime")}
    assert found == ({runtime} if runtime else set())
    assert ("pypi", "transformers") in rows
