"""Completion scripts for bash, zsh and fish, generated from the declarations."""

from __future__ import annotations

import argparse
from dataclasses import replace

from cape.cli.declarations import BY_NAME, COMMANDS, GLOBAL, Argument, Command
from cape.errors import InputError


class UnknownShell(InputError):
    """A shell that cape has no script for."""

    slug = "unknown-shell"


def _flags(command: Command) -> list[str]:
    return [flag for argument in (*command.arguments, *GLOBAL) for flag in argument.flags if flag[0] == "-"]


def _words(command: Command) -> list[str]:
    words: list[str] = []
    for argument in command.arguments:
        if isinstance(argument.complete, tuple):
            words += argument.complete
        elif argument.complete == "setting":
            from cape.configuration import SETTINGS

            words += [setting.key for setting in SETTINGS]
    return words


def _first_words() -> list[str]:
    """What may follow `cape`, each once: `index` for `index` and `index status`."""
    return list(dict.fromkeys(command.name.split()[0] for command in COMMANDS))


def _grouped(first: str) -> Command:
    """The commands that begin with one word as one: its verbs are offered, and every option of theirs."""
    own = [command for command in COMMANDS if command.name.split()[0] == first]
    verbs = tuple(command.name.split()[1] for command in own if " " in command.name)
    arguments = dict.fromkeys(argument for command in own for argument in command.arguments)
    verb = (Argument(flags=("verb",), help="what to do", complete=verbs),) if verbs else ()
    return replace(own[0], name=first, arguments=(*verb, *arguments))


def _offers(command: Command, kind: str) -> bool:
    return any(argument.complete == kind for argument in command.arguments)


def bash() -> str:
    """The script for bash: it starts cape only to list locked packages."""
    names = " ".join(_first_words())
    lines = [
        "_cape() {",
        "    local word=${COMP_WORDS[COMP_CWORD]} command= i",
        "    for ((i = 1; i < COMP_CWORD; i++)); do",
        "        case ${COMP_WORDS[i]} in",
        "            -C|--directory) ((i++)) ;;",
        "            -*) ;;",
        "            *) command=${COMP_WORDS[i]}; break ;;",
        "        esac",
        "    done",
        "    case $command in",
        f"        '') COMPREPLY=($(compgen -W '{names} --help' -- \"$word\")) ;;",
        "        run) while ((++i < COMP_CWORD)) && [[ ${COMP_WORDS[i]} == -* ]]; do",
        "                [[ ${COMP_WORDS[i]} != -- ]] || { ((i++)); break; }",
        "            done",
        "            if [[ $word == -* && $i -eq $COMP_CWORD && ${COMP_WORDS[i-1]} != -- ]]; then",
        f"                COMPREPLY=($(compgen -W '{' '.join(_flags(BY_NAME['run']))} --' -- \"$word\"))",
        '            else _command_offset "$i" 2>/dev/null || COMPREPLY=($(compgen -c -- "$word")); fi ;;',
    ]
    for command in map(_grouped, _first_words()):
        if command.name == "run":
            continue
        words = " ".join([*_words(command), *_flags(command)])
        line = f"COMPREPLY=($(compgen -W '{words}' -- \"$word\"))"
        if _offers(command, "directory"):
            line += '; COMPREPLY+=($(compgen -d -- "$word"))'
        if _offers(command, "package"):
            line += (
                '; [[ $word == -* ]] || COMPREPLY+=($(compgen -W "$(cape list 2>/dev/null |'
                ' while read -r name _; do echo "$name"; done)" -- "$word"))'
            )
        lines.append(f"        {command.name}) {line} ;;")
    return "\n".join([*lines, "    esac", "}", "complete -F _cape cape"])


def _zsh_argument(argument: Argument) -> str:
    text = argument.help.replace("'", "").replace("[", "(").replace("]", ")").replace(":", " -")
    if argument.is_positional:
        if isinstance(argument.complete, tuple):
            return f"'1:{argument.flags[0]}:({' '.join(argument.complete)})'"
        return f"'*:{argument.flags[0]}:_files'"
    action = f":{argument.value.lower()}:_files" if argument.value else ""
    return " ".join(f"'{flag}[{text}]{action}'" for flag in argument.flags)


def zsh() -> str:
    """The script for zsh."""
    lines = ["#compdef cape", "_cape() {", "  local -a commands", "  commands=("]
    lines += [
        f"    '{command.name}:{command.summary.replace(chr(39), '')}'"
        for command in map(_grouped, _first_words())
    ]
    lines += [
        "  )",
        "  if (( CURRENT == 2 )); then _describe command commands; return; fi",
        "  case $words[2] in",
    ]
    for command in map(_grouped, _first_words()):
        arguments = " ".join(_zsh_argument(argument) for argument in (*command.arguments, *GLOBAL))
        lines.append(f"    {command.name}) shift words; (( CURRENT-- )); _arguments {arguments} ;;")
    return "\n".join([*lines, "  esac", "}", "compdef _cape cape"])


def fish() -> str:
    """The script for fish."""
    lines = ["complete -c cape -f"]
    for command in map(_grouped, _first_words()):
        summary = command.summary.replace("'", "")
        lines.append(f"complete -c cape -n __fish_use_subcommand -a {command.name} -d '{summary}'")
        for argument in (*command.arguments, *GLOBAL):
            if argument.is_positional:
                if isinstance(argument.complete, tuple):
                    condition = f"'__fish_seen_subcommand_from {command.name}'"
                    lines.append(f"complete -c cape -n {condition} -a '{' '.join(argument.complete)}'")
                continue
            text = argument.help.replace("'", "")
            spelled = " ".join(
                f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in argument.flags
            )
            needs = " -r -F" if argument.value else ""
            condition = f"'__fish_seen_subcommand_from {command.name}'"
            lines.append(f"complete -c cape -n {condition} {spelled}{needs} -d '{text}'")
    return "\n".join(lines)


SCRIPTS = {"bash": bash, "zsh": zsh, "fish": fish}


def run(arguments: argparse.Namespace) -> None:
    """Print the script for one shell."""
    if arguments.shell not in SCRIPTS:
        known = ", ".join(f"`{name}`" for name in SCRIPTS)
        raise UnknownShell(f"there are no completions for `{arguments.shell}`", hint=f"there are for {known}")
    print(SCRIPTS[arguments.shell]())
