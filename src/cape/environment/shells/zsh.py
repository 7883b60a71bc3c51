"""zsh: entering in a running shell, and leaving so that nothing is left; and the files of a shell inside.

Owns the scripts that `eval "$(cape activate)"` comes to. The first is read under whatever options and
aliases the user has, so it is little and plain; it has the second read under zsh's own options; a profile
is a file by itself, read as the user's own files are. Needs zsh 5.3.
"""

from __future__ import annotations

from pathlib import Path

from cape.environment.activation import Activation
from cape.environment.development import completion_directories
from cape.environment.shells.functions import functions_of, names_of
from cape.environment.shells.hooks import zsh_begin
from cape.environment.shells.operations import calls, prompt_prefix, pure_operations
from cape.environment.shells.quoting import quoted, quoted_value
from cape.environment.shells.secrets import bash_secrets

_WRITTEN = "# Written by cape when it sealed this generation: edits are lost.\n"
_STAYING = ("_cape_leave", "_cape_drop")


def render_zsh(activation: Activation, scripts: Path) -> dict[str, str]:
    """The files of a generation that are zsh's, by name below `scripts`, where they will be."""
    profile = _profile(activation)
    completions = " ".join(quoted(str(place)) for place in _completions(activation))
    return {
        "activate.zsh": _WRITTEN + "\n".join([*_steps(activation, scripts), ""]),
        "enter.zsh": _WRITTEN + "\n".join([*_entering(activation), ""]),
        **({"profile.zsh": "".join(f"{text}\n" for text in profile)} if profile else {}),
        "zsh/.zshenv": _zshenv(scripts),
        "zsh/.zshrc": _zshrc(scripts, completions, activation.mode),
    }


def _steps(activation: Activation, scripts: Path) -> list[str]:
    enter = f"\\builtin . {quoted(str(scripts / 'enter.zsh'))}"
    steps = [*_leaving_first(activation), _plainly(enter)]
    if _profile(activation):
        steps += [
            '_cape_was=("${(@kv)options[@]}")',
            _plainly("_cape_look"),
            f'\\builtin test -n "${{_cape_failed-}}" || \\builtin . {quoted(str(scripts / "profile.zsh"))}',
            '_cape_now=("${(@kv)options[@]}")',
            _plainly("_cape_compare"),
        ]
    return [*steps, _plainly("_cape_end"), _plainly("_cape_finish"), '\\builtin eval "${_cape_after-}"']


def _leaving_first(activation: Activation) -> list[str]:
    """A project that is entered again is left first, so that frames do not pile up."""
    inside = quoted(f"1:{activation.project}")
    return [
        f'if \\builtin test "${{+_CAPE_UNDO}}:${{CAPE_PROJECT-}}" = {inside}; then',
        "    \\builtin typeset -g _cape_after=",
        "    _cape_leave",
        '    \\builtin eval "$_cape_after"',
        "fi",
    ]


def _plainly(text: str) -> str:
    """The text run under zsh's own options, and not in a function."""
    return f"\\builtin emulate zsh -o no_aliases -c {quoted(text)}"


def _entering(activation: Activation) -> list[str]:
    functions = functions_of("zsh", with_profile=bool(_profile(activation)))
    return [
        functions,
        "_cape_begin",
        "_cape_front",
        "if [[ -n ${_cape_pure-} ]]; then :",
        *calls(pure_operations(activation), quoted, quoted_value),
        "fi",
        *bash_secrets(activation),
        *calls(activation.operations, quoted, quoted_value),
        f"if [[ ${{_cape_mode:-{activation.mode}}} == dev ]]; then :",
        *calls(activation.development, quoted, quoted_value),
        *(f"_cape_complete {quoted(str(place))}" for place in _completions(activation)),
        "fi",
        "builtin unset _cape_pure _cape_mode",
        f"_cape_prompt {quoted(prompt_prefix(activation.name))}",
        *zsh_begin(activation),
        *_finish(functions),
    ]


def _finish(functions: str) -> list[str]:
    """What comes last: a failed hook or secret, which said so itself, leaves the shell as it was.

    What is to be run then under the user's own options, and gives status 1, is left in `_cape_after`.
    """
    ours = [name for name in names_of(functions) if name not in _STAYING]
    return [
        "_cape_finish() {",
        "    builtin emulate -L zsh -o no_aliases",
        "    local _cape_status=${_cape_failed-0}",
        f"    builtin unset -f {' '.join(ours)} _cape_finish",
        "    builtin unset _cape_failed _cape_after",
        "    (( _cape_status )) || return 0",
        "    typeset -g _cape_after=",
        "    _cape_leave",
        "    _cape_after+=$'builtin unset _cape_after\\nbuiltin false'",
        "}",
    ]


def _profile(activation: Activation) -> list[str]:
    return [activation.profile[shell] for shell in ("common", "zsh") if activation.profile.get(shell)]


def _completions(activation: Activation) -> tuple[Path, ...]:
    return completion_directories(activation.environment, "zsh")


def _zshenv(scripts: Path) -> str:
    """The user's own `.zshenv`, with his ZDOTDIR, which then makes way once more for our `.zshrc`."""
    return (
        _WRITTEN
        + f"""\
if [[ -n ${{_cape_zdotdir+x}} ]]; then
    ZDOTDIR=$_cape_zdotdir
else
    unset ZDOTDIR
fi
unset _cape_zdotdir
if [[ -z ${{_cape_pure-}} && -f ${{ZDOTDIR-$HOME}}/.zshenv ]]; then . "${{ZDOTDIR-$HOME}}/.zshenv"; fi
if [[ -n ${{ZDOTDIR+x}} ]]; then
    _cape_zdotdir=$ZDOTDIR
    typeset +x _cape_zdotdir
    [[ ${{(t)ZDOTDIR}} != *export* ]] || _cape_zdotdir_exported=1
fi
export ZDOTDIR={quoted(str(scripts / "zsh"))}
"""
    )


def _zshrc(scripts: Path, completions: str, mode: str) -> str:
    """The user's own `.zshrc`, then the activation."""
    own = quoted(str(scripts / "zsh/.zsh_history"))
    return (
        _WRITTEN
        + f"""\
unset ZDOTDIR
if [[ -n ${{_cape_zdotdir+x}} ]]; then ZDOTDIR=$_cape_zdotdir; fi
if [[ -n ${{_cape_zdotdir_exported-}} ]]; then export ZDOTDIR; fi
unset _cape_zdotdir _cape_zdotdir_exported
if [[ ${{HISTFILE-}} == {own} ]]; then HISTFILE=${{ZDOTDIR-$HOME}}/.zsh_history; fi
if [[ ${{_cape_mode:-{mode}}} == dev ]]; then fpath=({completions} $fpath); fi
if [[ -z ${{_cape_pure-}} && -f ${{ZDOTDIR-$HOME}}/.zshrc ]]; then . "${{ZDOTDIR-$HOME}}/.zshrc"; fi
\\builtin . {quoted(str(scripts / "activate.zsh"))}
"""
    )
