/* Locales, character sets and messages: libc opens their files with calls that do not reach us, in
 * directories that a variable can name. The variable is lent for one call and never exported, as an
 * exported LOCPATH would break programs of the host. Lending swaps the list of variables for one with
 * one more at its head; getenv in another thread sees one or the other, whole. */
#include "redirect.h"
#include <iconv.h>
#include <libintl.h>
#include <locale.h>
#include <nl_types.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

extern char **environ;

static int lock;
static char **lent;      /* the list with our variable; it grows and is never freed, as readers may hold it */
static size_t lent_room;

static bool take_lock(void)
{
    for (int tries = 0; tries < 100000; tries++) {
        if (!__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
            return true;
        sched_yield();
    }
    return false; /* a thread that is gone since fork held it; then nothing is lent */
}

static void drop_lock(void)
{
    __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
}

struct loan {
    char **before;
    char variable[PATH_MAX];
};

/* Puts `NAME=<root>/<directory>` before all variables; false when nothing was lent. */
static bool lend(struct loan *loan, const char *name, const char *directory)
{
    if (!cape_is_on() || getenv(name))
        return false;
    int length = snprintf(loan->variable, sizeof loan->variable, "%s=%s/%s", name, cape_places.root.text, directory);
    if (length < 0 || (size_t)length >= sizeof loan->variable || !cape_exists(strchr(loan->variable, '=') + 1))
        return false;
    if (!take_lock())
        return false;
    size_t count = 0;
    while (environ && environ[count])
        count++;
    if (count + 2 > lent_room) {
        char **larger = malloc(2 * (count + 2) * sizeof *larger);
        if (!larger) {
            drop_lock();
            return false;
        }
        lent = larger;
        lent_room = 2 * (count + 2);
    }
    lent[count + 1] = NULL;
    for (size_t i = count; i-- > 0;)
        lent[i + 1] = environ[i];
    lent[0] = loan->variable;
    loan->before = environ;
    environ = lent;
    return true;
}

static void take_back(struct loan *loan, const char *name)
{
    if (environ == lent)
        environ = loan->before;
    else
        unsetenv(name); /* another thread set a variable meanwhile, so libc made a list of its own */
    lent[0] = (char *)(uintptr_t)"CAPE=";
    drop_lock();
}

static bool is_plain_locale(const char *name)
{
    return !name || strcmp(name, "C") == 0 || strcmp(name, "POSIX") == 0;
}

EXPORT char *setlocale(int category, const char *name)
{
    struct loan loan;
    int saved = errno;
    bool is_lent = !is_plain_locale(name) && lend(&loan, "LOCPATH", "usr/lib/locale");
    if (is_lent)
        errno = saved;
    char *result = BEHIND(setlocale)(category, name);
    if (is_lent)
        take_back(&loan, "LOCPATH");
    return result;
}

EXPORT locale_t newlocale(int mask, const char *name, locale_t base)
{
    struct loan loan;
    int saved = errno;
    bool is_lent = !is_plain_locale(name) && lend(&loan, "LOCPATH", "usr/lib/locale");
    errno = saved;
    locale_t result = BEHIND(newlocale)(mask, name, base);
    if (is_lent)
        take_back(&loan, "LOCPATH");
    return result;
}

locale_t __newlocale(int mask, const char *name, locale_t base);

/* The name that the C++ library calls. */
EXPORT locale_t __newlocale(int mask, const char *name, locale_t base)
{
    return newlocale(mask, name, base);
}

#if defined __x86_64__
#define GCONV "usr/lib/x86_64-linux-gnu/gconv"
#else
#define GCONV "usr/lib/aarch64-linux-gnu/gconv"
#endif

/* Where the tree has a table of its modules, its libc finds it: relocation saw to that. */
static bool lend_modules(struct loan *loan)
{
    char table[PATH_MAX];
    int length = snprintf(table, sizeof table, "%s/%s/gconv-modules.cache", cape_places.root.text, GCONV);
    if (length > 0 && (size_t)length < sizeof table && cape_exists(table))
        return false;
    return lend(loan, "GCONV_PATH", GCONV);
}

EXPORT iconv_t iconv_open(const char *to, const char *from)
{
    struct loan loan;
    int saved = errno;
    bool is_lent = lend_modules(&loan);
    errno = saved;
    iconv_t result = BEHIND(iconv_open)(to, from);
    if (is_lent)
        take_back(&loan, "GCONV_PATH");
    return result;
}

/* libc's private function that the iconv program calls; its arguments are handed on as they are. Before
 * glibc 2.32 it has one more. */
int __gconv_open(void *first, void *second, void *third, void *fourth);
EXPORT int __gconv_open(void *first, void *second, void *third, void *fourth)
{
    struct loan loan;
    int saved = errno;
    bool is_lent = lend_modules(&loan);
    errno = saved;
    int result = BEHIND(__gconv_open)(first, second, third, fourth);
    if (is_lent)
        take_back(&loan, "GCONV_PATH");
    return result;
}

/* A directory of messages: the tree's, when it has it. libc copies the path. */
EXPORT char *bindtextdomain(const char *domain, const char *path)
{
    struct cape_route route;
    if (cape_concerns(path)) {
        cape_route(&route, path, FOR_LISTING);
        path = cape_pick(&route);
    }
    return BEHIND(bindtextdomain)(domain, path);
}

CAPE_READ(nl_catd, (nl_catd)-1, catopen, (const char *path, int flags), (path, flags), FOR_READING,
          BEHIND(catopen)(path, flags))
