"""Adoption: what a project already says of its needs in other tools' files, in cape's words.

Owns reading those files (pip, conda, npm, apt, asdf, mise, Devbox, Flox, Docker) and what each name
means here. It asks no source, so it marks what only a source can confirm, and it runs nothing. What
cannot be put in cape's words is told with its place, never dropped in silence.
"""

from __future__ import annotations

from cape.adoption.finding import adopt
from cape.adoption.model import Adoption, Unmapped, Wish

__all__ = ["Adoption", "Unmapped", "Wish", "adopt"]
