"""A model hub of Hugging Face's shape: revisions, files, and a view in its clients' layout.

Owns the hub's addresses and answers, its token, and which files of a repository a model is. The endpoint is
whatever this machine is told; the token is sent to it alone, and is in no lock, log or message.

Source: the hub's HTTP interface as its own client uses it (`/api/models/REPO/revision/REV`,
`/api/models/REPO/tree/COMMIT`, `/REPO/resolve/COMMIT/PATH`), and that client's cache layout.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from cape.configuration import Configuration
from cape.errors import IntegrityError
from cape.names import Digest, System, write_atomically
from cape.sources.connections import FileNotServed, RegistryRefuses, offer_credentials, shown_url
from cape.sources.download import Download, disk_errors, download_all, fetch_bytes
from cape.sources.models.errors import HubGarbage, HubRefuses
from cape.sources.models.judging import is_pickle_by_name, judged, refuse_by_name
from cape.sources.models.rows import (
    ALLOW_PICKLE,
    HUB_CACHE,
    MODELS,
    check_path,
    file_row,
    no_file,
    part_of,
    paths_of,
)
from cape.sources.protocol import (
    Artifact,
    ArtifactLookup,
    LockedPackage,
    RegistryUnknown,
    Requirement,
    ResolveContext,
    UnknownPackage,
    UnknownVersion,
)
from cape.sources.streaming import Page, page_of

REGISTRY = "hub"
_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_LARGEST_SMALL_FILE = 64 << 20
_CONNECTIONS = 6
_NOT_WEIGHTS = frozenset((".gitattributes", ".gitignore"))
_OTHER_FRAMEWORKS = (".h5", ".msgpack", ".ot", ".tflite")
_WAYS = "`cape config hub URL` says where it is, as does `$HF_ENDPOINT`"
_LOGIN = "`$HF_TOKEN`, or `hf auth login`, gives a token; one that needs consent is asked for on its page"


@dataclass(frozen=True, kw_only=True, slots=True)
class HubFile:
    """A file of a repository: `oid` is git's digest; `sha256` is told for large files alone."""

    path: str
    size_bytes: int
    oid: str
    sha256: str | None

    @property
    def blob(self) -> str:
        """What the hub's clients call its content in their cache."""
        return self.sha256 or self.oid


def endpoint_of(configuration: Configuration) -> str | None:
    """The hub's base URL, without a slash at its end; None where this machine knows none."""
    return (configuration.one("hub") or os.environ.get("HF_ENDPOINT") or "").rstrip("/") or None


def token_of(environment: Mapping[str, str] = os.environ) -> str | None:
    """The user's token, from where the hub's own client keeps it."""
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if token := environment.get(variable, "").strip():
            return token
    cache = environment.get("XDG_CACHE_HOME") or os.path.join(environment.get("HOME", "/"), ".cache")
    home = environment.get("HF_HOME") or os.path.join(cache, "huggingface")
    try:
        text = Path(environment.get("HF_TOKEN_PATH") or os.path.join(home, "token")).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return text.strip() or None


class Hub:
    """One hub. `cache` keeps what cannot change: the files of a commit."""

    def __init__(self, *, configuration: Configuration, cache: Path, artifacts: ArtifactLookup) -> None:
        self.artifacts = artifacts
        self._configuration = configuration
        self._cache = cache
        self._commits: dict[tuple[str, str], tuple[str, str | None]] = {}

    def endpoint(self, where: str | None = None) -> str:
        """The hub's base URL; from now on its token is sent there. Raises `RegistryUnknown`."""
        endpoint = endpoint_of(self._configuration)
        if endpoint is None:
            raise RegistryUnknown("no model hub is known on this machine", where=where, hint=_WAYS)
        if token := token_of():
            offer_credentials(f"{endpoint}/", f"Bearer {token}")
        return endpoint

    def url(self, row: LockedPackage) -> str:
        """Where a row's file is served. Raises `RegistryUnknown`."""
        return f"{self.endpoint()}/{quote(row.artifact.location, safe='/')}"

    # Locking.

    def rows(
        self, requirement: Requirement, context: ResolveContext, taken: dict[str, str]
    ) -> list[LockedPackage]:
        """The rows of a model: one for each content. `taken` is what the view has already."""
        commit, licence = self._revision(requirement, context)
        files = self._files(requirement, commit)
        parts = _chosen(requirement, commit, files)
        self._bring_pickles(requirement, commit, parts, context)
        digests = self._digests(requirement, commit, [file for file, _ in parts])
        systems = requirement.systems or context.systems
        rows = [
            self._row(requirement, commit, licence, group, digests, systems, taken)
            for group in _same_content(parts, digests)
        ]
        return rows

    def _row(
        self,
        requirement: Requirement,
        commit: str,
        licence: str | None,
        group: Sequence[tuple[HubFile, str]],
        digests: Mapping[str, Digest],
        systems: Sequence[System],
        taken: dict[str, str],
    ) -> LockedPackage:
        (file, part), *others = group
        repository = requirement.package
        view = f"{repository}/{commit}/{file.path}"
        is_first = view not in taken
        taken[view] = commit
        revision = requirement.options.get("revision", "main")
        follows = taken.setdefault(f"{repository}@{revision}", commit) == commit
        return file_row(
            requirement,
            name=f"{repository}/{file.path}",
            version=commit,
            artifact=Artifact(
                digest=digests[file.path],
                size_bytes=file.size_bytes,
                registry=REGISTRY,
                location=f"{repository}/resolve/{commit}/{file.path}",
            ),
            path=file.path,
            part=part,
            also=[other.path for other, _ in others],
            systems=systems,
            attributes={
                "licence": licence,
                "revision": revision if follows else None,
                "blob": None if file.sha256 else file.oid,
                "view": "own" if is_first else None,
            },
        )

    def listing(self, requirement: Requirement, context: ResolveContext) -> tuple[str, Sequence[HubFile]]:
        """The commit of a requirement's revision, and all its files; nothing of them is brought."""
        commit, _ = self._revision(requirement, context)
        return commit, self._files(requirement, commit)

    def _revision(self, requirement: Requirement, context: ResolveContext) -> tuple[str, str | None]:
        """The commit of the model's revision, and the licence: the kept ones where there are any."""
        kept = [
            row
            for row in context.kept
            if row.artifact.registry == REGISTRY and row.placement == requirement.name
        ]
        if kept:
            return kept[0].version, kept[0].attributes.get("licence")
        key = (requirement.package, requirement.options.get("revision", "main"))
        if key not in self._commits:
            self._commits[key] = self._ask_revision(requirement, *key)
        return self._commits[key]

    def _ask_revision(
        self, requirement: Requirement, repository: str, revision: str
    ) -> tuple[str, str | None]:
        base = f"{self.endpoint(requirement.where)}/api/models/{repository}"
        try:
            told = _json(fetch_bytes(f"{base}/revision/{quote(revision, safe='')}"), base)
        except RegistryRefuses as error:
            raise refused(requirement, error) from error
        except FileNotServed as error:
            raise self._unknown(requirement, base, revision) from error
        commit = told.get("sha") if isinstance(told, dict) else None
        if not isinstance(commit, str) or not _COMMIT.match(commit):
            raise HubGarbage("the hub names no commit", where=shown_url(base))
        return commit, licence_in(told)

    def _unknown(self, requirement: Requirement, base: str, revision: str) -> UnknownPackage | UnknownVersion:
        try:
            fetch_bytes(base)
        except FileNotServed:
            return UnknownPackage(requirement)
        fact = f"`{requirement.package}` has no revision `{revision}`"
        return UnknownVersion(fact, where=requirement.where, hint="it is a branch, a tag or a commit")

    def _files(self, requirement: Requirement, commit: str) -> list[HubFile]:
        """The files of a commit, asked for once and then kept: a commit does not change."""
        kept = self._cache / f"tree-{commit}-{Digest.of(requirement.package.encode()).short}.json"
        try:
            return [HubFile(**one) for one in json.loads(kept.read_bytes())]
        except (OSError, ValueError, TypeError):
            pass
        files = self._ask_files(requirement, commit)
        with disk_errors(kept):
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(kept, json.dumps([asdict(one) for one in files]).encode())
        return files

    def _ask_files(self, requirement: Requirement, commit: str) -> list[HubFile]:
        endpoint = self.endpoint(requirement.where)
        url: str | None = f"{endpoint}/api/models/{requirement.package}/tree/{commit}?recursive=true"
        found: list[HubFile] = []
        while url is not None:
            try:
                page: Page = page_of(url)
            except RegistryRefuses as error:
                raise refused(requirement, error) from error
            entries = _json(page.body, url)
            if not isinstance(entries, list):
                raise HubGarbage("the hub lists no files", where=shown_url(url))
            found += [file for one in entries if (file := _file(one, url, requirement.where))]
            url = page.next if page.next and _same_host(page.next, endpoint) else None
        return sorted(found, key=lambda file: file.path)

    # Files that must be here to be locked.

    def _digests(self, requirement: Requirement, commit: str, files: Sequence[HubFile]) -> dict[str, Digest]:
        """The SHA-256 of each file. Small ones, of which the hub tells git's digest alone, are brought."""
        known = {file.path: Digest(file.sha256) for file in files if file.sha256}
        small = [file for file in files if file.path not in known]
        if not small:
            return known
        contents = {(file.oid, file.size_bytes): file for file in small}
        with ThreadPoolExecutor(max_workers=_CONNECTIONS) as crew:
            brought = crew.map(lambda file: self._bring_small(requirement, commit, file), contents.values())
            digests = dict(zip(contents, brought, strict=True))
        return known | {file.path: digests[file.oid, file.size_bytes] for file in small}

    def _bring_small(self, requirement: Requirement, commit: str, file: HubFile) -> Digest:
        memory = self._cache / "blobs" / f"{file.oid}-{file.size_bytes}"
        try:
            digest = Digest(memory.read_text("ascii"))
            if self.artifacts.has(digest):
                return digest
        except (OSError, ValueError):
            pass
        url = f"{self.endpoint()}/{requirement.package}/resolve/{commit}/{quote(file.path, safe='/')}"
        try:
            data = fetch_bytes(url, limit_bytes=_LARGEST_SMALL_FILE)
        except RegistryRefuses as error:
            raise refused(requirement, error) from error
        if len(data) != file.size_bytes or git_digest(data) != file.oid:
            raise IntegrityError(
                f"`{file.path}` is not what its hub says: expected git blob {file.oid}",
                where=shown_url(url),
                hint="the hub or something on the way changed the file",
            )
        digest = Digest.of(data)
        self._admit(digest, data)
        with disk_errors(memory):
            memory.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(memory, digest.hex.encode())
        return digest

    def _admit(self, digest: Digest, data: bytes) -> None:
        if self.artifacts.has(digest):
            return
        place = self.artifacts.partial(digest)
        place = place.with_name(f"{place.name}.{os.getpid()}.{hash(data) & 0xFFFF:x}")
        with disk_errors(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
            self.artifacts.admit(digest, place, size_bytes=len(data))

    def _bring_pickles(
        self,
        requirement: Requirement,
        commit: str,
        parts: Sequence[tuple[HubFile, str]],
        context: ResolveContext,
    ) -> None:
        """Bring files that run code, and look through them: before they are locked, not after."""
        pickles = [file for file, _ in parts if is_pickle_by_name(file.path)]
        allowed = requirement.options.get(ALLOW_PICKLE, "")
        for file in pickles:
            refuse_by_name(requirement.name, file.path, allowed, requirement.where)
        if not pickles:
            return
        digests = self._digests(requirement, commit, pickles)
        base = f"{self.endpoint()}/{requirement.package}/resolve/{commit}"
        downloads = [
            Download(
                digest=digests[file.path],
                size_bytes=file.size_bytes,
                name=f"{requirement.package}/{file.path}",
                urls=(f"{base}/{quote(file.path, safe='/')}",),
            )
            for file in pickles
        ]
        download_all(downloads, self.artifacts, progress=context.progress)
        for file in pickles:
            place = self.artifacts.path(digests[file.path])
            judged(place, file.path, model=requirement.name, allowed=allowed, where=requirement.where)


# -- which files ----------------------------------------------------------------------------------------


def _chosen(requirement: Requirement, commit: str, files: Sequence[HubFile]) -> list[tuple[HubFile, str]]:
    """The files of a model with the part that each plays, by path. Raises `NoSuchModelFile`."""
    patterns = [one for one in requirement.options.get("file", "").split("\n") if one]
    found = {file.path: (file, "file") for file in _whole(files)} if not patterns else {}
    for pattern in patterns:
        matching = _matching(pattern, files)
        if not matching:
            raise no_file(pattern, requirement.package, commit[:12], _names(files), requirement.where)
        found |= {file.path: (file, "file") for file in matching}
    if not found:
        raise no_file("*", requirement.package, commit[:12], _names(files), requirement.where)
    pattern = requirement.options.get("tokenizer.file", "")
    if pattern and "tokenizer.pypi" not in requirement.options:
        found |= _tokenizer(requirement, commit, pattern, files)
    return [found[path] for path in sorted(found)]


def _tokenizer(
    requirement: Requirement, commit: str, pattern: str, files: Sequence[HubFile]
) -> dict[str, tuple[HubFile, str]]:
    matching = _matching(pattern, files)
    if len(matching) != 1:
        shown = _names(matching or files)
        raise no_file(pattern, requirement.package, commit[:12], shown, requirement.where)
    return {matching[0].path: (matching[0], "tokenizer")}


def _matching(pattern: str, files: Sequence[HubFile]) -> list[HubFile]:
    """Files whose whole path matches, or, where a pattern has no `/`, whose name does."""
    whole = [file for file in files if fnmatch.fnmatchcase(file.path, pattern)]
    if whole or "/" in pattern:
        return whole
    return [file for file in files if fnmatch.fnmatchcase(file.path.rpartition("/")[2], pattern)]


def _whole(files: Sequence[HubFile]) -> list[HubFile]:
    """A repository without what only other frameworks load, and without pickles that have a safe twin."""
    kept = [file for file in files if file.path.rpartition("/")[2] not in _NOT_WEIGHTS]
    if any(file.path.endswith((".safetensors", ".gguf", ".onnx")) for file in kept):
        kept = [
            file
            for file in kept
            if not file.path.endswith(_OTHER_FRAMEWORKS) and not is_pickle_by_name(file.path)
        ]
    return kept


def _names(files: Sequence[HubFile]) -> list[str]:
    return [file.path for file in files if file.path not in _NOT_WEIGHTS]


def _same_content(
    parts: Sequence[tuple[HubFile, str]], digests: Mapping[str, Digest]
) -> list[list[tuple[HubFile, str]]]:
    """Files in groups of one content and part: a row stands for a content."""
    groups: dict[tuple[str, str], list[tuple[HubFile, str]]] = {}
    for file, part in parts:
        groups.setdefault((digests[file.path].hex, part), []).append((file, part))
    return list(groups.values())


# -- what the hub answers -------------------------------------------------------------------------------


def git_digest(data: bytes) -> str:
    """Git's digest of a blob."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def licence_in(told: Mapping[str, Any]) -> str | None:
    """The licence of a repository's card, else of its tags."""
    card = told.get("cardData")
    card = card if isinstance(card, dict) else {}
    named = card.get("license")
    if isinstance(named, list):
        named = " AND ".join(one for one in named if isinstance(one, str))
    if named == "other" and isinstance(card.get("license_name"), str):
        named = card["license_name"]
    if isinstance(named, str) and named.strip():
        return named.strip()[:100]
    tags = told.get("tags")
    tagged = [one for one in tags if isinstance(one, str)] if isinstance(tags, list) else []
    found = [one.removeprefix("license:") for one in tagged if one.startswith("license:")]
    return found[0][:100] if found else None


def _file(entry: Any, url: str, where: str | None) -> HubFile | None:
    """A file of a listing; None for a directory. Raises `HubGarbage`."""
    try:
        if entry["type"] != "file":
            return None
        large = entry.get("lfs") or {}
        sha256 = str(large["oid"]).removeprefix("sha256:") if large else None
        size = large["size"] if large else entry["size"]
        path, oid = str(entry["path"]), str(entry["oid"])
        if type(size) is not int or size < 0 or not re.fullmatch(r"[0-9a-f]{40}", oid):
            raise ValueError("size or oid")
        if sha256 is not None:
            Digest(sha256)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise HubGarbage("the hub lists a file wrongly", where=shown_url(url)) from None
    check_path(path, where)
    return HubFile(path=path, size_bytes=size, oid=oid, sha256=sha256)


def _json(data: bytes, url: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise HubGarbage("the hub's answer is no JSON", where=shown_url(url)) from None


def _same_host(url: str, endpoint: str) -> bool:
    """The token goes to the endpoint alone, so the next page must be there, too."""
    return urlsplit(url)[:2] == urlsplit(endpoint)[:2]


def refused(requirement: Requirement, error: RegistryRefuses) -> HubRefuses:
    """The error for a hub that wants other credentials."""
    return HubRefuses(
        f"the hub does not let you read `{requirement.package}`: {error.fact}",
        where=requirement.where,
        hint=f"it may not exist, or want a token: {_LOGIN}",
    )


# -- the view -------------------------------------------------------------------------------------------


def link_view(row: LockedPackage, into: Path) -> None:
    """Beside the file, the links by which the hub's own clients find it in their cache's layout."""
    if row.attributes.get("view") != "own" or part_of(row) not in row.attributes:
        return
    repository = "/".join(row.name.split("/")[:2])
    home = into / HUB_CACHE / ("models--" + repository.replace("/", "--"))
    revision = row.attributes.get("revision", row.version)
    blob = row.attributes.get("blob", row.artifact.digest.hex)
    with disk_errors(home):
        if revision != row.version:
            (home / "refs" / revision).parent.mkdir(parents=True, exist_ok=True)
            (home / "refs" / revision).write_text(row.version)
        first, *_ = paths_of(row)
        (home / "blobs").mkdir(parents=True, exist_ok=True)
        os.symlink(f"../../../{MODELS}/{row.placement}/{first}", home / "blobs" / blob)
        for path in paths_of(row):
            link = home / "snapshots" / row.version / path
            link.parent.mkdir(parents=True, exist_ok=True)
            os.symlink("../" * (2 + path.count("/")) + f"blobs/{blob}", link)
