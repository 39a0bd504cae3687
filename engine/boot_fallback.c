/* SPDX-License-Identifier: Apache-2.0 */
#include "boot_fallback.h"

#include "../journal/file_row.h"
#include "discover.h"
#include "interrupt.h"
#include "timeline.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct rows {
    struct nzd_module_row *items;
    uint32_t count;
    uint32_t capacity;
    struct nzd_err *err;
};

static char *copy(const char *text)
{
    return strdup(text ? text : "");
}

/* What went to the base comes from it now; and of a file whose content is not
 * held, what was before is the base's own. */
static uint32_t reversed_flags(const struct nzd_module_row *row)
{
    bool to_base = nzd_row_is_file(row->module) &&
                   !nzd_digest_is_zero(&row->old_md5) &&
                   nzd_digest_is_zero(&row->old_blob);
    uint32_t flags = row->flags & ~NZD_ROW_TO_BASE;
    return to_base ? flags | NZD_ROW_TO_BASE : flags;
}

/* The other way round: its new side is what was before. */
static int reverse(void *context, const struct nzd_module_row *row)
{
    static const enum nzd_module_change back[] = {
        [NZD_MODULE_CHANGED] = NZD_MODULE_CHANGED,
        [NZD_MODULE_ADDED] = NZD_MODULE_REMOVED,
        [NZD_MODULE_REMOVED] = NZD_MODULE_ADDED,
    };
    struct rows *rows = context;
    if (rows->count == rows->capacity) {
        uint32_t capacity = rows->capacity ? 2 * rows->capacity : 64;
        void *items = realloc(rows->items, capacity * sizeof *rows->items);
        if (!items)
            return nzd_err_memory(rows->err);
        rows->items = items;
        rows->capacity = capacity;
    }
    struct nzd_module_row *out = &rows->items[rows->count++];
    *out = *row;
    out->change = nzd_row_is_file(row->module)
                      ? nzd_file_row_change(&row->new_md5, &row->old_md5)
                      : back[row->change];
    out->flags = reversed_flags(row);
    out->old_blob = row->new_blob;
    out->new_blob = row->old_blob;
    out->old_md5 = row->new_md5;
    out->new_md5 = row->old_md5;
    out->old_attrs = row->new_attrs;
    out->new_attrs = row->old_attrs;
    out->old_bytes = row->new_bytes;
    out->new_bytes = row->old_bytes;
    out->module = copy(row->module);
    out->application = copy(row->application);
    out->old_path = copy(row->new_path);
    out->new_path = copy(row->old_path);
    return out->module && out->application && out->old_path && out->new_path
               ? 0
               : nzd_err_memory(rows->err);
}

static void clear_rows(struct rows *rows)
{
    for (uint32_t i = 0; i < rows->count; i++)
        nzd_module_row_clear(&rows->items[i]);
    free(rows->items);
}

/* The VM that it is armed in is this process: if it ends before the commit,
 * that is proven, and the next boot settles it. */
static void describe_vm(struct nzd_vm *vm)
{
    struct nzd_err ignored = NZD_ERR_INIT;
    memset(vm, 0, sizeof *vm);
    if (nzd_host_process_start(getpid(), &vm->start_time, &ignored) == 0 &&
        nzd_host_boot_id(vm->boot_id, &ignored) == 0)
        vm->pid = (uint64_t)getpid();
}

/* `undone` made the code that `bad` put in force. */
static int describe(const struct nzd_txn *bad, const struct nzd_txn *undone,
                    const char *why, struct nzd_txn *out, struct nzd_err *err)
{
    memset(out, 0, sizeof *out);
    out->kind = NZD_TXN_ROLLBACK;
    out->state = NZD_STATE_ARMED;
    out->verdict = bad->verdict;
    out->max = bad->max;
    out->base = bad->base;
    out->epoch = bad->epoch;
    out->changed = undone->changed;
    out->added = undone->removed;
    out->removed = undone->added;
    out->from_generation = bad->id;
    out->to_generation = undone->from_generation;
    out->opened_us = out->armed_us = nzd_wall_us();
    out->release = copy(bad->release);
    out->from_version = copy(bad->to_version);
    out->to_version = copy(undone->from_version);
    out->base_version = copy(bad->base_version);
    out->base_path = copy(bad->base_path);
    out->node = copy(bad->node);
    out->source = copy("");
    out->operator_name = copy("nzd boot");
    out->options = copy("");
    out->why = copy(why);
    describe_vm(&out->vm);
    return out->release && out->from_version && out->to_version &&
                   out->base_version && out->base_path && out->node &&
                   out->source && out->operator_name && out->options && out->why
               ? 0
               : nzd_err_memory(err);
}

static int commit(struct nzd_journal *journal, const struct rows *rows,
                  struct nzd_txn *txn, struct nzd_err *err)
{
    struct nzd_timeline timeline;
    nzd_timeline_open(&timeline);
    nzd_timeline_add(&timeline, NZD_EVENT_RECOVERY, "boot", 0, "%s", txn->why);
    struct nzd_move move = {.txn = txn,
                            .modules = rows->items,
                            .module_count = rows->count,
                            .events = timeline.items,
                            .event_count = timeline.count};
    int code = nzd_journal_move(journal, &move, err);
    nzd_timeline_clear(&timeline);
    if (code)
        return code;
    struct nzd_move last = {.txn = txn};
    txn->state = NZD_STATE_COMMITTED;
    txn->ended_us = nzd_wall_us();
    return nzd_journal_move(journal, &last, err);
}

static int quarantine(struct nzd_journal *journal, uint64_t id,
                      struct nzd_err *err)
{
    struct nzd_txn bad;
    int code = nzd_journal_txn(journal, id, &bad, err);
    if (code)
        return code;
    struct nzd_move move = {.txn = &bad};
    bad.state = NZD_STATE_QUARANTINED;
    code = nzd_journal_move(journal, &move, err);
    nzd_txn_clear(&bad);
    return code;
}

/*
 * A rollback has put code in force that an earlier transaction made: it is
 * that one's step that is gone back, not the rollback's own, which would lead
 * to what was left for it. NZD_ENOTFOUND: the journal no longer holds it.
 */
static int find_undone(struct nzd_journal *journal, uint64_t id,
                       struct nzd_txn *out, struct nzd_err *err)
{
    int code = nzd_journal_txn(journal, id, out, err);
    while (!code && out->kind == NZD_TXN_ROLLBACK) {
        uint64_t to = out->to_generation;
        bool back = to < out->id;
        nzd_txn_clear(out);
        code = back && to ? nzd_journal_txn(journal, to, out, err)
                          : nzd_err_set(err, NZD_ENOTFOUND,
                                        "no transaction made what %" PRIu64
                                        " has put in force",
                                        id);
    }
    return code;
}

int nzd_boot_fall_back(struct nzd_journal *journal, const struct nzd_txn *bad,
                       const char *why, struct nzd_txn *out,
                       struct nzd_err *err)
{
    struct rows rows = {.err = err};
    struct nzd_txn undone;
    int code = find_undone(journal, bad->id, &undone, err);
    if (code)
        return code;
    code = nzd_journal_each_module(journal, undone.id, reverse, &rows, err);
    if (!code)
        code = nzd_journal_each_file(journal, undone.id, reverse, &rows, err);
    if (!code)
        code = describe(bad, &undone, why, out, err);
    if (!code)
        code = commit(journal, &rows, out, err);
    if (!code)
        code = quarantine(journal, bad->id, err);
    nzd_txn_clear(&undone);
    clear_rows(&rows);
    return code;
}
