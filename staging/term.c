/* SPDX-License-Identifier: Apache-2.0 */
#include "term.h"
#include "term_build.h"
#include "utf8.h"

#include <string.h>

/* --- order --- */

static int order(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int order_bytes(struct nzd_view a, struct nzd_view b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int result = common > 0 ? memcmp(a.data, b.data, common) : 0;

    return result ? result : order(a.size, b.size);
}

static bool is_list(const struct nzd_term *term)
{
    return term->kind == NZD_TERM_LIST || term->kind == NZD_TERM_STRING;
}

/* Kinds that can be equal have the same rank: strings are lists. */
static int rank(const struct nzd_term *term)
{
    static const uint8_t ranks[] = {
        [NZD_TERM_INTEGER] = 0, [NZD_TERM_BIG] = 1,   [NZD_TERM_FLOAT] = 2,
        [NZD_TERM_ATOM] = 3,    [NZD_TERM_OTHER] = 4, [NZD_TERM_TUPLE] = 5,
        [NZD_TERM_MAP] = 6,     [NZD_TERM_LIST] = 7,  [NZD_TERM_STRING] = 7,
        [NZD_TERM_BINARY] = 8};

    return ranks[term->kind];
}

static int compare_integers(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

/* By bits: 0.0 and -0.0 differ, as for =:= of OTP 27. */
static int compare_reals(double a, double b)
{
    uint64_t left;
    uint64_t right;

    memcpy(&left, &a, sizeof(left));
    memcpy(&right, &b, sizeof(right));
    return order(left, right);
}

static const struct nzd_term *list_tail(const struct nzd_term *term)
{
    return term->kind == NZD_TERM_LIST && term->tail ? term->tail
                                                     : nzd_term_nil();
}

static int compare_lists(const struct nzd_term *a, const struct nzd_term *b)
{
    uint32_t left = nzd_term_list_length(a);
    uint32_t right = nzd_term_list_length(b);
    int result;

    if (a->kind == NZD_TERM_STRING && b->kind == NZD_TERM_STRING)
        return order_bytes(a->text, b->text);
    for (uint32_t i = 0; i < left && i < right; i++) {
        result = nzd_term_compare(nzd_term_at(a, i), nzd_term_at(b, i));
        if (result)
            return result;
    }
    if (left != right)
        return order(left, right);
    a = list_tail(a);
    b = list_tail(b);
    if (a == b)
        return 0;
    return nzd_term_compare(a, b);
}

static int compare_children(const struct nzd_term *a, const struct nzd_term *b)
{
    int result = order(a->count, b->count);

    for (uint32_t i = 0; result == 0 && i < a->count; i++)
        result = nzd_term_compare(a->children[i], b->children[i]);
    return result;
}

int nzd_term_compare(const struct nzd_term *a, const struct nzd_term *b)
{
    int result;

    if (a == b)
        return 0;
    if (rank(a) != rank(b))
        return rank(a) - rank(b);
    switch (a->kind) {
    case NZD_TERM_INTEGER:
        return compare_integers(a->integer, b->integer);
    case NZD_TERM_FLOAT:
        return compare_reals(a->real, b->real);
    case NZD_TERM_TUPLE:
    case NZD_TERM_MAP:
        return compare_children(a, b);
    case NZD_TERM_LIST:
    case NZD_TERM_STRING:
        return compare_lists(a, b);
    case NZD_TERM_BINARY:
        result = order_bytes(a->text, b->text);
        return result ? result : (int)a->bits - (int)b->bits;
    default:
        return order_bytes(a->text, b->text);
    }
}

bool nzd_term_equal(const struct nzd_term *a, const struct nzd_term *b)
{
    return nzd_term_compare(a, b) == 0;
}

struct nzd_digest nzd_term_digest(const struct nzd_term *term)
{
    struct nzd_digest digest = {{0}};
    struct nzd_buf buf = {0};

    nzd_term_encode(term, &buf);
    if (!buf.failed)
        digest = nzd_digest_of(nzd_buf_view(&buf));
    nzd_buf_clear(&buf);
    return digest;
}

/* --- looking in --- */

bool nzd_term_is_atom(const struct nzd_term *term, const char *name)
{
    return term && term->kind == NZD_TERM_ATOM &&
           nzd_view_equal(term->text, nzd_view_text(name));
}

bool nzd_term_is_tagged(const struct nzd_term *term, const char *tag,
                        uint32_t arity)
{
    if (!term || term->kind != NZD_TERM_TUPLE || term->count != arity ||
        arity == 0)
        return false;
    return !tag || nzd_term_is_atom(term->children[0], tag);
}

const struct nzd_term *nzd_term_at(const struct nzd_term *term, uint32_t i)
{
    if (!term)
        return NULL;
    if (term->kind == NZD_TERM_STRING)
        return i < term->text.size ? nzd_term_byte(term->text.data[i]) : NULL;
    if (term->kind != NZD_TERM_TUPLE && term->kind != NZD_TERM_LIST)
        return NULL;
    return i < term->count ? term->children[i] : NULL;
}

uint32_t nzd_term_length(const struct nzd_term *term)
{
    if (!term)
        return 0;
    if (term->kind == NZD_TERM_STRING)
        return (uint32_t)term->text.size;
    if (term->kind == NZD_TERM_TUPLE ||
        (term->kind == NZD_TERM_LIST && !term->tail))
        return term->count;
    return 0;
}

static const struct nzd_term *map_get(const struct nzd_term *map,
                                      const char *key)
{
    for (uint32_t i = 0; i < map->count; i += 2) {
        if (nzd_term_is_atom(map->children[i], key))
            return map->children[i + 1];
    }
    return NULL;
}

const struct nzd_term *nzd_term_get(const struct nzd_term *term,
                                    const char *key)
{
    if (term && term->kind == NZD_TERM_MAP)
        return map_get(term, key);
    if (!term || term->kind != NZD_TERM_LIST)
        return NULL;
    for (uint32_t i = 0; i < term->count; i++) {
        if (nzd_term_is_tagged(term->children[i], key, 2))
            return term->children[i]->children[1];
    }
    return NULL;
}

/* A list of characters as UTF-8; false when it holds anything else. */
static bool characters(const struct nzd_term *list, struct nzd_buf *out)
{
    uint32_t length = nzd_term_list_length(list);

    if (list->kind == NZD_TERM_LIST && list->tail)
        return false;
    for (uint32_t i = 0; i < length; i++) {
        const struct nzd_term *term = nzd_term_at(list, i);
        uint8_t bytes[4];
        size_t size;

        if (term->kind != NZD_TERM_INTEGER || term->integer <= 0 ||
            term->integer > UINT32_MAX)
            return false;
        size = nzd_utf8_put(bytes, (uint32_t)term->integer);
        if (size == 0)
            return false;
        nzd_buf_bytes(out, bytes, size);
    }
    return !out->failed;
}

static const char *text_of(struct nzd_view view, struct nzd_arena *arena)
{
    if (view.size > 0 && memchr(view.data, 0, view.size))
        return NULL;
    return nzd_arena_text(arena, (const char *)view.data, view.size);
}

const char *nzd_term_text(const struct nzd_term *term, struct nzd_arena *arena)
{
    struct nzd_buf buf = {0};
    const char *text = NULL;

    if (!term)
        return NULL;
    if (term->kind == NZD_TERM_ATOM ||
        (term->kind == NZD_TERM_BINARY && term->bits == 0))
        return text_of(term->text, arena);
    if (is_list(term) && characters(term, &buf))
        text = text_of(nzd_buf_view(&buf), arena);
    nzd_buf_clear(&buf);
    return text;
}

bool nzd_term_integer(const struct nzd_term *term, int64_t *out)
{
    if (!term || term->kind != NZD_TERM_INTEGER)
        return false;
    *out = term->integer;
    return true;
}
