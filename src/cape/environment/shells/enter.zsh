# The part of every zsh activation that is the same: how variables change, and how they change back.
# It is read, and each function runs, under zsh's own options and without aliases. Each step puts its
# undoing in front of `_cape_undo`; `_cape_end` pushes that text on `_CAPE_UNDO`, and `cape deactivate` pops
# and runs it. What options and functions it gives back comes to `_cape_after`, which `cape` has run after its
# end: options that change inside a function are given back there. Nothing forks but what says so.
# All names begin with `_cape_`; only `cape`, `_cape_leave`, `_cape_drop` and `_CAPE_UNDO` stay.

_cape_text() { # NAME: the commands that give the variable its present state, into `_cape_said`
    builtin emulate -L zsh -o no_aliases
    local _cape_type=${parameters[$1]-}
    case $_cape_type in
    '') _cape_said= ;;
    *special*)
        # A special variable never goes away, so it gets its value and flags only.
        case $_cape_type in
        scalar*tied*)
            # Its list tells no element from an empty one.
            local -a _cape_items=("${(@P)${1:l}}")
            _cape_said="${1:l}=()"
            (( ! ${#_cape_items} )) || _cape_said="${1:l}=( ${(j: :)${(@qqqq)_cape_items}} )"
            ;;
        association*) _cape_said= ;;
        array*)
            local -a _cape_items=("${(@P)1}")
            _cape_said="$1=()"
            (( ! ${#_cape_items} )) || _cape_said="$1=( ${(j: :)${(@qqqq)_cape_items}} )"
            ;;
        *) _cape_said="$1=${(qqqq)${(P)1}}" ;;
        esac
        if [[ $_cape_type == *export* ]]; then
            _cape_said+=$'\n'"builtin typeset -gx $1"
        else
            _cape_said+=$'\n'"builtin typeset -g +x $1"
        fi
        if [[ $_cape_type == *unique* ]]; then
            _cape_said="builtin typeset -gU $1"$'\n'$_cape_said
        elif [[ $_cape_type == *(array|tied)* ]]; then
            _cape_said="builtin typeset -g +U $1"$'\n'$_cape_said
        fi
        ;;
    scalar) _cape_said="builtin typeset -g $1=${(qqqq)${(P)1}}" ;;
    scalar-export) _cape_said="builtin typeset -gx $1=${(qqqq)${(P)1}}" ;;
    *tied*)
        # Both halves come back together.
        _cape_said=$(builtin typeset -p -- $1)
        local _cape_half=${${_cape_said#* $1 }%%=*}
        if [[ $_cape_type == array* ]]; then
            _cape_half=${${_cape_said#*-*T }%% *}
            _cape_said=$(builtin typeset -p -- $_cape_half)
            [[ $_cape_type != *unique* ]] || _cape_said+=$'\n'"builtin typeset -gU $1"
            [[ $_cape_type != *export* ]] || _cape_said+=$'\n'"builtin typeset -gx $1"
            _cape_said="builtin unset $_cape_half"$'\n'$_cape_said
        else
            [[ ${parameters[$_cape_half]} != *unique* ]] || _cape_said+=$'\n'"builtin typeset -gU $_cape_half"
            [[ ${parameters[$_cape_half]} != *export* ]] || _cape_said+=$'\n'"builtin typeset -gx $_cape_half"
            _cape_said="builtin unset $1"$'\n'$_cape_said
        fi
        ;;
    *hideval*)
        _cape_said=$(builtin typeset -g +H $1 && builtin typeset -p -- $1)$'\n'"builtin typeset -gH $1"
        ;;
    *)
        # Rare kinds: only `typeset -p` tells them exactly, but for the digits of a float (one fork).
        _cape_said=$(builtin typeset -p -- $1 2>/dev/null)
        if [[ $_cape_type == float* ]]; then
            local _cape_digits=${${${(P)1}#*.}%%e*}
            _cape_said=${_cape_said/ -F / -F ${#_cape_digits} }
            _cape_said=${_cape_said/ -E / -E $((${#_cape_digits} + 1)) }
        fi
        ;;
    esac
}

_cape_save() { # NAME: remember the variable's present state
    builtin emulate -L zsh -o no_aliases
    local _cape_said
    _cape_text $1
    [[ ${parameters[$1]-} == *(special|tied)* ]] || _cape_said="builtin unset $1"$'\n'$_cape_said
    _cape_undo=$_cape_said$'\n'$_cape_undo
}

_cape_may() { # NAME [VALUE]: whether it can be changed (to that)
    builtin emulate -L zsh -o no_aliases
    case ${parameters[$1]-} in
    *readonly*) builtin print -ru2 -- "cape: \`$1\` is read-only in this shell and stays as it is" ;;
    (array|association)*(special|tied)*)
        builtin print -ru2 -- "cape: \`$1\` is a list of zsh's own and stays as it is" ;;
    (integer|float)*special*)
        [[ -z ${2-} || $2 == *[^0-9]* ]] || return 0
        builtin print -ru2 -- "cape: \`$1\` is a number of zsh's own and stays as it is" ;;
    *) return 0 ;;
    esac
    return 1
}

_cape_had() { # NAME FILE ...: whether the variable is set, or one of the files is there
    builtin emulate -L zsh -o no_aliases
    [[ -z ${parameters[$1]-} ]] || return 0
    local _cape_file
    for _cape_file in "${@[2,-1]}"; do
        [[ ! -e $_cape_file ]] || return 0
    done
    return 1
}

_cape_assign() { # NAME VALUE: set and export, whatever it was
    [[ ${parameters[$1]-} == *(special|tied)* ]] || builtin unset $1
    builtin typeset -gx "$1=$2"
}

_cape_set() { # NAME VALUE
    builtin emulate -L zsh -o no_aliases
    _cape_may "$1" "$2" || return 0
    _cape_save $1
    _cape_assign $1 "$2"
}

_cape_unset() { # NAME
    builtin emulate -L zsh -o no_aliases
    [[ -n ${parameters[$1]-} ]] || return 0
    _cape_may $1 0 || return 0
    _cape_save $1
    if [[ ${parameters[$1]} == *(special|tied)* ]]; then
        builtin typeset -g +x "$1="
    else
        builtin unset $1
    fi
}

_cape_prepend() { # NAME VALUE SEPARATOR [BEFORE-NOTHING]
    builtin emulate -L zsh -o no_aliases
    local _cape_old=${(P)1-} _cape_rest=$_cape_undo _cape_new
    [[ $_cape_old != "$2" && $_cape_old != "$2$3"* ]] || return 0
    _cape_may $1 || return 0
    _cape_undo=
    _cape_save $1
    _cape_new=$2$3$_cape_old
    [[ -n $_cape_old ]] || _cape_new=$2${4-}
    _cape_assign $1 "$_cape_new"
    _cape_new=${(P)1}
    # If nobody changed the value meanwhile, its exact state comes back; else only our own part goes.
    _cape_undo="if [[ \${$1-} == ${(qqqq)_cape_new} ]]; then
$_cape_undo
else
_cape_drop $1 ${(qqqq)2} ${(qqqq)3}
fi
$_cape_rest"
}

_cape_complete() { # DIRECTORY: its completions come first
    builtin emulate -L zsh -o no_aliases
    (( ! ${fpath[(Ie)$1]} )) || return 0
    _cape_save fpath
    fpath=("$1" $fpath)
}

_cape_front() { # what outer environments had in front of PATH before start-up files comes in front again
    builtin emulate -L zsh -o no_aliases
    [[ -n ${_cape_path+x} ]] || return 0
    local _cape_entry _cape_layers=
    for _cape_entry in "${(@s.:.)_cape_path}"; do
        [[ $_cape_entry == ?*/bin && -e ${_cape_entry%/bin}/environment.json ]] || continue
        _cape_layers+=$_cape_entry:
        while [[ :$PATH: == *":$_cape_entry:"* ]]; do _cape_drop PATH $_cape_entry :; done
    done
    PATH=$_cape_layers$PATH
    builtin unset _cape_path
}

_cape_prompt() { # PREFIX
    builtin emulate -L zsh -o no_aliases
    [[ -n ${PS1+x} ]] && _cape_may PS1 || return 0
    PS1=$1$PS1
    _cape_undo="[[ \${PS1-} != ${(qqqq)1}* ]] || PS1=\${PS1#${(qqqq)1}}
$_cape_undo"
}

_cape_drop() { # NAME VALUE SEPARATOR: take the first VALUE out of a list
    builtin emulate -L zsh -o no_aliases
    local _cape_list=$3${(P)1-}$3
    _cape_list=${_cape_list/"$3$2$3"/"$3"}
    _cape_list=${_cape_list#"$3"}
    builtin typeset -g "$1=${_cape_list%"$3"}"
}

_cape_leave() {
    builtin emulate -L zsh -o no_aliases
    local _cape_text=$_CAPE_UNDO[-1]
    _CAPE_UNDO[-1]=()
    builtin eval "$_cape_text"
}

_cape_begin() {
    builtin emulate -L zsh -o no_aliases
    typeset -g _cape_undo=
    (( ! ${#_CAPE_UNDO} )) || return 0
    _cape_undo=$'builtin unset -f cape _cape_leave _cape_drop\nbuiltin unset _CAPE_UNDO\n'
    [[ -n ${functions[cape]+x} ]] || return 0
    local _cape_old_loads=$'\n'$(builtin functions -u) _cape_said
    _cape_function cape "$functions[cape]"
    _cape_undo+=$_cape_said$'\n'
}

_cape_end() {
    builtin emulate -L zsh -o no_aliases
    cape() {
        builtin emulate -L zsh -o no_aliases
        if [[ $# -eq 1 && $1 == deactivate && ${#_CAPE_UNDO} -gt 0 ]]; then
            local _cape_after=
            _cape_leave
            # A function's EXIT trap runs when its local options are gone already.
            [[ -z $_cape_after ]] || builtin trap -- "$_cape_after" EXIT
        else
            builtin command cape "$@"
        fi
    }
    typeset -ga _CAPE_UNDO
    _CAPE_UNDO+=("$_cape_undo")
    builtin unset _cape_undo
}

_cape_function() { # NAME TEXT: the command that has it defined so, into `_cape_said`
    if [[ $2 == [[:space:]]#'builtin autoload -X'* ]]; then
        # One that was not loaded yet: it is known by its flags, and maybe by its directory.
        local _cape_flags=${_cape_old_loads#*$'\n'"$1 () {"} _cape_from=
        _cape_flags=${${_cape_flags#*autoload -X}%%$'\n'*}
        [[ $_cape_flags != *' '* ]] || _cape_from=${_cape_flags#* }/
        _cape_flags=${_cape_flags%% *}
        _cape_said="builtin unset -f -- ${(qqqq)1} 2>/dev/null
builtin autoload ${_cape_flags:+-$_cape_flags} -- ${(qqqq)_cape_from}${(qqqq)1}"
    else
        # `functions[NAME]=TEXT` would garble bytes from 0x83 to 0xa2.
        _cape_said="function ${(qqqq)1} {
$2
}"
    fi
    # A function that is defined by one of ours would have zsh's own options for ever.
    _cape_said="() {
builtin emulate -L zsh -o no_aliases
builtin eval \"\$1\"
} ${(qqqq)_cape_said}
"
    _cape_said="_cape_after+=${(qqqq)_cape_said}"
}

# A profile may do anything, so around it the whole shell is looked at (a fork each time).

_cape_look() { # remember the shell as it is now
    builtin emulate -L zsh -o no_aliases
    local _cape_name _cape_type _cape_said
    local -a _cape_rare _cape_lines
    typeset -gA _cape_vars _cape_texts _cape_plain _cape_global _cape_suffix
    typeset -ga _cape_fixed
    _cape_vars=() _cape_fixed=(${(k)parameters[(R)*readonly*]})
    for _cape_name _cape_type in "${(@kv)parameters}"; do
        case $_cape_name:$_cape_type in
        *readonly* | _cape_* | _CAPE_* | *-local* | (PWD|OLDPWD|_):* | *:undefined*) continue ;;
        (HOME|IFS|LANG|LC_*|TERM|TERMINFO|TERMINFO_DIRS|PATH|CDPATH|FPATH|MANPATH|MAILPATH|MODULE_PATH):*special* | \
            (FIGNORE|NULLCMD|READNULLCMD|POSTEDIT|PROMPT*|RPROMPT*|SPROMPT|PS[1-4]|RPS[12]|PSVAR):*special* | \
            (WORDCHARS|HISTCHARS|HISTSIZE|SAVEHIST|KEYTIMEOUT|COLUMNS|LINES|FUNCNEST|MAILCHECK|TMOUT):*special* | \
            (path|cdpath|fpath|manpath|mailpath|module_path|fignore|psvar|prompt|histchars|LISTMAX):*special* | \
            *:(scalar|scalar-export))
            _cape_text $_cape_name
            _cape_vars[$_cape_name]=$_cape_said ;;
        *special*) continue ;;
        *:*float* | *:*hideval* | *:*tied*)
            _cape_text $_cape_name
            _cape_vars[$_cape_name]=$_cape_said ;;
        *) _cape_rare+=($_cape_name) ;;
        esac
    done
    if (( ${#_cape_rare} )); then
        _cape_lines=("${(@f)$(builtin typeset -p -- $_cape_rare)}")
        for _cape_name in $_cape_rare; do
            _cape_vars[$_cape_name]=$_cape_lines[1]
            _cape_lines[1]=()
        done
    fi
    _cape_texts=("${(@kv)functions}")
    typeset -g _cape_loads=$'\n'$(builtin functions -u)
    _cape_plain=("${(@kv)aliases}")
    _cape_global=("${(@kv)galiases}")
    _cape_suffix=("${(@kv)saliases}")
}

_cape_aliases() { # FLAG OLD NEW: undo changes of a kind of aliases
    local _cape_name _cape_old _cape_text
    typeset -A _cape_before _cape_now
    _cape_before=("${(@kvP)2}") _cape_now=("${(@kvP)3}")
    for _cape_name in "${(@k)_cape_now}"; do
        [[ -z ${_cape_before[$_cape_name]+x} ]] || continue
        _cape_undo="builtin unalias ${${1#g}:+-s} -- ${(qqqq)_cape_name}"$'\n'$_cape_undo
    done
    for _cape_name _cape_old in "${(@kv)_cape_before}"; do
        [[ -z ${_cape_now[$_cape_name]+x} || $_cape_now[$_cape_name] != "$_cape_old" ]] || continue
        _cape_undo="builtin alias ${1:+-$1} -- ${(qqqq)_cape_name}=${(qqqq)_cape_old}"$'\n'$_cape_undo
    done
}

_cape_compare() { # undo what differs from what `_cape_look` saw
    builtin emulate -L zsh -o no_aliases -o extended_glob
    local _cape_name _cape_old _cape_said
    local _cape_old_loads=$_cape_loads
    local -a _cape_old_fixed=("$_cape_fixed[@]")
    local -A _cape_old_vars _cape_old_texts _cape_old_plain _cape_old_global _cape_old_suffix _cape_on
    _cape_old_vars=("${(@kv)_cape_vars}") _cape_old_texts=("${(@kv)_cape_texts}")
    _cape_old_plain=("${(@kv)_cape_plain}") _cape_old_global=("${(@kv)_cape_global}")
    _cape_old_suffix=("${(@kv)_cape_suffix}")
    _cape_look
    for _cape_name _cape_old in "${(@kv)_cape_old_vars}"; do
        [[ ${_cape_vars[$_cape_name]-} != "$_cape_old" ]] || continue
        [[ ${parameters[$_cape_name]-} != *readonly* ]] || _cape_old="builtin typeset -g +r $_cape_name
builtin unset $_cape_name
$_cape_old"
        [[ ${parameters[$_cape_name]-} == *special* || $_cape_old == 'builtin unset '* ]] ||
            _cape_old="builtin unset $_cape_name"$'\n'$_cape_old
        _cape_undo=$_cape_old$'\n'$_cape_undo
    done
    for _cape_name in "${(@k)_cape_vars}"; do
        [[ -z ${_cape_old_vars[$_cape_name]+x} ]] || continue
        _cape_undo="builtin unset $_cape_name"$'\n'$_cape_undo
    done
    for _cape_name in $_cape_fixed; do
        [[ $parameters[$_cape_name] != *(special|local)* ]] || continue
        [[ -n ${_cape_old_vars[$_cape_name]+x} || -n ${_cape_old_fixed[(r)$_cape_name]} ]] ||
            _cape_undo="builtin typeset -g +r $_cape_name; builtin unset $_cape_name"$'\n'$_cape_undo
    done
    for _cape_name in "${(@k)_cape_texts}"; do
        [[ -z ${_cape_old_texts[$_cape_name]+x} ]] || continue
        _cape_undo="builtin unset -f -- ${(qqqq)_cape_name}"$'\n'$_cape_undo
    done
    for _cape_name _cape_old in "${(@kv)_cape_old_texts}"; do
        [[ -z ${_cape_texts[$_cape_name]+x} || $_cape_texts[$_cape_name] != "$_cape_old" ]] || continue
        _cape_function "$_cape_name" "$_cape_old"
        _cape_undo=$_cape_said$'\n'$_cape_undo
    done
    _cape_aliases '' _cape_old_plain _cape_plain
    _cape_aliases g _cape_old_global _cape_global
    _cape_aliases s _cape_old_suffix _cape_suffix
    _cape_on=("$_cape_now[@]")
    for _cape_name _cape_old in "$_cape_was[@]"; do
        [[ $_cape_on[$_cape_name] != $_cape_old ]] || continue
        [[ $_cape_old == on ]] && _cape_old=setopt || _cape_old=unsetopt
        _cape_undo="_cape_after+='builtin $_cape_old $_cape_name;'"$'\n'$_cape_undo
    done
    builtin unset _cape_vars _cape_texts _cape_plain _cape_global _cape_suffix _cape_was _cape_now _cape_fixed \
        _cape_loads
}
