/* Where a pack is unpacked: once, in a cache of this user, and the writable place of what runs in it. */

#define _GNU_SOURCE
#include "extractor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LONGEST_PLACE 160

static char *half_made; /* what to remove when unpacking fails */

static void remove_tree(int directory, const char *name) {
  if (!unlinkat(directory, name, 0) || errno == ENOENT)
    return;
  int opened = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  DIR *reading = opened < 0 ? NULL : fdopendir(opened);
  struct dirent *child;
  while (reading && (child = readdir(reading)))
    if (strcmp(child->d_name, ".") && strcmp(child->d_name, ".."))
      remove_tree(opened, child->d_name);
  if (reading)
    closedir(reading);
  unlinkat(directory, name, AT_REMOVEDIR);
}

static void remove_half_made(void) {
  if (half_made)
    remove_tree(AT_FDCWD, half_made);
  half_made = NULL;
}

static void interrupted(int number) {
  remove_half_made();
  _exit(128 + number);
}

void make_directories(const char *path, int mode) {
  char *copy = strdup(path);
  for (char *at = copy + 1; *at; at++)
    if (*at == '/') {
      *at = 0;
      mkdir(copy, (mode_t)mode);
      *at = '/';
    }
  mkdir(copy, (mode_t)mode);
  free(copy);
}

/* Why programs cannot be unpacked below a directory; NULL when they can. */
static const char *unsuitable(const char *directory) {
  struct statvfs about;
  struct stat status;
  if (strlen(directory) > LONGEST_PLACE || strchr(directory, ' '))
    return "its path is too long or holds a blank";
  if (stat(directory, &status) || access(directory, W_OK | X_OK))
    return strerror(errno);
  if (status.st_uid != geteuid())
    return "it belongs to another user";
  if (!statvfs(directory, &about) && about.f_flag & ST_NOEXEC)
    return "programs cannot be started there (noexec)";
  return NULL;
}

static char *candidate(int number) {
  const char *home = getenv("HOME"), *value;
  char *own = NULL;
  if (number == 0)
    return (value = getenv("XDG_CACHE_HOME")) && *value == '/' ? joined(value, "cape/packs") : NULL;
  if (number == 1)
    return home && *home == '/' && home[1] ? joined(home, ".cache/cape/packs") : NULL;
  value = number == 2 ? getenv("TMPDIR") : number == 3 ? "/tmp" : "/var/tmp";
  if (!value || *value != '/' || asprintf(&own, "%s/cape-%u", value, (unsigned)geteuid()) < 0)
    return NULL;
  if (mkdir(own, 0700) && errno != EEXIST)
    return own;
  return joined(own, "packs");
}

/* The first place that suits; the reasons of the others are said only if none does. */
static char *packs_place(void) {
  char reasons[2048] = "";
  for (int number = 0; number < 5; number++) {
    char *directory = candidate(number);
    if (!directory)
      continue;
    make_directories(directory, 0700);
    const char *reason = unsuitable(directory);
    if (!reason)
      return directory;
    size_t said = strlen(reasons);
    snprintf(reasons + said, sizeof reasons - said, "\n  %s: %s", directory, reason);
    free(directory);
  }
  fail(1, "there is no place to unpack to (set XDG_CACHE_HOME or TMPDIR, or use --cape-extract DIR)%s", reasons);
}

static void write_whole(const char *path, const void *data, size_t size, int mode) {
  int out = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (out < 0 || write(out, data, size) != (ssize_t)size || fchmod(out, (mode_t)mode) || close(out))
    fail(1, "cannot write %s: %s", path, strerror(errno));
}

static void fill_directory(struct pack *pack, const char *final, const char *building) {
  char *activation = joined(building, "activation"), *program = joined(building, "enter");
  unsigned char *stub = read_at(pack->file, pack->stub_at, pack->stub_size);
  umask(022);
  extract(pack, final, building);
  write_whole(activation, pack->activation, pack->activation_size, 0444);
  write_whole(program, stub, pack->stub_size, 0555);
  int directory = open(building, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory >= 0)
    syncfs(directory), close(directory);
  free(stub);
}

static void build(struct pack *pack, const char *final, char *building) {
  struct sigaction action = {.sa_handler = interrupted}, before[3];
  static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
  remove_tree(AT_FDCWD, building);
  if (mkdir(building, 0700))
    fail(1, "cannot write %s: %s", building, strerror(errno));
  half_made = building;
  atexit(remove_half_made);
  for (int at = 0; at < 3; at++)
    sigaction(numbers[at], &action, &before[at]);
  mode_t mask = umask(022);
  fill_directory(pack, final, building);
  umask(mask);
  chmod(building, 0755);
  if (rename(building, final))
    fail(1, "cannot write %s: %s", final, strerror(errno));
  half_made = NULL;
  for (int at = 0; at < 3; at++)
    sigaction(numbers[at], &before[at], NULL);
}

/* The directory of an unpacked pack, made if it is not there. Of several processes one makes it. */
char *obtain(struct pack *pack) {
  char *packs = packs_place(), *final = joined(packs, pack->name), *lock, *building, *program = joined(final, "enter");
  if (!access(program, X_OK))
    return final;
  if (asprintf(&lock, "%s/.%s.lock", packs, pack->name) < 0 || asprintf(&building, "%s/.%s.new", packs, pack->name) < 0)
    fail(1, "not enough memory");
  int held = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (held < 0)
    fail(1, "cannot write %s: %s", lock, strerror(errno));
  while (flock(held, LOCK_EX) && errno == EINTR)
    ;
  if (access(program, X_OK))
    build(pack, final, building);
  close(held);
  return final;
}

/* `--cape-extract DIR`: as `obtain`, but to a directory that the user names, and that must not be there. */
void extract_into(struct pack *pack, const char *directory) {
  char *place, *building, here[4096];
  if (*directory != '/') {
    if (!getcwd(here, sizeof here))
      fail(1, "the current directory is not known: %s", strerror(errno));
    directory = joined(here, directory);
  }
  place = strdup(directory);
  for (size_t end = strlen(place); end > 1 && place[end - 1] == '/'; end--)
    place[end - 1] = 0;
  if (rmdir(place) && errno != ENOENT)
    fail(1, "%s is there already and not empty", place);
  if (strlen(place) > LONGEST_PLACE || strchr(place, ' '))
    fail(1, "the path %s is too long or holds a blank; name another", place);
  if (asprintf(&building, "%s.new.%d", place, (int)getpid()) < 0)
    fail(1, "not enough memory");
  build(pack, place, building);
  printf("%s\n", place);
}

/* What is `$CAPE_STATE` inside: kept per name of the environment, so that a newer pack finds it. */
char *state_place(const char *name, const char *place) {
  const char *home = getenv("HOME"), *value = getenv("XDG_STATE_HOME"), *own = getenv("CAPE_PACK_STATE");
  char *directory = NULL, *below = joined("cape/packs", name);
  if (own && *own == '/')
    directory = strdup(own);
  else if (value && *value == '/')
    directory = joined(value, below);
  else if (home && *home == '/' && home[1])
    directory = joined(joined(home, ".local/state"), below);
  if (directory)
    make_directories(directory, 0700);
  if (!directory || access(directory, W_OK)) {
    char *beside;
    if (asprintf(&beside, "%s.state", place) < 0)
      fail(1, "not enough memory");
    make_directories(beside, 0700);
    if (access(beside, W_OK) && asprintf(&beside, "/tmp/cape-%u/state", (unsigned)geteuid()) > 0)
      make_directories(beside, 0700);
    return beside;
  }
  return directory;
}
