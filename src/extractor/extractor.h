/* What the parts of the extractor share. */

#ifndef CAPE_EXTRACTOR_H
#define CAPE_EXTRACTOR_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PLACEHOLDER "/@cape-env@"

struct piece {
  const unsigned char *data;
  size_t size;
};

int inflate(const unsigned char *data, size_t size, unsigned char *out, size_t room);
void sha256(const struct piece *pieces, size_t count, unsigned char *digest);

/* main.c */
_Noreturn void fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *joined(const char *first, const char *second);
unsigned char *read_at(int file, uint64_t at, size_t size);

/* pack.c */
struct pack {
  int file;
  uint64_t payload_at, stub_at, stub_size;
  size_t count, index_size, activation_size;
  unsigned char *index, *activation;
  uint64_t index_at, index_packed;
  unsigned char digest[32];
  char name[33]; /* the digest's beginning, in hex */
};

int open_pack(struct pack *pack, int file);
void extract(struct pack *pack, const char *final, const char *building);
void list(struct pack *pack);
void verify(struct pack *pack);

/* places.c */
char *obtain(struct pack *pack);
void extract_into(struct pack *pack, const char *directory);
char *state_place(const char *name, const char *place);
void make_directories(const char *path, int mode);

/* enter.c */
const char *said(const unsigned char *activation, size_t size, char kind);
_Noreturn void enter(const unsigned char *activation, size_t size, const char *place, char **arguments, int anything);
void print_activation(const unsigned char *activation, size_t size, const char *place);
int has_command(const unsigned char *activation, size_t size);

#endif
