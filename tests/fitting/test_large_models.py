"""Locked models that memory does not hold are told of before they are downloaded."""

from __future__ import annotations

import logging

import pytest

from cape.lock import Lock
from cape.names import Digest, System
from cape.operations.large_models import large_models, warn_of_large_models
from cape.sources.protocol import Artifact, LockedPackage

HERE = System.current()


def lock_of(*sizes: int) -> Lock:
    """A lock with one model, in files of these sizes."""
    rows = tuple(
        LockedPackage(
            source="model",
            name=f"org/name/{at}.safetensors",
            version="1",
            systems=(HERE,),
            artifact=Artifact(
                digest=Digest.of(b"%d" % at), size_bytes=size, registry="hub", location=f"{at}"
            ),
            placement="writer",
            attributes={"file": f"{at}.safetensors", "file-size": str(size)},
        )
        for at, size in enumerate(sizes)
    )
    return Lock(systems=(HERE,), packages=rows)


def test_a_models_files_are_summed_and_compared_with_memory() -> None:
    (said,) = large_models(lock_of(6 << 30, 6 << 30), HERE, memory_bytes=8 << 30)
    assert said.startswith("the weights of `writer` are 12.9 GB, and 8.6 GB of memory are free")
    assert "`cape fit writer`" in said
    assert large_models(lock_of(6 << 30), HERE, memory_bytes=8 << 30) == ()


def test_what_is_here_already_is_not_told_of(caplog: pytest.LogCaptureFixture) -> None:
    lock = lock_of(1 << 60)
    with caplog.at_level(logging.WARNING):
        warn_of_large_models(lock, lambda digest: True)
        assert caplog.messages == []
        warn_of_large_models(lock, lambda digest: False)
    assert "the weights of `writer`" in caplog.messages[0]
