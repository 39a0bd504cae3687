/* SPDX-License-Identifier: Apache-2.0 */
#include "beam_code.h"

#include <string.h>

#define CODE_VERSION 0

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
static bool extended(struct nzd_reader *reader, struct nzd_code_token *token,
                     uint64_t *more)
{
    enum nzd_compact_tag tag;
    uint64_t count;

    switch (token->value) {
    case 1: /* a list */
        *more = nzd_read_compact(reader, &tag);
        return true;
    case 2: /* a floating-point register */
        skip_compact(reader, 1);
        return true;
    case 3: /* an allocation: pairs of a kind and a number */
        count = nzd_read_compact(reader, &tag);
        if (count > reader->left)
            reader->failed = true;
        skip_compact(reader, 2 * count);
        return true;
    case 4: /* a literal */
        token->literal = true;
        token->value = nzd_read_compact(reader, &tag);
        return true;
    case 5: /* a register and the type of what is in it */
        skip_compact(reader, 2);
        return true;
    default:
        return false;
    }
}

int nzd_code_open(struct nzd_view chunk, struct nzd_instructions *out,
                  struct nzd_err *err)
{
    struct nzd_reader header;

    memset(out, 0, sizeof(*out));
    nzd_reader_init(&out->reader, chunk);
    nzd_reader_init(&header, nzd_read_block(&out->reader, chunk.size));
    if (nzd_read_u32(&header) != CODE_VERSION)
        return nzd_chunk_refuse(err, NZD_CHUNK_CODE, "unknown format");
    if (out->reader.failed || header.failed)
        return cut_short(err);
    out->head = nzd_view_of(chunk.data, chunk.size - out->reader.left);
    return 0;
}

/* The number of the next instruction. */
static int begin(struct nzd_instructions *code, struct nzd_code_token *out,
                 struct nzd_err *err)
{
    if (code->op == NZD_OP_INT_CODE_END || code->unknown)
        return 0;
    code->op = nzd_read_u8(&code->reader);
    if (code->reader.failed)
        return cut_short(err);
    if (code->op == 0 || code->op > sizeof(arities)) {
        code->unknown = true;
        return 0;
    }
    code->left = arities[code->op - 1];
    code->index = 0;
    *out = (struct nzd_code_token){.begins = true, .op = code->op};
    return 1;
}

static int operand(struct nzd_instructions *code, struct nzd_code_token *out,
                   struct nzd_err *err)
{
    struct nzd_reader *reader = &code->reader;
    uint64_t more = 0;

    *out = (struct nzd_code_token){.op = code->op, .index = code->index};
    out->value = nzd_read_compact(reader, &out->tag);
    if (out->tag == NZD_COMPACT_Z && !extended(reader, out, &more)) {
        code->unknown = true;
        code->left = 0;
        return 0;
    }
    if (reader->failed || more > reader->left)
        return cut_short(err);
    code->left += more - 1;
    code->index++;
    return 1;
}

int nzd_code_next(struct nzd_instructions *code, struct nzd_code_token *out,
                  struct nzd_err *err)
{
    const uint8_t *start = code->reader.data;
    int rc = code->left ? operand(code, out, err) : begin(code, out, err);

    if (rc == 1)
        out->bytes = nzd_view_of(start, (size_t)(code->reader.data - start));
    return rc;
}

int nzd_code_on_load(struct nzd_view chunk, enum nzd_on_load *out,
                     struct nzd_err *err)
{
    struct nzd_code_token token = {.begins = false};
    struct nzd_instructions code;
    int rc = nzd_code_open(chunk, &code, err);

    if (rc)
        return rc;
    *out = NZD_ON_LOAD_NONE;
    if (code.reader.left == 0 ||
        !memchr(code.reader.data, NZD_OP_ON_LOAD, code.reader.left))
        return 0;
    while ((rc = nzd_code_next(&code, &token, err)) == 1) {
        if (token.op == NZD_OP_ON_LOAD) {
            *out = NZD_ON_LOAD_FOUND;
            return 0;
        }
    }
    if (code.unknown)
        *out = NZD_ON_LOAD_UNKNOWN;
    return rc;
}
