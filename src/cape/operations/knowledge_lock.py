"""What the lock says of an index: its rows written, and compared with the index.

Joins an index's generation and the lockfile. For a private base the digests are keyed, with a key that never
leaves the project's state: who has only the lock cannot even guess at a document.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from cape.lock import LockedDocument, LockedKnowledge, document_line, knowledge_line, with_knowledge
from cape.names import Digest, write_atomically
from cape.operations.project import Project, held, project_files

if TYPE_CHECKING:
    from cape.knowledge.index.generations import Content, IndexGeneration
    from cape.lock import Lock
    from cape.operations.knowledge import KnowledgeBase

_KEY_BYTES = 32
_HEADER = '{"cape-lock":'


def is_locked(lock: Lock | None, base: KnowledgeBase) -> bool:
    """Whether the lock has rows for a base."""
    return lock is not None and any(one.name == base.name for one in lock.knowledge)


def drift(
    project: Project,
    base: KnowledgeBase,
    lock: Lock | None,
    generation: IndexGeneration,
    contents: Mapping[str, Content],
) -> tuple[str, ...]:
    """The parts in which an index differs from the lock: `documents`, `embedder`, `access` ...; none: equal.

    Documents are named, up to three. A base that has no rows, or two sides of a merge, differs as a whole.
    """
    if lock is None or not is_locked(lock, base):
        merged = lock is not None and base.name in lock.unsettled_knowledge
        return ("two sides of a merge",) if merged else ("everything: the lock has no rows for it",)
    locked = next(one for one in lock.knowledge if one.name == base.name)
    rows = _Rows(project, base)
    found = rows.knowledge(generation)
    names = dict(locked.parts)
    parts = [part for part, value in found.parts if names.get(part) != value]
    if locked.access != found.access:
        parts.append("access")
    documents = {one.path: one for one in lock.documents if one.base == base.name}
    parts += _document_drift(documents, {path: rows.document(one) for path, one in contents.items()})
    if not parts and (locked.index, locked.chunks) != (found.index, found.chunks):
        parts.append("the index's digest")
    return tuple(parts)


_NAMED = 3


def _document_drift(
    locked: Mapping[str, LockedDocument], present: Mapping[str, LockedDocument]
) -> Iterator[str]:
    differing = sorted(
        path for path in locked.keys() | present.keys() if locked.get(path) != present.get(path)
    )
    if differing:
        named = ", ".join(f"`{path}`" for path in differing[:_NAMED])
        more = f" and {len(differing) - _NAMED} more" if len(differing) > _NAMED else ""
        yield f"documents ({named}{more})"


class _Rows:
    """Makes the rows of one base."""

    def __init__(self, project: Project, base: KnowledgeBase) -> None:
        self._project, self._base = project, base
        self._key = project_key(project) if base.private else None
        self._questions = project.directory / base.questions if base.questions else None

    def knowledge(self, generation: IndexGeneration) -> LockedKnowledge:
        return LockedKnowledge(
            name=self._base.name,
            parts=tuple(generation.recipe.parts.items()),
            index=self.told(generation.digest),
            access=self.told(generation.access.digest),
            documents=generation.documents,
            chunks=generation.chunks,
            questions=self._test_set(),
            answers=tuple(sorted(self.answers().items())),
        )

    def answers(self) -> dict[str, str]:
        """What decides answers, by name."""
        from cape.operations.replaying import deciding_parts

        return deciding_parts(self._project, self._base)

    def _test_set(self) -> Digest | None:
        if self._questions is None or not self._questions.is_file():
            return None
        return self.told(Digest.of_file(self._questions))

    def document(self, content: Content) -> LockedDocument:
        return LockedDocument(
            base=self._base.name,
            path=content.path,
            digest=self.told(content.digest),
            size_bytes=content.size_bytes,
            keyed=self._key is not None,
        )

    def told(self, digest: Digest) -> Digest:
        """A digest as the lock has it."""
        if self._key is None:
            return digest
        return Digest(hmac.new(self._key, bytes.fromhex(digest.hex), hashlib.sha256).hexdigest())


def project_key(project: Project) -> bytes:
    """The key of this project's private bases; made when it is first needed."""
    file = project.state / "knowledge.key"
    try:
        key = file.read_bytes()
        if len(key) == _KEY_BYTES:
            return key
    except FileNotFoundError:
        pass
    key = os.urandom(_KEY_BYTES)
    with project_files(project.directory):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(file, key, mode=0o600)
    return key


def is_locked_test_set(project: Project, base: KnowledgeBase, locked: LockedKnowledge) -> bool:
    """Whether the base's test set is the one of the lock, or the lock knows of none."""
    return locked.questions in (None, _Rows(project, base)._test_set())


def answers_drift(project: Project, base: KnowledgeBase, locked: LockedKnowledge) -> tuple[str, ...]:
    """What decides answers otherwise than the lock says, by name; nothing where an older cape wrote it."""
    then, now = dict(locked.answers), _Rows(project, base).answers()
    return tuple(
        name for name in sorted(then.keys() | now.keys()) if then and then.get(name) != now.get(name)
    )


def locked_generation(project: Project, base: KnowledgeBase, generation: IndexGeneration) -> Digest:
    """The digest by which a lock names a generation of an index."""
    return _Rows(project, base).told(generation.digest)


def write_rows(
    project: Project, base: KnowledgeBase, generation: IndexGeneration, contents: Mapping[str, Content]
) -> bool | None:
    """Let the lock say what an index is; whether that changed it. None: there is no settled lock to write to.

    The current environment takes the new lock for its own, as it does not depend on these rows: nothing has
    to be synced. Raises `DirectoryNotWritable`, `DiskFull`.
    """
    rows = _Rows(project, base)
    with held(project), project_files(project.directory):
        text = _settled_text(project.lock_path)
        if text is None:
            return None
        first = knowledge_line(rows.knowledge(generation))
        if f"\n{first}\n" in text and text.count(_document_head(base)) == len(contents):
            return False
        lines = [first, *(document_line(rows.document(content)) for content in contents.values())]
        new = with_knowledge(text, base.name, lines, known=_known_bases(project))
        if new == text:
            return False
        _replace(project, new)
    return True


def _document_head(base: KnowledgeBase) -> str:
    line = document_line(LockedDocument(base=base.name, path="", digest=Digest("0" * 64), size_bytes=0))
    return "\n" + line[: line.index(',"path":')]


def _settled_text(path: Path) -> str | None:
    """The lock's text, if it is one that cape wrote: sorted, without two sides of a merge in it."""
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    header, *rows = text.splitlines()
    is_settled = header.startswith(_HEADER) and all(row < after for row, after in pairwise(rows))
    return text if is_settled and not any(row[:7] in _MARKERS for row in rows) else None


_MARKERS = frozenset({"<<<<<<<", "|||||||", "=======", ">>>>>>>"})


def _known_bases(project: Project) -> tuple[str, ...]:
    from cape.operations.including import project_manifest

    return tuple(project_manifest(project).knowledge)


def _replace(project: Project, text: str) -> None:
    """Write the lock; the environment that answered the old one answers the new one too."""
    from cape.environment.generations import current_generation, is_up_to_date, seal

    current = current_generation(project.directory)
    answered = current is not None and is_up_to_date(project.directory, current)
    mode = project.lock_path.stat().st_mode & 0o777
    write_atomically(project.lock_path, text.encode(), mode=mode)
    if current is not None and answered:
        write_atomically(current.directory / "cape.lock", text.encode())
        seal(project.directory, current)
