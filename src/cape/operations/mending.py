"""Adding what language packages lack to a manifest, with consent, until nothing is missing.

Owns the loop of lock and addition, and how an addition is written. What is missing is `missing`'s to find,
and how somebody is asked the caller's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from cape.operations.missing import FIX, Addition, MissingLibrary
from cape.sources.protocol import Requirement

_DEBIAN = "debian"

Consent = Callable[[Sequence[Addition]], Sequence[Addition]]
"""Asked before packages are added; gives those that may be."""


def agree(additions: Sequence[Addition]) -> Sequence[Addition]:
    """The consent of who asked for it in advance."""
    return additions


_Result = TypeVar("_Result")


def lock_mending(
    text: str,
    lock: Callable[[str], _Result],
    *,
    consent: Consent | None,
    command: str | None = FIX,
) -> tuple[str, _Result, tuple[Addition, ...]]:
    """Lock a manifest's text; what is missing is added as far as `consent` agrees, and it is locked again.

    Gives the text, its lock, and what was added. `command` is what a hint says to run to have all added;
    None where no command would. Raises what `lock` raises: `MissingLibrary` for what nobody agreed to.
    """
    added: dict[tuple[str | None, str], Addition] = {}
    while True:
        try:
            return text, lock(text), tuple(added.values())
        except MissingLibrary as error:
            error.offer(command)
            more = [one for one in error.additions if (one.environment, one.package) not in added]
            agreed = consent(more) if consent and more else ()
            if not agreed:
                raise
            added |= {(one.environment, one.package): one for one in agreed}
            text = mended(text, agreed)


def mended(text: str, additions: Sequence[Addition]) -> str:
    """A manifest's text with system packages added, each with a comment that says what for."""
    from cape.manifest import NameTaken, add_requirements

    for addition in additions:
        key = addition.package
        try:
            argument = Requirement(source=_DEBIAN, name=key, package=key)
            text = add_requirements(text, [argument], environment=addition.environment)
        except NameTaken:
            key = f"{_DEBIAN}-{addition.package}"
            argument = Requirement(source=_DEBIAN, name=key, package=addition.package)
            text = add_requirements(text, [argument], environment=addition.environment)
        line = re.compile(rf'^(\s*"?{re.escape(key)}"?\s*=\s*(?:"\*"|\{{[^}}\n]*\}}))[ \t]*$', re.MULTILINE)
        text = line.sub(rf"\1  # {addition.needed_by} needs {addition.library}", text, count=1)
    return text
