/* SPDX-License-Identifier: Apache-2.0 */
#include "link_control.h"

#include "../staging/term.h"

#define VERSION_MAGIC 131

/* Tags of the external term format. */
enum {
    NEW_FLOAT = 70,
    BIT_BINARY = 77,
    NEW_PID = 88,
    NEW_PORT = 89,
    NEWER_REFERENCE = 90,
    SMALL_INTEGER = 97,
    INTEGER = 98,
    FLOAT = 99,
    ATOM = 100,
    REFERENCE = 101,
    PORT = 102,
    PID = 103,
    SMALL_TUPLE = 104,
    LARGE_TUPLE = 105,
    NIL = 106,
    STRING = 107,
    LIST = 108,
    BINARY = 109,
    SMALL_BIG = 110,
    LARGE_BIG = 111,
    NEW_FUN = 112,
    EXPORT = 113,
    NEW_REFERENCE = 114,
    SMALL_ATOM = 115,
    MAP = 116,
    ATOM_UTF8 = 118,
    SMALL_ATOM_UTF8 = 119,
    V4_PORT = 120
};

static bool skip_atom(struct nzd_reader *in, uint8_t tag)
{
    if (tag == ATOM || tag == ATOM_UTF8)
        (void)nzd_read_bytes(in, nzd_read_u16(in));
    else if (tag == SMALL_ATOM || tag == SMALL_ATOM_UTF8)
        (void)nzd_read_bytes(in, nzd_read_u8(in));
    else
        return false;
    return true;
}

/* A node name, then `size` bytes. */
static void skip_named(struct nzd_reader *in, size_t size)
{
    if (!skip_atom(in, nzd_read_u8(in)))
        in->failed = true;
    (void)nzd_read_bytes(in, size);
}

static bool skip_identifier(struct nzd_reader *in, uint8_t tag)
{
    switch (tag) {
    case PID:
        skip_named(in, 9);
        return true;
    case NEW_PID:
    case V4_PORT:
        skip_named(in, 12);
        return true;
    case PORT:
    case REFERENCE:
        skip_named(in, 5);
        return true;
    case NEW_PORT:
        skip_named(in, 8);
        return true;
    case NEW_REFERENCE:
        skip_named(in, 1 + 4 * (size_t)nzd_read_u16(in));
        return true;
    case NEWER_REFERENCE:
        skip_named(in, 4 + 4 * (size_t)nzd_read_u16(in));
        return true;
    default:
        return false;
    }
}

static void skip_more(struct nzd_reader *in, uint32_t size, size_t more)
{
    (void)nzd_read_bytes(in, size);
    (void)nzd_read_bytes(in, more);
}

static bool skip_flat(struct nzd_reader *in, uint8_t tag)
{
    switch (tag) {
    case NIL:
        return true;
    case SMALL_INTEGER:
        return (void)nzd_read_u8(in), true;
    case INTEGER:
        return (void)nzd_read_u32(in), true;
    case NEW_FLOAT:
        return (void)nzd_read_u64(in), true;
    case FLOAT:
        return (void)nzd_read_bytes(in, 31), true;
    case STRING:
        return (void)nzd_read_bytes(in, nzd_read_u16(in)), true;
    case BINARY:
        return (void)nzd_read_bytes(in, nzd_read_u32(in)), true;
    case BIT_BINARY:
    case LARGE_BIG:
        return skip_more(in, nzd_read_u32(in), 1), true;
    case SMALL_BIG:
        return skip_more(in, nzd_read_u8(in), 1), true;
    default:
        return false;
    }
}

/* The terms inside a compound one, which come right behind its head. */
static uint64_t open_compound(struct nzd_reader *in, uint8_t tag)
{
    uint32_t size;

    switch (tag) {
    case SMALL_TUPLE:
        return nzd_read_u8(in);
    case LARGE_TUPLE:
        return nzd_read_u32(in);
    case LIST:
        return (uint64_t)nzd_read_u32(in) + 1;
    case MAP:
        return (uint64_t)nzd_read_u32(in) * 2;
    case EXPORT:
        return 3;
    case NEW_FUN:
        size = nzd_read_u32(in);
        if (size < 4)
            in->failed = true;
        else
            (void)nzd_read_bytes(in, size - 4);
        return 0;
    default:
        in->failed = true;
        return 0;
    }
}

/* Every term takes a byte at least, so the loop ends with the input. */
static struct nzd_view skip_term(struct nzd_reader *in)
{
    const uint8_t *from = in->data;
    uint64_t due = 1;

    while (due > 0 && !in->failed) {
        uint8_t tag = nzd_read_u8(in);

        due--;
        if (!skip_atom(in, tag) && !skip_flat(in, tag) &&
            !skip_identifier(in, tag))
            due += open_compound(in, tag);
    }
    return nzd_view_of(from, in->failed ? 0 : (size_t)(in->data - from));
}

static uint32_t read_arity(struct nzd_reader *in)
{
    uint8_t tag = nzd_read_u8(in);

    if (tag == SMALL_TUPLE)
        return nzd_read_u8(in);
    if (tag == LARGE_TUPLE)
        return nzd_read_u32(in);
    in->failed = true;
    return 0;
}

bool nzd_control_read(struct nzd_view message, struct nzd_control *out)
{
    struct nzd_reader in;
    uint32_t arity;

    nzd_reader_init(&in, message);
    if (nzd_read_u8(&in) != NZD_CONTROL_PASS_THROUGH ||
        nzd_read_u8(&in) != VERSION_MAGIC)
        return false;
    arity = read_arity(&in);
    if (arity < 1 || arity > NZD_CONTROL_ARGUMENTS + 1 ||
        nzd_read_u8(&in) != SMALL_INTEGER)
        return false;
    out->op = nzd_read_u8(&in);
    out->count = arity - 1;
    for (uint32_t i = 0; i < out->count; i++)
        out->arguments[i] = skip_term(&in);
    out->payload = nzd_view_of(in.data, in.left);
    return !in.failed;
}

bool nzd_control_is_send(const struct nzd_control *control)
{
    switch (control->op) {
    case NZD_CONTROL_SEND:
    case NZD_CONTROL_SEND_SENDER:
        return control->count == 2;
    case NZD_CONTROL_SEND_TT:
    case NZD_CONTROL_SEND_SENDER_TT:
        return control->count == 3;
    default:
        return false;
    }
}

void nzd_control_acknowledge(const struct nzd_control *unlink,
                             struct nzd_buf *out)
{
    const struct nzd_view *id = &unlink->arguments[0];
    const struct nzd_view *from = &unlink->arguments[1];
    const struct nzd_view *to = &unlink->arguments[2];

    nzd_buf_u32(out, (uint32_t)(6 + id->size + from->size + to->size));
    nzd_buf_u8(out, NZD_CONTROL_PASS_THROUGH);
    nzd_buf_u8(out, VERSION_MAGIC);
    nzd_etf_tuple(out, 4);
    nzd_etf_integer(out, NZD_CONTROL_UNLINK_ID_ACK);
    nzd_buf_bytes(out, id->data, id->size);
    nzd_buf_bytes(out, to->data, to->size);
    nzd_buf_bytes(out, from->data, from->size);
}
