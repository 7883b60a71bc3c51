"""The knowledge bases of a project: which there are, their access policies, embedders and open indices.

Joins the manifest, the lock, the store and an index. Changing an index is `indexing`'s, asking one is not
here either.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cape.errors import CapeError, InputError, StateError
from cape.knowledge.access import OPEN_POLICY, AccessPolicy, read_access
from cape.knowledge.protocol import Embedder
from cape.names import Digest, System, nearest, sync_directory
from cape.operations.project import Project, Workshop

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cape.answers.reranking import Reranker
    from cape.knowledge.index.reader import IndexReader
    from cape.lock import Lock
    from cape.manifest import Manifest
    from cape.sources.protocol import LockedPackage


class NoKnowledge(InputError):
    """The manifest names no knowledge base."""

    slug = "no-knowledge-base"


class UnknownKnowledge(InputError):
    """A name that none of the manifest's knowledge bases has, or none where it has several."""

    slug = "unknown-knowledge-base"


@dataclass(frozen=True, kw_only=True, slots=True)
class KnowledgeBase:
    """A `[knowledge.NAME]` of a manifest; paths are relative to the project. `answer_from` is in per cent."""

    name: str
    sources: tuple[str, ...]
    embedder: str | None = None
    access: str | None = None
    questions: str | None = None
    reranker: str | None = None
    writers: tuple[str, ...] = ()
    data: str | None = None
    local_only: bool = False
    strong_from: float | None = None
    private: bool = False
    answer_from: int | None = None


def bases_of(manifest: Manifest) -> dict[str, KnowledgeBase]:
    """The knowledge bases that a manifest names, by name, in its order."""
    return {name: _base(name, table) for name, table in manifest.knowledge.items()}


def _base(name: str, table: Any) -> KnowledgeBase:
    return KnowledgeBase(
        name=name,
        sources=tuple(table.get("sources", ())),
        embedder=table.get("embedder"),
        access=table.get("access"),
        questions=table.get("questions"),
        reranker=table.get("reranker"),
        writers=_names(table.get("writer", ())),
        data=table.get("data"),
        local_only=bool(table.get("local-only", False)),
        strong_from=table.get("strong-from"),
        private=bool(table.get("private", False)),
        answer_from=table.get("answer-from"),
    )


def _names(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def find_base(manifest: Manifest, name: str | None) -> KnowledgeBase:
    """The knowledge base of that name; with None, the only one. Raises `NoKnowledge`, `UnknownKnowledge`."""
    bases = bases_of(manifest)
    if not bases:
        raise NoKnowledge(
            "the manifest names no knowledge base",
            where=str(manifest.path),
            hint='add one: `[knowledge.handbook]` with `sources = ["docs/**/*.md"]`',
        )
    listed = ", ".join(f"`{one}`" for one in bases)
    if name is None:
        if len(bases) > 1:
            raise UnknownKnowledge(f"the manifest has several knowledge bases: {listed}", hint="name one")
        return next(iter(bases.values()))
    if name not in bases:
        close = nearest(name, bases)
        hint = f"did you mean `{close[0]}`?" if close else f"the manifest has {listed}"
        raise UnknownKnowledge(f"there is no knowledge base `{name}`", where=str(manifest.path), hint=hint)
    return bases[name]


def index_directory(project: Project, name: str) -> Path:
    """Where the index of a knowledge base is, or would be."""
    return project.state / "knowledge" / name


def policy_of(project: Project, base: KnowledgeBase) -> AccessPolicy:
    """Who may see what of a base now. Raises `AccessPolicyMissing`, `BadAccessPolicy`.

    A policy that the manifest names and that is not there is an error, never "everyone".
    """
    return OPEN_POLICY if base.access is None else read_access(project.directory / base.access)


@contextlib.contextmanager
def open_base(
    project: Project, base: KnowledgeBase, *, generation: int | None = None
) -> Iterator[IndexReader]:
    """The index of a base, for asking, under the access policy that holds now: a change of it holds at once.

    Raises `NotIndexed`, `IndexDamaged`, `IndexTooNew`, `UnknownIndexGeneration`, and what `policy_of` does.
    """
    from cape.knowledge.index.reader import open_index

    policy = policy_of(project, base)
    directory = index_directory(project, base.name)
    with open_index(directory, base.name, generation=generation, policy=policy) as index:
        yield index


@dataclass(frozen=True, kw_only=True, slots=True)
class AskableBase:
    """A base that is open for questions. `embedder` is None where it is searched by words alone; `notes` say
    why, where that is not what the manifest asks for."""

    base: KnowledgeBase
    index: IndexReader
    embedder: Embedder | None
    notes: tuple[str, ...] = ()
    reranker: Reranker | None = None


@contextlib.contextmanager
def open_for_asking(
    project: Project,
    base: KnowledgeBase,
    lock: Lock | None,
    workshop: Workshop,
    *,
    generation: int | None = None,
) -> Iterator[AskableBase]:
    """A base with the embedder that its index was built with.

    Raises `EmbedderChanged`, and what `open_base` does. Who asks embeds a question first, and goes on by
    words alone if that raises `ModelUnavailable`.
    """
    from cape.knowledge.index.writer import embedder_changed

    chosen = choose_embedder(project, base, lock, workshop)
    with open_base(project, base, generation=generation) as index:
        built, embedder = index.generation.recipe.embedder, chosen.embedder
        if built is not None and embedder is not None and built != embedder.digest:
            raise embedder_changed(base.name, built, embedder.digest)
        notes = [chosen.note] if chosen.note else []
        if embedder is not None and not index.has_vectors:
            notes.append(
                f"searching by words alone: the index has no vectors; `cape index {base.name}` adds them"
            )
            embedder = None
        reranker = _reranker(project, base, lock, workshop)
        yield AskableBase(base=base, index=index, embedder=embedder, notes=tuple(notes), reranker=reranker)


def _reranker(
    project: Project, base: KnowledgeBase, lock: Lock | None, workshop: Workshop
) -> Reranker | None:
    if base.reranker is None:
        return None
    from cape.operations.reranking import reranker_of

    return reranker_of(project, base, lock, workshop)


# -- the embedder -------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class ChosenEmbedder:
    """The embedder that a base should have: `embedder` is None where there is none, and `note` says why."""

    embedder: Embedder | None = None
    note: str | None = None


def choose_embedder(
    project: Project, base: KnowledgeBase, lock: Lock | None, workshop: Workshop, *, fetch: bool = False
) -> ChosenEmbedder:
    """The embedder that the lock has for a base. Its digest is known at once, its files when it embeds.

    With `fetch`, a model that is not in the store is brought when it is needed.
    """
    if base.embedder is None:
        return ChosenEmbedder()
    parts = model_parts(lock, base.embedder)
    if not _model_rows(lock, base.embedder):
        return _none(f"the model `{base.embedder}` is not locked: run `cape lock`")
    if "tokenizer" not in parts or "file" not in parts:
        return _none(f"the model `{base.embedder}` has no tokenizer: add `tokenizer` to it in `[models]`")
    return ChosenEmbedder(embedder=LockedEmbedder(project, base.embedder, parts, workshop, fetch=fetch))


def _none(reason: str) -> ChosenEmbedder:
    return ChosenEmbedder(note=f"searching by words alone: {reason}")


def model_parts(lock: Lock | None, model: str) -> dict[str, LockedPackage]:
    """The locked rows of a model that have its `file` and its `tokenizer`, by these names."""
    rows = _model_rows(lock, model)
    return {part: row for row in rows for part in ("file", "tokenizer") if part in row.attributes}


def _model_rows(lock: Lock | None, model: str) -> list[LockedPackage]:
    if lock is None:
        return []
    system = System.current()
    return [row for row in lock.packages_of("model") if row.placement == model and system in row.systems]


def locked_model_file(project: Project, model: str, lock: Lock | None, workshop: Workshop) -> Path:
    """The one file of a locked model, brought here if need be. Raises `ModelUnavailable`."""
    rows = [row for row in _model_rows(lock, model) if "file" in row.attributes]
    if len(rows) != 1:
        raise ModelUnavailable(
            f"the lock has {len(rows) or 'no'} files of the model `{model}`",
            hint="run `cape lock`" if not rows else "name one with `file`",
        )
    return LockedEmbedder(project, model, {"file": rows[0]}, workshop, fetch=True)._file("file")


class LockedEmbedder:
    """An embedder that the lock names. Its files are looked for, checked and opened at the first text.

    They come from the current environment, else out of the artifact in the store, which is brought there
    if it may be. Raises, when it embeds, `ModelUnavailable` and what `open_embedder` raises.
    """

    def __init__(
        self,
        project: Project,
        name: str,
        parts: Mapping[str, LockedPackage],
        workshop: Workshop,
        *,
        fetch: bool,
    ) -> None:
        self._project, self._name, self._parts, self._workshop = project, name, parts, workshop
        self._fetch = fetch
        self._opened: Embedder | None = None

    @property
    def name(self) -> str:
        """See `Embedder`."""
        return self._name

    @property
    def digest(self) -> Digest:
        """See `Embedder`; by the lock's digests of the files."""
        from cape.engines.minilm import embedder_digest

        return embedder_digest(self._digest("file"), self._digest("tokenizer"))

    @property
    def dimensions(self) -> int:
        """See `Embedder`."""
        return self._open().dimensions

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Embedder`."""
        return self._open().embed(texts)

    def embed_pieces(self, texts: Sequence[str]) -> Sequence[NDArray[np.float32]]:
        """What the model makes of each word piece of each text; of a model that does not tell, one row."""
        opened = self._open()
        pieces = getattr(opened, "embed_pieces", None)
        if pieces is None:
            return [vector[None, :] for vector in opened.embed(texts)]
        made: Sequence[NDArray[np.float32]] = pieces(texts)
        return made

    def piece_spans(self, text: str) -> list[tuple[int, int]]:
        """Where each row of `embed_pieces` stands in a text; (0, 0) for one that is of no word of it."""
        spans = getattr(self._open(), "piece_spans", None)
        return list(spans(text)) if spans is not None else [(0, 0)]

    def _open(self) -> Embedder:
        if self._opened is None:
            from cape.engines.minilm import open_embedder

            self._opened = open_embedder(self._name, self._file("file"), self._file("tokenizer"))
        return self._opened

    def locked_files(self) -> tuple[Path, Path]:
        """The model's and the tokenizer's file, with exactly the locked bytes. Raises `ModelUnavailable`."""
        return self._file("file"), self._file("tokenizer")

    def locked_digests(self) -> tuple[Digest, Digest]:
        """What the lock says of both."""
        return self._digest("file"), self._digest("tokenizer")

    def _digest(self, part: str) -> Digest:
        return Digest.parse(self._parts[part].attributes[f"{part}-digest"])

    def _file(self, part: str) -> Path:
        """A file of the model with exactly the locked bytes."""
        from cape.sources.models.rows import placed_path

        wanted = self._digest(part)
        name = placed_path(self._parts[part], part)
        for home in (self._environment(), self._kept(wanted)):
            if home is not None and _is(home / name, wanted):
                return home / name
        return self._unpacked(part, wanted) / name

    def _environment(self) -> Path | None:
        from cape.environment.generations import current_generation

        try:
            generation = current_generation(self._project.directory)
        except CapeError:
            return None
        return generation.environment / "models" / self._name if generation else None

    def _kept(self, wanted: Digest) -> Path:
        return self._project.state / "models" / wanted.hex[:32]

    def _unpacked(self, part: str, wanted: Digest) -> Path:
        """The file out of the artifact, kept in the project's state."""
        row = self._parts[part]
        sources = self._workshop.sources(None)
        if not self._workshop.store.artifacts.has(row.artifact.digest):
            self._bring(row, sources)
        final = self._kept(wanted)
        temporary = final.with_name(f".new.{os.getpid()}")
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            sources["model"].unpack(row, self._workshop.store.artifacts.path(row.artifact.digest), temporary)
            shutil.rmtree(final, ignore_errors=True)
            os.rename(temporary / "models" / self._name, final)
            sync_directory(final.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return final

    def _bring(self, row: LockedPackage, sources: Mapping[str, Any]) -> None:
        from cape.operations.fetching import fetch

        if not self._fetch:
            raise ModelUnavailable(
                f"the model `{self._name}` is neither in the environment nor in the store",
                hint="run `cape sync`",
            )
        fetch([row], self._workshop, sources)


class ModelUnavailable(StateError):
    """A locked model is not on this machine."""

    slug = "model-unavailable"


def _is(file: Path, wanted: Digest) -> bool:
    try:
        return Digest.of_file(file) == wanted
    except OSError:
        return False
