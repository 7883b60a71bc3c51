"""Hooks: `on-activate` once per start of an environment, `on-deactivate` at its end, and both their logs.

A start begins when somebody enters while nobody is inside, and ends when the last has left. Owns
`<project>/.cape/starts/KEY/`, where KEY stands for what is entered: `start.sh`, which attaches a shell and
runs the hook or waits for who runs it; the hooks' texts; and a file `claim.N` per start, which whoever
creates it first (the kernel says who) runs. What the hook did to exported variables is in `variables.sh` and
its like (`recording`); who runs `on-deactivate` is `leaving`. How each shell calls `start.sh` is its own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from pathlib import Path

from cape.environment.activation import Activation, recorded_operations
from cape.environment.attachments import KEY_NAME
from cape.environment.attachments import directory_of as attached_in
from cape.environment.recording import recorder
from cape.environment.shells.attaching import (
    BASH_ATTACH,
    FISH_ATTACH,
    FISH_DETACH,
    SH_BORN,
    SH_PRUNE,
    ZSH_ATTACH,
    sh_attach,
)
from cape.environment.shells.quoting import fish_quoted, quoted
from cape.names import Digest, write_atomically

IN_HOOK = "_CAPE_HOOK"
"""A variable that a hook sees, and nobody else: what it starts can tell where it is."""

_KEPT = 8
_WRITTEN = "# Written by cape when it sealed this generation: edits are lost.\n"


def key_of(activation: Activation) -> str:
    """What is entered, in one word: equal for equal environments, variables, secrets and hooks.

    It begins with the environment's name in the store (see `attachments`): that must not be collected.
    """
    told = [{**row, "origin": ""} for row in recorded_operations(activation.operations)]
    what = (
        activation.environment,
        told,
        activation.secrets,
        activation.hook,
        activation.on_deactivate,
        activation.name,
    )
    digest = Digest.of(repr(what).encode("utf-8", "surrogatepass"))
    return f"{activation.environment.name[:KEY_NAME]}.{digest.hex[:16]}"


def home_of(activation: Activation) -> Path:
    """The directory of the starts of this."""
    return activation.project / ".cape" / "starts" / key_of(activation)


def has_hooks(activation: Activation) -> bool:
    """Whether anything is to run at the start or the end."""
    return activation.hook is not None or activation.on_deactivate is not None


def write_start(activation: Activation) -> None:
    """Write what entering will need below `.cape`, whole files only; nothing that is there is changed.

    The directories of starts that nobody is in and that are not the latest are taken away.
    """
    own = activation.project / ".cape"
    for directory in (own, attached_in(activation.project)):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not has_hooks(activation):
        return
    home = home_of(activation)
    for directory in (home.parent, home, own / "logs"):
        directory.mkdir(mode=0o700, exist_ok=True)
    texts = {"start.sh": _start(activation)}
    if activation.hook is not None:
        texts["on-activate.sh"] = _hook_script(activation.hook, home)
    if activation.on_deactivate is not None:
        texts["on-deactivate.sh"] = activation.on_deactivate
    for name, text in texts.items():
        _renew(home / name, os.fsencode(text))
    os.utime(home)
    _sweep(activation.project, home)


def _renew(file: Path, data: bytes) -> None:
    with contextlib.suppress(OSError):
        if file.read_bytes() == data:
            return
    write_atomically(file, data, mode=0o600)


def _sweep(project: Path, mine: Path) -> None:
    from cape.environment.attachments import alive

    homes = sorted(mine.parent.iterdir(), key=lambda home: home.stat().st_mtime_ns, reverse=True)
    used = {one.key for one in alive(project)}
    for home in homes[_KEPT:]:
        if home.name not in used and home != mine:
            shutil.rmtree(home, ignore_errors=True)


# -- the hook -------------------------------------------------------------------------------------------

_HOOK = """\
_cape_at() { # LINE: remember it; the status of the command before stays, unless that would end the hook
    set -- $? "$1"
    _cape_line=$2
    case $- in *e*) return 0 ;; esac
    return $1
}
_cape_over() {
    _cape_status=$?
    trap - EXIT
    printf 'ran %s %s\\n' "$_cape_status" "$_cape_line" >>"$_cape_end"
    [ "$_cape_status" -eq 0 ] || return 0
    _cape_after=$(export -p)
    if [ "$_cape_before" != "$_cape_after" ]; then
        _cape_record "$_cape_before" "$_cape_after" @HOME@ || _cape_status=1
    elif [ -e @HOME@/variables.sh ]; then
        PATH=/usr/bin:/bin rm -f -- @HOME@/variables.*
    fi
    exit $_cape_status
}
_cape_line=1 _cape_end=$1
shift
_cape_before=$(export -p)
trap _cape_over EXIT
"""


def _hook_script(hook: str, home: Path) -> str:
    """The hook with its lines told, and what looks afterwards at the variables that it exported.

    It goes on where a hook says `exit`; a hook that becomes another program by `exec` has no end.
    """
    parts = [f"_cape_at {line}\n{text}\n" for line, text in commands_of(hook)]
    return _WRITTEN + recorder() + _HOOK.replace("@HOME@", quoted(str(home))) + "".join(parts)


def commands_of(text: str) -> list[tuple[int, str]]:
    """A shell text in parts that are whole commands, each with its first line, from 1.

    A line starts a part only if the shell itself says that what stands before it is whole. From a here
    document on, which no shell tells from its lines, the rest is one part.
    """
    parts: list[tuple[int, str]] = []
    first, gathered = 1, ""
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        gathered += line + "\n"
        is_last = number == len(lines)
        if not is_last and ("<<" in gathered or line.endswith("\\") or not _is_whole(gathered)):
            continue
        if gathered.strip():
            skipped = len(gathered) - len(gathered.lstrip("\n"))
            parts.append((first + skipped, gathered.strip("\n")))
        first, gathered = number + 1, ""
    return parts


def _is_whole(text: str) -> bool:
    bare = [line.strip() for line in text.split("\n")]
    if all(not line or line.startswith("#") for line in bare):
        return True
    import subprocess

    done = subprocess.run(
        ["/bin/sh", "-n"], input=os.fsencode(text), capture_output=True, check=False, timeout=10
    )
    return done.returncode == 0 and not done.stderr


def _python(module: str, arguments: str) -> str:
    """A command that runs `main` of a module of ours, with little more than itself imported."""
    source = str(Path(__file__).resolve().parents[3])
    program = f"import sys; sys.path.insert(0, {source!r}); from {module} import main; sys.exit(main())"
    return f"{quoted(sys.executable)} -I -S -c {quoted(program)} {arguments}"


# -- the start ------------------------------------------------------------------------------------------

_START = """\
# start.sh PID HOW: attach that process; if it is the first, run the hook. 1: the hook failed.
cape_do() { PATH=/usr/bin:/bin:$PATH "$@"; }
cape_pid=$1 cape_how=$2 cape_home=@HOME@ cape_attached=@ATTACHED@ cape_key=@KEY@ cape_waited= cape_rounds=0
cape_logs=@LOGS@
cape_last() { # the number of the last start, into `cape_n`
    cape_n=0
    for cape_file in "$cape_home"/claim.*; do
        cape_file=${cape_file##*.}
        case $cape_file in '' | *[!0-9]*) continue ;; esac
        [ "$cape_file" -le $cape_n ] || cape_n=$cape_file
    done
}
cape_read() { # what there is about start `cape_n`
    cape_owner= cape_owned= cape_state= cape_code= cape_line= cape_ran= cape_keeper= cape_kept= cape_ended=
    [ -f "$cape_home/claim.$cape_n" ] || return 0
    while read -r cape_word cape_one cape_two; do
        case $cape_word in
        owner) cape_owner=$cape_one cape_owned=$cape_two ;;
        ran) cape_ran=$cape_one cape_line=$cape_two ;;
        done | failed) cape_state=$cape_word cape_code=$cape_one cape_line=$cape_two ;;
        kept) cape_keeper=$cape_one cape_kept=$cape_two ;;
        ended) cape_ended=1 ;;
        over) cape_ended=1 cape_keeper= ;;
        esac
    done <"$cape_home/claim.$cape_n"
}
cape_say() { printf '%s\\n' "$*" >>"$cape_home/claim.$cape_n"; }
cape_lives() { cape_born "$1" && [ "$cape_time" = "$2" ]; } # PID TIME
cape_anyone() { # whether somebody is in start `cape_n`
    for cape_file in "$cape_attached"/*; do
        case ${cape_file##*/} in *[!0-9]*) continue ;; esac
        { IFS= read -r cape_when && read -r cape_its cape_number cape_rest; } 2>/dev/null <"$cape_file" ||
            continue
        [ "$cape_its" = "$cape_key" ] || continue
        [ "$cape_number" = "$cape_n" ] || [ "$cape_number" = - ] || continue
        ! cape_lives "${cape_file##*/}" "$cape_when" || return 0
    done
    return 1
}
cape_enter() { # attach to start `cape_n`
    cape_born "$cape_pid" || return 0
    cape_its="$cape_key $cape_n $cape_how"
    { printf '%s\\n%s\\n' "$cape_time" "$cape_its" >|"$cape_attached/$cape_pid"; } 2>/dev/null
}
cape_failed() { # CODE LINE
    cape_place= cape_text=
    case $2 in
@LINES@
    esac
    printf 'error: the hook `on-activate` failed: %s%s(exit code %s)\\n' \\
        "${cape_place:+$cape_place: }" "${cape_text:+$cape_text }" "$1" >&2
    exit 1
}
cape_wait() { # for what SENTENCE says, a little
    cape_rounds=$((cape_rounds + 1))
    [ $cape_rounds -ne 250 ] || printf 'cape: waiting for %s\\n' "$1" >&2
    # The end of the last start is soon over, if its hook is short.
    [ $cape_rounds -gt 8 ] && cape_do sleep 0.02 || cape_do sleep 0.005
}
for cape_file in "$cape_attached" "$cape_logs"; do
    [ -d "$cape_file" ] || (umask 077; cape_do mkdir -p "$cape_file") 2>/dev/null
done
if [ ! -w "$cape_home" ]; then
    cape_n=0
else
    cape_born $$ || :
    cape_mine="owner $$ $cape_time"
    while :; do
        cape_last
        cape_read
        case $cape_n:$cape_state in
        0:*) ;;
        *:done)
            if [ -z "$cape_ended" ] && { [ "$cape_waited" = $cape_n ] || cape_anyone; }; then
                [ "$cape_waited" = $cape_n ] || cape_enter
                cape_read
                [ "$cape_ended" ] || exit 0
                continue
            fi
            if [ "$cape_keeper" ] && cape_lives "$cape_keeper" "$cape_kept"; then
                cape_wait "the hook \\`on-deactivate\\` of the environment's last start"
                continue
            fi
            ;;
        *:failed) [ "$cape_waited" != $cape_n ] || cape_failed "$cape_code" "$cape_line" ;;
        *)
            if [ -z "$cape_owner" ] && [ $cape_rounds -lt 50 ] || cape_lives "$cape_owner" "$cape_owned"; then
                [ "$cape_waited" = $cape_n ] || cape_enter
                cape_waited=$cape_n
                cape_wait "the hook \\`on-activate\\`, which process $cape_owner runs"
                continue
            fi
            ;;
        esac
        cape_mark=$((cape_n + 1))
        set -C
        { printf '%s\\n' "$cape_mine" >"$cape_home/claim.$cape_mark"; } 2>/dev/null || cape_mark=
        set +C
        [ "$cape_mark" ] || continue
        cape_last
        [ $cape_n -ne $cape_mark ] || break
    done
    cape_enter
fi
# What starts before this one left goes while the hook runs.
set --
for cape_file in "$cape_home"/claim.* "$cape_home"/pipe.*; do
    [ $cape_n -ne 0 ] && [ -e "$cape_file" ] && [ "$cape_file" != "$cape_home/claim.$cape_n" ] || continue
    set -- "$@" "$cape_file"
done
cape_prune "$cape_attached"/* >/dev/null 2>&1 &
"""

_RUN = """\
cape_log=$cape_logs/on-activate.log cape_pipe=$cape_home/pipe.$$ cape_status=0
cape_end=$cape_home/claim.$cape_n
[ $cape_n -ne 0 ] || cape_end=/dev/null
[ ! -s "$cape_log" ] || cape_do mv -f -- "$cape_log" "$cape_log.1" 2>/dev/null
if [ -w "$cape_logs" ] && cape_do mkfifo -m 600 "$cape_pipe" 2>/dev/null; then
    { umask 077; PATH=/usr/bin:/bin:$PATH; exec tee -a "$cape_log"; } <"$cape_pipe" >&2 &
    cape_tee=$!
    exec 7>"$cape_pipe"
    set -- "$@" "$cape_pipe"
else
    exec 7>&2
    cape_tee=
fi
@GONE@
if [ -t 2 ]; then
    @NAME@=on-activate /bin/sh @HOOK@ "$cape_end" </dev/null >&7 7>&- || cape_status=$?
else
    @NAME@=on-activate /bin/sh @HOOK@ "$cape_end" </dev/null >&7 2>&7 7>&- || cape_status=$?
fi
exec 7>&-
# What the hook left running may hold the pipe for long: the rest of its words comes when it comes.
cape_rounds=0
while [ "$cape_tee" ] && cape_born "$cape_tee" && [ $cape_rounds -lt 70 ]; do
    cape_rounds=$((cape_rounds + 1))
    [ $cape_rounds -lt 50 ] || cape_do sleep 0.003
done
[ $cape_n -ne 0 ] || cape_ran=$cape_status
[ $cape_n -eq 0 ] || cape_read
[ "$cape_ran" ] || cape_do rm -f -- "$cape_home"/variables.*
if [ $cape_status -ne 0 ]; then
    if [ -z "$cape_ran" ]; then
        printf 'note: it had no end of its own: a signal ended it, or it called `exec`\\n' >&2
    elif [ "$cape_ran" -eq 0 ]; then
        printf 'note: the variables that it exported could not be kept\\n' >&2
    fi
    [ $cape_n -eq 0 ] || cape_say "failed $cape_status $cape_line"
    cape_do rm -f -- "$cape_attached/$cape_pid"
    cape_failed $cape_status "$cape_line"
fi
[ "$cape_ran" ] || {
    printf 'note: the hook `on-activate` called `exec`, so variables that it exported are lost: %s\\n' \\
        'call the program without `exec`' >&2
}
"""

_GONE = '[ $# -eq 0 ] || cape_do rm -f -- "$@" >/dev/null 2>&1 7>&- &'

_KEEP = """\
[ $cape_n -eq 0 ] || {
    cape_born "$cape_pid"
    @KEEPER@ "$cape_n" "$cape_pid" "$cape_time" <"$cape_home/on-deactivate.sh" >/dev/null 2>&1 &
    cape_born $! && cape_say "kept $! $cape_time"
}
"""


def _start(activation: Activation) -> str:
    home = home_of(activation)
    text = _WRITTEN + SH_BORN + SH_PRUNE + _START
    if activation.hook is not None:
        text += _RUN.replace("@GONE@", _GONE)
    else:
        text += f"{_GONE}\n"
    if activation.on_deactivate is not None:
        text += _KEEP
    text += "[ $cape_n -eq 0 ] || cape_say done\nexit 0\n"
    keeper = f"{quoted(str(activation.project))} {quoted(home.name)}"
    for name, value in {
        "@HOME@": quoted(str(home)),
        "@ATTACHED@": quoted(str(attached_in(activation.project))),
        "@LOGS@": quoted(str(activation.project / ".cape" / "logs")),
        "@KEY@": home.name,
        "@NAME@": IN_HOOK,
        "@HOOK@": quoted(str(home / "on-activate.sh")),
        "@KEEPER@": _python("cape.environment.leaving", keeper),
        "@LINES@": _line_table(activation),
    }.items():
        text = text.replace(name, value)
    return text


def _line_table(activation: Activation) -> str:
    """For each part of the hook where it stands and its first line, as rows of a `case`."""
    rows = []
    for line, text in commands_of(activation.hook or ""):
        place = activation.hook_lines[line - 1] if line <= len(activation.hook_lines) else ""
        first = text.strip().split("\n")[0].strip()
        rows.append(f"    {line}) cape_place={quoted(place)} cape_text={quoted(_short(first))} ;;")
    return "\n".join(rows) or "    *) ;;"


def _short(text: str) -> str:
    return text if len(text) <= 100 else text[:97] + "..."


# -- how shells call it ---------------------------------------------------------------------------------


def start_command(activation: Activation, pid: str, how: str) -> str:
    """The command, the same in every shell but fish, that attaches the process `pid` (`"$$"`).

    It leaves 0 when the shell may go on, and then `variables_file` is to be read if it is there.
    """
    return f"/bin/sh {quoted(str(home_of(activation) / 'start.sh'))} {pid} {how} </dev/null >&2"


def variables_file(activation: Activation) -> Path:
    """Calls of `_cape_set`, `_cape_unset` and `_cape_prepend` for what the hook did to exported variables."""
    return home_of(activation) / "variables.sh"


SH_VARIABLES = """\
_cape_set() { export "$1=$2"; }
_cape_unset() { unset "$1"; }
_cape_prepend() {
    eval "_cape_old=\\${$1-}"
    case $_cape_old in "$2" | "$2$3"*) ;; *) export "$1=$2${_cape_old:+$3$_cape_old}" ;; esac
}
"""
"""What these calls mean in a process that becomes a command."""


def sh_start(activation: Activation) -> str:
    """Commands of the sealed script that attach it, run the hook if need be, and take over its variables."""
    variables = quoted(str(variables_file(activation)))
    return (
        f"{start_command(activation, '$$', 'run')} || exit 1\n"
        f"if [ -e {variables} ]; then\n{SH_VARIABLES}. {variables}\nfi"
    )


BASH_START = r"""_cape_start() { # SCRIPT ATTACHED VARIABLES
    local _cape_trap
    _cape_undo="if [[ \$BASHPID == $BASHPID && -w ${2@Q}/$BASHPID ]]; then
    \\builtin printf '' >|${2@Q}/$BASHPID
fi
$_cape_undo"
    # A hook that Ctrl-C ends must not end the text that this function is called from.
    _cape_trap=$(\builtin trap -p INT)
    \builtin trap : INT
    /bin/sh "$1" "$BASHPID" bash </dev/null >&2 || _cape_failed=$?
    \builtin eval "${_cape_trap:-\\builtin trap - INT}"
    [[ -n ${_cape_failed-} || ! -e $3 ]] || \builtin . "$3"
}"""


def bash_begin(activation: Activation) -> list[str]:
    """Lines for bash, between `_cape_begin` and the profile, that attach the shell and run the hook.

    `_cape_failed` is set afterwards if the shell is to leave again. The functions that they define are
    `BASH_FUNCTIONS`.
    """
    attached = quoted(str(attached_in(activation.project)))
    if not has_hooks(activation):
        call = f"_cape_attach {attached} {key_of(activation)}"
        return [BASH_ATTACH, f"[[ -n ${{_cape_failed-}} ]] || {call}"]
    script, variables = quoted(str(home_of(activation) / "start.sh")), quoted(str(variables_file(activation)))
    call = f"_cape_start {script} {attached} {variables}"
    return [BASH_START, f"[[ -n ${{_cape_failed-}} ]] || {call}"]


BASH_FUNCTIONS = "_cape_attach _cape_start"


ZSH_START = r"""_cape_start() { # SCRIPT ATTACHED VARIABLES
    builtin emulate -L zsh -o no_aliases -o local_traps
    _cape_undo="if (( ! ZSH_SUBSHELL )) && [[ -w ${(qqqq)2}/$$ ]]; then
    builtin printf '' >|${(qqqq)2}/$$
fi
$_cape_undo"
    builtin trap : INT
    /bin/sh "$1" $$ zsh </dev/null >&2 || typeset -g _cape_failed=$?
    [[ -n ${_cape_failed-} || ! -e $3 ]] || builtin . "$3"
}"""


def zsh_begin(activation: Activation) -> list[str]:
    """The same for zsh, under its own options; the functions are gone afterwards."""
    attached = quoted(str(attached_in(activation.project)))
    if has_hooks(activation):
        name, text = "_cape_start", ZSH_START
        call = f"{quoted(str(home_of(activation) / 'start.sh'))} {attached} "
        call += quoted(str(variables_file(activation)))
    else:
        name, text, call = "_cape_attach", ZSH_ATTACH, f"{attached} {key_of(activation)}"
    return [text, f"[[ -n ${{_cape_failed-}} ]] || {name} {call}", f"builtin unset -f {name}"]


def fish_begin(activation: Activation) -> list[str]:
    """The same for fish; `_cape_failed` is a global variable."""
    attached = fish_quoted(str(attached_in(activation.project)))
    if not has_hooks(activation):
        call = f"builtin set -q _cape_failed || _cape_attach {attached} {key_of(activation)}"
        return [FISH_ATTACH, call, "builtin functions --erase _cape_attach"]
    script = fish_quoted(str(home_of(activation) / "start.sh"))
    variables = fish_quoted(str(variables_file(activation).with_suffix(".fish")))
    return [
        "if not builtin set -q _cape_failed",
        f"    _cape_undoing {FISH_DETACH.format(attached)}",
        f"    /bin/sh {script} $fish_pid fish </dev/null >&2 || builtin set -g _cape_failed $status",
        f"    builtin set -q _cape_failed || builtin test ! -e {variables} || builtin source {variables}",
        "end",
    ]


def posix_begin(activation: Activation) -> list[str]:
    """The same for a running POSIX shell, whose options and word splitting may be any; one process."""
    attached = quoted(str(attached_in(activation.project)))
    gone = "! \\command test -w $_cape_word/$$ || \\command printf '' >|$_cape_word/$$"
    undo = [f"_cape_quote {attached}", f'_cape_undoing "{gone}"']
    if not has_hooks(activation):
        script = sh_attach(activation.project, key_of(activation), pid="$cape_pid", how="sh")
        script = f"cape_pid=$1\n{script}"
        return [*undo, f"/bin/sh -c {quoted(script)} sh $$ </dev/null"]
    variables = quoted(str(variables_file(activation)))
    return [
        "case ${_cape_failed-} in '')",
        *undo,
        f"{start_command(activation, '$$', 'sh')} || _cape_failed=$?",
        f"case ${{_cape_failed-}} in '') ! \\command test -e {variables} || \\. {variables} ;; esac",
        ";; esac",
    ]


def sh_begin(activation: Activation) -> str:
    """Commands of the sealed script before it becomes the command.

    `cape_outside` is `$CAPE_ENV:$CAPE_PROJECT` as it was before all operations. A command that is started
    from inside begins nothing.
    """
    if not has_hooks(activation):
        return sh_attach(activation.project, key_of(activation))
    inside = quoted(f"{activation.environment}:{activation.project}")
    return (
        f'if [ "$cape_outside" != {inside} ]; then\n{sh_start(activation)}\nelse\n'
        f"{sh_attach(activation.project, key_of(activation))}\nfi"
    )
