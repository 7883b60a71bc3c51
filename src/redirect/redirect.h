/* The redirecting C library: what its files share.
 *
 * libcape-redirect.so is the first NEEDED of every program of an environment. It stands before libc for
 * the calls that take a path, and sends the paths that Debian compiled into programs (`/usr/share/vim`)
 * to the environment's own tree. docs/redirect.md has the table of calls, and the rules.
 *
 *   places.c   where the tree, the environment and the project's state are; found once
 *   route.c    where one path goes: for a reader, a list of files to try; for a writer, one file or an errno
 *   overlay.c  files of /var, /run and /etc that programs change
 *   open.c, status.c, change.c, walk.c, load.c, lend.c, launch.c, shell.c      the calls, by kind
 *
 * Laws of all files here: no malloc where a caller may be in a vfork child or a signal handler (paths and
 * argument lists live on the stack); errno is changed only when the call fails; nothing of libc is
 * referred to that glibc 2.28 does not have; no thread-local storage; no constructor is needed for a call
 * to be right (another library's constructor may come first). What knows packages does not belong here.
 */
#ifndef CAPE_REDIRECT_H
#define CAPE_REDIRECT_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

/* A system call by itself: libc's `syscall` is one of the calls that this library stands before. */
static inline long cape_kernel(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
    long result;
    register long fourth __asm__("r10") = d;
    register long fifth __asm__("r8") = e;
    register long sixth __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth), "r"(fifth), "r"(sixth)
                     : "rcx", "r11", "memory");
#elif defined(__aarch64__)
    register long which __asm__("x8") = number;
    register long result __asm__("x0") = a;
    register long second __asm__("x1") = b;
    register long third __asm__("x2") = c;
    register long fourth __asm__("x3") = d;
    register long fifth __asm__("x4") = e;
    register long sixth __asm__("x5") = f;
    __asm__ volatile("svc 0"
                     : "+r"(result)
                     : "r"(which), "r"(second), "r"(third), "r"(fourth), "r"(fifth), "r"(sixth)
                     : "memory");
#else
#error "the kernel's way in is known for x86_64 and aarch64"
#endif
    if ((unsigned long)result > -4096UL) {
        errno = (int)-result;
        return -1;
    }
    return result;
}

#define syscall(...) CAPE_SIX(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)
#define CAPE_SIX(number, a, b, c, d, e, f, ...) \
    cape_kernel((long)(number), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define APART __attribute__((noinline))
#define LIKELY(condition) __builtin_expect(!!(condition), 1)

/* A function of the libc behind us, looked up when it is first needed. */
void *cape_behind(const char *name);
#define BEHIND(name)                                                       \
    ({                                                                     \
        static __typeof__(&name) found;                                    \
        __typeof__(&name) real = __atomic_load_n(&found, __ATOMIC_RELAXED); \
        if (!real) {                                                       \
            real = (__typeof__(&name))cape_behind(#name);                  \
            __atomic_store_n(&found, real, __ATOMIC_RELAXED);              \
        }                                                                  \
        real;                                                              \
    })

/* ---- places ---- */

struct cape_prefix {
    size_t length;
    char text[1024]; /* starts with a slash, ends without one */
};

enum cape_mode { CAPE_UNSETTLED, CAPE_SETTLING, CAPE_ON, CAPE_OFF };

struct cape_places {
    int mode;
    struct cape_prefix root;        /* the tree of system packages */
    struct cape_prefix environment; /* its parent, which no program inside may change */
    struct cape_prefix alias;       /* $CAPE_ENV, when it names the same directory in another way */
    struct cape_prefix overlay;     /* $CAPE_STATE/overlay; empty without $CAPE_STATE */
    struct cape_prefix store;       /* where objects and environments lie, when this one lies in a store */
    struct cape_prefix own[4];      /* the project's, the user's and the store's places: passed as they are */
    bool all_powerful;              /* root started the program: the files' modes stop it from nothing */
};

extern struct cape_places cape_places;
int cape_settle(void);
void cape_switch_off(void);
int cape_openat(int directory, const char *path, int flags, mode_t mode);
bool cape_below(const struct cape_prefix *prefix, const char *path);

static inline bool cape_is_on(void)
{
    int mode = __atomic_load_n(&cape_places.mode, __ATOMIC_ACQUIRE);
    if (mode == CAPE_UNSETTLED)
        mode = cape_settle();
    return LIKELY(mode == CAPE_ON);
}

/* ---- routes ---- */

enum cape_step { STEP_HOST, STEP_TREE, STEP_OVERLAY };

enum cape_area { AREA_ELSEWHERE, AREA_OWN, AREA_USR, AREA_ETC, AREA_VAR, AREA_RUN };

enum cape_purpose { FOR_READING, FOR_LISTING, FOR_RUNNING };

/* Where a path goes. `room` holds the normal form of the path with space before it for a prefix, so
 * that each file to try is written in place. */
struct cape_route {
    const char *given;
    char *tail; /* the normal form, without its first slash; NULL when the path is not ours */
    enum cape_area area;
    enum cape_purpose purpose;
    unsigned char steps[3];
    unsigned char count;
    unsigned char at;
    bool blocked; /* a file stood where a directory was needed: a better answer than ENOENT */
    int saved_errno;
    char room[sizeof(struct cape_prefix) + PATH_MAX]; /* any path that the kernel takes, behind any prefix */
};

void cape_route(struct cape_route *route, const char *path, enum cape_purpose purpose);
const char *cape_candidate(struct cape_route *route, enum cape_step step);
const char *cape_next(struct cape_route *route);
bool cape_has_more(struct cape_route *route);
bool cape_again(struct cape_route *route);
const char *cape_pick(struct cape_route *route);
bool cape_has_dotdot(const char *path);
bool cape_is_driver(const char *tail);

/* Whether an absolute path may have to go elsewhere; false is certain. */
static inline bool cape_concerns(const char *path)
{
    __asm__("" : "+r"(path)); /* libc's headers say that it is never NULL, and the test would be left out */
    if (!path || path[0] != '/')
        return false;
    switch (path[1]) {
    case 'u': case 'b': case 's': case 'l': case 'e': case 'v': case 'r': case '/': case '.':
        return cape_is_on();
    default:
        return cape_has_dotdot(path) && cape_is_on();
    }
}

/* What a change does to its path, which decides the errno when it is refused. */
enum cape_change {
    CHANGE_CREATE, /* makes the name: EEXIST when it is there */
    CHANGE_FILE,   /* changes what is there, behind a link too: ENOENT when nothing is */
    CHANGE_ITSELF, /* the same, but of a link the link itself */
    CHANGE_REMOVE  /* removes the name */
};

enum cape_verdict { CAPE_PASS, CAPE_REFUSE, CAPE_OVERLAY };

enum cape_verdict cape_judge(int directory, const char *path);
bool cape_change_concerns(int directory, const char *path);
const char *cape_change(struct cape_route *route, int directory, const char *path, enum cape_change change);
const char *cape_change_open(struct cape_route *route, int directory, const char *path, int *flags);
bool cape_is_elsewhere_without_links(int directory, const char *path);
bool cape_is_inside(int directory, const char *path);
bool cape_leads_inside(int directory, const char *path, bool follow);
void cape_forget_directory(void);
const char *cape_lower(struct cape_route *route, struct stat *status); /* below the overlay, links not followed */

/* ---- the overlay ---- */

bool cape_exists(const char *path);
int cape_make_parents(const char *path);
int cape_copy_up(const char *from, const char *to);

/* ---- starting programs ---- */

/* How a file is started: execve, or posix_spawn with its attributes. Gives 0 or an errno. */
struct cape_launch {
    int (*start)(struct cape_launch *launch, const char *file, char *const *arguments, char *const *variables);
    void *context;
};

int cape_launch_file(struct cape_launch *launch, const char *path, char *const *arguments,
                     char *const *variables);
bool cape_shell(char *path, size_t room);

/* A call that reads: the files of the route are tried in turn until one is there. */
#define CAPE_READ(type, bad, name, parameters, arguments, purpose, call) \
    static APART type name##_routed parameters                          \
    {                                                                    \
        struct cape_route route;                                         \
        type result = bad;                                               \
        cape_route(&route, path, purpose);                               \
        for (const char *path; (path = cape_next(&route));) {            \
            result = call;                                               \
            if (result != bad || !cape_again(&route))                    \
                break;                                                   \
        }                                                                \
        if (result != bad || !errno)                                     \
            errno = route.saved_errno;                                   \
        return result;                                                   \
    }                                                                    \
    EXPORT type name parameters                                          \
    {                                                                    \
        if (!cape_concerns(path))                                        \
            return call;                                                 \
        return name##_routed arguments;                                  \
    }

/* A call that changes its path: one file, or a refusal. */
#define CAPE_CHANGE(type, bad, name, parameters, arguments, change, directory, call) \
    static APART type name##_routed parameters                                       \
    {                                                                                \
        struct cape_route route;                                                     \
        path = cape_change(&route, directory, path, change);                         \
        return path ? call : bad;                                                    \
    }                                                                                \
    EXPORT type name parameters                                                      \
    {                                                                                \
        if (!cape_change_concerns(directory, path))                                  \
            return call;                                                             \
        return name##_routed arguments;                                              \
    }

#endif
