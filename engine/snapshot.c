/* SPDX-License-Identifier: Apache-2.0 */
#include "snapshot.h"

#include "file_rows.h"
#include "live_config.h"
#include "node_switch.h"

#include <stdlib.h>
#include <string.h>

/* Held twice, as it is gathered and as LMDB has it until the commit: more of
 * it costs memory, less of it more commits, each of which waits for the disk.
 */
#define BATCH_BYTES (512u << 10)
#define BATCH_BLOBS 256u

/*
 * Prepared code is large: 349 modules of 4.4 MB took 78 MB in the VM (measured
 * with OTP 25 and the JIT). Old code is prepared ahead only where that fits
 * a quarter of what the host has free.
 */
#define PREPARED_PER_BYTE 18u

/* --- rows ----------------------------------------------------------------- */

static void set_old(struct nzd_module_row *row, const struct nzd_module *module)
{
    row->old_md5 = module->md5;
    row->old_attrs = module->attrs;
    row->old_blob = module->content;
    row->old_bytes = module->bytes;
    row->old_path = strdup(module->path);
    if (!(module->flags & NZD_MODULE_LOADED))
        row->flags |= NZD_ROW_NOT_LOADED;
}

static void set_new(struct nzd_module_row *row, const struct nzd_module *module)
{
    row->new_md5 = module->md5;
    row->new_attrs = module->attrs;
    row->new_blob = module->content;
    row->new_bytes = module->bytes;
    if (module->beam && module->beam->has_on_load)
        row->flags |= NZD_ROW_ON_LOAD;
}

/* The folder of an application's other modules, with its slash. */
static void folder_of(const struct nzd_inventory *old, const char *app,
                      struct nzd_buf *out)
{
    for (uint32_t i = 0; i < old->module_count; i++) {
        const char *slash = strrchr(old->modules[i].path, '/');
        if (!slash || !app[0] || strcmp(old->modules[i].app, app) != 0)
            continue;
        nzd_buf_bytes(out, old->modules[i].path,
                      (size_t)(slash - old->modules[i].path) + 1);
        return;
    }
}

/* Of an application that the node does not have: where the base's release
 * would hold it. */
static void folder_of_added(const struct nzd_question *q, const char *app,
                            struct nzd_buf *out)
{
    const struct nzd_app *new = nzd_inventory_app(&q->new, app);
    struct nzd_arena arena = {0};
    const char *lib = nzd_question_lib(q, &arena);
    if (lib && new &&new->version[0])
        nzd_buf_printf(out, "%s/%s-%s/ebin/", lib, app, new->version);
    nzd_arena_clear(&arena);
}

/* What is gone back to lay somewhere already. */
static char *path_of_added(const struct nzd_question *q,
                           const struct nzd_step *step)
{
    struct nzd_buf path = {0};
    char *copy = NULL;
    if (step->new && step->new->path[0] == '/')
        return strdup(step->new->path);
    folder_of(&q->old, step->app, &path);
    if (!path.size && step->app[0])
        folder_of_added(q, step->app, &path);
    nzd_buf_printf(&path, "%s.beam", step->name);
    if (!path.failed)
        copy = strdup(nzd_buf_string(&path));
    nzd_buf_clear(&path);
    return copy;
}

static int fill_row(const struct nzd_question *q, const struct nzd_step *step,
                    struct nzd_module_row *row, struct nzd_err *err)
{
    static const enum nzd_module_change changes[] = {
        [NZD_STEP_CHANGED] = NZD_MODULE_CHANGED,
        [NZD_STEP_ADDED] = NZD_MODULE_ADDED,
        [NZD_STEP_REMOVED] = NZD_MODULE_REMOVED,
    };
    row->change = changes[step->change];
    row->module = strdup(step->name);
    row->application = strdup(step->app);
    if (step->old)
        set_old(row, step->old);
    if (step->new)
        set_new(row, step->new);
    if (step->change == NZD_STEP_CHANGED && step->old)
        row->new_path = strdup(step->old->path);
    else if (step->change == NZD_STEP_ADDED)
        row->new_path = path_of_added(q, step);
    bool whole = row->module && row->application &&
                 (!step->old || row->old_path) && (!step->new || row->new_path);
    return whole ? 0 : nzd_err_memory(err);
}

/* --- what the journal holds in force but the node does not run ------------ */

struct restating {
    struct nzd_transaction *t;
    uint32_t room;
    struct nzd_err *err;
};

static bool is_step(const struct nzd_plan *plan, const char *module)
{
    for (uint32_t i = 0; i < plan->step_count; i++)
        if (!strcmp(plan->steps[i].name, module))
            return true;
    return false;
}

/* The node holds of it what the base does: the same code, or nothing where
 * the base has nothing. */
static bool is_base_again(const struct nzd_module *runs,
                          const struct nzd_live_row *live)
{
    if (!runs)
        return nzd_digest_is_zero(&live->base_md5) &&
               !nzd_digest_is_zero(&live->blob);
    return nzd_digest_equal(&runs->md5, &live->base_md5) &&
           nzd_digest_equal(&runs->attrs, &live->base_attrs) &&
           !nzd_digest_equal(&runs->md5, &live->md5);
}

/*
 * Only the base's own code can be restated without bytes: its row then
 * leaves what is in force. Anything else that drifted stays as the journal
 * has it, and status tells.
 */
static int restate(void *context, const struct nzd_live_row *live)
{
    struct restating *all = context;
    struct nzd_transaction *t = all->t;
    const struct nzd_module *runs =
        nzd_inventory_module(&t->q->old, live->module);
    if (is_step(&t->q->plan, live->module) || !is_base_again(runs, live))
        return 0;
    if (t->row_count == all->room) {
        uint32_t room = all->room + 64;
        void *rows = realloc(t->rows, room * sizeof *t->rows);
        if (!rows)
            return nzd_err_memory(all->err);
        t->rows = rows;
        all->room = room;
    }
    struct nzd_module_row *row = &t->rows[t->row_count++];
    memset(row, 0, sizeof *row);
    row->change = runs ? NZD_MODULE_CHANGED : NZD_MODULE_REMOVED;
    row->module = strdup(live->module);
    row->application = strdup(live->application);
    if (runs) {
        row->old_md5 = row->new_md5 = runs->md5;
        row->old_attrs = row->new_attrs = runs->attrs;
    }
    row->old_path = strdup(runs ? runs->path : "");
    row->new_path = strdup(runs ? runs->path : "");
    return row->module && row->application && row->old_path && row->new_path
               ? 0
               : nzd_err_memory(all->err);
}

void nzd_snapshot_clear_rows(struct nzd_transaction *t)
{
    for (uint32_t i = 0; i < t->row_count; i++)
        nzd_module_row_clear(&t->rows[i]);
    free(t->rows);
    t->rows = NULL;
    t->row_count = 0;
}

/* --- a node that was booted from an overlay ------------------------------- */

static void mark_row(struct nzd_module_row *row,
                     const struct nzd_inventory *files)
{
    const struct nzd_module *file = nzd_inventory_module(files, row->module);
    bool back = row->change == NZD_MODULE_REMOVED
                    ? file == NULL
                    : file && nzd_digest_equal(&file->md5, &row->new_md5) &&
                          nzd_digest_equal(&file->attrs, &row->new_attrs);
    if (back)
        row->flags |= NZD_ROW_TO_BASE;
}

/* What such a node runs need not be what the base holds, even where the
 * journal has nothing in force. */
static int mark_base(struct nzd_transaction *t, struct nzd_err *err)
{
    struct nzd_inventory files;
    const char **names = calloc(t->row_count + 1, sizeof *names);
    const char **paths = calloc(t->row_count + 1, sizeof *paths);
    bool room = names && paths;
    int code = room ? 0 : nzd_err_memory(err);
    nzd_inventory_init(&files);
    for (uint32_t i = 0; room && i < t->row_count; i++) {
        const struct nzd_module_row *row = &t->rows[i];
        names[i] = row->module;
        paths[i] =
            row->change == NZD_MODULE_ADDED ? row->new_path : row->old_path;
    }
    if (!code)
        code =
            nzd_node_held(t->q->node, names, paths, t->row_count, &files, err);
    for (uint32_t i = 0; i < t->row_count && !code; i++)
        mark_row(&t->rows[i], &files);
    nzd_inventory_clear(&files);
    free(names);
    free(paths);
    return code;
}

int nzd_snapshot_rows(struct nzd_transaction *t, struct nzd_err *err)
{
    const struct nzd_plan *plan = &t->q->plan;
    struct restating all = {t, plan->step_count, err};
    int code = 0;
    t->rows = calloc(plan->step_count + 1, sizeof *t->rows);
    if (!t->rows)
        return nzd_err_memory(err);
    for (uint32_t i = 0; i < plan->step_count && !code; i++)
        code = fill_row(t->q, &plan->steps[i], &t->rows[t->row_count++], err);
    if (!code && t->q->hello.overlay && t->row_count)
        code = mark_base(t, err);
    if (!code)
        code = nzd_journal_each_live(t->journal, &t->q->base.identity, restate,
                                     &all, err);
    return code ? code : nzd_file_rows_add(t, err);
}

/* --- sending ---------------------------------------------------------------
 */

static int read_side(struct nzd_transaction *t, const struct nzd_module *module,
                     struct nzd_buf *bytes, struct nzd_err *err)
{
    return nzd_spool_read(t->q->spool, module->spool_offset, module->bytes,
                          &module->content, bytes, err);
}

static int send_side(struct nzd_transaction *t, uint32_t index, bool old,
                     enum nzd_node_prepare prepare, struct nzd_buf *bytes,
                     struct nzd_err *err)
{
    const struct nzd_step *step = &t->q->plan.steps[index];
    const struct nzd_module *module = old ? step->old : step->new;
    const struct nzd_module_row *row = &t->rows[index];
    if (!module)
        return 0;
    int code = read_side(t, module, bytes, err);
    if (code)
        return code;
    if (old)
        return nzd_node_put_old(t->q->node, step->name, row->old_path,
                                nzd_buf_view(bytes), &row->old_md5, prepare,
                                err);
    return nzd_node_put_new(t->q->node, step->name, row->new_path,
                            nzd_buf_view(bytes), step->after_others, err);
}

/* A removed module stays loaded as it is until after the commit: nothing of
 * it has to be undone. */
static bool is_sent(const struct nzd_step *step, bool old)
{
    return old ? step->change == NZD_STEP_CHANGED
               : step->change != NZD_STEP_REMOVED;
}

static bool loads_library(const struct nzd_step *step)
{
    return step->after_others ||
           (step->old && step->old->beam && step->old->beam->has_on_load) ||
           (step->new && step->new->beam && step->new->beam->has_on_load);
}

/* Where only code changes, nobody is suspended and nothing but the load can
 * fail in the switch, its undo waits for nobody. */
static bool is_code_alone(const struct nzd_plan *plan)
{
    if (plan->verdict > NZD_LEVEL_HOT || nzd_live_config_is(plan))
        return false;
    for (uint32_t i = 0; i < plan->step_count; i++)
        if (loads_library(&plan->steps[i]))
            return false;
    return true;
}

static enum nzd_node_prepare when_prepared(const struct nzd_transaction *t)
{
    uint64_t available =
        t->q->target.local ? nzd_host_memory_available() : UINT64_MAX;
    uint64_t both = (t->q->old_bytes + t->q->new_bytes) * PREPARED_PER_BYTE;
    if (available != 0 && both >= available / 4)
        return NZD_PREPARE_AT_UNDO;
    return is_code_alone(&t->q->plan) ? NZD_PREPARE_LATER : NZD_PREPARE_NOW;
}

int nzd_snapshot_send(struct nzd_transaction *t, struct nzd_err *err)
{
    const struct nzd_plan *plan = &t->q->plan;
    enum nzd_node_prepare prepare = when_prepared(t);
    struct nzd_buf bytes = {0};
    int code = 0;
    for (int side = 0; side < 2 && !code; side++)
        for (uint32_t i = 0; i < plan->step_count && !code; i++)
            if (is_sent(&plan->steps[i], side == 0))
                code = send_side(t, i, side == 0, prepare, &bytes, err);
    nzd_buf_clear(&bytes);
    return code;
}

/* --- storing ----------------------------------------------------------------
 */

struct batch {
    struct nzd_buf bytes;
    size_t starts[BATCH_BLOBS];
    size_t sizes[BATCH_BLOBS];
    uint32_t count;
};

static int flush(struct nzd_transaction *t, struct batch *batch,
                 struct nzd_err *err)
{
    struct nzd_view views[BATCH_BLOBS];
    struct nzd_digest digests[BATCH_BLOBS];
    if (!batch->count)
        return 0;
    for (uint32_t i = 0; i < batch->count; i++)
        views[i] =
            nzd_view_of(batch->bytes.data + batch->starts[i], batch->sizes[i]);
    int code = nzd_journal_put_blobs(t->journal, views, batch->count, digests,
                                     &t->txn.written, err);
    batch->count = 0;
    nzd_buf_reset(&batch->bytes);
    return code;
}

static int add_bytes(struct nzd_transaction *t, struct batch *batch,
                     const struct nzd_buf *scratch, struct nzd_err *err)
{
    batch->starts[batch->count] = batch->bytes.size;
    batch->sizes[batch->count++] = scratch->size;
    nzd_buf_bytes(&batch->bytes, scratch->data, scratch->size);
    if (batch->bytes.failed)
        return nzd_err_memory(err);
    if (batch->count == BATCH_BLOBS || batch->bytes.size >= BATCH_BYTES)
        return flush(t, batch, err);
    return 0;
}

static int add_blob(struct nzd_transaction *t, struct batch *batch,
                    const struct nzd_module *module, struct nzd_buf *scratch,
                    struct nzd_err *err)
{
    int code = read_side(t, module, scratch, err);
    return code ? code : add_bytes(t, batch, scratch, err);
}

static int add_files(struct nzd_transaction *t, struct batch *batch,
                     struct nzd_buf *scratch, struct nzd_err *err)
{
    int code = 0;
    for (uint32_t i = t->q->plan.step_count; i < t->row_count && !code; i++)
        for (int old = 0; old < 2 && !code; old++) {
            code = nzd_file_rows_bytes(t, &t->rows[i], old, scratch, err);
            if (code > 0)
                code = add_bytes(t, batch, scratch, err);
            if (code)
                nzd_err_prefix(err, "%s", t->rows[i].module);
        }
    return code;
}

int nzd_snapshot_store(struct nzd_transaction *t, struct nzd_err *err)
{
    const struct nzd_plan *plan = &t->q->plan;
    struct batch *batch = calloc(1, sizeof *batch);
    struct nzd_buf scratch = {0};
    int code = 0;
    if (!batch)
        return nzd_err_memory(err);
    for (uint32_t i = 0; i < plan->step_count && !code; i++) {
        const struct nzd_step *step = &plan->steps[i];
        if (step->old)
            code = add_blob(t, batch, step->old, &scratch, err);
        if (!code && step->new)
            code = add_blob(t, batch, step->new, &scratch, err);
    }
    if (!code)
        code = add_files(t, batch, &scratch, err);
    if (!code)
        code = flush(t, batch, err);
    nzd_buf_clear(&batch->bytes);
    nzd_buf_clear(&scratch);
    free(batch);
    return code;
}
