/* SPDX-License-Identifier: Apache-2.0 */
#include "link_control.h"

#include "../staging/term.h"
#include "../staging/term_tags.h"

static bool skip_atom(struct nzd_reader *in, uint8_t tag)
{
    if (tag == NZD_TAG_ATOM_LATIN1 || tag == NZD_TAG_ATOM_UTF8)
        (void)nzd_read_bytes(in, nzd_read_u16(in));
    else if (tag == NZD_TAG_SMALL_ATOM_LATIN1 || tag == NZD_TAG_SMALL_ATOM_UTF8)
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
    case NZD_TAG_PID:
        skip_named(in, 9);
        return true;
    case NZD_TAG_NEW_PID:
    case NZD_TAG_V4_PORT:
        skip_named(in, 12);
        return true;
    case NZD_TAG_PORT:
    case NZD_TAG_REFERENCE:
        skip_named(in, 5);
        return true;
    case NZD_TAG_NEW_PORT:
        skip_named(in, 8);
        return true;
    case NZD_TAG_NEW_REFERENCE:
        skip_named(in, 1 + 4 * (size_t)nzd_read_u16(in));
        return true;
    case NZD_TAG_NEWER_REFERENCE:
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
    case NZD_TAG_NIL:
        return true;
    case NZD_TAG_SMALL_INTEGER:
        return (void)nzd_read_u8(in), true;
    case NZD_TAG_INTEGER:
        return (void)nzd_read_u32(in), true;
    case NZD_TAG_NEW_FLOAT:
        return (void)nzd_read_u64(in), true;
    case NZD_TAG_FLOAT:
        return (void)nzd_read_bytes(in, 31), true;
    case NZD_TAG_STRING:
        return (void)nzd_read_bytes(in, nzd_read_u16(in)), true;
    case NZD_TAG_BINARY:
        return (void)nzd_read_bytes(in, nzd_read_u32(in)), true;
    case NZD_TAG_BIT_BINARY:
    case NZD_TAG_LARGE_BIG:
        return skip_more(in, nzd_read_u32(in), 1), true;
    case NZD_TAG_SMALL_BIG:
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
    case NZD_TAG_SMALL_TUPLE:
        return nzd_read_u8(in);
    case NZD_TAG_LARGE_TUPLE:
        return nzd_read_u32(in);
    case NZD_TAG_LIST:
        return (uint64_t)nzd_read_u32(in) + 1;
    case NZD_TAG_MAP:
        return (uint64_t)nzd_read_u32(in) * 2;
    case NZD_TAG_EXPORT:
        return 3;
    case NZD_TAG_NEW_FUN:
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

    if (tag == NZD_TAG_SMALL_TUPLE)
        return nzd_read_u8(in);
    if (tag == NZD_TAG_LARGE_TUPLE)
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
        nzd_read_u8(&in) != NZD_TAG_VERSION)
        return false;
    arity = read_arity(&in);
    if (arity < 1 || arity > NZD_CONTROL_ARGUMENTS + 1 ||
        nzd_read_u8(&in) != NZD_TAG_SMALL_INTEGER)
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
    nzd_buf_u8(out, NZD_TAG_VERSION);
    nzd_etf_tuple(out, 4);
    nzd_etf_integer(out, NZD_CONTROL_UNLINK_ID_ACK);
    nzd_buf_bytes(out, id->data, id->size);
    nzd_buf_bytes(out, to->data, to->size);
    nzd_buf_bytes(out, from->data, from->size);
}
