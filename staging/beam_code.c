/* SPDX-License-Identifier: Apache-2.0 */
#include "beam_code.h"
#include "beam_file.h"

#include <string.h>

#define CODE_VERSION 0
#define INT_CODE_END 3
#define ON_LOAD      149

/* Operands of the generic instructions 1, 2, ... (genop.tab of OTP; up to
 * debug_line/4 of OTP 28). The numbers never change their meaning. */
/* clang-format off */
static const uint8_t arities[] = {
    1, 3, 0, 2, 3, 2, 2, 3, 2, 4, 5, 2, 3, 2, 3, 2, /* 1 */
    1, 1, 0, 0, 0, 0, 2, 1, 1, 2, 4, 4, 4, 4, 4, 4, /* 17 */
    4, 4, 4, 4, 4, 3, 3, 3, 3, 3, 3, 3, 2, 2, 2, 2, /* 33 */
    2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 1, 2, 1, 2, /* 49 */
    3, 3, 3, 3, 3, 2, 1, 1, 0, 1, 1, 3, 2, 2, 2, 5, /* 65 */
    5, 5, 4, 2, 1, 1, 2, 2, 5, 5, 5, 2, 1, 0, 1, 2, /* 81 */
    2, 4, 4, 4, 4, 3, 1, 2, 1, 1, 1, 2, 6, 3, 5, 1, /* 97 */
    2, 2, 3, 5, 7, 7, 7, 5, 3, 2, 2, 5, 6, 2, 2, 2, /* 113 */
    2, 1, 3, 4, 0, 8, 6, 2, 6, 5, 4, 5, 4, 5, 4, 3, /* 129 */
    3, 3, 3, 3, 0, 1, 1, 7, 1, 5, 5, 2, 3, 3, 4, 0, /* 145 */
    0, 2, 2, 2, 3, 4, 3, 2, 2, 4, 3, 1, 2, 1, 1, 1, /* 161 */
    6, 3, 0, 1, 5, 3, 2, 4, /* 177 */
};
/* clang-format on */

static int cut_short(struct nzd_err *err)
{
    return nzd_chunk_refuse(err, NZD_CHUNK_CODE, "cut short");
}

static void skip_compact(struct nzd_reader *reader, uint64_t count)
{
    enum nzd_compact_tag tag;

    for (; count > 0 && !reader->failed; count--)
        (void)nzd_read_compact(reader, &tag);
}

/*
 * What follows an operand with the tag Z. A list gives its length in `more`:
 * its elements follow as operands. False for kinds that we do not know.
 */
static bool extended(struct nzd_reader *reader, uint64_t kind, uint64_t *more)
{
    enum nzd_compact_tag tag;
    uint64_t count;

    switch (kind) {
    case 1: /* a list */
        *more = nzd_read_compact(reader, &tag);
        return true;
    case 2: /* a floating-point register */
    case 4: /* a literal */
        skip_compact(reader, 1);
        return true;
    case 3: /* an allocation: pairs of a kind and a number */
        count = nzd_read_compact(reader, &tag);
        if (count > reader->left)
            reader->failed = true;
        skip_compact(reader, 2 * count);
        return true;
    case 5: /* a register and the type of what is in it */
        skip_compact(reader, 2);
        return true;
    default:
        return false;
    }
}

/* The operands of one instruction; false when one is not known to us. */
static bool operands(struct nzd_reader *reader, uint64_t count)
{
    while (count > 0 && !reader->failed) {
        enum nzd_compact_tag tag;
        uint64_t value = nzd_read_compact(reader, &tag);
        uint64_t more = 0;

        if (tag == NZD_COMPACT_Z && !extended(reader, value, &more))
            return false;
        if (more > reader->left)
            reader->failed = true;
        count += more - 1;
    }
    return true;
}

static int walk(struct nzd_reader *reader, enum nzd_on_load *out,
                struct nzd_err *err)
{
    while (!reader->failed) {
        uint8_t code = nzd_read_u8(reader);

        if (reader->failed)
            break;
        *out = NZD_ON_LOAD_FOUND;
        if (code == ON_LOAD)
            return 0;
        *out = NZD_ON_LOAD_NONE;
        if (code == INT_CODE_END)
            return 0;
        *out = NZD_ON_LOAD_UNKNOWN;
        if (code == 0 || code > sizeof(arities))
            return 0;
        if (!operands(reader, arities[code - 1]))
            return 0;
    }
    return cut_short(err);
}

int nzd_code_on_load(struct nzd_view code, enum nzd_on_load *out,
                     struct nzd_err *err)
{
    struct nzd_reader reader;
    struct nzd_reader header;

    nzd_reader_init(&reader, code);
    nzd_reader_init(&header, nzd_read_block(&reader, code.size));
    if (nzd_read_u32(&header) != CODE_VERSION)
        return nzd_chunk_refuse(err, NZD_CHUNK_CODE, "unknown format");
    if (reader.failed || header.failed)
        return cut_short(err);
    *out = NZD_ON_LOAD_NONE;
    if (reader.left == 0 || !memchr(reader.data, ON_LOAD, reader.left))
        return 0;
    return walk(&reader, out, err);
}
