/* SPDX-License-Identifier: Apache-2.0 */
#include "file_rows_live.h"

#include "file_put.h"
#include "file_rows.h"

#include <stdlib.h>
#include <string.h>

/* --- what the node was booted with --------------------------------------- */

/* Borrows from q->old; its own is the list of priv files, which changes. */
static int know_own(struct nzd_question *q, struct nzd_err *err)
{
    const struct nzd_inventory *old = &q->old;
    size_t size = old->priv_count * sizeof *old->priv;
    q->own = *old;
    q->own.modules = NULL;
    q->own.apps = NULL;
    q->own.module_count = q->own.app_count = 0;
    q->own.erts = q->base.erts;
    q->own.priv = nzd_arena_alloc(&q->old.arena, size + 1);
    if (!q->own.priv)
        return nzd_err_memory(err);
    if (size)
        memcpy(q->own.priv, old->priv, size);
    return 0;
}

int nzd_file_rows_live(struct nzd_question *q, struct nzd_journal *journal,
                       struct nzd_err *err)
{
    struct nzd_file_set in_force = {.count = 0};
    int code = know_own(q, err);
    if (code || !journal || !nzd_question_runs_in_force(q, journal))
        return code;
    const char *runs = q->old.erts;
    code = nzd_file_set_read(journal, &q->base.identity, &in_force, NULL, err);
    if (!code)
        code = nzd_file_put_all(&q->old, &q->own, journal, &in_force, err);
    /* It keeps its emulator where it was restarted in place. */
    q->old.erts = runs;
    nzd_file_set_clear(&in_force);
    return code;
}

/* --- what the node is told ----------------------------------------------- */

struct put_back {
    struct nzd_file_set *in_force;
    struct nzd_file_set found;
    struct nzd_err *err;
};

static int note_put_back(void *context, const struct nzd_module_row *row)
{
    struct put_back *all = context;
    const struct nzd_file_side side = nzd_file_side_new(row);
    if (nzd_file_set_find(all->in_force, row->module))
        return 0;
    return nzd_file_set_put(&all->found, &side, all->err);
}

/* An application that was removed has none. */
static int add_specs(struct nzd_journal *journal,
                     const struct nzd_file_set *set, struct nzd_arena *arena,
                     struct nzd_file_specs *out, struct nzd_err *err)
{
    int code = 0;
    for (uint32_t i = 0; i < set->count && !code; i++) {
        const struct nzd_file_side *side = &set->items[i];
        if (!nzd_file_rows_app(side->name) || nzd_digest_is_zero(&side->blob))
            continue;
        code = nzd_file_term(journal, &side->blob, arena,
                             &out->items[out->count], err);
        out->count += code == 0;
    }
    return code;
}

int nzd_file_rows_specs(struct nzd_journal *journal,
                        const struct nzd_digest *base, uint64_t id,
                        struct nzd_arena *arena, struct nzd_file_specs *out,
                        struct nzd_err *err)
{
    struct nzd_file_set in_force = {.count = 0};
    struct put_back back = {.in_force = &in_force, .err = err};
    memset(out, 0, sizeof *out);
    int code = nzd_file_set_read(journal, base, &in_force, NULL, err);
    if (!code)
        code = nzd_journal_each_file(journal, id, note_put_back, &back, err);
    size_t most = (size_t)in_force.count + back.found.count + 1;
    out->items = nzd_arena_alloc(arena, most * sizeof(void *));
    if (!code && !out->items)
        code = nzd_err_memory(err);
    if (!code)
        code = add_specs(journal, &in_force, arena, out, err);
    out->in_force = out->count;
    if (!code)
        code = add_specs(journal, &back.found, arena, out, err);
    nzd_file_set_clear(&in_force);
    nzd_file_set_clear(&back.found);
    return code;
}
