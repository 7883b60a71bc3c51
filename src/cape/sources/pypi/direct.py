"""Python packages that come from an address, a git repository or this machine, and source releases.

Owns their requirement lines, the archives that stand for a commit or a directory (equal bytes for equal
content), where they are found again, and what an archive says of how it is built. Nothing is built here.
"""

from __future__ import annotations

import os
import re
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cape.errors import InputError, IntegrityError, SourceError, StateError
from cape.names import Digest
from cape.sources import reach
from cape.sources.protocol import Requirement
from cape.sources.tools import BadConstraint, workplace

_CREDENTIALS = re.compile(r"://[^/@\s]*@")
_PASSWORD = re.compile(r"://[^/@\s]*:[^/@\s]+@|https?://[^/@\s]+@")
_OWN = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE", "GIT_PREFIX")
_PATIENCE_S = 600
_LEFT_OUT = re.compile(
    r"\.git|\.hg|\.cape|\.venv|venv|node_modules|__pycache__|\.(mypy|pytest|ruff)_cache|\.tox|\.nox|dist|build"
    r"|.*\.egg-info|.*\.py[co]"
)
"""Names that are no part of a directory's source."""

_LARGEST_DESCRIPTION_BYTES = 4 << 20


class NoSuchPackageFile(InputError):
    """A `path` of a Python package leads to nothing."""

    slug = "no-such-package-file"


class GitFailed(SourceError):
    """A git repository of a Python package cannot be read."""

    slug = "git-failed"


class GitMissing(StateError):
    """A Python package comes from git, and this machine has no `git`."""

    slug = "git-missing"


class DamagedSource(IntegrityError):
    """A source release or archive of a Python package cannot be read, or has a path that escapes."""

    slug = "damaged-source"


def address_of(requirement: Requirement, directory: Path | None) -> str | None:
    """The address for a requirement line (`git+https://...@v1`, a URL, a file's); None for an index's.

    Raises `BadConstraint` for an address with a password, `NoSuchPackageFile`.
    """
    options = requirement.options
    fragment = f"#subdirectory={options['subdirectory']}" if options.get("subdirectory") else ""
    for key in ("git", "url"):
        if key in options and _PASSWORD.search(options[key]):
            raise BadConstraint(
                f"the address of `{requirement.package}` has a user or password in it, which a lock shows",
                where=requirement.where,
                hint="keep them in `~/.netrc`, or in a credential helper of git's",
            )
    if "git" in options:
        ref = f"@{options['ref']}" if options.get("ref") else ""
        return f"git+{_remote(options['git'], directory)}{ref}{fragment}"
    if "url" in options:
        return options["url"] + fragment
    if "path" in options:
        file = _inside(directory, options["path"])
        if not file.is_file():
            raise NoSuchPackageFile(
                f"`{options['path']}` of `{requirement.package}` is not there",
                where=requirement.where,
                hint="`path` is relative to the manifest; it names a directory, a wheel or a source archive",
            )
        return f"file://{quote(str(file))}{fragment}"
    return None


def _remote(url: str, directory: Path | None) -> str:
    """A repository's address as git takes it; one that is a path is relative to the project."""
    if url.startswith(("./", "../", "/")):
        return f"file://{quote(str(_inside(directory, url)))}"
    found = re.fullmatch(r"([\w.-]+@[\w.-]+):(.+)", url)
    return f"ssh://{found[1]}/{found[2]}" if found else url


def _inside(directory: Path | None, path: str) -> Path:
    return Path(os.path.normpath((directory or Path.cwd()) / path))


# -- archives -----------------------------------------------------------------------------------------


def archive_of_commit(url: str, commit: str, cache: Path, into: Path, *, directory: Path | None) -> None:
    """Write the tree of a commit as a tar archive to `into`; it is fetched where the cache has not got it.

    Raises `GitFailed`, `GitMissing`.
    """
    remote = _remote(url, directory)
    repository = cache / "git" / Digest.of(remote.encode()).short
    if not (repository / "HEAD").exists():
        repository.mkdir(parents=True, exist_ok=True)
        _git(repository, ["init", "--quiet", "--bare"])
    if _git(repository, ["cat-file", "-e", f"{commit}^{{commit}}"]).returncode != 0:
        _fetch(repository, remote, commit)
    done = _git(repository, ["-c", "tar.umask=0022", "archive", "--format=tar", f"--output={into}", commit])
    if done.returncode != 0:
        raise GitFailed(
            f"commit {commit[:12]} is not in its repository: {_said(done.stderr)}",
            where=_CREDENTIALS.sub("://", url),
            hint="`cape upgrade` takes the commit that the reference means now",
        )


def _fetch(repository: Path, remote: str, commit: str) -> None:
    one = _git(repository, ["fetch", "--quiet", "--depth=1", "--no-tags", remote, commit])
    if one.returncode == 0:
        return
    specs = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]
    every = _git(repository, ["fetch", "--quiet", remote, *specs])
    if every.returncode != 0 and (reach.is_forbidden() or not reach.has_way_out()):
        raise reach.offline(f"commit {commit[:12]} is not here", where=_CREDENTIALS.sub("://", remote))
    if every.returncode != 0:
        raise GitFailed(
            f"the repository cannot be read: {_said(every.stderr)}",
            where=_CREDENTIALS.sub("://", remote),
            hint="what `git ls-remote` says there is what cape is told",
        )


def _git(repository: Path, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in _OWN}
    environment |= {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "file" if reach.is_forbidden() else "https:http:ssh:git:file",
        "LC_ALL": "C",
    }
    environment.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=20")
    command = ["git", f"--git-dir={repository}", "-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0", *words]
    try:
        return subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", check=False, timeout=_PATIENCE_S,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise GitMissing(
            "a Python package comes from git, and there is no program `git`",
            hint="install git on this machine",
        ) from error
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"no answer within {_PATIENCE_S} s")


def _said(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    told = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[-1] if lines else "")
    return _CREDENTIALS.sub("://", re.sub(r"\A(?:fatal|error): ", "", told)) or "it said nothing"


def source_files(directory: Path) -> Iterator[str]:
    """The files of a directory that are its source, relative to it, sorted."""
    for top, directories, files in os.walk(directory):
        directories[:] = sorted(name for name in directories if not _LEFT_OUT.fullmatch(name))
        for name in sorted(files):
            if not _LEFT_OUT.fullmatch(name):
                yield os.path.relpath(os.path.join(top, name), directory)


def digest_of_directory(directory: Path) -> Digest:
    """The digest of a directory's source: names and contents."""
    lines = []
    for name in source_files(directory):
        file = directory / name
        held = f"-> {os.readlink(file)}" if file.is_symlink() else Digest.of(file.read_bytes()).hex
        lines.append(f"{name} {held}")
    return Digest.of_lines(lines)


def archive_of_directory(directory: Path, into: Path) -> None:
    """Write a directory's source as a tar archive; equal files give equal bytes, whatever their times."""
    with tarfile.open(into, "w", format=tarfile.PAX_FORMAT) as archive:
        for name in source_files(directory):
            file = directory / name
            info = archive.gettarinfo(str(file), arcname=name)
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            info.mtime = 0
            info.mode = 0o755 if info.mode & 0o111 else 0o644
            if info.isreg():
                with open(file, "rb") as stream:
                    archive.addfile(info, stream)
            elif info.issym():
                archive.addfile(info)


# -- what is inside -----------------------------------------------------------------------------------


def unpack_source(archive: Path, file_name: str, into: Path) -> Path:
    """Unpack a source release or archive; the directory that its project is in.

    Raises `DamagedSource`.
    """
    try:
        if file_name.endswith(".zip"):
            _unzip(archive, into)
        else:
            with tarfile.open(archive) as tar:
                tar.extractall(into, filter="data")
    except (tarfile.TarError, zipfile.BadZipFile, OSError, EOFError, ValueError) as error:
        raise DamagedSource(f"`{file_name}` cannot be unpacked: {error}", where=str(archive)) from error
    entries = sorted(into.iterdir())
    alone = len(entries) == 1 and entries[0].is_dir() and not entries[0].is_symlink()
    return entries[0] if alone else into


def _unzip(archive: Path, into: Path) -> None:
    with zipfile.ZipFile(archive) as found:
        for name in found.namelist():
            if name.startswith("/") or ".." in name.split("/"):
                raise ValueError(f"a path that escapes, `{name}`")
        found.extractall(into)


def described(archive: Path, file_name: str, *, subdirectory: str, cache: Path) -> Mapping[str, Any]:
    """The table of an archive's `pyproject.toml`; empty where it has none. Raises `DamagedSource`."""
    import tomllib

    with workplace(cache, "source") as place:
        home = unpack_source(archive, file_name, place / "tree") / subdirectory
        file = home / "pyproject.toml"
        try:
            if not file.exists() or file.stat().st_size > _LARGEST_DESCRIPTION_BYTES:
                return {}
            return tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise DamagedSource(f"`pyproject.toml` in `{file_name}` cannot be read: {error}") from error


def build_requires(table: Mapping[str, Any], *, editable: bool = False) -> tuple[str, ...]:
    """What building needs, as requirement lines: the standard's default where the table says nothing."""
    system = table.get("build-system")
    system = system if isinstance(system, dict) else {}
    found = [str(one) for one in system.get("requires", ("setuptools>=40.8.0", "wheel"))]
    if editable and str(system.get("build-backend", "")).startswith("hatchling"):
        found.append("editables")
    return tuple(found)
