from __future__ import annotations

from pathlib import Path

import pytest

from tests.shells.random_nesting import KINDS, nest


@pytest.mark.network
@pytest.mark.parametrize("shell", KINDS)
def test_random_nesting_leaves_no_trace(shell: str, shells: dict[str, list[str]], tmp_path: Path) -> None:
    """`python -m tests.shells.random_nesting --rounds 1000` does the same for longer."""
    assert nest(shell, shells[shell], 12 if shell == "fish" else 30, 7, tmp_path / "rounds") == []
