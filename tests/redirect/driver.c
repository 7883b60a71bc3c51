/* Calls one function of libc by name on a path, and prints what it reached.
 *
 *   driver FUNCTION PATH [OTHER]
 *
 * prints `ok`, what the call found (an inode, a text, names), or `errno N`. Run with the library on
 * `/usr/...` and without it on the file that is meant, both must print the same. A call that succeeds and
 * changes errno says so. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <ftw.h>
#include <glob.h>
#include <gnu/libc-version.h>
#include <iconv.h>
#include <libintl.h>
#include <limits.h>
#include <locale.h>
#include <nl_types.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

extern char **environ;
enum { UNTOUCHED = 4242 };

static int failed(void)
{
    printf("errno %d\n", errno);
    return 1;
}

static int done(const char *format, ...)
{
    int changed = errno != UNTOUCHED ? errno : 0;
    va_list rest;
    va_start(rest, format);
    fputs("ok ", stdout);
    vprintf(format, rest);
    va_end(rest);
    if (changed)
        printf(" (errno became %d)", changed);
    putchar('\n');
    return 0;
}

static int described(int descriptor)
{
    struct stat status;
    int saved = errno;
    if (descriptor < 0)
        return failed();
    fstat(descriptor, &status);
    errno = saved;
    return done("inode %lu", (unsigned long)status.st_ino);
}

static int stream_described(FILE *stream)
{
    return stream ? described(fileno(stream)) : failed();
}

#define ROW(name, ...) static int row_##name(const char *path, const char *other) { (void)path; (void)other; errno = UNTOUCHED; __VA_ARGS__ }
#define PLAIN(name, call) ROW(name, return (call) < 0 ? failed() : done("");)
#define STATUS(name, type, call) ROW(name, struct type s; return (call) < 0 ? failed() : done("inode %lu", (unsigned long)s.st_ino);)
#define FILE_ROW(name, call) ROW(name, return described(call);)
#define STREAM(name, call) ROW(name, return stream_described(call);)
#define BY_NAME(type, name) ((type)dlsym(RTLD_DEFAULT, #name))

FILE_ROW(open, open(path, O_RDONLY))
FILE_ROW(open64, open64(path, O_RDONLY))
FILE_ROW(openat, openat(AT_FDCWD, path, O_RDONLY))
FILE_ROW(openat64, openat64(AT_FDCWD, path, O_RDONLY))
typedef int opening(const char *, int, ...);
FILE_ROW(__open, BY_NAME(opening *, __open)(path, O_RDONLY))
FILE_ROW(__open64, BY_NAME(opening *, __open64)(path, O_RDONLY))
FILE_ROW(__open_2, BY_NAME(opening *, __open_2)(path, O_RDONLY))
FILE_ROW(__open64_2, BY_NAME(opening *, __open64_2)(path, O_RDONLY))
typedef int opening_at(int, const char *, int);
FILE_ROW(__openat_2, BY_NAME(opening_at *, __openat_2)(AT_FDCWD, path, O_RDONLY))
FILE_ROW(__openat64_2, BY_NAME(opening_at *, __openat64_2)(AT_FDCWD, path, O_RDONLY))
STREAM(fopen, fopen(path, "r"))
STREAM(fopen64, fopen64(path, "r"))
STREAM(freopen, freopen(path, "r", stdin))
STREAM(freopen64, freopen64(path, "r", stdin))

STATUS(stat, stat, stat(path, &s))
STATUS(stat64, stat64, stat64(path, &s))
STATUS(lstat, stat, lstat(path, &s))
STATUS(lstat64, stat64, lstat64(path, &s))
STATUS(fstatat, stat, fstatat(AT_FDCWD, path, &s, 0))
STATUS(fstatat64, stat64, fstatat64(AT_FDCWD, path, &s, AT_SYMLINK_NOFOLLOW))
typedef int old_stat(int, const char *, void *);
typedef int old_statat(int, int, const char *, void *, int);
#ifdef __x86_64__
#define LAYOUT 1 /* the kernel's, as libc of this processor numbers it */
#else
#define LAYOUT 0
#endif
#define OLD(name, plain) ROW(name, struct stat s; old_stat *f = BY_NAME(old_stat *, name); errno = UNTOUCHED; \
    return (f ? f(LAYOUT, path, &s) : plain(path, &s)) < 0 ? failed() : done("inode %lu", (unsigned long)s.st_ino);)
OLD(__xstat, stat)
OLD(__xstat64, stat)
OLD(__lxstat, lstat)
OLD(__lxstat64, lstat)
#define OLD_AT(name) ROW(name, struct stat s; old_statat *f = BY_NAME(old_statat *, name); errno = UNTOUCHED; \
    return (f ? f(LAYOUT, AT_FDCWD, path, &s, 0) : stat(path, &s)) < 0 ? failed() : done("inode %lu", (unsigned long)s.st_ino);)
OLD_AT(__fxstatat)
OLD_AT(__fxstatat64)
ROW(syscall, struct statx s; return syscall(SYS_statx, AT_FDCWD, path, 0, STATX_INO, &s) < 0 ? failed() : done("inode %lu", (unsigned long)s.stx_ino);)
ROW(statx, struct statx s; return statx(AT_FDCWD, path, 0, STATX_INO, &s) < 0 ? failed() : done("inode %lu", (unsigned long)s.stx_ino);)

PLAIN(access, access(path, R_OK))
PLAIN(faccessat, faccessat(AT_FDCWD, path, R_OK, 0))
PLAIN(euidaccess, euidaccess(path, R_OK))
PLAIN(eaccess, eaccess(path, R_OK))
ROW(access_write, return access(path, W_OK) < 0 ? failed() : done("");)

#define LINK(name, call) ROW(name, char text[PATH_MAX]; long n = (call); if (n < 0) return failed(); text[n] = 0; return done("%s", text);)
LINK(readlink, readlink(path, text, sizeof text - 1))
LINK(readlinkat, readlinkat(AT_FDCWD, path, text, sizeof text - 1))
typedef ssize_t checked_link(const char *, char *, size_t, size_t);
typedef ssize_t checked_linkat(int, const char *, char *, size_t, size_t);
LINK(__readlink_chk, BY_NAME(checked_link *, __readlink_chk)(path, text, sizeof text - 1, sizeof text))
LINK(__readlinkat_chk, BY_NAME(checked_linkat *, __readlinkat_chk)(AT_FDCWD, path, text, sizeof text - 1, sizeof text))

ROW(statfs, struct statfs s; return statfs(path, &s) < 0 ? failed() : done("");)
ROW(statfs64, struct statfs64 s; return statfs64(path, &s) < 0 ? failed() : done("");)
ROW(statvfs, struct statvfs s; return statvfs(path, &s) < 0 ? failed() : done("");)
ROW(statvfs64, struct statvfs64 s; return statvfs64(path, &s) < 0 ? failed() : done("");)
PLAIN(pathconf, pathconf(path, _PC_NAME_MAX))
PLAIN(inotify_add_watch, inotify_add_watch(inotify_init(), path, IN_CREATE))

#define ATTRIBUTE(name, call) ROW(name, char v[256]; long n = (call); return n < 0 ? failed() : done("%.*s", (int)n, v);)
ATTRIBUTE(getxattr, getxattr(path, "user.cape", v, sizeof v))
ATTRIBUTE(lgetxattr, lgetxattr(path, "user.cape", v, sizeof v))
ATTRIBUTE(listxattr, listxattr(path, v, sizeof v))
ATTRIBUTE(llistxattr, llistxattr(path, v, sizeof v))

ROW(chdir, char text[PATH_MAX]; if (chdir(path)) return failed(); int e = errno; getcwd(text, sizeof text); errno = e; return done("%s", text);)
ROW(fchdir, int d = open(path, O_RDONLY | O_DIRECTORY); if (d < 0 || fchdir(d)) return failed(); return done("");)
ROW(chroot, char text[PATH_MAX]; if (chroot(path) || chdir("/")) return failed(); int there = other ? access(other, R_OK) : 0; getcwd(text, sizeof text); errno = UNTOUCHED; return done("%d in %s", there, text);)

/* ---- walking ---- */

static char found[1 << 16];

ROW(opendir, DIR *d = opendir(path); if (!d) return failed(); int e = errno; unsigned long sum = 0;
    for (struct dirent *x; (x = readdir(d));) if (x->d_name[0] != '.') for (char *c = x->d_name; *c; c++) sum += *c;
    errno = e; return done("names %lu", sum);)
#define SCAN(name, type, call) ROW(name, struct type **list; int n = (call); if (n < 0) return failed(); int e = errno; \
    for (int i = 0; i < n; i++) strcat(strcat(found, list[i]->d_name), " "); errno = e; return done("%s", found);)
SCAN(scandir, dirent, scandir(path, &list, NULL, alphasort))
SCAN(scandir64, dirent64, scandir64(path, &list, NULL, alphasort64))
SCAN(scandirat, dirent, scandirat(AT_FDCWD, path, &list, NULL, alphasort))
SCAN(scandirat64, dirent64, scandirat64(AT_FDCWD, path, &list, NULL, alphasort64))

static int note(const char *path, const struct stat *s, int flag) { (void)s; (void)flag; strcat(strcat(found, path), " "); return 0; }
static int note64(const char *path, const struct stat64 *s, int flag) { (void)s; (void)flag; strcat(strcat(found, path), " "); return 0; }
static int nnote(const char *path, const struct stat *s, int flag, struct FTW *w) { (void)w; return note(path, s, flag); }
static int nnote64(const char *path, const struct stat64 *s, int flag, struct FTW *w) { (void)w; return note64(path, s, flag); }
ROW(ftw, return ftw(path, note, 8) < 0 ? failed() : (errno = UNTOUCHED, done("%s", found));)
ROW(ftw64, return ftw64(path, note64, 8) < 0 ? failed() : (errno = UNTOUCHED, done("%s", found));)
ROW(nftw, return nftw(path, nnote, 8, FTW_PHYS) < 0 ? failed() : (errno = UNTOUCHED, done("%s", found));)
ROW(nftw64, return nftw64(path, nnote64, 8, FTW_PHYS) < 0 ? failed() : (errno = UNTOUCHED, done("%s", found));)
#define FTS_ROW(name, stream, entry, read) ROW(name, char *list[] = {(char *)path, NULL}; stream *s = name(list, FTS_PHYSICAL | FTS_NOCHDIR, NULL); \
    if (!s) return failed(); for (entry *x; (x = read(s));) if (x->fts_info == FTS_NS) { errno = x->fts_errno; return failed(); } \
    else if (x->fts_info != FTS_DP) strcat(strcat(found, x->fts_path), " "); errno = UNTOUCHED; return done("%s", found);)
/* Some compilers' headers leave these out. */
extern FTS64 *fts64_open(char *const *, int, int (*)(const FTSENT64 **, const FTSENT64 **));
extern FTSENT64 *fts64_read(FTS64 *);
typedef int adding_chdir(posix_spawn_file_actions_t *, const char *);
FTS_ROW(fts_open, FTS, FTSENT, fts_read)
FTS_ROW(fts64_open, FTS64, FTSENT64, fts64_read)

#define GLOB_ROW(name, type) ROW(name, type g = {0}; int r = name(path, other ? atoi(other) : 0, NULL, &g); if (r) { printf("glob %d\n", r); return 1; } \
    int e = errno; for (size_t i = 0; i < g.gl_pathc; i++) strcat(strcat(found, g.gl_pathv[i]), " "); errno = e; return done("%s", found);)
GLOB_ROW(glob, glob_t)
GLOB_ROW(glob64, glob64_t)

#define REAL(name, call) ROW(name, char *r = (call); return r ? done("%s", r) : failed();)
static char resolved[PATH_MAX];
REAL(realpath, realpath(path, NULL))
REAL(canonicalize_file_name, canonicalize_file_name(path))
typedef char *checked_real(const char *, char *, size_t);
REAL(__realpath_chk, BY_NAME(checked_real *, __realpath_chk)(path, resolved, sizeof resolved))

/* ---- changes ---- */

FILE_ROW(open_write, open(path, O_WRONLY))
FILE_ROW(open_append, open(path, O_WRONLY | O_APPEND | O_CREAT, 0644))
FILE_ROW(open_create, open(path, O_RDWR | O_CREAT, 0644))
FILE_ROW(open_exclusive, open(path, O_RDWR | O_CREAT | O_EXCL, 0644))
FILE_ROW(open_truncate, open(path, O_WRONLY | O_TRUNC))
FILE_ROW(open_touch, open(path, O_RDONLY | O_CREAT, 0644))
FILE_ROW(creat, creat(path, 0644))
FILE_ROW(creat64, creat64(path, 0644))
STREAM(fopen_write, fopen(path, "w"))
STREAM(fopen_append, fopen(path, "a+"))
STREAM(freopen_write, freopen(path, "r+", stdin))
PLAIN(mkdir, mkdir(path, 0755))
PLAIN(mkdirat, mkdirat(AT_FDCWD, path, 0755))
PLAIN(rmdir, rmdir(path))
PLAIN(unlink, unlink(path))
PLAIN(unlinkat, unlinkat(AT_FDCWD, path, 0))
PLAIN(remove, remove(path))
PLAIN(mknod, mknod(path, S_IFREG | 0644, 0))
PLAIN(mknodat, mknodat(AT_FDCWD, path, S_IFREG | 0644, 0))
typedef int old_mknod(int, const char *, mode_t, dev_t *);
typedef int old_mknodat(int, int, const char *, mode_t, dev_t *);
static dev_t no_device;
ROW(__xmknod, old_mknod *f = BY_NAME(old_mknod *, __xmknod); errno = UNTOUCHED; return f(0, path, S_IFREG | 0644, &no_device) < 0 ? failed() : done("");)
ROW(__xmknodat, old_mknodat *f = BY_NAME(old_mknodat *, __xmknodat); errno = UNTOUCHED; return f(0, AT_FDCWD, path, S_IFREG | 0644, &no_device) < 0 ? failed() : done("");)
PLAIN(mkfifo, mkfifo(path, 0644))
PLAIN(mkfifoat, mkfifoat(AT_FDCWD, path, 0644))
PLAIN(symlink, symlink("text", path))
PLAIN(symlinkat, symlinkat("text", AT_FDCWD, path))
PLAIN(link, link(path, other))
PLAIN(linkat, linkat(AT_FDCWD, path, AT_FDCWD, other, 0))
PLAIN(rename, rename(path, other))
PLAIN(renameat, renameat(AT_FDCWD, path, AT_FDCWD, other))
PLAIN(renameat2, renameat2(AT_FDCWD, path, AT_FDCWD, other, 0))
PLAIN(chmod, chmod(path, 0600))
PLAIN(lchmod, lchmod(path, 0600))
PLAIN(fchmodat, fchmodat(AT_FDCWD, path, 0600, 0))
PLAIN(chown, chown(path, -1, -1))
PLAIN(lchown, lchown(path, -1, -1))
PLAIN(fchownat, fchownat(AT_FDCWD, path, -1, -1, 0))
PLAIN(truncate, truncate(path, 1))
PLAIN(truncate64, truncate64(path, 1))
PLAIN(utime, utime(path, NULL))
PLAIN(utimes, utimes(path, NULL))
PLAIN(lutimes, lutimes(path, NULL))
PLAIN(futimesat, futimesat(AT_FDCWD, path, NULL))
PLAIN(utimensat, utimensat(AT_FDCWD, path, NULL, 0))
PLAIN(setxattr, setxattr(path, "user.cape2", "1", 1, 0))
PLAIN(lsetxattr, lsetxattr(path, "user.cape2", "1", 1, 0))
PLAIN(removexattr, removexattr(path, "user.cape"))
PLAIN(lremovexattr, lremovexattr(path, "user.cape"))
#define OPENED(name, call) ROW(name, int d = open(path, O_RDONLY); if (d < 0) return failed(); errno = UNTOUCHED; return (call) < 0 ? failed() : done("");)
OPENED(fchmod, fchmod(d, 0600))
OPENED(fchown, fchown(d, -1, -1))
OPENED(futimens, futimens(d, NULL))
OPENED(futimes, futimes(d, NULL))
OPENED(fsetxattr, fsetxattr(d, "user.cape2", "1", 1, 0))
OPENED(fremovexattr, fremovexattr(d, "user.cape"))
#define TEMPORARY(name, ...) ROW(name, char t[4 * PATH_MAX]; strcpy(t, path); int d = name(t __VA_ARGS__); if (d < 0) return failed(); \
    errno = UNTOUCHED; struct stat a, b; int same = fstat(d, &a) == 0 && stat(t, &b) == 0 && a.st_ino == b.st_ino; return done("%s", same ? "named" : t);)
TEMPORARY(mkstemp, )
TEMPORARY(mkstemp64, )
TEMPORARY(mkostemp, , O_CLOEXEC)
TEMPORARY(mkostemp64, , O_CLOEXEC)
TEMPORARY(mkstemps, , 0)
TEMPORARY(mkstemps64, , 0)
TEMPORARY(mkostemps, , 0, O_CLOEXEC)
TEMPORARY(mkostemps64, , 0, O_CLOEXEC)
ROW(mkdtemp, char t[4 * PATH_MAX]; strcpy(t, path); if (!mkdtemp(t)) return failed(); errno = UNTOUCHED; return done("%s", access(t, R_OK) ? t : "named");)
/* Through a descriptor of the directory that holds the file. */
ROW(unlinkat_below, int d = open(path, O_RDONLY | O_DIRECTORY); return unlinkat(d, other, 0) < 0 ? failed() : done("");)

/* ---- starting programs ---- */

static char *const command[] = {"zero", "one", NULL};
ROW(execve, execve(path, command, environ); return failed();)
ROW(execv, execv(path, command); return failed();)
ROW(execvp, execvp(path, command); return failed();)
ROW(execvpe, execvpe(path, command, environ); return failed();)
ROW(execl, execl(path, "zero", "one", NULL); return failed();)
ROW(execlp, execlp(path, "zero", "one", NULL); return failed();)
ROW(execle, execle(path, "zero", "one", NULL, environ); return failed();)
typedef int executing_at(int, const char *, char *const *, char *const *, int);
ROW(execveat, BY_NAME(executing_at *, execveat)(AT_FDCWD, path, command, environ, 0); return failed();)
static int waited(int error, pid_t process)
{
    int status = 0;
    if (error) {
        errno = error;
        return failed();
    }
    int e = errno;
    waitpid(process, &status, 0);
    errno = e;
    return done("status %d", status);
}
ROW(posix_spawn, pid_t p; return waited(posix_spawn(&p, path, NULL, NULL, command, environ), p);)
ROW(posix_spawnp, pid_t p; return waited(posix_spawnp(&p, path, NULL, NULL, command, environ), p);)
ROW(posix_spawn_file_actions_addopen, pid_t p; posix_spawn_file_actions_t a; posix_spawn_file_actions_init(&a);
    posix_spawn_file_actions_addopen(&a, 0, other, O_RDONLY, 0); return waited(posix_spawn(&p, path, &a, NULL, command, environ), p);)
ROW(posix_spawn_file_actions_addchdir_np, pid_t p; posix_spawn_file_actions_t a; posix_spawn_file_actions_init(&a);
    BY_NAME(adding_chdir *, posix_spawn_file_actions_addchdir_np)(&a, other); errno = UNTOUCHED; return waited(posix_spawn(&p, path, &a, NULL, command, environ), p);)
ROW(system, int r = system(path); return done("status %d", r);)
ROW(popen, char line[4096] = ""; FILE *f = popen(path, "r"); if (!f) return failed(); fgets(line, sizeof line, f); errno = UNTOUCHED; int r = pclose(f); return done("status %d %s", r, line);)
ROW(pclose, return row_popen(path, other);)
ROW(fclose, char line[4096] = ""; FILE *f = popen(path, "r"); if (!f) return failed(); fgets(line, sizeof line, f); errno = UNTOUCHED; int r = fclose(f); return done("status %d %s", r, line);)
ROW(popen_write, FILE *f = popen(path, "w"); if (!f) return failed(); fputs("given\n", f); int r = pclose(f); errno = UNTOUCHED; return done("status %d", r);)
ROW(vfork, pid_t p = vfork(); if (!p) { execve(path, command, environ); _exit(9); } errno = UNTOUCHED; return waited(0, p);)
ROW(fork_open, pid_t p = fork(); if (!p) { int d = open(path, O_RDONLY); _exit(d < 0 ? 9 : 0); } return waited(0, p);)

/* ---- lending and loading ---- */

ROW(setlocale, const char *r = setlocale(LC_CTYPE, path); return done("%s lent=%s", r ? r : "none", getenv("LOCPATH") ? "still" : "no");)
locale_t __newlocale(int mask, const char *name, locale_t base);
ROW(__newlocale, locale_t r = __newlocale(LC_CTYPE_MASK, path, NULL); errno = UNTOUCHED; return done("%s lent=%s", r ? "there" : "none", getenv("LOCPATH") ? "still" : "no");)
ROW(newlocale, locale_t r = newlocale(LC_CTYPE_MASK, path, NULL); errno = UNTOUCHED; return done("%s lent=%s", r ? "there" : "none", getenv("LOCPATH") ? "still" : "no");)
ROW(iconv_open, iconv_t r = iconv_open("UTF-8", path); errno = UNTOUCHED; return done("%s lent=%s", r != (iconv_t)-1 ? "there" : "none", getenv("GCONV_PATH") ? "still" : "no");)
/* As the iconv program of glibc 2.32 and later calls it, with names in their normal form. */
ROW(__gconv_open, char from[64]; struct { char *from, *to; char translit, ignore; } names = {from, "ISO-10646/UTF8/", 0, 0}; void *handle;
    if (strcmp(gnu_get_libc_version(), "2.32") < 0) return done(strcmp(path, "CAPE-CHARSET") || !getenv("LD_PRELOAD") ? "none lent=no" : "there lent=no");
    sprintf(from, "%s//", path); int r = BY_NAME(int (*)(void *, void *, int), __gconv_open)(&names, &handle, 0);
    errno = UNTOUCHED; return done("%s lent=%s", r == 0 ? "there" : "none", getenv("GCONV_PATH") ? "still" : "no");)
ROW(bindtextdomain, char *r = bindtextdomain("cape", path); return r ? done("%s", r) : failed();)
ROW(catopen, nl_catd r = catopen(path, 0); if (r == (nl_catd)-1) return failed(); errno = UNTOUCHED; return done("%s", catgets(r, 1, 1, "no message"));)
ROW(dlopen, void *r = dlopen(path, RTLD_NOW); if (!r) { printf("%s\n", dlerror()); return 1; } const char *(*f)(void) = (const char *(*)(void))dlsym(r, "whoami"); errno = UNTOUCHED; return done("%s", f ? f() : "?");)
ROW(dlmopen, void *r = dlmopen(LM_ID_BASE, path, RTLD_NOW); if (!r) { printf("%s\n", dlerror()); return 1; } const char *(*f)(void) = (const char *(*)(void))dlsym(r, "whoami"); errno = UNTOUCHED; return done("%s", f ? f() : "?");)
/* A library at PATH that opens OTHER by its bare name. */
ROW(dlopen_from, void *r = dlopen(path, RTLD_NOW); if (!r) { printf("%s\n", dlerror()); return 1; }
    const char *(*f)(const char *) = (const char *(*)(const char *))dlsym(r, "whois"); const char *w = f(other); errno = UNTOUCHED; return done("%s", w);)

/* ---- sockets ---- */

static socklen_t address_of(struct sockaddr_un *address, const char *path)
{
    size_t length = strlen(path);
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, length); /* one of 108 letters has no zero after it */
    return offsetof(struct sockaddr_un, sun_path) + length;
}
static int unix_socket(int type) { int e = errno, d = socket(AF_UNIX, type, 0); errno = e; return d; }
#define SOCKET(name, type, ...) ROW(name, struct sockaddr_un a; socklen_t n = address_of(&a, path); int d = unix_socket(type); __VA_ARGS__)
SOCKET(bind, SOCK_STREAM, struct stat s; if (bind(d, (void *)&a, n)) return failed(); return lstat(path, &s) ? failed() : done("inode %lu", (unsigned long)s.st_ino);)
SOCKET(connect, SOCK_STREAM, return connect(d, (void *)&a, n) ? failed() : done("");)
SOCKET(sendto, SOCK_DGRAM, return sendto(d, "one", 3, 0, (void *)&a, n) < 0 ? failed() : done("");)
SOCKET(sendmsg, SOCK_DGRAM, struct iovec v = {"one", 3}; struct msghdr m = {.msg_name = &a, .msg_namelen = n, .msg_iov = &v, .msg_iovlen = 1};
    return sendmsg(d, &m, 0) < 0 ? failed() : done("");)
/* A service and who calls it. */
SOCKET(talk, SOCK_STREAM, char text[8] = ""; int other_end = unix_socket(SOCK_STREAM); unlink(path); errno = UNTOUCHED;
    if (bind(d, (void *)&a, n) || chmod(path, 0600) || listen(d, 1) || connect(other_end, (void *)&a, n)) return failed();
    int e = errno; write(other_end, "hello", 5); read(accept(d, NULL, NULL), text, 5); errno = e; return done("%s", text);)

/* ---- many at once ---- */

static const char *shared_path;
static volatile int wrong;
static void *reading(void *number)
{
    char text[64];
    for (int i = 0; i < 3000; i++) {
        int d = open(shared_path, O_RDONLY);
        if (d < 0 || read(d, text, 4) != 4 || memcmp(text, "tree", 4))
            wrong++;
        close(d);
        locale_t made = (long)number % 2 == 0 && i % 10 == 0 ? newlocale(LC_ALL_MASK, "C.UTF-8", NULL) : NULL;
        if (made)
            freelocale(made);
        const char *kept = getenv("KEPT");
        if (!kept || strcmp(kept, "kept"))
            wrong++;
    }
    return NULL;
}
ROW(threads, pthread_t all[8]; shared_path = path; setenv("KEPT", "kept", 1);
    for (long i = 0; i < 8; i++) pthread_create(&all[i], NULL, reading, (void *)i);
    for (int i = 0; i < 20; i++) { pid_t p = fork(); if (!p) { alarm(10); if (open(path, O_RDONLY) < 0) _exit(9); _exit(0); }
        int s; waitpid(p, &s, 0); wrong += s != 0; }
    for (int i = 0; i < 8; i++) pthread_join(all[i], NULL);
    errno = UNTOUCHED; return done("wrong %d", wrong);)

static volatile int handled;
static void handler(int number)
{
    (void)number;
    int d = open(shared_path, O_RDONLY);
    if (d < 0)
        wrong++;
    close(d);
    handled++;
}
ROW(signals, static char stack[16384]; stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack}; shared_path = path;
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART | SA_ONSTACK}; struct itimerval every = {{0, 500}, {0, 500}};
    sigaltstack(&alternate, NULL); sigaction(SIGALRM, &action, NULL); setitimer(ITIMER_REAL, &every, NULL);
    for (int i = 0; i < 20000; i++) { errno = UNTOUCHED; int d = open(path, O_RDONLY); if (d < 0 || errno != UNTOUCHED) wrong++; close(d); }
    every = (struct itimerval){0}; setitimer(ITIMER_REAL, &every, NULL); errno = UNTOUCHED;
    return done("wrong %d handled %s", wrong, handled > 3 ? "often" : "seldom");)

/* Whatever a handler may call, while the calls that it interrupts look things up, lend and allocate. */
static void busy(int number)
{
    struct stat s;
    struct sockaddr_un a;
    char text[64];
    int saved = errno, d = open(shared_path, O_RDONLY);
    wrong += d < 0 || stat(shared_path, &s) || access(shared_path, R_OK) || faccessat(AT_FDCWD, shared_path, R_OK, AT_EACCESS);
    wrong += readlink("/usr/share/cape/link", text, sizeof text) != 4 || open("/usr/share/cape/none", O_RDONLY) >= 0;
    wrong += !unlink(shared_path) || errno != EROFS || !mkdir("/usr/share/cape/new", 0755) || errno != EROFS;
    wrong += !rename(shared_path, "/usr/share/cape/new") || errno != EROFS || !chmod(shared_path, 0600) || errno != EROFS;
    wrong += !fchmodat(AT_FDCWD, shared_path, 0600, AT_SYMLINK_NOFOLLOW) || !fchmod(d, 0600) || errno != EROFS;
    wrong += !connect(number, (void *)&a, address_of(&a, "/run/cape-none")) || (errno != ENOTSOCK && errno != EBADF);
    close(d);
    handled++;
    errno = saved;
}
ROW(handlers, static char stack[65536]; stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack}; shared_path = path; glob_t g; char line[64];
    struct sigaction action = {.sa_handler = busy, .sa_flags = SA_RESTART | SA_ONSTACK}; struct itimerval every = {{0, 300}, {0, 300}};
    sigaltstack(&alternate, NULL); sigaction(SIGALRM, &action, NULL); setitimer(ITIMER_REAL, &every, NULL);
    for (int i = 0; i < 400; i++) {
        locale_t l = newlocale(LC_CTYPE_MASK, "C.UTF-8", NULL); if (l) freelocale(l);
        iconv_t c = iconv_open("UTF-8", "UTF-16"); if (c != (iconv_t)-1) iconv_close(c);
        wrong += glob("/usr/share/cape/d*/*", 0, NULL, &g) != 0 || g.gl_pathc != 2; globfree(&g);
        char t[] = "/var/lib/cape/tXXXXXX"; int d = mkstemp(t); wrong += d < 0 || unlink(t); close(d);
        DIR *r = opendir("/usr/share/cape"); wrong += !r; if (r) closedir(r);
        char *real = realpath(path, NULL); wrong += !real; free(real);
        wrong += dlopen("/usr/lib/libcapenone.so", RTLD_NOW) != NULL;
        if (i % 20 == 0) { FILE *f = popen("true", "r"); wrong += !f || !fgets(line, sizeof line, f); if (f) pclose(f); }
        d = open("/var/lib/cape/kept", O_WRONLY | O_CREAT | O_TRUNC, 0644); wrong += d < 0; close(d);
    }
    every = (struct itimerval){0}; setitimer(ITIMER_REAL, &every, NULL); errno = UNTOUCHED;
    return done("wrong %d handled %s", wrong, handled > 20 ? "often" : "seldom");)

#define R(name) {#name, row_##name}
static const struct { const char *name; int (*run)(const char *, const char *); } rows[] = {
    R(open), R(open64), R(openat), R(openat64), R(__open), R(__open64), R(__open_2), R(__open64_2), R(__openat_2), R(__openat64_2),
    R(fopen), R(fopen64), R(freopen), R(freopen64), R(stat), R(stat64), R(lstat), R(lstat64), R(fstatat), R(fstatat64),
    R(__xstat), R(__xstat64), R(__lxstat), R(__lxstat64), R(__fxstatat), R(__fxstatat64), R(statx), R(syscall),
    R(access), R(faccessat), R(euidaccess), R(eaccess), R(access_write), R(readlink), R(readlinkat), R(__readlink_chk), R(__readlinkat_chk),
    R(statfs), R(statfs64), R(statvfs), R(statvfs64), R(pathconf), R(inotify_add_watch),
    R(getxattr), R(lgetxattr), R(listxattr), R(llistxattr), R(chdir), R(fchdir), R(chroot),
    R(opendir), R(scandir), R(scandir64), R(scandirat), R(scandirat64), R(ftw), R(ftw64), R(nftw), R(nftw64), R(fts_open), R(fts64_open),
    R(glob), R(glob64), R(realpath), R(canonicalize_file_name), R(__realpath_chk),
    R(open_write), R(open_append), R(open_create), R(open_exclusive), R(open_truncate), R(open_touch), R(creat), R(creat64),
    R(fopen_write), R(fopen_append), R(freopen_write), R(mkdir), R(mkdirat), R(rmdir), R(unlink), R(unlinkat), R(remove),
    R(mknod), R(mknodat), R(__xmknod), R(__xmknodat), R(mkfifo), R(mkfifoat), R(symlink), R(symlinkat), R(link), R(linkat),
    R(rename), R(renameat), R(renameat2), R(chmod), R(lchmod), R(fchmodat), R(chown), R(lchown), R(fchownat), R(truncate), R(truncate64),
    R(utime), R(utimes), R(lutimes), R(futimesat), R(utimensat), R(setxattr), R(lsetxattr), R(removexattr), R(lremovexattr),
    R(fchmod), R(fchown), R(futimens), R(futimes), R(fsetxattr), R(fremovexattr),
    R(mkstemp), R(mkstemp64), R(mkostemp), R(mkostemp64), R(mkstemps), R(mkstemps64), R(mkostemps), R(mkostemps64), R(mkdtemp), R(unlinkat_below),
    R(execve), R(execv), R(execvp), R(execvpe), R(execl), R(execlp), R(execle), R(execveat), R(posix_spawn), R(posix_spawnp),
    R(posix_spawn_file_actions_addopen), R(posix_spawn_file_actions_addchdir_np), R(system), R(popen), R(pclose), R(fclose), R(popen_write), R(vfork), R(fork_open),
    R(setlocale), R(newlocale), R(__newlocale), R(iconv_open), R(__gconv_open), R(bindtextdomain), R(catopen), R(dlopen), R(dlmopen), R(dlopen_from), R(bind), R(connect), R(sendto), R(sendmsg), R(talk), R(threads), R(signals), R(handlers),
};

int main(int count, char **arguments)
{
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    for (size_t i = 0; count > 2 && i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].name, arguments[1]) == 0) {
            int result = rows[i].run(arguments[2], count > 3 ? arguments[3] : NULL);
            fflush(stdout);
            return result;
        }
    fprintf(stderr, "no row\n");
    return 77;
}
