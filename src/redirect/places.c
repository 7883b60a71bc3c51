/* Where the tree, the environment and the project's state are. Found once, from the path that this
 * library was loaded by; no variable is needed for reading. */
#include "redirect.h"
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/auxv.h>

#ifndef CAPE_REDIRECT_SOURCE
#define CAPE_REDIRECT_SOURCE "unknown"
#endif

/* The digest of the sources that this file was built from; the build reads it to skip a rebuild. */
EXPORT const char cape_redirect_source[] = "cape-redirect-source:" CAPE_REDIRECT_SOURCE;

struct cape_places cape_places;

/* Functions that libc has in several versions, and the newest: before glibc 2.36, dlsym(RTLD_NEXT) gave
 * the oldest one (glibc's bug 14932). */
static const struct {
    const char *name, *version;
} versions[] = {
    {"realpath", "GLIBC_2.3"}, {"posix_spawn", "GLIBC_2.15"}, {"nftw", "GLIBC_2.3.3"},
    {"nftw64", "GLIBC_2.3.3"}, {"glob", "GLIBC_2.27"},        {"glob64", "GLIBC_2.27"},
};

static void *newest(const char *name)
{
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++)
        if (strcmp(versions[i].name, name) == 0)
            return dlvsym(RTLD_NEXT, name, versions[i].version);
    return NULL;
}

void *cape_behind(const char *name)
{
    int saved = errno;
    void *found = newest(name);
    if (!found)
        found = dlsym(RTLD_NEXT, name);
    if (!found)
        dlerror(); /* or the program would see our miss as its own */
    errno = saved;
    return found;
}

bool cape_below(const struct cape_prefix *prefix, const char *path)
{
    if (!prefix->length || strncmp(path, prefix->text, prefix->length) != 0)
        return false;
    char next = path[prefix->length];
    return next == '/' || next == '\0';
}

static bool set_prefix(struct cape_prefix *prefix, const char *text, size_t length)
{
    while (length > 1 && text[length - 1] == '/')
        length--;
    if (length < 2 || text[0] != '/' || length >= sizeof prefix->text)
        return false;
    memcpy(prefix->text, text, length);
    prefix->text[length] = '\0';
    prefix->length = length;
    return true;
}

/* Takes `..`, `.` and doubled slashes out of an absolute path, in place. */
static void tidy(char *path)
{
    char *out = path;
    for (const char *in = path; *in;) {
        while (*in == '/')
            in++;
        size_t length = strcspn(in, "/");
        if (length == 2 && in[0] == '.' && in[1] == '.') {
            while (out > path && *--out != '/')
                ;
        } else if (length && !(length == 1 && in[0] == '.')) {
            *out++ = '/';
            memmove(out, in, length);
            out += length;
        }
        in += length;
    }
    *out = '\0';
}

/* Replaces the path of a directory by the one without symlinks, where /proc can tell. */
static void make_real(struct cape_prefix *prefix)
{
    char link[32] = "/proc/self/fd/", text[sizeof prefix->text];
    int directory = (int)syscall(SYS_openat, AT_FDCWD, prefix->text, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return;
    char digits[12];
    int count = 0;
    for (int rest = directory; count == 0 || rest; rest /= 10)
        digits[count++] = (char)('0' + rest % 10);
    char *end = link + strlen(link);
    while (count)
        *end++ = digits[--count];
    *end = '\0';
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, text, sizeof text - 1);
    syscall(SYS_close, directory);
    if (length > 1 && length < (long)sizeof text - 1)
        set_prefix(prefix, text, (size_t)length);
}

/* The tree: our own path, minus the last `/usr/lib/libcape-redirect.so`. */
static bool find_root(struct cape_prefix *root)
{
    static const char suffix[] = "/usr/lib/libcape-redirect.so";
    char path[sizeof root->text];
    Dl_info self;
    if (!dladdr(cape_redirect_source, &self) || !self.dli_fname)
        return false;
    size_t length = strlen(self.dli_fname);
    if (self.dli_fname[0] != '/' || length >= sizeof path)
        return false;
    memcpy(path, self.dli_fname, length + 1);
    tidy(path);
    length = strlen(path);
    size_t cut = sizeof suffix - 1;
    if (length <= cut || strcmp(path + length - cut, suffix) != 0)
        return false;
    if (!set_prefix(root, path, length - cut))
        return false;
    make_real(root);
    return true;
}

static size_t parent_length(const char *path, size_t length)
{
    while (length && path[length - 1] != '/')
        length--;
    return length ? length - 1 : 0;
}

static bool ends_with(const struct cape_prefix *prefix, const char *suffix)
{
    size_t cut = strlen(suffix);
    return prefix->length > cut && strcmp(prefix->text + prefix->length - cut, suffix) == 0;
}

/* $CAPE_ENV is another name of the environment when both are one directory. */
static void find_alias(struct cape_places *places)
{
    struct stat own, named;
    const char *text = getenv("CAPE_ENV");
    if (!text || strcmp(text, places->environment.text) == 0)
        return;
    if (syscall(SYS_newfstatat, AT_FDCWD, places->environment.text, &own, 0) ||
        syscall(SYS_newfstatat, AT_FDCWD, text, &named, 0))
        return;
    if (own.st_dev == named.st_dev && own.st_ino == named.st_ino)
        set_prefix(&places->alias, text, strlen(text));
}

/* A user's or project's own directory that lies below /usr, /var or /run. Homes like /usr/sbin or /var,
 * which system users have, are not: only what is deeper than the system's own directories. */
static void add_own(struct cape_prefix *own, const char *text, size_t length)
{
    static const char *const homes[] = {"/var/lib/", "/var/www/", "/var/tmp/", "/var/opt/", "/var/home/",
                                        "/var/cache/", "/usr/src/", "/usr/local/", "/usr/home/", "/run/"};
    for (size_t i = 0; i < sizeof homes / sizeof *homes; i++) {
        size_t prefix = strlen(homes[i]);
        if (length > prefix && strncmp(text, homes[i], prefix) == 0) {
            set_prefix(own, text, length);
            return;
        }
    }
}

/* The store: the directory above the one that environments lie in. */
static void find_store(struct cape_places *places)
{
    static const char environments[] = "/environments";
    const struct cape_prefix *environment = &places->environment;
    size_t above = parent_length(environment->text, environment->length);
    size_t cut = sizeof environments - 1;
    if (above > cut && strncmp(environment->text + above - cut, environments, cut) == 0)
        set_prefix(&places->store, environment->text, above - cut);
}

static void find_own(struct cape_places *places)
{
    const char *home = getenv("HOME"), *temporary = getenv("TMPDIR");
    add_own(&places->own[0], places->store.text, places->store.length);
    if (home)
        add_own(&places->own[1], home, strlen(home));
    if (temporary)
        add_own(&places->own[2], temporary, strlen(temporary));
}

/* The overlay, and the project that its state belongs to (`PROJECT/.cape/state`). */
static void find_state(struct cape_places *places)
{
    static const char inside[] = "/.cape/state", overlay[] = "/overlay";
    struct cape_prefix state = {0};
    const char *text = getenv("CAPE_STATE");
    if (!text || !set_prefix(&state, text, strlen(text)) || state.length + sizeof overlay > sizeof state.text)
        return;
    size_t cut = ends_with(&state, inside) ? sizeof inside - 1 : 0;
    add_own(&places->own[3], state.text, state.length - cut);
    if (!places->own[3].length && !strncmp(state.text, "/usr/", 5))
        set_prefix(&places->own[3], state.text, state.length - cut);
    memcpy(state.text + state.length, overlay, sizeof overlay);
    set_prefix(&places->overlay, state.text, state.length + sizeof overlay - 1);
}

static int find_places(struct cape_places *places)
{
    if (getauxval(AT_SECURE) || !find_root(&places->root))
        return CAPE_OFF;
    size_t length = parent_length(places->root.text, places->root.length);
    if (!set_prefix(&places->environment, places->root.text, length))
        places->environment = places->root;
    places->all_powerful = getauxval(AT_EUID) == 0;
    find_alias(places);
    find_store(places);
    find_own(places);
    find_state(places);
    return CAPE_ON;
}

/* Another thread, or a signal handler of this one, that comes while this runs is passed through. */
int cape_settle(void)
{
    int mode = CAPE_UNSETTLED;
    if (!__atomic_compare_exchange_n(&cape_places.mode, &mode, CAPE_SETTLING, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE))
        return mode;
    int saved = errno;
    mode = find_places(&cape_places);
    errno = saved;
    __atomic_store_n(&cape_places.mode, mode, __ATOMIC_RELEASE);
    return mode;
}

void cape_switch_off(void)
{
    __atomic_store_n(&cape_places.mode, CAPE_OFF, __ATOMIC_RELEASE);
}

__attribute__((constructor)) static void settle_early(void)
{
    int saved = errno;
    cape_is_on();
    cape_openat(-1, "", O_RDONLY, 0); /* looks openat up, which signal handlers and vfork children use */
    errno = saved;
}
