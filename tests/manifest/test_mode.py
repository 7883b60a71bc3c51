"""`mode` of `[environment]`: read, refused, and the project's own alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from cape.manifest import parse_manifest
from cape.manifest.errors import ManifestError

HEAD = 'schema = 1\n[environment]\nsystems = ["x86_64-linux"]\n'


def test_mode_is_run_where_nothing_is_said() -> None:
    assert parse_manifest(HEAD, path=Path("cape.toml")).mode == "run"
    assert parse_manifest(HEAD + 'mode = "dev"\n', path=Path("cape.toml")).mode == "dev"


def test_unknown_mode_is_refused_with_its_place() -> None:
    with pytest.raises(ManifestError, match="`devel` is no mode") as caught:
        parse_manifest(HEAD + 'mode = "devel"\n', path=Path("cape.toml"))
    assert "cape.toml:4" in str(caught.value.where)
