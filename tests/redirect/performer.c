/* Performs calls that are given on stdin, one a line, and prints what each gave.
 *
 *   CALL SLOT PATH OTHER NUMBER
 *
 * A path is hexadecimal; `-` is NULL, `.` is empty. SLOT is a directory's descriptor that `keep` opened, or -1 for
 * the working directory. Each line is answered by one: `ok` and what was found, or `errno N`. Run twice, in
 * a world with the library and in one without, it must say the same. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <ftw.h>
#include <glob.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

enum { SLOTS = 8, LONGEST = 20000 };
static int slots[SLOTS];
static char answer[1 << 20];

static void say(const char *format, const char *text)
{
    size_t used = strlen(answer);
    snprintf(answer + used, sizeof answer - used, format, text);
}

static void say_number(const char *name, unsigned long number)
{
    char text[64];
    snprintf(text, sizeof text, " %s %lo", name, number);
    say("%s", text);
}

static void say_hex(const char *text)
{
    char digits[3];
    say("%s", " ");
    for (; *text; text++) {
        snprintf(digits, sizeof digits, "%02x", (unsigned char)*text);
        say("%s", digits);
    }
}

static void say_status(const struct stat *status)
{
    say_number("mode", status->st_mode);
    if (!S_ISDIR(status->st_mode) && !S_ISLNK(status->st_mode))
        say_number("size", (unsigned long)status->st_size);
}

static int described(int descriptor, int writes)
{
    struct stat status;
    char text[65] = "";
    if (descriptor < 0)
        return -1;
    if (fstat(descriptor, &status))
        abort();
    if (writes && S_ISREG(status.st_mode))
        say_number("wrote", write(descriptor, "written", 7) == 7);
    say_status(&status);
    if (!writes && S_ISREG(status.st_mode) && read(descriptor, text, 64) >= 0)
        say_hex(text);
    close(descriptor);
    return 0;
}

static int stream_described(FILE *stream, int writes)
{
    int copy = stream ? dup(fileno(stream)) : -1, error = errno;
    if (stream)
        fclose(stream);
    errno = error;
    return described(copy, writes);
}

static int by_name(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static int say_names(char **names, int count)
{
    qsort(names, (size_t)count, sizeof *names, by_name);
    for (int i = 0; i < count; i++) {
        say_hex(names[i]);
        free(names[i]);
    }
    return 0;
}

static char *walked[4096];
static int walked_count;
static int note(const char *path, const struct stat *status, int flag, struct FTW *walk)
{
    (void)status, (void)flag;
    if (walk->level && walked_count < 4096)
        walked[walked_count++] = strdup(path + walk->base);
    return 0;
}

static int list(DIR *directory)
{
    char *names[4096];
    int count = 0;
    if (!directory)
        return -1;
    for (struct dirent *each; count < 4096 && (each = readdir(directory));)
        names[count++] = strdup(each->d_name);
    closedir(directory);
    return say_names(names, count);
}

static int scan(int at, const char *path)
{
    struct dirent **found;
    char *names[4096];
    int count = at == AT_FDCWD ? scandir(path, &found, NULL, NULL) : scandirat(at, path, &found, NULL, NULL);
    for (int i = 0; i < count; i++) {
        names[i] = strdup(found[i]->d_name);
        free(found[i]);
    }
    if (count < 0)
        return -1;
    free(found);
    return say_names(names, count);
}

static int match(const char *pattern, int flags)
{
    glob_t found = {0};
    int result = glob(pattern, flags, NULL, &found);
    for (size_t i = 0; !result && i < found.gl_pathc; i++)
        say_hex(found.gl_pathv[i]);
    say_number("glob", (unsigned long)result);
    globfree(&found);
    return 0;
}

static int walk_tree(const char *path)
{
    char *paths[] = {(char *)path, NULL};
    FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    char *names[4096];
    int count = 0;
    if (!walk)
        return -1;
    for (FTSENT *each; (each = fts_read(walk));) {
        if (each->fts_info == FTS_NS && each->fts_level == 0) {
            errno = each->fts_errno;
            int error = errno;
            fts_close(walk);
            errno = error;
            return -1;
        }
        if (each->fts_info != FTS_DP && each->fts_level && count < 4096)
            names[count++] = strdup(each->fts_name);
    }
    fts_close(walk);
    return say_names(names, count);
}

static int use_socket(const char *call, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int made = socket(AF_UNIX, SOCK_STREAM, 0);
    size_t length = strlen(path) < sizeof address.sun_path ? strlen(path) : sizeof address.sun_path;
    memcpy(address.sun_path, path, length);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    int result = call[0] == 'b' ? bind(made, (void *)&address, size) : connect(made, (void *)&address, size);
    int error = errno;
    close(made);
    errno = error;
    return result;
}

#define IS(name) (strcmp(call, name) == 0)

static int perform(const char *call, int slot, const char *path, const char *other, int number)
{
    char text[LONGEST + 100];
    struct stat status;
    struct statx extended;
    struct statvfs space;
    int at = slot < 0 ? AT_FDCWD : slots[slot];
    struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 2000}};
    struct timeval older[2] = {{.tv_sec = 1000}, {.tv_sec = 2000}};
    if (IS("keep")) {
        int made = open(path, O_RDONLY | O_DIRECTORY);
        if (made < 0)
            return -1;
        if (slots[number] > 2)
            close(slots[number]);
        slots[number] = made;
        return 0;
    }
    if (IS("stat") || IS("lstat")) {
        int result = IS("stat") ? stat(path, &status) : lstat(path, &status);
        return result ? result : (say_status(&status), 0);
    }
    if (IS("fstatat"))
        return fstatat(at, path, &status, number) ? -1 : (say_status(&status), 0);
    if (IS("statx")) {
        int result = statx(at, path, number, STATX_MODE, &extended);
        return result ? result : (say_number("mode", extended.stx_mode), 0);
    }
    if (IS("access")) return access(path, number);
    if (IS("faccessat")) return faccessat(at, path, number & 7, number & ~7);
    if (IS("open")) return described(open(path, number), 0);
    if (IS("openat")) return described(openat(at, path, number), 0);
    if (IS("fopen")) return stream_described(fopen(path, "r"), 0);
    if (IS("readlink") || IS("readlinkat")) {
        ssize_t length = IS("readlink") ? readlink(path, text, 4096) : readlinkat(at, path, text, 4096);
        if (length < 0)
            return -1;
        text[length] = '\0';
        say_hex(text);
        return 0;
    }
    if (IS("statvfs")) return statvfs(path, &space);
    if (IS("pathconf")) return pathconf(path, _PC_NAME_MAX) < 0 ? -1 : 0;
    if (IS("getxattr")) return getxattr(path, "user.none", text, 8) < 0 ? -1 : 0;
    if (IS("opendir")) return list(opendir(path));
    if (IS("scandir")) return scan(AT_FDCWD, path);
    if (IS("scandirat")) return scan(at, path);
    if (IS("glob")) return match(path, number);
    if (IS("fts")) return walk_tree(path);
    if (IS("nftw")) {
        walked_count = 0;
        if (nftw(path, note, 8, FTW_PHYS) < 0)
            return -1;
        return say_names(walked, walked_count);
    }
    if (IS("realpath")) {
        char *found = realpath(path, NULL);
        if (!found)
            return -1;
        say_hex(found);
        free(found);
        return 0;
    }
    if (IS("chdir")) return chdir(path);
    if (IS("fchdir")) return fchdir(at);
    if (IS("getcwd")) {
        if (!getcwd(text, sizeof text))
            return -1;
        say_hex(text);
        return 0;
    }
    if (IS("write")) return described(open(path, number, 0644), 1);
    if (IS("writeat")) return described(openat(at, path, number, 0644), 1);
    if (IS("fopen_w")) return stream_described(fopen(path, "w"), 1);
    if (IS("fopen_a")) return stream_described(fopen(path, "a"), 1);
    if (IS("fopen_r+")) return stream_described(fopen(path, "r+"), 1);
    if (IS("mkdir")) return mkdir(path, 0755);
    if (IS("mkdirat")) return mkdirat(at, path, 0755);
    if (IS("rmdir")) return rmdir(path);
    if (IS("unlink")) return unlink(path);
    if (IS("unlinkat")) return unlinkat(at, path, number);
    if (IS("remove")) return remove(path);
    if (IS("rename")) return rename(path, other);
    if (IS("renameat")) return renameat(at, path, AT_FDCWD, other);
    if (IS("link")) return link(path, other);
    if (IS("symlink")) return symlink(other, path);
    if (IS("mknod")) return mknod(path, S_IFREG | 0644, 0);
    if (IS("mkfifo")) return mkfifo(path, 0644);
    if (IS("chmod")) return chmod(path, (mode_t)number);
    if (IS("fchmodat")) return fchmodat(at, path, (mode_t)number, 0);
    if (IS("chown")) return chown(path, (uid_t)-1, (gid_t)-1);
    if (IS("lchown")) return lchown(path, (uid_t)-1, (gid_t)-1);
    if (IS("truncate")) return truncate(path, number);
    if (IS("utimensat")) return utimensat(at, path, times, number);
    if (IS("utimes")) return utimes(path, older);
    if (IS("lutimes")) return lutimes(path, older);
    if (IS("utime")) return utime(path, NULL);
    if (IS("setxattr")) return setxattr(path, "user.cape", "1", 1, 0);
    if (IS("bind") || IS("connect")) return use_socket(call, path);
    if (IS("mkstemp") || IS("mkdtemp")) {
        strcpy(text, path);
        int made = IS("mkstemp") ? mkstemp(text) : mkdtemp(text) ? 0 : -1;
        if (made < 0)
            return -1;
        if (lstat(text, &status))
            abort();
        say_status(&status);
        if (IS("mkstemp"))
            close(made);
        return IS("mkstemp") ? unlink(text) : rmdir(text);
    }
    fprintf(stderr, "no call %s\n", call);
    exit(78);
}

static const char *decoded(const char *word, char *path)
{
    if (word[0] == '-')
        return NULL;
    char *end = path;
    for (unsigned letter; word[0] != '.' && sscanf(word, "%2x", &letter) == 1; word += 2)
        *end++ = (char)letter;
    *end = '\0';
    return path;
}

int main(void)
{
    static char line[5 * LONGEST], call[64], first[2 * LONGEST], second[2 * LONGEST], path[LONGEST], other[LONGEST];
    int slot, number;
    umask(022);
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "%63s %d %39999s %39999s %d", call, &slot, first, second, &number) != 5)
            return 79;
        /* Exactly as long as they are, so that a reader beyond the end is seen. */
        const char *given = decoded(first, path), *to = decoded(second, other);
        char *one = given ? strdup(given) : NULL, *two = to ? strdup(to) : NULL;
        answer[0] = '\0';
        errno = 0;
        int result = perform(call, slot, one, two, number);
        if (result < 0)
            printf("errno %d\n", errno);
        else
            printf("ok%s\n", answer);
        fflush(stdout);
        free(one);
        free(two);
    }
    return 0;
}
