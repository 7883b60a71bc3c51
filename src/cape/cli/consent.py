"""Asking at the terminal whether system packages may be added; without one nothing is asked: no."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cape.operations.mending import Consent
    from cape.operations.missing import Addition


def consent_of(*, fix: bool) -> Consent | None:
    """The consent that a command has: given in advance, to be asked for, or none."""
    if fix:
        from cape.operations.mending import agree

        return agree
    if sys.stdin.isatty() and sys.stderr.isatty():
        return ask_to_add
    return None


def ask_to_add(additions: Sequence[Addition]) -> Sequence[Addition]:
    """Ask for each package; those that were agreed to."""
    agreed = []
    for addition in additions:
        print(f"{addition.question()} [Y/n] ", end="", file=sys.stderr, flush=True)
        answer = sys.stdin.readline()
        if answer.strip().lower() in ("y", "yes", "") and answer:
            agreed.append(addition)
    return agreed
