/* system and popen, which libc makes with `/bin/sh` inside itself: written anew over posix_spawn with
 * the tree's shell. Without one in the tree, libc's own run. */
#include "redirect.h"
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

extern char **environ;

enum { SHELL_ROOM = 1100 };

static int wait_for(pid_t process)
{
    int status;
    while (waitpid(process, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return status;
}

static int spawn_shell(pid_t *process, const char *shell, const char *command,
                       const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes)
{
    char *const arguments[] = {(char *)(uintptr_t)"sh", (char *)(uintptr_t)"-c", (char *)(uintptr_t)command, NULL};
    return posix_spawn(process, shell, actions, attributes, arguments, environ);
}

/* ---- system ---- */

/* POSIX: the caller ignores SIGINT and SIGQUIT and blocks SIGCHLD while it waits; the child does not. */
static int run_shell(const char *shell, const char *command)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN}, interrupt, quit;
    sigset_t block, before, reset;
    posix_spawnattr_t attributes;
    pid_t process;
    sigaction(SIGINT, &ignore, &interrupt);
    sigaction(SIGQUIT, &ignore, &quit);
    sigemptyset(&block);
    sigaddset(&block, SIGCHLD);
    sigprocmask(SIG_BLOCK, &block, &before);
    sigemptyset(&reset);
    if (interrupt.sa_handler != SIG_IGN)
        sigaddset(&reset, SIGINT);
    if (quit.sa_handler != SIG_IGN)
        sigaddset(&reset, SIGQUIT);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &before);
    posix_spawnattr_setsigdefault(&attributes, &reset);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    int error = spawn_shell(&process, shell, command, NULL, &attributes);
    posix_spawnattr_destroy(&attributes);
    int status = error ? 127 << 8 : wait_for(process);
    sigaction(SIGINT, &interrupt, NULL);
    sigaction(SIGQUIT, &quit, NULL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return status;
}

EXPORT int system(const char *command)
{
    char shell[SHELL_ROOM];
    int saved = errno;
    if (!cape_shell(shell, sizeof shell)) {
        errno = saved;
        return BEHIND(system)(command);
    }
    errno = saved;
    return command ? run_shell(shell, command) : 1;
}

/* ---- popen ---- */

struct pipeline {
    struct pipeline *next;
    FILE *stream;
    pid_t process;
};

static struct pipeline *pipelines;
static int lock;

static void take_lock(void)
{
    while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
        sched_yield();
}

static void drop_lock(void)
{
    __atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
}

/* The child has the pipe as stdin or stdout, and none of the streams that popen opened before. */
static int start_pipeline(pid_t *process, const char *shell, const char *command, int end, int target)
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    for (struct pipeline *each = pipelines; each; each = each->next)
        if (fileno(each->stream) != target)
            posix_spawn_file_actions_addclose(&actions, fileno(each->stream));
    posix_spawn_file_actions_adddup2(&actions, end, target);
    int error = spawn_shell(process, shell, command, &actions, NULL);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

static FILE *open_pipeline(const char *shell, const char *command, bool reading, bool closing)
{
    int ends[2];
    struct pipeline *pipeline = malloc(sizeof *pipeline);
    if (!pipeline || pipe2(ends, O_CLOEXEC)) {
        free(pipeline);
        return NULL;
    }
    int ours = ends[reading ? 0 : 1], theirs = ends[reading ? 1 : 0];
    pipeline->stream = fdopen(ours, reading ? "r" : "w");
    take_lock();
    int error = pipeline->stream ? start_pipeline(&pipeline->process, shell, command, theirs, reading ? 1 : 0)
                                 : errno;
    if (!error) {
        pipeline->next = pipelines;
        pipelines = pipeline;
    }
    drop_lock();
    close(theirs);
    if (!error) {
        if (!closing)
            fcntl(ours, F_SETFD, 0);
        return pipeline->stream;
    }
    if (pipeline->stream)
        fclose(pipeline->stream);
    else
        close(ours);
    free(pipeline);
    errno = error;
    return NULL;
}

EXPORT FILE *popen(const char *command, const char *mode)
{
    char shell[SHELL_ROOM];
    bool reading = mode[0] == 'r', closing = mode[0] && mode[1] == 'e';
    int saved = errno;
    if (!cape_shell(shell, sizeof shell)) {
        errno = saved;
        return BEHIND(popen)(command, mode);
    }
    if (!reading && mode[0] != 'w') {
        errno = EINVAL;
        return NULL;
    }
    errno = saved;
    return open_pipeline(shell, command, reading, closing);
}

/* Takes a stream out of the list; NULL when popen here did not open it. */
static struct pipeline *take_pipeline(FILE *stream)
{
    struct pipeline *found = NULL;
    if (!__atomic_load_n(&pipelines, __ATOMIC_RELAXED))
        return NULL;
    take_lock();
    for (struct pipeline **each = &pipelines; *each; each = &(*each)->next)
        if ((*each)->stream == stream) {
            found = *each;
            *each = found->next;
            break;
        }
    drop_lock();
    return found;
}

static int close_pipeline(struct pipeline *pipeline)
{
    pid_t process = pipeline->process;
    BEHIND(fclose)(pipeline->stream);
    free(pipeline);
    return wait_for(process);
}

EXPORT int pclose(FILE *stream)
{
    struct pipeline *found = take_pipeline(stream);
    return found ? close_pipeline(found) : BEHIND(pclose)(stream);
}

/* libc's fclose ends a stream of popen as pclose does, and programs count on it. */
EXPORT int fclose(FILE *stream)
{
    struct pipeline *found = take_pipeline(stream);
    return found ? close_pipeline(found) : BEHIND(fclose)(stream);
}
