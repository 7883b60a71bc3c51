"""Consent to what a pulled, forked or borrowed environment would run: nothing of it runs before.

Owns when a project is held back, and when it is let go. What the answer covers, and where it is kept, is
`environment.consent`'s: `cape allow`, and a yes at the prompt, count here too.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

from cape.environment.consent import (
    Answer,
    Content,
    Verdict,
    hold_back,
    is_held_back,
    let_run,
    read_answer,
    write_answer,
)
from cape.errors import StateError
from cape.operations.entering import Question, content_at
from cape.operations.project import Project

Agreement = Callable[[Question], bool]
"""Asks the user whether a project may run what the question shows."""


_SHOWN = 6


class HooksNotAllowed(StateError):
    """Somebody else's environment would run hooks or set variables, and nobody agreed to that."""

    slug = "hooks-not-allowed"


def nobody(question: Question) -> bool:
    """The agreement of a command without a terminal."""
    return False


def everything(question: Question) -> bool:
    """The agreement of `--allow-hooks`."""
    return True


@contextlib.contextmanager
def held_back_while(project: Project, *, foreign: bool) -> Iterator[None]:
    """Let nothing of a project run while its files become somebody else's, nor after, before it is agreed to.

    A block that fails leaves it as it was. Nothing happens to what this user has signed.
    """
    before = is_held_back(project.directory)
    if foreign:
        hold_back(project.directory)
    try:
        yield
    except BaseException:
        if not before:
            let_run(project.directory)
        raise
    if not foreign or _is_agreed(_question(project)):
        let_run(project.directory)


def require_agreement(project: Project, agreement: Agreement = nobody) -> None:
    """Ask for what is held back; an answer that was given for the same content counts.

    The project is at its current generation. Raises `HooksNotAllowed`.
    """
    if not is_held_back(project.directory):
        return
    question = _question(project)
    if not _is_agreed(question):
        if not agreement(question):
            raise _not_allowed(question)
        write_answer(Answer(project=question.project, verdict=Verdict.ALLOWED, content=question.content))
    let_run(project.directory)


def require_rules(project: Project, agreement: Agreement = nobody) -> None:
    """Ask for the commands of `[promote]` too: they are somebody else's, and run in this project.

    Raises `HooksNotAllowed`.
    """
    require_agreement(project, agreement)
    question = _question(project)
    if _is_agreed(question, promoting=True):
        return
    if not agreement(question):
        raise _not_allowed(question, promoting=True)
    write_answer(Answer(project=question.project, verdict=Verdict.ALLOWED, content=question.content))


def _question(project: Project) -> Question:
    directory = Path(os.path.realpath(project.directory))
    return Question(project=directory, content=content_at(directory), before=read_answer(directory))


def _is_agreed(question: Question, *, promoting: bool = False) -> bool:
    before = question.before
    agreed = before is not None and before.verdict is Verdict.ALLOWED and before.content == question.content
    return agreed or not _what_runs(question.content, promoting=promoting)


def _what_runs(content: Content, *, promoting: bool = False) -> list[str]:
    """Keys of what runs or is set. An include runs nothing by itself: what it brings has keys of its own.
    The commands of `[promote]` run when something is promoted, and not before."""
    idle = ("include.",) if promoting else ("include.", "promote.")
    return [
        key
        for key, text in content.rows
        if not key.startswith(idle) and not (key.startswith("file ") and text == "not there")
    ]


def _not_allowed(question: Question, *, promoting: bool = False) -> HooksNotAllowed:
    keys = _what_runs(question.content, promoting=promoting)
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    shown = ", ".join(f"`{key}`" for key in keys[:_SHOWN]) + more
    changed = "; it changed since you did" if question.before is not None else ""
    commands = "promote" if promoting else "run` and `cape activate"
    command = f"cape allow {shlex.quote(str(question.project))}"
    return HooksNotAllowed(
        f"this environment is somebody else's, and you have not agreed to what it runs: {shown}{changed}",
        where=str(question.project / "cape.toml"),
        hint=f"read that, then `{command}`; or `--allow-hooks` with `cape {commands}`",
    )
