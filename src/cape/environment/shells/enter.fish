# The part of every fish activation that is the same: how variables change, and how they change back.
# Each step puts its undoing in front of `_cape_undo`; `_cape_end` pushes that text on `_CAPE_UNDO`, and
# `cape deactivate` pops and runs it. Only global variables are touched: a universal one shows through
# again when the global one before it goes. `builtin` goes past functions of the user's; nothing forks.
# All names begin with `_cape_`; only `cape`, `_cape_leave`, `_cape_drop`, `_cape_give`, the kept prompts and
# `_CAPE_UNDO` stay.

function _cape_text # SCOPE NAME: the command that gives the variable its present state
    builtin set -l _cape_flags $argv[1]
    builtin set -q$argv[1]x $argv[2] && builtin set _cape_flags $_cape_flags"x" || builtin set _cape_flags $_cape_flags"u"
    builtin set -q$argv[1] --path $argv[2] && builtin set _cape_flags "$_cape_flags --path" || builtin set _cape_flags "$_cape_flags --unpath"
    builtin string join ' ' -- "builtin set -$_cape_flags $argv[2]" (builtin string escape -- $$argv[2])
end

function _cape_undoing # TEXT: put it in front
    builtin set -g _cape_undo "$argv[1]"\n"$_cape_undo"
end

function _cape_saved # NAME: the commands that give the global variable its present state, or absence
    if builtin set -qg $argv[1]
        _cape_text g $argv[1]
    else
        builtin echo "builtin set -eg $argv[1]"
    end
end

function _cape_had # NAME FILE ...: whether the variable is set, or one of the files is there
    builtin set -q $argv[1] && return 0
    for _cape_file in $argv[2..]
        builtin test -e $_cape_file && return 0
    end
    return 1
end

function _cape_assign # NAME VALUE: set and export
    # `set` gives the status of what came before it, if it succeeds.
    if builtin true && builtin set -gx $argv[1] "$argv[2]" 2>/dev/null
        return 0
    end
    builtin echo "cape: `$argv[1]` is read-only in this shell and stays as it is" >&2
    return 1
end

function _cape_set # NAME VALUE
    builtin set -l _cape_said (_cape_saved $argv[1])
    _cape_assign $argv && _cape_undoing "$_cape_said"
end

function _cape_unset # NAME
    builtin set -q $argv[1] || return 0
    builtin set -l _cape_said (_cape_saved $argv[1])
    builtin set -eg $argv[1] 2>/dev/null
    # What is universal is hidden, since it belongs to all shells.
    builtin set -q $argv[1] && builtin set -gu $argv[1]
    _cape_undoing "$_cape_said"
end

function _cape_prepend # NAME VALUE SEPARATOR [BEFORE-NOTHING]
    builtin set -l _cape_old "$$argv[1]"
    builtin set -l _cape_front "$argv[2]$argv[3]"
    if builtin test "$_cape_old" = "$argv[2]"
        return 0
    end
    if builtin string match -qr -- '^'(builtin string escape --style=regex -- "$_cape_front") "$_cape_old"
        return 0
    end
    builtin set -l _cape_said (_cape_saved $argv[1])
    builtin set -l _cape_new "$_cape_front$_cape_old"
    builtin test -n "$_cape_old" || builtin set _cape_new "$argv[2]$argv[4]"
    _cape_assign $argv[1] "$_cape_new" || return 0
    # If nobody changed the value meanwhile, its exact state comes back; else only our own part goes.
    builtin set -l _cape_now (builtin string escape -- "$(builtin string escape -- $$argv[1])")
    builtin set -l _cape_words (builtin string escape -- $argv[1..3] | builtin string join ' ')
    _cape_undoing "if builtin test \"\$(builtin string escape -- \$$argv[1])\" = $_cape_now
$_cape_said
else
_cape_drop $_cape_words
end"
end

function _cape_complete # DIRECTORY: its completions come first
    builtin contains -- $argv[1] $fish_complete_path && return 0
    _cape_undoing (_cape_saved fish_complete_path)
    builtin set -g fish_complete_path $argv[1] $fish_complete_path
end

function _cape_front # what outer environments had in front of PATH before start-up files comes in front again
    builtin set -q _cape_path || return 0
    builtin set -l _cape_layers
    for _cape_entry in (builtin string split : -- "$_cape_path")
        builtin string match -q '/*/bin' -- $_cape_entry && builtin test -e (builtin string sub -e -4 -- $_cape_entry)/environment.json || continue
        builtin set -a _cape_layers $_cape_entry
    end
    builtin set -l _cape_rest
    for _cape_entry in $PATH
        builtin contains -- $_cape_entry $_cape_layers || builtin set -a _cape_rest $_cape_entry
    end
    builtin set -gx PATH $_cape_layers $_cape_rest
    builtin set -e _cape_path
end

function _cape_drop # NAME VALUE SEPARATOR: take the first VALUE out of a list
    builtin set -l _cape_list "$argv[3]$$argv[1]$argv[3]"
    builtin set _cape_list "$(builtin string replace -- "$argv[3]$argv[2]$argv[3]" "$argv[3]" "$_cape_list")"
    builtin set -l _cape_width (builtin string length -- "$argv[3]")
    builtin set _cape_list "$(builtin string sub -s (builtin math $_cape_width + 1) -- "$_cape_list")"
    builtin test -n "$_cape_list" && builtin set _cape_list "$(builtin string sub -e -$_cape_width -- "$_cape_list")"
    builtin set -g $argv[1] "$_cape_list"
end

function _cape_give # STATUS
    return $argv[1]
end

function _cape_prompt # PREFIX
    builtin status is-interactive || return 0
    builtin functions -q fish_prompt || return 0
    builtin set -l _cape_kept _cape_prompt_(builtin count $_CAPE_UNDO)
    builtin functions -q $_cape_kept && return 0
    builtin functions --copy fish_prompt $_cape_kept
    builtin eval "function fish_prompt
    builtin set -l _cape_status \$status
    builtin printf %s "(builtin string escape -- "$argv[1]")"
    _cape_give \$_cape_status
    $_cape_kept
end"
    _cape_undoing "if builtin functions --no-details fish_prompt | builtin string match -q '*$_cape_kept*'
builtin functions --erase fish_prompt
builtin functions --copy $_cape_kept fish_prompt
end
builtin functions --erase $_cape_kept"
end

function _cape_leave
    builtin set -q _CAPE_UNDO[-1] || return 1
    builtin set -l _cape_text $_CAPE_UNDO[-1]
    builtin set -eg _CAPE_UNDO[-1]
    builtin eval $_cape_text
end

function _cape_begin
    builtin set -g _cape_undo ''
    builtin set -qg _CAPE_UNDO[1] && return 0
    builtin functions -q cape && builtin set _cape_undo (builtin functions --no-details cape | builtin string collect)
    _cape_undoing "builtin functions --erase cape _cape_leave _cape_drop _cape_give
builtin set -eg _CAPE_UNDO"
end

function _cape_end
    function cape
        if builtin test "$argv" = deactivate && builtin set -qg _CAPE_UNDO[1]
            _cape_leave
        else
            command cape $argv
        end
    end
    builtin set -qg _CAPE_UNDO || builtin set -gu --unpath _CAPE_UNDO
    builtin set -ga _CAPE_UNDO "$_cape_undo"
    builtin set -eg _cape_undo
end

# A profile may do anything, so around it the whole shell is looked at.

function _cape_look # FUNCTION ...: remember the shell as it is now, and these functions
    builtin set -g _cape_names
    builtin set -g _cape_lines
    for _cape_scope in g U
        for _cape_name in (builtin set -n$_cape_scope)
            switch $_cape_name
                case '_cape_*' '_CAPE_*' status pipestatus PWD OLDPWD SHLVL _ history CMD_DURATION fish_pid hostname version \
                        FISH_VERSION umask COLUMNS LINES argv last_pid fish_kill_signal fish_killring status_generation 'dirprev' dirnext
                    continue
            end
            # A universal variable behind a global one cannot be read from here.
            builtin test $_cape_scope = U && builtin set -qg $_cape_name && continue
            builtin set -a _cape_names $_cape_scope:$_cape_name
            builtin set -a _cape_lines (_cape_text $_cape_scope $_cape_name)
        end
    end
    builtin set -g _cape_known (builtin functions --all --names)
    builtin set -l _cape_own (builtin string replace -r '^.*/' '' -- $fish_function_path/*.fish | builtin string replace -r '\.fish$' '')
    builtin set -g _cape_functions
    builtin set -g _cape_bodies
    for _cape_name in $_cape_known
        switch $_cape_name
            case '_cape_*' cape
                continue
        end
        builtin contains -- $_cape_name $_cape_own && not builtin contains -- $_cape_name $argv && continue
        builtin set -a _cape_functions $_cape_name
        # One that was erased is still listed if it could be loaded: it has no text, and is not loaded again.
        builtin set -a _cape_bodies "$(builtin functions --no-details -- $_cape_name 2>/dev/null)"
    end
    builtin set -g _cape_abbrs (builtin abbr --list)
    builtin set -g _cape_shown (builtin abbr --show)
end

function _cape_compare # FUNCTION ...: undo what differs from what `_cape_look` saw
    for _cape_part in names lines known functions bodies abbrs shown
        builtin set -l _cape_from _cape_$_cape_part
        builtin set -g _cape_old_$_cape_part $$_cape_from
    end
    _cape_look $argv
    for _cape_name in $_cape_names
        builtin contains -- $_cape_name $_cape_old_names && continue
        # Behind a global variable that went away a universal one is seen that was there all the time.
        builtin string match -q 'U:*' -- $_cape_name && builtin contains -- (builtin string replace U: g: -- $_cape_name) $_cape_old_names && continue
        _cape_undoing "builtin set -e"(builtin string replace : ' ' -- $_cape_name)
    end
    for _cape_line in $_cape_old_lines
        builtin contains -- $_cape_line $_cape_lines || _cape_undoing $_cape_line
    end
    for _cape_name in $_cape_known
        builtin contains -- $_cape_name $_cape_old_known || _cape_undoing "builtin functions --erase -- "(builtin string escape -- $_cape_name)
    end
    for _cape_name in $_cape_old_functions
        builtin set -l _cape_at (builtin contains -i -- $_cape_name $_cape_old_functions)
        builtin set -l _cape_now (builtin contains -i -- $_cape_name $_cape_functions)
        builtin test -n "$_cape_now" && builtin test "$_cape_bodies[$_cape_now]" = "$_cape_old_bodies[$_cape_at]" && continue
        if builtin test -n "$_cape_old_bodies[$_cape_at]"
            _cape_undoing "$_cape_old_bodies[$_cape_at]"
        else
            _cape_undoing "builtin functions --erase -- "(builtin string escape -- $_cape_name)
        end
    end
    # They are kept in the order of their making: if one is to come back, all are made anew.
    builtin set -l _cape_gone
    for _cape_name in $_cape_abbrs
        builtin contains -- $_cape_name $_cape_old_abbrs || builtin set -a _cape_gone (builtin string escape -- $_cape_name)
    end
    builtin set -l _cape_still
    for _cape_line in $_cape_shown
        builtin contains -- $_cape_line $_cape_old_shown && builtin set -a _cape_still $_cape_line
    end
    if builtin test "$_cape_still" != "$_cape_old_shown"
        for _cape_line in $_cape_old_shown[-1..1]
            _cape_undoing $_cape_line
        end
        builtin set -a _cape_gone (builtin string escape -- $_cape_old_abbrs)
    end
    builtin set -q _cape_gone[1] && _cape_undoing "builtin abbr --erase -- $_cape_gone 2>/dev/null"
    for _cape_part in names lines known functions bodies abbrs shown
        builtin set -eg _cape_$_cape_part _cape_old_$_cape_part
    end
end
