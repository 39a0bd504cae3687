/* SPDX-License-Identifier: Apache-2.0 */
#include "script_mark.h"

#include "term_build.h"

typedef const struct nzd_term term;

/* What is built; NULL once there is no memory. */
struct marking {
    struct nzd_arena *arena;
    struct nzd_term_atoms atoms;
    bool failed;
};

static term *kept(struct marking *m, term *made)
{
    m->failed |= made == NULL;
    return made ? made : nzd_term_nil();
}

static term *atom(struct marking *m, const char *name)
{
    return kept(m, nzd_term_new_atom(m->arena, &m->atoms, nzd_view_text(name)));
}

static term **room(struct marking *m, size_t count)
{
    term **items = nzd_arena_alloc(m->arena, count * sizeof(term *));

    m->failed |= items == NULL;
    return items;
}

static term *tuple(struct marking *m, term *a, term *b, term *c)
{
    term **items = room(m, 3);

    if (!items)
        return nzd_term_nil();
    items[0] = a;
    items[1] = b;
    items[2] = c;
    return kept(m, nzd_term_new_tuple(m->arena, items, c ? 3 : 2));
}

static term *arguments(struct marking *m, uint64_t generation)
{
    term **items = room(m, 2);

    if (!items)
        return nzd_term_nil();
    items[0] = tuple(m, atom(m, "nzd"), atom(m, "booted"), NULL);
    items[1] = kept(m, nzd_term_new_integer(m->arena, (int64_t)generation));
    return kept(m, nzd_term_new_list(m->arena, items, 2, NULL));
}

static term *command(struct marking *m, uint64_t generation)
{
    term *call = tuple(m, atom(m, "persistent_term"), atom(m, "put"),
                       arguments(m, generation));

    return tuple(m, atom(m, "apply"), call, NULL);
}

int nzd_script_mark(const struct nzd_term *script, uint64_t generation,
                    struct nzd_arena *arena, const struct nzd_term **out,
                    struct nzd_err *err)
{
    struct marking m = {.arena = arena};
    term *list = nzd_term_at(script, 2);
    term **commands;

    if (!nzd_term_is_tagged(script, "script", 3) ||
        list->kind != NZD_TERM_LIST || list->tail)
        return nzd_err_set(err, NZD_EBUNDLE,
                           "not a boot script {script, {Name, Vsn}, [...]}");
    commands = room(&m, (size_t)list->count + 1);
    if (!commands)
        return nzd_err_memory(err);
    commands[0] = command(&m, generation);
    for (uint32_t i = 0; i < list->count; i++)
        commands[i + 1] = list->children[i];
    *out = tuple(
        &m, nzd_term_at(script, 0), nzd_term_at(script, 1),
        kept(&m, nzd_term_new_list(arena, commands, list->count + 1, NULL)));
    return m.failed ? nzd_err_memory(err) : 0;
}
