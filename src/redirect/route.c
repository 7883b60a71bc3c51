/* Where one path goes.
 *
 * A reader gets a list of files to try in turn (overlay, tree, host). A writer gets one file, or a
 * refusal with its errno. What belongs to which area is in the tables of this file and nowhere else. */
#include "redirect.h"

/* Directories whose first level is spelled out below /usr (merged /usr). */
static const char *const merged[] = {"bin", "sbin", "lib", "lib64", "lib32", "libx32"};

/* Files of /etc that belong to the machine; a name with a slash at its end stands for all below it. */
static const char *const machine_files[] = {
    "passwd",  "passwd-",  "group",   "group-",       "shadow",        "shadow-",  "gshadow",   "gshadow-",
    "subuid",  "subgid",   "hosts",   "resolv.conf",  "hostname",      "localtime", "timezone", "machine-id",
    "mtab",    "fstab",    "adjtime", "nsswitch.conf", "host.conf",    "gai.conf", "hosts.allow", "hosts.deny",
    "sudoers", "sudoers.d/", "resolvconf/", ".pwd.lock", "network/",   "networks", "ld.so.cache", "ld.so.preload",
};

/* Directories below which nothing of the host may stand in for a file that the tree lacks: plug-ins,
 * libraries, modules and headers of another system. Programs below them may still be started. */
static const char *const private_places[] = {
    "usr/lib/",     "usr/lib64/",        "usr/lib32/",           "usr/include/",       "usr/local/lib/",
    "usr/share/perl/", "usr/share/perl5/", "usr/local/share/perl/", "usr/share/python3/", "usr/share/nodejs/",
    "usr/share/pkgconfig/", "usr/share/aclocal/", "usr/local/include/", "usr/share/php/",
};

/* What is the machine's among those. */
static const char *const shared_places[] = {
    "usr/lib/modules", "usr/lib/firmware", "usr/lib/os-release", "usr/lib/systemd",
    "usr/lib/udev",    "usr/lib/wsl",      "usr/lib/ssl",
};

/* Directories that every Debian tree has empty, where the host's are meant. */
static const char *const empty_places[] = {
    "var", "var/backups", "var/cache", "var/lib", "var/lib/misc", "var/local", "var/log", "var/mail",
    "var/opt", "var/spool",
};

/* Directories of /var and /run that all users of the machine share. */
static const char *const common_places[] = {
    "var/tmp", "run/user", "run/lock", "run/shm", "run/media", "run/mount", "run/secrets",
};

#define COUNT(table) (sizeof(table) / sizeof *(table))

bool cape_has_dotdot(const char *path)
{
    for (const char *dot = strchr(path, '.'); dot; dot = strchr(dot + 1, '.'))
        if (dot > path && dot[-1] == '/' && dot[1] == '.' && (dot[2] == '/' || !dot[2]))
            return true;
    return false;
}

static bool starts(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Whether `tail` is `place` or lies below it (places without a slash at their end). */
static bool is_at(const char *tail, const char *place)
{
    size_t length = strlen(place);
    return strncmp(tail, place, length) == 0 && (tail[length] == '/' || !tail[length]);
}

/* Whether `tail` is one of the directories that the tree has empty. */
static bool is_empty_place(const char *tail)
{
    for (size_t i = 0; i < COUNT(empty_places); i++) {
        size_t length = strlen(empty_places[i]);
        if (strncmp(tail, empty_places[i], length) == 0 && (!tail[length] || !strcmp(tail + length, "/")))
            return true;
    }
    return false;
}

static bool starts_any(const char *tail, const char *const *table, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (starts(tail, table[i]))
            return true;
    return false;
}

static bool is_at_any(const char *tail, const char *const *table, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (is_at(tail, table[i]))
            return true;
    return false;
}

/* ---- normal form ---- */

static bool is_merged(const char *component, size_t length)
{
    if (component[0] != 'b' && component[0] != 's' && component[0] != 'l')
        return false;
    for (size_t i = 0; i < COUNT(merged); i++)
        if (strlen(merged[i]) == length && memcmp(component, merged[i], length) == 0)
            return true;
    return false;
}

/* Adds one component; false when there is no room. */
static bool push(char *start, char **end, const char *limit, const char *component, size_t length)
{
    bool first = *end == start;
    if ((size_t)(limit - *end) < length + 6)
        return false;
    if (first && is_merged(component, length)) {
        memcpy(*end, "usr/", 4);
        *end += 4;
    } else if (!first) {
        *(*end)++ = '/';
    }
    memcpy(*end, component, length);
    *end += length;
    **end = '\0';
    if (start[0] == 'v' && strcmp(start, "var/run") == 0) /* a link everywhere, as is /var/lock */
        *end = stpcpy(start, "run");
    else if (start[0] == 'v' && strcmp(start, "var/lock") == 0)
        *end = stpcpy(start, "run/lock");
    return true;
}

static void pop(char *start, char **end)
{
    while (*end > start && *--*end != '/')
        ;
    **end = '\0';
}

/* Adds the components of a path to a normal form that ends at `*end`. `directory` becomes whether the path
 * asks for one by its end. False when it is longer than the room. */
static bool add_components(const char *path, char *start, char **end, const char *limit, bool *directory)
{
    while (*path) {
        while (*path == '/')
            path++;
        size_t length = 0;
        while (path[length] && path[length] != '/')
            length++;
        *directory = length == 0 || (path[0] == '.' && (length == 1 || (length == 2 && path[1] == '.')));
        if (length == 2 && path[0] == '.' && path[1] == '.')
            pop(start, end);
        else if (length && !(length == 1 && path[0] == '.') && !push(start, end, limit, path, length))
            return false;
        path += length;
    }
    return true;
}

/* Writes the lexical normal form of a path, without the first slash, to `start`. A slash at its end is
 * kept, as it asks for a directory. False when it is longer than the room. */
static bool normalise(const char *path, char *start, const char *limit)
{
    char *end = start;
    bool directory = false;
    *end = '\0';
    if (!add_components(path, start, &end, limit, &directory))
        return false;
    if (directory && end > start) {
        if (limit - end < 2)
            return false;
        *end++ = '/';
        *end = '\0';
    }
    return true;
}

/* ---- areas ---- */

static bool is_own(const char *path)
{
    for (size_t i = 0; i < COUNT(cape_places.own); i++)
        if (cape_below(&cape_places.own[i], path))
            return true;
    return false;
}

/* The length of the digest that a directory of the store is named by, after its parent's name; 0 if none. */
static size_t digest_length(const char *tail, const char *parent)
{
    size_t start = strlen(parent), length = 0;
    if (strncmp(tail, parent, start) != 0)
        return 0;
    while (strchr("0123456789abcdef", tail[start + length]) && tail[start + length])
        length++;
    return tail[start + length] == '/' ? length : 0;
}

/* Whether a path lies in an object or in another environment of the store. Their own names, and those
 * that they are made under, are cape's, which may be run from an environment. */
static bool is_sealed(const char *path)
{
    if (!cape_below(&cape_places.store, path))
        return false;
    const char *tail = path + cape_places.store.length;
    return digest_length(tail, "/objects/") == 64 || digest_length(tail, "/environments/") == 32;
}

static bool is_environment(const char *path)
{
    return cape_below(&cape_places.environment, path) || cape_below(&cape_places.alias, path) || is_sealed(path);
}

static bool is_machine_file(const char *name)
{
    for (size_t i = 0; i < COUNT(machine_files); i++) {
        size_t length = strlen(machine_files[i]);
        bool whole = machine_files[i][length - 1] == '/';
        if (whole ? strncmp(name, machine_files[i], length) == 0 : strcmp(name, machine_files[i]) == 0)
            return true;
    }
    return false;
}

/* `tail` is a normal form with a slash before it (so `tail[-1] == '/'`). */
static enum cape_area area_of(const char *tail)
{
    const char *path = tail - 1;
    if (is_environment(path))
        return AREA_OWN;
    if (is_own(path) || cape_below(&cape_places.overlay, path))
        return AREA_ELSEWHERE;
    if (is_at(tail, "usr"))
        return AREA_USR;
    if (is_at(tail, "etc"))
        return tail[3] && is_machine_file(tail + 4) ? AREA_ELSEWHERE : AREA_ETC;
    bool var = is_at(tail, "var");
    if (!var && !is_at(tail, "run"))
        return AREA_ELSEWHERE;
    if (is_at_any(tail, common_places, COUNT(common_places)))
        return AREA_ELSEWHERE;
    return var ? AREA_VAR : AREA_RUN;
}

/* Files that graphics drivers of the machine consist of; the only libraries that come from the host. */
bool cape_is_driver(const char *tail)
{
    static const char *const names[] = {"libcuda", "libnvidia-", "libnvcuvid", "libnvoptix", "libGLX_",
                                        "libEGL_", "libGLESv", "libvdpau_", "libvulkan_", "libcudadebugger"};
    static const char *const folders[] = {"dri", "vdpau", "gbm", "nvidia"};
    const char *name = strrchr(tail, '/');
    if (name && starts_any(name + 1, names, COUNT(names)))
        return true;
    if (!starts(tail, "usr/lib/"))
        return false;
    const char *rest = strchr(tail + 8, '/');
    return rest && is_at_any(rest + 1, folders, COUNT(folders));
}

static bool may_come_from_host(const char *tail, enum cape_purpose purpose)
{
    if (purpose == FOR_RUNNING || !starts_any(tail, private_places, COUNT(private_places)))
        return true;
    return is_at_any(tail, shared_places, COUNT(shared_places)) || cape_is_driver(tail);
}

/* ---- reading ---- */

static size_t prefix_room(void)
{
    size_t overlay = cape_places.overlay.length, root = cape_places.root.length;
    return (overlay > root ? overlay : root) + 1;
}

/* Puts the normal form into the room; false when the path is too long, and the kernel is to say so. */
static bool settle_tail(struct cape_route *route, const char *path)
{
    char *tail = route->room + prefix_room();
    if (strnlen(path, PATH_MAX) == PATH_MAX || !normalise(path, tail, route->room + sizeof route->room))
        return false;
    tail[-1] = '/';
    route->tail = tail;
    return true;
}

static void add_step(struct cape_route *route, enum cape_step step)
{
    route->steps[route->count++] = (unsigned char)step;
}

static void plan(struct cape_route *route, enum cape_purpose purpose)
{
    bool overlay = cape_places.overlay.length && route->area != AREA_USR;
    bool tree = route->area != AREA_RUN && !(route->area == AREA_VAR && is_empty_place(route->tail));
    bool tree_first = purpose == FOR_LISTING && route->area == AREA_ETC;
    if (overlay && !tree_first)
        add_step(route, STEP_OVERLAY);
    if (tree)
        add_step(route, STEP_TREE);
    if (overlay && tree_first)
        add_step(route, STEP_OVERLAY);
    add_step(route, STEP_HOST); /* whether it may is asked when it comes to that */
}

/* Whether there is one more file to try. */
bool cape_has_more(struct cape_route *route)
{
    if (route->at >= route->count)
        return false;
    if (route->steps[route->at] != STEP_HOST || route->area != AREA_USR ||
        may_come_from_host(route->tail, route->purpose))
        return true;
    route->count = route->at;
    return false;
}

static void start(struct cape_route *route, const char *path)
{
    route->given = path;
    route->tail = NULL;
    route->area = AREA_ELSEWHERE;
    route->count = 0;
    route->at = 0;
    route->blocked = false;
    route->saved_errno = errno;
}

/* Whether a path's first directory is one of ours (with or without a slash before it). */
static bool begins_with_ours(const char *path)
{
    static const char *const first[] = {"usr", "etc", "var", "run"};
    path += strspn(path, "/");
    return is_at_any(path, first, COUNT(first)) || is_at_any(path, merged, COUNT(merged));
}

/* A path with `..` is taken by its text on the host too, which may lack a directory that the `..` leaves. */
static void take_text(struct cape_route *route)
{
    if (route->tail && cape_has_dotdot(route->given) &&
        (begins_with_ours(route->given) || begins_with_ours(route->tail)))
        route->given = route->tail - 1;
}

void cape_route(struct cape_route *route, const char *path, enum cape_purpose purpose)
{
    start(route, path);
    route->purpose = purpose;
    if (settle_tail(route, path))
        route->area = area_of(route->tail);
    take_text(route);
    if (route->area == AREA_ELSEWHERE || route->area == AREA_OWN)
        add_step(route, STEP_HOST);
    else
        plan(route, purpose);
}

/* The file of one step, written into the room (so the one before it is gone). */
const char *cape_candidate(struct cape_route *route, enum cape_step step)
{
    const struct cape_prefix *prefix = step == STEP_TREE ? &cape_places.root : &cape_places.overlay;
    if (step == STEP_HOST)
        return route->given;
    char *path = route->tail - 1 - prefix->length;
    memcpy(path, prefix->text, prefix->length);
    return path;
}

/* The next file to try, or NULL when all were tried. Clears errno, so that what a call leaves is its own. */
const char *cape_next(struct cape_route *route)
{
    if (!cape_has_more(route))
        return NULL;
    errno = 0;
    return cape_candidate(route, (enum cape_step)route->steps[route->at++]);
}

/* Whether errno says that a step has no such file. One that has no room behind our prefix is not there
 * either; a name that is too long is too long everywhere. */
static bool says_missing(const struct cape_route *route, enum cape_step step)
{
    if (errno != ENAMETOOLONG || step == STEP_HOST)
        return errno == ENOENT || errno == ENOTDIR;
    const struct cape_prefix *prefix = step == STEP_TREE ? &cape_places.root : &cape_places.overlay;
    return prefix->length + 1 + strlen(route->tail) >= PATH_MAX;
}

/* Whether a failed call may be tried on the next file. */
bool cape_again(struct cape_route *route)
{
    route->blocked = route->blocked || errno == ENOTDIR;
    if (says_missing(route, (enum cape_step)route->steps[route->at - 1]) && cape_has_more(route))
        return true;
    if (errno == ENOENT && route->blocked)
        errno = ENOTDIR;
    return false;
}

bool cape_exists(const char *path)
{
    return syscall(SYS_faccessat, AT_FDCWD, path, F_OK) == 0;
}

static bool is_there(const char *path)
{
    struct stat status;
    return syscall(SYS_newfstatat, AT_FDCWD, path, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

/* The first file of the route that is there, else the last one, for the call to fail on. */
const char *cape_pick(struct cape_route *route)
{
    const char *path = route->given;
    while ((path = cape_next(route)))
        if (cape_exists(path) || !says_missing(route, (enum cape_step)route->steps[route->at - 1]) ||
            !cape_has_more(route))
            break;
    errno = route->saved_errno;
    return path ? path : route->given;
}

/* ---- changing ---- */

/* Where the working directory lies, as far as it was asked. Of one that lies above the store (or above an
 * environment without one), the state also tells where the rest of the store's path begins: times FURTHER. */
enum { DIRECTORY_UNKNOWN, DIRECTORY_INSIDE, DIRECTORY_NEAR, DIRECTORY_APART, DIRECTORY_ABOVE, FURTHER = 8 };
static int directory_state;

void cape_forget_directory(void)
{
    __atomic_store_n(&directory_state, DIRECTORY_UNKNOWN, __ATOMIC_RELAXED);
}

static const struct cape_prefix *guarded(void)
{
    return cape_places.store.length ? &cape_places.store : &cape_places.environment;
}

static int place_of_directory(const char *path)
{
    const struct cape_prefix *prefix = guarded();
    size_t length = path[1] ? strlen(path) : 0;
    if (is_environment(path))
        return DIRECTORY_INSIDE;
    if (cape_below(prefix, path))
        return DIRECTORY_NEAR;
    if (prefix->length > length && memcmp(prefix->text, path, length) == 0 && prefix->text[length] == '/')
        return DIRECTORY_ABOVE + FURTHER * ((int)length + 1);
    return DIRECTORY_APART;
}

static APART int find_directory(void)
{
    char path[PATH_MAX];
    int saved = errno;
    long length = syscall(SYS_getcwd, path, sizeof path);
    errno = saved;
    int state = length > 0 && path[0] == '/' ? place_of_directory(path) : DIRECTORY_NEAR;
    __atomic_store_n(&directory_state, state, __ATOMIC_RELAXED);
    return state;
}

static int directory_known(void)
{
    int state = __atomic_load_n(&directory_state, __ATOMIC_RELAXED);
    return state != DIRECTORY_UNKNOWN ? state : find_directory();
}

/* A relative path without a `./` before it. */
static const char *after_dot(const char *path)
{
    return path[0] == '.' && path[1] == '/' && path[2] != '/' ? path + 2 : path;
}

/* Whether a path has no `//`, `.` or `..`, so that without symlinks it is the file's real one. */
static bool is_plain(const char *path)
{
    path = after_dot(path);
    for (bool begins = true; *path; begins = *path++ == '/')
        if (begins && path[0] == '.' && (!path[1] || path[1] == '/' || (path[1] == '.' && (!path[2] || path[2] == '/'))))
            return false;
        else if (path[0] == '/' && path[1] == '/')
            return false;
    return true;
}

/* Whether a relative path enters neither store nor environment from a working directory in this state. */
static bool stays_apart(int state, const char *path)
{
    if (state % FURTHER != DIRECTORY_ABOVE)
        return state == DIRECTORY_APART;
    const char *rest = guarded()->text + state / FURTHER;
    size_t length = strcspn(rest, "/");
    if (!is_plain(path))
        return false;
    path = after_dot(path);
    return strncmp(path, rest, length) != 0 || (path[length] && path[length] != '/');
}

/* The path of an open descriptor, or of the working directory; its length, or 0 when it is not known. */
static size_t descriptor_path(int descriptor, char *path, size_t size)
{
    char link[32] = "/proc/self/fd/", digits[12];
    int count = 0;
    if (descriptor == AT_FDCWD) {
        long length = syscall(SYS_getcwd, path, size);
        return length > 0 && path[0] == '/' ? (size_t)length - 1 : 0;
    }
    if (descriptor < 0)
        return 0;
    for (int rest = descriptor; count == 0 || rest; rest /= 10)
        digits[count++] = (char)('0' + rest % 10);
    char *end = link + strlen(link);
    while (count)
        *end++ = digits[--count];
    *end = '\0';
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, size - 1);
    if (length <= 0 || path[0] != '/')
        return 0;
    path[length] = '\0';
    return (size_t)length;
}

/* Whether a relative path (or, with NULL or an empty one, the descriptor) lies in the environment. */
APART bool cape_is_inside(int directory, const char *path)
{
    char text[PATH_MAX + NAME_MAX];
    int saved = errno;
    bool upwards = path && (cape_has_dotdot(path) || strncmp(path, "..", 2) == 0), slash;
    if (directory == AT_FDCWD && !upwards) {
        int state = directory_known();
        if (state == DIRECTORY_INSIDE || !path || stays_apart(state, path))
            return state == DIRECTORY_INSIDE;
    }
    size_t length = descriptor_path(directory, text, PATH_MAX);
    errno = saved;
    if (!length)
        return false;
    char *end = text + length;
    if (path && (upwards || !is_environment(text)))
        add_components(path, text + 1, &end, text + sizeof text, &slash); /* what has no room changes nothing */
    return is_environment(text);
}

static bool opens_inside(int directory, const char *path, int flags)
{
    int found = (int)syscall(SYS_openat, directory, path, O_PATH | O_CLOEXEC | flags);
    if (found < 0)
        return false;
    bool inside = cape_is_inside(found, NULL);
    syscall(SYS_close, found);
    return inside;
}

static bool parent_is_inside(int directory, const char *path, size_t length)
{
    char parent[PATH_MAX];
    while (length > 1 && path[length - 1] == '/')
        length--;
    while (length && path[length - 1] != '/')
        length--;
    memcpy(parent, path, length);
    strcpy(parent + length, length ? "" : ".");
    return opens_inside(directory, parent, O_DIRECTORY);
}

/* Whether a path leads into the environment by way of symlinks: the file that is there does (to follow),
 * or else its last directory. Asked for root only; for others the files' modes have the same answer. A file
 * that its owner may write is none of ours, which spares the long way for nearly all. */
APART bool cape_leads_inside(int directory, const char *path, bool follow)
{
    struct stat status;
    int saved = errno;
    bool inside = false;
    size_t length = strlen(path);
    if (!length)
        inside = cape_is_inside(directory, NULL);
    else if (follow && syscall(SYS_newfstatat, directory, path, &status, 0) == 0)
        inside = (S_ISDIR(status.st_mode) || !(status.st_mode & 0200)) && opens_inside(directory, path, 0);
    else if (length < PATH_MAX)
        inside = parent_is_inside(directory, path, length);
    errno = saved;
    return inside;
}

/* Whether a change may have to be refused or go elsewhere; false is certain. */
bool cape_change_concerns(int directory, const char *path)
{
    if (!path)
        return false;
    if (path[0] == '/')
        return cape_concerns(path) || (cape_is_on() && (cape_places.all_powerful || is_environment(path)));
    if (!cape_is_on())
        return false;
    if (cape_places.all_powerful)
        return true;
    if (directory != AT_FDCWD)
        return true;
    return !stays_apart(directory_known(), path) || cape_has_dotdot(path) || strncmp(path, "..", 2) == 0;
}

/* Looks for the file below the overlay that a change is about: the tree's, or the host's. Gives it, or NULL
 * with the errno that a single file system would have. */
static const char *lower(struct cape_route *route, struct stat *status, int flags)
{
    if (route->area != AREA_RUN) {
        const char *tree = cape_candidate(route, STEP_TREE);
        if (syscall(SYS_newfstatat, AT_FDCWD, tree, status, flags) == 0)
            return tree;
        if (!says_missing(route, STEP_TREE))
            return NULL;
    }
    bool blocked = route->area != AREA_RUN && errno == ENOTDIR;
    if (route->area == AREA_USR && !may_come_from_host(route->tail, FOR_READING))
        errno = ENOENT;
    else if (syscall(SYS_newfstatat, AT_FDCWD, route->given, status, flags) == 0)
        return route->given;
    if (blocked && errno == ENOENT)
        errno = ENOTDIR;
    return NULL;
}

const char *cape_lower(struct cape_route *route, struct stat *status)
{
    return lower(route, status, AT_SYMLINK_NOFOLLOW);
}

/* Whether the directory of a new name is there. */
static bool has_parent(struct cape_route *route, int directory)
{
    struct stat status;
    char parent[PATH_MAX + sizeof "usr/"]; /* as long as a normal form may be */
    bool own = route->given[0] != '/' || route->area == AREA_OWN;
    const char *path = own ? route->given : route->tail;
    size_t length = strlen(path);
    if (length >= sizeof parent)
        return false;
    while (length > 1 && path[length - 1] == '/')
        length--;
    while (length && path[length - 1] != '/')
        length--;
    memcpy(parent, path, length);
    strcpy(parent + length, length ? "" : ".");
    if (own)
        return syscall(SYS_newfstatat, directory, parent, &status, 0) == 0;
    strcpy(route->tail, parent); /* the route is at its end */
    route->given = route->tail - 1;
    return lower(route, &status, 0) != NULL;
}

/* Looks for the file that a refused change is about. */
static bool find_refused(struct cape_route *route, int directory, struct stat *status, int flags)
{
    if (route->given[0] != '/' || route->area == AREA_OWN)
        return syscall(SYS_newfstatat, directory, route->given, status, flags) == 0;
    return lower(route, status, flags) != NULL;
}

/* The errno of a change that is refused, as a read-only file system would give it; of a name to remove that
 * is not there, ENOENT, though Linux may not get as far. */
static void refuse(struct cape_route *route, int directory, enum cape_change change)
{
    struct stat status;
    if (find_refused(route, directory, &status, change == CHANGE_FILE ? 0 : AT_SYMLINK_NOFOLLOW))
        errno = change == CHANGE_CREATE ? EEXIST : EROFS;
    else if (change == CHANGE_CREATE && errno == ENOENT)
        errno = has_parent(route, directory) ? EROFS : ENOENT;
}

/* What becomes of a change. Without a project's state, a file of the tree is refused and the rest of
 * /etc, /var and /run is the host's. */
static enum cape_verdict judge(struct cape_route *route, int directory, const char *path)
{
    start(route, path);
    if (path[0] != '/')
        return cape_is_inside(directory, path) ? CAPE_REFUSE : CAPE_PASS;
    if (!settle_tail(route, path))
        return CAPE_PASS;
    route->area = area_of(route->tail);
    take_text(route);
    switch (route->area) {
    case AREA_ELSEWHERE:
        return CAPE_PASS;
    case AREA_OWN:
    case AREA_USR:
        return CAPE_REFUSE;
    default:
        if (cape_places.overlay.length)
            return CAPE_OVERLAY;
        if (route->area == AREA_RUN || is_empty_place(route->tail))
            return CAPE_PASS;
        struct stat status;
        const char *tree = cape_candidate(route, STEP_TREE);
        bool file = syscall(SYS_newfstatat, AT_FDCWD, tree, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
                    !S_ISDIR(status.st_mode);
        errno = route->saved_errno;
        return file ? CAPE_REFUSE : CAPE_PASS;
    }
}

enum cape_verdict cape_judge(int directory, const char *path)
{
    struct cape_route route;
    return judge(&route, directory, path);
}

/* Makes the overlay's own copy of a regular file that lies below it. */
static bool lift(struct cape_route *route, const char *from)
{
    char source[PATH_MAX];
    if (strlen(from) >= sizeof source) {
        errno = ENAMETOOLONG;
        return false;
    }
    strcpy(source, from);
    return cape_copy_up(source, cape_candidate(route, STEP_OVERLAY)) == 0;
}

/* The same, for who is not stopped by the files' modes: also a file that symlinks lead to. */
static enum cape_verdict judge_change(struct cape_route *route, int directory, const char *path, bool follow)
{
    enum cape_verdict verdict = judge(route, directory, path);
    if (verdict != CAPE_PASS || !cape_places.all_powerful || !cape_leads_inside(directory, path, follow))
        return verdict;
    route->area = AREA_OWN; /* named by its own path, and not to be looked for in the tree */
    return CAPE_REFUSE;
}

/* Whether a path that meets no symlink is certain to lead to no file of the environment, the store or the
 * overlay. */
bool cape_is_elsewhere_without_links(int directory, const char *path)
{
    if (path[0] == '/')
        return !cape_concerns(path) && is_plain(path) && !is_environment(path);
    return directory == AT_FDCWD && path[0] && is_plain(path) && stays_apart(directory_known(), path);
}

static const char *create_in_overlay(struct cape_route *route)
{
    const char *overlay = cape_candidate(route, STEP_OVERLAY);
    return cape_make_parents(overlay) ? NULL : overlay;
}

static const char *change_in_overlay(struct cape_route *route, enum cape_change change)
{
    struct stat status;
    const char *overlay = cape_candidate(route, STEP_OVERLAY);
    if (is_there(overlay))
        return overlay;
    const char *below = lower(route, &status, change == CHANGE_FILE ? 0 : AT_SYMLINK_NOFOLLOW);
    if (!below && (change != CHANGE_CREATE || errno != ENOENT))
        return NULL;
    if (change == CHANGE_CREATE && below) {
        errno = EEXIST;
        return NULL;
    }
    if (change == CHANGE_CREATE)
        return create_in_overlay(route);
    if (change != CHANGE_REMOVE && S_ISREG(status.st_mode))
        return lift(route, below) ? cape_candidate(route, STEP_OVERLAY) : NULL;
    errno = EROFS;
    return NULL;
}

/* The file to change, or NULL with errno set. `errno` is kept otherwise. */
const char *cape_change(struct cape_route *route, int directory, const char *path, enum cape_change change)
{
    const char *found = path;
    switch (judge_change(route, directory, path, change == CHANGE_FILE)) {
    case CAPE_PASS:
        break;
    case CAPE_REFUSE:
        refuse(route, directory, change);
        return NULL;
    case CAPE_OVERLAY:
        found = change_in_overlay(route, change);
        break;
    }
    if (found)
        errno = route->saved_errno;
    return found;
}

/* The errno of an opening that is refused; 0 for one that asks for O_CREAT alone, as flock(1) does, and so
 * only reads a file that is there. */
static int open_error(const struct stat *status, int flags)
{
    bool changes = (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;
    if (S_ISLNK(status->st_mode))
        return ELOOP;
    if ((flags & O_TMPFILE) == O_TMPFILE)
        return S_ISDIR(status->st_mode) ? EROFS : ENOTDIR;
    if (S_ISDIR(status->st_mode))
        return EISDIR;
    if (flags & O_DIRECTORY)
        return ENOTDIR;
    return changes ? EROFS : 0;
}

static const char *open_refused(struct cape_route *route, int directory, int *flags)
{
    struct stat status;
    if ((*flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) {
        refuse(route, directory, CHANGE_CREATE);
        return NULL;
    }
    if (!find_refused(route, directory, &status, *flags & O_NOFOLLOW ? AT_SYMLINK_NOFOLLOW : 0)) {
        if (errno == ENOENT && *flags & O_CREAT && has_parent(route, directory))
            errno = EROFS;
        return NULL;
    }
    if ((errno = open_error(&status, *flags)))
        return NULL;
    *flags &= ~O_CREAT;
    if (route->given[0] != '/' || route->area == AREA_OWN)
        return route->given;
    const char *tree = cape_candidate(route, STEP_TREE);
    return cape_exists(tree) ? tree : route->given;
}

static const char *temporary_in_overlay(struct cape_route *route)
{
    const char *overlay = create_in_overlay(route);
    return overlay && (syscall(SYS_mkdirat, AT_FDCWD, overlay, 0755) == 0 || errno == EEXIST) ? overlay : NULL;
}

static const char *open_in_overlay(struct cape_route *route, int *flags)
{
    struct stat status;
    const char *overlay = cape_candidate(route, STEP_OVERLAY);
    bool create = *flags & O_CREAT, exclusive = create && *flags & O_EXCL;
    if (is_there(overlay))
        return overlay;
    const char *below = lower(route, &status, exclusive ? AT_SYMLINK_NOFOLLOW : 0);
    if (below && exclusive) {
        errno = EEXIST;
        return NULL;
    }
    if (below && (*flags & O_TMPFILE) == O_TMPFILE && S_ISDIR(status.st_mode))
        return temporary_in_overlay(route);
    if (below && !S_ISREG(status.st_mode))
        return below;
    if (below)
        return lift(route, below) ? cape_candidate(route, STEP_OVERLAY) : NULL;
    return create && errno == ENOENT ? create_in_overlay(route) : NULL;
}

/* The file to open for writing, or NULL with errno set; `flags` may lose O_CREAT. */
const char *cape_change_open(struct cape_route *route, int directory, const char *path, int *flags)
{
    const char *found = path;
    switch (judge_change(route, directory, path, !(*flags & O_NOFOLLOW))) {
    case CAPE_PASS:
        break;
    case CAPE_REFUSE:
        found = open_refused(route, directory, flags);
        break;
    case CAPE_OVERLAY:
        found = open_in_overlay(route, flags);
        break;
    }
    if (found)
        errno = route->saved_errno;
    return found;
}
