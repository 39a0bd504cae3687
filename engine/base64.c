/* SPDX-License-Identifier: Apache-2.0 */
#include "base64.h"

#include <string.h>

static const char letters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void put_group(uint8_t *to, const uint8_t *from, size_t size)
{
    uint32_t bits = (uint32_t)from[0] << 16;

    if (size > 1)
        bits |= (uint32_t)from[1] << 8;
    if (size > 2)
        bits |= from[2];
    to[0] = (uint8_t)letters[bits >> 18];
    to[1] = (uint8_t)letters[bits >> 12 & 63];
    to[2] = size > 1 ? (uint8_t)letters[bits >> 6 & 63] : '=';
    to[3] = size > 2 ? (uint8_t)letters[bits & 63] : '=';
}

void nzd_base64(struct nzd_buf *out, struct nzd_view bytes)
{
    uint8_t *to = nzd_buf_reserve(out, (bytes.size + 2) / 3 * 4);

    for (size_t at = 0; to && at < bytes.size; at += 3) {
        size_t size = bytes.size - at;

        put_group(to, bytes.data + at, size < 3 ? size : 3);
        to += 4;
        out->size += 4;
    }
}

/* 0 to 63, or 64 for what is no letter. */
static uint32_t value_of(uint8_t letter)
{
    if (letter >= 'A' && letter <= 'Z')
        return letter - 'A';
    if (letter >= 'a' && letter <= 'z')
        return letter - 'a' + 26u;
    if (letter >= '0' && letter <= '9')
        return letter - '0' + 52u;
    if (letter == '+')
        return 62;
    return letter == '/' ? 63 : 64;
}

/* The bytes of four letters, 0 when they are not what an encoder makes. */
static size_t take_group(uint8_t *to, const uint8_t *from, bool last)
{
    size_t padding =
        last ? (size_t)(from[3] == '=') + (from[3] == '=' && from[2] == '=')
             : 0;
    uint32_t bits = 0;

    for (size_t i = 0; i < 4 - padding; i++) {
        uint32_t value = value_of(from[i]);

        if (value > 63)
            return 0;
        bits |= value << (18 - 6 * i);
    }
    /* The bits that no byte takes must be zero. */
    if (bits & ((1u << (8 * padding)) - 1))
        return 0;
    to[0] = (uint8_t)(bits >> 16);
    to[1] = (uint8_t)(bits >> 8);
    to[2] = (uint8_t)bits;
    return 3 - padding;
}

bool nzd_unbase64(struct nzd_buf *out, struct nzd_view text)
{
    size_t before = out->size;
    uint8_t *to;

    if (text.size % 4 != 0)
        return false;
    to = nzd_buf_reserve(out, text.size / 4 * 3);
    if (!to)
        return false;
    for (size_t at = 0; at < text.size; at += 4) {
        size_t size = take_group(to, text.data + at, at + 4 == text.size);

        if (size == 0) {
            out->size = before;
            return false;
        }
        to += size;
        out->size += size;
    }
    return true;
}
