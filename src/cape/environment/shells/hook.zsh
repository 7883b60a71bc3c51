# The prompt hook of cape for zsh: `eval "$(cape hook zsh)"` at the end of `.zshrc`. At each prompt it looks, with
# builtins alone, whether the directory or what is entered changed. If so, it finds the projects above, and
# enters those that were allowed. All names begin with `_cape_` or `_CAPE_`.

_cape_hook() { # at each prompt, under the user's options: a profile may change them
    _cape_hook_look
    [[ -z $_CAPE_TODO ]] || builtin eval "$_CAPE_TODO"
}

_cape_hook_look() { # what is to be evaluated, into `_CAPE_TODO`
    builtin emulate -L zsh -o no_aliases -o typeset_silent
    local _cape_i
    _CAPE_TODO=
    if [[ $PWD == "$_CAPE_AT" && ${#_CAPE_UNDO} -eq $_CAPE_LEVEL ]]; then
        for ((_cape_i = 1; _cape_i <= ${#_CAPE_IN}; _cape_i++)); do
            [[ $_CAPE_SCRIPTS[_cape_i] -ef $_CAPE_IN[_cape_i]/.cape/current/activate.zsh ]] || break
        done
        if ((_cape_i > ${#_CAPE_IN})); then
            for _cape_i in "${_CAPE_PENDING[@]}" ''; do
                [[ -n $_cape_i ]] || return 0
                ! _cape_hook_news $_cape_i || break
            done
        fi
    fi
    _cape_hook_moved
}

_cape_hook_news() { # PROJECT: whether it may be entered, or was changed, since it was left out
    local _cape_file _cape_looked=$_CAPE_CONSENT$1/.cape-looked
    for _cape_file in $1/cape.toml $1/cape.lock $1/.cape/current/run.sh $_CAPE_CONSENT$1/.cape-answer; do
        [[ ! $_cape_file -nt $_cape_looked ]] || return 0
    done
    _cape_hook_sealed $1 || [[ ! -f $1/cape.toml || -e $_CAPE_CONSENT$1/.cape-denied ]]
}

_cape_hook_sealed() { # PROJECT: whether shells may read its scripts, and they are those that were allowed
    local _cape_file _cape_record=$_CAPE_CONSENT$1
    local -i _cape_n=0
    [[ -f $_cape_record/.cape-allowed ]] || return 1
    while IFS= builtin read -r _cape_file; do
        [[ -e $_cape_file && ! $_cape_file -nt $_cape_record/.cape-stamp.$_cape_n &&
            ! $_cape_file -ot $_cape_record/.cape-stamp.$_cape_n ]] || return 1
        _cape_n+=1
    done <$_cape_record/.cape-allowed
    ((_cape_n))
}

_cape_hook_above() { # projects above here, the outermost first, into `_cape_above`
    local _cape_at=${PWD:A}
    [[ $_cape_at != / ]] || _cape_at=
    _cape_above=()
    while :; do
        [[ ! -f $_cape_at/cape.toml ]] || _cape_above=("${_cape_at:-/}" $_cape_above)
        [[ -n $_cape_at ]] || break
        _cape_at=${_cape_at%/*}
    done
}

_cape_hook_moved() {
    local _cape_project _cape_text
    local -a _cape_above _cape_wanted _cape_plan _cape_skipped _cape_pending
    local -i _cape_kept=0 _cape_top=${#_CAPE_IN} _cape_level=0 _cape_n
    # Who left by hand is not taken in again before the directory was left.
    while ((_cape_top && ${#_CAPE_UNDO} < _CAPE_LEVELS[_cape_top])); do
        _CAPE_OFF+=("$_CAPE_IN[_cape_top]")
        _cape_top+=-1
    done
    _CAPE_IN=("${(@)_CAPE_IN[1,_cape_top]}")
    ((_cape_top)) || _CAPE_IN=()
    _cape_hook_above
    _CAPE_OFF=(${_CAPE_OFF:*_cape_above})
    ((!_cape_top)) || _cape_level=$_CAPE_LEVELS[_cape_top]
    # Who entered by hand, perhaps in another mode, is inside already.
    if ((${#_CAPE_UNDO} != _cape_level && !${_CAPE_IN[(Ie)${CAPE_PROJECT-}]})); then
        ((!${_cape_above[(Ie)${CAPE_PROJECT-}]})) || _CAPE_OFF+=("$CAPE_PROJECT")
    fi
    _cape_wanted=(${_cape_above:|_CAPE_OFF})
    # A plan is made of pairs: a project to be inside, and the text that enters it.
    for _cape_project in $_cape_wanted; do
        [[ ! -e $_CAPE_CONSENT$_cape_project/.cape-denied ]] || continue
        # What was left out is not asked for again before there is news of it.
        if ((${_CAPE_PENDING[(Ie)$_cape_project]})) && ! _cape_hook_news $_cape_project; then
            _cape_skipped+=("$_cape_project")
            continue
        fi
        _cape_hook_quick $_cape_project || {
            _cape_hook_ask
            break
        }
        _cape_plan+=("$_cape_project" "$_cape_text")
    done
    _CAPE_PENDING=(${_cape_wanted:|_cape_plan})
    # What is entered already, and still is what would be entered, stays.
    while ((_cape_kept < _cape_top)) && [[ $_CAPE_IN[_cape_kept+1] == "$_cape_plan[2*_cape_kept+1]" &&
        $_CAPE_TEXTS[_cape_kept+1] == "$_cape_plan[2*_cape_kept+2]" ]]; do
        _cape_kept+=1
    done
    for ((_cape_n = _cape_top; _cape_n > _cape_kept; _cape_n--)); do
        _CAPE_TODO+=$'_cape_hook_leaving && {\ncape deactivate\n_cape_hook_left\n}\n'
    done
    for ((_cape_n = 2 * _cape_kept + 1; _cape_n < ${#_cape_plan}; _cape_n += 2)); do
        _CAPE_TODO+="_cape_hook_entering && {
$_cape_plan[_cape_n+1]
_cape_hook_entered ${(qq)_cape_plan[_cape_n]} ${(qq)_cape_plan[_cape_n+1]}
}
"
    done
    _CAPE_TODO+=_cape_hook_done
}

_cape_hook_quick() { # PROJECT: the text that enters it, into `_cape_text`, without asking Python
    local -i _cape_i=${_CAPE_IN[(Ie)$1]}
    if ((_cape_i)) && [[ $_CAPE_SCRIPTS[_cape_i] -ef $1/.cape/current/activate.zsh ]]; then
        _cape_text=$_CAPE_TEXTS[_cape_i]
        return 0
    fi
    _cape_hook_sealed $1 || return 1
    _cape_text=$(/bin/sh -c 'cape_mode=print cape_shell=zsh cape_level= cape_pure= cape_project=$1
        . "$1/.cape/current/run.sh"' cape $1 </dev/null 2>/dev/null)
    [[ -n $_cape_text ]]
}

_cape_hook_ask() { # Python looks at all projects above, asks, and says the whole plan
    local -a _cape_skip
    for _cape_project in $_CAPE_OFF $_cape_skipped; do _cape_skip+=(--skip $_cape_project); done
    _cape_plan=()
    builtin eval "$(builtin command $_CAPE_PROGRAM hook zsh --at $PWD $_cape_skip)"
}

# What follows is called under the user's options.

_cape_hook_leaving() { # whether the innermost may be left: what was entered by hand on top of it stays
    builtin emulate -L zsh -o no_aliases
    ((${#_CAPE_UNDO} != _CAPE_LEVELS[${#_CAPE_IN}])) || return 0
    _CAPE_HELD=1
    return 1
}

_cape_hook_left() {
    builtin emulate -L zsh -o no_aliases
    _CAPE_IN[-1]=()
}

_cape_hook_entering() {
    builtin emulate -L zsh -o no_aliases
    [[ -z $_CAPE_HELD ]] || return 1
    _CAPE_BEFORE=${#_CAPE_UNDO}
}

_cape_hook_entered() { # PROJECT TEXT
    builtin emulate -L zsh -o no_aliases
    local -i _cape_n=$((${#_CAPE_IN} + 1))
    local _cape_script=${2#'\. '}
    if ((${#_CAPE_UNDO} <= _CAPE_BEFORE)); then
        # A hook or secret failed, and said so: once is enough.
        _CAPE_OFF+=("$1")
        return 0
    fi
    _CAPE_IN[_cape_n]=$1 _CAPE_TEXTS[_cape_n]=$2 _CAPE_LEVELS[_cape_n]=${#_CAPE_UNDO}
    _CAPE_SCRIPTS[_cape_n]=${(Q)_cape_script}
}

_cape_hook_done() {
    builtin emulate -L zsh -o no_aliases
    _CAPE_AT=$PWD _CAPE_LEVEL=${#_CAPE_UNDO} _CAPE_TODO=
    # While something on top holds a project, each prompt looks again.
    [[ -z $_CAPE_HELD ]] || _CAPE_AT=
    _CAPE_HELD=
}

if [[ -o interactive ]]; then
    if [[ -z ${_CAPE_LEVEL+x} ]]; then
        typeset -g _CAPE_LEVEL=-1 _CAPE_HELD= _CAPE_BEFORE=
        typeset -ga _CAPE_IN _CAPE_SCRIPTS _CAPE_TEXTS _CAPE_LEVELS _CAPE_OFF _CAPE_PENDING
    fi
    typeset -g _CAPE_PROGRAM=@PROGRAM@ _CAPE_CONSENT=@CONSENT@ _CAPE_AT= _CAPE_TODO=
    typeset -ga precmd_functions
    ((${precmd_functions[(Ie)_cape_hook]})) || precmd_functions+=(_cape_hook)
fi
