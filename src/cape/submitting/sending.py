"""What goes along with a job: the project's tracked files, as one archive, up to a limit."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cape.submitting.errors import TooLarge

_SHOWN = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """Files that go along, as paths below the project, and their bytes together."""

    paths: tuple[str, ...]
    size_bytes: int


def files_to_send(project: Path, paths: Sequence[str], *, limit_bytes: int) -> Sent:
    """The files, if they are no more than the limit. Raises `TooLarge`, which names the largest."""
    sizes = {path: (project / path).lstat().st_size for path in paths if not (project / path).is_dir()}
    total = sum(sizes.values())
    if total > limit_bytes:
        largest = sorted(sizes, key=lambda path: -sizes[path])[:_SHOWN]
        shown = ", ".join(f"`{path}` ({_megabytes(sizes[path])})" for path in largest)
        raise TooLarge(
            f"the project's files are {_megabytes(total)}, the limit is {_megabytes(limit_bytes)}: {shown}",
            where=str(project),
            hint="raise it (`--limit`), or leave data where the cluster's machines can read it themselves",
        )
    return Sent(paths=tuple(sorted(sizes)), size_bytes=total)


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"


def write_files(project: Path, sent: Sent, target: Path) -> None:
    """The files as a tar archive, with modes 0644 or 0755, and nobody's names and times."""
    with tarfile.open(target, "w:gz", compresslevel=1) as archive:
        for path in sent.paths:
            file = project / path
            member = archive.gettarinfo(file, arcname=path)
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mtime = 0
            member.mode = 0o755 if member.mode & 0o100 else 0o644
            with open(file, "rb") if member.isreg() else io.BytesIO() as stream:
                archive.addfile(member, stream if member.isreg() else None)
