"""bash: entering in a running shell, and leaving so that nothing is left.

Owns the script that `eval "$(cape activate)"` comes to: the functions of `enter.bash`, then one call per
operation. No process is started but a hook; with a profile, which may do anything, a few forks read the
shell's functions before and after it. Needs bash 4.4.
"""

from __future__ import annotations

import re
from pathlib import Path

from cape.environment.activation import Activation, Operation, Prepend, Set, Unset
from cape.environment.shells.functions import functions_of, names_of
from cape.environment.shells.hooks import BASH_FUNCTIONS, bash_begin, has_hooks
from cape.environment.shells.operations import pure_operations
from cape.environment.shells.quoting import quoted, quoted_value
from cape.environment.shells.secrets import bash_secrets

_STAYING = ("_cape_leave", "_cape_drop")


def render_bash(activation: Activation) -> str:
    """The text that enters an environment when bash evaluates it, at its top level."""
    functions = functions_of("bash", with_profile=bool(_profiles(activation)))
    passing = [name for name in names_of(functions) if name not in _STAYING]
    return "\n".join(
        [
            "# Written by cape when it sealed this generation: edits are lost.",
            'if [ -z "${BASH_VERSINFO-}" ] || [ "${BASH_VERSINFO[0]}${BASH_VERSINFO[1]}" -lt 44 ]; then',
            "    echo 'cape: this script is for bash 4.4 or newer' >&2",
            "else",
            _leaving_first(activation),
            functions,
            "_cape_begin",
            *bash_secrets(activation),
            "_cape_front",
            "if [[ -n ${_cape_pure-} ]]; then",
            *_pure(activation),
            "fi",
            *(_operation(operation) for operation in activation.operations),
            f"if [[ ${{_cape_mode:-{activation.mode}}} == dev ]]; then \\builtin :",
            *(_operation(operation) for operation in activation.development),
            "fi",
            "\\builtin unset -v _cape_pure _cape_mode _cape_name",
            f"_cape_prompt {quoted(_prompt(activation.name))}",
            *bash_begin(activation),
            *_profile(activation),
            "_cape_end",
            *_hook_failed(activation),
            f"\\builtin unset -f {' '.join(passing)} {BASH_FUNCTIONS}",
            *_hook_status(activation),
            "fi",
            "",
        ]
    )


def _leaving_first(activation: Activation) -> str:
    """A project that is entered again is left first, so that frames do not pile up."""
    project = quoted(str(activation.project))
    return f"if [[ -n ${{_CAPE_UNDO[0]+x}} && ${{CAPE_PROJECT-}} == {project} ]]; then\n    _cape_leave\nfi\n"


def _pure(activation: Activation) -> list[str]:
    """What `--pure` does, in few commands: every shell reads them, and few run them."""
    operations = list(pure_operations(activation))
    names = " ".join(operation.name for operation in operations if isinstance(operation, Unset))
    others = [_operation(operation) for operation in operations if not isinstance(operation, Unset)]
    return [f"for _cape_name in {names}; do _cape_unset $_cape_name; done", *others]


def _operation(operation: Operation) -> str:
    if isinstance(operation, Unset):
        return f"_cape_unset {operation.name}"
    if isinstance(operation, Prepend):
        words = [operation.value, operation.separator, operation.otherwise]
        return " ".join(["_cape_prepend", operation.name, *(quoted(word) for word in words if word)])
    setting = f"_cape_set {operation.name} {quoted_value(operation.value)}"
    return _guarded(operation, setting) if operation.unless_host_has else setting


def _guarded(operation: Set, setting: str) -> str:
    tests = [f"-n ${{{operation.name}+x}}"]
    tests += [f"-e {quoted(file)}" for file in operation.unless_host_has]
    return f"[[ {' || '.join(tests)} ]] || {setting}"


def _prompt(name: str) -> str:
    """The environment's name for the prompt, without what a prompt would expand."""
    return f"({re.sub(r'[^A-Za-z0-9._ @+-]', '_', name)}) "


def _may_fail(activation: Activation) -> bool:
    return has_hooks(activation) or bool(activation.secrets)


def _hook_failed(activation: Activation) -> list[str]:
    """A failed hook or secret, which said so itself, leaves the shell as it was."""
    return ["[[ -z ${_cape_failed-} ]] || _cape_leave"] if _may_fail(activation) else []


def _hook_status(activation: Activation) -> list[str]:
    """What the whole script gives: 1 after a failed hook."""
    if not _may_fail(activation):
        return []
    return ["[[ -z ${_cape_failed-} ]] || { \\builtin unset -v _cape_failed; \\builtin false; }"]


def _profiles(activation: Activation) -> list[str]:
    return [activation.profile[shell] for shell in ("common", "bash") if activation.profile.get(shell)]


def _profile(activation: Activation) -> list[str]:
    texts = _profiles(activation)
    if not texts:
        return []
    evaluated = [f"[[ -n ${{_cape_failed-}} ]] || \\builtin eval {quoted(text)}" for text in texts]
    return ["_cape_look", *evaluated, "_cape_compare"]


def render_bashrc(script: Path) -> str:
    """The start-up file of a shell that is started inside: the user's own, then the activation."""
    return (
        "# Written by cape when it sealed this generation: edits are lost.\n"
        'if [ -z "${_cape_pure-}" ] && [ -f /etc/bash.bashrc ]; then . /etc/bash.bashrc; fi\n'
        'if [ -z "${_cape_pure-}" ] && [ -f ~/.bashrc ]; then . ~/.bashrc; fi\n'
        f". {quoted(str(script))}\n"
    )
