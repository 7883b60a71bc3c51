"""Editors: what their files must say so that they work inside an environment.

Owns the texts of VS Code's settings, of PyCharm's project files and of a Jupyter kernel, and how each is
merged into what a user has there already, or taken out again. From text to text: it reads and writes no file,
and knows nothing of manifests or generations.
"""

from __future__ import annotations

from cape.editors.jsonc import BadSettings, edit_members, members_of
from cape.editors.jupyter import kernel_text
from cape.editors.pycharm import EMPTY, BadProjectFile, with_interpreter, without_interpreter
from cape.editors.vscode import settings_of

__all__ = [
    "EMPTY",
    "BadProjectFile",
    "BadSettings",
    "edit_members",
    "kernel_text",
    "members_of",
    "settings_of",
    "with_interpreter",
    "without_interpreter",
]
