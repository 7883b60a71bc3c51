"""The sealed script: what the launcher sources instead of starting Python.

Owns the check that nothing changed since sealing, with shell builtins alone, and the setting of
variables before `exec`. It runs under dash, bash and busybox, and starts no process but a hook.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cape.environment.activation import (
    LEADING_TO_THE_HOST,
    Activation,
    Operation,
    Prepend,
    Set,
    Unset,
    parse_value,
    pure_path,
)
from cape.environment.consent import HELD_BACK
from cape.environment.shells.hooks import IN_HOOK, has_hooks, sh_begin
from cape.environment.shells.quoting import quoted, quoted_value
from cape.environment.shells.secrets import sh_secrets
from cape.environment.shells.starting import starting
from cape.manifest.variables import in_order

_HEAD = """\
# Written by cape when it sealed this generation, and again whenever something moved: edits are lost.
# The `cape` launcher sources it with `cape_project` (the project it found), `cape_mode` (`run` or `pure` with
# the command in "$@"; `print`, `enter`, or `string` with a text, for `cape activate`), `cape_level` (`run`,
# `dev`, or empty), `cape_shell` and `cape_pure` (may be empty), and `cape_known` where Python looked at
# `CAPE_GPU` just now. It returns where something may be stale.
"""

_SAME = """\
cape_same() { # FILE OTHER: whether they hold the same lines; the shell itself reads them
    while :; do
        cape_left=0 cape_right=0
        IFS= read -r cape_line <&8 || cape_left=1
        IFS= read -r cape_other <&9 || cape_right=1
        [ "$cape_left$cape_line" = "$cape_right$cape_other" ] || return 1
        [ $cape_left = 0 ] || return 0
    done
} 8<"$1" 9<"$2"
"""


# Some shells (busybox's) prefer programs of their own to those on PATH, `exec` included.
_EXEC = """\
case $cape_mode:$1 in
pure:*/*) ;;
pure:*)
    cape_program=$1
    shift
    IFS=:
    for cape_directory in $PATH; do
        if [ -f "$cape_directory/$cape_program" ] && [ -x "$cape_directory/$cape_program" ]; then
            cape_program=$cape_directory/$cape_program
            break
        fi
    done
    unset IFS
    set -- "$cape_program" "$@"
    ;;
esac
exec "$@\""""


_LOST = """\
if [ -r @PID@ ]; then
    { IFS= read -r cape_supervisor <@PID@ && IFS= read -r cape_stat </proc/"$cape_supervisor"/stat; } \\
        2>/dev/null || return 0
    case ${cape_stat##*) } in Z* | X*) return 0 ;; esac
fi
"""
"""A process that nobody has collected is no supervisor any more."""


def render_run(
    activation: Activation,
    generation: Path,
    stamps: Sequence[tuple[Path, Path]],
    *,
    scripts: Path | None = None,
    absent: Sequence[Path] = (),
    gpu: str | None = None,
) -> str:
    """The sealed script of a generation.

    `stamps` are files and the stamps that carry their times, `absent` files that were not there, and
    `scripts` is where the other scripts are, if not in the generation's own directory. `gpu` is the word of
    `CAPE_GPU` that the environment was chosen by, empty for none; None where the word chooses nothing.
    """
    return (
        _HEAD
        + _SAME
        + "\n".join(
            [
                _freshness(activation, generation, stamps, absent, gpu),
                _modes(activation, scripts or generation),
                _clean(),
                *_outside(activation),
                *(_operation(operation) for operation in activation.operations),
                f"case ${{cape_level:-{activation.mode}}} in dev)",
                *(_operation(operation) for operation in activation.development),
                ";; esac",
                _pure(activation),
                _FOUND,
                sh_begin(activation),
                _EXEC,
                "",
            ]
        )
    )


def _freshness(
    activation: Activation,
    generation: Path,
    stamps: Sequence[tuple[Path, Path]],
    absent: Sequence[Path],
    gpu: str | None,
) -> str:
    marker = activation.environment / "environment.json"
    switching, held_back = (activation.project / ".cape" / name for name in ("switching", HELD_BACK))
    tests = [
        f'[ "$cape_project" = {quoted(str(activation.project))} ]',
        f"[ -e {quoted(str(marker))} ]",
        f"[ ! -e {quoted(str(switching))} ]",
        f"[ ! -e {quoted(str(held_back))} ]",
    ]
    if gpu is not None:  # Without a word, the environment that is there is the one that is meant.
        known = f'[ "${{cape_known-}}" ] || [ "$CAPE_GPU" = {quoted(gpu)} ]'
        tests.append(f'{{ [ -z "${{CAPE_GPU-}}" ] || {known}; }}')
    tests += [f"[ ! -e {quoted(str(file))} ]" for file in absent]
    for file, stamp in stamps:
        one, other = quoted(str(file)), quoted(str(stamp))
        tests += [
            f"[ -e {one} ]",
            f"[ -e {other} ]",
            f"[ ! {one} -nt {other} ]",
            f"[ ! {one} -ot {other} ]",
        ]
    racy, first = quoted(str(generation / "racy.stamp")), quoted(str(stamps[0][1]))
    same = " && ".join(
        f"cape_same {quoted(str(file))} {quoted(str(stamp).removesuffix('.stamp'))}"
        for file, stamp in stamps
        if file.name != "cape.lock"
    )
    tests.append(
        f"{{ [ ! -e {racy} ] || [ {racy} -nt {first} ] || [ {racy} -ot {first} ] || {{ {same}; }}; }}"
    )
    return " &&\n    ".join(tests) + " || return 0"


def _modes(activation: Activation, scripts: Path) -> str:
    parts = (_lost(activation, scripts), _services(activation), starting(activation, scripts))
    return "".join(parts) + "\n[ $# -gt 0 ] || return 0"


def _lost(activation: Activation, scripts: Path) -> str:
    """Where a supervisor of services was killed, Python ends what it left before anybody goes inside."""
    home = activation.project / ".cape" / "services"
    own = [home / "environments" / scripts.name] if scripts.parent.name == "environments" else []
    homes = [home, *own]
    return "".join(_LOST.replace("@PID@", quoted(str(one / "pid"))) for one in homes)


def _services(activation: Activation) -> str:
    """Where services start with the environment, Python is left out only while their supervisor lives.

    Python itself says `_cape_services=off` when it has seen to that.
    """
    if activation.supervisor is None:
        return ""
    socket, pid = (quoted(str(activation.supervisor / name)) for name in ("socket", "pid"))
    return f"""\
case ${{_cape_services-}}:$cape_mode in
off:*) unset _cape_services ;;
:print | :enter | :string)
    [ -S {socket} ] && [ -r {pid} ] || return 0
    IFS= read -r cape_supervisor <{pid} && kill -0 "$cape_supervisor" 2>/dev/null || return 0
    ;;
esac
"""


def _operation(operation: Operation) -> str:
    name = operation.name
    if isinstance(operation, Unset):
        return f"unset {name}"
    if isinstance(operation, Prepend):
        value, separator = quoted(operation.value), operation.separator
        front = f"{value}{quoted(separator)}*"
        otherwise = f"{value}{quoted(operation.otherwise)}" if operation.otherwise else value
        return (
            f"case ${{{name}-}} in {value} | {front}) ;; '') {name}={otherwise} ;; "
            f"*) {name}={value}{quoted(separator)}${name} ;; esac\nexport {name}"
        )
    setting = f"{name}={quoted_value(operation.value)}\nexport {name}"
    return _guarded(operation, setting) if operation.unless_host_has else setting


def _guarded(operation: Set, setting: str) -> str:
    tests = [f'[ -z "${{{operation.name}+x}}" ]']
    tests += [f"[ ! -e {quoted(file)} ]" for file in operation.unless_host_has]
    body = "\n".join(f"    {line}" for line in setting.splitlines())
    return f"if {' && '.join(tests)}; then\n{body}\nfi"


def _clean() -> str:
    """With `cape_mode=pure` what leads programs to the machine's files is taken away first."""
    return f"[ $cape_mode != pure ] || unset {' '.join(LEADING_TO_THE_HOST)}"


def _pure(activation: Activation) -> str:
    """With `cape_mode=pure` PATH has the whole closure and nothing else."""
    return f"[ $cape_mode != pure ] || PATH={quoted(':'.join(pure_path(activation.environment)))}"


def _outside(activation: Activation) -> list[str]:
    """What was entered already: for a command from inside no hook runs, and no secret is looked up."""
    if not has_hooks(activation) and not activation.secrets:
        return []
    return ["cape_outside=${CAPE_ENV-}:${CAPE_PROJECT-}", sh_secrets(activation)]


_FOUND = """\
command -v "$1" >/dev/null || {
    printf 'error: `%s` is no program of this environment or machine\\n' "$1" >&2
    exit 127
}"""


def hook_command(hook: str) -> str:
    """The command that runs a hook: in a shell of its own, off the command's standard input and output."""
    return f"{IN_HOOK}=on-activate /bin/sh -c {quoted(hook)} on-activate </dev/null >&2"


def render_service(activation: Activation, variables: Mapping[str, str]) -> str:
    """A script that becomes `/bin/sh -c "$1"` inside, with a service's own variables over all others.

    Unlike the sealed script it does not look whether anything moved, and runs no hook: a service that is
    started again is what it was.
    """
    own = [
        Set(name=name, value=parse_value(text), origin="services")
        for name, text in in_order(variables).items()
    ]
    operations = [_operation(operation) for operation in (*activation.operations, *own)]
    secrets = ["cape_outside=", sh_secrets(activation)] if activation.secrets else []
    return "\n".join(["cape_mode=run", *secrets, *operations, 'exec /bin/sh -c "$1"', ""])
