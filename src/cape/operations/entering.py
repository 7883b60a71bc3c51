"""Entering directories: which projects a shell that stands somewhere should be inside, with consent.

Shells decide by themselves while nothing changed; this is for the first time, and for what changed. It
never syncs: a prompt that waits for downloads is worse than a line that says what to run.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cape.environment.consent import (
    Answer,
    Content,
    Verdict,
    content_of,
    let_run,
    mark_looked,
    read_answer,
    seal_answer,
    write_answer,
)
from cape.errors import CapeError, StateError
from cape.operations.project import MANIFEST, Project, Workshop, held

SHELLS = ("bash", "zsh", "fish", "sh")
"""The shells that have a prompt hook."""

_SCRIPTS = ("run.sh", "activate.bash", "activate.zsh", "enter.zsh", "activate.fish", "activate.sh")
_OPTIONAL = ("profile.zsh", "profile.fish")


class ProjectBusy(StateError):
    """Another command is changing the project right now."""

    slug = "project-busy"


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A project that wants consent: what it would run, and the answer to what it ran before, if any."""

    project: Path
    content: Content
    before: Answer | None


Consent = Callable[[Sequence[Question]], Mapping[Path, Verdict]]
"""Asks for several projects at once; a project that is not in what it gives is left for now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A project to be inside: its directory, and the text by which the shell enters."""

    project: Path
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Looked:
    """The projects to be inside, the outermost first, and sentences about those that are left out."""

    places: tuple[Place, ...]
    notes: tuple[str, ...]


def projects_above(start: Path) -> tuple[Path, ...]:
    """Directories with a manifest from the root down to `start`, without links in their paths."""
    real = Path(os.path.realpath(start))
    return tuple(one for one in (*reversed(real.parents), real) if (one / MANIFEST).is_file())


def look(
    start: Path, workshop: Workshop, shell: str, *, consent: Consent, skip: Sequence[Path] = ()
) -> Looked:
    """What a shell of that kind in `start` should be inside; `skip` is left alone. Syncs nothing."""
    notes: list[str] = []
    contents: dict[Path, Content] = {}
    for project in projects_above(start):
        if project in skip:
            continue
        mark_looked(project)
        try:
            contents[project] = content_at(project)
        except CapeError as error:
            notes.append(_sentence(project, error))
    answers = _answered(contents, consent)
    places = []
    for project in contents:
        answer = answers.get(project)
        if answer is None or answer.verdict is Verdict.DENIED:
            continue
        try:
            places.append(_prepare(answer, workshop, shell))
        except CapeError as error:
            notes.append(_sentence(project, error))
    return Looked(places=tuple(places), notes=tuple(notes))


def _sentence(project: Path, error: CapeError) -> str:
    hint = f" ({error.hint})" if error.hint else ""
    return f"`{project}` is not entered: {error.fact}{hint}"


def content_at(project: Path) -> Content:
    """What a project would run now: with its includes where they are known, else what its own text says.

    Raises `ManifestError` and what includes raise.
    """
    from cape.environment.generations import current_generation, is_up_to_date
    from cape.environment.kept import kept_manifest
    from cape.manifest import parse_manifest

    current = current_generation(project)
    if current is not None and is_up_to_date(project, current):
        manifest = kept_manifest(project, current.directory)
    else:
        path = project / MANIFEST
        manifest = parse_manifest(path.read_text(encoding="utf-8", errors="replace"), path=path)
    return content_of(manifest, project)


def _answered(contents: Mapping[Path, Content], consent: Consent) -> dict[Path, Answer]:
    """The answers that hold for these contents; the user is asked once for all that are missing."""
    found: dict[Path, Answer] = {}
    questions = []
    for project, content in contents.items():
        answer = read_answer(project)
        if answer is not None and answer.covers(content):
            found[project] = answer
        else:
            questions.append(Question(project=project, content=content, before=answer))
    verdicts = consent(questions) if questions else {}
    for question in questions:
        if question.project in verdicts:
            found[question.project] = _remember(
                question.project, verdicts[question.project], question.content
            )
    return found


def _remember(project: Path, verdict: Verdict, content: Content) -> Answer:
    answer = Answer(project=project, verdict=verdict, content=content)
    write_answer(answer)
    return answer


def decide(project: Project, verdict: Verdict) -> Answer:
    """Allow or deny a project, as it is now. Raises `ManifestError`."""
    directory = Path(os.path.realpath(project.directory))
    return _remember(directory, verdict, content_at(directory))


def _prepare(answer: Answer, workshop: Workshop, shell: str) -> Place:
    """Seal an allowed project, so that shells may enter by themselves from now on.

    Raises `StateError` where it would have to be synced first, or is being changed.
    """
    from cape.environment.generations import current_generation, heal, is_up_to_date, seal
    from cape.operations import living

    project = Project(answer.project)
    _check_idle(project)
    with held(project):
        heal(project.directory)
        current = current_generation(project.directory)
        if current is None or not is_up_to_date(project.directory, current):
            what = "there is no environment yet" if current is None else "its manifest or lock changed"
            raise StateError(what, hint="run `cape sync`")
        if content_at(project.directory) != answer.content:
            raise StateError("it changed while you were asked")
        let_run(project.directory)
        seal(project.directory, current)
        there = project.state / "current"
        optional = [there / name for name in _OPTIONAL if (there / name).exists()]
        scripts = [there / name for name in _SCRIPTS]
        seal_answer(answer, [*scripts, *optional, *_hooks(current.directory, project, current.environment)])
    entering = living.Entering(shell=shell, prints=True)
    process = living.entered(current, entering)
    done = subprocess.run(
        process.words,
        env={**process.variables, **_services(project, workshop)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or not done.stdout.strip():
        raise StateError("its scripts do not hold", hint="run `cape sync`")
    return Place(project=answer.project, text=done.stdout.strip())


def _hooks(directory: Path, project: Project, environment: Path) -> list[Path]:
    """The files that entering runs beside the scripts."""
    from cape.environment.sealing import read_activation
    from cape.environment.shells.hooks import has_hooks, home_of

    activation = read_activation(project.directory, directory, environment)
    if not has_hooks(activation):
        return []
    names = ("start.sh", "on-activate.sh", "on-deactivate.sh")
    return [file for name in names if (file := home_of(activation) / name).exists()]


def _services(project: Project, workshop: Workshop) -> dict[str, str]:
    """Start services that start with the environment, and say to the sealed script that it was done."""
    from cape.operations.services import SEEN_TO, auto_start

    os.environ.pop(SEEN_TO, None)
    auto_start(project, workshop, argv=("activate",))
    return {SEEN_TO: "off"}


def _check_idle(project: Project) -> None:
    """Raise `ProjectBusy` where a change is under way: a prompt does not wait for it."""
    try:
        descriptor = os.open(project.state / "held", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ProjectBusy("another command is changing it", hint="it is entered when that is done") from None
    finally:
        os.close(descriptor)
