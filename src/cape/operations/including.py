"""The project's manifest with all that it includes: what every operation starts from.

Owns opening includes: directories as they are now, git repositories at the commit that the lock says. It
merges nothing itself.
"""

from __future__ import annotations

import os
from pathlib import Path

from cape.errors import IntegrityError
from cape.lock import Lock, LockedInclude, read_lock, wanted_digest
from cape.manifest import Included, IncludeMissing, Manifest, compose, environment_of, parse_manifest
from cape.manifest import read_manifest as read_alone
from cape.manifest.include import Wanted, directory_expression, shown_path
from cape.names import Digest
from cape.operations.project import MANIFEST, Project
from cape.operations.requiring import with_project_files
from cape.store import Store


class IncludeChanged(IntegrityError):
    """A manifest of a locked commit that is not the one that was locked."""

    slug = "include-changed"


def project_manifest(
    project: Project,
    *,
    text: str | None = None,
    store: Store | None = None,
    upgrade: frozenset[str] = frozenset(),
    environment: str | None = None,
) -> Manifest:
    """The manifest of a project, composed: that of its file, or of another text in its place.

    A git include is taken at its locked commit; one whose name is in `upgrade`, or that the manifest
    changed, at what its reference means now. Only then, or where the store has not got the commit, is the
    network used. Raises the errors of manifests, `IncludeMissing`, `IncludeCycle`, `IncludesDisagree`, and
    those of `repositories`.
    """
    path = project.manifest_path
    manifest = read_alone(path) if text is None else parse_manifest(text, path=path)
    opener = DiskOpener(project, store=store, upgrade=upgrade)
    return environment_of(with_project_files(compose(manifest, opener)), environment)


class DiskOpener:
    """Opens includes of a project on this machine."""

    def __init__(self, project: Project, *, store: Store | None, upgrade: frozenset[str]) -> None:
        self._project = project
        self._store = store
        self._upgrade = upgrade
        self._lock: Lock | None = None
        self._lock_is_read = False

    def open(self, wanted: Wanted, name: str, above: Included | None, manifest: Manifest) -> Included:
        """The include. Raises what `project_manifest` raises."""
        if wanted.is_git:
            return self._from_git(wanted, name, manifest)
        return self._from_path(wanted, name, above, manifest)

    def _from_path(self, wanted: Wanted, name: str, above: Included | None, manifest: Manifest) -> Included:
        directory = shown_path(wanted, manifest)
        checkout = above.checkout if above else None
        place = os.path.realpath(directory)
        if checkout is not None and not Path(place).is_relative_to(os.path.realpath(checkout)):
            raise IncludeMissing(
                f"include `{name}` leads out of the repository that it is in",
                where=wanted.where,
                hint="give it its own `git`",
            )
        text = _text(directory, name, wanted)
        return Included(
            name=name,
            place=place,
            path=wanted.path,
            directory=directory,
            expression=directory_expression(wanted, above),
            digest=Digest.of(text.encode()),
            text=text,
            checkout=checkout,
        )

    def _from_git(self, wanted: Wanted, name: str, manifest: Manifest) -> Included:
        from cape.operations import repositories

        assert wanted.url is not None
        asked = Included(
            name=name, place="", path=wanted.path, directory=Path(), expression="", text="",
            digest=Digest.of(b""), url=wanted.url, ref=wanted.ref, is_git=True,
        )  # fmt: skip
        locked = next((one for one in self._locked() if one.name == name), None)
        url = _absolute(wanted.url, manifest)
        keeps = (
            locked is not None
            and locked.commit is not None
            and locked.wanted == wanted_digest(asked)
            and not self._upgrade & {name, "*"}
        )
        if keeps and locked is not None and locked.commit is not None:
            commit = locked.commit
            tree = repositories.checked_out(self._open_store(), url, commit, name=name)
        else:
            commit, tree = repositories.newest(self._open_store(), url, wanted.ref, name=name)
        directory = Path(os.path.normpath(tree / wanted.path))
        text = _text(directory, name, wanted)
        digest = Digest.of(text.encode())
        if keeps and locked is not None and locked.digest != digest:
            raise IncludeChanged(
                f"the manifest of include `{name}` at commit {commit[:12]} is not the one that was locked",
                where=str(directory / MANIFEST),
                hint=f"remove `{tree}`, so that it is fetched anew",
            )
        return Included(
            name=name,
            place=os.path.realpath(directory),
            path=wanted.path,
            directory=directory,
            expression=str(directory),
            digest=digest,
            text=text,
            url=wanted.url,
            ref=wanted.ref,
            commit=commit,
            checkout=tree,
            is_git=True,
        )

    def _locked(self) -> tuple[LockedInclude, ...]:
        if not self._lock_is_read:
            self._lock = read_lock(self._project.lock_path)
            self._lock_is_read = True
        return self._lock.includes if self._lock else ()

    def _open_store(self) -> Store:
        if self._store is None:
            from cape.configuration import Configuration

            self._store = Store.default(Configuration.read())
        return self._store


def _absolute(url: str, manifest: Manifest) -> str:
    """An address that is a path is relative to the manifest that says it."""
    if url.startswith(("./", "../", "/")):
        return os.path.normpath(manifest.path.parent / url)
    return url


def _text(directory: Path, name: str, wanted: Wanted) -> str:
    file = directory / MANIFEST
    try:
        return file.read_bytes().decode("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        hint = (
            "`path` is relative to the manifest that includes"
            if wanted.url is None
            else "`path` is the directory inside the repository"
        )
        if directory.is_file():
            there, hint = "is a file", "`path` is the directory that the manifest is in"
        else:
            there = "has no `cape.toml`" if directory.is_dir() else "is not there"
        raise IncludeMissing(
            f"include `{name}`: `{directory}` {there}", where=wanted.where, hint=hint
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise IncludeMissing(f"include `{name}`: `{file}` cannot be read", where=wanted.where) from error
