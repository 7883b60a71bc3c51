# The prompt hook of cape for fish: `cape hook fish | source` at the end of `config.fish`. At each prompt it looks,
# with builtins alone, whether the directory or what is entered changed. If so, it finds the projects above,
# and enters those that were allowed. All names begin with `_cape_` or `_CAPE_`. Needs fish 4.

function _cape_hook --on-event fish_prompt
    if builtin test "$PWD" = "$_CAPE_AT" -a (builtin count $_CAPE_UNDO) -eq "$_CAPE_LEVEL"
        _cape_hook_still && return 0
    end
    builtin set -g _CAPE_TODO
    _cape_hook_moved
    for _cape_step in $_CAPE_TODO
        builtin eval $_cape_step
    end
    builtin set -gu _CAPE_AT "$PWD"
    # While something on top holds a project, each prompt looks again.
    builtin set -qg _CAPE_HELD && builtin set -gu _CAPE_AT
    builtin set -gu _CAPE_LEVEL (builtin count $_CAPE_UNDO)
    builtin set -eg _CAPE_HELD
    builtin set -eg _CAPE_TODO
    return 0
end

function _cape_hook_still # whether what is entered is what would be, and nothing that was left out changed
    builtin set -l _cape_i 0
    for _cape_project in $_CAPE_IN
        builtin set _cape_i (builtin math $_cape_i + 1)
        # fish 4.0 takes two files that are not there for one.
        builtin test -e $_cape_project/.cape/current/activate.fish -a "$_CAPE_SCRIPTS[$_cape_i]" -ef $_cape_project/.cape/current/activate.fish || return 1
    end
    for _cape_project in $_CAPE_PENDING
        _cape_hook_news $_cape_project && return 1
    end
    return 0
end

function _cape_hook_news # PROJECT: whether it may be entered, or was changed, since it was left out
    builtin set -l _cape_record $_CAPE_CONSENT$argv[1]
    for _cape_file in $argv[1]/{cape.toml,cape.lock,.cape/current/run.sh} $_cape_record/.cape-answer
        builtin test -e $_cape_file -a $_cape_file -nt $_cape_record/.cape-looked && return 0
    end
    _cape_hook_sealed $argv[1] && return 0
    not builtin test -f $argv[1]/cape.toml || builtin test -e $_cape_record/.cape-denied
end

function _cape_hook_sealed # PROJECT: whether shells may read its scripts, and they are those that were allowed
    builtin set -l _cape_record $_CAPE_CONSENT$argv[1]
    builtin set -l _cape_n 0
    builtin test -f $_cape_record/.cape-allowed || return 1
    while builtin read -l _cape_file
        builtin test -e $_cape_file || return 1
        not builtin test $_cape_file -nt $_cape_record/.cape-stamp.$_cape_n || return 1
        not builtin test $_cape_file -ot $_cape_record/.cape-stamp.$_cape_n || return 1
        builtin set _cape_n (builtin math $_cape_n + 1)
    end <$_cape_record/.cape-allowed
    builtin test $_cape_n -gt 0
end

function _cape_hook_above # projects above here, the outermost first
    builtin set -l _cape_at (builtin realpath -- $PWD 2>/dev/null || builtin echo $PWD)
    builtin test "$_cape_at" = / && builtin set _cape_at ''
    builtin set -l _cape_above
    while true
        builtin test -f $_cape_at/cape.toml && builtin set -p _cape_above (builtin test -n "$_cape_at" && builtin echo $_cape_at || builtin echo /)
        builtin test -n "$_cape_at" || break
        builtin set _cape_at (builtin string replace -r '/[^/]*$' '' -- $_cape_at)
    end
    builtin printf '%s\n' $_cape_above
end

function _cape_hook_moved
    # Who left by hand is not taken in again before the directory was left.
    while builtin set -q _CAPE_IN[1] && builtin test (builtin count $_CAPE_UNDO) -lt $_CAPE_LEVELS[-1]
        builtin set -ga _CAPE_OFF $_CAPE_IN[-1]
        _cape_hook_left
    end
    builtin set -l _cape_wanted
    builtin set -l _cape_off
    builtin set -l _cape_level 0
    builtin set -q _CAPE_LEVELS[-1] && builtin set _cape_level $_CAPE_LEVELS[-1]
    for _cape_project in (_cape_hook_above)
        # Who entered by hand, perhaps in another mode, is inside already.
        if builtin test "$_cape_project" = "$CAPE_PROJECT" -a (builtin count $_CAPE_UNDO) -ne "$_cape_level"
            builtin contains -- $_cape_project $_CAPE_IN $_CAPE_OFF || builtin set -ga _CAPE_OFF $_cape_project
        end
        if builtin contains -- $_cape_project $_CAPE_OFF
            builtin set -a _cape_off $_cape_project
        else
            builtin set -a _cape_wanted $_cape_project
        end
    end
    builtin set -gu _CAPE_OFF $_cape_off
    # A plan is made of pairs: a project to be inside, and the text that enters it.
    builtin set -l _cape_plan
    builtin set -l _cape_skipped
    for _cape_project in $_cape_wanted
        builtin test -e $_CAPE_CONSENT$_cape_project/.cape-denied && continue
        # What was left out is not asked for again before there is news of it.
        if builtin contains -- $_cape_project $_CAPE_PENDING && not _cape_hook_news $_cape_project
            builtin set -a _cape_skipped $_cape_project
            continue
        end
        builtin set -l _cape_text (_cape_hook_quick $_cape_project | builtin string collect)
        if builtin test -z "$_cape_text"
            # Python looks at all projects above, asks, and says the whole plan.
            builtin set -l _cape_skip
            for _cape_project in $_CAPE_OFF $_cape_skipped
                builtin set -a _cape_skip --skip $_cape_project
            end
            builtin set _cape_plan
            builtin eval (command $_CAPE_PROGRAM hook fish --at $PWD $_cape_skip </dev/tty | builtin string collect)
            break
        end
        builtin set -a _cape_plan $_cape_project $_cape_text
    end
    builtin set -gu _CAPE_PENDING
    for _cape_project in $_cape_wanted
        builtin contains -- $_cape_project $_cape_plan || builtin set -ga _CAPE_PENDING $_cape_project
    end
    # What is entered already, and still is what would be entered, stays.
    builtin set -l _cape_kept 0
    builtin set -l _cape_n 1
    while builtin set -q _CAPE_IN[$_cape_n]
        builtin set -l _cape_at (builtin math 2 x $_cape_n - 1)
        builtin set -q _cape_plan[$_cape_at] || break
        builtin test "$_CAPE_IN[$_cape_n]" = "$_cape_plan[$_cape_at]" || break
        builtin test "$_CAPE_TEXTS[$_cape_n]" = "$_cape_plan[$(builtin math $_cape_at + 1)]" || break
        builtin set _cape_kept $_cape_n
        builtin set _cape_n (builtin math $_cape_n + 1)
    end
    for _cape_project in $_CAPE_IN[(builtin math $_cape_kept + 1)..]
        builtin set -q _CAPE_IN[(builtin math $_cape_kept + 1)] || break
        builtin set -a _CAPE_TODO '_cape_hook_leaving && cape deactivate && _cape_hook_left'
    end
    builtin set _cape_n (builtin math 2 x $_cape_kept + 1)
    while builtin set -q _cape_plan[$_cape_n]
        builtin set -l _cape_text $_cape_plan[(builtin math $_cape_n + 1)]
        builtin set -a _CAPE_TODO "if not builtin set -qg _CAPE_HELD
builtin set -gu _CAPE_BEFORE (builtin count \$_CAPE_UNDO)
$_cape_text
_cape_hook_entered "(builtin string escape -- $_cape_plan[$_cape_n] $_cape_text | builtin string join ' ')"
end"
        builtin set _cape_n (builtin math $_cape_n + 2)
    end
end

function _cape_hook_quick # PROJECT: the text that enters it, without asking Python
    builtin set -l _cape_i (builtin contains -i -- $argv[1] $_CAPE_IN)
    if builtin test -n "$_cape_i" -a -e $argv[1]/.cape/current/activate.fish && builtin test "$_CAPE_SCRIPTS[$_cape_i]" -ef $argv[1]/.cape/current/activate.fish
        builtin echo $_CAPE_TEXTS[$_cape_i]
        return 0
    end
    _cape_hook_sealed $argv[1] || return 1
    /bin/sh -c 'cape_mode=print cape_shell=fish cape_level= cape_pure= cape_project=$1
        . "$1/.cape/current/run.sh"' cape $argv[1] </dev/null 2>/dev/null
end

function _cape_hook_leaving # whether the innermost may be left: what was entered by hand on top of it stays
    builtin test (builtin count $_CAPE_UNDO) -eq $_CAPE_LEVELS[-1] && return 0
    builtin set -gu _CAPE_HELD 1
    return 1
end

function _cape_hook_left
    for _cape_list in _CAPE_IN _CAPE_TEXTS _CAPE_LEVELS _CAPE_SCRIPTS
        builtin set -eg $_cape_list"[-1]"
    end
end

function _cape_hook_entered # PROJECT TEXT
    if builtin test (builtin count $_CAPE_UNDO) -le $_CAPE_BEFORE
        # A hook or secret failed, and said so: once is enough.
        builtin set -ga _CAPE_OFF $argv[1]
        return 0
    end
    builtin set -ga _CAPE_IN $argv[1]
    builtin set -ga _CAPE_TEXTS $argv[2]
    builtin set -ga _CAPE_LEVELS (builtin count $_CAPE_UNDO)
    builtin eval builtin set -ga _CAPE_SCRIPTS (builtin string replace 'builtin source ' '' -- $argv[2])
end

builtin set -gu _CAPE_PROGRAM @PROGRAM@
builtin set -gu _CAPE_CONSENT @CONSENT@
builtin set -gu _CAPE_AT
if not builtin set -qg _CAPE_LEVEL
    for _cape_list in _CAPE_IN _CAPE_TEXTS _CAPE_LEVELS _CAPE_SCRIPTS _CAPE_OFF _CAPE_PENDING
        builtin set -gu $_cape_list
    end
    builtin set -gu _CAPE_LEVEL -1
end
builtin set -e _cape_list
if not builtin status is-interactive
    builtin functions --erase _cape_hook
end
