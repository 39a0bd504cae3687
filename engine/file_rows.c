/* SPDX-License-Identifier: Apache-2.0 */
#include "file_rows.h"

#include "snapshot.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *nzd_file_rows_app(const char *name)
{
    size_t size = strlen(NZD_FILE_APP);
    return strncmp(name, NZD_FILE_APP, size) == 0 ? name + size : NULL;
}

bool nzd_file_rows_priv(const char *name, char app[NZD_FILE_ROWS_APP_MAX],
                        char file[NZD_FILE_ROWS_APP_MAX])
{
    size_t head = strlen(NZD_FILE_PRIV);
    if (strncmp(name, NZD_FILE_PRIV, head) != 0)
        return false;
    const char *slash = strchr(name + head, '/');
    if (!slash || slash == name + head || !slash[1])
        return false;
    int size = snprintf(app, NZD_FILE_ROWS_APP_MAX, "%.*s",
                        (int)(slash - name - (ptrdiff_t)head), name + head);
    int rest = snprintf(file, NZD_FILE_ROWS_APP_MAX, "priv%s", slash);
    return size < NZD_FILE_ROWS_APP_MAX && rest < NZD_FILE_ROWS_APP_MAX;
}

static struct nzd_digest encode(const struct nzd_term *spec,
                                struct nzd_buf *bytes)
{
    struct nzd_digest none = {{0}};
    nzd_buf_reset(bytes);
    if (!spec)
        return none;
    nzd_etf_version(bytes);
    nzd_term_encode(spec, bytes);
    return bytes->failed ? none : nzd_digest_of(nzd_buf_view(bytes));
}

/* --- what is in force ---------------------------------------------------- */

struct in_force {
    struct nzd_live_row *rows; /* names, blobs and sizes only */
    uint32_t count;
    uint32_t capacity;
    struct nzd_err *err;
};

static int keep_live(void *context, const struct nzd_live_row *row)
{
    struct in_force *all = context;
    if (all->count == all->capacity) {
        uint32_t capacity = all->capacity ? 2 * all->capacity : 32;
        void *rows = realloc(all->rows, capacity * sizeof *all->rows);
        if (!rows)
            return nzd_err_memory(all->err);
        all->rows = rows;
        all->capacity = capacity;
    }
    struct nzd_live_row *kept = &all->rows[all->count++];
    memset(kept, 0, sizeof *kept);
    kept->module = strdup(row->module);
    kept->blob = row->blob;
    kept->bytes = row->bytes;
    return kept->module ? 0 : nzd_err_memory(all->err);
}

static void clear_live(struct in_force *all)
{
    for (uint32_t i = 0; i < all->count; i++)
        nzd_live_row_clear(&all->rows[i]);
    free(all->rows);
}

static const struct nzd_live_row *find_live(const struct in_force *all,
                                            const char *app)
{
    for (uint32_t i = 0; i < all->count; i++) {
        const char *name = nzd_file_rows_app(all->rows[i].module);
        if (name && strcmp(name, app) == 0)
            return &all->rows[i];
    }
    return NULL;
}

/* --- rows ---------------------------------------------------------------- */

static int append(struct nzd_transaction *t, const char *app,
                  const struct nzd_digest *before, uint64_t before_bytes,
                  const struct nzd_digest *after, uint64_t after_bytes,
                  struct nzd_err *err)
{
    void *rows = realloc(t->rows, (t->row_count + 1) * sizeof *t->rows);
    struct nzd_buf name = {0};
    if (!rows)
        return nzd_err_memory(err);
    t->rows = rows;
    struct nzd_module_row *row = &t->rows[t->row_count++];
    memset(row, 0, sizeof *row);
    nzd_buf_printf(&name, NZD_FILE_APP "%s", app);
    row->change = NZD_MODULE_CHANGED;
    row->module = strdup(nzd_buf_string(&name));
    row->application = strdup(app);
    row->old_path = strdup("");
    row->new_path = strdup("");
    row->old_blob = row->old_md5 = *before;
    row->new_blob = row->new_md5 = *after;
    row->old_bytes = before_bytes;
    row->new_bytes = after_bytes;
    bool whole = !name.failed && row->module && row->application &&
                 row->old_path && row->new_path;
    nzd_buf_clear(&name);
    return whole ? 0 : nzd_err_memory(err);
}

/* What the node says it has comes from its disk; where the journal holds
 * another one in force, that is what runs, unless the VM was restarted. */
static int add_app(struct nzd_transaction *t, const struct nzd_app *app,
                   const struct in_force *live, bool runs, struct nzd_err *err)
{
    struct nzd_buf bytes = {0};
    const struct nzd_app *old = nzd_inventory_app(&t->q->old, app->name);
    const struct nzd_live_row *row = find_live(live, app->name);
    struct nzd_digest disk = encode(old ? old->spec : NULL, &bytes);
    struct nzd_digest before = disk;
    uint64_t before_bytes = bytes.size, after_bytes;
    if (row && runs) {
        before = row->blob;
        before_bytes = row->bytes;
    }
    struct nzd_digest after = encode(app->spec, &bytes);
    after_bytes = bytes.size;
    bool failed = bytes.failed;
    nzd_buf_clear(&bytes);
    if (failed)
        return nzd_err_memory(err);
    bool settled = row ? nzd_digest_equal(&row->blob, &after) : true;
    if (nzd_digest_is_zero(&disk) ||
        (settled && nzd_digest_equal(&before, &after)))
        return 0;
    return append(t, app->name, &before, before_bytes, &after, after_bytes,
                  err);
}

static bool generation_runs(struct nzd_transaction *t)
{
    struct nzd_txn in_force;
    if (nzd_journal_in_force(t->journal, &t->q->base.identity, &in_force, NULL))
        return false;
    bool runs = nzd_question_runs(t->q, t->journal, &in_force);
    nzd_txn_clear(&in_force);
    return runs;
}

int nzd_file_rows_add(struct nzd_transaction *t, struct nzd_err *err)
{
    struct in_force live = {.err = err};
    bool runs = generation_runs(t);
    int code = nzd_journal_each_live_file(t->journal, &t->q->base.identity,
                                          keep_live, &live, err);
    for (uint32_t i = 0; i < t->q->new.app_count && !code; i++)
        if (t->q->new.apps[i].spec)
            code = add_app(t, &t->q->new.apps[i], &live, runs, err);
    clear_live(&live);
    return code;
}

/* --- blobs --------------------------------------------------------------- */

void nzd_file_rows_bytes(const struct nzd_transaction *t,
                         const struct nzd_module_row *row, bool old,
                         struct nzd_buf *bytes)
{
    const struct nzd_inventory *side = old ? &t->q->old : &t->q->new;
    const char *name = nzd_file_rows_app(row->module);
    const struct nzd_app *app = name ? nzd_inventory_app(side, name) : NULL;
    struct nzd_digest digest = encode(app ? app->spec : NULL, bytes);
    /* Another one is what is in force, and held. */
    if (!nzd_digest_equal(&digest, old ? &row->old_blob : &row->new_blob))
        nzd_buf_reset(bytes);
}

/* --- a generation's ------------------------------------------------------ */

struct targets {
    struct in_force found; /* the blob of each application in it */
    enum { IN_FORCE, OF_BASE, UNDONE, REDONE } side;
};

static int set_target(struct targets *all, const char *name,
                      const struct nzd_digest *blob)
{
    const char *app = nzd_file_rows_app(name);
    struct nzd_live_row *row =
        app ? (struct nzd_live_row *)(uintptr_t)find_live(&all->found, app)
            : NULL;
    struct nzd_live_row fresh = {.module = (char *)(uintptr_t)name,
                                 .blob = *blob};
    if (!app)
        return 0;
    if (!row)
        return keep_live(&all->found, &fresh);
    row->blob = *blob;
    return 0;
}

static int target_live(void *context, const struct nzd_live_row *row)
{
    struct targets *all = context;
    return set_target(all, row->module,
                      all->side == OF_BASE ? &row->base_blob : &row->blob);
}

static int target_row(void *context, const struct nzd_module_row *row)
{
    struct targets *all = context;
    return set_target(all, row->module,
                      all->side == UNDONE ? &row->old_blob : &row->new_blob);
}

static int decode_blob(struct nzd_journal *journal,
                       const struct nzd_digest *blob, struct nzd_arena *arena,
                       const struct nzd_term **out, struct nzd_err *err)
{
    struct nzd_buf bytes = {0};
    int code = nzd_journal_get_blob(journal, blob, &bytes, err);
    char *copy =
        code ? NULL
             : nzd_arena_text(arena, (const char *)bytes.data, bytes.size);
    if (!code && !copy)
        code = nzd_err_memory(err);
    if (!code)
        code = nzd_term_decode(nzd_view_of(copy, bytes.size), arena, out, err);
    nzd_buf_clear(&bytes);
    return code;
}

static int read_spec(struct nzd_question *q, struct nzd_journal *journal,
                     const struct nzd_live_row *row, struct nzd_err *err)
{
    struct nzd_app *app =
        nzd_inventory_app(&q->new, nzd_file_rows_app(row->module));
    const struct nzd_term *spec = NULL;
    if (!app || nzd_digest_is_zero(&row->blob))
        return 0;
    int code = decode_blob(journal, &row->blob, &q->new.arena, &spec, err);
    if (!code)
        app->spec = spec;
    return code;
}

int nzd_file_rows_target(struct nzd_question *q, struct nzd_journal *journal,
                         uint64_t to, const uint64_t *ids, uint32_t count,
                         uint32_t after, struct nzd_err *err)
{
    struct targets all = {.found = {.err = err}, .side = IN_FORCE};
    const struct nzd_digest *base = &q->base.identity;
    int code =
        nzd_journal_each_live_file(journal, base, target_live, &all, err);
    all.side = UNDONE;
    for (uint32_t i = 0; i < after && !code; i++)
        code = nzd_journal_each_file(journal, ids[i], target_row, &all, err);
    all.side = REDONE;
    for (uint32_t i = count; i > after && !code; i--)
        code =
            nzd_journal_each_file(journal, ids[i - 1], target_row, &all, err);
    all.side = OF_BASE;
    if (!to && !code)
        code =
            nzd_journal_each_live_file(journal, base, target_live, &all, err);
    for (uint32_t i = 0; i < all.found.count && !code; i++)
        code = read_spec(q, journal, &all.found.rows[i], err);
    clear_live(&all.found);
    return code;
}

/* --- what the node is told ----------------------------------------------- */

static int add_put_back(void *context, const struct nzd_module_row *row)
{
    struct in_force *all = context;
    const char *app = nzd_file_rows_app(row->module);
    const struct nzd_live_row fresh = {.module = row->module,
                                       .blob = row->new_blob};
    if (!app || nzd_digest_is_zero(&row->new_blob) || find_live(all, app))
        return 0;
    return keep_live(all, &fresh);
}

int nzd_file_rows_specs(struct nzd_journal *journal,
                        const struct nzd_digest *base, uint64_t id,
                        struct nzd_arena *arena, struct nzd_file_specs *out,
                        struct nzd_err *err)
{
    struct in_force all = {.err = err};
    memset(out, 0, sizeof *out);
    int code = nzd_journal_each_live_file(journal, base, keep_live, &all, err);
    uint32_t in_force = all.count;
    if (!code)
        code = nzd_journal_each_file(journal, id, add_put_back, &all, err);
    out->items = nzd_arena_alloc(arena, (all.count + 1) * sizeof(void *));
    if (!code && !out->items)
        code = nzd_err_memory(err);
    for (uint32_t i = 0; i < all.count && !code; i++) {
        if (!nzd_file_rows_app(all.rows[i].module))
            continue;
        code = decode_blob(journal, &all.rows[i].blob, arena,
                           &out->items[out->count], err);
        out->count += code == 0;
        out->in_force += code == 0 && i < in_force;
    }
    clear_live(&all);
    return code;
}
