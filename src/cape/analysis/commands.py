"""Commands that two packages of the manifest offer: whose comes on PATH is the manifest's to say.

Owns which offers clash, and the lines of `expose` that decide it. What a package offers is read elsewhere;
what one Debian package leaves to another is Debian's own to settle.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cape.analysis.conflicts import Explanation, Relaxation, Way, nearest_first
from cape.manifest.model import Expose
from cape.sources.protocol import Requirement


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """The commands that a requirement of the manifest brings."""

    requirement: Requirement
    commands: frozenset[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Clash:
    """Commands that the same requirements offer, both sorted as the manifest and the alphabet have them."""

    commands: tuple[str, ...]
    requirements: tuple[Requirement, ...]


def clashes(offers: Sequence[Offer], expose: Expose) -> tuple[Clash, ...]:
    """The commands that several requirements offer and `expose` decides nothing of.

    Two Debian packages never clash here: their archive says which may be together.
    """
    by_command: dict[str, list[Requirement]] = defaultdict(list)
    for offer in offers:
        for command in offer.commands:
            by_command[command].append(offer.requirement)
    decided = {entry.partition(":")[2] for entry in expose.add if ":" in entry}
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for command, requirements in by_command.items():
        if len(requirements) < 2 or command in decided or command in expose.hide:
            continue
        if any(one.source != "debian" for one in requirements):
            groups[tuple(one.name for one in requirements)].append(command)
    by_name = {offer.requirement.name: offer.requirement for offer in offers}
    return tuple(
        Clash(commands=tuple(sorted(commands)), requirements=tuple(by_name[name] for name in names))
        for names, commands in sorted(groups.items())
    )


def explained(
    clash: Clash, offers: Sequence[Offer], expose: Expose, written: Callable[[Requirement], str]
) -> Explanation:
    """The clash in the one form of conflicts. Its ways out are decisions that end it."""
    told = ", ".join(f"`{command}`" for command in clash.commands)
    return Explanation(
        requirements=clash.requirements,
        written=tuple(written(one) for one in clash.requirements),
        reasons=tuple(f"`{one.name}` of `{one.source}` has {told}" for one in clash.requirements),
        relaxations=nearest_first(list(_decisions(clash, offers, expose))),
    )


def _decisions(clash: Clash, offers: Sequence[Offer], expose: Expose) -> Iterator[Relaxation]:
    from cape.manifest.quoting import quoted_list

    for steps, one in enumerate(clash.requirements):
        add = (*expose.add, *(f"{one.name}:{command}" for command in clash.commands))
        decided = Expose(add=add, hide=expose.hide)
        if clash in clashes(offers, decided):
            continue
        parts = [f"add = {quoted_list(add)}"]
        if expose.hide:
            parts.append(f"hide = {quoted_list(expose.hide)}")
        yield Relaxation(
            way=Way.EXPOSE,
            lines=(f"expose = {{ {', '.join(parts)} }}",),
            sentence=f"take that of `{one.name}`, in `[environment]`",
            steps=steps,
        )


def doubled_modules(pypi: Mapping[str, str], debian: Mapping[str, str]) -> Iterator[str]:
    """Sentences about modules that two sources bring: versions of wheels, and of Debian packages by name.

    The Debian packages are those that the manifest names: with one of them, the environment's Python looks
    for Debian's modules too, after the wheels' (`pyvenv.cfg`).
    """
    for name, version in sorted(pypi.items()):
        if other := debian.get(f"python3-{name}"):
            yield (
                f"`{name}` comes from two sources: `python` imports {version} of `pypi:{name}`, and "
                f"{other} of `debian:python3-{name}` is for Debian's own programs"
            )
