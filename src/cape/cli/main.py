"""Parsing of the command line, dispatch, and the one place where errors become text and exit codes."""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from typing import NoReturn

from cape.cli.declarations import BY_NAME, GLOBAL, Argument, Command
from cape.errors import CapeError, StateError, UsageError

EXIT_BUG = 70
EXIT_INTERRUPTED = 130
INTERRUPTED = "interrupted: manifest, lock and generations are as the last change that was finished left them"
_REFUSALS = frozenset({
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG,
    errno.EACCES, errno.EPERM, errno.EROFS,
    errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG,
    errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM,
})  # fmt: skip
"""What a kernel says about its machine, not about our code."""


class BadUsage(UsageError):
    """The words of the command line are not a command."""

    slug = "bad-usage"


class MachineRefused(StateError):
    """The operating system refused something that every command may need: room, rights, memory."""

    slug = "machine-refused"


class _Parser(argparse.ArgumentParser):
    """argparse in our words: its errors are raised, and its help is written from the declarations."""

    command: Command

    def format_help(self) -> str:
        import shutil

        from cape.cli.help import command_help

        columns = shutil.get_terminal_size(fallback=(100, 24)).columns
        return command_help(self.command, columns=max(60, min(columns, 100)))

    def error(self, message: str) -> NoReturn:
        fact, hint = _reworded(message, self)
        raise BadUsage(fact, hint=hint or f"`{self.prog} --help` shows how it is used")


def _reworded(message: str, parser: argparse.ArgumentParser) -> tuple[str, str | None]:
    """The fact and hint of one of argparse's messages."""
    kind, _, what = message.partition(": ")
    if kind == "unrecognized arguments":
        word = what.split()[0]
        flags = [flag for action in parser._actions for flag in action.option_strings]
        noun = "option" if word.startswith("-") else "argument"
        hint = did_you_mean(word, flags) if noun == "option" else None
        return f"`{parser.prog}` has no {noun} `{word}`", hint
    if kind == "the following arguments are required":
        return f"`{parser.prog}` wants {what.upper()}", None
    if kind.startswith("argument ") and what == "expected one argument":
        return f"`{kind.removeprefix('argument ')}` wants a value", None
    return message, None


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A hint that names the nearest known words; None when nothing is near."""
    from cape.names import nearest

    close = nearest(word, known)
    return "did you mean " + ", ".join(f"`{one}`" for one in close) + "?" if close else None


def one_of(commands: Iterable[str]) -> str:
    """A hint that lists commands."""
    return "one of " + ", ".join(f"`cape {command}`" for command in commands)


def _add(parser: argparse.ArgumentParser, argument: Argument) -> None:
    if argument.is_positional:
        nargs = argparse.REMAINDER if argument.nargs == "..." else argument.nargs
        parser.add_argument(argument.flags[0], nargs=nargs)
    elif argument.value is None:
        parser.add_argument(*argument.flags, action="store_true", default=argparse.SUPPRESS)
    elif argument.many:
        parser.add_argument(
            *argument.flags, metavar=argument.value, action="append", default=argparse.SUPPRESS
        )
    else:
        parser.add_argument(*argument.flags, metavar=argument.value, default=argparse.SUPPRESS)


def command_parser(command: Command) -> argparse.ArgumentParser:
    """The parser of one command's own arguments."""
    parser = _Parser(prog=f"cape {command.name}", allow_abbrev=False)
    parser.command = command
    for argument in (*command.arguments, *GLOBAL):
        _add(parser, argument)
    return parser


def _split(words: Sequence[str]) -> tuple[list[str], str | None, list[str]]:
    """Global words before the command, the command's name, and the words after it."""
    before: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word in ("-C", "--directory"):
            if not rest:
                raise BadUsage(f"`{word}` wants a directory")
            before += [word, rest.pop(0)]
        elif word.startswith("-"):
            before.append(word)
        else:
            return before, word, rest
    return before, None, []


def parse(words: Sequence[str]) -> tuple[Command, argparse.Namespace]:
    """The command that the words name, and its arguments. Raises `BadUsage`."""
    before, name, after = _split(words)
    if name is None:
        raise BadUsage("no command is named", hint="`cape --help` lists them")
    if after and f"{name} {after[0]}" in BY_NAME:
        name, after = f"{name} {after[0]}", after[1:]
    if name not in BY_NAME:
        if verbs := [known for known in BY_NAME if known.startswith(f"{name} ")]:
            raise BadUsage(f"`cape {name}` wants a verb", hint=one_of(verbs))
        hint = did_you_mean(name, BY_NAME) or "`cape --help` lists them"
        raise BadUsage(f"there is no command `{name}`", hint=hint)
    command = BY_NAME[name]
    parser = command_parser(command)
    arguments = parser.parse_args([*before, *after])
    for argument in (*command.arguments, *GLOBAL):
        destination = argument.flags[-1].lstrip("-").replace("-", "_")
        if not hasattr(arguments, destination):
            setattr(arguments, destination, argument.default if argument.value else False)
    return command, arguments


def _configure_logging() -> None:
    import logging

    logging.basicConfig(stream=sys.stderr, level=logging.DEBUG, format="%(levelname)s %(name)s: %(message)s")


def _enter(directory: str | None) -> None:
    if directory:
        try:
            os.chdir(directory)
        except OSError as error:
            raise BadUsage(f"cannot work in `{directory}`: {error.strerror}") from None


def _dispatch(words: Sequence[str]) -> int:
    if words and words[0] == "help":
        words = [*words[1:], "--help"]
    before, name, _ = _split(words)
    if name is None and {"--help", "-h"} & {*before}:
        from cape.cli.help import overview

        print(overview())
        return 0
    if name is None and "--version" in before:
        from cape import __version__

        print(f"cape {__version__}")
        return 0
    command, arguments = parse(words)
    if arguments.verbose:
        _configure_logging()
    if arguments.offline:
        os.environ["CAPE_OFFLINE"] = "1"
    _enter(arguments.directory or None)
    module, _, function = command.handler.partition(":")
    handler = getattr(importlib.import_module(f"cape.cli.{module}"), function)
    code = handler(arguments)
    return int(code or 0)


def _guarded(words: Sequence[str]) -> int:
    """`_dispatch`; what the machine refused and no room foresaw becomes `MachineRefused`."""
    try:
        return _dispatch(words)
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise MachineRefused(
            f"the machine refused: {error.strerror}",
            where=str(error.filename) if error.filename else None,
            hint="`cape gc` removes what no project needs" if full else None,
        ) from error


def _wants_json(words: Sequence[str]) -> bool:
    """Whether errors are JSON too; the words of a command that `cape run` runs are not cape's."""
    command = next((word for word in words if word in BY_NAME), None)
    return command != "run" and "--json" in words


def main(words: Sequence[str] | None = None) -> int:
    """Run one command line and give its exit code. Never raises."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_DFL:
        return _answered(words)
    # The launcher started this process so: Ctrl-C is an exception from here on, and at the end no more. What
    # answers it is loaded before.
    import cape.cli.output  # noqa: F401

    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return _answered(words)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _answered(words: Sequence[str] | None) -> int:
    from cape.cli.output import show_error

    json = False
    try:
        words = sys.argv[1:] if words is None else words
        json = _wants_json(words)
        code = _guarded(words)
        sys.stdout.flush()
        return code
    except CapeError as error:
        show_error(error, as_json=json)
        return error.exit_code
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print(INTERRUPTED, file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception:  # noqa: BLE001 - the one place that turns a bug into an exit code
        import traceback

        traceback.print_exc()
        print("\nThis is a bug in cape: the text above is what its authors need.", file=sys.stderr)
        return EXIT_BUG
