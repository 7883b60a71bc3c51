"""The rows of the library's table of calls, by what is expected of each.

A call of the library belongs to one list (`test_rows` says so), and each list has a test on the host and one
in a file system without the host's.
"""

from __future__ import annotations

FILES = [
    *("open", "open64", "openat", "openat64", "__open", "__open64"),
    *("__open_2", "__open64_2", "__openat_2", "__openat64_2"),
    *("fopen", "fopen64", "freopen", "freopen64"),
    *("stat", "stat64", "lstat", "lstat64", "fstatat", "fstatat64", "statx", "syscall"),
    *("__xstat", "__xstat64", "__lxstat", "__lxstat64", "__fxstatat", "__fxstatat64"),
    *("access", "faccessat", "euidaccess", "eaccess"),
    *("statfs", "statfs64", "statvfs", "statvfs64", "pathconf", "inotify_add_watch"),
    *("getxattr", "lgetxattr", "listxattr", "llistxattr"),
    *("realpath", "canonicalize_file_name", "__realpath_chk"),
]
LINKS = ["readlink", "readlinkat", "__readlink_chk", "__readlinkat_chk", "lstat"]
DIRECTORIES = [
    *("opendir", "scandir", "scandir64", "scandirat", "scandirat64"),
    *("ftw", "ftw64", "nftw", "nftw64", "fts_open", "fts64_open"),
    *("chdir", "fchdir"),
]
PATTERNS = ["glob", "glob64"]

MAKERS = [
    *("open_create", "open_exclusive", "open_append", "creat", "creat64", "fopen_write", "fopen_append"),
    *("mkdir", "mkdirat", "mknod", "mknodat", "__xmknod", "__xmknodat", "mkfifo", "mkfifoat"),
    *("symlink", "symlinkat"),
]
CHANGERS = [
    *("open_write", "open_truncate", "freopen_write", "chmod", "lchmod", "fchmodat", "chown", "lchown"),
    *("fchownat", "truncate", "truncate64", "utime", "utimes", "lutimes", "futimesat", "utimensat"),
    *("setxattr", "lsetxattr", "removexattr", "lremovexattr", "access_write"),
]
BY_DESCRIPTOR = ["fchmod", "fchown", "futimens", "futimes", "fsetxattr", "fremovexattr"]
REMOVERS = ["unlink", "unlinkat", "remove"]
PAIRS = ["rename", "renameat", "renameat2", "link", "linkat"]
TEMPORARY = [
    *("mkstemp", "mkstemp64", "mkostemp", "mkostemp64", "mkdtemp"),
    *("mkstemps", "mkstemps64", "mkostemps", "mkostemps64"),
]

BY_PATH = ["execve", "execv", "execl", "execle", "execveat", "vfork", "posix_spawn"]
BY_NAME = ["execvp", "execvpe", "execlp", "posix_spawnp"]
EVERY = BY_PATH + BY_NAME
SHELLS = ["system", "popen", "pclose", "fclose"]

LOCALES = ["setlocale", "newlocale", "__newlocale"]
CHARACTER_SETS = ["iconv_open", "__gconv_open"]
LOADERS = ["dlopen", "dlmopen"]
CALLERS = ["connect", "sendto", "sendmsg"]
ALONE = [
    *("bindtextdomain", "catopen", "bind", "chroot", "rmdir"),
    *("posix_spawn_file_actions_addopen", "posix_spawn_file_actions_addchdir_np"),
]
"""Calls with a test of their own, here and there."""

VARIANTS = {
    "open": ["open_write", "open_append", "open_create", "open_exclusive", "open_truncate", "open_touch"],
    "fopen": ["fopen_write", "fopen_append"],
    "freopen": ["freopen_write"],
    "access": ["access_write"],
    "popen": ["popen_write"],
    "execve": ["vfork", "fork_open"],
}
"""Rows of the driver that call a function in another way."""
