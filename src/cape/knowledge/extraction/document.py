"""One file to one document, or to the reason why it could not be read."""

from __future__ import annotations

import logging
from pathlib import Path

from cape.errors import CapeError
from cape.knowledge.documents import ExtractedDocument, UnreadDocument
from cape.knowledge.extraction.assembly import Assembly, readable_stem
from cape.knowledge.extraction.formats import format_of
from cape.knowledge.extraction.limits import DEFAULT_LIMITS, Limits
from cape.knowledge.extraction.reading import FileBytes, Unreadable, read_file

OUT_OF_MEMORY = "needs more memory than one document may take"

_log = logging.getLogger(__name__)


def extract(
    path_in_project: str, file: Path, limits: Limits = DEFAULT_LIMITS
) -> ExtractedDocument | UnreadDocument:
    """Read a document in this process. A bad document is an answer, never an exception.

    A crash, a hang or a hunger for memory of a parser is not contained here: `extract_all` does that.

    Raises:
        KnowledgeNotInstalled: the package that reads this format is missing.
    """
    format_ = format_of(path_in_project)
    if format_ is None:
        return UnreadDocument(
            path=path_in_project, digest=None, reason="is of a format that cape does not read"
        )
    extractor = format_.extractor
    try:
        read = read_file(file, limits)
    except Unreadable as error:
        return UnreadDocument(path=path_in_project, digest=None, reason=str(error))
    if not read.data:
        return UnreadDocument(path=path_in_project, digest=read.digest, reason="is empty: it has 0 bytes")
    assembly = Assembly(readable_stem(path_in_project))
    try:
        format_.read(read.data, assembly, limits)
    except Unreadable as error:
        return UnreadDocument(path=path_in_project, digest=read.digest, reason=str(error))
    except CapeError:
        raise
    except MemoryError:
        return UnreadDocument(path=path_in_project, digest=read.digest, reason=OUT_OF_MEMORY)
    except Exception as error:  # noqa: BLE001 - a parser may fail in any way on bytes from anywhere
        return _failed(path_in_project, read, error)
    return assembly.finish(path_in_project, read.digest, len(read.data), extractor)


def _failed(path: str, read: FileBytes, error: Exception) -> UnreadDocument:
    _log.debug("`%s` could not be read", path, exc_info=error)
    said = str(error).split("\n")[0][:200]
    reason = f"could not be read: {type(error).__name__}" + (f" ({said})" if said else "")
    return UnreadDocument(path=path, digest=read.digest, reason=reason)
