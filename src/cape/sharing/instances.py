"""Instances: names such as `staging` and `production`, and the generation of the place that each one is at.

Owns the signed steps of an instance (`instances/NAME/N.json`, the newest counts) and what hosts report of
themselves (`instances/NAME/hosts/HOST.json`, the last word counts). Whether a step is allowed is decided by
whoever takes it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from cape.errors import InputError
from cape.names import Digest
from cape.sharing.envelopes import seal, unseal
from cape.sharing.errors import PlaceDamaged
from cape.sharing.keys import PublicKey, Signer
from cape.sharing.ledger import LISTED, Ledger

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")


class BadInstanceName(InputError):
    """A word that cannot name an instance."""

    slug = "bad-instance-name"


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """A command that had to succeed before a step, and its exit code."""

    command: str
    code: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """An instance moved to a generation of the place.

    `number` counts the instance's steps from 1. `record` is the digest of the generation's record. `source`
    is the instance that it came from, or empty; `action` is `promote` or `rollback`.
    """

    instance: str
    number: int
    generation: int
    record: Digest
    action: str
    source: str
    by: str
    at: str
    message: str = ""
    checks: tuple[Check, ...] = ()
    key: PublicKey | None = field(default=None, compare=False)

    def to_bytes(self) -> bytes:
        """The step as it is signed."""
        fields = {name: value for name, value in asdict(self).items() if name != "key"}
        fields["record"] = self.record.hex
        return json.dumps(fields, indent=1, sort_keys=True).encode()


@dataclass(frozen=True, kw_only=True, slots=True)
class Host:
    """What a host last said of itself: the generation it is at, and what is not as pulled.

    `content` is the digest of its environment, `problems` are sentences; none: healthy.
    """

    name: str
    user: str
    generation: int
    content: str
    at: str
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Instance:
    """One name, its newest step, and its hosts."""

    name: str
    step: Step
    hosts: tuple[Host, ...] = ()

    def state_of(self, host: Host) -> str:
        """`healthy`, `behind` (of another generation than the instance), or `drifted`."""
        if host.problems:
            return "drifted"
        return "healthy" if host.generation == self.step.generation else "behind"


class Instances:
    """The instances of one place."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._place = ledger.place

    def names(self) -> list[str]:
        """Names of all instances, sorted."""
        names = self._place.names("instances")
        if names is None:
            names = (self._place.read(f"instances/{LISTED}") or b"").decode().split()
        return sorted(name for name in names if name != LISTED and _NAME.match(name))

    def all(self) -> list[Instance]:
        """Every instance. Raises what signed records raise."""
        return [one for name in self.names() if (one := self.get(name)) is not None]

    def get(self, name: str) -> Instance | None:
        """The instance of that name; None when there is none."""
        check_name(name)
        number = self._newest(name)
        if not number:
            return None
        return Instance(name=name, step=self.step(name, number), hosts=tuple(self._hosts(name)))

    def step(self, name: str, number: int) -> Step:
        """A step of an instance, checked. Raises what signed records raise."""
        where = f"{self._place.shown}: step {number} of `{name}`"
        data, key = unseal(self._place.read(f"instances/{name}/{number}.json"), where=where)
        step = _step(json.loads(data), where)
        if (step.instance, step.number) != (name, number):
            raise PlaceDamaged("a step is of another instance or number than its place says", where=where)
        entry = self._ledger.entry(step.generation)
        if entry.digest != step.record:
            raise PlaceDamaged("a step names a generation that was replaced", where=where)
        self._ledger.check_trust(key, entry.record, where)
        return replace(step, key=key)

    def take(self, step: Step, signer: Signer) -> bool:
        """Add a step to its instance; False: somebody else moved the instance meanwhile."""
        check_name(step.instance)
        if not self._place.commit(
            f"instances/{step.instance}/{step.number}.json", seal(step.to_bytes(), signer)
        ):
            return False
        names = sorted({*self.names(), step.instance})
        self._place.hint(f"instances/{LISTED}", "".join(f"{name}\n" for name in names).encode())
        return True

    def report(self, name: str, host: Host, signer: Signer) -> None:
        """Keep what a host says of itself."""
        fields = {**asdict(host), "instance": name}
        data = json.dumps(fields, indent=1, sort_keys=True).encode()
        self._place.overwrite(f"instances/{name}/hosts/{_file_name(host.name)}.json", seal(data, signer))

    def _newest(self, name: str) -> int:
        files = self._place.names(f"instances/{name}")
        if files is not None:
            numbers = [int(file[:-5]) for file in files if file.endswith(".json") and file[:-5].isdigit()]
            return max(numbers, default=0)
        number = 0
        while self._place.has(f"instances/{name}/{number + 1}.json"):
            number += 1
        return number

    def _hosts(self, name: str) -> list[Host]:
        directory = f"instances/{name}/hosts"
        hosts = []
        for file in self._place.names(directory) or ():
            where = f"{self._place.shown}: host {file} of `{name}`"
            data, _ = unseal(self._place.read(f"{directory}/{file}"), where=where)
            fields = json.loads(data)
            fields.pop("instance")
            hosts.append(Host(**{**fields, "problems": tuple(fields["problems"])}))
        return hosts


def check_name(name: str) -> None:
    """Raise `BadInstanceName` for a word that cannot name an instance."""
    if not _NAME.match(name) or name.isdigit() or name == LISTED:
        raise BadInstanceName(
            f"`{name}` cannot name an instance",
            hint="lower case letters, digits, `.`, `_`, `-`; not a number",
        )


def _file_name(host: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", host) or "_"


def _step(fields: Mapping[str, Any], where: str) -> Step:
    try:
        return Step(
            instance=fields["instance"],
            number=int(fields["number"]),
            generation=int(fields["generation"]),
            record=Digest(fields["record"]),
            action=fields["action"],
            source=fields["source"],
            by=fields["by"],
            at=fields["at"],
            message=fields["message"],
            checks=tuple(Check(command=one["command"], code=int(one["code"])) for one in fields["checks"]),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise PlaceDamaged("a step of an instance cannot be read", where=where) from error
