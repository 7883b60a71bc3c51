"""Activations as texts for shells: the sealed script that the launcher sources, and each shell's own.

Owns quoting and the shells' ways of setting and giving back. Which operations there are comes in as an
`Activation`; no text of a manifest reaches a shell unquoted, but for hooks and profiles, which are code.
"""

from __future__ import annotations

from pathlib import Path

from cape.environment.activation import Activation
from cape.environment.shells.bash import render_bash, render_bashrc
from cape.environment.shells.fish import render_fish
from cape.environment.shells.posix import render_posix
from cape.environment.shells.sealed import render_run
from cape.environment.shells.zsh import render_zsh

__all__ = ["render_bash", "render_bashrc", "render_run", "render_shells"]


def render_shells(activation: Activation, scripts: Path) -> dict[str, str]:
    """The files of all shells by name, for the directory `scripts`, where they will be."""
    return {
        "activate.bash": render_bash(activation),
        "bashrc": render_bashrc(scripts / "activate.bash"),
        **render_zsh(activation, scripts),
        **render_fish(activation, scripts),
        **render_posix(activation, scripts),
    }
