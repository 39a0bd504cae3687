/* SPDX-License-Identifier: Apache-2.0 */
#include "inflate.h"

#include <string.h>

#define MOST_BITS      15  /* of one code */
#define LENGTH_CODES   286 /* literals 0..255, 256 the end, lengths */
#define DISTANCE_CODES 30
#define END_OF_BLOCK   256

struct stream {
    struct nzd_reader in;
    uint32_t held; /* bits taken from `in` and not used yet */
    unsigned held_count;
    struct nzd_buf *out;
    size_t begin; /* of our output in `out` */
    size_t limit;
    struct nzd_err *err;
};

/* A canonical code: how many symbols of each length, and they in order. */
struct code {
    uint16_t count[MOST_BITS + 1];
    uint16_t symbol[LENGTH_CODES + 2];
};

static int damaged(struct stream *stream, const char *what)
{
    return nzd_err_set(stream->err, NZD_EBUNDLE, "compressed data: %s", what);
}

/* Zeros after the end; `in.failed` tells. */
static unsigned take(struct stream *stream, unsigned count)
{
    unsigned value;

    while (stream->held_count < count) {
        stream->held |= (uint32_t)nzd_read_u8(&stream->in)
                        << stream->held_count;
        stream->held_count += 8;
    }
    value = stream->held & ((1u << count) - 1);
    stream->held >>= count;
    stream->held_count -= count;
    return value;
}

static int room(struct stream *stream, size_t size)
{
    size_t used = stream->out->size - stream->begin;

    if (size > stream->limit - used)
        return damaged(stream, "inflates to too many bytes");
    if (size > 0 && !nzd_buf_reserve(stream->out, size))
        return nzd_err_memory(stream->err);
    return 0;
}

/* --- codes --- */

/* Codes left over by these lengths: 0 for a complete code, < 0 for too many
 * symbols. */
static int code_build(struct code *code, const uint8_t *lengths, int count)
{
    uint16_t offset[MOST_BITS + 2] = {0};
    int left = 1;

    memset(code, 0, sizeof(*code));
    for (int i = 0; i < count; i++)
        code->count[lengths[i]]++;
    for (int bits = 1; bits <= MOST_BITS; bits++) {
        offset[bits + 1] = (uint16_t)(offset[bits] + code->count[bits]);
        left = 2 * left - code->count[bits];
        if (left < 0)
            return left;
    }
    for (int i = 0; i < count; i++) {
        if (lengths[i] != 0)
            code->symbol[offset[lengths[i]]++] = (uint16_t)i;
    }
    return left;
}

/* As zlib: a code that is not complete may hold one symbol of one bit. */
static bool code_holds(const struct code *code, int left, int count)
{
    return left == 0 || (left > 0 && code->count[0] + code->count[1] == count);
}

static int code_take(struct stream *stream, const struct code *code)
{
    int value = 0;
    int first = 0;
    int index = 0;

    for (int bits = 1; bits <= MOST_BITS; bits++) {
        int count = code->count[bits];

        value |= (int)take(stream, 1);
        if (value - first < count)
            return code->symbol[index + value - first];
        index += count;
        first = (first + count) << 1;
        value <<= 1;
    }
    return -1;
}

static void codes_fixed(struct code *lengths, struct code *distances)
{
    uint8_t bits[LENGTH_CODES + 2];

    memset(bits, 8, 144);
    memset(bits + 144, 9, 112);
    memset(bits + 256, 7, 24);
    memset(bits + 280, 8, 8);
    (void)code_build(lengths, bits, LENGTH_CODES + 2);
    memset(bits, 5, DISTANCE_CODES);
    (void)code_build(distances, bits, DISTANCE_CODES);
}

/* The lengths of both codes, themselves written in `code`. */
static int lengths_read(struct stream *stream, const struct code *code,
                        uint8_t *lengths, int count)
{
    int at = 0;

    while (at < count && !stream->in.failed) {
        int symbol = code_take(stream, code);
        uint8_t value = 0;
        int repeat;

        if (symbol < 0 || (symbol == 16 && at == 0))
            return damaged(stream, "wrong code lengths");
        if (symbol < 16) {
            lengths[at++] = (uint8_t)symbol;
            continue;
        }
        if (symbol == 16)
            value = lengths[at - 1];
        repeat = symbol == 16   ? 3 + (int)take(stream, 2)
                 : symbol == 17 ? 3 + (int)take(stream, 3)
                                : 11 + (int)take(stream, 7);
        if (repeat > count - at)
            return damaged(stream, "wrong code lengths");
        memset(lengths + at, value, (size_t)repeat);
        at += repeat;
    }
    return 0;
}

static int codes_dynamic(struct stream *stream, struct code *lengths,
                         struct code *distances)
{
    static const uint8_t order[19] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                      11, 4,  12, 3, 13, 2, 14, 1, 15};
    uint8_t bits[LENGTH_CODES + 2 + 32] = {0};
    int length_count = 257 + (int)take(stream, 5);
    int distance_count = 1 + (int)take(stream, 5);
    int code_count = 4 + (int)take(stream, 4);
    int left;

    if (length_count > LENGTH_CODES || distance_count > DISTANCE_CODES)
        return damaged(stream, "too many codes");
    for (int i = 0; i < code_count; i++)
        bits[order[i]] = (uint8_t)take(stream, 3);
    if (code_build(lengths, bits, 19) != 0)
        return damaged(stream, "wrong code of code lengths");
    memset(bits, 0, sizeof(bits));
    if (lengths_read(stream, lengths, bits, length_count + distance_count))
        return NZD_EBUNDLE;
    left = code_build(lengths, bits, length_count);
    if (bits[END_OF_BLOCK] == 0 || !code_holds(lengths, left, length_count))
        return damaged(stream, "wrong code of lengths");
    left = code_build(distances, bits + length_count, distance_count);
    if (!code_holds(distances, left, distance_count))
        return damaged(stream, "wrong code of distances");
    return 0;
}

/* --- blocks --- */

static int copy_back(struct stream *stream, size_t length, size_t distance)
{
    uint8_t *to;
    int rc;

    if (distance > stream->out->size - stream->begin)
        return damaged(stream, "a distance beyond the beginning");
    rc = room(stream, length);
    if (rc)
        return rc;
    to = stream->out->data + stream->out->size;
    for (size_t i = 0; i < length; i++)
        to[i] = *(to + i - distance);
    stream->out->size += length;
    return 0;
}

static int copy_match(struct stream *stream, int symbol,
                      const struct code *distances)
{
    static const uint16_t length_base[] = {
        3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
        31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
    static const uint8_t length_bits[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1,
                                          1, 1, 2, 2, 2, 2, 3, 3, 3, 3,
                                          4, 4, 4, 4, 5, 5, 5, 5, 0};
    static const uint16_t distance_base[] = {
        1,    2,    3,    4,    5,    7,    9,    13,    17,    25,
        33,   49,   65,   97,   129,  193,  257,  385,   513,   769,
        1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
    size_t length;
    int code;

    symbol -= END_OF_BLOCK + 1;
    if ((size_t)symbol >= sizeof(length_bits))
        return damaged(stream, "not a length");
    length = length_base[symbol] + take(stream, length_bits[symbol]);
    code = code_take(stream, distances);
    if (code < 0 || code >= DISTANCE_CODES)
        return damaged(stream, "not a distance");
    return copy_back(stream, length,
                     distance_base[code] +
                         take(stream, code < 4 ? 0 : (unsigned)code / 2 - 1));
}

static int block_coded(struct stream *stream, const struct code *lengths,
                       const struct code *distances)
{
    int rc = 0;

    while (rc == 0 && !stream->in.failed) {
        int symbol = code_take(stream, lengths);

        if (symbol < 0)
            return damaged(stream, "not a code");
        if (symbol == END_OF_BLOCK)
            return 0;
        if (symbol > END_OF_BLOCK) {
            rc = copy_match(stream, symbol, distances);
            continue;
        }
        rc = room(stream, 1);
        if (rc == 0)
            stream->out->data[stream->out->size++] = (uint8_t)symbol;
    }
    return rc;
}

static int block_stored(struct stream *stream)
{
    struct nzd_view bytes;
    unsigned size;
    int rc;

    /* What is held is less than one byte: take() asks for no more than it
     * needs. The rest of that byte is skipped. */
    stream->held = 0;
    stream->held_count = 0;
    size = take(stream, 16);
    if ((take(stream, 16) ^ size) != 0xffff)
        return damaged(stream, "wrong length of a stored block");
    bytes = nzd_read_bytes(&stream->in, size);
    rc = room(stream, bytes.size);
    if (rc == 0)
        nzd_buf_bytes(stream->out, bytes.data, bytes.size);
    return rc;
}

static int blocks(struct stream *stream)
{
    struct code lengths = {{0}, {0}};
    struct code distances = {{0}, {0}};
    unsigned last = 0;
    int rc = 0;

    while (rc == 0 && !last && !stream->in.failed) {
        unsigned type;

        last = take(stream, 1);
        type = take(stream, 2);
        if (type == 3)
            return damaged(stream, "not a block");
        if (type == 0) {
            rc = block_stored(stream);
            continue;
        }
        if (type == 1)
            codes_fixed(&lengths, &distances);
        else
            rc = codes_dynamic(stream, &lengths, &distances);
        if (rc == 0)
            rc = block_coded(stream, &lengths, &distances);
    }
    if (rc == 0 && stream->in.failed)
        rc = damaged(stream, "cut short");
    return rc;
}

/* --- the formats around it --- */

static uint32_t crc32_of(struct nzd_view view)
{
    static const uint32_t nibble[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
        0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    uint32_t crc = 0xffffffff;

    for (size_t i = 0; i < view.size; i++) {
        crc ^= view.data[i];
        crc = crc >> 4 ^ nibble[crc & 15];
        crc = crc >> 4 ^ nibble[crc & 15];
    }
    return ~crc;
}

static uint32_t adler32_of(struct nzd_view view)
{
    uint32_t low = 1;
    uint32_t high = 0;

    for (size_t i = 0; i < view.size; i++) {
        low = (low + view.data[i]) % 65521;
        high = (high + low) % 65521;
    }
    return high << 16 | low;
}

static uint32_t little_u32(struct nzd_reader *reader)
{
    return __builtin_bswap32(nzd_read_u32(reader));
}

static void skip_text(struct nzd_reader *reader)
{
    while (nzd_read_u8(reader) != 0)
        ;
}

/* RFC 1952, 2.3: the optional fields come in this order. */
static int gzip_header(struct stream *stream)
{
    struct nzd_reader *in = &stream->in;
    struct nzd_view begin = nzd_read_bytes(in, 10);
    uint8_t flags = begin.size == 10 ? begin.data[3] : 0;

    if (begin.size == 10 && (begin.data[2] != 8 || (flags & 0xe0)))
        return damaged(stream, "unknown kind of gzip");
    if (flags & 4) {
        unsigned low = nzd_read_u8(in);

        (void)nzd_read_bytes(in, low | (unsigned)nzd_read_u8(in) << 8);
    }
    if (flags & 8)
        skip_text(in);
    if (flags & 16)
        skip_text(in);
    if (flags & 2)
        (void)nzd_read_bytes(in, 2);
    return 0;
}

static int zlib_header(struct stream *stream)
{
    unsigned header = nzd_read_u16(&stream->in);

    if (header % 31 != 0 || (header >> 8 & 15) != 8 || header >> 12 > 7 ||
        (header & 0x20))
        return damaged(stream, "unknown format");
    return 0;
}

static int trailer(struct stream *stream, bool gzip)
{
    struct nzd_view made = nzd_view_of(stream->out->size > stream->begin
                                           ? stream->out->data + stream->begin
                                           : NULL,
                                       stream->out->size - stream->begin);
    bool holds;

    if (gzip)
        holds = little_u32(&stream->in) == crc32_of(made) &&
                little_u32(&stream->in) == (uint32_t)made.size;
    else
        holds = nzd_read_u32(&stream->in) == adler32_of(made);
    if (stream->in.failed)
        return damaged(stream, "cut short");
    if (!holds)
        return damaged(stream, "wrong checksum");
    if (stream->in.left > 0)
        return damaged(stream, "bytes after its end");
    return 0;
}

int nzd_inflate(struct nzd_view view, size_t limit, struct nzd_buf *out,
                struct nzd_err *err)
{
    struct stream stream = {
        .out = out, .begin = out->size, .limit = limit, .err = err};
    bool gzip = view.size >= 2 && view.data[0] == 0x1f && view.data[1] == 0x8b;
    int rc;

    nzd_reader_init(&stream.in, view);
    rc = gzip ? gzip_header(&stream) : zlib_header(&stream);
    if (rc == 0)
        rc = blocks(&stream);
    return rc ? rc : trailer(&stream, gzip);
}
