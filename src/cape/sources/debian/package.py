"""One package of a Debian index, and the relations between packages.

Owns the parsing of a record and of its dependency fields. Which packages exist, and which of them are
chosen, is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from cape.sources.debian.version import related, sort_key

_RELATION = re.compile(
    r"\s*(?P<name>[^\s:(\[<|,]+)(?::(?P<architecture>[a-z0-9-]+))?\s*"
    r"(?:\(\s*(?P<relation>[<>=]+)\s*(?P<version>[^)\s]+)\s*\))?"
)
_PRIORITIES = ("required", "important", "standard", "optional", "extra")


class Relation(NamedTuple):
    """`name:architecture (relation version)`, as a dependency field has it."""

    name: str
    relation: str = ""
    version: str = ""
    architecture: str = ""

    def __str__(self) -> str:
        qualified = f"{self.name}:{self.architecture}" if self.architecture else self.name
        return f"{qualified} ({self.relation} {self.version})" if self.relation else qualified


Group = tuple[Relation, ...]
"""Alternatives, the preferred one first."""


def group_text(group: Group) -> str:
    """The alternatives as a field has them: `default-mta | mail-transport-agent`."""
    return " | ".join(str(relation) for relation in group)


@lru_cache(maxsize=1 << 14)
def parse_relations(text: str) -> tuple[Group, ...]:
    """The groups of alternatives in a dependency field, in its order."""
    groups = []
    for piece in text.split(","):
        group = tuple(
            Relation(
                found["name"], found["relation"] or "", found["version"] or "", found["architecture"] or ""
            )
            for alternative in piece.split("|")
            if (found := _RELATION.match(alternative))
        )
        if group:
            groups.append(group)
    return tuple(groups)


_UNDECLARED: Mapping[str, str] = {"libext2fs2t64": "libcom-err2", "libext2fs2": "libcom-err2"}
"""What a package needs and does not say, as every installed Debian has it: e2fsprogs, whose libraries these
are, is part of each. Found by the closure check, which refuses such a package."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DebianPackage:
    """One version of a package for one architecture, as an index describes it. Equal only to itself."""

    registry: str
    fields: Mapping[str, str]
    name: str
    version: str
    key: str
    depends: tuple[Group, ...] = ()
    """What it needs, `Depends` before `Pre-Depends`: the order that apt looks at them in."""
    negatives: tuple[Relation, ...] = ()
    """What may not be there with it: `Conflicts` and `Breaks`."""
    provides: Mapping[str, str] = field(default_factory=dict)
    """Names that it answers to besides its own, with the version, empty for none."""

    @classmethod
    def parse(cls, record: bytes, registry: str) -> DebianPackage:
        """The package that a record of an index describes. Raises `ValueError`."""
        fields = dict(
            line.split(": ", 1) for line in record.decode("utf-8", "replace").split("\n") if ": " in line
        )
        if not {"Package", "Version", "Architecture", "Filename", "Size", "SHA256"} <= fields.keys():
            raise ValueError("a record lacks a field that every package has")
        return cls(
            registry=registry,
            fields=fields,
            name=fields["Package"],
            version=fields["Version"],
            key=sort_key(fields["Version"]),
            depends=_groups(fields, "Depends")
            + _groups(fields, "Pre-Depends")
            + parse_relations(_UNDECLARED.get(fields["Package"], "")),
            negatives=tuple(
                relation
                for name in ("Conflicts", "Breaks")
                for group in _groups(fields, name)
                for relation in group
            ),
            provides={
                relation.name: relation.version for group in _groups(fields, "Provides") for relation in group
            },
        )

    @property
    def recommends(self) -> tuple[Group, ...]:
        return _groups(self.fields, "Recommends")

    @property
    def replaces(self) -> tuple[Group, ...]:
        """What it may overwrite files of; each group has one member."""
        return _groups(self.fields, "Replaces")

    @property
    def architecture(self) -> str:
        return self.fields["Architecture"]

    @property
    def is_essential(self) -> bool:
        return self.fields.get("Essential") == "yes"

    @property
    def priority(self) -> int:
        """Its place in the archive's priorities, 0 for `required`."""
        priority = self.fields.get("Priority", "optional")
        return _PRIORITIES.index(priority) if priority in _PRIORITIES else len(_PRIORITIES)

    def answers(self, relation: Relation, architecture: str) -> bool:
        """Whether it satisfies a relation of a package of that architecture."""
        if not self._answers_architecture(relation.architecture, architecture):
            return False
        if relation.name == self.name and (
            not relation.relation or related(self.version, relation.relation, relation.version)
        ):
            return True
        provided = self.provides.get(relation.name)
        if provided is None or not relation.relation:
            return provided is not None
        return bool(provided) and related(provided, relation.relation, relation.version)

    def _answers_architecture(self, qualifier: str, architecture: str) -> bool:
        if qualifier in ("", "native", architecture):
            return True
        return qualifier == "any" and self.fields.get("Multi-Arch") == "allowed"


def _groups(fields: Mapping[str, str], name: str) -> tuple[Group, ...]:
    text = fields.get(name)
    return parse_relations(text) if text else ()
