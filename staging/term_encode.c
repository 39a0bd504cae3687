/* SPDX-License-Identifier: Apache-2.0 */
#include "term.h"

#include "term_tags.h"

#include <string.h>

void nzd_etf_version(struct nzd_buf *out)
{
    nzd_buf_u8(out, NZD_TAG_VERSION);
}

void nzd_etf_tuple(struct nzd_buf *out, uint32_t arity)
{
    nzd_buf_u8(out, arity < 256 ? NZD_TAG_SMALL_TUPLE : NZD_TAG_LARGE_TUPLE);
    if (arity < 256)
        nzd_buf_u8(out, (uint8_t)arity);
    else
        nzd_buf_u32(out, arity);
}

void nzd_etf_list(struct nzd_buf *out, uint32_t count)
{
    if (count == 0) {
        nzd_etf_nil(out);
        return;
    }
    nzd_buf_u8(out, NZD_TAG_LIST);
    nzd_buf_u32(out, count);
}

void nzd_etf_nil(struct nzd_buf *out)
{
    nzd_buf_u8(out, NZD_TAG_NIL);
}

void nzd_etf_map(struct nzd_buf *out, uint32_t pairs)
{
    nzd_buf_u8(out, NZD_TAG_MAP);
    nzd_buf_u32(out, pairs);
}

static void write_atom(struct nzd_buf *out, struct nzd_view name)
{
    if (name.size > UINT16_MAX) {
        out->failed = true;
        return;
    }
    nzd_buf_u8(out,
               name.size < 256 ? NZD_TAG_SMALL_ATOM_UTF8 : NZD_TAG_ATOM_UTF8);
    if (name.size < 256)
        nzd_buf_u8(out, (uint8_t)name.size);
    else
        nzd_buf_u16(out, (uint16_t)name.size);
    nzd_buf_bytes(out, name.data, name.size);
}

void nzd_etf_atom(struct nzd_buf *out, const char *name)
{
    write_atom(out, nzd_view_text(name));
}

static void write_small_big(struct nzd_buf *out, bool negative,
                            uint64_t magnitude)
{
    uint8_t bytes[8];
    uint8_t size = 0;

    for (; magnitude > 0; magnitude >>= 8)
        bytes[size++] = (uint8_t)magnitude;
    nzd_buf_u8(out, NZD_TAG_SMALL_BIG);
    nzd_buf_u8(out, size);
    nzd_buf_u8(out, negative);
    nzd_buf_bytes(out, bytes, size);
}

void nzd_etf_integer(struct nzd_buf *out, int64_t value)
{
    if (value >= 0 && value <= 255) {
        nzd_buf_u8(out, NZD_TAG_SMALL_INTEGER);
        nzd_buf_u8(out, (uint8_t)value);
    } else if (value >= INT32_MIN && value <= INT32_MAX) {
        nzd_buf_u8(out, NZD_TAG_INTEGER);
        nzd_buf_u32(out, (uint32_t)(int32_t)value);
    } else {
        write_small_big(out, value < 0,
                        value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
    }
}

void nzd_etf_unsigned(struct nzd_buf *out, uint64_t value)
{
    if (value <= INT64_MAX)
        nzd_etf_integer(out, (int64_t)value);
    else
        write_small_big(out, false, value);
}

void nzd_etf_binary(struct nzd_buf *out, struct nzd_view bytes)
{
    nzd_buf_u8(out, NZD_TAG_BINARY);
    nzd_buf_block(out, bytes);
}

/* STRING_EXT has 16 bits for its length; longer ones are lists. */
static void write_bytes_list(struct nzd_buf *out, struct nzd_view bytes)
{
    if (bytes.size > UINT32_MAX) {
        out->failed = true;
        return;
    }
    if (bytes.size == 0) {
        nzd_etf_nil(out);
        return;
    }
    if (bytes.size <= UINT16_MAX) {
        nzd_buf_u8(out, NZD_TAG_STRING);
        nzd_buf_u16(out, (uint16_t)bytes.size);
        nzd_buf_bytes(out, bytes.data, bytes.size);
        return;
    }
    nzd_etf_list(out, (uint32_t)bytes.size);
    for (size_t i = 0; i < bytes.size; i++)
        nzd_etf_integer(out, bytes.data[i]);
    nzd_etf_nil(out);
}

void nzd_etf_string(struct nzd_buf *out, const char *text)
{
    write_bytes_list(out, nzd_view_text(text));
}

/* --- a term --- */

static bool is_byte(const struct nzd_term *term)
{
    return term->kind == NZD_TERM_INTEGER && term->integer >= 0 &&
           term->integer <= 255;
}

/* As the VM does: a list that STRING_EXT can hold is written so. */
static bool fits_string(const struct nzd_term *list)
{
    if (list->tail || list->count > UINT16_MAX)
        return false;
    for (uint32_t i = 0; i < list->count; i++) {
        if (!is_byte(list->children[i]))
            return false;
    }
    return true;
}

static void write_list(struct nzd_buf *out, const struct nzd_term *list)
{
    bool string = list->count > 0 && fits_string(list);

    if (list->count == 0) {
        nzd_etf_nil(out);
        return;
    }
    if (string) {
        nzd_buf_u8(out, NZD_TAG_STRING);
        nzd_buf_u16(out, (uint16_t)list->count);
    } else {
        nzd_etf_list(out, list->count);
    }
    for (uint32_t i = 0; i < list->count; i++) {
        if (string)
            nzd_buf_u8(out, (uint8_t)list->children[i]->integer);
        else
            nzd_term_encode(list->children[i], out);
    }
    if (list->tail)
        nzd_term_encode(list->tail, out);
    else if (!string)
        nzd_etf_nil(out);
}

static uint8_t hex_value(uint8_t digit)
{
    return (uint8_t)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

static void write_big(struct nzd_buf *out, struct nzd_view text)
{
    bool negative = text.data[0] == '-';
    const uint8_t *digits = text.data + (negative ? 4 : 3);
    size_t count = text.size - (negative ? 4 : 3);
    size_t size = (count + 1) / 2;

    if (size > UINT32_MAX) {
        out->failed = true;
        return;
    }
    nzd_buf_u8(out, size < 256 ? NZD_TAG_SMALL_BIG : NZD_TAG_LARGE_BIG);
    if (size < 256)
        nzd_buf_u8(out, (uint8_t)size);
    else
        nzd_buf_u32(out, (uint32_t)size);
    nzd_buf_u8(out, negative);
    while (count > 0) {
        uint8_t low = hex_value(digits[--count]);
        uint8_t high = count > 0 ? hex_value(digits[--count]) : 0;

        nzd_buf_u8(out, (uint8_t)(high << 4 | low));
    }
}

static void write_binary(struct nzd_buf *out, const struct nzd_term *term)
{
    if (term->bits == 0) {
        nzd_etf_binary(out, term->text);
        return;
    }
    if (term->text.size > UINT32_MAX) {
        out->failed = true;
        return;
    }
    nzd_buf_u8(out, NZD_TAG_BIT_BINARY);
    nzd_buf_u32(out, (uint32_t)term->text.size);
    nzd_buf_u8(out, term->bits);
    nzd_buf_bytes(out, term->text.data, term->text.size);
}

static void write_float(struct nzd_buf *out, double real)
{
    uint64_t bits;

    memcpy(&bits, &real, sizeof(bits));
    nzd_buf_u8(out, NZD_TAG_NEW_FLOAT);
    nzd_buf_u64(out, bits);
}

static void write_children(struct nzd_buf *out, const struct nzd_term *term)
{
    for (uint32_t i = 0; i < term->count; i++)
        nzd_term_encode(term->children[i], out);
}

void nzd_term_encode(const struct nzd_term *term, struct nzd_buf *out)
{
    switch (term->kind) {
    case NZD_TERM_ATOM:
        write_atom(out, term->text);
        break;
    case NZD_TERM_INTEGER:
        nzd_etf_integer(out, term->integer);
        break;
    case NZD_TERM_BIG:
        write_big(out, term->text);
        break;
    case NZD_TERM_FLOAT:
        write_float(out, term->real);
        break;
    case NZD_TERM_BINARY:
        write_binary(out, term);
        break;
    case NZD_TERM_TUPLE:
        nzd_etf_tuple(out, term->count);
        write_children(out, term);
        break;
    case NZD_TERM_LIST:
        write_list(out, term);
        break;
    case NZD_TERM_STRING:
        write_bytes_list(out, term->text);
        break;
    case NZD_TERM_MAP:
        nzd_etf_map(out, term->count / 2);
        write_children(out, term);
        break;
    case NZD_TERM_OTHER:
        nzd_buf_bytes(out, term->text.data, term->text.size);
        break;
    }
}
