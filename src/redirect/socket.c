/* Sockets that have a path. A service that listens on `/run/app/socket` makes it in the overlay, as it makes
 * its other files there; who connects looks in the overlay first, then on the machine. A path that has no
 * room in an address is named through a descriptor of its directory. */
#include "redirect.h"
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { BEFORE = offsetof(struct sockaddr_un, sun_path), ROOM = sizeof(struct sockaddr_un) - BEFORE };

struct named {
    struct sockaddr_un address;
    socklen_t length;
    int directory; /* open while the address is in use, or -1 */
};

/* The path of an address, with a zero after it; false for one that has none. */
static bool path_of(const struct sockaddr *address, socklen_t length, char path[ROOM + 1])
{
    if (!address || length <= BEFORE || length > sizeof(struct sockaddr_un) || address->sa_family != AF_UNIX)
        return false;
    size_t room = length - BEFORE;
    memcpy(path, (const char *)address + BEFORE, room);
    path[room] = '\0';
    return path[0] != '\0';
}

static bool set_path(struct named *named, const char *path)
{
    size_t length = strlen(path);
    if (length > ROOM)
        return false;
    named->address.sun_family = AF_UNIX;
    memcpy(named->address.sun_path, path, length);
    if (length < ROOM)
        named->address.sun_path[length++] = '\0';
    named->length = (socklen_t)(BEFORE + length);
    return true;
}

/* Names a file by a short path through its directory; false with errno when that cannot be. */
static APART bool set_long_path(struct named *named, const char *path)
{
    char parent[PATH_MAX], text[64 + ROOM];
    const char *name = strrchr(path, '/') + 1;
    size_t length = (size_t)(name - path);
    int saved = errno;
    errno = ENAMETOOLONG;
    if (length >= sizeof parent || strlen(name) > ROOM)
        return false;
    memcpy(parent, path, length);
    parent[length] = '\0';
    named->directory = (int)syscall(SYS_openat, AT_FDCWD, parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (named->directory < 0)
        return false;
    snprintf(text, sizeof text, "/proc/self/fd/%d/%s", named->directory, name);
    errno = saved;
    if (set_path(named, text))
        return true;
    syscall(SYS_close, named->directory);
    errno = ENAMETOOLONG;
    return false;
}

static bool name_socket(struct named *named, const char *path)
{
    named->directory = -1;
    return set_path(named, path) || set_long_path(named, path);
}

/* Ends the use of an address; errno is the call's. */
static void drop_name(struct named *named)
{
    int error = errno;
    if (named->directory >= 0)
        syscall(SYS_close, named->directory);
    errno = error;
}

/* ---- bind ---- */

/* Whether the machine has a socket of that name, which one of the overlay may hide. */
static bool hides_socket(struct cape_route *route, const char *path)
{
    struct stat status;
    if (cape_judge(AT_FDCWD, path) != CAPE_OVERLAY)
        return false;
    cape_route(route, path, FOR_READING);
    return syscall(SYS_newfstatat, AT_FDCWD, cape_pick(route), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISSOCK(status.st_mode);
}

/* The file that a socket is to be, or NULL with errno as bind gives it. */
static const char *place_of_socket(struct cape_route *route, const char *path)
{
    int saved = errno;
    const char *found = cape_change(route, AT_FDCWD, path, CHANGE_CREATE);
    if (found || errno != EEXIST)
        return found;
    if (hides_socket(route, path)) {
        found = cape_candidate(route, STEP_OVERLAY);
        if (cape_make_parents(found))
            return NULL;
        errno = saved;
        return found;
    }
    errno = EADDRINUSE;
    return NULL;
}

static APART int bind_routed(int descriptor, const char *path, const struct sockaddr *address, socklen_t length)
{
    struct cape_route route;
    struct named named;
    const char *found = place_of_socket(&route, path);
    if (!found)
        return -1;
    if (found == path)
        return (int)syscall(SYS_bind, descriptor, address, length);
    if (!name_socket(&named, found))
        return -1;
    int result = (int)syscall(SYS_bind, descriptor, &named.address, named.length);
    drop_name(&named);
    return result;
}

EXPORT int bind(int descriptor, const struct sockaddr *address, socklen_t length)
{
    char path[ROOM + 1];
    if (path_of(address, length, path) && cape_change_concerns(AT_FDCWD, path))
        return bind_routed(descriptor, path, address, length);
    return (int)syscall(SYS_bind, descriptor, address, length);
}

/* ---- connect, and datagrams to a path ---- */

/* These may be called in signal handlers, so the real ones are looked up early. They are libc's and not
 * system calls, as a thread may be cancelled in them. */
static __typeof__(&connect) real_connect(void) { return BEHIND(connect); }
static __typeof__(&sendto) real_sendto(void) { return BEHIND(sendto); }
static __typeof__(&sendmsg) real_sendmsg(void) { return BEHIND(sendmsg); }

__attribute__((constructor)) static void find_early(void)
{
    real_connect();
    real_sendto();
    real_sendmsg();
}

/* Whether an address's path leads elsewhere; then `named` has the address to use, to be dropped. A path
 * that cannot be named stays what it was. */
static APART bool finds(struct named *named, const char *path)
{
    struct cape_route route;
    cape_route(&route, path, FOR_READING);
    const char *found = cape_pick(&route);
    if (found == path)
        return false;
    bool able = name_socket(named, found);
    errno = route.saved_errno;
    return able;
}

static bool leads_elsewhere(struct named *named, const struct sockaddr *address, socklen_t length)
{
    char path[ROOM + 1];
    return path_of(address, length, path) && cape_concerns(path) && finds(named, path);
}

EXPORT int connect(int descriptor, const struct sockaddr *address, socklen_t length)
{
    struct named named;
    if (!leads_elsewhere(&named, address, length))
        return real_connect()(descriptor, address, length);
    int result = real_connect()(descriptor, (const struct sockaddr *)&named.address, named.length);
    drop_name(&named);
    return result;
}

EXPORT ssize_t sendto(int descriptor, const void *data, size_t size, int flags, const struct sockaddr *address,
                      socklen_t length)
{
    struct named named;
    if (!leads_elsewhere(&named, address, length))
        return real_sendto()(descriptor, data, size, flags, address, length);
    const struct sockaddr *found = (const struct sockaddr *)&named.address;
    ssize_t result = real_sendto()(descriptor, data, size, flags, found, named.length);
    drop_name(&named);
    return result;
}

EXPORT ssize_t sendmsg(int descriptor, const struct msghdr *message, int flags)
{
    struct named named;
    if (!message || !leads_elsewhere(&named, message->msg_name, message->msg_namelen))
        return real_sendmsg()(descriptor, message, flags);
    struct msghdr routed = *message;
    routed.msg_name = &named.address;
    routed.msg_namelen = named.length;
    ssize_t result = real_sendmsg()(descriptor, &routed, flags);
    drop_name(&named);
    return result;
}
