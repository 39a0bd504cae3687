/* SPDX-License-Identifier: Apache-2.0 */
#include "question_internal.h"

#include <stdlib.h>
#include <string.h>

/*
 * Who outside the plan calls what it removes. Code that an earlier
 * transaction put in force is judged by its blob: the file of such a module
 * holds other code. All else is judged in the node, by its files.
 */

struct live_code {
    char **modules;
    struct nzd_digest *blobs;
    uint32_t count;
    uint32_t capacity;
    struct nzd_question *q;
    struct nzd_err *err;
};

static bool is_step(const struct nzd_plan *plan, const char *module)
{
    for (uint32_t i = 0; i < plan->step_count; i++)
        if (strcmp(plan->steps[i].name, module) == 0)
            return true;
    return false;
}

static int grow(struct live_code *all)
{
    uint32_t capacity = all->capacity ? 2 * all->capacity : 64;
    void *modules = realloc(all->modules, capacity * sizeof(char *));
    if (!modules)
        return nzd_err_memory(all->err);
    all->modules = modules;
    void *blobs = realloc(all->blobs, capacity * sizeof(struct nzd_digest));
    if (!blobs)
        return nzd_err_memory(all->err);
    all->blobs = blobs;
    all->capacity = capacity;
    return 0;
}

/* Copied out: the journal's reader ends before its blobs are read. */
static int note_live(void *context, const struct nzd_live_row *row)
{
    struct live_code *all = context;
    const struct nzd_module *runs =
        nzd_inventory_module(&all->q->old, row->module);
    if (nzd_digest_is_zero(&row->blob) || !runs ||
        !nzd_digest_equal(&runs->md5, &row->md5) ||
        is_step(&all->q->plan, row->module))
        return 0;
    int code = all->count == all->capacity ? grow(all) : 0;
    if (code)
        return code;
    all->blobs[all->count] = row->blob;
    all->modules[all->count] = strdup(row->module);
    return all->modules[all->count++] ? 0 : nzd_err_memory(all->err);
}

static bool is_target(const struct nzd_beam_function *target,
                      const struct nzd_beam_function *import)
{
    return strcmp(target->module, import->module) == 0 &&
           (!target->name || (target->arity == import->arity &&
                              strcmp(target->name, import->name) == 0));
}

static int add_gap(struct nzd_plan *plan, const char *caller,
                   const struct nzd_beam_function *call,
                   const struct nzd_beam_function *targets, uint32_t count,
                   struct nzd_err *err)
{
    int code = 0;
    for (uint32_t i = 0; i < count && !code; i++) {
        const struct nzd_gap gap = {.caller = caller,
                                    .module = targets[i].module,
                                    .function = call->name,
                                    .arity = call->arity};
        if (is_target(&targets[i], call))
            code = nzd_plan_add_gap(plan, &gap, err);
    }
    return code;
}

static int add_gaps(struct nzd_plan *plan, const char *caller,
                    const struct nzd_beam *beam,
                    const struct nzd_beam_function *targets, uint32_t count,
                    struct nzd_err *err)
{
    int code = 0;
    for (uint32_t i = 0; i < beam->import_count && !code; i++)
        code = add_gap(plan, caller, &beam->imports[i], targets, count, err);
    for (uint32_t i = 0; i < beam->fun_count && !code; i++)
        code = add_gap(plan, caller, &beam->funs[i], targets, count, err);
    return code;
}

static int judge_live(struct nzd_question *q, struct nzd_journal *journal,
                      const struct live_code *all, struct nzd_err *err)
{
    struct nzd_beam_function *targets = NULL;
    struct nzd_buf bytes = {0};
    uint32_t count = 0;
    int code = nzd_plan_removed_functions(&q->plan, &targets, &count, err);
    for (uint32_t i = 0; i < all->count && count && !code; i++) {
        struct nzd_arena arena = {0};
        struct nzd_beam beam = {0};
        nzd_buf_reset(&bytes);
        code = nzd_journal_get_blob(journal, &all->blobs[i], &bytes, err);
        if (!code)
            code = nzd_beam_read(nzd_buf_view(&bytes), NZD_BEAM_CALLS, &arena,
                                 &beam, err);
        if (!code)
            code =
                add_gaps(&q->plan, all->modules[i], &beam, targets, count, err);
        nzd_arena_clear(&arena);
    }
    nzd_buf_clear(&bytes);
    return code;
}

int nzd_question_callers(struct nzd_question *q, struct nzd_journal *journal,
                         struct nzd_err *err)
{
    struct live_code all = {.q = q, .err = err};
    int code = 0;
    if (journal)
        code = nzd_journal_each_live(journal, &q->base.identity, note_live,
                                     &all, err);
    if (!code)
        code = judge_live(q, journal, &all, err);
    if (!code)
        code =
            nzd_node_callers(q->node, &q->plan,
                             (const char *const *)all.modules, all.count, err);
    for (uint32_t i = 0; i < all.count; i++)
        free(all.modules[i]);
    free(all.modules);
    free(all.blobs);
    return code;
}
