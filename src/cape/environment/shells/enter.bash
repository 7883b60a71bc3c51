# The part of every bash activation that is the same: how variables change, and how they change back.
# Each step puts its undoing in front of `_cape_undo`; `_cape_end` pushes that text on `_CAPE_UNDO`, and
# `cape deactivate` pops and runs it. Nothing depends on the shell's options, and nothing forks but what
# says so. `local` and `declare` stand bare: only then does bash read what follows as assignments.
# All names begin with `_cape_`; only `cape`, `_cape_leave`, `_cape_drop` and `_CAPE_UNDO` stay.

_cape_save() { # NAME: remember the variable's present state
    local -
    \builtin set +aeu
    local _cape_text
    if \builtin eval "[[ -n \${$1+x} || -n \${$1[*]+x} ]]"; then
        \builtin eval "_cape_text=\${$1[@]@A}"
    else
        \builtin eval "_cape_text=\${$1@a}"
        # Declared without a value: rare, and only `declare -p` tells it exactly.
        [[ -z $_cape_text ]] || _cape_text=$(declare -p "$1" 2>/dev/null)
    fi
    [[ $_cape_text != "declare "* ]] || _cape_text="declare -g ${_cape_text#declare }"
    _cape_undo="\\builtin unset -v $1
$_cape_text
$_cape_undo"
}

_cape_may() { # NAME: whether it can be changed
    local -
    \builtin set +aeu
    local _cape_flags
    \builtin eval "_cape_flags=\${$1@a}"
    [[ $_cape_flags == *r* ]] || \builtin return 0
    \builtin printf 'cape: `%s` is read-only in this shell and stays as it is\n' "$1" >&2
    \builtin return 1
}

_cape_set() { # NAME VALUE
    local -
    \builtin set +aeu
    _cape_may "$1" || \builtin return 0
    _cape_save "$1"
    \builtin unset -v "$1"
    declare -gx "$1=$2"
}

_cape_unset() { # NAME
    local -
    \builtin set +aeu
    \builtin eval "[[ -n \${$1+x} || -n \${$1@a} ]]" || \builtin return 0
    _cape_may "$1" || \builtin return 0
    _cape_save "$1"
    \builtin unset -v "$1"
}

_cape_front() { # what outer environments had in front of PATH before start-up files comes in front again
    local -
    \builtin set +aeu
    [[ -n ${_cape_path+x} ]] || \builtin return 0
    local _cape_rest=$_cape_path: _cape_layers= _cape_entry
    while [[ -n $_cape_rest ]]; do
        _cape_entry=${_cape_rest%%:*} _cape_rest=${_cape_rest#*:}
        [[ $_cape_entry == ?*/bin && -e ${_cape_entry%/bin}/environment.json ]] || \builtin continue
        _cape_layers+=$_cape_entry:
        while [[ :$PATH: == *":$_cape_entry:"* ]]; do _cape_drop PATH "$_cape_entry" :; done
    done
    PATH=$_cape_layers$PATH
    \builtin unset -v _cape_path
}

_cape_prepend() { # NAME VALUE SEPARATOR [BEFORE-NOTHING]
    local -
    \builtin set +aeu
    local _cape_old=${!1-} _cape_new _cape_rest=$_cape_undo
    # `[[` would compare as a pattern, which takes long for long values.
    \builtin [ "${_cape_old:0:${#2}+${#3}}" != "$2$3" ] && \builtin [ "$_cape_old" != "$2" ] || \builtin return 0
    _cape_may "$1" || \builtin return 0
    _cape_new=$2$3$_cape_old
    [[ -n $_cape_old ]] || _cape_new=$2${4-}
    _cape_undo=
    _cape_save "$1"
    # If nobody changed the value meanwhile, its exact state comes back; else only our own part goes.
    _cape_undo="if [[ \${$1-} == ${_cape_new@Q} ]]; then
$_cape_undo
else
_cape_drop $1 ${2@Q} ${3@Q}
fi
$_cape_rest"
    \builtin unset -v "$1"
    declare -gx "$1=$_cape_new"
}

_cape_prompt() { # PREFIX
    local -
    \builtin set +aeu
    [[ -n ${PS1+x} ]] && _cape_may PS1 || \builtin return 0
    PS1=$1$PS1
    _cape_undo="[[ \${PS1-} != ${1@Q}* ]] || PS1=\${PS1#${1@Q}}
$_cape_undo"
}

_cape_drop() { # NAME VALUE SEPARATOR: take the first VALUE out of a list
    local _cape_list=$3${!1-}$3
    _cape_list=${_cape_list/"$3$2$3"/"$3"}
    _cape_list=${_cape_list#"$3"}
    \builtin printf -v "$1" %s "${_cape_list%"$3"}"
}

_cape_leave() {
    local _cape_at=$((${#_CAPE_UNDO[@]} - 1)) _cape_text _cape_all=
    # Under `set -a` all that comes back would be exported.
    [[ $- != *a* ]] || { _cape_all=1 && \builtin set +a; }
    _cape_text=${_CAPE_UNDO[_cape_at]}
    \builtin unset -v "_CAPE_UNDO[$_cape_at]"
    \builtin eval "$_cape_text"
    [[ -z $_cape_all ]] || \builtin set -a
}

_cape_begin() {
    local -
    \builtin set +aeu
    _cape_undo=
    if ((${#_CAPE_UNDO[@]} == 0)); then
        _cape_undo="\\builtin unset -f cape _cape_leave _cape_drop
\\builtin unset -v _CAPE_UNDO
"
        if declare -F cape >/dev/null; then
            _cape_undo+="$(declare -f cape)"
            [[ $(declare -F -p cape 2>/dev/null) != "declare -"*x* ]] || _cape_undo+="
\declare -fx cape"
        fi
    fi
}

_cape_end() {
    cape() {
        if [[ $# -eq 1 && $1 == deactivate ]]; then
            _cape_leave
        else
            \builtin command cape "$@"
        fi
    }
    _CAPE_UNDO+=("$_cape_undo")
    \builtin unset -v _cape_undo
}

# A profile may do anything, so around it the whole shell is looked at (two forks each time).

_cape_names() { # all variables but the shell's own and ours, into `_cape_list`
    local _cape_first _cape_name _cape_some
    _cape_list=()
    for _cape_first in A B C D E F G H I J K L M N O P Q R S T U V W X Y Z _ \
        a b c d e f g h i j k l m n o p q r s t u v w x y z; do
        \builtin eval "_cape_some=(\"\${!$_cape_first@}\")"
        for _cape_name in "${_cape_some[@]}"; do
            case $_cape_name in
            BASH | BASH[O_]* | COMP_* | DIRSTACK | EPOCH* | EUID | FUNCNAME | GROUPS | HISTCMD | LINENO | \
                PIPESTATUS | PPID | RANDOM | SECONDS | SHELLOPTS | SRANDOM | UID | _ | _cape_* | _CAPE_*) ;;
            *) _cape_list+=("$_cape_name") ;;
            esac
        done
    done
}

_cape_functions() { # name, flags and text of every function, each with a NUL after it
    local _cape_line _cape_name _cape_flags
    while IFS= \builtin read -r _cape_line; do
        _cape_flags=${_cape_line#declare -}
        _cape_flags=${_cape_flags%% *}
        _cape_name=${_cape_line#declare -* }
        case $_cape_name in cape | _cape_*) \builtin continue ;; esac
        \builtin printf '%s\0%s\0%s\0' "$_cape_name" "$_cape_flags" "$(declare -f -- "$_cape_name")"
    done < <(declare -F)
}

_cape_look() { # remember the shell as it is now
    _cape_shopt=$BASHOPTS _cape_seto=$SHELLOPTS
    local -
    \builtin set +aeu
    local _cape_list _cape_read _cape_name _cape_text
    local -i _cape_at=0
    declare -gA _cape_vars _cape_texts _cape_flags _cape_aliases
    _cape_vars=() _cape_texts=() _cape_flags=() _cape_aliases=()
    _cape_names
    for _cape_name in "${_cape_list[@]}"; do
        \builtin eval "_cape_text=\${$_cape_name[@]@A}"
        _cape_vars[$_cape_name]=$_cape_text
    done
    # What is declared without a value is in no list of names.
    while IFS= \builtin read -r _cape_text; do
        [[ $_cape_text == "declare -"*" "* ]] || \builtin continue
        _cape_name=${_cape_text#declare -* }
        case $_cape_name in '' | [0-9]* | *[!A-Za-z0-9_]*) \builtin continue ;; esac
        [[ $_cape_name == _cape_* || -n ${_cape_vars[$_cape_name]+x} ]] ||
            case $_cape_name in BASH* | FUNCNAME | GROUPS | DIRSTACK) ;; *) _cape_vars[$_cape_name]=$_cape_text ;; esac
    done < <(declare -p)
    \builtin mapfile -d '' -t _cape_read < <(_cape_functions)
    while ((_cape_at + 2 < ${#_cape_read[@]})); do
        _cape_flags[${_cape_read[_cape_at]}]=${_cape_read[_cape_at + 1]}
        _cape_texts[${_cape_read[_cape_at]}]=${_cape_read[_cape_at + 2]}
        _cape_at+=3
    done
    for _cape_name in "${!BASH_ALIASES[@]}"; do
        _cape_aliases[$_cape_name]=${BASH_ALIASES[$_cape_name]}
    done
}

_cape_options() { # BEFORE AFTER ON OFF: undo changes of a list of options
    local _cape_left=$1:
    while [[ -n $_cape_left ]]; do
        [[ :$2: == *:"${_cape_left%%:*}":* ]] || _cape_undo="$3 ${_cape_left%%:*}
$_cape_undo"
        _cape_left=${_cape_left#*:}
    done
    _cape_left=$2:
    while [[ -n $_cape_left ]]; do
        [[ :$1: == *:"${_cape_left%%:*}":* ]] || _cape_undo="$4 ${_cape_left%%:*}
$_cape_undo"
        _cape_left=${_cape_left#*:}
    done
}

_cape_compare() { # undo what differs from what `_cape_look` saw
    local _cape_new_shopt=$BASHOPTS _cape_new_seto=$SHELLOPTS
    local -
    \builtin set +aeu
    local _cape_name _cape_text
    local -A _cape_old _cape_old_texts _cape_old_flags _cape_old_aliases
    local _cape_old_shopt=$_cape_shopt _cape_old_seto=$_cape_seto
    for _cape_name in "${!_cape_vars[@]}"; do _cape_old[$_cape_name]=${_cape_vars[$_cape_name]}; done
    for _cape_name in "${!_cape_texts[@]}"; do
        _cape_old_texts[$_cape_name]=${_cape_texts[$_cape_name]}
        _cape_old_flags[$_cape_name]=${_cape_flags[$_cape_name]}
    done
    for _cape_name in "${!_cape_aliases[@]}"; do
        _cape_old_aliases[$_cape_name]=${_cape_aliases[$_cape_name]}
    done
    _cape_look
    _cape_shopt=$_cape_new_shopt _cape_seto=$_cape_new_seto
    for _cape_name in "${!_cape_vars[@]}"; do
        [[ -z ${_cape_old[$_cape_name]+x} ]] || \builtin continue
        _cape_undo="\\builtin unset -v $_cape_name
$_cape_undo"
    done
    for _cape_name in "${!_cape_old[@]}"; do
        [[ ${_cape_vars[$_cape_name]-} != "${_cape_old[$_cape_name]}" ]] || \builtin continue
        _cape_text=${_cape_old[$_cape_name]}
        [[ $_cape_text != "declare "* ]] || _cape_text="declare -g ${_cape_text#declare }"
        _cape_undo="\\builtin unset -v $_cape_name
$_cape_text
$_cape_undo"
    done
    for _cape_name in "${!_cape_texts[@]}"; do
        [[ -z ${_cape_old_texts[$_cape_name]+x} ]] || \builtin continue
        _cape_undo="\\builtin unset -f -- ${_cape_name@Q}
$_cape_undo"
    done
    for _cape_name in "${!_cape_old_texts[@]}"; do
        [[ ${_cape_texts[$_cape_name]-} != "${_cape_old_texts[$_cape_name]}" ||
            ${_cape_flags[$_cape_name]-} != "${_cape_old_flags[$_cape_name]}" ]] || \builtin continue
        _cape_undo="\\builtin unset -f -- ${_cape_name@Q}
${_cape_old_texts[$_cape_name]}
\declare -${_cape_old_flags[$_cape_name]} -- ${_cape_name@Q}
$_cape_undo"
    done
    for _cape_name in "${!_cape_aliases[@]}"; do
        [[ -z ${_cape_old_aliases[$_cape_name]+x} ]] || \builtin continue
        _cape_undo="\\builtin unalias -- ${_cape_name@Q}
$_cape_undo"
    done
    for _cape_name in "${!_cape_old_aliases[@]}"; do
        _cape_text=${_cape_old_aliases[$_cape_name]}
        [[ -z ${_cape_aliases[$_cape_name]+x} || ${_cape_aliases[$_cape_name]} != "$_cape_text" ]] ||
            \builtin continue
        _cape_text=$_cape_name=$_cape_text
        _cape_undo="\\builtin alias -- ${_cape_text@Q}
$_cape_undo"
    done
    if [[ :$_cape_old_seto: != *:posix:* || :$_cape_seto: != *:posix:* ]]; then
        # The mode `posix` takes these along when it changes.
        for _cape_name in expand_aliases shift_verbose inherit_errexit; do
            _cape_text=-u
            [[ :$_cape_old_shopt: != *:$_cape_name:* ]] || _cape_text=-s
            [[ :$_cape_old_seto:$_cape_seto: != *:posix:* ]] || _cape_undo="\builtin shopt $_cape_text $_cape_name
$_cape_undo"
        done
    fi
    _cape_options "$_cape_old_shopt" "$_cape_shopt" '\builtin shopt -s' '\builtin shopt -u'
    _cape_options "$_cape_old_seto" "$_cape_seto" '\builtin set -o' '\builtin set +o'
    _cape_undo=${_cape_undo//'\builtin set -o allexport'/_cape_all=1}
    _cape_undo=${_cape_undo//'\builtin set +o allexport'/_cape_all=}
    \builtin unset -v _cape_vars _cape_texts _cape_flags _cape_aliases _cape_shopt _cape_seto
}
