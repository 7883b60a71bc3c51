"""Help, written from the declarations: the overview, a command's own page, and its usage line."""

from __future__ import annotations

from cape.cli.declarations import COMMANDS, GLOBAL, Argument, Command

_HELP = Argument(flags=("-h", "--help"), help="show this")


def overview() -> str:
    """The text of `cape --help`."""
    width = max(len(command.name) for command in COMMANDS)
    lines = ["usage: cape [-C DIR] COMMAND ...", "", "One manifest and one lock, from libc to answer.", ""]
    lines += [f"  {command.name:<{width}}  {command.summary}" for command in COMMANDS]
    lines += ["", "options of every command:", *_rows(GLOBAL, columns=100)]
    return "\n".join([*lines, "", "`cape COMMAND --help` tells more of one."])


def usage(command: Command) -> str:
    """How a command is written: `cape sync [--locked] [--from DIR] ...`."""
    return " ".join(["cape", command.name, *(_spelled(argument) for argument in command.arguments)])


def _spelled(argument: Argument) -> str:
    name = argument.flags[0].upper()
    if argument.is_positional:
        forms = {None: name, "?": f"[{name}]", "*": f"[{name}...]", "+": f"{name}...", "...": f"-- {name}..."}
        return forms[argument.nargs]
    return f"[{argument.flags[-1]}{f' {argument.value}' if argument.value else ''}]"


def names(argument: Argument) -> str:
    """All spellings of an argument with its value: `-C DIR, --directory DIR`, `PACKAGES`."""
    if argument.is_positional:
        return argument.flags[0].upper()
    return ", ".join(f"{flag} {argument.value}" if argument.value else flag for flag in argument.flags)


def meaning(argument: Argument) -> str:
    """What an argument means, and its default."""
    return argument.help + (f" (otherwise `{argument.default}`)" if argument.default else "")


def command_help(command: Command, *, columns: int) -> str:
    """The text of `cape COMMAND --help`, in lines of at most `columns`."""
    import textwrap

    positional = [argument for argument in command.arguments if argument.is_positional]
    options = [argument for argument in command.arguments if not argument.is_positional]
    lines = [f"usage: {usage(command)}", "", *textwrap.wrap(command.description, columns)]
    if positional:
        lines += ["", "arguments:", *_rows(positional, columns=columns)]
    lines += ["", "options:", *_rows([*options, *GLOBAL, _HELP], columns=columns)]
    if command.examples:
        lines += ["", "examples:", *(f"  {line}" for line in command.examples)]
    return "\n".join(lines) + "\n"


def _rows(arguments: list[Argument] | tuple[Argument, ...], *, columns: int) -> list[str]:
    import textwrap

    width = max(len(names(argument)) for argument in arguments)
    return [
        textwrap.fill(
            meaning(argument),
            columns,
            initial_indent=f"  {names(argument):<{width}}  ",
            subsequent_indent=" " * (width + 4),
            break_on_hyphens=False,
        )
        for argument in arguments
    ]
