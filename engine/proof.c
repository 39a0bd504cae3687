/* SPDX-License-Identifier: Apache-2.0 */
#include "proof.h"

#include <stdlib.h>
#include <string.h>

struct proving {
    struct nzd_question *q;
    struct nzd_proof *proof;
    struct nzd_inventory files;
    bool *done;         /* per module of the node: judged by the journal */
    const char **tried; /* names of the rows on trial */
    uint32_t tried_count;
    uint32_t tried_capacity;
    struct nzd_err *err;
};

static int add_drift(struct nzd_proof *proof, const char *module,
                     const struct nzd_digest *runs,
                     const struct nzd_digest *expected, bool from_journal,
                     struct nzd_err *err)
{
    if (proof->drift_count == proof->drift_capacity) {
        uint32_t capacity =
            proof->drift_capacity ? 2 * proof->drift_capacity : 16;
        void *drift = realloc(proof->drift, capacity * sizeof *proof->drift);
        if (!drift)
            return nzd_err_memory(err);
        proof->drift = drift;
        proof->drift_capacity = capacity;
    }
    struct nzd_drift *drift = &proof->drift[proof->drift_count++];
    memset(drift, 0, sizeof *drift);
    drift->module = nzd_arena_text(&proof->arena, module, strlen(module));
    drift->from_journal = from_journal;
    if (runs)
        drift->runs = *runs;
    if (expected)
        drift->expected = *expected;
    return drift->module ? 0 : nzd_err_memory(err);
}

static int note_tried(struct proving *all, const char *module)
{
    if (all->tried_count == all->tried_capacity) {
        uint32_t capacity = all->tried_capacity ? 2 * all->tried_capacity : 64;
        void *tried = realloc(all->tried, capacity * sizeof *all->tried);
        if (!tried)
            return nzd_err_memory(all->err);
        all->tried = tried;
        all->tried_capacity = capacity;
    }
    const char *name =
        nzd_arena_text(&all->proof->arena, module, strlen(module));
    all->tried[all->tried_count++] = name;
    return name ? 0 : nzd_err_memory(all->err);
}

static bool is_tried(const struct proving *all, const char *module)
{
    for (uint32_t i = 0; i < all->tried_count; i++)
        if (strcmp(all->tried[i], module) == 0)
            return true;
    return false;
}

/* From an overlay: what was booted, or put on the code path. */
static bool is_loaded_when_called(const struct proving *all)
{
    const struct nzd_hello *hello = &all->q->hello;
    return !hello->embedded && (hello->overlay || hello->nzd_booted);
}

/* A row that is on trial against the node. What is removed stays until it is
 * confirmed. */
static int judge_trial(void *context, const struct nzd_module_row *row)
{
    struct proving *all = context;
    const struct nzd_module *runs =
        nzd_inventory_module(&all->q->old, row->module);
    int code = note_tried(all, row->module);
    if (runs)
        all->done[runs - all->q->old.modules] = true;
    if (code || row->change == NZD_MODULE_REMOVED ||
        (!runs && all->q->hello.nzd_booted && is_loaded_when_called(all)))
        return code;
    all->proof->total++;
    if (runs && nzd_digest_equal(&runs->md5, &row->new_md5) &&
        nzd_digest_equal(&runs->attrs, &row->new_attrs)) {
        all->proof->ok++;
        return 0;
    }
    return add_drift(all->proof, row->module, runs ? &runs->md5 : NULL,
                     &row->new_md5, true, all->err);
}

/* A row of what is in force against the node. A removed module that is still
 * loaded is listed too: people should know that it is there. */
static int judge_live(void *context, const struct nzd_live_row *row)
{
    struct proving *all = context;
    const struct nzd_module *runs =
        nzd_inventory_module(&all->q->old, row->module);
    bool removed = nzd_digest_is_zero(&row->blob);
    if (is_tried(all, row->module))
        return 0;
    /* Loaded when it is called, from the overlay. */
    if (!runs && is_loaded_when_called(all))
        return 0;
    all->proof->in_force++;
    if (runs)
        all->done[runs - all->q->old.modules] = true;
    all->proof->total++;
    bool same = removed ? runs == NULL
                        : runs && nzd_digest_equal(&runs->md5, &row->md5) &&
                              nzd_digest_equal(&runs->attrs, &row->attrs);
    if (same) {
        all->proof->ok++;
        all->proof->in_force_ok++;
        return 0;
    }
    all->proof->removed_count += removed;
    return add_drift(all->proof, row->module, runs ? &runs->md5 : NULL,
                     removed ? NULL : &row->md5, true, all->err);
}

static int ask_files(struct proving *all, struct nzd_err *err)
{
    const struct nzd_inventory *node = &all->q->old;
    uint32_t count = 0;
    const char **names = calloc(node->module_count + 1, sizeof *names);
    if (!names)
        return nzd_err_memory(err);
    for (uint32_t i = 0; i < node->module_count; i++)
        if (!all->done[i] && node->modules[i].path[0])
            names[count++] = node->modules[i].name;
    int code = nzd_node_files(all->q->node, names, count, &all->files, err);
    free(names);
    return code;
}

static int judge_file(struct proving *all, uint32_t index)
{
    const struct nzd_module *runs = &all->q->old.modules[index];
    if (!all->done[index] && runs->flags & NZD_MODULE_LEAVING) {
        all->proof->total++;
        all->proof->removed_count++;
        return add_drift(all->proof, runs->name, &runs->md5, NULL, true,
                         all->err);
    }
    const struct nzd_module *file =
        nzd_inventory_module(&all->files, runs->name);
    if (all->done[index] || !file)
        return 0;
    all->proof->total++;
    if (nzd_digest_equal(&runs->md5, &file->md5) &&
        nzd_digest_equal(&runs->attrs, &file->attrs)) {
        all->proof->ok++;
        return 0;
    }
    return add_drift(all->proof, runs->name, &runs->md5, &file->md5, false,
                     all->err);
}

int nzd_proof_make(struct nzd_question *q, struct nzd_journal *journal,
                   uint64_t trial, struct nzd_proof *out, struct nzd_err *err)
{
    struct proving all = {.q = q, .proof = out, .err = err};
    memset(out, 0, sizeof *out);
    nzd_inventory_init(&all.files);
    all.done = calloc(q->old.module_count + 1, sizeof *all.done);
    if (!all.done)
        return nzd_err_memory(err);
    int code = 0;
    if (journal && trial)
        code = nzd_journal_each_module(journal, trial, judge_trial, &all, err);
    if (!code && journal)
        code = nzd_journal_each_live(journal, &q->base.identity, judge_live,
                                     &all, err);
    if (!code)
        code = ask_files(&all, err);
    for (uint32_t i = 0; i < q->old.module_count && !code; i++)
        code = judge_file(&all, i);
    free(all.done);
    free(all.tried);
    nzd_inventory_clear(&all.files);
    return code;
}

void nzd_proof_clear(struct nzd_proof *proof)
{
    free(proof->drift);
    nzd_arena_clear(&proof->arena);
    memset(proof, 0, sizeof *proof);
}
