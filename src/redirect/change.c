/* Calls that change a name or a file: made, removed, renamed, linked, and its mode, owner and times.
 * Those on a descriptor are refused below the environment too, as it may have been opened for reading. */
#include "redirect.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <utime.h>

#define SYSTEM(...) ((int)syscall(__VA_ARGS__))

/* ---- made and removed ---- */

#define CHANGE(name, parameters, arguments, change, directory, call) \
    CAPE_CHANGE(int, -1, name, parameters, arguments, change, directory, call)

CHANGE(mkdir, (const char *path, mode_t mode), (path, mode), CHANGE_CREATE, AT_FDCWD,
       SYSTEM(SYS_mkdirat, AT_FDCWD, path, mode))
CHANGE(mkdirat, (int directory, const char *path, mode_t mode), (directory, path, mode), CHANGE_CREATE, directory,
       SYSTEM(SYS_mkdirat, directory, path, mode))
CHANGE(rmdir, (const char *path), (path), CHANGE_REMOVE, AT_FDCWD,
       SYSTEM(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR))
CHANGE(unlink, (const char *path), (path), CHANGE_REMOVE, AT_FDCWD, SYSTEM(SYS_unlinkat, AT_FDCWD, path, 0))
CHANGE(unlinkat, (int directory, const char *path, int flags), (directory, path, flags), CHANGE_REMOVE, directory,
       SYSTEM(SYS_unlinkat, directory, path, flags))
CHANGE(mknod, (const char *path, mode_t mode, dev_t device), (path, mode, device), CHANGE_CREATE, AT_FDCWD,
       SYSTEM(SYS_mknodat, AT_FDCWD, path, mode, (unsigned)device))
CHANGE(mknodat, (int directory, const char *path, mode_t mode, dev_t device), (directory, path, mode, device),
       CHANGE_CREATE, directory, SYSTEM(SYS_mknodat, directory, path, mode, (unsigned)device))
EXPORT int mkfifo(const char *path, mode_t mode) { return mknod(path, mode | S_IFIFO, 0); }
EXPORT int mkfifoat(int directory, const char *path, mode_t mode)
{
    return mknodat(directory, path, mode | S_IFIFO, 0);
}
EXPORT int __xmknod(int version __attribute__((unused)), const char *path, mode_t mode, dev_t *device)
{
    return mknod(path, mode, *device);
}
EXPORT int __xmknodat(int version __attribute__((unused)), int directory, const char *path, mode_t mode,
                      dev_t *device)
{
    return mknodat(directory, path, mode, *device);
}

static int remove_at(const char *path)
{
    int saved = errno;
    if (SYSTEM(SYS_unlinkat, AT_FDCWD, path, 0) == 0)
        return 0;
    if (errno != EISDIR)
        return -1;
    int result = SYSTEM(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR);
    if (!result)
        errno = saved;
    return result;
}

CHANGE(remove, (const char *path), (path), CHANGE_REMOVE, AT_FDCWD, remove_at(path))

/* The text of a link is kept as it is given. */
CHANGE(symlink, (const char *text, const char *path), (text, path), CHANGE_CREATE, AT_FDCWD,
       SYSTEM(SYS_symlinkat, text, AT_FDCWD, path))
CHANGE(symlinkat, (const char *text, int directory, const char *path), (text, directory, path), CHANGE_CREATE,
       directory, SYSTEM(SYS_symlinkat, text, directory, path))

/* ---- two names ---- */

/* The file that a hard link is to be made to. */
struct link_source {
    struct cape_route route;
    const char *path;
    bool kept; /* it must stay with its one name */
};

/* A hard link to a file of the tree would let its object be changed through the new name, and one of the
 * overlay to a file of the machine the machine's; so what lies below looks like another file system. */
static void find_link_source(struct link_source *source, int directory, const char *path, int flags)
{
    source->path = path;
    source->kept = false;
    if (!cape_change_concerns(directory, path))
        return;
    enum cape_verdict verdict = cape_judge(directory, path);
    source->kept = verdict == CAPE_REFUSE || (verdict == CAPE_PASS && cape_places.all_powerful &&
                                              cape_leads_inside(directory, path, flags & AT_SYMLINK_FOLLOW));
    if (path[0] != '/')
        return;
    cape_route(&source->route, path, FOR_READING);
    source->path = cape_pick(&source->route);
    source->kept |= cape_below(&cape_places.environment, source->path) ||
                    (verdict == CAPE_OVERLAY && !cape_below(&cape_places.overlay, source->path));
}

static APART int link_routed(int from_directory, const char *from, int to_directory, const char *to, int flags)
{
    struct link_source source = {.path = NULL};
    struct cape_route target;
    struct stat status;
    int saved = errno;
    if (from)
        find_link_source(&source, from_directory, from, flags);
    if (source.kept && SYSTEM(SYS_newfstatat, from_directory, source.path, &status, AT_SYMLINK_NOFOLLOW))
        return -1;
    errno = saved;
    if (to && cape_change_concerns(to_directory, to) &&
        !(to = cape_change(&target, to_directory, to, CHANGE_CREATE)))
        return -1;
    if (!source.kept)
        return SYSTEM(SYS_linkat, from_directory, source.path, to_directory, to, flags);
    errno = EXDEV;
    return -1;
}

static int link_any(int from_directory, const char *from, int to_directory, const char *to, int flags)
{
    if (cape_change_concerns(from_directory, from) || cape_change_concerns(to_directory, to))
        return link_routed(from_directory, from, to_directory, to, flags);
    return SYSTEM(SYS_linkat, from_directory, from, to_directory, to, flags);
}

EXPORT int link(const char *from, const char *to) { return link_any(AT_FDCWD, from, AT_FDCWD, to, 0); }
EXPORT int linkat(int from_directory, const char *from, int to_directory, const char *to, int flags)
{
    return link_any(from_directory, from, to_directory, to, flags);
}

static int rename_call(int from_directory, const char *from, int to_directory, const char *to, unsigned flags)
{
    if (flags)
        return SYSTEM(SYS_renameat2, from_directory, from, to_directory, to, flags);
    return SYSTEM(SYS_renameat, from_directory, from, to_directory, to);
}

/* The file that a rename takes away. What lies below the overlay stays there, so its new name must be
 * a copy: EXDEV makes programs do that. */
static const char *rename_source(struct cape_route *route, int directory, const char *path)
{
    if (cape_judge(directory, path) != CAPE_OVERLAY)
        return cape_change(route, directory, path, CHANGE_REMOVE);
    const char *found = cape_change(route, directory, path, CHANGE_REMOVE);
    if (!found && errno == EROFS)
        errno = EXDEV;
    return found;
}

/* A file that is renamed replaces one below the overlay by hiding it, but no directory, nor may a directory
 * hide one that has something in it. */
static bool may_hide(struct cape_route *route, const char *overlay, bool directory)
{
    struct stat status;
    const char *below;
    if (SYSTEM(SYS_newfstatat, AT_FDCWD, overlay, &status, AT_SYMLINK_NOFOLLOW) == 0)
        return true; /* the kernel sees it */
    below = cape_lower(route, &status);
    if (!below)
        return errno == ENOENT;
    if (S_ISDIR(status.st_mode) == directory && !directory)
        return true;
    errno = directory ? S_ISDIR(status.st_mode) ? ENOTEMPTY : ENOTDIR : EISDIR;
    return false;
}

/* The new name; one that is there already is replaced. */
static const char *rename_target(struct cape_route *route, int directory, const char *path, bool moves_directory)
{
    if (cape_judge(directory, path) != CAPE_OVERLAY) {
        const char *found = cape_change(route, directory, path, CHANGE_CREATE);
        if (!found && errno == EEXIST)
            errno = EROFS;
        return found;
    }
    cape_route(route, path, FOR_READING);
    if (!may_hide(route, cape_candidate(route, STEP_OVERLAY), moves_directory))
        return NULL;
    const char *overlay = cape_candidate(route, STEP_OVERLAY);
    if (cape_make_parents(overlay))
        return NULL;
    errno = route->saved_errno;
    return overlay;
}

static bool is_directory(int directory, const char *path)
{
    struct stat status;
    return SYSTEM(SYS_newfstatat, directory, path, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode);
}

static APART int rename_routed(int from_directory, const char *from, int to_directory, const char *to,
                               unsigned flags)
{
    struct cape_route source, target;
    if (cape_change_concerns(from_directory, from) &&
        !(from = rename_source(&source, from_directory, from)))
        return -1;
    if (cape_change_concerns(to_directory, to) &&
        !(to = rename_target(&target, to_directory, to, is_directory(from_directory, from))))
        return -1;
    return rename_call(from_directory, from, to_directory, to, flags);
}

static int rename_any(int from_directory, const char *from, int to_directory, const char *to, unsigned flags)
{
    if (from && to && (cape_change_concerns(from_directory, from) || cape_change_concerns(to_directory, to)))
        return rename_routed(from_directory, from, to_directory, to, flags);
    return rename_call(from_directory, from, to_directory, to, flags);
}

EXPORT int rename(const char *from, const char *to) { return rename_any(AT_FDCWD, from, AT_FDCWD, to, 0); }
EXPORT int renameat(int from_directory, const char *from, int to_directory, const char *to)
{
    return rename_any(from_directory, from, to_directory, to, 0);
}
EXPORT int renameat2(int from_directory, const char *from, int to_directory, const char *to, unsigned flags)
{
    return rename_any(from_directory, from, to_directory, to, flags);
}

/* ---- mode, owner, length ---- */

#define BY_FLAGS (flags & AT_SYMLINK_NOFOLLOW ? CHANGE_ITSELF : CHANGE_FILE)

CHANGE(chmod, (const char *path, mode_t mode), (path, mode), CHANGE_FILE, AT_FDCWD,
       SYSTEM(SYS_fchmodat, AT_FDCWD, path, mode))
CHANGE(lchmod, (const char *path, mode_t mode), (path, mode), CHANGE_ITSELF, AT_FDCWD, BEHIND(lchmod)(path, mode))
CHANGE(fchmodat, (int directory, const char *path, mode_t mode, int flags), (directory, path, mode, flags),
       BY_FLAGS, directory, BEHIND(fchmodat)(directory, path, mode, flags))
CHANGE(chown, (const char *path, uid_t owner, gid_t group), (path, owner, group), CHANGE_FILE, AT_FDCWD,
       SYSTEM(SYS_fchownat, AT_FDCWD, path, owner, group, 0))
CHANGE(lchown, (const char *path, uid_t owner, gid_t group), (path, owner, group), CHANGE_ITSELF, AT_FDCWD,
       SYSTEM(SYS_fchownat, AT_FDCWD, path, owner, group, AT_SYMLINK_NOFOLLOW))
CHANGE(fchownat, (int directory, const char *path, uid_t owner, gid_t group, int flags),
       (directory, path, owner, group, flags), BY_FLAGS, directory,
       SYSTEM(SYS_fchownat, directory, path, owner, group, flags))
CHANGE(truncate, (const char *path, off_t length), (path, length), CHANGE_FILE, AT_FDCWD,
       SYSTEM(SYS_truncate, path, length))
CHANGE(truncate64, (const char *path, off64_t length), (path, length), CHANGE_FILE, AT_FDCWD,
       SYSTEM(SYS_truncate, path, length))

/* ---- times ---- */

CHANGE(utimensat, (int directory, const char *path, const struct timespec times[2], int flags),
       (directory, path, times, flags), BY_FLAGS, directory,
       SYSTEM(SYS_utimensat, directory, path, times, flags))

static int set_times(int directory, const char *path, const struct timeval times[2], int flags)
{
    struct timespec exact[2];
    for (int i = 0; times && i < 2; i++) {
        if (times[i].tv_usec < 0 || times[i].tv_usec >= 1000000) {
            errno = EINVAL;
            return -1;
        }
        exact[i] = (struct timespec){.tv_sec = times[i].tv_sec, .tv_nsec = times[i].tv_usec * 1000};
    }
    return SYSTEM(SYS_utimensat, directory, path, times ? exact : NULL, flags);
}

static int set_utime(const char *path, const struct utimbuf *times)
{
    struct timespec exact[2];
    if (times) {
        exact[0] = (struct timespec){.tv_sec = times->actime};
        exact[1] = (struct timespec){.tv_sec = times->modtime};
    }
    return SYSTEM(SYS_utimensat, AT_FDCWD, path, times ? exact : NULL, 0);
}

CHANGE(utime, (const char *path, const struct utimbuf *times), (path, times), CHANGE_FILE, AT_FDCWD,
       set_utime(path, times))
CHANGE(utimes, (const char *path, const struct timeval times[2]), (path, times), CHANGE_FILE, AT_FDCWD,
       set_times(AT_FDCWD, path, times, 0))
CHANGE(lutimes, (const char *path, const struct timeval times[2]), (path, times), CHANGE_ITSELF, AT_FDCWD,
       set_times(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW))
CHANGE(futimesat, (int directory, const char *path, const struct timeval times[2]), (directory, path, times),
       CHANGE_FILE, directory, set_times(directory, path, times, 0))

/* ---- extended attributes ---- */

CHANGE(setxattr, (const char *path, const char *name, const void *value, size_t size, int flags),
       (path, name, value, size, flags), CHANGE_FILE, AT_FDCWD,
       SYSTEM(SYS_setxattr, path, name, value, size, flags))
CHANGE(lsetxattr, (const char *path, const char *name, const void *value, size_t size, int flags),
       (path, name, value, size, flags), CHANGE_ITSELF, AT_FDCWD,
       SYSTEM(SYS_lsetxattr, path, name, value, size, flags))
CHANGE(removexattr, (const char *path, const char *name), (path, name), CHANGE_FILE, AT_FDCWD,
       SYSTEM(SYS_removexattr, path, name))
CHANGE(lremovexattr, (const char *path, const char *name), (path, name), CHANGE_ITSELF, AT_FDCWD,
       SYSTEM(SYS_lremovexattr, path, name))

/* ---- by descriptor ---- */

static bool refuses_descriptor(int descriptor)
{
    if (!cape_is_on() || !cape_is_inside(descriptor, NULL))
        return false;
    errno = EROFS;
    return true;
}

EXPORT int fchmod(int descriptor, mode_t mode)
{
    return refuses_descriptor(descriptor) ? -1 : SYSTEM(SYS_fchmod, descriptor, mode);
}
EXPORT int fchown(int descriptor, uid_t owner, gid_t group)
{
    return refuses_descriptor(descriptor) ? -1 : SYSTEM(SYS_fchown, descriptor, owner, group);
}
EXPORT int futimens(int descriptor, const struct timespec times[2])
{
    if (descriptor < 0) {
        errno = EBADF;
        return -1;
    }
    return refuses_descriptor(descriptor) ? -1 : SYSTEM(SYS_utimensat, descriptor, NULL, times, 0);
}
EXPORT int futimes(int descriptor, const struct timeval times[2])
{
    if (descriptor < 0) {
        errno = EBADF;
        return -1;
    }
    return refuses_descriptor(descriptor) ? -1 : set_times(descriptor, NULL, times, 0);
}
EXPORT int fsetxattr(int descriptor, const char *name, const void *value, size_t size, int flags)
{
    return refuses_descriptor(descriptor) ? -1 : SYSTEM(SYS_fsetxattr, descriptor, name, value, size, flags);
}
EXPORT int fremovexattr(int descriptor, const char *name)
{
    return refuses_descriptor(descriptor) ? -1 : SYSTEM(SYS_fremovexattr, descriptor, name);
}

/* ---- temporary names: the template is filled in where the caller has it ---- */

/* A template to fill in: the caller's own, or one in the overlay. NULL with errno when refused. */
static char *temporary_place(struct cape_route *route, char *template)
{
    if (!cape_change_concerns(AT_FDCWD, template))
        return template;
    if (cape_judge(AT_FDCWD, template) == CAPE_OVERLAY) {
        cape_route(route, template, FOR_READING);
        char *overlay = (char *)(uintptr_t)cape_candidate(route, STEP_OVERLAY);
        return cape_make_parents(overlay) ? NULL : overlay;
    }
    return (char *)(uintptr_t)cape_change(route, AT_FDCWD, template, CHANGE_CREATE);
}

/* Copies the six letters that libc chose back to the caller's template. */
static void copy_back(char *template, const char *place, size_t suffix)
{
    size_t given = strlen(template), made = strlen(place);
    if (place != template && given >= suffix + 6 && made >= suffix + 6)
        memcpy(template + given - suffix - 6, place + made - suffix - 6, 6);
}

#define MAKE_TEMPORARY(name, parameters, suffix, ...)    \
    EXPORT int name parameters                           \
    {                                                    \
        struct cape_route route;                         \
        char *place = temporary_place(&route, template); \
        if (!place)                                      \
            return -1;                                   \
        int descriptor = BEHIND(name)(place __VA_ARGS__); \
        copy_back(template, place, (size_t)(suffix));    \
        return descriptor;                               \
    }
MAKE_TEMPORARY(mkstemp, (char *template), 0, )
MAKE_TEMPORARY(mkstemp64, (char *template), 0, )
MAKE_TEMPORARY(mkostemp, (char *template, int flags), 0, , flags)
MAKE_TEMPORARY(mkostemp64, (char *template, int flags), 0, , flags)
MAKE_TEMPORARY(mkstemps, (char *template, int suffix), suffix, , suffix)
MAKE_TEMPORARY(mkstemps64, (char *template, int suffix), suffix, , suffix)
MAKE_TEMPORARY(mkostemps, (char *template, int suffix, int flags), suffix, , suffix, flags)
MAKE_TEMPORARY(mkostemps64, (char *template, int suffix, int flags), suffix, , suffix, flags)

EXPORT char *mkdtemp(char *template)
{
    struct cape_route route;
    char *place = temporary_place(&route, template);
    if (!place || !BEHIND(mkdtemp)(place))
        return NULL;
    copy_back(template, place, 0);
    return template;
}
