/* The program in front of a packed environment: unpacks it once, then runs what it is for.
 *
 * Static, and needs nothing of the machine but the kernel. Three ways to start it: as the head of a pack; by
 * a pack's shell head, with the pack's path in CAPE_PACK; and alone beside an `activation` and an `env`
 * that are there already (what it unpacked, or an image): then it only enters. */

#define _GNU_SOURCE
#include "extractor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

_Noreturn void fail(int code, const char *format, ...) {
  va_list values;
  va_start(values, format);
  fputs("error: ", stderr);
  vfprintf(stderr, format, values);
  fputs("\n", stderr);
  va_end(values);
  exit(code);
}

char *joined(const char *first, const char *second) {
  char *path;
  if (asprintf(&path, "%s/%s", strcmp(first, "/") ? first : "", second) < 0)
    fail(1, "not enough memory");
  return path;
}

unsigned char *read_at(int file, uint64_t at, size_t size) {
  unsigned char *data = malloc(size + 1);
  size_t done = 0;
  if (!data)
    fail(1, "not enough memory");
  while (done < size) {
    ssize_t part = pread(file, data + done, size - done, (off_t)(at + done));
    if (part < 0 && errno == EINTR)
      continue;
    if (part <= 0)
      fail(3, "this pack was altered or is incomplete: the file ends too early");
    done += (size_t)part;
  }
  data[size] = 0;
  return data;
}

/* The path of this program, whether /proc is there or not. */
static const char *own_path(void) {
  static char path[4096];
  ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
  if (size > 0)
    return path;
  const char *started = (const char *)getauxval(AT_EXECFN);
  return started && realpath(started, path) ? path : started;
}

static unsigned char *read_whole(const char *path, size_t *size) {
  struct stat status;
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0 || fstat(file, &status))
    fail(1, "%s cannot be read: %s", path, strerror(errno));
  *size = (size_t)status.st_size;
  unsigned char *data = read_at(file, 0, *size);
  close(file);
  return data;
}

#ifndef CAPE_EXTRACTOR_SOURCE
#define CAPE_EXTRACTOR_SOURCE "none"
#endif
__attribute__((used)) static const char SOURCE[] = "cape-extractor-source:" CAPE_EXTRACTOR_SOURCE;

static const char HELP[] =
    "A packed environment. It unpacks itself once, to a cache, and runs its command, or the one that is given.\n"
    "  --cape-run CMD...     run a command inside, whatever this pack's own one is\n"
    "  --cape-activate       print shell text that enters: eval \"$(FILE --cape-activate)\"\n"
    "  --cape-extract DIR    unpack to a new directory; DIR/enter runs commands there\n"
    "  --cape-list           print what is inside\n"
    "  --cape-verify         check every byte against its digest\n"
    "A pack without a command of its own takes these without `cape-` too.\n";

/* Whether an argument is one of ours; a pack with a command leaves the short forms to it. */
static int is_option(const char *argument, const char *name, int has_own) {
  if (!argument || strncmp(argument, "--", 2))
    return 0;
  if (!strncmp(argument, "--cape-", 7))
    return !strcmp(argument + 7, name);
  return !has_own && !strcmp(argument + 2, name);
}

static _Noreturn void enter_here(const unsigned char *activation, size_t size, const char *place, char **arguments) {
  int own = has_command(activation, size);
  if (is_option(arguments[0], "activate", own)) {
    print_activation(activation, size, place);
    exit(0);
  }
  if (is_option(arguments[0], "run", own))
    enter(activation, size, place, arguments + 1, 1);
  enter(activation, size, place, arguments, 0);
}

static _Noreturn void run_pack(struct pack *pack, char **arguments) {
  int own = has_command(pack->activation, pack->activation_size);
  if (is_option(arguments[0], "help", own)) {
    fputs(HELP, stdout);
    exit(0);
  }
  if (is_option(arguments[0], "extract", own)) {
    if (!arguments[1])
      fail(2, "--cape-extract needs a directory");
    extract_into(pack, arguments[1]);
    exit(0);
  }
  if (is_option(arguments[0], "list", own)) {
    list(pack);
    exit(0);
  }
  if (is_option(arguments[0], "verify", own)) {
    verify(pack);
    exit(0);
  }
  char *place = obtain(pack);
  close(pack->file);
  enter_here(pack->activation, pack->activation_size, place, arguments);
}

int main(int count, char **arguments) {
  struct pack pack;
  const char *given = getenv("CAPE_PACK"), *path = given ? given : own_path();
  int file = given ? -1 : open("/proc/self/exe", O_RDONLY | O_CLOEXEC); /* true, whatever is mounted over it */
  if (file < 0 && path)
    file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0)
    fail(1, "%s cannot be read: %s", path ? path : "this program", strerror(errno));
  unsetenv("CAPE_PACK");
  if (getenv("CAPE_PACK_PROGRAM")) { /* a shell head wrote this program for this start alone */
    unlink(getenv("CAPE_PACK_PROGRAM"));
    unsetenv("CAPE_PACK_PROGRAM");
  }
  if (!open_pack(&pack, file))
    run_pack(&pack, arguments + (count > 0));
  close(file);
  if (given)
    fail(3, "this pack was altered or is incomplete: its end is missing");
  char *place = strdup(path), *end = strrchr(place, '/');
  if (end)
    *end = 0;
  size_t size;
  unsigned char *activation = read_whole(joined(place, "activation"), &size);
  enter_here(activation, size, place, arguments + (count > 0));
}
