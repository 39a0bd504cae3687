/* SPDX-License-Identifier: Apache-2.0 */
#include "settings_compare.h"

#include <string.h>

/* Printed bytes of one side of a line, and keys of one list that we look
 * through: looking is quadratic. */
#define PRINT_BYTES 100u
#define KEYS_MAX    512u

static const char HIDDEN[] = "(hidden)";
static const struct nzd_term none = {.kind = NZD_TERM_LIST};

const char *settings_print(struct settings_compare *compare,
                           const struct nzd_term *term)
{
    struct nzd_buf buf = {0};
    const char *text = NULL;

    if (!term)
        return "";
    nzd_term_print(term, PRINT_BYTES, &buf);
    if (!buf.failed)
        text =
            nzd_arena_text(&compare->scratch, (const char *)buf.data, buf.size);
    nzd_buf_clear(&buf);
    if (!text)
        settings_memory(compare);
    return text ? text : "";
}

/* --- keyed terms: maps, and lists of {atom, value} --- */

static uint32_t pairs(const struct nzd_term *term)
{
    return term->kind == NZD_TERM_MAP ? term->count / 2 : term->count;
}

static const struct nzd_term *key_of(const struct nzd_term *term, uint32_t i)
{
    return term->kind == NZD_TERM_MAP ? term->children[2 * i]
                                      : term->children[i]->children[0];
}

static const struct nzd_term *value_of(const struct nzd_term *term, uint32_t i)
{
    return term->kind == NZD_TERM_MAP ? term->children[2 * i + 1]
                                      : term->children[i]->children[1];
}

static const struct nzd_term *find(const struct nzd_term *term,
                                   const struct nzd_term *key)
{
    for (uint32_t i = 0; i < pairs(term); i++)
        if (nzd_term_equal(key_of(term, i), key))
            return value_of(term, i);
    return NULL;
}

static bool is_empty(const struct nzd_term *term)
{
    return (term->kind == NZD_TERM_LIST && term->count == 0 && !term->tail) ||
           (term->kind == NZD_TERM_STRING && term->text.size == 0);
}

static bool is_keyed(const struct nzd_term *term)
{
    if (term->kind == NZD_TERM_MAP)
        return term->count / 2 <= KEYS_MAX;
    if (term->kind != NZD_TERM_LIST || term->tail || term->count == 0 ||
        term->count > KEYS_MAX)
        return false;
    for (uint32_t i = 0; i < term->count; i++) {
        const struct nzd_term *pair = term->children[i];

        if (!nzd_term_is_tagged(pair, NULL, 2) ||
            pair->children[0]->kind != NZD_TERM_ATOM)
            return false;
        for (uint32_t j = 0; j < i; j++)
            if (nzd_term_equal(pair->children[0], key_of(term, j)))
                return false;
    }
    return true;
}

/* --- what differs --- */

struct place {
    enum nzd_need need;
    const char *subject;
    const char *path;           /* "counter: repo.pool" */
    const struct nzd_term *key; /* of the value itself, or NULL */
    unsigned depth;             /* 0: applications, 1: their keys */
};

static const char *join(struct settings_compare *compare, const char *path,
                        const struct nzd_term *key)
{
    const char *name = key->kind == NZD_TERM_ATOM
                           ? (const char *)key->text.data
                           : settings_print(compare, key);
    const char *joined = nzd_arena_printf(&compare->scratch, "%s%s%s", path,
                                          !*path               ? ""
                                          : strstr(path, ": ") ? "."
                                                               : ": ",
                                          name);

    if (!joined)
        settings_memory(compare);
    return joined ? joined : "";
}

/* "{limit,100}", or the value alone. */
static const char *show(struct settings_compare *compare,
                        const struct place *place, const struct nzd_term *value)
{
    const struct nzd_term *children[2] = {place->key, value};
    const struct nzd_term pair = {
        .kind = NZD_TERM_TUPLE, .count = 2, .children = children};
    const char *keys = strstr(place->path, ": ");
    const char *text;

    if (!value)
        return "";
    text = settings_print(compare, place->key ? &pair : value);
    if (settings_is_secret(text) || (keys && settings_is_secret(keys)))
        return HIDDEN;
    return text;
}

/* Long values may differ past what is printed: then by their digests. */
static const char *show_digest(struct settings_compare *compare,
                               const char *text, const struct nzd_term *value)
{
    struct nzd_digest digest = nzd_term_digest(value);
    char hex[NZD_DIGEST_HEX];
    const char *out;

    nzd_digest_hex(hex, &digest);
    out =
        nzd_arena_printf(&compare->scratch, "%.60s... (xxh3 %.8s)", text, hex);
    if (!out)
        settings_memory(compare);
    return out ? out : "";
}

/* The only child in which two terms of one shape differ, else count. */
static uint32_t only_difference(const struct nzd_term *old,
                                const struct nzd_term *new)
{
    uint32_t at = old->count;

    for (uint32_t i = 0; i < old->count; i++) {
        if (nzd_term_equal(old->children[i], new->children[i]))
            continue;
        if (at < old->count)
            return old->count;
        at = i;
    }
    return at;
}

static bool same_shape(const struct nzd_term *old, const struct nzd_term *new)
{
    return old->kind == new->kind && old->count == new->count &&
           (old->kind == NZD_TERM_TUPLE || old->kind == NZD_TERM_LIST);
}

static void diff(struct settings_compare *compare, const struct place *place,
                 const struct nzd_term *old, const struct nzd_term *new);

static void leaf(struct settings_compare *compare, const struct place *place,
                 const struct nzd_term *old, const struct nzd_term *new)
{
    const char *left = show(compare, place, old);
    const char *right = show(compare, place, new);

    if (new &&old && left != HIDDEN &&strcmp(left, right) == 0) {
        uint32_t at = same_shape(old, new) ? only_difference(old, new) : 0;

        if (same_shape(old, new) && at < old->count) {
            const struct place inner = {place->need, place->subject,
                                        place->path, NULL, place->depth + 1};

            diff(compare, &inner, old->children[at], new->children[at]);
            return;
        }
        left = show_digest(compare, left, old);
        right = show_digest(compare, right, new);
    }
    settings_say(compare, place->need, place->subject, left, right,
                 place->path);
}

/* A key that only one side has; of an application, each of its keys. */
static void diff_missing(struct settings_compare *compare,
                         const struct place *place, const struct nzd_term *old,
                         const struct nzd_term *new)
{
    const struct nzd_term *value = old ? old : new;

    if (!value)
        return;
    if (place->depth == 1 && value->kind == NZD_TERM_LIST && is_keyed(value))
        diff(compare, place, old ? old : &none, new ? new : &none);
    else
        leaf(compare, place, old, new);
}

static enum nzd_need need_of(const struct settings_compare *compare,
                             const struct place *place,
                             const struct nzd_term *key)
{
    if (place->depth > 0 || place->need != NZD_NEED_RESTART ||
        key->kind != NZD_TERM_ATOM)
        return place->need;
    return settings_env_need(compare, (const char *)key->text.data);
}

static void diff_keys(struct settings_compare *compare,
                      const struct place *place, const struct nzd_term *old,
                      const struct nzd_term *new)
{
    for (uint32_t i = 0; i < pairs(old); i++) {
        const struct nzd_term *key = key_of(old, i);
        const struct nzd_term *other = find(new, key);
        const struct place inner = {
            need_of(compare, place, key), place->subject,
            join(compare, place->path, key), key, place->depth + 1};

        if (other)
            diff(compare, &inner, value_of(old, i), other);
        else
            diff_missing(compare, &inner, value_of(old, i), NULL);
    }
    for (uint32_t i = 0; i < pairs(new); i++) {
        const struct nzd_term *key = key_of(new, i);
        const struct place inner = {
            need_of(compare, place, key), place->subject,
            join(compare, place->path, key), key, place->depth + 1};

        if (!find(old, key))
            diff_missing(compare, &inner, NULL, value_of(new, i));
    }
}

static void diff(struct settings_compare *compare, const struct place *place,
                 const struct nzd_term *old, const struct nzd_term *new)
{
    uint32_t said = compare->said;

    if (compare->code < 0 || nzd_term_equal(old, new))
        return;
    if (is_empty(old) && is_keyed(new) && new->kind == NZD_TERM_LIST)
        diff_keys(compare, place, &none, new);
    else if (is_empty(new) && is_keyed(old) && old->kind == NZD_TERM_LIST)
        diff_keys(compare, place, old, &none);
    else if (old->kind == new->kind && is_keyed(old) && is_keyed(new))
        diff_keys(compare, place, old, new);
    else
        leaf(compare, place, old, new);
    /* Deeper down the order of a keyed list may mean something. */
    if (compare->said == said && place->depth > 1)
        leaf(compare, place, old, new);
}

void settings_diff(struct settings_compare *compare, enum nzd_need need,
                   const char *subject, const char *path,
                   const struct nzd_term *old, const struct nzd_term *new)
{
    const struct place place = {need, subject, path, NULL, *path ? 1 : 0};

    diff(compare, &place, old, new);
}
