/* SPDX-License-Identifier: Apache-2.0 */
#include "node_rows.h"

#include "extras.h"
#include "live_config.h"
#include "migrate.h"
#include "node_switch.h"

#include <stdlib.h>
#include <string.h>

/* What is kept of a row while nothing is read from the journal: its reader
 * has ended before the node is asked. */
struct kept_row {
    char *module;
    char *path;
    enum nzd_module_change change;
    struct nzd_digest blob;
    struct nzd_digest md5;
    struct nzd_digest attrs;
    struct nzd_digest new_blob;
    struct nzd_digest new_md5;
    struct nzd_digest new_attrs;
};

struct kept_rows {
    struct kept_row *items;
    uint32_t count;
    uint32_t capacity;
    struct nzd_err *err;
};

static void clear_rows(struct kept_rows *rows)
{
    for (uint32_t i = 0; i < rows->count; i++) {
        free(rows->items[i].module);
        free(rows->items[i].path);
    }
    free(rows->items);
}

static bool restates(const struct nzd_module_row *row)
{
    return row->change == NZD_MODULE_CHANGED &&
           nzd_digest_equal(&row->old_md5, &row->new_md5) &&
           nzd_digest_equal(&row->old_attrs, &row->new_attrs);
}

static int keep_row(void *context, const struct nzd_module_row *row)
{
    struct kept_rows *rows = context;
    if (restates(row))
        return 0;
    if (rows->count == rows->capacity) {
        uint32_t capacity = rows->capacity ? 2 * rows->capacity : 64;
        void *items = realloc(rows->items, capacity * sizeof *rows->items);
        if (!items)
            return nzd_err_memory(rows->err);
        rows->items = items;
        rows->capacity = capacity;
    }
    struct kept_row *kept = &rows->items[rows->count++];
    kept->module = strdup(row->module);
    kept->path = strdup(row->old_path ? row->old_path : "");
    kept->change = row->change;
    kept->blob = row->old_blob;
    kept->md5 = row->old_md5;
    kept->attrs = row->old_attrs;
    kept->new_blob = row->new_blob;
    kept->new_md5 = row->new_md5;
    kept->new_attrs = row->new_attrs;
    return kept->module && kept->path ? 0 : nzd_err_memory(rows->err);
}

static int read_rows(struct nzd_journal *journal, uint64_t id,
                     struct kept_rows *rows, struct nzd_err *err)
{
    memset(rows, 0, sizeof *rows);
    rows->err = err;
    return nzd_journal_each_module(journal, id, keep_row, rows, err);
}

/* What an agent is told of a transaction, made from its rows. */
struct resending {
    struct nzd_node *node;
    struct nzd_journal *journal;
    struct nzd_plan plan;
    struct nzd_module *sides; /* two for each step */
    struct nzd_buf bytes;     /* of the side that was read last */
    struct nzd_err *err;
};

/* One side's name, md5 and lambdas; its bytes stay until the next. */
static int read_side(struct resending *all, const struct kept_row *row,
                     const struct nzd_digest *blob,
                     const struct nzd_digest *md5, struct nzd_module *out)
{
    struct nzd_beam *beam = nzd_arena_alloc(&all->plan.arena, sizeof *beam);
    if (!beam)
        return nzd_err_memory(all->err);
    out->name = row->module;
    out->md5 = *md5;
    nzd_buf_reset(&all->bytes);
    int code = nzd_journal_get_blob(all->journal, blob, &all->bytes, all->err);
    if (!code)
        code = nzd_beam_read(nzd_buf_view(&all->bytes),
                             NZD_BEAM_FUNS | NZD_BEAM_CALLS, &all->plan.arena,
                             beam, all->err);
    if (code)
        return nzd_err_prefix(all->err, "module %s", row->module);
    out->beam = beam;
    return 0;
}

static int resend_one(struct resending *all, const struct kept_row *row)
{
    static const enum nzd_step_change changes[] = {
        [NZD_MODULE_CHANGED] = NZD_STEP_CHANGED,
        [NZD_MODULE_ADDED] = NZD_STEP_ADDED,
        [NZD_MODULE_REMOVED] = NZD_STEP_REMOVED,
    };
    struct nzd_module *sides = &all->sides[2 * all->plan.step_count];
    struct nzd_step *step = &all->plan.steps[all->plan.step_count++];
    int code = 0;
    step->name = row->module;
    step->change = changes[row->change];
    if (row->change != NZD_MODULE_ADDED) {
        step->old = &sides[0];
        code = read_side(all, row, &row->blob, &row->md5, &sides[0]);
    }
    if (!code && row->change == NZD_MODULE_CHANGED)
        code = nzd_node_put_old(all->node, row->module, row->path,
                                nzd_buf_view(&all->bytes), &row->md5,
                                NZD_PREPARE_AT_UNDO, all->err);
    if (!code && row->change != NZD_MODULE_REMOVED) {
        step->new = &sides[1];
        code = read_side(all, row, &row->new_blob, &row->new_md5, &sides[1]);
    }
    return code;
}

static int read_way(struct nzd_journal *journal, uint64_t id,
                    struct nzd_node_way *way, struct nzd_err *err)
{
    struct nzd_txn txn;
    int code = nzd_journal_txn(journal, id, &txn, err);
    if (code)
        return code;
    *way = nzd_migrate_way(&txn, 0);
    nzd_txn_clear(&txn);
    return 0;
}

int nzd_rows_resend(struct nzd_node *node, struct nzd_journal *journal,
                    uint64_t id, struct nzd_err *err)
{
    struct kept_rows rows;
    struct resending all = {.node = node, .journal = journal, .err = err};
    struct nzd_node_way way = {0};
    struct nzd_extras extras = {0};
    int code = read_rows(journal, id, &rows, err);
    if (!code)
        code = read_way(journal, id, &way, err);
    if (!code)
        code = nzd_extras_read(journal, id, &all.plan.arena, &extras, err);
    way.extras = &extras;
    all.plan.steps = calloc(rows.count + 1, sizeof *all.plan.steps);
    all.sides = calloc(rows.count + 1, 2 * sizeof *all.sides);
    bool room = all.plan.steps && all.sides;
    if (!code && !room)
        code = nzd_err_memory(err);
    for (uint32_t i = 0; room && i < rows.count && !code; i++)
        code = resend_one(&all, &rows.items[i]);
    if (!code)
        code = nzd_node_collect(node, err);
    if (!code)
        code = nzd_node_put_sets(node, &all.plan, &way, err);
    if (!code)
        code = nzd_live_config_resend(node, journal, id, err);
    free(all.plan.steps);
    free(all.sides);
    nzd_arena_clear(&all.plan.arena);
    nzd_buf_clear(&all.bytes);
    clear_rows(&rows);
    return code;
}

static int prove_row(const struct kept_row *row, const struct nzd_running *runs,
                     uint32_t *still, struct nzd_err *err)
{
    char hex[NZD_DIGEST_HEX], old[NZD_DIGEST_HEX];
    if (row->change == NZD_MODULE_REMOVED)
        return 0;
    if (row->change == NZD_MODULE_ADDED) {
        *still += runs->loaded;
        return 0;
    }
    /* A module that was on disk only may stay unloaded. */
    if (!runs->loaded || (nzd_digest_equal(&runs->md5, &row->md5) &&
                          nzd_digest_equal(&runs->attrs, &row->attrs)))
        return 0;
    nzd_digest_hex(hex, &runs->md5);
    nzd_digest_hex(old, &row->md5);
    return nzd_err_set(err, NZD_EUNSETTLED,
                       "module %s runs %.8s, not the old %.8s", row->module,
                       hex, old);
}

static int prove_new(const struct kept_row *row, const struct nzd_running *runs,
                     struct nzd_err *err)
{
    char hex[NZD_DIGEST_HEX], wanted[NZD_DIGEST_HEX];
    bool removed = row->change == NZD_MODULE_REMOVED;
    if (!runs->loaded ||
        (!removed && nzd_digest_equal(&runs->md5, &row->new_md5) &&
         nzd_digest_equal(&runs->attrs, &row->new_attrs)))
        return 0;
    if (removed)
        return nzd_err_set(err, NZD_EROLLEDBACK,
                           "module %s is removed, but the VM has loaded it",
                           row->module);
    nzd_digest_hex(hex, &runs->md5);
    nzd_digest_hex(wanted, &row->new_md5);
    return nzd_err_set(err, NZD_EROLLEDBACK,
                       "module %s runs %.8s, not the new %.8s", row->module,
                       hex, wanted);
}

/* What runs of each row. */
struct asked {
    struct kept_rows rows;
    struct nzd_running *runs;
};

static int ask(struct nzd_node *node, struct nzd_journal *journal, uint64_t id,
               struct asked *out, struct nzd_err *err)
{
    int code = read_rows(journal, id, &out->rows, err);
    const char **names = calloc(out->rows.count + 1, sizeof *names);
    out->runs = calloc(out->rows.count + 1, sizeof *out->runs);
    bool room = names && out->runs;
    if (!code && !room)
        code = nzd_err_memory(err);
    for (uint32_t i = 0; room && i < out->rows.count; i++)
        names[i] = out->rows.items[i].module;
    if (!code)
        code = nzd_node_md5s(node, names, out->rows.count, out->runs, err);
    free(names);
    return code;
}

static void clear_asked(struct asked *asked)
{
    free(asked->runs);
    clear_rows(&asked->rows);
}

int nzd_rows_prove_old(struct nzd_node *node, struct nzd_journal *journal,
                       uint64_t id, uint32_t left, struct nzd_err *err)
{
    struct asked asked = {.runs = NULL};
    uint32_t still = 0;
    int code = ask(node, journal, id, &asked, err);
    for (uint32_t i = 0; i < asked.rows.count && !code; i++)
        code = prove_row(&asked.rows.items[i], &asked.runs[i], &still, err);
    if (!code && still > left)
        code =
            nzd_err_set(err, NZD_EUNSETTLED, "an added module is loaded again");
    clear_asked(&asked);
    return code;
}

int nzd_rows_prove_new(struct nzd_node *node, struct nzd_journal *journal,
                       uint64_t id, struct nzd_err *err)
{
    struct asked asked = {.runs = NULL};
    int code = ask(node, journal, id, &asked, err);
    for (uint32_t i = 0; i < asked.rows.count && !code; i++)
        code = prove_new(&asked.rows.items[i], &asked.runs[i], err);
    clear_asked(&asked);
    return code;
}
