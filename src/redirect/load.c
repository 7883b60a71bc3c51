/* dlopen and dlmopen. glibc takes the search path of a bare name from the library that called, which it
 * knows by the return address: so both are tail calls, and the path that they hand on must outlive them.
 * A library of the host never stands in for one that the tree lacks, graphics drivers apart. */
#include "redirect.h"
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>

#ifdef __clang__
#define TAIL_CALL __attribute__((musttail)) return
#else
#define TAIL_CALL return
#endif

struct kept {
    struct kept *next;
    char text[];
};

/* A copy of a path that is never freed; one for each path. */
static const char *keep(const char *path)
{
    static struct kept *first;
    struct kept *known = __atomic_load_n(&first, __ATOMIC_ACQUIRE);
    for (struct kept *item = known; item; item = item->next)
        if (strcmp(item->text, path) == 0)
            return item->text;
    struct kept *made = malloc(sizeof *made + strlen(path) + 1);
    if (!made)
        return NULL;
    strcpy(made->text, path);
    do
        made->next = known;
    while (!__atomic_compare_exchange_n(&first, &known, made, false, __ATOMIC_RELEASE, __ATOMIC_ACQUIRE));
    return made->text;
}

static APART const char *routed(const char *path)
{
    struct cape_route route;
    cape_route(&route, path, FOR_READING);
    if (route.area != AREA_USR)
        return path;
    const char *tree = cape_candidate(&route, STEP_TREE);
    if (cape_is_driver(route.tail) && !cape_exists(tree))
        tree = path;
    errno = route.saved_errno;
    const char *kept = tree == path ? path : keep(tree);
    return kept ? kept : path;
}

typedef void *loader(const char *path, int flags);
typedef void *space_loader(Lmid_t space, const char *path, int flags);

static loader *real_dlopen(void)
{
    return BEHIND(dlopen);
}

static space_loader *real_dlmopen(void)
{
    return BEHIND(dlmopen);
}

EXPORT void *dlopen(const char *path, int flags)
{
    loader *real = real_dlopen();
    if (cape_concerns(path))
        path = routed(path);
    TAIL_CALL real(path, flags);
}

EXPORT void *dlmopen(Lmid_t space, const char *path, int flags)
{
    space_loader *real = real_dlmopen();
    if (cape_concerns(path))
        path = routed(path);
    TAIL_CALL real(space, path, flags);
}
