"""`cape sbom`, `licences`, `audit`: arguments to operations, results to text."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from cape.analysis.advisories import Severity
from cape.cli.main import did_you_mean
from cape.cli.output import count, paint, say, show_json, table
from cape.errors import UsageError
from cape.names import System, write_atomically
from cape.operations.project import Workshop, find_project

if TYPE_CHECKING:
    from cape.operations.auditing import FoundHole

_COLOURS = {Severity.CRITICAL: "1;31", Severity.HIGH: "31", Severity.MEDIUM: "33", Severity.LOW: "36"}


class UnknownSeverity(UsageError):
    """A word that is no severity."""

    slug = "unknown-severity"


class AdvisoriesUnset(UsageError):
    """Neither the command line nor the settings say where records of known holes are."""

    slug = "advisories-unset"


def _system(text: str | None) -> System:
    return System.parse(text) if text else System.current()


def sbom(arguments: argparse.Namespace) -> int:
    """`cape sbom`."""
    from cape.operations.auditing import bill

    text = bill(find_project(Path.cwd()), _system(arguments.system))
    if arguments.output:
        write_atomically(Path(arguments.output), text.encode())
        say(f"wrote `{arguments.output}`", quiet=arguments.quiet)
    else:
        print(text, end="")
    return 0


def licences(arguments: argparse.Namespace) -> int:
    """`cape licences`."""
    from cape.operations.auditing import licences as licences_of

    rows = licences_of(find_project(Path.cwd()), _system(arguments.system))
    if arguments.json:
        show_json(
            {
                "packages": [
                    {
                        "source": row.package.source,
                        "name": row.package.name,
                        "version": row.package.version,
                        "licence": row.licence,
                    }
                    for row in rows
                ]
            }
        )
        return 0
    print(table([(row.package.name, row.package.version, row.licence or "not stated") for row in rows]))
    unknown = sum(row.licence is None for row in rows)
    if unknown:
        say(
            f"{count(unknown, 'package')} of {len(rows)} state none that cape can read", quiet=arguments.quiet
        )
    return 0


def audit(arguments: argparse.Namespace) -> int:
    """`cape audit`; exit code 1 when a hole is as bad as `--fail`, or worse."""
    from cape.operations.auditing import audit as audit_lock

    bar = _severity(arguments.fail)
    place = arguments.place or Workshop.open().configuration.one("advisories")
    if not place:
        raise AdvisoriesUnset(
            "it is not said where records of known holes are",
            hint="`cape audit DIRECTORY`, or `cape config advisories DIRECTORY`; files in OSV's format",
        )
    found = audit_lock(find_project(Path.cwd()), place, systems=[_system(arguments.system)])
    failing = found.at_least(bar) if bar is not None else ()
    if arguments.json:
        show_json(
            {
                "holes": [_fields(one) for one in found.holes],
                "packages": found.packages,
                "advisories": found.advisories,
                "unreadable": list(found.unreadable),
                "failing": len(failing),
            }
        )
        return 1 if failing else 0
    for one in found.holes:
        print(_told(one))
    for name in found.unreadable:
        say(f"note: not read: {name}", quiet=arguments.quiet)
    say(_summary(found.holes, found.packages, found.advisories), quiet=arguments.quiet)
    return 1 if failing else 0


def _severity(text: str) -> Severity | None:
    if text == "never":
        return None
    words = {severity.word: severity for severity in Severity}
    if text not in words:
        hint = did_you_mean(text, words) or "one of " + ", ".join(f"`{word}`" for word in (*words, "never"))
        raise UnknownSeverity(f"`{text}` is no severity", hint=hint)
    return words[text]


def _told(one: FoundHole) -> str:
    hole, advisory = one.hole, one.hole.advisory
    word = paint(advisory.severity.word, _COLOURS.get(advisory.severity, "0"), sys.stdout)
    names = advisory.id + (f" ({', '.join(advisory.aliases)})" if advisory.aliases else "")
    lines = [f"{word}  {hole.package} {hole.version}  {names}"]
    if advisory.summary:
        lines.append(f"  {advisory.summary}")
    lines.append(f"  fixed in {hole.fixed}" if hole.fixed else "  not fixed yet")
    chain = " -> ".join(one.brought_by)
    lines.append(f"  brought by {chain}" + (f", at {one.where}" if one.where else ""))
    return "\n".join(lines)


def _summary(holes: tuple[FoundHole, ...], packages: int, advisories: int) -> str:
    if not holes:
        return f"no known hole in {count(packages, 'package')} ({count(advisories, 'record')} read)"
    worst = Counter(one.hole.advisory.severity for one in holes)
    parts = ", ".join(f"{worst[severity]} {severity.word}" for severity in sorted(worst, reverse=True))
    return f"{count(len(holes), 'known hole')} in {count(packages, 'package')}: {parts}"


def _fields(one: FoundHole) -> dict[str, object]:
    hole, advisory = one.hole, one.hole.advisory
    return {
        "id": advisory.id,
        "aliases": list(advisory.aliases),
        "severity": advisory.severity.word,
        "summary": advisory.summary,
        "ecosystem": hole.ecosystem,
        "package": hole.package,
        "version": hole.version,
        "fixed": hole.fixed,
        "packages": list(one.packages),
        "brought_by": list(one.brought_by),
        "where": one.where,
    }
