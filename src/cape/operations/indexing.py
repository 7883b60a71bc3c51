"""Documents to index and lock: `cape index`, its status, differences, rollback and verification.

Joins gathering, extraction, the index and the lock. What was read or embedded is kept whatever ends the
process; the index and the lock change last, the index first. A kill in between leaves a lock that the next
`cape index` brings up to date.
"""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cape.errors import SourceError, StateError
from cape.knowledge.access import AccessPolicy
from cape.knowledge.documents import ExtractedDocument, UnreadDocument
from cape.knowledge.gathering import FoundFile, gather
from cape.knowledge.index.seen import FileState, Seen
from cape.knowledge.index.writer import IndexWriter, Published, Wanted, write_index
from cape.knowledge.recipe import Recipe, present_recipe
from cape.names import Digest
from cape.operations.knowledge import (
    ChosenEmbedder,
    KnowledgeBase,
    choose_embedder,
    index_directory,
    open_base,
    policy_of,
)
from cape.operations.project import Project, Workshop

if TYPE_CHECKING:
    from cape.knowledge.index.generations import Content, IndexGeneration
    from cape.lock import Lock


class IndexNotLocked(StateError):
    """What indexing came to is not what the lock says."""

    slug = "index-not-locked"


Document = ExtractedDocument | UnreadDocument
Extract = Callable[[Iterable[tuple[str, Path]]], Iterator[Document]]
"""Reads documents, given by path and file; one result for each, in any order."""


class Surveyed(NamedTuple):
    """A file as it is now. `hashed` is its state and when reading began; None where its state was known."""

    path: str
    wanted: Wanted
    hashed: tuple[FileState, int] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """The documents of a base as they are now, those that cannot be read at all, and notes for the user."""

    files: Mapping[str, Surveyed]
    unreadable: tuple[UnreadDocument, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexResult:
    """What indexing did; for a dry run, what it would do.

    `read` and `embedded` count documents and texts that were not known before. `unread` are the documents
    that could not be read, now or before. `lock_changed` is None where there is no lock to change.
    """

    base: KnowledgeBase
    generation: IndexGeneration | None
    is_new: bool
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    unread: tuple[UnreadDocument, ...] = ()
    notes: tuple[str, ...] = ()
    read: int = 0
    embedded: int = 0
    has_vectors: bool = False
    lock_changed: bool | None = None
    dry_run: bool = False


# -- what is there ------------------------------------------------------------------------------------


def survey(project: Project, base: KnowledgeBase, seen: Seen, *, full: bool = False) -> Survey:
    """The documents of a base; those whose state is as it was seen are not read, unless `full`.

    Raises `BadPattern`, `NoSuchProject`, `KnowledgeNotInstalled`.
    """
    gathering = gather(project.directory, base.sources)
    extractor = _Extractors()
    files: dict[str, Surveyed] = {}
    unreadable: list[UnreadDocument] = []
    for file in gathering.files:
        try:
            files[file.path] = _surveyed(project, file, None if full else seen.get(file.path), extractor)
        except OSError as error:
            reason = f"cannot be opened: {error.strerror}"
            unreadable.append(UnreadDocument(path=file.path, digest=None, reason=reason))
    return Survey(files=files, unreadable=tuple(unreadable), notes=gathering.notes)


def _surveyed(
    project: Project, file: FoundFile, known: tuple[int, int, int, str] | None, extractor: _Extractors
) -> Surveyed:
    path = file.path
    state = (file.size_bytes, file.modified_ns, file.inode)
    if known is not None and known[:3] == state:
        return Surveyed(path, Wanted(Digest(known[3]), extractor.of(path)), None)
    began_ns = time.time_ns()
    digest = Digest.of_file(project.directory / path)
    return Surveyed(path, Wanted(digest, extractor.of(path)), (FileState(*state), began_ns))


class _Extractors:
    """Who reads a file of a name; asked once for each suffix."""

    def __init__(self) -> None:
        from cape.knowledge.extraction import extractor_for

        self._ask = extractor_for
        self._known: dict[str, str] = {}

    def of(self, path: str) -> str:
        name = path.rpartition("/")[2]
        key = name.rpartition(".")[2] if "." in name else name
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._ask(path)
        return found


def _extract_all(files: Iterable[tuple[str, Path]]) -> Iterator[Document]:
    from cape.knowledge.extraction import SourceFile, extract_all

    return extract_all([SourceFile(path=path, file=file) for path, file in files])


# -- cape index ---------------------------------------------------------------------------------------


def index_base(
    project: Project,
    workshop: Workshop,
    base: KnowledgeBase,
    lock: Lock | None,
    *,
    rebuild: bool = False,
    locked: bool = False,
    full: bool = False,
    extract: Extract = _extract_all,
    chosen: ChosenEmbedder | None = None,
) -> IndexResult:
    """Bring the index of a base, and its rows of the lock, up to date with the documents.

    A document that cannot be read is remembered, and the rest goes on. With `locked` nothing becomes
    current that differs from the lock, and the lock stays as it is. With `full` every file is read again to
    see whether it changed; with `rebuild` nothing that the index has is taken over. `chosen` is the embedder
    to use instead of the lock's.

    Raises `IndexNotLocked`, `EmbedderChanged`, `IndexDamaged`, `IndexNotWritable`, `DiskFull`,
    `AccessPolicyMissing`, `BadAccessPolicy`, and what `survey` raises.
    """
    policy = policy_of(project, base)
    chosen = chosen or choose_embedder(project, base, lock, workshop, fetch=True)
    recipe = present_recipe(chosen.embedder.digest if chosen.embedder else None)
    directory = index_directory(project, base.name)
    _prepare_state(project)
    with write_index(directory, base.name, recipe, embedder=chosen.embedder, rebuild=rebuild) as writer:
        work = _Work(project, workshop, base, writer, extract)
        with _uncollected():
            found = survey(project, base, {} if rebuild else writer.seen(), full=full)
        target = work.read(found)
        notes = [*found.notes, *([chosen.note] if chosen.note else []), *work.embed(target)]
        if not target:
            notes.append(f"no document of `{base.name}` was found or could be read: its index is empty")
        if locked:
            _require_locked(project, base, lock, writer, target, policy)
        with _uncollected():
            published = writer.publish(target, policy)
        changed = None if locked else _write_rows(project, base, published.generation, writer.contents)
    if changed is None and not locked:
        notes.append("the lock has no rows for it: run `cape lock`, then `cape index`")
    return _result(base, published, work, notes, changed)


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Keep Python's collector of cycles out: a base has tens of thousands of small values, none in a cycle.

    Looking through them again and again costs a sixth of the time that an edited file takes.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _prepare_state(project: Project) -> None:
    from cape.environment.generations import prepare_project
    from cape.operations.project import project_files

    with project_files(project.directory):
        prepare_project(project.directory)


def _result(
    base: KnowledgeBase, published: Published, work: _Work, notes: list[str], lock_changed: bool | None
) -> IndexResult:
    return IndexResult(
        base=base,
        generation=published.generation,
        is_new=published.is_new,
        added=published.added,
        changed=published.changed,
        removed=published.removed,
        unread=tuple(sorted(work.unread, key=lambda one: one.path)),
        notes=tuple(dict.fromkeys(notes)),
        read=work.documents_read,
        embedded=work.texts_embedded,
        has_vectors=published.generation.recipe.embedder is not None,
        lock_changed=lock_changed,
    )


class _Work:
    """One indexing: what it has to do with, and what it did."""

    def __init__(
        self,
        project: Project,
        workshop: Workshop,
        base: KnowledgeBase,
        writer: IndexWriter,
        extract: Extract,
    ) -> None:
        self.project, self.workshop, self.base, self.writer = project, workshop, base, writer
        self.extract = extract
        self.unread: list[UnreadDocument] = []
        self.documents_read = 0
        self.texts_embedded = 0

    def read(self, found: Survey) -> dict[str, Wanted]:
        """Read what the index does not have; the documents of the coming generation."""
        target: dict[str, Wanted] = {}
        to_read: list[Surveyed] = []
        for file in found.files.values():
            if self.writer.has(file.path, file.wanted):
                target[file.path] = file.wanted
                self._note(file)
            elif refusal := self.writer.refusal(file.path, file.wanted):
                self.unread.append(refusal)
            else:
                to_read.append(file)
        for unread in found.unreadable:
            self._refuse(unread, "none")
        self._read(to_read, target)
        self.writer.keep_unread(one.path for one in self.unread)
        self.writer.commit()
        return target

    def _read(self, files: list[Surveyed], target: dict[str, Wanted]) -> None:
        if not files:
            return
        by_path = {file.path: file for file in files}
        progress = self.workshop.progress
        progress.start("reading", len(files))
        try:
            sources = [(file.path, self.project.directory / file.path) for file in files]
            for document in self.extract(sources):
                self._take(document, by_path[document.path], target)
                progress.advance()
        finally:
            progress.finish()

    def _take(self, document: Document, file: Surveyed, target: dict[str, Wanted]) -> None:
        if isinstance(document, UnreadDocument):
            self._refuse(document, file.wanted.extractor)
        else:
            wanted = Wanted(document.digest, document.extractor)
            if not self.writer.has(document.path, wanted):
                self.writer.add(document)
                self.documents_read += 1
            target[document.path] = wanted
        if document.digest == file.wanted.digest:
            self._note(file)

    def _note(self, file: Surveyed) -> None:
        if file.hashed is not None:
            state, began_ns = file.hashed
            self.writer.note(file.path, state, file.wanted.digest, read_at_ns=began_ns)

    def _refuse(self, unread: UnreadDocument, extractor: str) -> None:
        self.unread.append(unread)
        self.writer.refuse(unread, extractor)

    def embed(self, target: Mapping[str, Wanted]) -> Iterator[str]:
        """Embed what has no vector yet; a note where the model cannot be had, and words must do."""
        texts = self.writer.to_embed(target)
        if not texts:
            return
        progress = self.workshop.progress
        progress.start("embedding", len(texts))
        try:
            for count in self.writer.embed(texts):
                self.texts_embedded += count
                progress.advance(count)
        except (SourceError, StateError) as error:
            if error.slug not in _WITHOUT_MODEL and not isinstance(error, SourceError):
                raise
            self.writer.without_embedder()
            yield f"searching by words alone: {error.fact}"
        finally:
            progress.finish()


_WITHOUT_MODEL = frozenset(
    {"model-unavailable", "missing-engine", "missing-model-file", "store-not-writable", "artifacts-missing"}
)
"""Errors that say that a model cannot be had here and now; a damaged or unfit one is none of them."""


# -- the lock -----------------------------------------------------------------------------------------


def _require_locked(
    project: Project,
    base: KnowledgeBase,
    lock: Lock | None,
    writer: IndexWriter,
    target: Mapping[str, Wanted],
    policy: AccessPolicy,
) -> None:
    from cape.operations.knowledge_lock import drift

    foreseen = writer.foreseen(target, policy)
    parts = drift(project, base, lock, foreseen, writer.contents_for(target))
    if parts:
        raise IndexNotLocked(
            f"the index of `{base.name}` would differ from the lock in {', '.join(parts)}",
            where=str(project.lock_path),
            hint=f"run `cape index {base.name}` and commit the lock, or take back what changed",
        )


def _write_rows(
    project: Project, base: KnowledgeBase, generation: IndexGeneration, contents: Mapping[str, Content]
) -> bool | None:
    from cape.operations.knowledge_lock import write_rows

    return write_rows(project, base, generation, contents)


# -- dry run and status -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexStatus:
    """An index beside its documents, its recipe and the lock.

    `drift` names what of the lock's rows the index differs in; None where the lock has no rows for it.
    """

    base: KnowledgeBase
    generation: IndexGeneration | None
    history: tuple[IndexGeneration, ...] = ()
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    recipe: tuple[str, ...] = ()
    access_changed: bool = False
    drift: tuple[str, ...] | None = None
    unread: tuple[UnreadDocument, ...] = ()
    notes: tuple[str, ...] = ()
    size_bytes: int = 0

    @property
    def is_fresh(self) -> bool:
        """Whether indexing again would change nothing, in the index or the lock."""
        differs = self.added or self.changed or self.removed or self.recipe or self.access_changed
        return self.generation is not None and not differs and self.drift == ()


def index_status(
    project: Project, workshop: Workshop, base: KnowledgeBase, lock: Lock | None, *, full: bool = False
) -> IndexStatus:
    """Compare an index with its documents, its recipe, its policy and the lock; nothing is written.

    Raises what `survey` and `open_base` raise, but for `NotIndexed`.
    """
    from cape.knowledge.index.errors import NotIndexed

    chosen = choose_embedder(project, base, lock, workshop)
    try:
        with open_base(project, base) as index:
            found = survey(project, base, index.seen(), full=full)
            contents = index.contents()
            generation = index.generation
            unread = tuple(index.unread())
            history = tuple(index.history())
    except NotIndexed:
        found = survey(project, base, {})
        return IndexStatus(base=base, generation=None, added=tuple(sorted(found.files)), notes=found.notes)
    recipe = present_recipe(chosen.embedder.digest if chosen.embedder else None)
    present = {path: file for path, file in found.files.items() if path not in _refused(unread, found)}
    return IndexStatus(
        base=base,
        generation=generation,
        history=history,
        **_compared(present, contents, recipe),
        recipe=_recipe_drift(generation.recipe, recipe, contents),
        access_changed=generation.access.digest != policy_of(project, base).digest,
        drift=_drift(project, base, lock, generation, contents),
        unread=unread,
        notes=(*found.notes, *([chosen.note] if chosen.note else [])),
        size_bytes=_size(index_directory(project, base.name)),
    )


def _refused(unread: Iterable[UnreadDocument], found: Survey) -> set[str]:
    """The paths whose present bytes are known to be no readable document."""
    return {
        one.path
        for one in unread
        if one.path in found.files and one.digest in (None, found.files[one.path].wanted.digest)
    }


def _compared(
    present: Mapping[str, Surveyed], contents: Mapping[str, Content], recipe: Recipe
) -> dict[str, tuple[str, ...]]:
    def is_changed(path: str) -> bool:
        return present[path].wanted.digest.hex != contents[path].hex

    return {
        "added": tuple(sorted(present.keys() - contents.keys())),
        "removed": tuple(sorted(contents.keys() - present.keys())),
        "changed": tuple(sorted(path for path in present.keys() & contents.keys() if is_changed(path))),
    }


def _recipe_drift(built: Recipe, recipe: Recipe, contents: Mapping[str, Content]) -> tuple[str, ...]:
    """The parts of an index's recipe that are others now."""
    from cape.knowledge.recipe import differences

    extractors = _Extractors()
    now = recipe.read_by(extractors.of(path) for path in contents)
    return differences(built.parts, now.parts)


def _drift(
    project: Project,
    base: KnowledgeBase,
    lock: Lock | None,
    generation: IndexGeneration,
    contents: Mapping[str, Content],
) -> tuple[str, ...] | None:
    from cape.operations.knowledge_lock import drift, is_locked

    return drift(project, base, lock, generation, contents) if is_locked(lock, base) else None


def _size(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())


def foresee_index(
    project: Project, workshop: Workshop, base: KnowledgeBase, lock: Lock | None, *, full: bool = False
) -> IndexResult:
    """What `index_base` would find to do; nothing is written."""
    status = index_status(project, workshop, base, lock, full=full)
    return IndexResult(
        base=base,
        generation=status.generation,
        is_new=not (
            status.generation is not None
            and not (status.added or status.changed or status.removed or status.recipe)
            and not status.access_changed
        ),
        added=status.added,
        changed=status.changed,
        removed=status.removed,
        unread=status.unread,
        notes=status.notes,
        read=len(status.added) + len(status.changed),
        has_vectors=status.generation is not None and status.generation.recipe.embedder is not None,
        dry_run=True,
    )


# -- generations --------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexDifference:
    """What differs between two generations; chunks are counted."""

    before: IndexGeneration
    after: IndexGeneration
    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    chunks_added: int
    chunks_removed: int


def index_difference(
    project: Project, base: KnowledgeBase, *, before: int | None = None, after: int | None = None
) -> IndexDifference:
    """What `after` (the current generation) has that `before` (the one it was made from) has not.

    Raises `UnknownIndexGeneration`, and what `open_base` raises.
    """
    with open_base(project, base, generation=after) as index:
        newer = index.generation
        number = before if before is not None else _parent_of(newer, base)
        new, old = index.contents(), index.contents_at(number)
        older = next(one for one in index.history() if one.number == number)
    return IndexDifference(
        before=older,
        after=newer,
        added=tuple(sorted(new.keys() - old.keys())),
        removed=tuple(sorted(old.keys() - new.keys())),
        changed=tuple(sorted(path for path in new.keys() & old.keys() if _differs(new[path], old[path]))),
        chunks_added=_chunks_without(new, old),
        chunks_removed=_chunks_without(old, new),
    )


def _parent_of(generation: IndexGeneration, base: KnowledgeBase) -> int:
    from cape.knowledge.index.errors import UnknownIndexGeneration

    if generation.parent is None:
        raise UnknownIndexGeneration(
            f"generation {generation.number} of the index of `{base.name}` has none before it",
            hint=f"`cape index status {base.name}` lists its generations",
        )
    return generation.parent


def _differs(one: Content, other: Content) -> bool:
    return one.chunks_digest != other.chunks_digest or one.hex != other.hex


def _chunks_without(one: Mapping[str, Content], other: Mapping[str, Content]) -> int:
    """The chunks of documents that differ."""
    return sum(
        content.chunks for path, content in one.items() if path not in other or _differs(content, other[path])
    )


def rollback_index(project: Project, base: KnowledgeBase, to: int | None = None) -> IndexGeneration:
    """Make an earlier generation of an index current, and let the lock say so.

    None: the one that the current generation was made from. One number changes; the documents themselves
    stay as they are. Raises `NotIndexed`, `UnknownIndexGeneration`, `IndexNotWritable`.
    """
    from cape.knowledge.index.writer import go_back

    directory = index_directory(project, base.name)
    with open_base(project, base) as index:
        target = to if to is not None else _parent_of(index.generation, base)
    generation, contents = go_back(directory, base.name, target)
    _write_rows(project, base, generation, contents)
    return generation


def rollback_target(project: Project, base: KnowledgeBase, to: int | None = None) -> IndexGeneration:
    """The generation that `rollback_index` would make current."""
    with open_base(project, base) as index:
        number = to if to is not None else _parent_of(index.generation, base)
    with open_base(project, base, generation=number) as index:
        return index.generation


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexVerification:
    """What checking an index came to: `problems` are sentences; none, and it is what it says."""

    base: KnowledgeBase
    generation: IndexGeneration
    chunks: int
    segments: int
    embedded_again: int
    problems: tuple[str, ...]


def verify_index(
    project: Project, workshop: Workshop, base: KnowledgeBase, lock: Lock | None, *, sample: int = 16
) -> IndexVerification:
    """Compute again what an index should be, and compare: digests, words, vectors; a sample is embedded.

    Raises what `open_base` raises; an index that cannot even be opened is `IndexDamaged`.
    """
    from cape.knowledge.index.verification import verify

    chosen = choose_embedder(project, base, lock, workshop)
    with open_base(project, base) as index:
        built = index.generation.recipe.embedder
        embedder = chosen.embedder if chosen.embedder and chosen.embedder.digest == built else None
        found = verify(index, embedder=embedder, sample=sample, progress=workshop.progress.advance)
        return IndexVerification(
            base=base,
            generation=index.generation,
            chunks=found.chunks,
            segments=found.segments,
            embedded_again=found.embedded_again,
            problems=found.problems,
        )


__all__ = [
    "IndexDifference",
    "IndexNotLocked",
    "IndexResult",
    "IndexStatus",
    "IndexVerification",
    "Survey",
    "Surveyed",
    "foresee_index",
    "index_base",
    "index_difference",
    "index_status",
    "rollback_index",
    "rollback_target",
    "survey",
    "verify_index",
]
