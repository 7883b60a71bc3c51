/* Entering an environment: its variables, its hook, then the command in place of this process.
 *
 * An activation is a list of records, each field ended by a zero byte: a letter and what belongs to it. In
 * values, bytes 1 to 5 stand for what is known only now (see src/cape/packing/activation.py). */

#define _GNU_SOURCE
#include "extractor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct inside {
  char *environment, *state, project[4096];
};

static const char *following(const char *field) { return field + strlen(field) + 1; }

static unsigned fields_of(char kind) {
  return kind == 's' ? 3 : kind == 'p' ? 3 : 1;
}

static const char *next_record(const char *record) {
  const char *at = following(record);
  for (unsigned left = fields_of(*record); left; left--)
    at = following(at);
  return at;
}

/* The field of the first record of a kind, or NULL. */
const char *said(const unsigned char *activation, size_t size, char kind) {
  const char *end = (const char *)activation + size;
  for (const char *at = (const char *)activation; at < end; at = next_record(at))
    if (*at == kind)
      return following(at);
  return NULL;
}

int has_command(const unsigned char *activation, size_t size) { return said(activation, size, 'c') != NULL; }

static void append(char **text, const char *more, size_t size) {
  size_t old = *text ? strlen(*text) : 0;
  *text = realloc(*text, old + size + 1);
  if (!*text)
    fail(1, "not enough memory");
  memcpy(*text + old, more, size);
  (*text)[old + size] = 0;
}

static char *value_of(const char *pattern, const struct inside *inside) {
  char *text = NULL;
  append(&text, "", 0);
  for (; *pattern; pattern++) {
    if (*pattern == 1) { /* a variable's name, ended by byte 2 */
      const char *end = strchr(pattern, 2);
      if (!end)
        break;
      char *name = strndup(pattern + 1, (size_t)(end - pattern - 1)), *value = getenv(name);
      append(&text, value ? value : "", value ? strlen(value) : 0);
      free(name);
      pattern = end;
    } else if (*pattern == 3)
      append(&text, inside->environment, strlen(inside->environment));
    else if (*pattern == 4)
      append(&text, inside->state, strlen(inside->state));
    else if (*pattern == 5)
      append(&text, inside->project, strlen(inside->project));
    else
      append(&text, pattern, 1);
  }
  return text;
}

static int left_alone(const char *name, const char *files) {
  if (!*files)
    return 0;
  if (getenv(name))
    return 1;
  char *copy = strdup(files), *rest = copy, *file;
  while ((file = strsep(&rest, ":")))
    if (!access(file, F_OK))
      return 1;
  free(copy);
  return 0;
}

static void prepend(const char *name, const char *value, const char *separator) {
  const char *old = getenv(name);
  size_t size = strlen(value);
  char *text = NULL;
  if (old && !strncmp(old, value, size) && (!old[size] || old[size] == *separator))
    return;
  if (!strcmp(name, "PATH") && (!old || !*old))
    old = "/usr/local/bin:/usr/bin:/bin";
  append(&text, value, size);
  if (old && *old)
    append(&text, separator, 1), append(&text, old, strlen(old));
  setenv(name, text, 1);
}

static void apply(const char *record, const struct inside *inside) {
  const char *name = following(record), *second, *third;
  if (*record == 'u')
    unsetenv(name);
  if (*record != 's' && *record != 'p')
    return;
  second = following(name), third = following(second);
  if (*record == 's' && left_alone(name, third))
    return;
  char *value = value_of(second, inside);
  if (*record == 's')
    setenv(name, value, 1);
  else
    prepend(name, value, third);
  free(value);
}

static void shell_program(const struct inside *inside, char **path, int interactive) {
  char *bash = joined(inside->environment, "root/usr/bin/bash"), *sh = joined(inside->environment, "root/usr/bin/sh");
  if (interactive && !access(bash, X_OK))
    *path = bash;
  else
    *path = access(sh, X_OK) ? "/bin/sh" : sh;
}

static void run_hook(const char *hook, const struct inside *inside) {
  char *shell;
  int status = 0;
  shell_program(inside, &shell, 0);
  pid_t child = fork();
  if (child == 0) {
    int nothing = open("/dev/null", O_RDONLY);
    if (nothing >= 0)
      dup2(nothing, 0);
    dup2(2, 1);
    execl(shell, "sh", "-c", hook, (char *)NULL);
    fail(1, "the hook's shell %s cannot be started: %s", shell, strerror(errno));
  }
  while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
    ;
  if (child < 0 || status)
    fail(1, "the activation hook failed");
}

/* The words of the packed command, then the given ones. */
static char **words_of(const unsigned char *activation, size_t size, char **arguments) {
  size_t count = 0, given = 0;
  const char *end = (const char *)activation + size;
  while (arguments[given])
    given++;
  char **words = calloc(size + given + 2, sizeof *words);
  if (!words)
    fail(1, "not enough memory");
  for (const char *at = (const char *)activation; at < end; at = next_record(at))
    if (*at == 'c')
      words[count++] = (char *)following(at);
  memcpy(words + count, arguments, given * sizeof *words);
  return words;
}

static _Noreturn void start(char **words, const struct inside *inside) {
  execvp(words[0], words);
  if (errno == ENOENT && !strchr(words[0], '/')) {
    char *closure = joined(joined(inside->environment, "root/usr/bin"), words[0]);
    execv(closure, words);
  }
  if (errno == ENOENT)
    fail(127, "%s: command not found in this pack, nor on this machine", words[0]);
  fail(126, "%s cannot be started: %s", words[0], strerror(errno));
}

static void describe(const unsigned char *activation, size_t size, const char *place, struct inside *inside) {
  const char *name = said(activation, size, 'n');
  inside->environment = joined(place, "env");
  inside->state = state_place(name ? name : "environment", place);
  if (!getcwd(inside->project, sizeof inside->project))
    strcpy(inside->project, "/");
}

/* `anything`: the arguments are the whole command, whatever the pack's own one is. */
_Noreturn void enter(const unsigned char *activation, size_t size, const char *place, char **arguments, int anything) {
  struct inside inside;
  const char *outer = getenv("CAPE_ENV"), *hook = said(activation, size, 'h'), *end = (const char *)activation + size;
  describe(activation, size, place, &inside);
  int again = outer && !strcmp(outer, inside.environment);
  for (const char *at = (const char *)activation; at < end; at = next_record(at))
    apply(at, &inside);
  if (hook && !again)
    run_hook(hook, &inside);
  char **words = anything ? arguments : words_of(activation, size, arguments);
  if (words[0])
    start(words, &inside);
  char *shell;
  shell_program(&inside, &shell, 1);
  char *alone[] = {shell, NULL};
  start(alone, &inside);
}

static void print_quoted(const char *value) {
  putchar('\'');
  for (; *value; value++)
    if (*value == '\'')
      fputs("'\\''", stdout);
    else
      putchar(*value);
  putchar('\'');
}

/* Text for `eval` in a POSIX shell. */
void print_activation(const unsigned char *activation, size_t size, const char *place) {
  struct inside inside;
  const char *end = (const char *)activation + size;
  describe(activation, size, place, &inside);
  for (const char *at = (const char *)activation; at < end; at = next_record(at)) {
    const char *name = following(at);
    apply(at, &inside);
    if (*at == 'u')
      printf("unset %s\n", name);
    if ((*at != 's' && *at != 'p') || !getenv(name))
      continue;
    printf("%s=", name);
    print_quoted(getenv(name));
    printf("; export %s\n", name);
  }
}
