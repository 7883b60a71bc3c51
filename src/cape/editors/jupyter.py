"""Jupyter: the kernel of an environment."""

from __future__ import annotations

import json


def kernel_text(python: str, name: str) -> str:
    """The text of `kernel.json` for an interpreter; signals reach the kernel itself."""
    kernel = {
        "argv": [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": f"{name} (cape)",
        "language": "python",
        "interrupt_mode": "signal",
        "metadata": {"debugger": True},
    }
    return json.dumps(kernel, indent=1, ensure_ascii=False) + "\n"
