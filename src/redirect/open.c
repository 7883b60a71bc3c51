/* Opening files: descriptors and streams. */
#include "redirect.h"
#include <stdarg.h>
#include <stdio.h>

int cape_openat(int directory, const char *path, int flags, mode_t mode)
{
    static int (*found)(int, const char *, int, ...);
    int (*real)(int, const char *, int, ...) = __atomic_load_n(&found, __ATOMIC_RELAXED);
    if (!real) {
        real = (int (*)(int, const char *, int, ...))cape_behind("openat");
        __atomic_store_n(&found, real, __ATOMIC_RELAXED);
    }
    /* libc's own, and not the system call, as it is a point where a thread may be cancelled. */
    return real ? real(directory, path, flags, mode) : (int)syscall(SYS_openat, directory, path, flags, mode);
}

static bool writes(int flags)
{
    if (flags & O_PATH)
        return false;
    return (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC) || (flags & O_TMPFILE) == O_TMPFILE;
}

static APART int open_to_write(int directory, const char *path, int flags, mode_t mode)
{
    struct cape_route route;
    path = cape_change_open(&route, directory, path, &flags);
    return path ? cape_openat(directory, path, flags, mode) : -1;
}

/* Opens a file for root, whom no mode stops, if no symlink is met on the way: then the text of its path has
 * told where it lies, and neither file nor directory need be asked. Gives NOT_OPENED otherwise. libc has
 * no openat2, so this is no point of cancellation. */
enum { NOT_OPENED = -2 };

static int open_without_links(int directory, const char *path, int flags, mode_t mode)
{
    static bool missing; /* before Linux 5.6 */
    struct {
        uint64_t flags, mode, resolve;
    } how = {.flags = (unsigned)flags, .resolve = 4 /* RESOLVE_NO_SYMLINKS */};
    if (missing || !cape_is_elsewhere_without_links(directory, path))
        return NOT_OPENED;
    if (flags & (O_CREAT | __O_TMPFILE))
        how.mode = mode & 07777;
    int saved = errno;
    int result = (int)syscall(437 /* openat2 */, directory, path, &how, sizeof how);
    if (LIKELY(result >= 0) || (errno != ELOOP && errno != ENOSYS && errno != EINVAL && errno != EPERM))
        return result;
    missing = missing || errno == ENOSYS;
    errno = saved;
    return NOT_OPENED;
}

static APART int open_to_read(int directory, const char *given, int flags, mode_t mode)
{
    struct cape_route route;
    int result = -1;
    cape_route(&route, given, flags & O_DIRECTORY ? FOR_LISTING : FOR_READING);
    for (const char *path; (path = cape_next(&route));) {
        result = cape_openat(directory, path, flags, mode);
        if (result >= 0 || !cape_again(&route))
            break;
    }
    if (result >= 0)
        errno = route.saved_errno;
    return result;
}

static int open_any(int directory, const char *path, int flags, mode_t mode)
{
    if (writes(flags) ? !cape_change_concerns(directory, path) : !cape_concerns(path))
        return cape_openat(directory, path, flags, mode);
    if (!writes(flags))
        return open_to_read(directory, path, flags, mode);
    int result = cape_places.all_powerful ? open_without_links(directory, path, flags, mode) : NOT_OPENED;
    return result != NOT_OPENED ? result : open_to_write(directory, path, flags, mode);
}

#define OPEN(name)                                                                     \
    EXPORT int name(const char *path, int flags, ...)                                  \
    {                                                                                  \
        va_list rest;                                                                  \
        va_start(rest, flags);                                                         \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;      \
        va_end(rest);                                                                  \
        return open_any(AT_FDCWD, path, flags, mode);                                  \
    }
OPEN(open)
OPEN(open64)
OPEN(__open)
OPEN(__open64)

#define OPENAT(name)                                                                   \
    EXPORT int name(int directory, const char *path, int flags, ...)                   \
    {                                                                                  \
        va_list rest;                                                                  \
        va_start(rest, flags);                                                         \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;      \
        va_end(rest);                                                                  \
        return open_any(directory, path, flags, mode);                                 \
    }
OPENAT(openat)
OPENAT(openat64)

EXPORT int __open_2(const char *path, int flags) { return open_any(AT_FDCWD, path, flags, 0); }
EXPORT int __open64_2(const char *path, int flags) { return open_any(AT_FDCWD, path, flags, 0); }
EXPORT int __openat_2(int directory, const char *path, int flags) { return open_any(directory, path, flags, 0); }
EXPORT int __openat64_2(int directory, const char *path, int flags) { return open_any(directory, path, flags, 0); }

EXPORT int creat(const char *path, mode_t mode)
{
    return open_any(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}
EXPORT int creat64(const char *path, mode_t mode)
{
    return open_any(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}

/* ---- streams ---- */

/* The flags of open(2) for a mode of fopen(3). */
static int stream_flags(const char *mode)
{
    int flags = mode[0] == 'w' ? O_WRONLY | O_CREAT | O_TRUNC : mode[0] == 'a' ? O_WRONLY | O_CREAT : O_RDONLY;
    for (const char *letter = mode + 1; *mode && *letter && *letter != ','; letter++) {
        if (*letter == '+')
            flags = (flags & ~O_ACCMODE) | O_RDWR;
        if (*letter == 'x')
            flags |= O_EXCL;
    }
    return flags;
}

typedef FILE *opener(const char *path, const char *mode);

static APART FILE *stream_to_write(opener *real, const char *path, const char *mode, int flags)
{
    struct cape_route route;
    path = cape_change_open(&route, AT_FDCWD, path, &flags);
    return path ? real(path, mode) : NULL;
}

static APART FILE *stream_to_read(opener *real, const char *given, const char *mode)
{
    struct cape_route route;
    FILE *stream = NULL;
    cape_route(&route, given, FOR_READING);
    for (const char *path; (path = cape_next(&route));) {
        stream = real(path, mode);
        if (stream || !cape_again(&route))
            break;
    }
    if (stream)
        errno = route.saved_errno;
    return stream;
}

static FILE *stream_any(opener *real, const char *path, const char *mode)
{
    int flags = stream_flags(mode);
    if (writes(flags))
        return cape_change_concerns(AT_FDCWD, path) ? stream_to_write(real, path, mode, flags) : real(path, mode);
    return cape_concerns(path) ? stream_to_read(real, path, mode) : real(path, mode);
}

EXPORT FILE *fopen(const char *path, const char *mode) { return stream_any(BEHIND(fopen), path, mode); }
EXPORT FILE *fopen64(const char *path, const char *mode) { return stream_any(BEHIND(fopen64), path, mode); }

/* The old stream is closed whatever happens, so the file is chosen before. */
static APART FILE *reopen(FILE *(*real)(const char *, const char *, FILE *), const char *path, const char *mode,
                          FILE *stream)
{
    struct cape_route route;
    int flags = stream_flags(mode);
    if (writes(flags)) {
        path = cape_change_open(&route, AT_FDCWD, path, &flags);
        if (!path) {
            int error = errno;
            fclose(stream);
            errno = error;
            return NULL;
        }
    } else {
        cape_route(&route, path, FOR_READING);
        path = cape_pick(&route);
    }
    return real(path, mode, stream);
}

EXPORT FILE *freopen(const char *path, const char *mode, FILE *stream)
{
    if (!cape_change_concerns(AT_FDCWD, path))
        return BEHIND(freopen)(path, mode, stream);
    return reopen(BEHIND(freopen), path, mode, stream);
}
EXPORT FILE *freopen64(const char *path, const char *mode, FILE *stream)
{
    if (!cape_change_concerns(AT_FDCWD, path))
        return BEHIND(freopen64)(path, mode, stream);
    return reopen(BEHIND(freopen64), path, mode, stream);
}
