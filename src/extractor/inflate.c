/* Inflating of raw deflate data (RFC 1951), whole in memory: one table per code, as wide as its longest word. */

#include "extractor.h"

#define LONGEST 15

struct bits {
  const unsigned char *at, *end;
  uint64_t held;
  unsigned count;
  unsigned beyond; /* zero bytes that were taken behind the end */
};

struct code {
  unsigned width;
  uint16_t table[1 << LONGEST]; /* symbol << 4 | length; 0: no such word */
};

static const uint16_t length_base[] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                       31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
static const uint8_t length_extra[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                       2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
static const uint16_t distance_base[] = {1,   2,   3,   4,   5,   7,    9,    13,   17,   25,
                                         33,  49,  65,  97,  129, 193,  257,  385,  513,  769,
                                         1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
static const uint8_t distance_extra[] = {0, 0, 0, 0, 1, 1, 2, 2,  3,  3,  4,  4,  5,  5,  6,
                                         6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13};

static void fill(struct bits *in) {
  while (in->count <= 56) {
    uint64_t byte = 0;
    if (in->at < in->end)
      byte = *in->at++;
    else
      in->beyond++;
    in->held |= byte << in->count;
    in->count += 8;
  }
}

static unsigned take(struct bits *in, unsigned count) {
  if (in->count < count)
    fill(in);
  unsigned value = (unsigned)(in->held & ((1u << count) - 1));
  in->held >>= count;
  in->count -= count;
  return value;
}

static int build(struct code *code, const uint8_t *lengths, unsigned symbols) {
  unsigned counts[LONGEST + 1] = {0}, next[LONGEST + 1], word = 0;
  for (unsigned at = 0; at < symbols; at++)
    counts[lengths[at]]++;
  counts[0] = 0;
  code->width = 1;
  for (unsigned length = 1; length <= LONGEST; length++) {
    word = (word + counts[length - 1]) << 1;
    next[length] = word;
    if (counts[length]) {
      code->width = length;
      if (word + counts[length] > 1u << length)
        return -1;
    }
  }
  memset(code->table, 0, sizeof(code->table[0]) << code->width);
  for (unsigned symbol = 0; symbol < symbols; symbol++) {
    unsigned length = lengths[symbol], reversed = 0;
    if (!length)
      continue;
    word = next[length]++;
    for (unsigned bit = 0; bit < length; bit++)
      reversed |= (word >> bit & 1) << (length - 1 - bit);
    for (; reversed < 1u << code->width; reversed += 1u << length)
      code->table[reversed] = (uint16_t)(symbol << 4 | length);
  }
  return 0;
}

static int decode(struct bits *in, const struct code *code) {
  if (in->count < LONGEST)
    fill(in);
  unsigned entry = code->table[in->held & ((1u << code->width) - 1)], length = entry & 15;
  if (!length)
    return -1;
  in->held >>= length;
  in->count -= length;
  return (int)(entry >> 4);
}

static int read_codes(struct bits *in, struct code *words, struct code *distances) {
  static const uint8_t order[] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
  uint8_t lengths[320] = {0};
  unsigned literals = take(in, 5) + 257, far = take(in, 5) + 1, given = take(in, 4) + 4, at = 0;
  for (unsigned i = 0; i < given; i++)
    lengths[order[i]] = (uint8_t)take(in, 3);
  if (build(words, lengths, 19))
    return -1;
  memset(lengths, 0, sizeof lengths);
  while (at < literals + far) {
    int symbol = decode(in, words);
    unsigned repeat = 1;
    uint8_t length = (uint8_t)symbol;
    if (symbol < 0 || in->beyond > 8)
      return -1;
    if (symbol >= 16) {
      length = symbol == 16 && at ? lengths[at - 1] : 0;
      repeat = symbol == 16 ? 3 + take(in, 2) : symbol == 17 ? 3 + take(in, 3) : 11 + take(in, 7);
    }
    if (at + repeat > literals + far)
      return -1;
    while (repeat--)
      lengths[at++] = length;
  }
  return build(words, lengths, literals) || build(distances, lengths + literals, far) ? -1 : 0;
}

static int fixed_codes(struct code *words, struct code *distances) {
  uint8_t lengths[288];
  for (unsigned at = 0; at < 288; at++)
    lengths[at] = at < 144 ? 8 : at < 256 ? 9 : at < 280 ? 7 : 8;
  int bad = build(words, lengths, 288);
  memset(lengths, 5, 30);
  return bad || build(distances, lengths, 30);
}

static int stored(struct bits *in, unsigned char *out, size_t room, size_t *done) {
  take(in, in->count & 7);
  unsigned length = take(in, 16), inverse = take(in, 16);
  if ((length ^ inverse) != 0xffff || length > room - *done)
    return -1;
  for (; length && in->count; length--)
    out[(*done)++] = (unsigned char)take(in, 8);
  if ((size_t)(in->end - in->at) < length)
    return -1;
  memcpy(out + *done, in->at, length);
  in->at += length;
  *done += length;
  return 0;
}

static int compressed(struct bits *in, const struct code *words, const struct code *distances,
                      unsigned char *out, size_t room, size_t *done) {
  size_t at = *done;
  for (;;) {
    int symbol = decode(in, words);
    if (symbol < 0 || symbol > 285 || in->beyond > 8)
      return -1;
    if (symbol < 256) {
      if (at == room)
        return -1;
      out[at++] = (unsigned char)symbol;
      continue;
    }
    if (symbol == 256)
      break;
    size_t length = length_base[symbol - 257] + take(in, length_extra[symbol - 257]);
    int far = decode(in, distances);
    if (far < 0 || far > 29)
      return -1;
    size_t distance = distance_base[far] + take(in, distance_extra[far]);
    if (distance > at || length > room - at)
      return -1;
    if (distance >= length) {
      memcpy(out + at, out + at - distance, length);
      at += length;
    } else
      for (; length; length--, at++)
        out[at] = out[at - distance];
  }
  *done = at;
  return 0;
}

/* 0 when `in` inflates to exactly `room` bytes. */
int inflate(const unsigned char *data, size_t size, unsigned char *out, size_t room) {
  static struct code words, distances;
  struct bits in = {data, data + size, 0, 0, 0};
  size_t done = 0;
  unsigned last = 0;
  while (!last) {
    last = take(&in, 1);
    unsigned kind = take(&in, 2);
    int bad = kind == 3 ? -1 : 0;
    if (kind == 0)
      bad = stored(&in, out, room, &done);
    else if (kind == 1)
      bad = fixed_codes(&words, &distances);
    else if (kind == 2)
      bad = read_codes(&in, &words, &distances);
    if (!bad && kind)
      bad = compressed(&in, &words, &distances, out, room, &done);
    if (bad || in.beyond > 8)
      return -1;
  }
  return done == room ? 0 : -1;
}
