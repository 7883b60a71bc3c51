"""A package as it is named on the command line: `ripgrep`, `pypi:pandas>=2`, `npm:@types/node@^22`.

Owns reading that form. Whether the package exists is a source's knowledge.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cape.manifest.errors import BadPackageArgument
from cape.manifest.model import DEFAULT_SOURCE
from cape.manifest.naming import PACKAGE_SOURCES, alike, constraint_rule, package_name_rule
from cape.sources.protocol import Requirement

_PREFIX = re.compile(r"([A-Za-z0-9_-]+):")
_NAME = re.compile(r"@?[^@<>=!~^\[\]\s,;]*")
_EXTRAS = re.compile(r"\[([^\]]*)\]")


@dataclass(frozen=True, kw_only=True, slots=True)
class PackageArgument:
    """A package of the command line. `source` and `constraint` are None where it says none."""

    source: str | None
    name: str
    constraint: str | None = None
    extras: tuple[str, ...] = ()

    def requirement(self) -> Requirement:
        """The requirement that it adds to a manifest, named as the package is."""
        return Requirement(
            source=self.source or DEFAULT_SOURCE,
            name=self.name,
            package=self.name,
            constraint=self.constraint or "*",
            options={"extras": ",".join(sorted(set(self.extras)))} if self.extras else {},
        )


def parse_package_argument(text: str) -> PackageArgument:
    """The package that an argument names. Raises `BadPackageArgument`.

    A source is a prefix; a constraint follows `@`, or starts with its operator.

    >>> parse_package_argument("npm:@types/node@^22")
    PackageArgument(source='npm', name='@types/node', constraint='^22', extras=())
    """
    source, rest = _split_source(text.strip(), text)
    match = _NAME.match(rest)
    name = match.group() if match else ""
    extras, constraint = _split_extras(rest[len(name) :])
    if extras and source != "pypi":
        raise _bad(text, "extras are for packages of `pypi`", "write `pypi:NAME[EXTRA]`")
    if rule := package_name_rule(source or DEFAULT_SOURCE, name):
        raise _bad(text, f"`{name}` is no name of a package" if name else "it names no package", rule)
    return PackageArgument(source=source, name=name, constraint=_constraint(constraint, text), extras=extras)


def _split_source(argument: str, text: str) -> tuple[str | None, str]:
    match = _PREFIX.match(argument)
    if not match:
        return None, argument
    if match[1] not in PACKAGE_SOURCES:
        known = ", ".join(f"`{source}`" for source in PACKAGE_SOURCES)
        close = alike(match[1], PACKAGE_SOURCES)
        hint = f"did you mean `{close[0]}:`?" if close else f"sources are {known}"
        raise _bad(text, f"`{match[1]}` is no source", hint)
    return match[1], argument[match.end() :]


def _split_extras(rest: str) -> tuple[tuple[str, ...], str]:
    match = _EXTRAS.match(rest)
    if not match:
        return (), rest
    extras = tuple(extra.strip() for extra in match[1].split(",") if extra.strip())
    return extras, rest[match.end() :]


def _constraint(text: str, argument: str) -> str | None:
    if not text.strip():
        if text:
            raise _bad(argument, "a space follows the name", "write the constraint after `@`")
        return None
    constraint = text[1:] if text.startswith("@") else text
    if rule := constraint_rule(constraint):
        raise _bad(argument, "nothing that is a constraint follows the name", rule)
    return constraint.strip()


def _bad(argument: str, fact: str, hint: str | None) -> BadPackageArgument:
    return BadPackageArgument(f"`{argument}`: {fact}", hint=hint)
