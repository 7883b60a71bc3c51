"""Texts by which shells say that they are inside: builtins alone, no process.

What an entry is, and who is inside, is `attachments`'.
"""

from __future__ import annotations

from pathlib import Path

from cape.environment.attachments import directory_of
from cape.environment.shells.quoting import quoted

MANY = 64
"""With more entries than this, a command takes away those that are stale."""

SH_BORN = """\
cape_born() { # PID: the time at which that living process was started, into `cape_time`
    cape_time=
    { IFS= read -r cape_stat </proc/"$1"/stat; } 2>/dev/null || return 1
    set -- ${cape_stat##*) }
    case $1 in Z | X) return 1 ;; esac
    shift 19
    cape_time=$1
}
"""
"""A function of POSIX sh, under its own word splitting, that starts no process."""

SH_PRUNE = """\
cape_prune() { # ENTRY ...: take away those whose process is gone
    for cape_entry; do
        shift
        { IFS= read -r cape_when <"$cape_entry"; } 2>/dev/null || cape_when=
        # One that is empty is being written at this moment, if its process lives.
        cape_born "${cape_entry##*/}" && [ "$cape_time" = "${cape_when:-$cape_time}" ] ||
            set -- "$@" "$cape_entry"
    done
    [ $# -eq 0 ] || PATH=/usr/bin:/bin command rm -f -- "$@"
}
"""


def sh_attach(project: Path, key: str, *, pid: str = "$$", how: str = "run") -> str:
    """Commands of POSIX sh that attach a process, this one if no other is named; they start no process."""
    here = quoted(str(directory_of(project)))
    return (
        SH_BORN
        + SH_PRUNE
        + f"""\
cape_attach() {{
    cape_born {pid} || return 0
    {{ printf '%s\\n%s\\n' "$cape_time" {quoted(f"{key} - {how}")} >|{here}/{pid}; }} 2>/dev/null || return 0
    set -- {here}/*
    [ $# -le {MANY} ] || cape_prune "$@"
}}
cape_attach"""
    )


BASH_ATTACH = r"""_cape_attach() { # DIRECTORY KEY: builtins alone
    local -
    \builtin set +euC
    \builtin set -f
    local IFS=' ' _cape_stat
    local -a _cape_fields
    { IFS= \builtin read -r _cape_stat </proc/$BASHPID/stat; } 2>/dev/null || \builtin return 0
    # A here string would be read byte by byte.
    _cape_fields=(${_cape_stat##*) })
    { \builtin printf '%s\n%s\n' "${_cape_fields[19]-}" "$2 - bash" >"$1/$BASHPID"; } 2>/dev/null
    _cape_undo="if [[ \$BASHPID == $BASHPID && -w ${1@Q}/$BASHPID ]]; then
    \\builtin printf '' >|${1@Q}/$BASHPID
fi
$_cape_undo"
}"""
"""A function of bash that attaches the running shell, and empties the entry when it leaves: no process.

A subshell that leaves does not take its parent away.
"""

ZSH_ATTACH = r"""_cape_attach() { # DIRECTORY KEY: builtins alone
    builtin emulate -L zsh -o no_aliases
    local _cape_stat
    local -a _cape_fields
    { IFS= builtin read -r _cape_stat </proc/$$/stat } 2>/dev/null || return 0
    _cape_fields=(${=_cape_stat##*\) })
    { builtin print -rl -- "$_cape_fields[20]" "$2 - zsh" >|$1/$$ } 2>/dev/null
    _cape_undo="if (( ! ZSH_SUBSHELL )) && [[ -w ${(qqqq)1}/$$ ]]; then
    builtin printf '' >|${(qqqq)1}/$$
fi
$_cape_undo"
}"""
"""The same for zsh."""

FISH_DETACH = (
    '"builtin test ! -w "(builtin string escape -- {0})"/$fish_pid || builtin printf \'\' >"'
    '(builtin string escape -- {0})"/$fish_pid"'
)
"""The words of fish that say how the shell leaves; `{0}` is the directory."""

FISH_ATTACH = r"""function _cape_attach # DIRECTORY KEY: builtins alone
    builtin test -r /proc/$fish_pid/stat && builtin test -w $argv[1] || return 0
    builtin read -l _cape_stat </proc/$fish_pid/stat
    builtin set _cape_stat (builtin string replace -r '^.*\) ' '' -- $_cape_stat)
    builtin set -l _cape_fields (builtin string split ' ' -- $_cape_stat)
    builtin printf '%s\n' $_cape_fields[20] "$argv[2] - fish" >$argv[1]/$fish_pid 2>/dev/null
    _cape_undoing @DETACH@
end""".replace("@DETACH@", FISH_DETACH.format("$argv[1]"))
"""The same for fish."""
