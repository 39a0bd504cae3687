/* SPDX-License-Identifier: Apache-2.0 */
#include "settings_compare.h"

#include <ctype.h>
#include <string.h>

/*
 * A release's own versions in what it says about itself: Mix writes
 * "/releases/0.1.0/runtime.exs" into sys.config, tools write paths below
 * lib/counter-0.1.0. They follow from the version and are no difference.
 */

static const char MARK[] = "(vsn)";

struct marking {
    struct settings_compare *compare;
    const struct nzd_inventory *side;
    struct nzd_buf out;
};

static bool in_version(char byte)
{
    return isalnum((unsigned char)byte) || (byte && strchr(".+-_", byte));
}

/* Bytes of `version` at `text` when nothing makes it longer, else 0. */
static size_t match(const char *text, size_t left, const char *version)
{
    size_t size = strlen(version);

    if (size == 0 || size > left || memcmp(text, version, size) != 0)
        return 0;
    return size < left && in_version(text[size]) ? 0 : size;
}

static bool follows(const char *text, size_t at, const char *word)
{
    size_t size = strlen(word);

    return at >= size && memcmp(text + at - size, word, size) == 0;
}

/* "RELEASE_VSN=0.1.0", "REL_VSN: ${REL_VSN:-0.1.0}": the word stands before
 * on the same line. */
static bool is_assigned(const char *text, size_t at)
{
    size_t start = at;

    while (start > 0 && text[start - 1] != '\n')
        start--;
    return memmem(text + start, at - start, "RELEASE_VSN", 11) ||
           memmem(text + start, at - start, "REL_VSN", 7);
}

/* The name that ends before the hyphen at `at`, an application of ours or
 * the release: then its version, else NULL. */
static const char *named_version(const struct nzd_inventory *side,
                                 const char *text, size_t at)
{
    char name[256];
    size_t start = at;
    const struct nzd_app *app;

    while (start > 0 &&
           (isalnum((unsigned char)text[start - 1]) || text[start - 1] == '_'))
        start--;
    if (at - start == 0 || at - start >= sizeof(name))
        return NULL;
    memcpy(name, text + start, at - start);
    name[at - start] = 0;
    if (strcmp(name, side->release) == 0)
        return side->version;
    app = nzd_inventory_app(side, name);
    return app ? app->version : NULL;
}

/* Bytes at `at` that are a version of ours in a place of ours. */
static size_t version_at(const struct nzd_inventory *side, const char *text,
                         size_t size, size_t at)
{
    const char *version;
    size_t found;

    if (at == 0 || !isalnum((unsigned char)text[at]))
        return 0;
    if (text[at - 1] == '-' && (version = named_version(side, text, at - 1)) &&
        (found = match(text + at, size - at, version)))
        return found;
    if (in_version(text[at - 1]) && text[at - 1] != '-')
        return 0;
    found = match(text + at, size - at, side->version);
    if (found && (follows(text, at, "releases/") || is_assigned(text, at)))
        return found;
    return 0;
}

/* True when something was replaced; the result is in `out`. */
static bool mark(struct marking *marking, const char *text, size_t size)
{
    bool replaced = false;

    nzd_buf_reset(&marking->out);
    for (size_t at = 0; at < size;) {
        size_t found = version_at(marking->side, text, size, at);

        if (found > 0) {
            nzd_buf_text(&marking->out, MARK);
            at += found;
            replaced = true;
        } else {
            nzd_buf_u8(&marking->out, (uint8_t)text[at++]);
        }
    }
    return replaced;
}

const char *settings_mark_text(struct settings_compare *compare,
                               const struct nzd_inventory *side,
                               const char *text, size_t size)
{
    struct marking marking = {.compare = compare, .side = side};
    const char *out;

    mark(&marking, text, size);
    out = marking.out.failed ? NULL
                             : nzd_arena_text(&compare->scratch,
                                              (const char *)marking.out.data,
                                              marking.out.size);
    nzd_buf_clear(&marking.out);
    if (!out)
        settings_memory(compare);
    return out ? out : "";
}

/* --- terms --- */

static const struct nzd_term *mark_in(struct marking *marking,
                                      const struct nzd_term *term);

static struct nzd_term *copy_of(struct marking *marking,
                                const struct nzd_term *term)
{
    struct nzd_term *copy =
        nzd_arena_alloc(&marking->compare->scratch, sizeof(*copy));

    if (copy)
        *copy = *term;
    else
        settings_memory(marking->compare);
    return copy;
}

static const struct nzd_term *mark_bytes(struct marking *marking,
                                         const struct nzd_term *term)
{
    struct nzd_term *copy;
    const char *text;

    if (!mark(marking, (const char *)term->text.data, term->text.size))
        return term;
    copy = copy_of(marking, term);
    text = nzd_arena_text(&marking->compare->scratch,
                          (const char *)marking->out.data, marking->out.size);
    if (!copy || !text) {
        settings_memory(marking->compare);
        return term;
    }
    copy->text = nzd_view_of(text, marking->out.size);
    return copy;
}

static const struct nzd_term *mark_children(struct marking *marking,
                                            const struct nzd_term *term)
{
    const struct nzd_term **children = NULL;

    for (uint32_t i = 0; i < term->count; i++) {
        const struct nzd_term *child = mark_in(marking, term->children[i]);

        if (child != term->children[i] && !children) {
            children = nzd_arena_alloc(&marking->compare->scratch,
                                       term->count * sizeof(struct nzd_term *));
            if (!children) {
                settings_memory(marking->compare);
                return term;
            }
            memcpy(children, term->children,
                   term->count * sizeof(struct nzd_term *));
        }
        if (children)
            children[i] = child;
    }
    if (children) {
        struct nzd_term *copy = copy_of(marking, term);

        if (!copy)
            return term;
        copy->children = children;
        term = copy;
    }
    return term;
}

static const struct nzd_term *mark_in(struct marking *marking,
                                      const struct nzd_term *term)
{
    switch (term->kind) {
    case NZD_TERM_STRING:
        return mark_bytes(marking, term);
    case NZD_TERM_BINARY:
        return term->bits == 0 ? mark_bytes(marking, term) : term;
    case NZD_TERM_TUPLE:
    case NZD_TERM_LIST:
    case NZD_TERM_MAP:
        return mark_children(marking, term);
    case NZD_TERM_ATOM:
    case NZD_TERM_INTEGER:
    case NZD_TERM_BIG:
    case NZD_TERM_FLOAT:
    case NZD_TERM_OTHER:
        break;
    }
    return term;
}

const struct nzd_term *settings_mark_term(struct settings_compare *compare,
                                          const struct nzd_inventory *side,
                                          const struct nzd_term *term)
{
    struct marking marking = {.compare = compare, .side = side};
    const struct nzd_term *marked = mark_in(&marking, term);

    if (marking.out.failed)
        settings_memory(compare);
    nzd_buf_clear(&marking.out);
    return marked;
}
