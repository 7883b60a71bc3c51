"""Activations as texts for shells: the sealed script that the launcher sources, and bash's.

Owns quoting and the shells' ways of setting and giving back. Which operations there are comes in as an
`Activation`; no text of a manifest reaches a shell unquoted, but for hooks and profiles, which are code.
"""

from __future__ import annotations

from cape.environment.shells.bash import render_bash, render_bashrc
from cape.environment.shells.sealed import IN_HOOK, render_run, render_service

__all__ = ["IN_HOOK", "render_bash", "render_bashrc", "render_run", "render_service"]
