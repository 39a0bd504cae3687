/* SPDX-License-Identifier: Apache-2.0 */
#include "script_rebase.h"

#include "layout.h"
#include "term_build.h"

#include <stdlib.h>
#include <string.h>

typedef const struct nzd_term term;

/* A folder that the base's script names. */
struct named {
    struct nzd_view owner; /* "counter", or CONSOLIDATED */
    term *path;
};

struct rebasing {
    struct named *folders;
    uint32_t count;
    uint32_t capacity;
    struct nzd_arena *arena;
    bool failed; /* no memory */
};

/* No application has such a name. */
#define CONSOLIDATED "/consolidated"

/* Whose folder it is; empty where that cannot be told. */
static struct nzd_view owner_of(struct rebasing *r, term *path)
{
    const char *text = nzd_term_text(path, r->arena);
    size_t size = text ? strlen(text) : 0, tail = strlen(CONSOLIDATED);
    const char *ebin = text ? memrchr(text, '/', size) : NULL;
    const char *folder;
    struct nzd_layout layout;

    if (size > tail && strcmp(text + size - tail, CONSOLIDATED) == 0)
        return nzd_view_text(CONSOLIDATED);
    if (!ebin || strcmp(ebin, "/ebin") != 0)
        return nzd_view_of(NULL, 0);
    folder = memrchr(text, '/', (size_t)(ebin - text));
    folder =
        nzd_arena_printf(r->arena, "lib/%s/m.beam", folder ? folder + 1 : text);
    r->failed |= folder == NULL;
    if (!folder)
        return nzd_view_of(NULL, 0);
    nzd_layout_of(folder, &layout);
    return layout.kind == NZD_LAYOUT_MODULE ? layout.app : nzd_view_of(NULL, 0);
}

static const struct named *find(const struct rebasing *r, struct nzd_view owner)
{
    for (uint32_t i = 0; i < r->count; i++)
        if (nzd_view_equal(r->folders[i].owner, owner))
            return &r->folders[i];
    return NULL;
}

static void note(struct rebasing *r, term *path)
{
    struct nzd_view owner = owner_of(r, path);
    void *folders = r->folders;

    if (owner.size == 0 || find(r, owner))
        return;
    if (r->count == r->capacity) {
        r->capacity = r->capacity ? 2 * r->capacity : 64;
        folders = realloc(r->folders, r->capacity * sizeof(*r->folders));
    }
    r->failed |= folders == NULL;
    if (!folders)
        return;
    r->folders = folders;
    r->folders[r->count++] = (struct named){owner, path};
}

static bool is_script(term *script)
{
    term *list = nzd_term_at(script, 2);

    return nzd_term_is_tagged(script, "script", 3) &&
           list->kind == NZD_TERM_LIST && !list->tail;
}

static void note_all(struct rebasing *r, term *base)
{
    term *list = nzd_term_at(base, 2);

    for (uint32_t i = 0; i < list->count && !r->failed; i++) {
        term *paths = nzd_term_at(list->children[i], 1);

        if (!nzd_term_is_tagged(list->children[i], "path", 2))
            continue;
        for (uint32_t k = 0; k < nzd_term_length(paths); k++)
            note(r, nzd_term_at(paths, k));
    }
}

static term *renamed(struct rebasing *r, term *path)
{
    struct nzd_view owner = owner_of(r, path);
    const struct named *folder = owner.size ? find(r, owner) : NULL;

    return folder ? folder->path : path;
}

static term *rebase_path(struct rebasing *r, term *item)
{
    term *list = nzd_term_at(item, 1), *made;
    uint32_t count = nzd_term_length(list);
    term **paths = nzd_arena_alloc(r->arena, (count + 1) * sizeof(term *));
    term **pair = nzd_arena_alloc(r->arena, 2 * sizeof(term *));

    r->failed |= !paths || !pair;
    if (r->failed)
        return item;
    for (uint32_t i = 0; i < count; i++)
        paths[i] = renamed(r, nzd_term_at(list, i));
    pair[0] = nzd_term_at(item, 0);
    pair[1] = nzd_term_new_list(r->arena, paths, count, NULL);
    made = pair[1] ? nzd_term_new_tuple(r->arena, pair, 2) : NULL;
    r->failed |= made == NULL;
    return made;
}

static term *rebase(struct rebasing *r, term *script)
{
    term *list = nzd_term_at(script, 2);
    term **commands =
        nzd_arena_alloc(r->arena, (list->count + 1) * sizeof(term *));
    term **triple = nzd_arena_alloc(r->arena, 3 * sizeof(term *));

    r->failed |= !commands || !triple;
    for (uint32_t i = 0; i < list->count && !r->failed; i++) {
        term *item = list->children[i];

        commands[i] =
            nzd_term_is_tagged(item, "path", 2) ? rebase_path(r, item) : item;
    }
    if (r->failed)
        return NULL;
    triple[0] = nzd_term_at(script, 0);
    triple[1] = nzd_term_at(script, 1);
    triple[2] = nzd_term_new_list(r->arena, commands, list->count, NULL);
    return triple[2] ? nzd_term_new_tuple(r->arena, triple, 3) : NULL;
}

int nzd_script_rebase(const struct nzd_term *script,
                      const struct nzd_term *base, struct nzd_arena *arena,
                      const struct nzd_term **out, struct nzd_err *err)
{
    struct rebasing r = {.arena = arena};

    if (!is_script(script) || !is_script(base))
        return nzd_err_set(err, NZD_EBUNDLE,
                           "not a boot script {script, {Name, Vsn}, [...]}");
    note_all(&r, base);
    *out = r.failed ? NULL : rebase(&r, script);
    free(r.folders);
    return *out ? 0 : nzd_err_memory(err);
}
