/* Files of /var, /run and /etc that programs change live in the project's state. A file that is changed
 * there for the first time is copied up whole, under another name first, so that a reader sees the old
 * or the new one. Directories are not merged, and a file below the overlay cannot be removed. */
#include "redirect.h"
#include <stdio.h>
#include <sys/sendfile.h>

static int make_directory(const char *path)
{
    if (syscall(SYS_mkdirat, AT_FDCWD, path, 0755) == 0 || errno == EEXIST)
        return 0;
    return -1;
}

/* Makes the directories that a file's path needs; 0, or -1 with errno. */
int cape_make_parents(const char *path)
{
    char text[PATH_MAX];
    size_t length = strlen(path);
    while (length && path[length - 1] == '/')
        length--;
    while (length && path[length - 1] != '/')
        length--;
    if (length < 2 || length >= sizeof text)
        return 0;
    memcpy(text, path, length);
    text[length - 1] = '\0';
    if (cape_exists(text))
        return 0;
    for (char *slash = text + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        int failed = make_directory(text);
        *slash = '/';
        if (failed && errno != EROFS && errno != EACCES)
            return -1;
    }
    return make_directory(text);
}

static int copy_bytes(int from, int to)
{
    long moved;
    do
        moved = syscall(SYS_sendfile, to, from, NULL, (size_t)1 << 30);
    while (moved > 0 || (moved < 0 && errno == EINTR));
    return (int)moved;
}

static int copy_to(int from, const char *temporary, const char *to)
{
    struct stat status;
    if (syscall(SYS_fstat, from, &status))
        return -1;
    mode_t mode = (status.st_mode & 0777) | 0200;
    int copy = (int)syscall(SYS_openat, AT_FDCWD, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (copy < 0)
        return -1;
    int failed = copy_bytes(from, copy);
    syscall(SYS_close, copy);
    if (!failed)
        failed = (int)syscall(SYS_renameat2, AT_FDCWD, temporary, AT_FDCWD, to, 1 /* RENAME_NOREPLACE */);
    if (failed) {
        int error = errno;
        syscall(SYS_unlinkat, AT_FDCWD, temporary, 0);
        errno = error;
        failed = error == EEXIST ? 0 : -1; /* another thread was first */
    }
    return failed;
}

/* Gives the overlay its own copy of a file; 0, or -1 with errno. */
int cape_copy_up(const char *from, const char *to)
{
    char temporary[PATH_MAX];
    static unsigned serial;
    unsigned number = __atomic_add_fetch(&serial, 1, __ATOMIC_RELAXED);
    int length = snprintf(temporary, sizeof temporary, "%s.cape-%ld-%u", to, syscall(SYS_gettid), number);
    if (length < 0 || (size_t)length >= sizeof temporary) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (cape_make_parents(to))
        return -1;
    int source = (int)syscall(SYS_openat, AT_FDCWD, from, O_RDONLY | O_CLOEXEC);
    if (source < 0)
        return -1;
    int failed = copy_to(source, temporary, to);
    int error = errno;
    syscall(SYS_close, source);
    errno = error;
    return failed;
}
