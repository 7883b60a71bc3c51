"""Random calls: which one, on which path, and how the path is spelled.

No FIFO is made, as opening one would wait for ever.

A path with `..` is taken by its text in the redirected world; its normal form, which is worked out here anew,
is what the merged world is asked.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from random import Random

from tests.redirect.worlds import (
    BYTES_NAME,
    HOST,
    HOST_LINKS,
    LINKS_OF_THE_ROOT,
    PRIVATE,
    PROJECT,
    ROOT,
    TREE,
    TREE_LINKS,
    Call,
)

MERGED = (b"bin", b"sbin", b"lib", b"lib64", b"lib32", b"libx32")
OURS = (b"usr", b"etc", b"var", b"run", *MERGED)
NAMES = [name.encode() for name in (*TREE, *TREE_LINKS, *HOST, *HOST_LINKS, *PRIVATE)] + [BYTES_NAME]
PARENTS = sorted({b"/".join(name.split(b"/")[:n]) for name in NAMES for n in range(1, name.count(b"/") + 1)})
LISTED = [
    *(b"usr/share/app", b"usr/share/app/dir", b"usr/share/app/dir/deep", b"usr/lib/app", b"etc/app"),
    *(
        b"etc/app/more",
        b"var/lib/app",
        b"usr/share/host",
        b"usr/share/host/dir",
        b"etc/hostconf",
        b"run/host",
    ),
    *(b"usr/share/app/dlink", b"usr/share/app/up", b"usr/share/app/file", b"usr/share/app/loop", b"usr/none"),
]
"""Directories that one side has alone, as directories are not merged."""

O_CREAT, O_EXCL, O_TRUNC = os.O_CREAT, os.O_EXCL, os.O_TRUNC
WRITING = [
    *(os.O_WRONLY, os.O_RDWR, os.O_WRONLY | O_TRUNC, os.O_WRONLY | O_CREAT, os.O_RDWR | O_CREAT | O_EXCL),
    *(
        os.O_WRONLY | O_CREAT | O_TRUNC,
        os.O_RDONLY | O_CREAT,
        os.O_WRONLY | os.O_NOFOLLOW,
        os.O_WRONLY | os.O_APPEND,
    ),
    *(os.O_WRONLY | os.O_DIRECTORY, os.O_RDONLY | O_TRUNC, os.O_RDWR | O_CREAT | os.O_NOFOLLOW),
]
ONE_PATH = ["stat", "lstat", "open", "readlink", "access", "fopen", "realpath", "statx", "fstatat", "openat"]
RARE = ["statvfs", "pathconf", "getxattr", "faccessat", "readlinkat"]
LISTS = ["opendir", "scandir", "scandirat", "fts", "nftw"]
TAKES_NULL = ["stat", "lstat", "open", "readlink", "access", "fopen", "realpath", "openat", "faccessat"]
CHANGES = [
    *(
        "write",
        "write",
        "write",
        "fopen_w",
        "fopen_a",
        "fopen_r+",
        "mkdir",
        "mkdirat",
        "rmdir",
        "unlink",
        "unlinkat",
    ),
    *(
        "remove",
        "rename",
        "rename",
        "renameat",
        "link",
        "symlink",
        "mknod",
        "chmod",
        "fchmodat",
        "chown",
    ),
    *(
        "lchown",
        "truncate",
        "utimensat",
        "utimes",
        "lutimes",
        "utime",
        "setxattr",
        "bind",
        "mkstemp",
        "mkdtemp",
    ),
    *("writeat",),
]

OVERLAID = [
    *(b"etc/app", b"etc/app/more", b"etc/hostconf", b"var/lib/app", b"var/lib/app/sub", b"var/lib/host"),
    *(b"run", b"run/host"),
]
"""Directories in which files are made; and those below them that `prepared` makes."""
LOWER = [name for name in NAMES if name.startswith((b"etc/app", b"etc/hostconf", b"var/", b"run/"))]
FREE = [
    *("stat", "stat", "lstat", "open", "open", "access", "readlink", "realpath", "fopen"),
    *(
        "write",
        "write",
        "write",
        "write",
        "fopen_w",
        "fopen_a",
        "fopen_r+",
        "mkdir",
        "rmdir",
        "unlink",
        "remove",
    ),
    *("rename", "rename", "link", "symlink", "mknod", "chmod", "truncate", "utimensat", "utimes", "bind"),
    *("connect", "mkstemp", "mkdtemp", "chown"),
]
ONLY_NEW = ("unlink", "remove", "rename", "link", "symlink", "rmdir")
"""What cannot be done to a file below the overlay."""


LINKS_ARE_GUARDED = os.geteuid() == 0
"""Where links of the project lead is judged for root; for others by the modes, which do not stop an owner."""
INTO = [b"into/"] if LINKS_ARE_GUARDED else []
KEPT = [b"usr/share/app", b"usr/share/app/dir", b"usr/bin", b"usr/lib/app", b"own"]
READ_AT = ["fstatat", "openat", "faccessat", "readlinkat", "scandirat", "statx"]
CHANGE_AT = ["writeat", "writeat", "mkdirat", "unlinkat", "renameat", "fchmodat", "utimensat"]


@dataclass(frozen=True)
class Spelling:
    """One call as it is made in each world."""

    redirected: Call
    merged: Call


def normal_form(path: bytes) -> bytes:
    """The path without `//`, `.` and `..`; `/bin` leads to `/usr/bin`, and `/var/run` to `/run`."""
    parts: list[bytes] = []
    pieces = path.split(b"/")
    for piece in pieces:
        if piece == b"..":
            parts = parts[:-1]
        elif piece not in (b"", b"."):
            parts = [b"usr", piece] if not parts and piece in MERGED else [*parts, piece]
            if parts == [b"var", b"run"]:
                parts = [b"run"]
            elif parts == [b"var", b"lock"]:
                parts = [b"run", b"lock"]
    directory = pieces[-1] in (b"", b".", b"..") and parts
    return b"/" + b"/".join(parts) + (b"/" if directory else b"")


def merged_path(path: bytes | None) -> bytes | None:
    """What the merged world is asked: the normal form of a path with `..` that begins or ends at ours."""
    if path is None or not path.startswith(b"/") or len(path) >= 4096 or b".." not in path.split(b"/"):
        return path
    begins = next((part for part in path.split(b"/") if part), b"")
    normal = normal_form(path)
    return normal if begins in OURS or normal.split(b"/")[1] in OURS else path


class Caller:
    """Makes the calls of one process, which it knows the working directory and the open directories of."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.slots: dict[int, bytes] = {}

    def spelled(self, call: Call) -> Spelling:
        return Spelling(call, replace(call, path=merged_path(call.path), other=merged_path(call.other)))

    # ---- paths ----

    def component(self) -> bytes:
        random = self.random
        kind = random.randrange(8)
        if kind == 0:
            return b"n" * random.choice([1, 100, 254, 255, 256, 300])
        if kind == 1:
            return bytes(
                random.choice([*range(1, 47), *range(48, 256)]) for _ in range(random.randrange(1, 12))
            )
        return random.choice(
            [b"none", b"nowhere", b"file", b"dir", b"...", b"..x", b".hidden", b"usr", b"app"]
        )

    def name(self) -> bytes:
        """A path without its first slash, mostly of what is there."""
        random = self.random
        name = random.choice(NAMES if random.random() < 0.7 else PARENTS)
        while random.random() < 0.2:
            name += b"/" + self.component()
        return name

    def spell(self, name: bytes) -> bytes:
        """One of the ways to write an absolute path."""
        random = self.random
        if name.startswith((b"usr/bin/", b"usr/lib/")) and random.random() < 0.3:
            name = name[4:]
        if name.startswith(b"run/") and random.random() < 0.3:
            name = b"var/" + name
        pieces = []
        for piece in name.split(b"/"):
            while random.random() < 0.1:
                pieces.append(b".")
            if random.random() < 0.06:
                pieces += [self.component(), b".."]
            pieces.append(piece)
        if random.random() < 0.05:
            pieces = random.choice([[b".."], [b"w", b"project", b"..", b".."], [b"none", b".."]]) + pieces
        path = b"".join(b"/" * random.choice([1, 1, 1, 1, 1, 2, 3]) + piece for piece in pieces)
        return path + random.choice([b""] * 12 + [b"/", b"//", b"/.", b"/.."])

    def long_path(self, starts: list[bytes]) -> bytes:
        random = self.random
        length = random.choice([1000, 3000, 3900, 4000, 4050, 4080, 4090, 4094, 4095, 4096, 4097, 5000, 9000])
        start = random.choice(starts)
        filler = random.choice([b"x/", b"./", b"/", b"dir/../", b"abcdefg/"])
        path = (start + filler * 9000)[:length]
        return path + random.choice([b"", b"share/app/file", b"env", b"/"])

    def odd_path(self) -> bytes | None:
        random = self.random
        kind = random.randrange(6)
        if kind == 0:
            return b""
        if kind == 1:
            starts = [b"/usr/", b"/usr/share/app/", b"/etc/", b"/bin/", b"/w/../usr/", b"/var/run/", b"own/"]
            return self.long_path(starts)
        if kind == 2:
            return b"/" + b"/".join(self.component() for _ in range(random.randrange(1, 6)))
        if kind == 3:
            return random.choice(
                [b"/", b"//", b"/.", b"/..", b"/../..", b".", b"..", b"/usr", b"/usr/", b"/etc/."]
            )
        return random.choice(
            [b"own/file", b"own/link/x", b"./own//dir/", b"own/../own/file", b"into/file", b"none"]
        )

    def path(self) -> bytes:
        return self.spell(self.name())

    # ---- calls that read ----

    def reading(self) -> Spelling:
        random = self.random
        kind = random.random()
        if kind < 0.1:
            return self.spelled(self.listing())
        if kind < 0.2:
            return self.spelled(self.by_directory(READ_AT))
        name = random.choice(ONE_PATH if kind < 0.9 else RARE)
        path = self.odd_path() if random.random() < 0.15 else self.path()
        if name in TAKES_NULL and random.random() < 0.01:
            path = None
        return self.spelled(self.with_number(name, path))

    def with_number(self, name: str, path: bytes | None) -> Call:
        random = self.random
        numbers = {
            "access": [os.F_OK, os.R_OK],
            "faccessat": [os.F_OK, os.R_OK, os.R_OK | 0x200],
            "open": [os.O_RDONLY, os.O_RDONLY | os.O_NOFOLLOW, os.O_RDONLY | os.O_CLOEXEC],
            "openat": [os.O_RDONLY, os.O_RDONLY | os.O_DIRECTORY],
            "statx": [0, 0x100],
            "fstatat": [0, 0x100],
        }
        nofollow = name in ("lstat", "readlink", "readlinkat", "statx", "fstatat", "open")
        if nofollow and path is not None and self.is_link_of_the_root(path):
            path = b"/usr/share/app/link"
        return Call(name, path, number=random.choice(numbers.get(name, [0])))

    def by_directory(self, calls: list[str]) -> Call:
        """A call on a name below an open directory of the tree; or that directory is opened now."""
        random = self.random
        slot = random.randrange(6)
        if slot not in self.slots or random.random() < 0.1:
            self.slots[slot] = random.choice(KEPT)
            path = b"own" if self.slots[slot] == b"own" else self.spell(self.slots[slot])
            return Call("keep", without_end(path), number=slot)
        name = random.choice(calls)
        below = [
            each[len(self.slots[slot]) + 1 :] for each in NAMES if each.startswith(self.slots[slot] + b"/")
        ]
        path = random.choice(
            [*below, *below, b"none", b"dir/../file", b"../app/file", b"", b".", b"dir//two"]
        )
        if random.random() < 0.2:
            path = b"./" + path + random.choice([b"", b"/", b"/x"])
        if name in CHANGE_AT and self.slots[slot] == b"own":
            name = "fstatat"
        number = {"writeat": random.choice(WRITING), "fchmodat": 0o644}.get(name, 0)
        if name in ("fstatat", "statx", "unlinkat", "utimensat", "faccessat"):
            flag = 0x100 if name in ("fstatat", "statx", "utimensat") else 0x200
            number = random.choice([0, flag])
        return Call(name, path, slot=slot, other=self.spell(b"usr/share/app/new"), number=number)

    def is_link_of_the_root(self, path: bytes) -> bool:
        """The normal form of `/bin` is a directory, where the merged world has a link."""
        parts = b"/".join(part for part in path.split(b"/") if part not in (b"", b"."))
        return parts.decode(errors="replace") in LINKS_OF_THE_ROOT

    def listing(self) -> Call:
        random = self.random
        name = random.choice(LISTED)
        if random.random() < 0.3 and not name.endswith((b"loop", b"file", b"none")):
            return Call("glob", b"/" + name + random.choice([b"/*", b"/?*", b"/[a-m]*", b"/none*", b""]))
        call = random.choice(LISTS)
        if call == "nftw" and name.endswith((b"link", b"up", b"loop")):
            call = "opendir"
        path = self.spell(name)
        return Call(call, path if not path.endswith(b"/..") else b"/" + name)

    # ---- changes of what must stay ----

    def guarded_path(self) -> bytes:
        """A path that leads below /usr or into the environment."""
        random = self.random
        kind = random.random()
        if kind < 0.04:
            return self.long_path(
                [b"/usr/", b"/bin/", b"/lib/../usr/share/app/", *INTO, ROOT.encode() + b"/"]
            )
        if kind < 0.6:
            name = self.name()
            while not name.startswith(b"usr/"):
                name = self.name()
            return self.spell(name)
        tree = random.choice([name for name in (*TREE, *TREE_LINKS) if name.startswith("usr/")]).encode()
        if random.random() < 0.3:
            tree += b"/" + self.component()
        if kind < 0.75:
            return ROOT.encode() + b"/" + tree
        if kind < 0.85 or not LINKS_ARE_GUARDED:
            return os.path.relpath(ROOT, PROJECT).encode() + b"/" + tree
        inside = tree.removeprefix(b"usr/share/app/")
        return random.choice([b"into/", b"./into//", PROJECT.encode() + b"/into/"]) + (
            inside if inside != tree else b"x"
        )

    def refused(self) -> Spelling:
        random = self.random
        if random.random() < 0.15:
            return self.spelled(self.by_directory(CHANGE_AT))
        name = random.choice(CHANGES)
        path = self.guarded_path()
        if path.rstrip(b"/").endswith((b"/.", b"/..")):
            path = path.rstrip(b"/.") or b"/usr"
        number = random.choice(WRITING) if name.startswith("write") else random.choice([0, 0o644])
        other: bytes | None = self.guarded_path()
        if self.is_link_of_the_root(path):
            path = b"/usr/lib"
        if name == "symlink":
            other = b"text"
        if name in ("mkstemp", "mkdtemp"):
            path = path.rstrip(b"/") + b"XXXXXX"
        if name in ("unlinkat", "utimensat"):
            number = random.choice([0, 0x200]) if name == "unlinkat" else random.choice([0, 0x100])
        if name == "bind" and len(path) > 90:
            name = "mknod"
        return self.spelled(Call(name, path, other=other, number=number))

    # ---- changes that go to the overlay, and to the project ----

    def prepared(self) -> list[Spelling]:
        """Directories of the overlay, as a new file's directories are made there and nowhere else."""
        return [self.spelled(Call("mkdir", b"/" + place + b"/made")) for place in OVERLAID]

    def new_path(self, name: str) -> bytes:
        """A link has a name of its own kind and is not moved: one that leads nowhere hides no file below."""
        random = self.random
        link = name == "symlink" or (name not in ("rename", "link") and random.random() < 0.1)
        new = (b"sym%d" if link else b"new%d") % random.randrange(5)
        kind = random.random()
        if kind < 0.1:
            return random.choice([b"own/", b"./own//", PROJECT.encode() + b"/own/", b"own/dir/../"]) + new
        return self.spell(random.choice(OVERLAID) + random.choice([b"/", b"/made/"]) + new)

    def changing(self) -> Spelling:
        random = self.random
        name = random.choice(FREE)
        lower = name not in ONLY_NEW and random.random() < 0.4
        path = self.spell(random.choice(LOWER)) if lower else self.new_path(name)
        other = self.spell(random.choice(LOWER)) if random.random() < 0.2 else self.new_path(name)
        number = random.choice([0o644, 0o600])
        if name not in ONE_PATH:
            path, other = without_end(path), without_end(other)
        if name == "symlink":
            other = b"new%d" % random.randrange(5)
        if name == "link" and random.random() < 0.5:
            other = self.new_path(name)
        if name in ("mkstemp", "mkdtemp"):
            path = without_end(self.new_path(name)) + b"XXXXXX"
        if name in ("bind", "connect") and len(path) > 90:
            name = "stat"
        if name in ONE_PATH:
            return self.spelled(self.with_number(name, path))
        if name == "write":
            number = random.choice(WRITING)
        if name == "utimensat":
            number = random.choice([0, 0x100])
        if name == "truncate":
            number = random.choice([0, 3, 100])
        return self.spelled(Call(name, path, other=other, number=number))


def without_end(path: bytes) -> bytes:
    """Without a slash or a dot after the last name."""
    while path.endswith((b"/", b"/.", b"/..")):
        path = path.removesuffix(b"..").removesuffix(b".").rstrip(b"/") or b"/x"
    return path
