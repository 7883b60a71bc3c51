"""Write `docs/reference/` from the code: commands, errors, settings and variables.

    .venv/bin/python docs/generate.py            # write the pages
    .venv/bin/python docs/generate.py --check    # exit 1 and name the pages that are stale

Nothing on these pages is written by hand; what they say is said once, where the code declares it.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import cape
from cape.cli.declarations import COMMANDS, GLOBAL, VARIABLES, Argument, Command
from cape.cli.help import meaning as meaning_of
from cape.cli.help import names, usage
from cape.configuration import SETTINGS
from cape.errors import CapeError, InputError, IntegrityError, SourceError, StateError, UsageError

REFERENCE = Path(__file__).parent / "reference"
GENERATED = "<!-- Written by docs/generate.py from the code: edit there, then run it. -->"
KINDS: tuple[tuple[type[CapeError], str], ...] = (
    (InputError, "what was asked for is wrong"),
    (StateError, "what was asked for would work in another state"),
    (UsageError, "the command line is wrong"),
    (IntegrityError, "a digest or a signature is wrong"),
    (SourceError, "a registry, a tool or a service failed"),
)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    columns = list(head)
    lines = [columns, ["---"] * len(columns), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def page(title: str, *parts: str) -> str:
    """A page with its title and the note that it is generated."""
    return "\n\n".join([f"# {title}", GENERATED, *(part for part in parts if part)]) + "\n"


def argument_row(argument: Argument) -> tuple[str, str]:
    """What a table of arguments says of one."""
    return ", ".join(f"`{name}`" for name in names(argument).split(", ")), meaning_of(argument)


def command_part(command: Command) -> str:
    """The section of one command."""
    parts = [f"## `cape {command.name}`", command.description, f"```\n{usage(command)}\n```"]
    if command.arguments:
        parts.append(table(("argument", "meaning"), map(argument_row, command.arguments)))
    if command.examples:
        parts.append("For example:\n\n```sh\n" + "\n".join(command.examples) + "\n```")
    return "\n\n".join(parts)


def commands_page() -> str:
    """Every command with its arguments."""
    overview = table(
        ("command", "what it does"),
        ((f"[`{one.name}`](#cape-{one.name.replace(' ', '-')})", one.summary) for one in COMMANDS),
    )
    everywhere = "Options of every command, before or after its name:\n\n" + table(
        ("option", "meaning"), map(argument_row, GLOBAL)
    )
    return page("Commands", overview, everywhere, *(command_part(one) for one in COMMANDS))


def error_classes() -> tuple[type[CapeError], ...]:
    """Every class of error, of every module, in the order of their slugs."""
    for module in pkgutil.walk_packages(cape.__path__, "cape."):
        if module.name not in ("cape.__main__", "cape.sources.contract"):
            importlib.import_module(module.name)
    return tuple(sorted(_below(CapeError), key=lambda one: (one.slug, one.__module__)))


def _below(kind: type[CapeError]) -> Iterator[type[CapeError]]:
    for one in kind.__subclasses__():
        yield one
        yield from _below(one)


def meaning(error: type[CapeError]) -> str:
    """The first sentence of its docstring."""
    return (inspect.getdoc(error) or "").split("\n\n")[0].replace("\n", " ")


def errors_page() -> str:
    """Every slug with its exit code and meaning; a slug that two rooms share stands once."""
    trunk = {kind for kind, _ in KINDS}
    parts = [EXIT_CODES, JSON_ERRORS]
    for kind, text in KINDS:
        meanings: dict[str, list[str]] = {}
        for one in error_classes():
            if issubclass(one, kind) and one not in trunk:
                told = meanings.setdefault(one.slug, [])
                told += [meaning(one)] if meaning(one) not in told else []
        rows = ((f"`{slug}`", " ".join(told)) for slug, told in meanings.items())
        title = f"## `{kind.slug}`: {text} (exit code {kind.exit_code})"
        parts += [title, table(("slug", "what it says"), rows)]
    return page("Errors and exit codes", *parts)


EXIT_CODES = "An error says what was found, where, what caused it, and what to do now.\n\n" + table(
    ("exit code", "means"),
    (
        ("0", "done"),
        ("1", "the request or the state is wrong, or a check said no (`lock --check`, `doctor`)"),
        ("2", "the command line is wrong"),
        ("3", "a digest or a signature is wrong: bytes were altered"),
        ("4", "a registry, a tool or a service failed: trying again later may help"),
        ("70", "a bug in cape, shown with a traceback"),
        ("130", "interrupted; manifest, lock and generations are as they were"),
        ("another", "of `cape run`: the command's own"),
    ),
)

JSON_ERRORS = (
    "With `--json`, an error is also an object on stdout: `schema_version`, and `error` with `slug`, `fact`, "
    "`where`, `hint`, `causes`, and `also` (other errors found in the same place). Slugs do not change."
)


def settings_page() -> str:
    """Every setting and every variable."""
    rows = (
        (f"`{one.key}`", f"`${one.variable}`", ("a list: " if one.many else "") + one.meaning)
        for one in SETTINGS
    )
    settings = (
        "Kept in `cape/config.toml` below `$XDG_CONFIG_HOME` (otherwise `~/.config`), and set with "
        "`cape config KEY VALUE`. The variable wins over the file. Items of a list in a variable are parted "
        "by spaces. What is not set here is looked up in the clients that are there already: apt's sources, "
        "pip's or uv's and npm's settings. None of it is ever in a manifest or a lock."
    )
    inside = ((f"`{one.name}`", one.meaning) for one in VARIABLES if one.set_inside)
    read = ((f"`{one.name}`", one.meaning) for one in VARIABLES if not one.set_inside)
    return page(
        "Settings and variables",
        "## Settings",
        settings,
        table(("setting", "variable", "meaning"), rows),
        "## Variables that are set inside an environment",
        table(("variable", "meaning"), inside),
        "## Other variables that cape obeys",
        table(("variable", "meaning"), read),
    )


def pages() -> dict[Path, str]:
    """Every generated page: where it lies, and its text."""
    return {
        REFERENCE / "commands.md": commands_page(),
        REFERENCE / "errors.md": errors_page(),
        REFERENCE / "settings.md": settings_page(),
    }


def main() -> int:
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text() != text]
    if sys.argv[1:] == ["--check"]:
        for path in stale:
            print(f"{path} is stale: run `.venv/bin/python docs/generate.py`", file=sys.stderr)
        return 1 if stale else 0
    for path, text in pages().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
