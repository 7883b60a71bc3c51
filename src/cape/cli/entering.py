"""`cape hook`, `allow`, `deny`, `consent`: entering directories, and asking whether that is wanted."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cape.errors import CapeError, UsageError

if TYPE_CHECKING:
    from cape.environment.consent import Answer, Content, Verdict
    from cape.operations.entering import Looked, Question

_LINES = 12
"""So many lines of one text are shown; the manifest has the rest."""


class NoHook(UsageError):
    """A shell that has no prompt hook."""

    slug = "no-prompt-hook"


def hook(arguments: argparse.Namespace) -> int:
    """`cape hook SHELL`: the text that a start-up file evaluates; with `--at`, what to be inside there."""
    from cape.environment.shells.entering import render_hook, render_places
    from cape.operations.entering import SHELLS

    if arguments.shell not in SHELLS:
        raise NoHook(
            f"`{arguments.shell}` has no prompt hook", hint=f"{', '.join(f'`{one}`' for one in SHELLS)} have"
        )
    if not arguments.at:
        sys.stdout.write(render_hook(arguments.shell, _launcher()))
        return 0
    try:
        looked = _look(arguments)
    except CapeError as error:
        _tell(f"cape: {error.fact}")
        return 0
    for note in looked.notes:
        _tell(f"cape: {note}")
    sys.stdout.write(render_places(arguments.shell, [(place.project, place.text) for place in looked.places]))
    return 0


def _look(arguments: argparse.Namespace) -> Looked:
    from cape.operations.entering import look
    from cape.operations.project import Workshop

    skip = [Path(one) for one in vars(arguments)["skip"] or ()]
    return look(Path(arguments.at), Workshop.open(), arguments.shell, consent=ask, skip=skip)


def _launcher() -> str:
    """The `cape` that start-up files are to call, whatever PATH is then."""
    import shutil

    beside = Path(sys.executable).parent / "cape"
    return str(beside) if beside.exists() else shutil.which("cape") or "cape"


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def ask(questions: Sequence[Question]) -> Mapping[Path, Verdict]:
    """Show what the projects would run, and ask once for all; without a terminal, say how to allow them."""
    from cape.environment.consent import Verdict

    for question in questions:
        for line in shown(question):
            _tell(line)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        for question in questions:
            _tell(f"cape: `cape -C {question.project} allow` lets this directory activate, `deny` never")
        return {}
    which = "it" if len(questions) == 1 else f"all {len(questions)}"
    print(
        f"Activate {which} when you enter? [y]es, [n]ever, anything else: not now ", end="", file=sys.stderr
    )
    sys.stderr.flush()
    try:
        word = sys.stdin.readline().strip().lower()
    except KeyboardInterrupt:
        _tell("")
        return {}
    verdicts = {"y": Verdict.ALLOWED, "yes": Verdict.ALLOWED, "n": Verdict.DENIED, "never": Verdict.DENIED}
    verdicts["no"] = Verdict.DENIED
    return {question.project: verdicts[word] for question in questions} if word in verdicts else {}


def shown(question: Question, wants: str = "activate", does: str = "activates") -> Iterator[str]:
    """What a project would run or set, or what changed of it since the last answer, as lines."""
    if question.before is None:
        yield f"cape: `{question.project}` wants to {wants}:"
        yield from _content(question.content)
        return
    from cape.environment.consent import changes

    yield f"cape: `{question.project}` changed what it {does}:"
    for key, old, new in changes(question.before.content, question.content):
        yield f"  {key}"
        yield from _text(old, "    - ")
        yield from _text(new, "    + ")


def _content(content: Content) -> Iterator[str]:
    if not content.rows:
        yield "  its programs on PATH, and no hook, profile, variable or service"
    for key, text in content.rows:
        yield f"  {key}"
        yield from _text(text, "    ")


def _text(text: str | None, before: str) -> Iterator[str]:
    lines = _plain(text or "").strip("\n").split("\n") if text is not None else []
    yield from (f"{before}{line}" for line in lines[:_LINES])
    if len(lines) > _LINES:
        yield f"{before}... and {len(lines) - _LINES} more lines"


def _plain(text: str) -> str:
    """The text without what a terminal would obey, so that none of it can be hidden."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "\ufffd" for letter in text)


def allow(arguments: argparse.Namespace) -> int:
    """`cape allow [DIR]`."""
    from cape.environment.consent import Verdict

    return _decide(arguments, Verdict.ALLOWED)


def deny(arguments: argparse.Namespace) -> int:
    """`cape deny [DIR]`."""
    from cape.environment.consent import Verdict

    return _decide(arguments, Verdict.DENIED)


def _decide(arguments: argparse.Namespace, verdict: Verdict) -> int:
    from cape.cli.output import say
    from cape.environment.consent import Verdict
    from cape.operations.entering import decide
    from cape.operations.project import find_project

    answer = decide(find_project(Path(arguments.place or Path.cwd())), verdict)
    what = "activates when it is entered" if verdict is Verdict.ALLOWED else "never activates by itself"
    say(f"`{answer.project}` {what}", quiet=arguments.quiet)
    if verdict is Verdict.ALLOWED and not arguments.quiet:
        for line in _content(answer.content):
            print(line, file=sys.stderr)
    return 0


def consent_list(arguments: argparse.Namespace) -> int:
    """`cape consent list`: what was answered, and whether it still holds."""
    from cape.cli.output import show_json, table
    from cape.environment.consent import answers

    rows = [(answer, _standing(answer)) for answer in answers()]
    if arguments.json:
        fields = [
            {
                "project": str(answer.project),
                "verdict": answer.verdict.value,
                "standing": standing,
                "digest": str(answer.content.digest),
            }
            for answer, standing in rows
        ]
        show_json({"schema_version": 1, "answers": fields})
    elif rows:
        print(table([(str(answer.project), answer.verdict.value, standing) for answer, standing in rows]))
    return 0


def _standing(answer: Answer) -> str:
    """Whether the answer still fits: `current`, `changed`, or `gone` where the project is."""
    from cape.operations.entering import content_at

    if not os.path.exists(answer.project / "cape.toml"):
        return "gone"
    try:
        return "current" if answer.covers(content_at(answer.project)) else "changed"
    except CapeError:
        return "changed"


def consent_forget(arguments: argparse.Namespace) -> int:
    """`cape consent forget [DIR]`: the next entering asks again. Exit code 1: there was no answer."""
    from cape.cli.output import say
    from cape.environment.consent import forget_answer

    project = Path(os.path.realpath(arguments.place or Path.cwd()))
    was_there = forget_answer(project)
    said = f"forgot the answer for `{project}`" if was_there else f"there was no answer for `{project}`"
    say(said, quiet=arguments.quiet)
    return 0 if was_there else 1
