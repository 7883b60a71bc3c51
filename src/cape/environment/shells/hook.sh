# The hook of cape for POSIX shells (dash, busybox): `eval "$(cape hook sh)"` in the file that `$ENV` names. Such a
# shell has nothing that runs at each prompt, so `cd` looks, and the start; what changes meanwhile is seen
# at the next `cd`. Projects that were allowed are entered. All names begin with `_cape_` or `_CAPE_`.

_cape_hook_sealed() { # PROJECT: whether shells may read its scripts, and they are those that were allowed
    _cape_h_n=0 _cape_h_record=$_CAPE_CONSENT$1
    \command test -f "$_cape_h_record/.cape-allowed" || \return 1
    while IFS= \read -r _cape_h_file; do
        \command test -e "$_cape_h_file" || \return 1
        ! \command test "$_cape_h_file" -nt "$_cape_h_record/.cape-stamp.$_cape_h_n" || \return 1
        ! \command test "$_cape_h_file" -ot "$_cape_h_record/.cape-stamp.$_cape_h_n" || \return 1
        _cape_h_n=$((_cape_h_n + 1))
    done <"$_cape_h_record/.cape-allowed"
    case $_cape_h_n in 0) \return 1 ;; esac
}

_cape_hook_above() { # projects above here, the outermost first, into `_cape_h_above`: each with a `/` before and a line after
    _cape_h_at=$(\command pwd -P 2>/dev/null) || _cape_h_at=$PWD
    case $_cape_h_at in /) _cape_h_at= ;; esac
    _cape_h_above=
    while :; do
        if \command test -f "$_cape_h_at/cape.toml"; then
            _cape_h_above="${_cape_h_at:-/}$_CAPE_LINE$_cape_h_above"
        fi
        case $_cape_h_at in '') \break ;; esac
        _cape_h_at=${_cape_h_at%/*}
    done
}

_cape_hook_text() { # PROJECT: the text that enters it, into `_cape_h_text`, without asking Python
    _cape_h_text=
    _cape_hook_sealed "$1" || \return 1
    _cape_h_text=$(/bin/sh -c 'cape_mode=print cape_shell=sh cape_level= cape_pure= cape_project=$1
        . "$1/.cape/current/run.sh"' cape "$1" </dev/null 2>/dev/null)
    case $_cape_h_text in '') \return 1 ;; esac
}

# The projects that were entered are lines of `_CAPE_IN`, the innermost last, each with the number of
# activations after it: `LEVEL PROJECT`. Those that were left by hand are lines of `_CAPE_OFF`.

_cape_hook_has() { # LINES WORD
    case $_CAPE_LINE$1 in *"$_CAPE_LINE$2$_CAPE_LINE"*) \return 0 ;; esac
    \return 1
}

_cape_hook_last() { # the last line of `_CAPE_IN`, into `_cape_h_level` and `_cape_h_project`; 1: there is none
    case $_CAPE_IN in '') \return 1 ;; esac
    _cape_h_rest=${_CAPE_IN%"$_CAPE_LINE"}
    _cape_h_last=${_cape_h_rest##*"$_CAPE_LINE"}
    _cape_h_level=${_cape_h_last%% *} _cape_h_project=${_cape_h_last#* }
}

_cape_hook_left() {
    _CAPE_IN=${_CAPE_IN%"$_cape_h_last$_CAPE_LINE"}
}

_cape_hook_moved() {
    _cape_hook_above
    while _cape_hook_last; do
        if \command test "${_CAPE_DEPTH:-0}" -lt "$_cape_h_level"; then
            _CAPE_OFF=$_CAPE_OFF$_cape_h_project$_CAPE_LINE
            _cape_hook_left
        elif _cape_hook_has "$_cape_h_above" "$_cape_h_project"; then
            \break
        else
            # What was entered by hand on top of it stays until it is left by hand.
            \command test "${_CAPE_DEPTH:-0}" -eq "$_cape_h_level" || \return 0
            _cape_hook_left
            cape deactivate
        fi
    done
    _cape_h_off=$_CAPE_OFF _CAPE_OFF=
    while :; do
        case $_cape_h_off in '') \break ;; esac
        _cape_h_project=${_cape_h_off%%"$_CAPE_LINE"*} _cape_h_off=${_cape_h_off#*"$_CAPE_LINE"}
        if _cape_hook_has "$_cape_h_above" "$_cape_h_project"; then
            _CAPE_OFF=$_CAPE_OFF$_cape_h_project$_CAPE_LINE
        fi
    done
    _cape_h_todo=$_cape_h_above
    while :; do
        case $_cape_h_todo in '') \break ;; esac
        _cape_h_project=${_cape_h_todo%%"$_CAPE_LINE"*} _cape_h_todo=${_cape_h_todo#*"$_CAPE_LINE"}
        if _cape_hook_by_hand "$_cape_h_project" && ! _cape_hook_has "$_CAPE_OFF" "$_cape_h_project"; then
            _cape_hook_is_in "$_cape_h_project" || _CAPE_OFF=$_CAPE_OFF$_cape_h_project$_CAPE_LINE
        fi
        if _cape_hook_is_in "$_cape_h_project" ||
            _cape_hook_has "$_CAPE_OFF" "$_cape_h_project" ||
            \command test -e "$_CAPE_CONSENT$_cape_h_project/.cape-denied"; then
            \continue
        fi
        if _cape_hook_text "$_cape_h_project"; then
            _cape_hook_enter "$_cape_h_project" "$_cape_h_text"
        else
            _cape_hook_ask
            \break
        fi
    done
}

_cape_hook_by_hand() { # PROJECT: who entered by hand, perhaps in another mode, is inside already
    \command test "$1" = "${CAPE_PROJECT-}" || \return 1
    _cape_h_top=0
    ! _cape_hook_last_level || _cape_h_top=$_cape_h_level
    \command test "${_CAPE_DEPTH:-0}" -gt "$_cape_h_top"
}

_cape_hook_last_level() { # the level of the last line of `_CAPE_IN`, into `_cape_h_level`
    case $_CAPE_IN in '') \return 1 ;; esac
    _cape_h_rest=${_CAPE_IN%"$_CAPE_LINE"}
    _cape_h_level=${_cape_h_rest##*"$_CAPE_LINE"}
    _cape_h_level=${_cape_h_level%% *}
}

_cape_hook_is_in() { # PROJECT
    case $_CAPE_IN in *" $1$_CAPE_LINE"*) \return 0 ;; esac
    \return 1
}

_cape_hook_ask() { # Python looks at all projects above, asks, and says the whole plan
    \set --
    _cape_h_off=$_CAPE_OFF
    while :; do
        case $_cape_h_off in '') \break ;; esac
        \set -- "$@" --skip "${_cape_h_off%%"$_CAPE_LINE"*}"
        _cape_h_off=${_cape_h_off#*"$_CAPE_LINE"}
    done
    # It says `set -- PROJECT TEXT ...`.
    \eval "$(\command "$_CAPE_PROGRAM" hook sh --at "$PWD" "$@")"
    while :; do
        case $# in 0 | 1) \break ;; esac
        _cape_hook_is_in "$1" || _cape_hook_enter "$1" "$2"
        \shift 2
    done
    # What is left out is asked for again after the directory was left; what was entered by hand stays.
    _cape_h_todo=$_cape_h_above
    while :; do
        case $_cape_h_todo in '') \break ;; esac
        _cape_h_project=${_cape_h_todo%%"$_CAPE_LINE"*} _cape_h_todo=${_cape_h_todo#*"$_CAPE_LINE"}
        if _cape_hook_is_in "$_cape_h_project" || _cape_hook_has "$_CAPE_OFF" "$_cape_h_project"; then
            \continue
        fi
        _CAPE_OFF=$_CAPE_OFF$_cape_h_project$_CAPE_LINE
    done
}

_cape_hook_enter() { # PROJECT TEXT
    _CAPE_BEFORE=${_CAPE_DEPTH:-0}
    \eval "$2"
    if \command test "${_CAPE_DEPTH:-0}" -gt "$_CAPE_BEFORE"; then
        _CAPE_IN="$_CAPE_IN$_CAPE_DEPTH $1$_CAPE_LINE"
    else
        # A hook or secret failed, and said so: once is enough.
        _CAPE_OFF=$_CAPE_OFF$1$_CAPE_LINE
    fi
}

case $- in
*i*)
    _CAPE_PROGRAM=@PROGRAM@ _CAPE_CONSENT=@CONSENT@ _CAPE_IN=${_CAPE_IN-} _CAPE_OFF=${_CAPE_OFF-}
    _CAPE_LINE='
'
    cd() {
        \command cd "$@" || \return
        _cape_hook_moved
    }
    _cape_hook_moved
    ;;
esac
