"""fish: entering in a running shell, and leaving so that nothing is left.

Owns the scripts that `cape activate | source` comes to. fish has its own quotes and its own words for
variables, so its functions are in `enter.fish`; a profile is a file by itself. Needs fish 3.4.
"""

from __future__ import annotations

import re
from pathlib import Path

from cape.environment.activation import Activation
from cape.environment.development import completion_directories
from cape.environment.shells.functions import functions_of, names_of
from cape.environment.shells.hooks import fish_begin
from cape.environment.shells.operations import calls, prompt_prefix, pure_operations
from cape.environment.shells.quoting import fish_quoted, fish_value
from cape.environment.shells.secrets import fish_secrets

_WRITTEN = "# Written by cape when it sealed this generation: edits are lost.\n"
_STAYING = ("cape", "_cape_leave", "_cape_drop", "_cape_give")


def render_fish(activation: Activation, scripts: Path) -> dict[str, str]:
    """The files of a generation that are fish's, by name below `scripts`, where they will be."""
    profile = [activation.profile[shell] for shell in ("fish",) if activation.profile.get(shell)]
    completions = completion_directories(activation.environment, "fish")
    functions = functions_of("fish", with_profile=bool(profile))
    texts = {
        "activate.fish": _WRITTEN
        + "\n".join(
            [
                *_leaving_first(activation),
                functions,
                "_cape_begin",
                "_cape_front",
                "if builtin set -q _cape_pure",
                *calls(pure_operations(activation), fish_quoted, fish_value),
                "end",
                *fish_secrets(activation),
                *calls(activation.operations, fish_quoted, fish_value),
                f"builtin set -q _cape_mode || builtin set -g _cape_mode {activation.mode}",
                'if builtin test "$_cape_mode" = dev',
                *calls(activation.development, fish_quoted, fish_value),
                *(f"_cape_complete {fish_quoted(str(place))}" for place in completions),
                "end",
                "builtin set -e _cape_pure",
                "builtin set -e _cape_mode",
                f"_cape_prompt {fish_quoted(prompt_prefix(activation.name))}",
                *fish_begin(activation),
                *_profile(profile, scripts),
                "_cape_end",
                *_finish(functions),
                "",
            ]
        )
    }
    if profile:
        texts["profile.fish"] = "".join(f"{text}\n" for text in profile)
    return texts


def _leaving_first(activation: Activation) -> list[str]:
    """A project that is entered again is left first, so that frames do not pile up."""
    project = fish_quoted(str(activation.project))
    return [f'builtin set -qg _CAPE_UNDO[1] && builtin test "$CAPE_PROJECT" = {project} && _cape_leave']


def _profile(texts: list[str], scripts: Path) -> list[str]:
    """The profile, and around it a look at the shell, also at those of fish's functions that it names."""
    if not texts:
        return []
    words = sorted(set(re.findall(r"[A-Za-z_][\w.-]*", "\n".join(texts))))
    return [
        f"builtin set -g _cape_words {' '.join(map(fish_quoted, words))}",
        "_cape_look $_cape_words",
        f"builtin set -q _cape_failed || builtin source {fish_quoted(str(scripts / 'profile.fish'))}",
        "_cape_compare $_cape_words",
        "builtin set -eg _cape_words",
    ]


def _finish(functions: str) -> list[str]:
    """A failed hook or secret, which said so itself, leaves the shell as it was; status 1."""
    gone = " ".join(name for name in names_of(functions) if name not in _STAYING)
    return [
        f"builtin functions --erase {gone}",
        "if builtin set -q _cape_failed",
        "    builtin set -eg _cape_failed",
        "    _cape_leave",
        "    builtin false",
        "end",
    ]
