/* SPDX-License-Identifier: Apache-2.0 */
#include "extras.h"
#include "file_rows_target.h"
#include "live_config.h"
#include "question_internal.h"

#include <inttypes.h>
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

/* `bytes` are those of the module's md5. */
static int detail_module(struct nzd_arena *arena, struct nzd_module *module,
                         struct nzd_view bytes, struct nzd_err *err)
{
    struct nzd_beam *beam = nzd_arena_alloc(arena, sizeof *beam);
    if (!beam)
        return nzd_err_memory(err);
    int code =
        nzd_beam_read(bytes, NZD_BEAM_CALLS | NZD_BEAM_FUNS | NZD_BEAM_AGAIN,
                      arena, beam, err);
    if (code)
        return nzd_err_prefix(err, "module %s", module->name);
    beam->md5 = module->md5;
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

/* The plan is about what ran when the inventory was made. */
static int refuse_moved(const char *module, struct nzd_err *err)
{
    nzd_err_set(err, NZD_EREFUSED,
                "other code of %s was loaded while the plan was made", module);
    nzd_err_untouched(err, "nothing was touched");
    nzd_err_next(err, "apply again when nobody else loads code");
    return NZD_EREFUSED;
}

static int take_object(void *context, uint32_t index,
                       const struct nzd_object *object, struct nzd_err *err)
{
    struct old_code *all = context;
    struct nzd_module *module = all->modules[index];
    if (object->state != NZD_OBJECT_FOUND)
        return from_journal(all, module, object->state, err);
    if (!nzd_digest_equal(&object->md5, &module->md5))
        return refuse_moved(module->name, err);
    return take_old(all->q, module, object->bytes, err);
}

static int list_old(struct old_code *all, struct nzd_err *err)
{
    struct nzd_plan *plan = &all->q->plan;
    all->modules = calloc(plan->step_count + 1, sizeof(struct nzd_module *));
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

/* Committed transactions over the base, newest first. */
struct generations {
    uint64_t *ids;
    uint32_t count;
    uint32_t after; /* so many of them are after `to` */
    uint64_t to;
    const struct nzd_digest *base;
    struct nzd_err *err;
};

/*
 * The new side of a rollback is what the node holds now, with every module in
 * force put to what the journal says; then every module that a transaction
 * after generation `to` touched to what it was before the first of them; then
 * what the transactions up to `to` made of theirs. The last counts most: what
 * a node ran before a transaction was not what was in force, where the VM had
 * been restarted or code was loaded by hand.
 */
struct target {
    struct nzd_question *q;
    struct nzd_journal *journal;
    const struct generations *generations;
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
    module->md5 = side->md5; /* zero: it is not there */
    module->attrs = side->attrs;
    module->content = side->blob; /* zero: its bytes are not held */
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

static int each_redone(void *context, const struct nzd_module_row *row)
{
    struct code_side side = {row->module,   row->application, row->new_path,
                             row->new_md5,  row->new_attrs,   row->new_blob,
                             row->new_bytes};
    return set_target(context, &side);
}

static int not_held(struct target *target, const char *module)
{
    struct nzd_err *err = target->err;
    const struct nzd_base *base = &target->q->base;
    nzd_err_set(err, NZD_EREFUSED,
                "generation %" PRIu64 " is not held any more: the journal has "
                "dropped the code that %s had in it",
                target->generations->to, module);
    if (base->path[0])
        nzd_err_next(err, "`nzd apply %s` puts the base's code in force",
                     base->path);
    return NZD_EREFUSED;
}

/* The base's side of what is in force; code that an old journal holds no blob
 * of is reached only where the way back is known. */
static int each_of_base(void *context, const struct nzd_live_row *row)
{
    struct target *target = context;
    struct code_side side = {row->module,    row->application, row->base_path,
                             row->base_md5,  row->base_attrs,  row->base_blob,
                             row->base_bytes};
    if (nzd_digest_is_zero(&row->base_md5) ||
        !nzd_digest_is_zero(&row->base_blob))
        return set_target(target, &side);
    const struct nzd_module *module =
        nzd_inventory_module(&target->q->new, row->module);
    if (module && nzd_digest_equal(&module->md5, &row->base_md5) &&
        nzd_digest_equal(&module->attrs, &row->base_attrs))
        return 0;
    return not_held(target, row->module);
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

/* Bytes of the same code under another row: a row of code that was not loaded
 * by nzd names none. */
struct blob_search {
    const struct nzd_module *module;
    struct nzd_digest blob;
};

static int match_blob(void *context, const struct nzd_module_row *row)
{
    struct blob_search *search = context;
    const struct nzd_module *module = search->module;
    if (strcmp(row->module, module->name) != 0)
        return 0;
    if (nzd_digest_equal(&row->old_md5, &module->md5) &&
        nzd_digest_equal(&row->old_attrs, &module->attrs) &&
        !nzd_digest_is_zero(&row->old_blob))
        search->blob = row->old_blob;
    if (nzd_digest_equal(&row->new_md5, &module->md5) &&
        nzd_digest_equal(&row->new_attrs, &module->attrs) &&
        !nzd_digest_is_zero(&row->new_blob))
        search->blob = row->new_blob;
    return 0;
}

static int fetch_code(struct target *target, const struct nzd_module *module,
                      struct nzd_buf *bytes)
{
    const struct generations *all = target->generations;
    struct blob_search search = {.module = module, .blob = module->content};
    int code = 0;
    for (uint32_t i = 0;
         i < all->count && nzd_digest_is_zero(&search.blob) && !code; i++)
        code = nzd_journal_each_module(target->journal, all->ids[i], match_blob,
                                       &search, target->err);
    if (!code && nzd_digest_is_zero(&search.blob))
        code = not_held(target, module->name);
    nzd_buf_reset(bytes);
    if (!code)
        code = nzd_journal_get_blob(target->journal, &search.blob, bytes,
                                    target->err);
    return code;
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
        if (wanted && nzd_digest_is_zero(&module.md5))
            continue;
        const struct nzd_module *runs =
            nzd_inventory_module(&q->old, module.name);
        if (wanted && !(runs && nzd_digest_equal(&runs->md5, &module.md5) &&
                        nzd_digest_equal(&runs->attrs, &module.attrs))) {
            code = fetch_code(target, &module, &bytes);
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

static int note_generation(void *context, const struct nzd_txn *txn)
{
    struct generations *all = context;
    /* One in quarantine was undone by the transaction behind it. */
    if ((txn->state != NZD_STATE_COMMITTED &&
         txn->state != NZD_STATE_QUARANTINED) ||
        !nzd_digest_equal(&txn->base, all->base))
        return 0;
    if (all->count % 64 == 0) {
        size_t size = (all->count + 64u) * sizeof *all->ids;
        uint64_t *ids = realloc(all->ids, size);
        if (!ids)
            return nzd_err_memory(all->err);
        all->ids = ids;
    }
    all->ids[all->count++] = txn->id;
    all->after += txn->id > all->to;
    return 0;
}

/* As the transaction that made it calls it, or the one that left it. */
static void name_target(struct nzd_question *q, struct nzd_journal *journal,
                        const struct generations *all)
{
    struct nzd_txn txn;
    const char *version = NULL;
    bool made = all->after < all->count && all->ids[all->after] == all->to;
    q->plan.to_version = q->base.version;
    if (!all->to || (!made && !all->after) ||
        nzd_journal_txn(journal, all->ids[made ? all->after : all->after - 1],
                        &txn, NULL))
        return;
    version = made ? txn.to_version : txn.from_version;
    if (version && version[0])
        version = nzd_arena_text(&q->plan.arena, version, strlen(version));
    if (version && version[0])
        q->plan.to_version = version;
    nzd_txn_clear(&txn);
}

static int walk(struct target *target)
{
    const struct generations *all = target->generations;
    struct nzd_journal *journal = target->journal;
    struct nzd_err *err = target->err;
    const struct nzd_digest *base = &target->q->base.identity;
    int code = nzd_journal_each_live(journal, base, each_in_force, target, err);
    for (uint32_t i = 0; i < all->after && !code; i++)
        code = nzd_journal_each_module(journal, all->ids[i], each_undone,
                                       target, err);
    for (uint32_t i = all->count; i > all->after && !code; i--)
        code = nzd_journal_each_module(journal, all->ids[i - 1], each_redone,
                                       target, err);
    if (!code && !all->to)
        code = nzd_journal_each_live(journal, base, each_of_base, target, err);
    return code;
}

/* Before the code is the one of before. */
static int undo_restarts(struct nzd_question *q, struct nzd_journal *journal,
                         const struct generations *all, struct nzd_err *err)
{
    int code = 0;
    for (uint32_t i = 0; i < all->after && !code; i++) {
        struct nzd_txn txn;
        code = nzd_journal_txn(journal, all->ids[i], &txn, err);
        if (code)
            break;
        code = nzd_live_config_undo(q, &txn, err);
        nzd_txn_clear(&txn);
    }
    return code;
}

/* A VM that was restarted since the last commit runs generation 0. */
static bool is_there(const struct nzd_question *q, struct nzd_journal *journal,
                     uint64_t to)
{
    struct nzd_txn in_force;
    if (to || nzd_journal_in_force(journal, &q->base.identity, &in_force, NULL))
        return false;
    nzd_txn_clear(&in_force);
    return !nzd_question_runs_in_force(q, journal);
}

int nzd_question_generation(struct nzd_context *context, struct nzd_question *q,
                            struct nzd_journal *journal, uint64_t to,
                            struct nzd_err *err)
{
    struct generations all = {.to = to, .base = &q->base.identity, .err = err};
    struct target target = {
        .q = q, .journal = journal, .generations = &all, .err = err};
    nzd_question_drop_leaving(q);
    nzd_inventory_init(&q->new);
    int code = nzd_question_open_spool(q, journal, err);
    if (!code)
        code = nzd_question_files(q, journal, err);
    if (!code)
        code = copy_modules(q, err);
    if (!code)
        code = nzd_file_rows_keep(q, err);
    if (!code)
        code = nzd_journal_each_txn(journal, note_generation, &all, err);
    if (!code && !is_there(q, journal, to)) {
        code = walk(&target);
        if (!code)
            code = nzd_file_rows_target(q, journal, to, all.ids, all.count,
                                        all.after, err);
    }
    if (!code)
        code = fetch_targets(&target, err);
    if (!code)
        code = nzd_question_plan(q, journal, err);
    if (!code)
        code = undo_restarts(q, journal, &all, err);
    if (!code)
        code = nzd_extras_of_generation(context, q, journal, to, err);
    if (!code)
        nzd_question_name_running(q, journal);
    if (!code && q->base.name[0])
        q->plan.release = q->base.name;
    if (!code)
        name_target(q, journal, &all);
    free(all.ids);
    return code;
}
