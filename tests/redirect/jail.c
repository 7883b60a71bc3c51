/* Runs a program in a file system that has nothing of the host's: only the directories that are named, each
 * at its own path, and /proc and /dev.
 *
 *   jail ROOT DIRECTORY WORKING-DIRECTORY PROGRAM [ARGUMENT...]
 *
 * $JAIL_PRELOAD becomes LD_PRELOAD of the program, and of nothing before it. Gives 99 where the machine
 * lets nobody have such a place. DIRECTORY may be `-`, for none; the directories of $JAIL_READ_ONLY, with
 * colons between them, are mounted read-only. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

static void give_up(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(99);
}

static void tell(const char *file, const char *text)
{
    int out = open(file, O_WRONLY);
    if (out < 0 || write(out, text, strlen(text)) < 0)
        give_up(file);
    close(out);
}

/* An ordinary user gets a name space of users, in which it stays who it is. */
static void separate(void)
{
    char text[64];
    unsigned user = geteuid(), group = getegid();
    if (unshare(user ? CLONE_NEWUSER | CLONE_NEWNS : CLONE_NEWNS))
        give_up("unshare");
    if (user) {
        tell("/proc/self/setgroups", "deny");
        sprintf(text, "%u %u 1", user, user);
        tell("/proc/self/uid_map", text);
        sprintf(text, "%u %u 1", group, group);
        tell("/proc/self/gid_map", text);
    }
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
        give_up("mount");
}

static void show(const char *root, const char *directory)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s%s", root, directory);
    if (mount(directory, path, NULL, MS_BIND | MS_REC, NULL))
        give_up(path);
}

static void fix(char *directories)
{
    for (char *each = strtok(directories, ":"); each; each = strtok(NULL, ":"))
        if (mount(each, each, NULL, MS_BIND, NULL) || mount(NULL, each, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL))
            give_up(each);
}

int main(int count, char **arguments)
{
    const char *preload = getenv("JAIL_PRELOAD"), *fixed = getenv("JAIL_READ_ONLY");
    if (count < 5)
        return 98;
    separate();
    show(arguments[1], "/proc");
    show(arguments[1], "/dev");
    if (strcmp(arguments[2], "-"))
        show(arguments[1], arguments[2]);
    if (chroot(arguments[1]) || chdir("/"))
        give_up("chroot");
    if (fixed)
        fix(strdup(fixed));
    if (chdir(arguments[3]))
        give_up(arguments[3]);
    unsetenv("JAIL_PRELOAD");
    unsetenv("JAIL_READ_ONLY");
    if (preload)
        setenv("LD_PRELOAD", preload, 1);
    execv(arguments[4], arguments + 4);
    give_up(arguments[4]);
}
