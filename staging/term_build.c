/* SPDX-License-Identifier: Apache-2.0 */
#include "term_build.h"

#include <stdlib.h>
#include <string.h>

#define BYTE(n)                                                                \
    {                                                                          \
        .kind = NZD_TERM_INTEGER, .integer = (n)                               \
    }
#define BYTES4(n)  BYTE(n), BYTE((n) + 1), BYTE((n) + 2), BYTE((n) + 3)
#define BYTES16(n) BYTES4(n), BYTES4((n) + 4), BYTES4((n) + 8), BYTES4((n) + 12)
#define BYTES64(n)                                                             \
    BYTES16(n), BYTES16((n) + 16), BYTES16((n) + 32), BYTES16((n) + 48)

const struct nzd_term *nzd_term_nil(void)
{
    static const struct nzd_term nil = {
        .kind = NZD_TERM_LIST, .children = NULL, .tail = NULL};

    return &nil;
}

const struct nzd_term *nzd_term_byte(uint8_t value)
{
    static const struct nzd_term bytes[256] = {BYTES64(0), BYTES64(64),
                                               BYTES64(128), BYTES64(192)};

    return &bytes[value];
}

struct nzd_term *nzd_term_new(struct nzd_arena *arena, enum nzd_term_kind kind)
{
    struct nzd_term *term = nzd_arena_alloc(arena, sizeof(*term));

    if (term)
        term->kind = kind;
    return term;
}

static bool text_copy(struct nzd_arena *arena, struct nzd_term *term,
                      struct nzd_view text)
{
    char *copy = nzd_arena_text(arena, (const char *)text.data, text.size);

    term->text = nzd_view_of(copy, text.size);
    return copy != NULL;
}

const struct nzd_term *nzd_term_new_text(struct nzd_arena *arena,
                                         enum nzd_term_kind kind,
                                         struct nzd_view text)
{
    struct nzd_term *term = nzd_term_new(arena, kind);

    if (!term)
        return NULL;
    term->text = text;
    if (kind == NZD_TERM_STRING && !text_copy(arena, term, text))
        return NULL;
    return term;
}

static uint8_t slot_of(struct nzd_view name)
{
    uint32_t hash = 2166136261u; /* FNV-1a */

    for (size_t i = 0; i < name.size; i++)
        hash = (hash ^ name.data[i]) * 16777619u;
    return (uint8_t)(hash ^ hash >> 8 ^ hash >> 16 ^ hash >> 24);
}

const struct nzd_term *nzd_term_new_atom(struct nzd_arena *arena,
                                         struct nzd_term_atoms *atoms,
                                         struct nzd_view name)
{
    const struct nzd_term **slot = &atoms->slot[slot_of(name)];
    struct nzd_term *term;

    if (*slot && nzd_view_equal((*slot)->text, name))
        return *slot;
    term = nzd_term_new(arena, NZD_TERM_ATOM);
    if (!term || !text_copy(arena, term, name))
        return NULL;
    *slot = term;
    return term;
}

const struct nzd_term *nzd_term_new_integer(struct nzd_arena *arena,
                                            int64_t value)
{
    struct nzd_term *term;

    if (value >= 0 && value <= 255)
        return nzd_term_byte((uint8_t)value);
    term = nzd_term_new(arena, NZD_TERM_INTEGER);
    if (term)
        term->integer = value;
    return term;
}

/* "-16#1f": the text of a number that int64_t does not hold. */
static const struct nzd_term *big_text(struct nzd_arena *arena, bool negative,
                                       struct nzd_view little)
{
    static const char digits[] = "0123456789abcdef";
    struct nzd_term *term = nzd_term_new(arena, NZD_TERM_BIG);
    char *text;
    size_t at = 0;

    if (!term || little.size > SIZE_MAX / 2 - 8)
        return NULL;
    text = nzd_arena_alloc(arena, 2 * little.size + 5);
    if (!text)
        return NULL;
    if (negative)
        text[at++] = '-';
    memcpy(text + at, "16#", sizeof("16#"));
    at += 3;
    for (size_t i = little.size; i-- > 0;) {
        uint8_t byte = little.data[i];

        if (byte > 15 || i + 1 < little.size)
            text[at++] = digits[byte >> 4];
        text[at++] = digits[byte & 15];
    }
    term->text = nzd_view_of(text, at);
    return term;
}

const struct nzd_term *nzd_term_new_big(struct nzd_arena *arena, bool negative,
                                        struct nzd_view little)
{
    uint64_t value = 0;

    while (little.size > 0 && little.data[little.size - 1] == 0)
        little.size--;
    if (little.size > 8)
        return big_text(arena, negative, little);
    for (size_t i = little.size; i-- > 0;)
        value = value << 8 | little.data[i];
    if (value <= INT64_MAX)
        return nzd_term_new_integer(arena, negative ? -(int64_t)value
                                                    : (int64_t)value);
    if (negative && value == (uint64_t)INT64_MAX + 1)
        return nzd_term_new_integer(arena, INT64_MIN);
    return big_text(arena, negative, little);
}

const struct nzd_term *nzd_term_new_tuple(struct nzd_arena *arena,
                                          const struct nzd_term **children,
                                          uint32_t count)
{
    struct nzd_term *term = nzd_term_new(arena, NZD_TERM_TUPLE);

    if (!term)
        return NULL;
    term->children = children;
    term->count = count;
    return term;
}

uint32_t nzd_term_list_length(const struct nzd_term *term)
{
    if (term->kind == NZD_TERM_STRING)
        return (uint32_t)term->text.size;
    return term->kind == NZD_TERM_LIST ? term->count : 0;
}

/* Puts the elements of the list that is the tail of `list` into it. */
static bool join(struct nzd_arena *arena, struct nzd_term *list)
{
    const struct nzd_term *tail = list->tail;
    uint32_t more = nzd_term_list_length(tail);
    const struct nzd_term **all;
    size_t total = (size_t)list->count + more;

    if (more > UINT32_MAX - list->count ||
        total > SIZE_MAX / sizeof(const struct nzd_term *))
        return false;
    all = nzd_arena_alloc(arena, total * sizeof(const struct nzd_term *));
    if (!all)
        return false;
    memcpy(all, list->children, list->count * sizeof(const struct nzd_term *));
    for (uint32_t i = 0; i < more; i++)
        all[list->count + i] = nzd_term_at(tail, i);
    list->children = all;
    list->count += more;
    list->tail = tail->kind == NZD_TERM_LIST ? tail->tail : NULL;
    return true;
}

const struct nzd_term *nzd_term_new_list(struct nzd_arena *arena,
                                         const struct nzd_term **children,
                                         uint32_t count,
                                         const struct nzd_term *tail)
{
    struct nzd_term *term;

    if (tail && tail->kind == NZD_TERM_LIST && tail->count == 0)
        tail = NULL;
    if (count == 0)
        return tail ? tail : nzd_term_nil();
    term = nzd_term_new(arena, NZD_TERM_LIST);
    if (!term)
        return NULL;
    term->children = children;
    term->count = count;
    term->tail = tail;
    if (tail && nzd_term_list_length(tail) > 0 && !join(arena, term))
        return NULL;
    return term;
}

static int by_key(const void *a, const void *b)
{
    const struct nzd_term *const *left = a;
    const struct nzd_term *const *right = b;

    return nzd_term_compare(left[0], right[0]);
}

const struct nzd_term *nzd_term_new_map(struct nzd_arena *arena,
                                        const struct nzd_term **children,
                                        uint32_t pairs, bool *repeated)
{
    struct nzd_term *term;

    *repeated = false;
    if (pairs > UINT32_MAX / 2)
        return NULL;
    if (pairs > 1)
        qsort(children, pairs, 2 * sizeof(struct nzd_term *), by_key);
    for (uint32_t i = 1; i < pairs; i++)
        *repeated |= nzd_term_equal(children[2 * i - 2], children[2 * i]);
    term = *repeated ? NULL : nzd_term_new(arena, NZD_TERM_MAP);
    if (!term)
        return NULL;
    term->children = children;
    term->count = 2 * pairs;
    return term;
}

const struct nzd_term *nzd_term_new_export(struct nzd_arena *arena,
                                           const struct nzd_term *module,
                                           const struct nzd_term *function,
                                           uint8_t arity)
{
    struct nzd_buf buf = {0};
    const struct nzd_term *term = NULL;
    char *bytes;

    nzd_buf_u8(&buf, 113);
    nzd_term_encode(module, &buf);
    nzd_term_encode(function, &buf);
    nzd_term_encode(nzd_term_byte(arity), &buf);
    bytes = buf.failed
                ? NULL
                : nzd_arena_text(arena, (const char *)buf.data, buf.size);
    if (bytes)
        term = nzd_term_new_text(arena, NZD_TERM_OTHER,
                                 nzd_view_of(bytes, buf.size));
    nzd_buf_clear(&buf);
    return term;
}
