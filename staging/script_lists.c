/* SPDX-License-Identifier: Apache-2.0 */
#include "script_lists.h"

#include "term_build.h"

#include <stdlib.h>
#include <string.h>

typedef const struct nzd_term term;

struct listing {
    term *own;  /* the list of commands */
    term *base; /* the same of the base's script */
    const struct nzd_script_names *held;
    const struct nzd_script_names *removed;
    struct nzd_arena *arena;
    bool failed; /* no memory, or */
    bool odd;    /* loads what cannot be a module */
};

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_among(const struct nzd_script_names *names, const char *name)
{
    return names->count && bsearch(&name, names->items, names->count,
                                   sizeof(*names->items), compare) != NULL;
}

static const char *name_of(struct listing *l, term *module)
{
    const char *name = nzd_term_text(module, l->arena);

    l->failed |= name == NULL;
    l->odd |= !module || module->kind != NZD_TERM_ATOM;
    return name ? name : "";
}

/* The only folder of a path, or NULL. */
static term *folder_of(term *item)
{
    term *list = nzd_term_at(item, 1);

    return nzd_term_length(list) == 1 ? nzd_term_at(list, 0) : NULL;
}

static bool is_same(struct listing *l, term *a, term *b)
{
    const char *one = nzd_term_text(a, l->arena);
    const char *other = nzd_term_text(b, l->arena);

    return one && other && strcmp(one, other) == 0;
}

/* What the base loads under a path of this folder alone, or NULL. */
static term *base_list(struct listing *l, term *folder)
{
    term *at = NULL;

    for (uint32_t i = 0; i < l->base->count; i++) {
        term *item = l->base->children[i];

        if (nzd_term_is_tagged(item, "path", 2))
            at = folder_of(item);
        else if (at && nzd_term_is_tagged(item, "primLoad", 2) &&
                 is_same(l, at, folder))
            return nzd_term_at(item, 1);
    }
    return NULL;
}

static bool lists(term *list, const char *name)
{
    for (uint32_t i = 0; i < nzd_term_length(list); i++)
        if (nzd_term_is_atom(nzd_term_at(list, i), name))
            return true;
    return false;
}

static bool is_loaded(const struct listing *l, const char *name)
{
    for (uint32_t i = 0; i < l->own->count; i++)
        if (nzd_term_is_tagged(l->own->children[i], "primLoad", 2) &&
            lists(nzd_term_at(l->own->children[i], 1), name))
            return true;
    return false;
}

static term *relisted(struct listing *l, term *item, term *folder)
{
    term *own = nzd_term_at(item, 1), *base = base_list(l, folder);
    uint32_t most = nzd_term_length(own) + nzd_term_length(base), count = 0;
    term **made = nzd_arena_alloc(l->arena, (most + 1) * sizeof(term *));
    term **pair = nzd_arena_alloc(l->arena, 2 * sizeof(term *));

    l->failed |= !made || !pair;
    for (uint32_t i = 0; !l->failed && i < nzd_term_length(own); i++) {
        const char *name = name_of(l, nzd_term_at(own, i));

        if (lists(base, name) || is_among(l->held, name))
            made[count++] = nzd_term_at(own, i);
    }
    for (uint32_t i = 0; !l->failed && i < nzd_term_length(base); i++) {
        const char *name = name_of(l, nzd_term_at(base, i));

        if (!lists(own, name) && !is_loaded(l, name) &&
            !is_among(l->removed, name))
            made[count++] = nzd_term_at(base, i);
    }
    if (l->failed)
        return item;
    pair[0] = nzd_term_at(item, 0);
    pair[1] = nzd_term_new_list(l->arena, made, count, NULL);
    item = pair[1] ? nzd_term_new_tuple(l->arena, pair, 2) : NULL;
    l->failed |= item == NULL;
    return item;
}

static term *list_anew(struct listing *l, term *script)
{
    term **commands =
        nzd_arena_alloc(l->arena, (l->own->count + 1) * sizeof(term *));
    term **triple = nzd_arena_alloc(l->arena, 3 * sizeof(term *));
    term *folder = NULL;

    l->failed |= !commands || !triple;
    for (uint32_t i = 0; i < l->own->count && !l->failed; i++) {
        term *item = l->own->children[i];

        if (nzd_term_is_tagged(item, "path", 2))
            folder = folder_of(item);
        commands[i] = folder && nzd_term_is_tagged(item, "primLoad", 2)
                          ? relisted(l, item, folder)
                          : item;
    }
    if (l->failed)
        return NULL;
    triple[0] = nzd_term_at(script, 0);
    triple[1] = nzd_term_at(script, 1);
    triple[2] = nzd_term_new_list(l->arena, commands, l->own->count, NULL);
    return triple[2] ? nzd_term_new_tuple(l->arena, triple, 3) : NULL;
}

static term *commands_of(term *script)
{
    term *list = nzd_term_at(script, 2);

    return nzd_term_is_tagged(script, "script", 3) &&
                   list->kind == NZD_TERM_LIST && !list->tail
               ? list
               : NULL;
}

int nzd_script_lists(const struct nzd_term *script, const struct nzd_term *base,
                     const struct nzd_script_names *held,
                     const struct nzd_script_names *removed,
                     struct nzd_arena *arena, const struct nzd_term **out,
                     struct nzd_err *err)
{
    struct listing l = {.own = commands_of(script),
                        .base = commands_of(base),
                        .held = held,
                        .removed = removed,
                        .arena = arena};

    if (!l.own || !l.base)
        return nzd_err_set(err, NZD_EBUNDLE,
                           "not a boot script {script, {Name, Vsn}, [...]}");
    *out = list_anew(&l, script);
    if (!*out && l.odd)
        return nzd_err_set(err, NZD_EBUNDLE,
                           "the boot script loads something that is no module");
    return *out ? 0 : nzd_err_memory(err);
}
