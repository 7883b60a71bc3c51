"""`cape activate`: which shell somebody is in, and how one of its kind is started inside.

Owns the part of the sealed script that prints the line to evaluate, starts an interactive shell, or hands
a text to a shell. The user's own start-up files are read first, and the activation after them; a pure
shell reads none of them, since they lead back to the machine. Starts no process but the shell.
"""

from __future__ import annotations

from pathlib import Path

from cape.environment.activation import LEADING_TO_THE_HOST, Activation, pure_path
from cape.environment.attachments import directory_of
from cape.environment.shells.attaching import MANY, SH_BORN, SH_PRUNE
from cape.environment.shells.quoting import fish_quoted, quoted

_WHICH = """\
cape_kind() { # NAME: what kind of shell a program of that name is
    case $1 in
    bash | zsh | fish) cape_shell=$1 ;;
    sh | dash | ash | busybox) cape_shell=sh ;;
    *) return 1 ;;
    esac
    cape_program=$1
}
cape_which() { # the shell that was asked for, else the one that cape was started from, else $SHELL, else bash
    cape_asked=$cape_shell cape_parent=
    if [ -r "/proc/$PPID/comm" ]; then
        IFS= read -r cape_parent <"/proc/$PPID/comm" || :
    elif [ ! -e /proc/self ]; then
        cape_parent=$(ps -o comm= -p "$PPID")
        cape_parent=${cape_parent##*/}
        cape_parent=${cape_parent#-}
    fi
    cape_kind "$cape_parent" || cape_kind "${SHELL##*/}" || cape_kind bash
    case $cape_asked in
    '' | "$cape_shell") ;;
    *) cape_kind "$cape_asked" || return 1 ;;
    esac
}
cape_start() { # ARGUMENT ...: become that shell, wherever it is
    [ "$cape_program" != busybox ] || set -- sh "$@"
    if [ "${SHELL##*/}" = "$cape_program" ] && [ -x "$SHELL" ]; then
        set -- "$SHELL" "$@"
    else
        cape_found=$(command -v "$cape_program") || cape_found=$cape_inside/$cape_program
        [ -x "$cape_found" ] || {
            printf 'error: the shell `%s` is not on PATH\\n' "$cape_program" >&2
            exit 127
        }
        set -- "$cape_found" "$@"
    fi
    # Start-up files put themselves in front of environments that are active already: see `_cape_front`.
    [ -z "${CAPE_ENV-}" ] || export _cape_path="$PATH"
    [ -z "$cape_level" ] || export _cape_mode="$cape_level"
    [ -z "$cape_pure" ] || {
        export _cape_pure=1
        unset @LEADING@
        export PATH=@PURE@
    }
    # A pure shell loses `ENV` with the rest, but for our own.
    [ -z "${cape_rc-}" ] || export ENV="$cape_rc"
    exec "$@"
}
"""


def starting(activation: Activation, scripts: Path) -> str:
    """What the sealed script does with the modes `print`, `enter` and `string`."""
    which = _WHICH.replace("@LEADING@", " ".join(LEADING_TO_THE_HOST)).replace(
        "@PURE@", quoted(":".join(pure_path(activation.environment)))
    )
    inside = quoted(str(activation.environment / "root/usr/bin"))
    return (
        "case $cape_mode in\nprint | enter | string)\n"
        + which
        + f"cape_inside={inside}\ncape_which || return 0\n"
        + _pruning(activation)
        + f"case $cape_mode:$cape_shell in\n{_printing(scripts)}{_entering(scripts)}{_strings(scripts)}"
        + "esac\n;;\nesac"
    )


def _pruning(activation: Activation) -> str:
    """Shells that enter in place do it with builtins: who prints them the line takes stale entries away."""
    here = quoted(str(directory_of(activation.project)))
    prune = f"{SH_BORN}{SH_PRUNE}cape_prune {here}/*"
    return f"case $cape_mode in print)\nset -- {here}/*\n[ $# -le {MANY} ] || {{\n{prune}\n}}\n;; esac\n"


def _printing(scripts: Path) -> str:
    """The line for `eval`; fish's has its own way to set what the script is to know."""
    lines = [
        f"""\
print:fish)
    [ -z "$cape_level" ] || printf 'set -g _cape_mode %s\\n' "$cape_level"
    [ -z "$cape_pure" ] || printf 'set -g _cape_pure 1\\n'
    printf '%s\\n' {quoted(_source(scripts, "fish"))}
    exit 0
    ;;
"""
    ]
    lines += [
        f"""\
print:{shell})
    [ -z "$cape_level" ] || printf '_cape_mode=%s; ' "$cape_level"
    [ -z "$cape_pure" ] || printf '_cape_pure=1; '
    printf '%s\\n' {quoted(_source(scripts, shell))}
    exit 0
    ;;
"""
        for shell in ("bash", "zsh", "sh")
    ]
    return "".join(lines)


def _source(scripts: Path, shell: str) -> str:
    """The command of a shell that enters the environment in place."""
    script = str(scripts / f"activate.{shell}")
    return f"builtin source {fish_quoted(script)}" if shell == "fish" else f"\\. {quoted(script)}"


def _entering(scripts: Path) -> str:
    fish = quoted(_source(scripts, "fish"))
    return f"""\
enter:bash)
    cape_start --rcfile {quoted(str(scripts / "bashrc"))} -i
    ;;
enter:zsh)
    [ -z "${{ZDOTDIR+x}}" ] || export _cape_zdotdir="$ZDOTDIR"
    export ZDOTDIR={quoted(str(scripts / "zsh"))}
    [ -z "$cape_pure" ] || cape_start -d -i
    cape_start -i
    ;;
enter:fish)
    [ -z "$cape_pure" ] || cape_start --no-config --init-command {fish} -i
    cape_start --init-command {fish} -i
    ;;
enter:sh)
    [ -z "${{ENV+x}}" ] || export _cape_env="$ENV"
    cape_rc={quoted(str(scripts / "shrc"))}
    cape_start -i
    ;;
"""


def _strings(scripts: Path) -> str:
    """A text through the shell: if the activation fails, it is not run."""
    fish = quoted(_source(scripts, "fish") + " || exit 1")
    cases = [
        f"""\
string:fish)
    [ -z "$cape_pure" ] || cape_start --no-config --init-command {fish} -c "$1"
    cape_start --init-command {fish} -c "$1"
    ;;
"""
    ]
    cases += [
        f"""\
string:{shell})
    cape_start -c {quoted(_source(scripts, shell) + " || exit 1")}"
$1"
    ;;
"""
        for shell in ("bash", "zsh", "sh")
    ]
    return "".join(cases)
