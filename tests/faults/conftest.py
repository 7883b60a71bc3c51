"""The worlds of the end-to-end tests, for these too."""

from __future__ import annotations

from tests.end_to_end.conftest import stocked as stocked
from tests.end_to_end.conftest import synced as synced
from tests.end_to_end.conftest import world as world
