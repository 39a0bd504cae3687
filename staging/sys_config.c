/* SPDX-License-Identifier: Apache-2.0 */
#include "sys_config.h"

#include "term_build.h"

#include <string.h>

typedef const struct nzd_term term;

struct rebasing {
    const struct nzd_sys_config_over *over;
    struct nzd_arena *arena;
    struct nzd_err *err;
    int code;
};

/* No other file of Mix calls them so. */
static const char PROVIDERS[] = "config_provider_init";
/* What the start script looks for, to copy the file where it can be written. */
static const char WRITTEN[] = "RUNTIME_CONFIG=true";

static bool holds(struct nzd_view text, const char *word)
{
    return text.size > 0 &&
           memmem(text.data, text.size, word, strlen(word)) != NULL;
}

static void fail(struct rebasing *r, int code)
{
    if (!r->code)
        r->code = code;
}

/* --- paths --- */

static bool is_text(term *item, const char *text)
{
    return item && item->kind == NZD_TERM_BINARY && item->bits == 0 &&
           nzd_view_equal(item->text, nzd_view_text(text));
}

/* "/releases/VSN/FILE", or NULL. */
static const char *release_file(struct rebasing *r, term *item)
{
    static const char head[] = "/releases/";
    term *path = nzd_term_at(item, 2);
    const char *text;

    if (!nzd_term_is_tagged(item, "system", 3) ||
        !is_text(nzd_term_at(item, 1), "RELEASE_ROOT") ||
        path->kind != NZD_TERM_BINARY)
        return NULL;
    text = nzd_term_text(path, r->arena);
    if (!text || strncmp(text, head, strlen(head)) != 0)
        return NULL;
    return strchr(text + strlen(head), '/') ? text : NULL;
}

static bool is_there(const struct rebasing *r, const char *path)
{
    const char *version = path + strlen("/releases/");
    size_t size = strcspn(version, "/");

    return strlen(r->over->version) == size &&
           memcmp(version, r->over->version, size) == 0;
}

/* The path that stands for it, or the term as it is. */
static term *rebase_path(struct rebasing *r, term *item, const char *path)
{
    const char *file = strchr(path + strlen("/releases/"), '/') + 1;
    bool runtime = strcmp(file, "runtime.exs") == 0;
    term *made;

    if (!runtime && is_there(r, path))
        return item;
    if (!runtime || !r->over->runtime) {
        fail(r, nzd_err_set(r->err, NZD_EBUNDLE,
                            "a config provider reads %.300s, which is not "
                            "there",
                            path + 1));
        return item;
    }
    made = nzd_term_new_text(r->arena, NZD_TERM_BINARY,
                             nzd_view_text(r->over->runtime));
    if (!made)
        fail(r, nzd_err_memory(r->err));
    return made;
}

/* --- terms --- */

static term *rebase(struct rebasing *r, term *item);

static term *rebuilt(struct rebasing *r, term *item, term **children)
{
    bool repeated = false;
    term *made = NULL;

    if (item->kind == NZD_TERM_TUPLE)
        made = nzd_term_new_tuple(r->arena, children, item->count);
    else if (item->kind == NZD_TERM_LIST)
        made = nzd_term_new_list(r->arena, children, item->count, item->tail);
    else
        made = nzd_term_new_map(r->arena, children, item->count / 2, &repeated);
    if (!made)
        fail(r, nzd_err_memory(r->err));
    return made;
}

static term *rebase_children(struct rebasing *r, term *item)
{
    term **children =
        nzd_arena_alloc(r->arena, ((size_t)item->count + 1) * sizeof(term *));
    bool same = true;

    if (!children) {
        fail(r, nzd_err_memory(r->err));
        return item;
    }
    for (uint32_t i = 0; i < item->count && !r->code; i++) {
        children[i] = rebase(r, item->children[i]);
        same = same && children[i] == item->children[i];
    }
    return same || r->code ? item : rebuilt(r, item, children);
}

/* As deep as the parser goes, which has a limit. */
static term *rebase(struct rebasing *r, term *item)
{
    const char *path = release_file(r, item);

    if (path)
        return rebase_path(r, item, path);
    if (item->kind != NZD_TERM_TUPLE && item->kind != NZD_TERM_LIST &&
        item->kind != NZD_TERM_MAP)
        return item;
    return rebase_children(r, item);
}

/* --- the file --- */

static void print(struct nzd_view text, term *terms, struct nzd_buf *out)
{
    nzd_buf_text(out, "%% coding: utf-8\n");
    if (holds(text, WRITTEN))
        nzd_buf_printf(out, "%%%% %s\n", WRITTEN);
    for (uint32_t i = 0; i < nzd_term_length(terms); i++) {
        nzd_term_print(nzd_term_at(terms, i), SIZE_MAX, out);
        nzd_buf_text(out, ".\n");
    }
}

int nzd_sys_config_rebase(struct nzd_view text,
                          const struct nzd_sys_config_over *over,
                          struct nzd_buf *out, struct nzd_err *err)
{
    struct nzd_arena arena = {0};
    struct rebasing r = {.over = over, .arena = &arena, .err = err};
    term *terms = NULL, *made = NULL;

    if (holds(text, PROVIDERS)) {
        r.code = nzd_term_parse(text, &arena, &terms, err);
        made = r.code ? NULL : rebase(&r, terms);
    }
    if (!r.code && made != terms)
        print(text, made, out);
    else if (!r.code)
        nzd_buf_bytes(out, text.data, text.size);
    nzd_arena_clear(&arena);
    if (!r.code && out->failed)
        r.code = nzd_err_memory(err);
    return r.code;
}
