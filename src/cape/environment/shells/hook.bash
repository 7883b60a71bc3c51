# The prompt hook of cape for bash: `eval "$(cape hook bash)"` at the end of `.bashrc`. At each prompt it looks,
# with builtins alone, whether the directory or what is entered changed. If so, it finds the projects above,
# and enters those that were allowed. All names begin with `_cape_` or `_CAPE_`.

_cape_hook() { # at each prompt: what is to be evaluated, into `_CAPE_TODO`
    local -
    \builtin set +aeuf
    local IFS=$' \t\n' _cape_i
    _CAPE_TODO=
    if [[ $PWD == "$_CAPE_AT" && ${#_CAPE_UNDO[@]} -eq $_CAPE_LEVEL ]]; then
        for _cape_i in "${!_CAPE_IN[@]}"; do
            [[ ${_CAPE_SCRIPTS[_cape_i]} -ef ${_CAPE_IN[_cape_i]}/.cape/current/activate.bash ]] || \builtin break
            _cape_i=
        done
        if [[ -z $_cape_i ]]; then
            [[ ${#_CAPE_PENDING[@]} -gt 0 ]] || \builtin return 0
            for _cape_i in "${_CAPE_PENDING[@]}"; do
                ! _cape_hook_news "$_cape_i" || \builtin break
                _cape_i=
            done
            [[ -n $_cape_i ]] || \builtin return 0
        fi
    fi
    _cape_hook_moved
}

_cape_hook_news() { # PROJECT: whether it may be entered, or was changed, since it was left out
    local _cape_file _cape_looked=$_CAPE_CONSENT$1/.cape-looked
    for _cape_file in "$1/cape.toml" "$1/cape.lock" "$1/.cape/current/run.sh" "$_CAPE_CONSENT$1/.cape-answer"; do
        [[ ! $_cape_file -nt $_cape_looked ]] || \builtin return 0
    done
    _cape_hook_sealed "$1" || [[ ! -f $1/cape.toml || -e $_CAPE_CONSENT$1/.cape-denied ]]
}

_cape_hook_sealed() { # PROJECT: whether shells may read its scripts, and they are those that were allowed
    local _cape_file _cape_record=$_CAPE_CONSENT$1
    local -i _cape_n=0
    [[ -f $_cape_record/.cape-allowed ]] || \builtin return 1
    while IFS= \builtin read -r _cape_file; do
        [[ -e $_cape_file && ! $_cape_file -nt $_cape_record/.cape-stamp.$_cape_n &&
            ! $_cape_file -ot $_cape_record/.cape-stamp.$_cape_n ]] || \builtin return 1
        _cape_n+=1
    done <"$_cape_record/.cape-allowed"
    ((_cape_n))
}

_cape_hook_above() { # projects above here, the outermost first, into `_cape_above`
    local _cape_at=$PWD _cape_link=
    _cape_above=()
    while [[ -n $_cape_at ]]; do
        [[ ! -L $_cape_at ]] || _cape_link=1
        _cape_at=${_cape_at%/*}
    done
    _cape_at=$PWD
    # Only where a link leads here does it take a process to know where here is.
    [[ -z $_cape_link ]] || _cape_at=$(\builtin pwd -P 2>/dev/null) || _cape_at=$PWD
    while :; do
        [[ ! -f $_cape_at/cape.toml ]] || _cape_above=("${_cape_at:-/}" "${_cape_above[@]}")
        [[ -n $_cape_at ]] || \builtin break
        _cape_at=${_cape_at%/*}
    done
}

_cape_hook_has() { # WORD ...: whether the first is among the others
    local _cape_first=$1 _cape_word
    shift
    for _cape_word; do [[ $_cape_word != "$_cape_first" ]] || \builtin return 0; done
    \builtin return 1
}

_cape_hook_moved() {
    local _cape_project _cape_text
    local -a _cape_above _cape_wanted=() _cape_plan=() _cape_off=() _cape_pending=() _cape_skipped=()
    local -i _cape_kept=0 _cape_top=${#_CAPE_IN[@]} _cape_level=0 _cape_n
    # Who left by hand is not taken in again before the directory was left.
    while ((_cape_top && ${#_CAPE_UNDO[@]} < _CAPE_LEVELS[_cape_top - 1])); do
        _cape_top+=-1
        _CAPE_OFF+=("${_CAPE_IN[_cape_top]}")
    done
    _CAPE_IN=("${_CAPE_IN[@]:0:_cape_top}") _CAPE_LEVELS=("${_CAPE_LEVELS[@]:0:_cape_top}")
    ((!_cape_top)) || _cape_level=_CAPE_LEVELS[_cape_top-1]
    _cape_hook_above
    for _cape_project in "${_CAPE_OFF[@]}"; do
        ! _cape_hook_has "$_cape_project" "${_cape_above[@]}" || _cape_off+=("$_cape_project")
    done
    _CAPE_OFF=("${_cape_off[@]}")
    for _cape_project in "${_cape_above[@]}"; do
        # Who entered by hand, perhaps in another mode, is inside already.
        [[ $_cape_project != "${CAPE_PROJECT-}" || ${#_CAPE_UNDO[@]} -eq $_cape_level ]] ||
            _cape_hook_has "$_cape_project" "${_CAPE_IN[@]}" || _CAPE_OFF+=("$_cape_project")
        _cape_hook_has "$_cape_project" "${_CAPE_OFF[@]}" || _cape_wanted+=("$_cape_project")
    done
    # A plan is made of pairs: a project to be inside, and the text that enters it.
    for _cape_project in "${_cape_wanted[@]}"; do
        [[ ! -e $_CAPE_CONSENT$_cape_project/.cape-denied ]] || \builtin continue
        # What was left out is not asked for again before there is news of it.
        if _cape_hook_has "$_cape_project" "${_CAPE_PENDING[@]}" && ! _cape_hook_news "$_cape_project"; then
            _cape_skipped+=("$_cape_project")
            \builtin continue
        fi
        _cape_hook_quick "$_cape_project" || {
            _cape_hook_ask
            \builtin break
        }
        _cape_plan+=("$_cape_project" "$_cape_text")
    done
    for _cape_project in "${_cape_wanted[@]}"; do
        _cape_hook_has "$_cape_project" "${_cape_plan[@]}" || _cape_pending+=("$_cape_project")
    done
    _CAPE_PENDING=("${_cape_pending[@]}")
    # What is entered already, and still is what would be entered, stays.
    while ((_cape_kept < _cape_top)) && [[ ${_CAPE_IN[_cape_kept]} == "${_cape_plan[2 * _cape_kept]-}" &&
        ${_CAPE_TEXTS[_cape_kept]} == "${_cape_plan[2 * _cape_kept + 1]-}" ]]; do
        _cape_kept+=1
    done
    for ((_cape_n = _cape_top; _cape_n > _cape_kept; _cape_n--)); do
        _CAPE_TODO+="_cape_hook_leaving && {
_cape_leave
_cape_hook_left
}
"
    done
    for ((_cape_n = 2 * _cape_kept; _cape_n < ${#_cape_plan[@]}; _cape_n += 2)); do
        _CAPE_TODO+="_cape_hook_entering ${_cape_plan[_cape_n]@Q} && {
${_cape_plan[_cape_n + 1]}
_cape_hook_entered ${_cape_plan[_cape_n]@Q} ${_cape_plan[_cape_n + 1]@Q}
}
"
    done
    _CAPE_TODO+=_cape_hook_done
}

_cape_hook_quick() { # PROJECT: the text that enters it, into `_cape_text`, without asking Python
    local -i _cape_i
    for ((_cape_i = 0; _cape_i < ${#_CAPE_IN[@]}; _cape_i++)); do
        if [[ ${_CAPE_IN[_cape_i]} == "$1" && ${_CAPE_SCRIPTS[_cape_i]} -ef $1/.cape/current/activate.bash ]]; then
            _cape_text=${_CAPE_TEXTS[_cape_i]}
            \builtin return 0
        fi
    done
    _cape_hook_sealed "$1" || \builtin return 1
    _cape_text=$(/bin/sh -c 'cape_mode=print cape_shell=bash cape_level= cape_pure= cape_project=$1
        . "$1/.cape/current/run.sh"' cape "$1" </dev/null 2>/dev/null)
    [[ -n $_cape_text ]]
}

_cape_hook_ask() { # Python looks at all projects above, asks, and says the whole plan
    local -a _cape_skip=()
    for _cape_project in "${_CAPE_OFF[@]}" "${_cape_skipped[@]}"; do _cape_skip+=(--skip "$_cape_project"); done
    _cape_plan=()
    \builtin eval "$(\builtin command "$_CAPE_PROGRAM" hook bash --at "$PWD" "${_cape_skip[@]}")"
}

# What follows is called from the shell's top level, so that a profile may declare what it likes.

_cape_hook_leaving() { # whether the innermost may be left: what was entered by hand on top of it stays
    local -
    \builtin set +aeu
    ((${#_CAPE_UNDO[@]} != _CAPE_LEVELS[${#_CAPE_IN[@]} - 1])) || \builtin return 0
    _CAPE_HELD=1
    \builtin return 1
}

_cape_hook_left() {
    local -
    \builtin set +aeu
    _CAPE_IN=("${_CAPE_IN[@]:0:${#_CAPE_IN[@]}-1}") _CAPE_LEVELS=("${_CAPE_LEVELS[@]:0:${#_CAPE_IN[@]}}")
}

_cape_hook_entering() { # PROJECT
    local -
    \builtin set +aeu
    [[ -z ${_CAPE_HELD-} ]] || \builtin return 1
    _CAPE_BEFORE=${#_CAPE_UNDO[@]}
}

_cape_hook_entered() { # PROJECT TEXT
    local -
    \builtin set +aeu
    local -i _cape_n=${#_CAPE_IN[@]}
    local _cape_script=${2#'\. '}
    if ((${#_CAPE_UNDO[@]} <= _CAPE_BEFORE)); then
        # A hook or secret failed, and said so: once is enough.
        _CAPE_OFF+=("$1")
        \builtin return 0
    fi
    \builtin eval "_CAPE_SCRIPTS[_cape_n]=$_cape_script"
    _CAPE_IN[_cape_n]=$1 _CAPE_TEXTS[_cape_n]=$2 _CAPE_LEVELS[_cape_n]=${#_CAPE_UNDO[@]}
}

_cape_hook_done() {
    local -
    \builtin set +aeu
    _CAPE_AT=$PWD _CAPE_LEVEL=${#_CAPE_UNDO[@]} _CAPE_TODO=
    # While something on top holds a project, each prompt looks again.
    [[ -z ${_CAPE_HELD-} ]] || _CAPE_AT=
    \builtin unset -v _CAPE_HELD _CAPE_BEFORE
}

if [[ $- == *i* && -n ${BASH_VERSINFO-} && ${BASH_VERSINFO[0]}${BASH_VERSINFO[1]} -ge 44 ]]; then
    _CAPE_PROGRAM=@PROGRAM@ _CAPE_CONSENT=@CONSENT@ _CAPE_AT= _CAPE_TODO=
    if [[ -z ${_CAPE_LEVEL+x} ]]; then
        _CAPE_LEVEL=-1 _CAPE_IN=() _CAPE_SCRIPTS=() _CAPE_TEXTS=() _CAPE_LEVELS=() _CAPE_OFF=() _CAPE_PENDING=()
    fi
    if [[ "${PROMPT_COMMAND[*]-}" != *_cape_hook* ]]; then
        if [[ ${BASH_VERSINFO[0]}${BASH_VERSINFO[1]} -ge 51 ]]; then
            PROMPT_COMMAND+=('_cape_hook; \builtin eval "$_CAPE_TODO"')
        else
            PROMPT_COMMAND="${PROMPT_COMMAND:+$PROMPT_COMMAND
}_cape_hook; \\builtin eval \"\$_CAPE_TODO\""
        fi
    fi
fi
