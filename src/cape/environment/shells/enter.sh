# The part of every activation of a POSIX shell that is the same: how variables change, and how they change
# back. Each step puts its undoing in front of `_cape_undo`; `_cape_end` keeps that text as a numbered
# variable, and `cape deactivate` runs the last. Written for dash and busybox: no arrays, no `local`, no
# options taken for granted; `case` instead of `[`, which may be a function. One fork asks what is exported.
# All names begin with `_cape_`; only `cape`, `_cape_leave`, `_cape_drop` and `_CAPE_*` stay.

_cape_quote() { # TEXT: as one word, into `_cape_word`
    _cape_word= _cape_rest=$1
    while :; do
        case $_cape_rest in
        *\'*)
            _cape_word="$_cape_word${_cape_rest%%\'*}'\\''"
            _cape_rest=${_cape_rest#*\'}
            ;;
        *) \break ;;
        esac
    done
    _cape_word="'$_cape_word$_cape_rest'"
}

_cape_is() { # NAME LIST: whether `export -p` or `readonly -p` said that name
    case $2 in
    *"$_cape_newline$_cape_kind $1="* | *"$_cape_newline$_cape_kind $1$_cape_newline"*) \return 0 ;;
    esac
    \return 1
}

_cape_text() { # NAME: the commands that give the variable its present state, into `_cape_said`
    \eval "_cape_value=\${$1-} _cape_have=\${$1+x}"
    _cape_said="\\unset $1"
    case $_cape_have in
    x)
        _cape_quote "$_cape_value"
        _cape_said="$_cape_said$_cape_newline$1=$_cape_word"
        ;;
    esac
    _cape_kind=export
    if _cape_is "$1" "$_cape_exported"; then
        _cape_said="$_cape_said$_cape_newline\\export $1"
    fi
}

_cape_undoing() { # TEXT: put it in front
    _cape_undo="$1$_cape_newline$_cape_undo"
}

_cape_may() { # NAME: whether it can be changed
    _cape_kind=readonly
    if _cape_is "$1" "$_cape_fixed"; then
        \command printf 'cape: `%s` is read-only in this shell and stays as it is\n' "$1" >&2
        \return 1
    fi
}

_cape_had() { # NAME FILE ...: whether the variable is set, or one of the files is there
    \eval "_cape_have=\${$1+x}"
    case $_cape_have in x) \return 0 ;; esac
    \shift
    for _cape_file in "$@"; do
        if \command test -e "$_cape_file"; then \return 0; fi
    done
    \return 1
}

_cape_set() { # NAME VALUE
    if _cape_may "$1"; then
        _cape_text "$1"
        _cape_undoing "$_cape_said"
        \unset "$1"
        \eval "$1=\$2"
        \export "$1"
    fi
}

_cape_unset() { # NAME
    \eval "_cape_have=\${$1+x}"
    _cape_kind=export
    if _cape_is "$1" "$_cape_exported"; then _cape_have=x; fi
    case $_cape_have in '') \return 0 ;; esac
    if _cape_may "$1"; then
        _cape_text "$1"
        _cape_undoing "$_cape_said"
        \unset "$1"
    fi
}

_cape_prepend() { # NAME VALUE SEPARATOR [BEFORE-NOTHING]
    \eval "_cape_old=\${$1-}"
    case $_cape_old in "$2" | "$2$3"*) \return 0 ;; esac
    if _cape_may "$1"; then :; else \return 0; fi
    case $_cape_old in
    '') _cape_new=$2${4-} ;;
    *) _cape_new=$2$3$_cape_old ;;
    esac
    _cape_text "$1"
    # If nobody changed the value meanwhile, its exact state comes back; else only our own part goes.
    _cape_quote "$_cape_new"
    _cape_step="case \${$1-} in $_cape_word)
$_cape_said
;;
*)"
    _cape_quote "$2"
    _cape_step="$_cape_step _cape_drop $1 $_cape_word"
    _cape_quote "$3"
    _cape_undoing "$_cape_step $_cape_word ;;
esac"
    \eval "$1=\$_cape_new"
    \export "$1"
}

_cape_prompt() { # PREFIX
    case ${PS1+x} in '') \return 0 ;; esac
    if _cape_may PS1; then :; else \return 0; fi
    PS1=$1$PS1
    _cape_quote "$1"
    _cape_undoing "case \${PS1-} in $_cape_word*) PS1=\${PS1#$_cape_word} ;; esac"
}

_cape_drop() { # NAME VALUE SEPARATOR: take the first VALUE out of a list
    \eval "_cape_list=\$3\${$1-}\$3"
    case $_cape_list in
    *"$3$2$3"*)
        _cape_list=${_cape_list%%"$3$2$3"*}$3${_cape_list#*"$3$2$3"}
        _cape_list=${_cape_list#"$3"}
        \eval "$1=\${_cape_list%\"\$3\"}"
        ;;
    esac
    \unset _cape_list
}

_cape_front() { # what outer environments had in front of PATH before start-up files comes in front again
    case ${_cape_path+x} in '') \return 0 ;; esac
    _cape_rest=$_cape_path: _cape_layers=
    while :; do
        case $_cape_rest in '') \break ;; esac
        _cape_entry=${_cape_rest%%:*} _cape_rest=${_cape_rest#*:}
        case $_cape_entry in ?*/bin) ;; *) \continue ;; esac
        if \command test -e "${_cape_entry%/bin}/environment.json"; then
            _cape_layers=$_cape_layers$_cape_entry:
            while :; do
                case :$PATH: in *":$_cape_entry:"*) _cape_drop PATH "$_cape_entry" : ;; *) \break ;; esac
            done
        fi
    done
    PATH=$_cape_layers$PATH
    \unset _cape_path
}

_cape_leave() {
    \eval "_cape_undoes=\$_CAPE_UNDO_$_CAPE_DEPTH"
    # What `set -a` would export is what comes back unexported.
    _cape_all=
    case $- in *a*) _cape_all=1 && \set +a ;; esac
    \unset "_CAPE_UNDO_$_CAPE_DEPTH"
    case $_CAPE_DEPTH in 1) \unset _CAPE_DEPTH ;; *) _CAPE_DEPTH=$((_CAPE_DEPTH - 1)) ;; esac
    \eval "$_cape_undoes"
    \unset _cape_undoes
    # Under `set -a` dash exports even what is unset.
    case $_cape_all in
    1) \unset _cape_all && \set -a ;;
    *) \unset _cape_all ;;
    esac
}

_cape_begin() {
    _cape_newline='
'
    _cape_undo= _cape_all=
    case $- in *a*) _cape_all=1 && \set +a ;; esac
    _cape_exported=$_cape_newline$(\export -p)$_cape_newline
    _cape_fixed=$_cape_newline$(\readonly -p)$_cape_newline
    case ${_CAPE_DEPTH-} in
    '') _cape_undo='\unset -f cape _cape_leave _cape_drop' ;;
    esac
}

_cape_end() {
    cape() {
        case $#:${1-}:${_CAPE_DEPTH-} in
        1:deactivate:?*) _cape_leave ;;
        *) \command cape "$@" ;;
        esac
    }
    _CAPE_DEPTH=$((${_CAPE_DEPTH-0} + 1))
    \eval "_CAPE_UNDO_$_CAPE_DEPTH=\$_cape_undo"
}

# A profile may do anything, so around it the variables, aliases and options are looked at (some forks).

_cape_each() { # TEXT FUNCTION: call it for what stands before the first `=` of each line
    _cape_lines=$1$_cape_newline
    while :; do
        case $_cape_lines in '') \break ;; esac
        _cape_line=${_cape_lines%%"$_cape_newline"*}
        _cape_lines=${_cape_lines#*"$_cape_newline"}
        case $_cape_line in
        *=*) "$2" "${_cape_line%%=*}" ;;
        'export '*) "$2" "${_cape_line#export }" ;;
        esac
    done
}

_cape_variable() { # NAME: whether it is a variable that is looked at
    # Its name is no state of it, and neither is what each moment changes.
    case $1 in
    FUNCNAME | '' | [0-9]* | *[!A-Za-z0-9_]* | _ | _cape_* | _CAPE_* | PPID | PWD | OLDPWD | LINENO | OPTIND | RANDOM | \
        SECONDS | EPOCH* | HISTCMD | COLUMNS | LINES) \return 1 ;;
    esac
    _cape_kind=export
    if _cape_is "$1" "$_cape_exported"; then \return 0; fi
    \eval "case \${$1+x} in '') \\return 1 ;; esac"
}

_cape_keep() { # NAME
    if _cape_variable "$1"; then
        case "$_cape_kept" in *" $1 "*) \return 0 ;; esac
        _cape_text "$1"
        _cape_kept="$_cape_kept$1 "
        \eval "_cape_v_$1=\$_cape_said"
    fi
}

_cape_keep_alias() { # NAME
    _cape_count=$((_cape_count + 1))
    \eval "_cape_n_$_cape_count=\$1"
    \eval "_cape_a_$_cape_count=\$(\\alias \"\$1\" 2>/dev/null || :)"
}

_cape_look() {
    _cape_kept=' ' _cape_count=0
    _cape_each "$(\set && \export -p)" _cape_keep
    _cape_listed=$_cape_newline$(\alias)$_cape_newline
    _cape_each "$(\alias)" _cape_keep_alias
    case $_cape_all in 1) \set -a ;; esac
    _cape_options=$(\set +o)
}

_cape_is_new() { # NAME
    if _cape_variable "$1"; then
        # What was made read-only cannot go.
        _cape_kind=readonly
        if _cape_is "$1" "$_cape_fixed"; then \return 0; fi
        case $_cape_kept in *" $1 "*) ;; *) _cape_undoing "\\unset $1" ;; esac
    fi
}

_cape_alias_is_new() { # NAME
    case $_cape_listed in *"$_cape_newline$1="*) \return 0 ;; esac
    _cape_quote "$1"
    _cape_undoing "\\unalias $_cape_word"
}

_cape_compare() {
    _cape_said=$_cape_newline$(\set +o)$_cape_newline
    case $- in *a*) \set +a ;; esac
    _cape_options=$_cape_options$_cape_newline
    while :; do
        case $_cape_options in '') \break ;; esac
        _cape_line=${_cape_options%%"$_cape_newline"*}
        _cape_options=${_cape_options#*"$_cape_newline"}
        case $_cape_said in *"$_cape_newline$_cape_line$_cape_newline"*) \continue ;; esac
        case $_cape_line in
        'set -o allexport') _cape_line=_cape_all=1 ;;
        'set +o allexport') _cape_line=_cape_all= ;;
        esac
        case $_cape_line in set*) _cape_line=\\$_cape_line ;; esac
        _cape_undoing "$_cape_line"
    done
    case $_cape_said in *"${_cape_newline}set -o allexport$_cape_newline"*) _cape_all=1 ;; *) _cape_all= ;; esac
    _cape_fixed=$_cape_newline$(\readonly -p)$_cape_newline
    _cape_exported=$_cape_newline$(\export -p)$_cape_newline
    _cape_each "$(\set && \export -p)" _cape_is_new
    while :; do
        _cape_kept=${_cape_kept# }
        case $_cape_kept in '') \break ;; esac
        _cape_name=${_cape_kept%% *}
        _cape_kept=${_cape_kept#* }
        _cape_text "$_cape_name"
        \eval "_cape_value=\$_cape_v_$_cape_name; \\unset _cape_v_$_cape_name"
        _cape_kind=readonly
        if _cape_is "$_cape_name" "$_cape_fixed"; then \continue; fi
        case $_cape_said in "$_cape_value") ;; *) _cape_undoing "$_cape_value" ;; esac
    done
    while :; do
        case $_cape_count in 0) \break ;; esac
        \eval "_cape_name=\$_cape_n_$_cape_count _cape_value=\$_cape_a_$_cape_count"
        \eval "\\unset _cape_n_$_cape_count _cape_a_$_cape_count"
        _cape_count=$((_cape_count - 1))
        case $_cape_value in '') \continue ;; esac
        _cape_said=$(\alias "$_cape_name" 2>/dev/null || :)
        case $_cape_said in "$_cape_value") ;; *) _cape_undoing "\\alias ${_cape_value#alias }" ;; esac
    done
    _cape_each "$(\alias)" _cape_alias_is_new
}

_cape_function() { # NAME: one that a profile makes, and that was not there before
    case $(\command -V "$1" 2>/dev/null || :) in
    *function*) ;;
    *) _cape_undoing "\\unset -f $1" ;;
    esac
}
