/* Calls that ask about a file: stat, access, readlink, statfs, extended attributes, and chdir. Most are
 * made as system calls, so that they need nothing of libc. */
#include "redirect.h"
#include <sys/inotify.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

/* On both processors that we build for, libc's struct stat is the kernel's. */
static int status_at(int directory, const char *path, void *status, int flags)
{
    return (int)syscall(SYS_newfstatat, directory, path, status, flags);
}

#define STAT(name, type, flags)                                                                     \
    CAPE_READ(int, -1, name, (const char *path, struct type *status), (path, status), FOR_READING, \
              status_at(AT_FDCWD, path, status, flags))
STAT(stat, stat, 0)
STAT(stat64, stat64, 0)
STAT(lstat, stat, AT_SYMLINK_NOFOLLOW)
STAT(lstat64, stat64, AT_SYMLINK_NOFOLLOW)

#define FSTATAT(name, type)                                                                       \
    CAPE_READ(int, -1, name, (int directory, const char *path, struct type *status, int flags), \
              (directory, path, status, flags), FOR_READING, status_at(directory, path, status, flags))
FSTATAT(fstatat, stat)
FSTATAT(fstatat64, stat64)

/* The names that programs built before glibc 2.33 use. `version` is always the kernel's layout. */
#define XSTAT(name, type, flags)                                                                          \
    CAPE_READ(int, -1, name, (int version __attribute__((unused)), const char *path, struct type *status), \
              (version, path, status), FOR_READING, status_at(AT_FDCWD, path, status, flags))
XSTAT(__xstat, stat, 0)
XSTAT(__xstat64, stat64, 0)
XSTAT(__lxstat, stat, AT_SYMLINK_NOFOLLOW)
XSTAT(__lxstat64, stat64, AT_SYMLINK_NOFOLLOW)

#define FXSTATAT(name, type)                                                                   \
    CAPE_READ(int, -1, name,                                                                   \
              (int version __attribute__((unused)), int directory, const char *path, struct type *status, int flags), \
              (version, directory, path, status, flags), FOR_READING, status_at(directory, path, status, flags))
FXSTATAT(__fxstatat, stat)
FXSTATAT(__fxstatat64, stat64)

CAPE_READ(int, -1, statx, (int directory, const char *path, int flags, unsigned mask, struct statx *status),
          (directory, path, flags, mask, status), FOR_READING,
          (int)syscall(SYS_statx, directory, path, flags, mask, status))

/* libuv, and with it every node of Debian, asks for statx by its number. No other number is looked at: whoever
 * calls the kernel past libc mostly wants just that. */
EXPORT long cape_by_number(long number, long a, long b, long c, long d, long e, long f) __asm__("syscall");
EXPORT long cape_by_number(long number, long a, long b, long c, long d, long e, long f)
{
    if (number == SYS_statx)
        return statx((int)a, (const char *)b, (int)c, (unsigned)d, (struct statx *)e);
    return cape_kernel(number, a, b, c, d, e, f);
}

CAPE_READ(ssize_t, -1, readlink, (const char *path, char *text, size_t size), (path, text, size), FOR_READING,
          syscall(SYS_readlinkat, AT_FDCWD, path, text, size))
CAPE_READ(ssize_t, -1, readlinkat, (int directory, const char *path, char *text, size_t size),
          (directory, path, text, size), FOR_READING, syscall(SYS_readlinkat, directory, path, text, size))
extern void __chk_fail(void) __attribute__((noreturn));
EXPORT ssize_t __readlink_chk(const char *path, char *text, size_t size, size_t room)
{
    if (size > room)
        __chk_fail();
    return readlink(path, text, size);
}
EXPORT ssize_t __readlinkat_chk(int directory, const char *path, char *text, size_t size, size_t room)
{
    if (size > room)
        __chk_fail();
    return readlinkat(directory, path, text, size);
}

/* statvfs is computed from statfs inside libc, so the real one gets the path. */
CAPE_READ(int, -1, statfs, (const char *path, struct statfs *status), (path, status), FOR_READING,
          (int)syscall(SYS_statfs, path, status))
CAPE_READ(int, -1, statfs64, (const char *path, struct statfs64 *status), (path, status), FOR_READING,
          (int)syscall(SYS_statfs, path, status))
CAPE_READ(int, -1, statvfs, (const char *path, struct statvfs *status), (path, status), FOR_READING,
          BEHIND(statvfs)(path, status))
CAPE_READ(int, -1, statvfs64, (const char *path, struct statvfs64 *status), (path, status), FOR_READING,
          BEHIND(statvfs64)(path, status))
CAPE_READ(long, -1, pathconf, (const char *path, int name), (path, name), FOR_READING,
          BEHIND(pathconf)(path, name))

CAPE_READ(ssize_t, -1, getxattr, (const char *path, const char *name, void *value, size_t size),
          (path, name, value, size), FOR_READING, syscall(SYS_getxattr, path, name, value, size))
CAPE_READ(ssize_t, -1, lgetxattr, (const char *path, const char *name, void *value, size_t size),
          (path, name, value, size), FOR_READING, syscall(SYS_lgetxattr, path, name, value, size))
CAPE_READ(ssize_t, -1, listxattr, (const char *path, char *list, size_t size), (path, list, size), FOR_READING,
          syscall(SYS_listxattr, path, list, size))
CAPE_READ(ssize_t, -1, llistxattr, (const char *path, char *list, size_t size), (path, list, size), FOR_READING,
          syscall(SYS_llistxattr, path, list, size))

CAPE_READ(int, -1, inotify_add_watch, (int descriptor, const char *path, uint32_t mask), (descriptor, path, mask),
          FOR_LISTING, (int)syscall(SYS_inotify_add_watch, descriptor, path, mask))

/* ---- access ---- */

static int access_at(int directory, const char *path, int mode, int flags)
{
    if (!flags)
        return (int)syscall(SYS_faccessat, directory, path, mode);
    return BEHIND(faccessat)(directory, path, mode, flags);
}

static int access_read(int directory, const char *given, int mode, int flags)
{
    struct cape_route route;
    int result = -1;
    cape_route(&route, given, mode & X_OK ? FOR_RUNNING : FOR_READING);
    for (const char *path; (path = cape_next(&route));) {
        result = access_at(directory, path, mode, flags);
        if (!result || !cape_again(&route))
            break;
    }
    if (!result)
        errno = route.saved_errno;
    return result;
}

/* Whether a file may be written: not in the tree; in the overlay always, as a change is copied up. */
static APART int access_write(int directory, const char *path, int mode, int flags)
{
    enum cape_verdict verdict = cape_judge(directory, path);
    bool led = verdict == CAPE_PASS && cape_places.all_powerful && cape_leads_inside(directory, path, true);
    if (verdict == CAPE_PASS && !led)
        return access_at(directory, path, mode, flags);
    int result = path[0] == '/' && !led ? access_read(directory, path, mode & ~W_OK, flags)
                                : access_at(directory, path, mode & ~W_OK, flags);
    if (result || verdict == CAPE_OVERLAY)
        return result;
    errno = EROFS;
    return -1;
}

static int access_any(int directory, const char *path, int mode, int flags)
{
    if (mode & W_OK)
        return cape_change_concerns(directory, path) ? access_write(directory, path, mode, flags)
                                                     : access_at(directory, path, mode, flags);
    return cape_concerns(path) ? access_read(directory, path, mode, flags)
                               : access_at(directory, path, mode, flags);
}

EXPORT int access(const char *path, int mode) { return access_any(AT_FDCWD, path, mode, 0); }
EXPORT int faccessat(int directory, const char *path, int mode, int flags)
{
    return access_any(directory, path, mode, flags);
}
EXPORT int euidaccess(const char *path, int mode) { return access_any(AT_FDCWD, path, mode, AT_EACCESS); }
EXPORT int eaccess(const char *path, int mode) { return access_any(AT_FDCWD, path, mode, AT_EACCESS); }

/* ---- the working directory ---- */

static int change_directory(const char *path)
{
    int result = (int)syscall(SYS_chdir, path);
    cape_forget_directory();
    return result;
}

CAPE_READ(int, -1, chdir, (const char *path), (path), FOR_LISTING, change_directory(path))

EXPORT int fchdir(int descriptor)
{
    int result = (int)syscall(SYS_fchdir, descriptor);
    cape_forget_directory();
    return result;
}

/* In another root nothing of ours has the path that we know it by. */
static int change_root(const char *path)
{
    int result = (int)syscall(SYS_chroot, path);
    if (!result)
        cape_switch_off();
    return result;
}

CAPE_READ(int, -1, chroot, (const char *path), (path), FOR_LISTING, change_root(path))
