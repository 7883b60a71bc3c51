from __future__ import annotations

import pytest

from tests.shells.programs import shell_programs


@pytest.fixture(scope="session")
def shells(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Each shell's words by its name; the first use makes an environment with them."""
    return shell_programs(tmp_path_factory.mktemp("shells"))
