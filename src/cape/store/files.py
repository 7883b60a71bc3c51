"""Files put in place by the cheapest way that the file system allows; trees removed; one sync for many.

Owns the order hard link, reflink, copy. It knows neither digests nor what a file is for.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
from pathlib import Path

_NO_LINK = frozenset({
    errno.EXDEV,  # another file system
    errno.EMLINK,  # the file system's limit of links
    errno.EPERM,  # no hard links here (FAT, some network file systems), or protected ones
    errno.EACCES,
    errno.ENOTSUP,
    errno.ENOSYS,
})  # fmt: skip
_FICLONE = 0x40049409
_COPY_BYTES = 1 << 20


def place(source: str | Path, target: str | Path) -> None:
    """Make `target` a file with the bytes and mode of `source`: a hard link, else a reflink, else a copy.

    Raises `OSError`; `target` is then not there, unless it was before (`FileExistsError`).
    """
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        copy(source, target)


def copy(source: str | Path, target: str | Path) -> None:
    """Copy bytes and mode into a new file, sharing the blocks where the file system can."""
    with open(source, "rb") as reading:
        mode = stat.S_IMODE(os.fstat(reading.fileno()).st_mode)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode | 0o200)
        try:
            with open(descriptor, "wb") as writing:
                if not _clone(reading.fileno(), writing.fileno()):
                    shutil.copyfileobj(reading, writing, _COPY_BYTES)
                os.fchmod(writing.fileno(), mode)
                status = os.fstat(reading.fileno())
                os.utime(writing.fileno(), ns=(status.st_mtime_ns, status.st_mtime_ns))
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(target)
            raise


def _clone(source: int, target: int) -> bool:
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True


def sync_file_system(inside: Path) -> None:
    """Make everything written to the file system of `inside` last through a power failure."""
    import ctypes

    descriptor = os.open(inside, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if library.syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(inside))
    finally:
        os.close(descriptor)


def remove_tree(directory: Path) -> None:
    """Remove a directory with all that is in it, also where directories are read-only. Absent is fine."""
    if directory.is_symlink() or directory.is_file():
        directory.unlink()
        return

    def allow(function: object, path: str, _: object) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.chmod(os.path.dirname(path), 0o700)
            if os.path.isdir(path) and not os.path.islink(path):
                os.chmod(path, 0o700)
                shutil.rmtree(path)
            else:
                os.unlink(path)

    if directory.exists():
        shutil.rmtree(directory, onerror=allow)


def tree_size(directory: Path) -> int:
    """Bytes on disk below a directory; files with other hard links elsewhere count too."""
    total = 0
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                total += tree_size(Path(entry.path))
            else:
                total += entry.stat(follow_symlinks=False).st_blocks * 512
    return total
