"""Transfers from registries: many at a time, resumed, retried, verified.

Owns connections, retries and resuming. It knows URLs and digests, and neither packages nor sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cape.names import Digest
from cape.sources.protocol import NO_PROGRESS, ArtifactLookup, Progress


@dataclass(frozen=True, kw_only=True, slots=True)
class Download:
    """One artifact to bring: what it must be, what to call it in messages, and where it may be had."""

    digest: Digest
    size_bytes: int
    name: str
    urls: tuple[str, ...]


def download_all(
    downloads: Sequence[Download],
    artifacts: ArtifactLookup,
    *,
    connections: int = 6,
    progress: Progress = NO_PROGRESS,
) -> None:
    """Bring every artifact that `artifacts` does not have."""
    raise NotImplementedError


def fetch_bytes(url: str, *, limit_bytes: int = 256 << 20) -> bytes:
    """The whole answer to a GET of an index, with retries."""
    raise NotImplementedError
