/* Calls of libc that walk directories or take a path apart inside libc, where its own calls do not reach
 * us: each is started with a path that is already right. */
#include "redirect.h"
#include <dirent.h>
#include <ftw.h>
#include <fts.h>
#include <glob.h>
#include <stdlib.h>

CAPE_READ(DIR *, NULL, opendir, (const char *path), (path), FOR_LISTING, BEHIND(opendir)(path))

typedef int keeps(const struct dirent *);
typedef int compares(const struct dirent **, const struct dirent **);
typedef int keeps64(const struct dirent64 *);
typedef int compares64(const struct dirent64 **, const struct dirent64 **);

CAPE_READ(int, -1, scandir, (const char *path, struct dirent ***list, keeps *keep, compares *compare),
          (path, list, keep, compare), FOR_LISTING, BEHIND(scandir)(path, list, keep, compare))
CAPE_READ(int, -1, scandir64, (const char *path, struct dirent64 ***list, keeps64 *keep, compares64 *compare),
          (path, list, keep, compare), FOR_LISTING, BEHIND(scandir64)(path, list, keep, compare))
CAPE_READ(int, -1, scandirat,
          (int directory, const char *path, struct dirent ***list, keeps *keep, compares *compare),
          (directory, path, list, keep, compare), FOR_LISTING, BEHIND(scandirat)(directory, path, list, keep, compare))
CAPE_READ(int, -1, scandirat64,
          (int directory, const char *path, struct dirent64 ***list, keeps64 *keep, compares64 *compare),
          (directory, path, list, keep, compare), FOR_LISTING,
          BEHIND(scandirat64)(directory, path, list, keep, compare))

/* ---- realpath ---- */

CAPE_READ(char *, NULL, realpath, (const char *path, char *resolved), (path, resolved), FOR_READING,
          BEHIND(realpath)(path, resolved))
CAPE_READ(char *, NULL, canonicalize_file_name, (const char *path), (path), FOR_READING,
          BEHIND(canonicalize_file_name)(path))
extern void __chk_fail(void) __attribute__((noreturn));
EXPORT char *__realpath_chk(const char *path, char *resolved, size_t room)
{
    if (room < PATH_MAX)
        __chk_fail();
    return realpath(path, resolved);
}

/* ---- glob ---- */

/* How much of a pattern is a plain directory: up to the last slash before the first special sign. */
static size_t literal_length(const char *pattern)
{
    size_t plain = strcspn(pattern, "*?[{\\");
    if (!pattern[plain])
        return plain;
    while (plain && pattern[plain - 1] != '/')
        plain--;
    return plain;
}

/* Writes the tree's pattern: its root with special signs escaped, then the rest of the pattern. */
static bool tree_pattern(const char *directory, const char *rest, bool escape, char *out, size_t room)
{
    size_t used = 0;
    for (const char *letter = directory; *letter; letter++) {
        if (escape && strchr("*?[{}\\~", *letter))
            out[used++] = '\\';
        out[used++] = *letter;
        if (used + 2 >= room)
            return false;
    }
    if (used + strlen(rest) + 1 > room)
        return false;
    strcpy(out + used, rest);
    return true;
}

/* Gives matches the names that the program asked for: `/usr/...`, without the tree's root. */
static void strip_root(char **names, size_t count)
{
    size_t length = cape_places.root.length;
    for (size_t i = 0; names && i < count; i++)
        if (names[i] && cape_below(&cape_places.root, names[i]) && names[i][length])
            memmove(names[i], names[i] + length, strlen(names[i] + length) + 1);
}

typedef int fails(const char *, int);

#define GLOB(name, type)                                                                                       \
    static APART int name##_routed(const char *pattern, int flags, fails *fail, type *found)                   \
    {                                                                                                          \
        struct cape_route route;                                                                               \
        char literal[PATH_MAX], text[2 * PATH_MAX];                                                            \
        size_t length = literal_length(pattern);                                                               \
        if (length >= sizeof literal)                                                                          \
            return BEHIND(name)(pattern, flags, fail, found);                                                  \
        memcpy(literal, pattern, length);                                                                      \
        literal[length] = '\0';                                                                                \
        cape_route(&route, literal, FOR_READING);                                                              \
        int result = GLOB_NOMATCH;                                                                             \
        for (const char *path; result == GLOB_NOMATCH && (path = cape_next(&route));) {                        \
            bool host = route.steps[route.at - 1] == STEP_HOST;                                                \
            if (host || !tree_pattern(path, pattern + length, !(flags & GLOB_NOESCAPE), text, sizeof text))    \
                strcpy(text, strlen(pattern) < sizeof text ? pattern : "");                                    \
            int tried = cape_has_more(&route) ? flags & ~(GLOB_NOCHECK | GLOB_NOMAGIC) : flags;                \
            result = BEHIND(name)(text, tried, fail, found);                                                   \
            if (result == 0 && !host)                                                                          \
                strip_root(found->gl_pathv, found->gl_pathc + (flags & GLOB_DOOFFS ? found->gl_offs : 0));     \
        }                                                                                                      \
        errno = result == 0 ? route.saved_errno : errno;                                                       \
        return result;                                                                                         \
    }                                                                                                          \
    EXPORT int name(const char *pattern, int flags, fails *fail, type *found)                                  \
    {                                                                                                          \
        if (!cape_concerns(pattern) || flags & GLOB_ALTDIRFUNC)                                                \
            return BEHIND(name)(pattern, flags, fail, found);                                                  \
        return name##_routed(pattern, flags, fail, found);                                                     \
    }
GLOB(glob, glob_t)
GLOB(glob64, glob64_t)

/* ---- walks ---- */

/* These go wrong half-way when they are tried, so their start is looked for first. */
#define WALK(name, function)                                                                                  \
    EXPORT int name(const char *path, function visit, int descriptors)                                        \
    {                                                                                                         \
        struct cape_route route;                                                                              \
        if (cape_concerns(path)) {                                                                            \
            cape_route(&route, path, FOR_LISTING);                                                            \
            path = cape_pick(&route);                                                                         \
        }                                                                                                     \
        return BEHIND(name)(path, visit, descriptors);                                                        \
    }
WALK(ftw, __ftw_func_t)
WALK(ftw64, __ftw64_func_t)

#define NEW_WALK(name, function)                                                                              \
    EXPORT int name(const char *path, function visit, int descriptors, int flags)                             \
    {                                                                                                         \
        struct cape_route route;                                                                              \
        if (cape_concerns(path)) {                                                                            \
            cape_route(&route, path, FOR_LISTING);                                                            \
            path = cape_pick(&route);                                                                         \
        }                                                                                                     \
        return BEHIND(name)(path, visit, descriptors, flags);                                                 \
    }
NEW_WALK(nftw, __nftw_func_t)
NEW_WALK(nftw64, __nftw64_func_t)

/* fts keeps copies of its paths, so ours are freed when it has started. */
#define FTS(name, stream, entry)                                                                              \
    EXPORT stream *name(char *const *paths, int flags, int (*compare)(const entry **, const entry **))        \
    {                                                                                                         \
        size_t count = 0;                                                                                     \
        bool ours = false;                                                                                    \
        for (; paths[count]; count++)                                                                         \
            ours = ours || cape_concerns(paths[count]);                                                       \
        if (!ours)                                                                                            \
            return BEHIND(name)(paths, flags, compare);                                                       \
        char **routed = calloc(count + 1, sizeof *routed);                                                    \
        for (size_t i = 0; routed && i < count; i++) {                                                        \
            struct cape_route route;                                                                          \
            cape_route(&route, paths[i], FOR_LISTING);                                                        \
            routed[i] = strdup(cape_concerns(paths[i]) ? cape_pick(&route) : paths[i]);                       \
        }                                                                                                     \
        stream *found = BEHIND(name)(routed ? routed : (char **)(uintptr_t)paths, flags, compare);            \
        for (size_t i = 0; routed && i < count; i++)                                                          \
            free(routed[i]);                                                                                  \
        free(routed);                                                                                         \
        return found;                                                                                         \
    }
FTS(fts_open, FTS, FTSENT)
FTS(fts64_open, FTS64, FTSENT64)
