"""`cape install --adopt`, and what `cape doctor` says of packages that pip put beside the locked ones.

Owns which of them are adopted, and under which constraint. The edit itself is `editing`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cape.environment.overlay import Stray, clear_overlay, strays
from cape.errors import StateError
from cape.manifest import PackageArgument

if TYPE_CHECKING:
    from cape.operations.editing import EditResult
    from cape.operations.mending import Consent
    from cape.operations.project import Project, Workshop


class NothingToAdopt(StateError):
    """No package was installed beside the locked ones."""

    slug = "nothing-to-adopt"


def adopt(
    project: Project,
    workshop: Workshop,
    packages: Sequence[PackageArgument] = (),
    *,
    argv: Sequence[str],
    as_of: str | None = None,
    dry_run: bool = False,
    environment: str | None = None,
    consent: Consent | None = None,
) -> EditResult:
    """Put what is in the overlay into the manifest, at its version; lock, sync, and clear the overlay.

    Those that came with another one are the lock's to find. Whatever fails, the overlay is as it was.
    Raises `NothingToAdopt`, and what `install` raises.
    """
    from cape.environment.generations import current_generation
    from cape.operations.editing import install

    found = strays(project.directory)
    wanted = [one for one in found if one.is_asked] or list(found)
    _check(wanted, project)
    more = [PackageArgument(source="pypi", name=one.name, constraint=f"=={one.version}") for one in wanted]
    result = install(
        project,
        workshop,
        [*packages, *more],
        argv=argv,
        as_of=as_of,
        dry_run=dry_run,
        environment=environment,
        consent=consent,
    )
    current = current_generation(project.directory)
    if not dry_run and current is not None:
        clear_overlay(project.directory, current.environment)
    return result


def _check(wanted: Sequence[Stray], project: Project) -> None:
    if not wanted:
        raise NothingToAdopt(
            "nothing was installed beside the locked packages", where=str(project.state / "state" / "python")
        )
    for one in wanted:
        if one.url is not None:
            raise NothingToAdopt(
                f"`{one.name}` {one.version} was not installed from an index",
                where=str(project.state / "state" / "python"),
                hint="write it into `[packages]` with `git`, `url` or `path`, and remove it there: "
                f"`python -m pip uninstall {one.name}` with `$VIRTUAL_ENV/bin/python`",
            )


def told(project: Project) -> str | None:
    """A sentence about what is in the overlay; None where nothing is."""
    found = strays(project.directory)
    if not found:
        return None
    listed = ", ".join(f"`{one.name}` {one.version}" for one in found)
    return f"not locked, but seen by `python`: {listed}"
