"""Which release of node packages say that they need, against the one that the environment has.

Owns that comparison. A package that asks for a newer node than there is will fail, and one that the manifest
names is refused; one that asks for an older node mostly works, as npm takes it to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from cape.sources.npm import semver
from cape.sources.npm.tree import Position
from cape.sources.protocol import Requirement, RequirementsConflict


def check_engines(
    positions: Iterable[Position],
    requirements: Sequence[Requirement],
    nodes: Sequence[str],
) -> tuple[str, ...]:
    """Sentences about packages that are there for others and want a newer node than each of `nodes`.

    Raises `RequirementsConflict` for one that a requirement names.
    """
    oldest = min(filter(None, map(semver.parse_version, nodes)), default=None)
    if oldest is None:
        return ()
    has = ".".join(map(str, oldest))
    named = {requirement.package: requirement for requirement in requirements}
    node = named.get("node")
    lacking = [one for one in positions if one.node and wants_newer(one.node, oldest)]
    for position in lacking:
        wanted = named.get(position.name)
        if wanted is not None and position.path == f"node_modules/{position.name}":
            concerned = [wanted, node] if node else [wanted]
            raise RequirementsConflict(
                f"`{position.name}` {position.version} needs node `{position.node}`, and node is {has}",
                where=", ".join(one.where for one in concerned if one.where) or None,
                reasons=(
                    f"`{position.name}` {position.version} needs node `{position.node}`",
                    f"node is {has}",
                ),
                concerned=concerned,
            )
    return tuple(_notes(lacking, has))


def _notes(lacking: Sequence[Position], has: str) -> Iterator[str]:
    if lacking:
        names = ", ".join(sorted({f"`{one.name}` (`{one.node}`)" for one in lacking})[:5])
        more = "" if len(lacking) <= 5 else f" and {len(lacking) - 5} more"
        yield f"npm packages that others need ask for a newer node than {has}: {names}{more}"


def wants_newer(wanted: str, node: semver.Version) -> bool:
    """Whether a range holds only releases that are newer than the one that there is.

    >>> [wants_newer(wanted, (19, 0, 0)) for wanted in ("^18 || >=20", ">=20", "<16")]
    [False, True, False]
    """
    try:
        alternatives = semver.parse_range(wanted)
    except semver.BadRange:
        return False
    if semver.in_range(node, alternatives):
        return False
    return all(any(low > node for low, _ in bounds) for bounds in alternatives)
