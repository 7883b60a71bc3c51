/* The payload: chunks of deflate data, an index of what they hold, and how that becomes a tree.
 *
 * At the end of the file lies a trailer, below it the activation, the packed index and the chunks. Every
 * chunk is checked before a byte of it is used: its sha256 is in the index, whose own is in the trailer. */

#define _GNU_SOURCE
#include "extractor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct trailer {
  char magic[8];
  uint64_t stub_at, stub_size, payload_at, index_at, index_packed, index_size, activation_at, activation_size;
  unsigned char digest[32];
};

struct chunk {
  uint64_t packed, size;
  unsigned char digest[32];
};

struct stream { /* the content of all files, one after another */
  struct pack *pack;
  uint64_t at; /* where the next chunk lies in the file */
  size_t next; /* its number */
  unsigned char *data;
  size_t used, held, room;
};

static const time_t TIME = 315619200; /* 1980-01-02, which archives of every kind can say */

static _Noreturn void damaged(const char *what) {
  fail(3, "this pack was altered or is incomplete: %s is not what its digest says", what);
}

int open_pack(struct pack *pack, int file) {
  struct trailer trailer;
  off_t end = lseek(file, 0, SEEK_END);
  if (end < (off_t)sizeof trailer || pread(file, &trailer, sizeof trailer, end - (off_t)sizeof trailer) != sizeof trailer)
    return -1;
  if (memcmp(trailer.magic, "CAPEPAK1", 8))
    return -1;
  uint64_t size = (uint64_t)end;
  if (trailer.activation_at > size || trailer.activation_size > size - trailer.activation_at ||
      trailer.index_at > size || trailer.index_packed > size - trailer.index_at || trailer.stub_at > size ||
      trailer.stub_size > size - trailer.stub_at || trailer.index_size > (uint64_t)1 << 32)
    damaged("its end");
  pack->file = file;
  pack->payload_at = trailer.payload_at;
  pack->stub_at = trailer.stub_at, pack->stub_size = trailer.stub_size;
  pack->index_at = trailer.index_at, pack->index_packed = trailer.index_packed;
  pack->index_size = trailer.index_size;
  pack->index = NULL;
  pack->activation_size = trailer.activation_size;
  pack->activation = read_at(file, trailer.activation_at, trailer.activation_size);
  memcpy(pack->digest, trailer.digest, 32);
  for (int at = 0; at < 16; at++)
    sprintf(pack->name + at * 2, "%02x", trailer.digest[at]);
  return 0;
}

/* Read and check the index; once. */
static void read_index(struct pack *pack) {
  unsigned char found[32];
  if (pack->index)
    return;
  unsigned char *packed = read_at(pack->file, pack->index_at, pack->index_packed);
  pack->index = malloc(pack->index_size + 1);
  if (!pack->index)
    fail(1, "not enough memory for the index");
  if (inflate(packed, pack->index_packed, pack->index, pack->index_size))
    damaged("the index");
  free(packed);
  pack->index[pack->index_size] = 0;
  struct piece pieces[] = {{pack->activation, pack->activation_size}, {pack->index, pack->index_size}};
  sha256(pieces, 2, found);
  if (memcmp(found, pack->digest, 32))
    damaged("the index");
  uint64_t count;
  memcpy(&count, pack->index, sizeof count);
  if (count > pack->index_size / sizeof(struct chunk))
    damaged("the index");
  pack->count = count;
}

static const char *first_entry(struct pack *pack) {
  return (const char *)pack->index + 8 + pack->count * sizeof(struct chunk);
}

static void next_chunk(struct stream *stream) {
  struct pack *pack = stream->pack;
  struct chunk chunk;
  unsigned char found[32];
  if (stream->next >= pack->count)
    damaged("the index");
  memcpy(&chunk, pack->index + 8 + stream->next * sizeof chunk, sizeof chunk);
  unsigned char *packed = read_at(pack->file, stream->at, chunk.packed);
  struct piece piece = {packed, chunk.packed};
  sha256(&piece, 1, found);
  if (memcmp(found, chunk.digest, 32))
    damaged("a part of its content");
  if (chunk.size > stream->room) {
    free(stream->data);
    stream->data = malloc(chunk.size);
    stream->room = chunk.size;
  }
  if (!stream->data)
    fail(1, "not enough memory to unpack");
  if (inflate(packed, chunk.packed, stream->data, chunk.size))
    damaged("a part of its content");
  free(packed);
  stream->at += chunk.packed;
  stream->next++;
  stream->used = 0, stream->held = chunk.size;
}

static _Noreturn void cannot_write(const char *path) {
  if (errno == ENOSPC || errno == EDQUOT)
    fail(1, "there is no room left to unpack: %s (set XDG_CACHE_HOME or TMPDIR to a place with more)", path);
  fail(1, "cannot write %s: %s", path, strerror(errno));
}

static void write_all(int file, const void *data, size_t size, const char *path) {
  const char *at = data;
  while (size) {
    ssize_t done = write(file, at, size);
    if (done < 0 && errno == EINTR)
      continue;
    if (done <= 0) {
      if (!done)
        errno = ENOSPC;
      cannot_write(path);
    }
    at += done, size -= (size_t)done;
  }
}

/* Copy a file's bytes to `out`, or to memory when that is given. */
static void copy(struct stream *stream, uint64_t size, int out, char *memory, const char *path) {
  while (size) {
    if (stream->used == stream->held)
      next_chunk(stream);
    size_t part = stream->held - stream->used;
    if (part > size)
      part = size;
    if (memory)
      memcpy(memory, stream->data + stream->used, part), memory += part;
    else
      write_all(out, stream->data + stream->used, part, path);
    stream->used += part, size -= part;
  }
}

/* A text with the placeholder, written with the place. */
static void write_text(int out, const char *text, size_t size, const char *place, const char *path) {
  const char *end = text + size, *found;
  while ((found = memmem(text, (size_t)(end - text), PLACEHOLDER, strlen(PLACEHOLDER)))) {
    write_all(out, text, (size_t)(found - text), path);
    write_all(out, place, strlen(place), path);
    text = found + strlen(PLACEHOLDER);
  }
  write_all(out, text, (size_t)(end - text), path);
}

/* Sites of a program: `offset:room:kind`, each a string that begins with the placeholder. `!`: it must fit. */
static void write_sites(int out, const char *sites, const char *place, const char *path) {
  while (*sites) {
    unsigned long offset = strtoul(sites, (char **)&sites, 10);
    unsigned long room = *sites == ':' ? strtoul(sites + 1, (char **)&sites, 10) : 0;
    int must = *sites == '!';
    if (*sites)
      sites++;
    if (room < 12 || room > 4096)
      damaged("the index");
    char *old = (char *)read_at(out, offset, room), *text = calloc(1, room + strlen(place) + 2);
    size_t rest = strnlen(old, room);
    if (!text || rest < strlen(PLACEHOLDER))
      damaged("the index");
    sprintf(text, "%s%.*s", place, (int)(rest - strlen(PLACEHOLDER)), old + strlen(PLACEHOLDER));
    if (strlen(text) < room) {
      if (pwrite(out, text, room, (off_t)offset) != (ssize_t)room)
        cannot_write(path);
    } else if (must)
      fail(1, "the path %s is too long for programs; unpack elsewhere (--cape-extract DIR, or TMPDIR)", place);
    free(old), free(text);
  }
}

static void write_file(struct stream *stream, const char *path, unsigned mode, uint64_t size, const char *sites,
                       const char *place) {
  int out = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (out < 0)
    cannot_write(path);
  if (*sites == 't') {
    char *text = malloc(size + 1);
    if (!text)
      fail(1, "not enough memory to unpack");
    copy(stream, size, -1, text, path);
    write_text(out, text, size, place, path);
    free(text);
  } else {
    copy(stream, size, out, NULL, path);
    write_sites(out, sites, place, path);
  }
  struct timespec times[2] = {{TIME, 0}, {TIME, 0}};
  if (futimens(out, times) || fchmod(out, mode) || close(out))
    cannot_write(path);
}

static const char *following(const char *field) { return field + strlen(field) + 1; }

/* A path of an entry is relative and stays below: a pack cannot write elsewhere, whoever made it. */
static void check_path(const char *path) {
  if (!*path || *path == '/')
    damaged("the index");
  for (const char *at = path; at; at = strchr(at, '/')) {
    at += *at == '/';
    if (!strncmp(at, "..", 2) && (at[2] == '/' || !at[2]))
      damaged("the index");
  }
}

/* Write the tree below `building`, whose files are to say that they lie in `final`. */
void extract(struct pack *pack, const char *final, const char *building) {
  read_index(pack);
  struct stream stream = {.pack = pack, .at = pack->payload_at};
  char *place = joined(final, "env");
  const char *end = (const char *)pack->index + pack->index_size;
  for (const char *entry = first_entry(pack); entry < end;) {
    char kind = *entry;
    const char *name = following(entry), *more = following(name);
    check_path(name);
    char *path = joined(building, name);
    if (kind == 'd') {
      if (mkdir(path, 0755))
        cannot_write(path);
    } else if (kind == 'l') {
      if (symlink(more, path))
        cannot_write(path);
      more = following(more);
    } else if (kind == 'h') {
      check_path(more);
      char *other = joined(building, more);
      if (link(other, path))
        cannot_write(path);
      free(other);
      more = following(more);
    } else if (kind == 'f') {
      const char *size = following(more), *sites = following(size);
      write_file(&stream, path, (unsigned)strtoul(more, NULL, 8), strtoull(size, NULL, 10), sites, place);
      more = following(sites);
    } else
      damaged("the index");
    free(path);
    entry = more;
  }
  free(place), free(stream.data);
}

void list(struct pack *pack) {
  read_index(pack);
  const char *end = (const char *)pack->index + pack->index_size;
  for (const char *entry = first_entry(pack); entry < end;) {
    char kind = *entry;
    const char *name = following(entry), *more = following(name);
    if (kind == 'l')
      printf("%s -> %s\n", name, more), more = following(more);
    else if (kind == 'h')
      printf("%s\n", name), more = following(more);
    else if (kind == 'f')
      printf("%s\n", name), more = following(following(following(more)));
    entry = more;
  }
}

void verify(struct pack *pack) {
  read_index(pack);
  struct stream stream = {.pack = pack, .at = pack->payload_at};
  while (stream.next < pack->count)
    next_chunk(&stream);
  printf("whole: %zu parts, digest ", pack->count);
  for (int at = 0; at < 32; at++)
    printf("%02x", pack->digest[at]);
  printf("\n");
}
