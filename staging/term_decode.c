/* SPDX-License-Identifier: Apache-2.0 */
#include "inflate.h"
#include "limits.h"
#include "term.h"
#include "term_build.h"
#include "term_tags.h"
#include "utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FLOAT_TEXT_SIZE 31
#define MOST_DEFLATED   1040 /* zlib makes at most 1032 bytes from one */

struct decoder {
    struct nzd_reader in;
    const uint8_t *begin;
    struct nzd_arena *arena;
    struct nzd_err *err;
    uint64_t owed; /* elements that open containers still wait for */
    uint32_t nodes;
    uint32_t depth;
    struct nzd_term_atoms atoms;
};

static const struct nzd_term *decode(struct decoder *decoder);

static const struct nzd_term *refuse(struct decoder *decoder, const char *what)
{
    size_t at = (size_t)(decoder->in.data - decoder->begin);

    (void)nzd_err_set(decoder->err, NZD_EBUNDLE, "term: %s at byte %zu", what,
                      at);
    return NULL;
}

/* What a constructor gave; NULL is no memory. */
static const struct nzd_term *made(struct decoder *decoder,
                                   const struct nzd_term *term)
{
    if (!term && !decoder->in.failed)
        (void)nzd_err_memory(decoder->err);
    return term;
}

/* --- numbers --- */

static const struct nzd_term *decode_integer(struct decoder *decoder)
{
    int32_t value = (int32_t)nzd_read_u32(&decoder->in);

    return made(decoder, nzd_term_new_integer(decoder->arena, value));
}

static const struct nzd_term *decode_big(struct decoder *decoder, uint32_t size)
{
    bool negative = nzd_read_u8(&decoder->in) != 0;
    struct nzd_view little = nzd_read_bytes(&decoder->in, size);

    return made(decoder, nzd_term_new_big(decoder->arena, negative, little));
}

static const struct nzd_term *new_float(struct decoder *decoder, double real)
{
    struct nzd_term *term = nzd_term_new(decoder->arena, NZD_TERM_FLOAT);

    if (!isfinite(real))
        return refuse(decoder, "a float that is no number");
    if (term)
        term->real = real;
    return made(decoder, term);
}

static const struct nzd_term *decode_new_float(struct decoder *decoder)
{
    uint64_t bits = nzd_read_u64(&decoder->in);
    double real;

    memcpy(&real, &bits, sizeof(real));
    return new_float(decoder, real);
}

/* "%.20e", filled up with NULs. */
static const struct nzd_term *decode_float_text(struct decoder *decoder)
{
    struct nzd_view view = nzd_read_bytes(&decoder->in, FLOAT_TEXT_SIZE);
    char text[FLOAT_TEXT_SIZE + 1] = "";
    char *end;
    double real;

    if (view.size > 0)
        memcpy(text, view.data, view.size);
    real = strtod(text, &end);
    if (end == text || *end != '\0' || text[strspn(text, "0123456789.e+-")])
        return refuse(decoder, "not a float");
    return new_float(decoder, real);
}

/* --- atoms, strings, binaries --- */

static const struct nzd_term *new_atom(struct decoder *decoder,
                                       struct nzd_view name)
{
    size_t count;

    if (!nzd_utf8_count(name, &count))
        return refuse(decoder, "an atom that is not UTF-8");
    if (count > NZD_LIMIT_ATOM_CHARS)
        return refuse(decoder, "too long an atom");
    return made(decoder,
                nzd_term_new_atom(decoder->arena, &decoder->atoms, name));
}

static const struct nzd_term *decode_atom(struct decoder *decoder, size_t size)
{
    return new_atom(decoder, nzd_read_bytes(&decoder->in, size));
}

static const struct nzd_term *decode_latin1_atom(struct decoder *decoder,
                                                 size_t size)
{
    struct nzd_view latin1 = nzd_read_bytes(&decoder->in, size);
    struct nzd_buf name = {0};
    const struct nzd_term *term = NULL;

    if (latin1.size > NZD_LIMIT_ATOM_CHARS)
        return refuse(decoder, "too long an atom");
    nzd_utf8_latin1(latin1, &name);
    if (name.failed)
        (void)nzd_err_memory(decoder->err);
    else
        term = new_atom(decoder, nzd_buf_view(&name));
    nzd_buf_clear(&name);
    return term;
}

static const struct nzd_term *decode_string(struct decoder *decoder)
{
    uint16_t size = nzd_read_u16(&decoder->in);
    struct nzd_view text = nzd_read_bytes(&decoder->in, size);

    if (size == 0)
        return nzd_term_nil();
    return made(decoder,
                nzd_term_new_text(decoder->arena, NZD_TERM_STRING, text));
}

static const struct nzd_term *decode_binary(struct decoder *decoder)
{
    uint32_t size = nzd_read_u32(&decoder->in);
    struct nzd_view bytes = nzd_read_bytes(&decoder->in, size);

    return made(decoder,
                nzd_term_new_text(decoder->arena, NZD_TERM_BINARY, bytes));
}

/* Bits beyond the last one must be zero, for bitstrings compare by bytes: a
 * copy is made where they are not. */
static const struct nzd_term *decode_bits(struct decoder *decoder)
{
    uint32_t size = nzd_read_u32(&decoder->in);
    uint8_t bits = nzd_read_u8(&decoder->in);
    struct nzd_view bytes = nzd_read_bytes(&decoder->in, size);
    struct nzd_term *term;
    uint8_t *copy;

    if (decoder->in.failed)
        return NULL;
    if (bits == 0 || bits > 8 || size == 0)
        return refuse(decoder, "a bitstring with a wrong number of bits");
    term = nzd_term_new(decoder->arena, NZD_TERM_BINARY);
    if (!term)
        return made(decoder, NULL);
    term->bits = bits & 7;
    term->text = bytes;
    if (((unsigned)bytes.data[size - 1] << bits & 0xff) == 0)
        return term;
    copy = (uint8_t *)nzd_arena_text(decoder->arena, (const char *)bytes.data,
                                     size);
    if (!copy)
        return made(decoder, NULL);
    copy[size - 1] &= (uint8_t)(0xff << (8 - bits));
    term->text.data = copy;
    return term;
}

/* --- containers --- */

/*
 * `count` terms. Each takes a byte at least, so no more are believed in than
 * there are bytes left beyond what the containers around it wait for: memory
 * stays in proportion to the input.
 */
static const struct nzd_term **decode_all(struct decoder *decoder,
                                          uint64_t count)
{
    const struct nzd_term **children;

    if (decoder->owed + count > decoder->in.left) {
        decoder->in.failed = true;
        return NULL;
    }
    if (decoder->depth >= NZD_LIMIT_TERM_DEPTH) {
        (void)refuse(decoder, "nested too deep");
        return NULL;
    }
    children = nzd_arena_alloc(decoder->arena,
                               (size_t)count * sizeof(const struct nzd_term *));
    if (!children) {
        (void)nzd_err_memory(decoder->err);
        return NULL;
    }
    decoder->depth++;
    decoder->owed += count;
    for (uint64_t i = 0; i < count; i++) {
        decoder->owed--;
        children[i] = decode(decoder);
        if (!children[i])
            return NULL;
    }
    decoder->depth--;
    return children;
}

static const struct nzd_term *decode_tuple(struct decoder *decoder,
                                           uint32_t arity)
{
    const struct nzd_term **children = decode_all(decoder, arity);

    if (!children)
        return NULL;
    return made(decoder, nzd_term_new_tuple(decoder->arena, children, arity));
}

static const struct nzd_term *decode_list(struct decoder *decoder)
{
    uint32_t count = nzd_read_u32(&decoder->in);
    const struct nzd_term **children = decode_all(decoder, (uint64_t)count + 1);

    if (!children)
        return NULL;
    /* A tail that is a list is copied: that counts like making it again */
    decoder->nodes += nzd_term_list_length(children[count]);
    if (decoder->nodes > NZD_LIMIT_TERM_NODES)
        return refuse(decoder, "too many terms");
    return made(decoder, nzd_term_new_list(decoder->arena, children, count,
                                           children[count]));
}

static const struct nzd_term *decode_map(struct decoder *decoder)
{
    uint32_t pairs = nzd_read_u32(&decoder->in);
    const struct nzd_term **children = decode_all(decoder, 2 * (uint64_t)pairs);
    const struct nzd_term *term;
    bool repeated;

    if (!children)
        return NULL;
    term = nzd_term_new_map(decoder->arena, children, pairs, &repeated);
    if (repeated)
        return refuse(decoder, "a map with a key twice");
    return made(decoder, term);
}

/* --- identities: only their extent is found, their bytes kept --- */

static const struct nzd_term *keep(struct decoder *decoder,
                                   const uint8_t *begin)
{
    struct nzd_view bytes =
        nzd_view_of(begin, (size_t)(decoder->in.data - begin));

    if (decoder->in.failed)
        return NULL;
    return made(decoder,
                nzd_term_new_text(decoder->arena, NZD_TERM_OTHER, bytes));
}

static const struct nzd_term *decode_atom_here(struct decoder *decoder)
{
    const struct nzd_term **term = decode_all(decoder, 1);

    if (!term)
        return NULL;
    return term[0]->kind == NZD_TERM_ATOM ? term[0]
                                          : refuse(decoder, "not an atom");
}

/* A node name, then `size` bytes. */
static const struct nzd_term *decode_identity(struct decoder *decoder,
                                              size_t size)
{
    const uint8_t *begin = decoder->in.data - 1;

    if (!decode_atom_here(decoder))
        return NULL;
    (void)nzd_read_bytes(&decoder->in, size);
    return keep(decoder, begin);
}

static const struct nzd_term *decode_reference(struct decoder *decoder,
                                               size_t creation)
{
    const uint8_t *begin = decoder->in.data - 1;
    uint16_t words = nzd_read_u16(&decoder->in);

    if (!decode_atom_here(decoder))
        return NULL;
    if (words == 0 || words > 5)
        return refuse(decoder, "a reference of a wrong size");
    (void)nzd_read_bytes(&decoder->in, creation + 4 * (size_t)words);
    return keep(decoder, begin);
}

/* Size, Arity, Uniq, Index, NumFree, Module, OldIndex, OldUniq, Pid, Free. */
static const struct nzd_term *decode_new_fun(struct decoder *decoder)
{
    const uint8_t *begin = decoder->in.data - 1;
    uint32_t size = nzd_read_u32(&decoder->in);
    uint32_t free_count;

    (void)nzd_read_bytes(&decoder->in, 1 + 16 + 4);
    free_count = nzd_read_u32(&decoder->in);
    if (!decode_atom_here(decoder) ||
        !decode_all(decoder, 3 + (uint64_t)free_count))
        return NULL;
    if ((size_t)(decoder->in.data - begin) != (size_t)size + 1)
        return refuse(decoder, "a fun of a wrong size");
    return keep(decoder, begin);
}

/* NumFree, Pid, Module, Index, Uniq, Free. */
static const struct nzd_term *decode_fun(struct decoder *decoder)
{
    const uint8_t *begin = decoder->in.data - 1;
    uint32_t free_count = nzd_read_u32(&decoder->in);

    if (!decode_all(decoder, 4 + (uint64_t)free_count))
        return NULL;
    return keep(decoder, begin);
}

static const struct nzd_term *decode_export(struct decoder *decoder)
{
    const struct nzd_term **parts = decode_all(decoder, 3);

    if (!parts)
        return NULL;
    if (parts[0]->kind != NZD_TERM_ATOM || parts[1]->kind != NZD_TERM_ATOM ||
        parts[2]->kind != NZD_TERM_INTEGER || parts[2]->integer < 0 ||
        parts[2]->integer > 255)
        return refuse(decoder, "not an external fun");
    return made(decoder, nzd_term_new_export(decoder->arena, parts[0], parts[1],
                                             (uint8_t)parts[2]->integer));
}

static const struct nzd_term *decode_other(struct decoder *decoder, uint8_t tag)
{
    switch (tag) {
    case NZD_TAG_PID:
        return decode_identity(decoder, 4 + 4 + 1);
    case NZD_TAG_NEW_PID:
        return decode_identity(decoder, 4 + 4 + 4);
    case NZD_TAG_PORT:
    case NZD_TAG_REFERENCE:
        return decode_identity(decoder, 4 + 1);
    case NZD_TAG_NEW_PORT:
        return decode_identity(decoder, 4 + 4);
    case NZD_TAG_V4_PORT:
        return decode_identity(decoder, 8 + 4);
    case NZD_TAG_NEW_REFERENCE:
        return decode_reference(decoder, 1);
    case NZD_TAG_NEWER_REFERENCE:
        return decode_reference(decoder, 4);
    case NZD_TAG_NEW_FUN:
        return decode_new_fun(decoder);
    case NZD_TAG_FUN:
        return decode_fun(decoder);
    case NZD_TAG_EXPORT:
        return decode_export(decoder);
    default:
        return refuse(decoder, "an unknown tag");
    }
}

/* --- any term --- */

static const struct nzd_term *decode_tagged(struct decoder *decoder,
                                            uint8_t tag)
{
    struct nzd_reader *in = &decoder->in;

    switch (tag) {
    case NZD_TAG_SMALL_INTEGER:
        return nzd_term_byte(nzd_read_u8(in));
    case NZD_TAG_INTEGER:
        return decode_integer(decoder);
    case NZD_TAG_SMALL_BIG:
        return decode_big(decoder, nzd_read_u8(in));
    case NZD_TAG_LARGE_BIG:
        return decode_big(decoder, nzd_read_u32(in));
    case NZD_TAG_NEW_FLOAT:
        return decode_new_float(decoder);
    case NZD_TAG_FLOAT:
        return decode_float_text(decoder);
    case NZD_TAG_SMALL_ATOM_UTF8:
        return decode_atom(decoder, nzd_read_u8(in));
    case NZD_TAG_ATOM_UTF8:
        return decode_atom(decoder, nzd_read_u16(in));
    case NZD_TAG_SMALL_ATOM_LATIN1:
        return decode_latin1_atom(decoder, nzd_read_u8(in));
    case NZD_TAG_ATOM_LATIN1:
        return decode_latin1_atom(decoder, nzd_read_u16(in));
    case NZD_TAG_STRING:
        return decode_string(decoder);
    case NZD_TAG_BINARY:
        return decode_binary(decoder);
    case NZD_TAG_BIT_BINARY:
        return decode_bits(decoder);
    case NZD_TAG_SMALL_TUPLE:
        return decode_tuple(decoder, nzd_read_u8(in));
    case NZD_TAG_LARGE_TUPLE:
        return decode_tuple(decoder, nzd_read_u32(in));
    case NZD_TAG_NIL:
        return nzd_term_nil();
    case NZD_TAG_LIST:
        return decode_list(decoder);
    case NZD_TAG_MAP:
        return decode_map(decoder);
    default:
        return decode_other(decoder, tag);
    }
}

static const struct nzd_term *decode(struct decoder *decoder)
{
    uint8_t tag = nzd_read_u8(&decoder->in);
    const struct nzd_term *term;

    if (++decoder->nodes > NZD_LIMIT_TERM_NODES)
        return refuse(decoder, "too many terms");
    term = decoder->in.failed ? NULL : decode_tagged(decoder, tag);
    return decoder->in.failed ? refuse(decoder, "cut short") : term;
}

/* The inflated bytes of a COMPRESSED term, in the arena. */
static int decompress(struct nzd_reader *in, struct nzd_arena *arena,
                      struct nzd_view *out, struct nzd_err *err)
{
    uint64_t size = nzd_read_u32(in);
    struct nzd_buf buf = {0};
    const char *copy;
    int rc;

    if (in->failed || size > NZD_LIMIT_MODULE_BYTES ||
        size > MOST_DEFLATED * (uint64_t)in->left)
        return nzd_err_set(err, NZD_EBUNDLE,
                           "term: a wrong size of compressed data");
    rc = nzd_inflate(nzd_view_of(in->data, in->left), (size_t)size, &buf, err);
    if (rc == 0 && buf.size != size)
        rc = nzd_err_set(err, NZD_EBUNDLE,
                         "term: a wrong size of compressed data");
    if (rc)
        goto out;
    copy = nzd_arena_text(arena, (const char *)buf.data, buf.size);
    if (copy)
        *out = nzd_view_of(copy, buf.size);
    else
        rc = nzd_err_memory(err);
out:
    nzd_buf_clear(&buf);
    return rc;
}

int nzd_term_decode(struct nzd_view view, struct nzd_arena *arena,
                    const struct nzd_term **out, struct nzd_err *err)
{
    struct decoder decoder = {.arena = arena, .begin = view.data, .err = err};
    const struct nzd_term *term;
    struct nzd_view inflated = {NULL, 0};

    nzd_reader_init(&decoder.in, view);
    if (nzd_read_u8(&decoder.in) != NZD_TAG_VERSION)
        return nzd_err_set(err, NZD_EBUNDLE, "term: not an external term");
    if (decoder.in.left > 0 && decoder.in.data[0] == NZD_TAG_COMPRESSED) {
        (void)nzd_read_u8(&decoder.in);
        if (decompress(&decoder.in, arena, &inflated, err))
            return nzd_err_set(err, NZD_EBUNDLE, "term: not inflated");
        decoder.begin = inflated.data;
        nzd_reader_init(&decoder.in, inflated);
    }
    term = decode(&decoder);
    if (term && decoder.in.left > 0)
        term = refuse(&decoder, "bytes after its end");
    if (!term)
        return nzd_err_set(err, NZD_EBUNDLE, "term: not decoded");
    *out = term;
    return 0;
}
