"""`cape instances` and `cape promote`: which generation of a place is staging, and which is production.

A rule that must hold before an instance moves is a list of commands of the manifest, `[promote.NAME]`; they
run in the project's directory, which must be at the generation that is promoted.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cape.environment.generations import current_generation
from cape.errors import InputError, StateError
from cape.names import Digest
from cape.operations import agreeing
from cape.operations.project import Project, Workshop
from cape.operations.sharing import Known, known_place, now, open_ledger, who
from cape.sharing import Entry
from cape.sharing.instances import Check, Host, Instance, Instances, Step, check_name
from cape.sharing.keys import KeyRing, Signer
from cape.sharing.ledger import Consent, Ledger, nobody

_TIMEOUT_S = 3600
_SHOWN_LINES = 12


class PromotionRefused(StateError):
    """A command that must succeed before an instance moves did not."""

    slug = "promotion-refused"


class UnknownInstance(InputError):
    """A place has no instance of that name."""

    slug = "unknown-instance"


class OtherGeneration(StateError):
    """The project is not at the generation that is to be checked."""

    slug = "other-generation"


class InstanceMoved(StateError):
    """Somebody else moved an instance meanwhile."""

    slug = "instance-moved"


Telling = Callable[[str], None]
"""Hears of each command before it runs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Promoted:
    """An instance's new step, and the one before it (None: it is new)."""

    step: Step
    before: Step | None


def instances_of(place: str, workshop: Workshop, *, consent: Consent = nobody) -> list[Instance]:
    """All instances of a place, by name."""
    return Instances(open_ledger(place, workshop, consent=consent)).all()


def promote(
    project: Project,
    workshop: Workshop,
    place: str,
    source: str,
    target: str,
    *,
    message: str = "",
    key: str | None = None,
    consent: Consent = nobody,
    agreement: agreeing.Agreement = agreeing.nobody,
    telling: Telling = lambda command: None,
) -> Promoted:
    """Move an instance to a generation of the place, if its rule holds.

    `source` is an instance, or the number of a generation; `agreement` is asked before the commands of a rule
    run that somebody else signed. Raises `PromotionRefused`, `OtherGeneration`, `HooksNotAllowed`,
    `UnknownInstance`, `InstanceMoved`, and what places raise.
    """
    check_name(target)
    signer = KeyRing().get(key)
    ledger = open_ledger(place, workshop, consent=consent)
    entry = _source(ledger, source)
    present = Instances(ledger).get(target)
    checks = _checked(project, ledger, entry, target, agreement, telling)
    step = Step(
        instance=target,
        number=present.step.number + 1 if present else 1,
        generation=entry.record.number,
        record=entry.digest,
        action="promote",
        source="" if source.isdigit() else source,
        by=who(),
        at=now(),
        message=message,
        checks=checks,
    )
    return _taken(Instances(ledger), step, present, signer)


def roll_back(
    place: str,
    workshop: Workshop,
    name: str,
    *,
    message: str = "",
    key: str | None = None,
    consent: Consent = nobody,
) -> Promoted:
    """Move an instance back to the generation that it was at before. No rule stands in the way of that.

    Raises `UnknownInstance`, `InstanceMoved`, and what places raise.
    """
    signer = KeyRing().get(key)
    instances = Instances(open_ledger(place, workshop, consent=consent))
    present = _known(instances, name)
    earlier = _before(instances, present)
    step = Step(
        instance=name,
        number=present.step.number + 1,
        generation=earlier.generation,
        record=earlier.record,
        action="rollback",
        source="",
        by=who(),
        at=now(),
        message=message,
    )
    return _taken(instances, step, present, signer)


def report_host(
    project: Project, workshop: Workshop, name: str, *, key: str | None = None, consent: Consent = nobody
) -> Host:
    """Tell the project's place what this host is at, under an instance. Raises `UnknownInstance`."""
    known = _pulled(project)
    ledger = open_ledger(known.place, workshop, consent=consent)
    instances = Instances(ledger)
    _known(instances, name)
    current = current_generation(project.directory)
    host = Host(
        name=platform.node() or "unnamed",
        user=who(),
        generation=known.number,
        content=str(current.content) if current else "",
        at=now(),
        problems=tuple(drift_of(project, known)),
    )
    instances.report(name, host, KeyRing().get(key))
    return host


def drift_of(project: Project, known: Known) -> list[str]:
    """What of a project is not as the place gave it, as sentences."""
    problems = []
    for path, digest in sorted(known.files.items()):
        file = project.directory / path
        if not file.is_file():
            problems.append(f"`{path}` is missing")
        elif Digest.of(file.read_bytes()) != digest:
            problems.append(f"`{path}` was changed")
    current = current_generation(project.directory)
    if current is None:
        problems.append("no environment was made: `cape sync`")
    elif Digest.of(current.lock_text.encode()) != known.files.get("cape.lock"):
        problems.append(f"generation {current.number} here is of another lock")
    elif not (current.environment / "environment.json").is_file():
        problems.append("its environment is not in the store: `cape sync`")
    return problems


def generation_of(place: str, workshop: Workshop, name: str, *, consent: Consent = nobody) -> int:
    """The generation of the place that an instance is at. Raises `UnknownInstance`."""
    return _known(Instances(open_ledger(place, workshop, consent=consent)), name).step.generation


def _pulled(project: Project) -> Known:
    known = known_place(project)
    if known is None:
        raise OtherGeneration(
            "this project was not pulled from a place, nor pushed to one",
            where=str(project.directory),
            hint="`cape pull PLACE` or `cape push PLACE` first",
        )
    return known


def _source(ledger: Ledger, source: str) -> Entry:
    if source.isdigit():
        newest = ledger.head()
        if newest is None or not 0 < int(source) <= newest.record.number:
            raise UnknownInstance(f"the place has no generation {source}", where=ledger.place.shown)
        return ledger.entry(int(source))
    return ledger.entry(_known(Instances(ledger), source).step.generation)


def _known(instances: Instances, name: str) -> Instance:
    found = instances.get(name)
    if found is None:
        names = ", ".join(f"`{one}`" for one in instances.names())
        raise UnknownInstance(
            f"the place has no instance `{name}`",
            hint=f"it has {names}" if names else "`cape promote GENERATION NAME` makes one",
        )
    return found


def _before(instances: Instances, present: Instance) -> Step:
    """The promotion before the one that counts now: each rollback took one of them back."""
    standing: list[Step] = []
    for number in range(1, present.step.number + 1):
        step = instances.step(present.name, number)
        if step.action == "rollback":
            standing.pop()
        else:
            standing.append(step)
    if len(standing) < 2:
        raise UnknownInstance(
            f"`{present.name}` was never at another generation before {present.step.generation}",
            hint="`cape promote GENERATION NAME` moves it to any",
        )
    return standing[-2]


def _checked(
    project: Project,
    ledger: Ledger,
    entry: Entry,
    target: str,
    agreement: agreeing.Agreement,
    telling: Telling,
) -> tuple[Check, ...]:
    """Run the rule of an instance, as the manifest of the promoted generation has it."""
    from cape.manifest import parse_manifest
    from cape.operations.including import project_manifest

    text = ledger.blob(entry.record.files["cape.toml"], what="`cape.toml`").decode()
    if entry.record.files.keys() == {"cape.toml", "cape.lock"}:
        rules = parse_manifest(text, path=project.manifest_path).promote
    else:
        _require_at(project, entry, target)
        rules = project_manifest(project).promote
    commands = _required(rules, target)
    if commands:
        _require_at(project, entry, target)
        require = agreeing.require_agreement if KeyRing().owns(entry.key) else agreeing.require_rules
        require(project, agreement)
    return tuple(_run(command, project, target, telling) for command in commands)


def _required(rules: Mapping[str, Any], target: str) -> Sequence[str]:
    return tuple(rules.get(target, {}).get("require", ()))


def _require_at(project: Project, entry: Entry, target: str) -> None:
    known = known_place(project)
    wanted = entry.record.number
    if known is None or known.digest != entry.digest:
        raise OtherGeneration(
            f"what `{target}` requires is checked in the project, which is not at generation {wanted}",
            where=str(project.directory),
            hint=f"`cape pull --generation {wanted}` first",
        )
    problems = drift_of(project, known)
    if problems:
        raise OtherGeneration(
            f"what `{target}` requires is checked in the project, which has changed: {problems[0]}",
            where=str(project.directory),
            hint=f"`cape pull --generation {wanted}` takes it back",
        )


def _run(command: str, project: Project, target: str, telling: Telling) -> Check:
    telling(command)
    own = str(Path(sys.executable).parent)
    variables = {**os.environ, "PATH": f"{own}:{os.environ.get('PATH', os.defpath)}"}
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=project.directory,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise PromotionRefused(
            f"`{target}` requires `{command}`, which did not end within {_TIMEOUT_S // 60} minutes"
        ) from None
    if done.returncode:
        lines = done.stdout.decode(errors="replace").splitlines()[-_SHOWN_LINES:]
        said = "".join(f"\n    {line}" for line in lines)
        raise PromotionRefused(
            f"`{target}` requires `{command}`, which gave exit code {done.returncode}:{said}",
            where=f"{project.manifest_path}: promote.{target}.require",
            hint=f"`{target}` stays where it is; mend what it says, push, and promote again",
        )
    return Check(command=command, code=0)


def _taken(instances: Instances, step: Step, present: Instance | None, signer: Signer) -> Promoted:
    if not instances.take(step, signer):
        raise InstanceMoved(
            f"somebody moved `{step.instance}` meanwhile", hint="`cape instances` shows where it is now"
        )
    return Promoted(step=step, before=present.step if present else None)
