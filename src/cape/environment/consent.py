"""Consent: what a user answered to what a project would run when its directory is entered.

Owns `$XDG_STATE_HOME/cape/consent`, where each project has the directory of its own path. `.cape-answer` is
the answer with the content that it was given to; `.cape-allowed` and `.cape-denied` are for shells, which
look with builtins alone: the first lists the scripts that a shell would read, and `.cape-stamp.N` carries
the time of the Nth. A script with another time is not read before Python compared the content again.
`.cape-looked` is renewed whenever Python looked: what is newer is news. Nothing here asks anybody, or runs
anything.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cape.environment.variables import files_of
from cape.manifest import Manifest
from cape.names import Digest, write_atomically

_ANSWER = ".cape-answer"
_ALLOWED = ".cape-allowed"
_DENIED = ".cape-denied"
_STAMP = ".cape-stamp."
_LOOKED = ".cape-looked"
_SCHEMA = 1
HELD_BACK = "unconsented"
"""In a project's `.cape`: what it runs came from somebody else, and nobody agreed yet. Sealed scripts leave
such a project to Python."""


class Verdict(StrEnum):
    """What the user said."""

    ALLOWED = "allowed"
    DENIED = "denied"


@dataclass(frozen=True, kw_only=True, slots=True)
class Content:
    """What a project would run or set: keys of its manifest, each with a text."""

    rows: tuple[tuple[str, str], ...]

    @property
    def digest(self) -> Digest:
        return Digest.of(json.dumps(self.rows).encode())


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One project's answer, and the content that it was given to. `project` has no links in its path."""

    project: Path
    verdict: Verdict
    content: Content

    def covers(self, content: Content) -> bool:
        """Whether it holds for that content. A `no` is for the project, whatever it says later."""
        return self.verdict is Verdict.DENIED or self.content == content


def content_of(manifest: Manifest, project: Path) -> Content:
    """What somebody consents to: hooks, profiles, variables, files of them, secrets, services, includes, and
    the commands that `cape promote` would run.

    Those of the manifest's other environments too, as `environments.NAME.KEY`. Of a file of variables it has
    the digest: values may be secrets.
    """
    rows = _rows(manifest, project)
    rows += [(f"promote.{name}", _json(rule)) for name, rule in manifest.promote.items()]
    for name, part in manifest.environments.items():
        rows += [(f"environments.{name}.{key}", text) for key, text in _rows(part.manifest, project)]
    return Content(rows=tuple(sorted(rows)))


def _rows(manifest: Manifest, project: Path) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, text in (
        ("hook.on-activate", manifest.hook.on_activate),
        ("hook.on-deactivate", manifest.hook.on_deactivate),
    ):
        if text is not None:
            rows.append((key, text))
    rows += [(f"profile.{name}", text) for name, text in manifest.profile.items()]
    rows += [(f"vars.{name}", text) for name, text in manifest.vars.items()]
    rows += [(f"secrets.{name}", _json(how)) for name, how in manifest.secrets.items()]
    rows += [(f"services.{name}", _json(table)) for name, table in manifest.services.items()]
    rows += [(f"include.{name}", _json(row)) for name, row in manifest.include.items()]
    rows += [(f"file {file}", _digest(file)) for file in files_of(manifest, project)]
    return rows


def _json(value: object) -> str:
    return json.dumps(value, default=_plain, sort_keys=True)


def _plain(value: object) -> object:
    """A frozen table or list as JSON knows it."""
    if hasattr(value, "items"):
        return dict(value.items())
    return list(value) if isinstance(value, tuple) else str(value)


def _digest(file: Path) -> str:
    try:
        return str(Digest.of_file(file))
    except (FileNotFoundError, NotADirectoryError):
        return "not there"


def changes(old: Content, new: Content) -> Iterator[tuple[str, str | None, str | None]]:
    """Keys whose texts differ, by name, with the old text and the new one; None where there is none."""
    before, after = dict(old.rows), dict(new.rows)
    for key in sorted({*before, *after}):
        if before.get(key) != after.get(key):
            yield key, before.get(key), after.get(key)


def consent_home() -> Path:
    """The directory of all answers."""
    state = os.environ.get("XDG_STATE_HOME", "")
    home = Path(state) if state.startswith("/") else Path.home() / ".local" / "state"
    return home / "cape" / "consent"


def _record(project: Path) -> Path:
    return Path(f"{consent_home()}{project}")


def read_answer(project: Path) -> Answer | None:
    """What was answered for a project; None if nothing was, or the record is damaged."""
    try:
        record = json.loads((_record(project) / _ANSWER).read_bytes())
        rows = tuple((str(key), str(text)) for key, text in record["content"])
        verdict = Verdict(record["verdict"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Answer(project=project, verdict=verdict, content=Content(rows=rows))


def answers() -> tuple[Answer, ...]:
    """All answers, by project."""
    home = consent_home()
    found = []
    for directory, _, files in os.walk(home):
        if _ANSWER in files:
            found.append(read_answer(Path("/") / Path(directory).relative_to(home)))
    return tuple(sorted((one for one in found if one), key=lambda answer: str(answer.project)))


def write_answer(answer: Answer) -> None:
    """Remember an answer; the one before is gone. Shells see `yes` only after `seal_answer`."""
    directory = _made(answer.project)
    _forget_shells(directory)
    record = {
        "schema_version": _SCHEMA,
        "verdict": answer.verdict.value,
        "content": answer.content.rows,
    }
    write_atomically(directory / _ANSWER, json.dumps(record, indent=1).encode() + b"\n", mode=0o600)
    if answer.verdict is Verdict.DENIED:
        write_atomically(directory / _DENIED, b"", mode=0o600)


def _made(project: Path) -> Path:
    directory = _record(project)
    missing = [directory, *directory.parents]
    for one in reversed(missing[: missing.index(consent_home().parent)]):
        one.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory


def mark_looked(project: Path) -> None:
    """Say that somebody looked at the project now; an answer that was there stays."""
    marker = _made(project) / _LOOKED
    marker.touch(mode=0o600)
    os.utime(marker)


def forget_answer(project: Path) -> bool:
    """Forget what was answered; whether there was something."""
    directory = _record(project)
    _forget_shells(directory)
    (directory / _LOOKED).unlink(missing_ok=True)
    try:
        (directory / _ANSWER).unlink()
    except FileNotFoundError:
        return False
    for stamp in directory.glob(f"{_STAMP}*"):
        stamp.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        os.removedirs(directory)
    return True


def _forget_shells(directory: Path) -> None:
    for name in (_ALLOWED, _DENIED):
        (directory / name).unlink(missing_ok=True)


def seal_answer(answer: Answer, scripts: Sequence[Path]) -> None:
    """Let shells read these scripts, as they are now, without asking again.

    The caller has compared the content that they were made of. Paths have no line breaks.
    """
    directory = _record(answer.project)
    texts = [str(script) for script in scripts]
    if answer.verdict is not Verdict.ALLOWED or any("\n" in text for text in texts):
        return
    _forget_shells(directory)
    for number, script in enumerate(scripts):
        time_ns = script.stat().st_mtime_ns
        stamp = directory / f"{_STAMP}{number}"
        write_atomically(stamp, b"", mode=0o600)
        os.utime(stamp, ns=(time_ns, time_ns))
    write_atomically(directory / _ALLOWED, os.fsencode("".join(f"{text}\n" for text in texts)), mode=0o600)


def hold_back(project: Path) -> None:
    """Let no sealed script of the project run before `let_run`."""
    write_atomically(project / ".cape" / HELD_BACK, b"", mode=0o600)


def is_held_back(project: Path) -> bool:
    """Whether somebody has to agree first."""
    return (project / ".cape" / HELD_BACK).exists()


def let_run(project: Path) -> None:
    """Let sealed scripts run again."""
    (project / ".cape" / HELD_BACK).unlink(missing_ok=True)
