# The end of a hook's shell, as functions that start no process: what the hook did to exported variables, as
# calls that every shell can take over. A value that only got something in front or behind is told as that, so
# that it composes with the variables of whoever enters later. Runs in dash, busybox, and bash as `sh`.

_cape_each() { # [-FLAGS] NAME[=VALUE]: a line of `export -p`; the name to the list, the value to its own variable
    case $1 in
    -*) shift ;;
    esac
    case $1 in
    *=*) ;;
    *) return 0 ;;
    esac
    _cape_name=${1%%=*}
    case $_cape_name in
    @OWN@ | '' | [!A-Za-z_]* | *[!A-Za-z0-9_]*) return 0 ;;
    esac
    eval "_cape_${_cape_when}_$_cape_name=\${1#*=} _cape_${_cape_when}=\"\$_cape_${_cape_when} $_cape_name\""
}

_cape_replace() { # TEXT OLD NEW: into `_cape_text`
    _cape_text= _cape_rest=$1
    while :; do
        case $_cape_rest in
        *"$2"*) _cape_text=$_cape_text${_cape_rest%%"$2"*}$3 _cape_rest=${_cape_rest#*"$2"} ;;
        *) break ;;
        esac
    done
    _cape_text=$_cape_text$_cape_rest
}

_cape_word() { # TEXT: behind both lists of calls, as one word or a part of one
    _cape_replace "$1" \' "'\\''"
    _cape_sh="$_cape_sh'$_cape_text'"
    _cape_replace "$1" \\ \\\\
    _cape_replace "$_cape_text" \' \\\'
    _cape_fish="$_cape_fish'$_cape_text'"
}

_cape_call() { # TEXT [NAME [TEXT]]: a call for that text, the variable's present value, and that text
    _cape_sh="$_cape_sh$_cape_verb $_cape_name " _cape_fish="$_cape_fish$_cape_verb $_cape_name "
    [ -z "$1" ] && [ "${2-}" ] || _cape_word "$1"
    case ${2-} in
    ?*)
        _cape_sh="$_cape_sh\"\${$2-}\"" _cape_fish="$_cape_fish\"\$$2\""
        [ -z "$3" ] || _cape_word "$3"
        ;;
    esac
    case $_cape_verb in
    _cape_prepend) _cape_sh="$_cape_sh ':'" _cape_fish="$_cape_fish ':'" ;;
    esac
    _cape_sh="$_cape_sh$_cape_newline" _cape_fish="$_cape_fish$_cape_newline"
}

_cape_changed() { # how `_cape_name` came from `_cape_old` to `_cape_new`
    _cape_verb=_cape_set
    case ${_cape_old:+$_cape_name} in
    @LISTS@)
        case ":$_cape_new:" in
        *":$_cape_old:"*)
            case $_cape_new in
            *":$_cape_old") _cape_verb=_cape_prepend && _cape_call "${_cape_new%":$_cape_old"}" ;;
            "$_cape_old:"*) _cape_call '' "$_cape_name" "${_cape_new#"$_cape_old"}" ;;
            *)
                _cape_rest=:${_cape_new#*":$_cape_old:"}
                _cape_call "${_cape_new%%":$_cape_old:"*}:" "$_cape_name" "$_cape_rest"
                ;;
            esac
            return
            ;;
        esac
        ;;
    esac
    _cape_call "$_cape_new"
}

_cape_record() { # BEFORE AFTER DIRECTORY: what `export -p` said; write `variables.sh` and its like
    { set +aefuCvx; } 2>/dev/null
    _cape_newline='
' _cape_sh= _cape_fish= _cape_was= _cape_is=
    IFS=" 	$_cape_newline"
    alias export=_cape_each
    _cape_when=is
    eval "$2"
    _cape_when=was
    # Where nothing came, this shell has no aliases, and `export` did what it says.
    [ -z "$_cape_is" ] || eval "$1"
    unalias export
    [ "$_cape_is" ] || return 1
    for _cape_name in $_cape_is; do
        eval "_cape_new=\$_cape_is_$_cape_name _cape_old=\${_cape_was_$_cape_name-} _cape_had=\${_cape_was_$_cape_name+x}"
        [ "$_cape_had$_cape_old" = "x$_cape_new" ] || _cape_changed
    done
    for _cape_name in $_cape_was; do
        eval "_cape_had=\${_cape_is_$_cape_name+x}"
        [ "$_cape_had" ] || _cape_sh="${_cape_sh}_cape_unset $_cape_name$_cape_newline" \
            _cape_fish="${_cape_fish}_cape_unset $_cape_name$_cape_newline"
    done
    umask 077
    printf %s "$_cape_fish" >"$3/variables.fish" && printf %s "$_cape_sh" >"$3/variables.sh"
}
