"""Prompt hooks: what start-up files evaluate so that a shell enters and leaves with its directory.

Owns the texts `hook.NAME`, which decide with builtins alone while nothing changed, and the words by which
Python answers them. What may be entered is `environment.consent`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cape.environment.consent import consent_home
from cape.environment.shells.quoting import fish_quoted, quoted


def render_hook(shell: str, program: str) -> str:
    """The hook of a shell, for its start-up file; `program` is the `cape` that it asks."""
    quote = fish_quoted if shell == "fish" else quoted
    text = (Path(__file__).parent / f"hook.{shell}").read_text(encoding="utf-8")
    return text.replace("@PROGRAM@", quote(program)).replace("@CONSENT@", quote(str(consent_home())))


def render_places(shell: str, places: Sequence[tuple[Path, str]]) -> str:
    """What a hook evaluates: projects to be inside, the outermost first, each with the text that enters."""
    if shell == "fish":
        words = " ".join(f"{fish_quoted(str(project))} {fish_quoted(text)}" for project, text in places)
        return f"builtin set _cape_plan {words}\n"
    words = " ".join(f"{quoted(str(project))} {quoted(text)}" for project, text in places)
    return f"set -- {words}\n" if shell == "sh" else f"_cape_plan=({words})\n"
