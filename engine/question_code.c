/* SPDX-License-Identifier: Apache-2.0 */
#include "question_internal.h"

#include <stdlib.h>
#include <string.h>

/* --- running code, for the snapshot and for what it calls ---------------- */

struct old_code {
    struct nzd_question *q;
    struct nzd_journal *journal;
    struct nzd_module **modules; /* in the order they were asked for */
    const char **names;
    uint32_t count;
};

static int detail_module(struct nzd_arena *arena, struct nzd_module *module,
                         struct nzd_view bytes, struct nzd_err *err)
{
    struct nzd_beam *beam = nzd_arena_alloc(arena, sizeof *beam);
    if (!beam)
        return nzd_err_memory(err);
    int code =
        nzd_beam_read(bytes, NZD_BEAM_CALLS | NZD_BEAM_FUNS, arena, beam, err);
    if (code)
        return nzd_err_prefix(err, "module %s", module->name);
    module->beam = beam;
    module->bytes = bytes.size;
    module->content = nzd_digest_of(bytes);
    module->flags |= NZD_MODULE_DETAILED;
    return 0;
}

static int spool_module(struct nzd_question *q, struct nzd_module *module,
                        struct nzd_view bytes, struct nzd_err *err)
{
    int code = nzd_spool_append(q->spool, bytes, &module->spool_offset, err);
    if (!code)
        module->flags |= NZD_MODULE_SPOOLED;
    return code;
}

static int take_old(struct nzd_question *q, struct nzd_module *module,
                    struct nzd_view bytes, struct nzd_err *err)
{
    int code = detail_module(&q->old.arena, module, bytes, err);
    if (!code)
        code = spool_module(q, module, bytes, err);
    q->old_bytes += bytes.size;
    return code;
}

/* The blob of the row in force, when it is what runs. */
struct live_search {
    const struct nzd_module *module;
    struct nzd_digest blob;
    bool found;
};

static int match_live(void *context, const struct nzd_live_row *row)
{
    struct live_search *search = context;
    if (!strcmp(row->module, search->module->name) &&
        nzd_digest_equal(&row->md5, &search->module->md5) &&
        nzd_digest_equal(&row->attrs, &search->module->attrs)) {
        search->blob = row->blob;
        search->found = true;
    }
    return 0;
}

static int from_journal(struct old_code *all, struct nzd_module *module,
                        enum nzd_object_state state, struct nzd_err *err)
{
    struct live_search search = {.module = module};
    struct nzd_buf bytes = {0};
    int code = 0;
    if (all->journal)
        code = nzd_journal_each_live(all->journal, &all->q->base.identity,
                                     match_live, &search, err);
    if (code)
        return code;
    if (!search.found) {
        nzd_err_set(err, NZD_EREFUSED,
                    "the running code of %s is nowhere to be had: %s",
                    module->name,
                    state == NZD_OBJECT_DIFFERS
                        ? "its file holds other code, and so does the journal"
                        : "it has no file, and the journal does not hold it");
        nzd_err_untouched(err, "nothing was touched");
        nzd_err_next(err,
                     "load %s from its file, or restart the node, then "
                     "apply again",
                     module->name);
        return NZD_EREFUSED;
    }
    code = nzd_journal_get_blob(all->journal, &search.blob, &bytes, err);
    if (!code)
        code = take_old(all->q, module, nzd_buf_view(&bytes), err);
    nzd_buf_clear(&bytes);
    return code;
}

static int take_object(void *context, uint32_t index,
                       enum nzd_object_state state, struct nzd_view bytes,
                       struct nzd_err *err)
{
    struct old_code *all = context;
    struct nzd_module *module = all->modules[index];
    if (state == NZD_OBJECT_FOUND)
        return take_old(all->q, module, bytes, err);
    return from_journal(all, module, state, err);
}

static int list_old(struct old_code *all, struct nzd_err *err)
{
    struct nzd_plan *plan = &all->q->plan;
    all->modules = calloc(plan->step_count + 1, sizeof *all->modules);
    all->names = calloc(plan->step_count + 1, sizeof *all->names);
    if (!all->modules || !all->names)
        return nzd_err_memory(err);
    for (uint32_t i = 0; i < plan->step_count; i++) {
        if (!plan->steps[i].old)
            continue;
        all->names[all->count] = plan->steps[i].name;
        all->modules[all->count++] =
            nzd_inventory_module(&all->q->old, plan->steps[i].name);
    }
    return 0;
}

int nzd_question_old_code(struct nzd_question *q, struct nzd_journal *journal,
                          struct nzd_err *err)
{
    struct old_code all = {.q = q, .journal = journal};
    int code = list_old(&all, err);
    if (!code && all.count)
        code = nzd_node_objects(q->node, all.names, all.count, take_object,
                                &all, err);
    free(all.modules);
    free(all.names);
    return code;
}

/* --- a generation of the journal as the new side -------------------------- */

/*
 * The new side of a rollback is what the node holds now, with every module in
 * force put to what the journal says, and then every module that a
 * transaction after generation `to` touched to what it was before the first
 * of them.
 */
struct target {
    struct nzd_question *q;
    struct nzd_journal *journal;
    struct nzd_err *err;
};

struct code_side {
    const char *module;
    const char *application;
    const char *path;
    struct nzd_digest md5, attrs, blob;
    uint64_t bytes;
};

static int add_target(struct nzd_inventory *new, const struct code_side *side,
                      struct nzd_err *err)
{
    struct nzd_module *module = nzd_inventory_add_module(new);
    if (!module)
        return nzd_err_memory(err);
    module->name =
        nzd_arena_text(&new->arena, side->module, strlen(side->module));
    module->app = nzd_arena_text(&new->arena, side->application,
                                 strlen(side->application));
    module->path = nzd_arena_text(&new->arena, side->path, strlen(side->path));
    if (!module->name || !module->app || !module->path)
        return nzd_err_memory(err);
    return nzd_inventory_sort(new, err);
}

static int set_target(struct target *target, const struct code_side *side)
{
    struct nzd_inventory *new = &target->q->new;
    struct nzd_module *module = nzd_inventory_module(new, side->module);
    if (!module) {
        int code = add_target(new, side, target->err);
        if (code)
            return code;
        module = nzd_inventory_module(new, side->module);
    }
    module->md5 = side->md5;
    module->attrs = side->attrs;
    module->content = side->blob; /* zero: it is not there */
    module->bytes = side->bytes;
    module->flags |= NZD_QUESTION_TARGET;
    return 0;
}

/* What is in force now, so that code that drifted is put right too. */
static int each_in_force(void *context, const struct nzd_live_row *row)
{
    struct code_side side = {row->module, row->application, row->path, row->md5,
                             row->attrs,  row->blob,        row->bytes};
    return set_target(context, &side);
}

static int each_undone(void *context, const struct nzd_module_row *row)
{
    struct code_side side = {row->module,   row->application, row->old_path,
                             row->old_md5,  row->old_attrs,   row->old_blob,
                             row->old_bytes};
    return set_target(context, &side);
}

static int copy_modules(struct nzd_question *q, struct nzd_err *err)
{
    for (uint32_t i = 0; i < q->old.module_count; i++) {
        struct nzd_module *copy = nzd_inventory_add_module(&q->new);
        if (!copy)
            return nzd_err_memory(err);
        *copy = q->old.modules[i];
        copy->flags &= ~(uint32_t)NZD_MODULE_OLD_CODE;
    }
    for (uint32_t i = 0; i < q->old.app_count; i++) {
        struct nzd_app *copy = nzd_inventory_add_app(&q->new);
        if (!copy)
            return nzd_err_memory(err);
        *copy = q->old.apps[i];
    }
    return nzd_inventory_sort(&q->new, err);
}

/* Takes out what generation `to` does not hold and what equals the node, and
 * spools the rest from its blobs. */
static int fetch_targets(struct target *target, struct nzd_err *err)
{
    struct nzd_question *q = target->q;
    struct nzd_buf bytes = {0};
    uint32_t kept = 0;
    int code = 0;
    for (uint32_t i = 0; i < q->new.module_count && !code; i++) {
        struct nzd_module module = q->new.modules[i];
        bool wanted = module.flags & NZD_QUESTION_TARGET;
        module.flags &= ~NZD_QUESTION_TARGET;
        if (wanted && nzd_digest_is_zero(&module.content))
            continue;
        const struct nzd_module *runs =
            nzd_inventory_module(&q->old, module.name);
        if (wanted && !(runs && nzd_digest_equal(&runs->md5, &module.md5) &&
                        nzd_digest_equal(&runs->attrs, &module.attrs))) {
            struct nzd_digest blob = module.content;
            nzd_buf_reset(&bytes);
            code = nzd_journal_get_blob(target->journal, &blob, &bytes, err);
            if (!code)
                code = detail_module(&q->new.arena, &module,
                                     nzd_buf_view(&bytes), err);
            if (!code)
                code = spool_module(q, &module, nzd_buf_view(&bytes), err);
        }
        q->new.modules[kept++] = module;
    }
    if (!code)
        q->new.module_count = kept;
    nzd_buf_clear(&bytes);
    return code;
}

struct generations {
    uint64_t ids[4096];
    uint32_t count;
    uint64_t to;
    const struct nzd_digest *base;
};

/* Committed transactions over the base after `to`, newest first. */
static int note_generation(void *context, const struct nzd_txn *txn)
{
    struct generations *all = context;
    if (txn->id > all->to && txn->state == NZD_STATE_COMMITTED &&
        nzd_digest_equal(&txn->base, all->base) &&
        all->count < sizeof all->ids / sizeof all->ids[0])
        all->ids[all->count++] = txn->id;
    return 0;
}

static void name_target(struct nzd_question *q, struct nzd_journal *journal,
                        uint64_t to)
{
    struct nzd_txn txn;
    const char *version = q->base.version;
    char *kept = NULL;
    if (to && !nzd_journal_txn(journal, to, &txn, NULL)) {
        kept =
            nzd_arena_text(&q->plan.arena, txn.to_version ? txn.to_version : "",
                           txn.to_version ? strlen(txn.to_version) : 0);
        nzd_txn_clear(&txn);
    }
    q->plan.to_version = kept ? kept : version;
}

int nzd_question_generation(struct nzd_context *context, struct nzd_question *q,
                            struct nzd_journal *journal, uint64_t to,
                            struct nzd_err *err)
{
    (void)context;
    struct target target = {.q = q, .journal = journal, .err = err};
    struct generations *all = calloc(1, sizeof *all);
    if (!all)
        return nzd_err_memory(err);
    all->to = to;
    all->base = &q->base.identity;
    nzd_inventory_init(&q->new);
    int code = nzd_question_open_spool(q, journal, err);
    if (!code)
        code = copy_modules(q, err);
    if (!code)
        code = nzd_journal_each_txn(journal, note_generation, all, err);
    if (!code)
        code = nzd_journal_each_live(journal, &q->base.identity, each_in_force,
                                     &target, err);
    for (uint32_t i = 0; i < all->count && !code; i++)
        code = nzd_journal_each_module(journal, all->ids[i], each_undone,
                                       &target, err);
    free(all);
    if (!code)
        code = fetch_targets(&target, err);
    if (!code)
        code = nzd_question_plan(q, journal, err);
    if (code)
        return code;
    nzd_question_name_running(q, journal);
    name_target(q, journal, to);
    return 0;
}
