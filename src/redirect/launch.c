/* Starting programs. The kernel and libc look at `#!` lines and at PATH with the host's eyes, so both
 * are done here: a script whose interpreter the tree has is started with that one, and a program whose
 * loader the machine lacks through the tree's. Callers may be vfork children: no malloc, and what is
 * written outlives nobody. */
#include "redirect.h"
#include <alloca.h>
#include <elf.h>
#include <paths.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>

extern char **environ;

#if defined __x86_64__
#define LOADER "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
#define LOADER_NAME "/ld-linux-x86-64.so.2"
#define TRIPLET "x86_64-linux-gnu"
#else
#define LOADER "usr/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1"
#define LOADER_NAME "/ld-linux-aarch64.so.1"
#define TRIPLET "aarch64-linux-gnu"
#endif

enum { HEAD = 256, DEEPEST = 5 };

static size_t count_of(char *const *list)
{
    size_t count = 0;
    while (list && list[count])
        count++;
    return count;
}

/* Room for an argument list: the caller's stack when it is short, pages when it is long. */
#define ARGUMENT_LIST(list, count)                                                                         \
    size_t list##_size = (count) * sizeof(char *);                                                         \
    char **list = list##_size <= 65536                                                                     \
                      ? alloca(list##_size)                                                                \
                      : mmap(NULL, list##_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)

static void release(char **list, size_t size)
{
    if (size > 65536 && list != MAP_FAILED)
        munmap(list, size);
}

/* The first bytes of a file, with a zero after them. Gives their count; -1 with errno when it cannot be
 * opened; 0 when it may be run but not read. */
static long read_head(const char *path, char *head)
{
    int file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    head[0] = '\0';
    if (file < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG || errno == ELOOP ? -1 : 0;
    long count = syscall(SYS_read, file, head, HEAD - 1);
    syscall(SYS_close, file);
    if (count < 0)
        count = 0;
    head[count] = '\0';
    return count;
}

/* ---- the loader ---- */

/* Whether an ELF file asks for the system's loader, at a path that the machine does not have. */
static bool lacks_loader(const char *path)
{
    Elf64_Ehdr header;
    Elf64_Phdr segment;
    char loader[128];
    bool lacking = false;
    int file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    if (syscall(SYS_read, file, &header, sizeof header) == sizeof header &&
        memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 && header.e_ident[EI_CLASS] == ELFCLASS64 &&
        header.e_phentsize == sizeof segment)
        for (unsigned i = 0; i < header.e_phnum; i++) {
            off_t at = (off_t)(header.e_phoff + i * sizeof segment);
            if (syscall(SYS_pread64, file, &segment, sizeof segment, at) != sizeof segment)
                break;
            if (segment.p_type != PT_INTERP || segment.p_filesz >= sizeof loader)
                continue;
            long length = syscall(SYS_pread64, file, loader, segment.p_filesz, segment.p_offset);
            loader[length < 0 ? 0 : length] = '\0';
            const char *name = strrchr(loader, '/');
            lacking = name && strcmp(name, LOADER_NAME) == 0 && !cape_exists(loader);
        }
    syscall(SYS_close, file);
    return lacking;
}

static APART int start_with_loader(struct cape_launch *launch, const char *path, char *const *arguments,
                                   char *const *variables)
{
    const char *root = cape_places.root.text;
    char loader[sizeof cape_places.root.text + sizeof LOADER + 1];
    char libraries[2 * sizeof cape_places.root.text + 64];
    stpcpy(stpcpy(stpcpy(loader, root), "/"), LOADER);
    stpcpy(stpcpy(stpcpy(stpcpy(libraries, root), "/usr/lib/" TRIPLET ":"), root), "/usr/lib");
    if (!cape_exists(loader))
        return ENOENT;
    size_t count = count_of(arguments);
    ARGUMENT_LIST(list, count + 8);
    if (list == MAP_FAILED)
        return ENOMEM;
    char **end = list;
    *end++ = loader;
    *end++ = (char *)(uintptr_t)"--library-path";
    *end++ = libraries;
    if (count) {
        *end++ = (char *)(uintptr_t)"--argv0";
        *end++ = arguments[0];
    }
    *end++ = (char *)(uintptr_t)path;
    for (size_t i = 1; i < count; i++)
        *end++ = arguments[i];
    *end = NULL;
    int error = launch->start(launch, loader, list, variables);
    release(list, list_size);
    return error;
}

static int start_plain(struct cape_launch *launch, const char *path, char *const *arguments,
                       char *const *variables)
{
    int error = launch->start(launch, path, arguments, variables);
    if (error == ENOENT && cape_is_on() && lacks_loader(path))
        error = start_with_loader(launch, path, arguments, variables);
    return error;
}

/* ---- `#!` ---- */

/* Takes a `#!` line apart, in place: the interpreter, and its one argument or NULL. */
static bool parse_script(char *head, char **interpreter, char **argument)
{
    if (head[0] != '#' || head[1] != '!')
        return false;
    char *line = head + 2;
    char *end = strchr(line, '\n');
    if (!end && strlen(head) == HEAD - 1)
        return false; /* too long for us; the kernel may know better */
    if (!end)
        end = head + strlen(head);
    while (end > line && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    *end = '\0';
    line += strspn(line, " \t");
    *interpreter = line;
    line += strcspn(line, " \t");
    *argument = NULL;
    if (*line) {
        *line++ = '\0';
        line += strspn(line, " \t");
        if (*line)
            *argument = line;
    }
    return **interpreter == '/';
}

static int start_file(struct cape_launch *launch, const char *path, char *head, char *const *arguments,
                      char *const *variables, int depth);

/* Starts a script with the tree's interpreter, whose name for itself stays the one in the script. */
static APART int start_script(struct cape_launch *launch, const char *path, char *interpreter, char *argument,
                              const char *found, char *const *arguments, char *const *variables, int depth)
{
    char head[HEAD];
    if (read_head(found, head) < 0)
        return errno;
    size_t count = count_of(arguments);
    ARGUMENT_LIST(list, count + 4);
    if (list == MAP_FAILED)
        return ENOMEM;
    char **end = list;
    *end++ = interpreter;
    if (argument)
        *end++ = argument;
    *end++ = (char *)(uintptr_t)path;
    for (size_t i = 1; i < count; i++)
        *end++ = arguments[i];
    *end = NULL;
    int error = start_file(launch, found, head, list, variables, depth + 1);
    release(list, list_size);
    return error;
}

/* The tree's file for an interpreter, or NULL when the kernel is to find it. */
static const char *tree_interpreter(struct cape_route *route, const char *interpreter)
{
    if (!cape_concerns(interpreter))
        return NULL;
    cape_route(route, interpreter, FOR_RUNNING);
    if (route->area != AREA_USR)
        return NULL;
    const char *found = cape_candidate(route, STEP_TREE);
    return cape_exists(found) ? found : NULL;
}

static APART int start_file(struct cape_launch *launch, const char *path, char *head, char *const *arguments,
                            char *const *variables, int depth)
{
    struct cape_route route;
    char *interpreter, *argument;
    if (!parse_script(head, &interpreter, &argument))
        return start_plain(launch, path, arguments, variables);
    const char *found = tree_interpreter(&route, interpreter);
    if (!found || syscall(SYS_faccessat, AT_FDCWD, path, X_OK) != 0)
        return start_plain(launch, path, arguments, variables);
    if (depth >= DEEPEST)
        return ELOOP;
    return start_script(launch, path, interpreter, argument, found, arguments, variables, depth);
}

/* Starts the file that a path means. Gives an errno, or 0 when posix_spawn started it. */
APART int cape_launch_file(struct cape_launch *launch, const char *path, char *const *arguments,
                           char *const *variables)
{
    struct cape_route route;
    char head[HEAD];
    const char *file = path;
    if (!path || !cape_is_on())
        return launch->start(launch, path, arguments, variables);
    if (cape_concerns(path)) {
        cape_route(&route, path, FOR_RUNNING);
        while ((file = cape_next(&route))) {
            long count = read_head(file, head);
            if (count >= 0 || route.at >= route.count)
                break;
        }
        errno = route.saved_errno;
        if (!file)
            file = path;
    } else if (read_head(path, head) < 0) {
        head[0] = '\0';
    }
    return start_file(launch, file, head, arguments, variables, 0);
}

/* ---- PATH ---- */

/* The tree's shell. */
bool cape_shell(char *path, size_t room)
{
    static const char shell[] = "/usr/bin/sh";
    if (!cape_is_on() || cape_places.root.length + sizeof shell > room)
        return false;
    stpcpy(stpcpy(path, cape_places.root.text), shell);
    return syscall(SYS_faccessat, AT_FDCWD, path, X_OK) == 0;
}

/* A file that is no program is given to the shell, as execvp does. */
static APART int start_by_shell(struct cape_launch *launch, const char *path, char *const *arguments,
                                char *const *variables)
{
    char shell[sizeof cape_places.root.text + 16];
    size_t count = count_of(arguments);
    ARGUMENT_LIST(list, count + 3);
    if (list == MAP_FAILED)
        return ENOMEM;
    if (!cape_shell(shell, sizeof shell))
        strcpy(shell, _PATH_BSHELL);
    list[0] = (char *)(uintptr_t)"sh";
    list[1] = (char *)(uintptr_t)path;
    for (size_t i = 1; i < count; i++)
        list[i + 1] = arguments[i];
    list[count > 1 ? count + 1 : 2] = NULL;
    int error = launch->start(launch, shell, list, variables);
    release(list, list_size);
    return error;
}

static int start_or_shell(struct cape_launch *launch, const char *path, char *const *arguments,
                          char *const *variables, bool shell)
{
    int error = cape_launch_file(launch, path, arguments, variables);
    if (error == ENOEXEC && shell)
        error = start_by_shell(launch, path, arguments, variables);
    return error;
}

/* Whether a directory of PATH may be skipped after this error. */
static bool is_passable(int error)
{
    return error == ENOENT || error == ENOTDIR || error == ESTALE || error == ENODEV || error == ETIMEDOUT ||
           error == EACCES;
}

/* Whether there is a file at all, so that posix_spawn need not start a child for each directory. */
static bool is_worth_it(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && !S_ISDIR(status.st_mode);
}

static APART int launch_by_name(struct cape_launch *launch, const char *name, char *const *arguments,
                                char *const *variables, bool shell)
{
    char path[PATH_MAX];
    size_t length = strlen(name);
    int error = ENOENT;
    bool denied = false;
    if (!length)
        return ENOENT;
    if (strchr(name, '/'))
        return start_or_shell(launch, name, arguments, variables, shell);
    if (length > NAME_MAX)
        return ENAMETOOLONG;
    const char *directory = getenv("PATH");
    if (!directory)
        directory = "/bin:/usr/bin";
    for (;; directory++) {
        size_t part = strcspn(directory, ":");
        if (part + length + 2 <= sizeof path) {
            memcpy(path, directory, part);
            path[part] = '/';
            strcpy(path + part + (part != 0), name);
            if (is_worth_it(path)) {
                error = start_or_shell(launch, path, arguments, variables, shell);
                if (!is_passable(error))
                    return error;
                denied = denied || error == EACCES;
            } else if (errno == EACCES) {
                denied = true;
            }
        }
        directory += part;
        if (!*directory)
            return denied ? EACCES : ENOENT;
    }
}

/* ---- exec ---- */

static int replace_process(struct cape_launch *launch __attribute__((unused)), const char *file,
                           char *const *arguments, char *const *variables)
{
    syscall(SYS_execve, file, arguments, variables);
    return errno;
}

static int failed(int error)
{
    errno = error;
    return -1;
}

EXPORT int execve(const char *path, char *const arguments[], char *const variables[])
{
    struct cape_launch launch = {.start = replace_process};
    return failed(cape_launch_file(&launch, path, arguments, variables));
}
EXPORT int execv(const char *path, char *const arguments[])
{
    return execve(path, arguments, environ);
}
EXPORT int execvpe(const char *name, char *const arguments[], char *const variables[])
{
    struct cape_launch launch = {.start = replace_process};
    int saved = errno;
    int error = launch_by_name(&launch, name, arguments, variables, true);
    errno = saved;
    return failed(error);
}
EXPORT int execvp(const char *name, char *const arguments[])
{
    return execvpe(name, arguments, environ);
}
EXPORT int execveat(int directory, const char *path, char *const arguments[], char *const variables[], int flags)
{
    if (!flags && (directory == AT_FDCWD || path[0] == '/'))
        return execve(path, arguments, variables);
    return (int)syscall(SYS_execveat, directory, path, arguments, variables, flags);
}

/* The arguments of execl and its kin, on the stack of the caller that never comes back. */
#define EXEC_LIST(name, call, variables)                                                                   \
    EXPORT int name(const char *path, const char *first, ...)                                              \
    {                                                                                                      \
        va_list rest;                                                                                      \
        size_t count = 1;                                                                                  \
        va_start(rest, first);                                                                             \
        for (const char *each = first; each; each = va_arg(rest, const char *))                           \
            count++;                                                                                       \
        va_end(rest);                                                                                      \
        char *arguments[count];                                                                            \
        va_start(rest, first);                                                                             \
        arguments[0] = (char *)(uintptr_t)first;                                                           \
        for (size_t i = 1; i < count; i++)                                                                 \
            arguments[i] = va_arg(rest, char *);                                                           \
        char *const *block = variables;                                                                    \
        va_end(rest);                                                                                      \
        return call(path, arguments, (char *const *)block);                                                \
    }
EXEC_LIST(execl, execve, environ)
EXEC_LIST(execlp, execvpe, environ)
EXEC_LIST(execle, execve, va_arg(rest, char *const *))

/* ---- posix_spawn ---- */

struct spawning {
    pid_t *process;
    const posix_spawn_file_actions_t *actions;
    const posix_spawnattr_t *attributes;
};

static int spawn_process(struct cape_launch *launch, const char *file, char *const *arguments,
                         char *const *variables)
{
    struct spawning *spawning = launch->context;
    return BEHIND(posix_spawn)(spawning->process, file, spawning->actions, spawning->attributes, arguments,
                               variables);
}

EXPORT int posix_spawn(pid_t *process, const char *path, const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *attributes, char *const arguments[], char *const variables[])
{
    struct spawning spawning = {.process = process, .actions = actions, .attributes = attributes};
    struct cape_launch launch = {.start = spawn_process, .context = &spawning};
    int saved = errno;
    int error = cape_launch_file(&launch, path, arguments, variables);
    errno = saved;
    return error;
}

EXPORT int posix_spawnp(pid_t *process, const char *name, const posix_spawn_file_actions_t *actions,
                        const posix_spawnattr_t *attributes, char *const arguments[], char *const variables[])
{
    struct spawning spawning = {.process = process, .actions = actions, .attributes = attributes};
    struct cape_launch launch = {.start = spawn_process, .context = &spawning};
    int saved = errno;
    int error = launch_by_name(&launch, name, arguments, variables, false);
    errno = saved;
    return error;
}

/* The child opens these inside libc, so the file is chosen when the action is added. */
EXPORT int posix_spawn_file_actions_addopen(posix_spawn_file_actions_t *actions, int descriptor, const char *path,
                                            int flags, mode_t mode)
{
    struct cape_route route;
    int saved = errno;
    if ((flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC)) {
        if (cape_change_concerns(AT_FDCWD, path)) {
            const char *found = cape_change_open(&route, AT_FDCWD, path, &flags);
            if (!found) {
                int error = errno;
                errno = saved;
                return error;
            }
            path = found;
        }
    } else if (cape_concerns(path)) {
        cape_route(&route, path, FOR_READING);
        path = cape_pick(&route);
    }
    return BEHIND(posix_spawn_file_actions_addopen)(actions, descriptor, path, flags, mode);
}

static const char *directory_for(struct cape_route *route, const char *path)
{
    if (!cape_concerns(path))
        return path;
    cape_route(route, path, FOR_LISTING);
    return cape_pick(route);
}

EXPORT int posix_spawn_file_actions_addchdir_np(posix_spawn_file_actions_t *actions, const char *path)
{
    struct cape_route route;
    return BEHIND(posix_spawn_file_actions_addchdir_np)(actions, directory_for(&route, path));
}
