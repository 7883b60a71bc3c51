"""POSIX shells (dash, busybox): entering in a running shell, and leaving as well as such a shell can.

Owns the script that `eval "$(cape activate)"` comes to under `sh`, and the start-up file of a shell inside.
A bash that is called `sh` takes bash's script. What no such shell can tell (the text of a function that is
there already) is not given back; which functions a profile makes is read from its text.
"""

from __future__ import annotations

import re
from pathlib import Path

from cape.environment.activation import Activation
from cape.environment.shells.functions import functions_of, names_of
from cape.environment.shells.hooks import posix_begin
from cape.environment.shells.operations import calls, prompt_prefix, pure_operations
from cape.environment.shells.quoting import quoted, quoted_value
from cape.environment.shells.secrets import posix_secrets

_WRITTEN = "# Written by cape when it sealed this generation: edits are lost.\n"
_STAYING = ("cape", "_cape_leave", "_cape_drop")
_KEPT = ("_cape_undoes", "_cape_all")
_FUNCTION = re.compile(r"^[ \t]*([A-Za-z_][A-Za-z0-9_]*)[ \t]*\([ \t]*\)", re.MULTILINE)


def render_posix(activation: Activation, scripts: Path) -> dict[str, str]:
    """The files of a generation that are POSIX shells', by name below `scripts`, where they will be."""
    return {
        "activate.sh": "\n".join(
            [
                _WRITTEN + "case ${BASH_VERSION-} in",
                f"4.[4-9]* | [5-9].*) \\. {quoted(str(scripts / 'activate.bash'))} ;;",
                "*)",
                *_entering(activation),
                ";;",
                "esac",
                "",
            ]
        ),
        "shrc": _shrc(scripts),
    }


def _entering(activation: Activation) -> list[str]:
    functions = functions_of("sh", with_profile=bool(_profiles(activation)))
    project = quoted(str(activation.project))
    return [
        f"case ${{_CAPE_DEPTH-}}:${{CAPE_PROJECT-}} in ?*:{project}) _cape_leave ;; esac",
        functions,
        "_cape_begin",
        "_cape_front",
        "case ${_cape_pure-} in ?*)",
        *calls(pure_operations(activation), quoted, quoted_value),
        ";; esac",
        *posix_secrets(activation),
        *calls(activation.operations, quoted, quoted_value),
        f"case ${{_cape_mode:-{activation.mode}}} in dev)",
        *calls(activation.development, quoted, quoted_value),
        ";; esac",
        "\\unset _cape_pure _cape_mode",
        f"_cape_prompt {quoted(prompt_prefix(activation.name))}",
        *posix_begin(activation),
        *_profile(activation),
        "_cape_end",
        *_finish(functions),
    ]


def _profiles(activation: Activation) -> list[str]:
    return [activation.profile[shell] for shell in ("common", "sh") if activation.profile.get(shell)]


def _profile(activation: Activation) -> list[str]:
    texts = _profiles(activation)
    if not texts:
        return []
    text = "\n".join(texts)
    return [
        *(f"_cape_function {name}" for name in dict.fromkeys(_FUNCTION.findall(text))),
        "_cape_look",
        f"case ${{_cape_failed-}} in '') \\eval {quoted(text)} ;; esac",
        "_cape_compare",
    ]


def _finish(functions: str) -> list[str]:
    """A failed hook or secret, which said so itself, leaves the shell as it was; status 1."""
    gone = " ".join(name for name in names_of(functions) if name not in _STAYING)
    variables = " ".join(
        sorted(set(re.findall(r"\b(_cape_[a-z]+)(?==)", functions)) - {"_cape_undoes", "_cape_all"})
    )
    return [
        f"\\unset -f {gone}",
        f"\\unset {variables}",
        "case $_cape_all in 1) \\unset _cape_all && \\set -a ;; *) \\unset _cape_all ;; esac",
        "case ${_cape_failed-} in",
        "'') ;;",
        "*)",
        "    \\unset _cape_failed",
        "    _cape_leave",
        "    \\command false",
        "    ;;",
        "esac",
    ]


def _shrc(scripts: Path) -> str:
    """The user's own `$ENV` file, then the activation."""
    return (
        _WRITTEN
        + f"""\
if [ -n "${{_cape_env+x}}" ]; then ENV=$_cape_env; else unset ENV; fi
unset _cape_env
if [ -n "${{ENV-}}" ] && [ -z "${{_cape_pure-}}" ]; then
    eval "_cape_rc=\\"$ENV\\""
    if [ -f "$_cape_rc" ]; then . "$_cape_rc"; fi
    unset _cape_rc
fi
\\. {quoted(str(scripts / "activate.sh"))}
"""
    )
