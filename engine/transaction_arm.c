/* SPDX-License-Identifier: Apache-2.0 */
#include "transaction_internal.h"

#include "../journal/attempts.h"
#include "erts_try.h"
#include "extras.h"
#include "interrupt.h"
#include "live_config.h"
#include "migrate.h"
#include "node_act.h"
#include "node_switch.h"
#include "snapshot.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Room for the commit, an undo and a reboot record: a few records and events
 * of at most some KiB, and one live row for each module row. */
#define RESERVE_BASE    (128u << 10)
#define RESERVE_PER_ROW 512u
#define RESERVE_MOVES   5u /* each writes the record with its hooks */

static int open_in_agent(struct nzd_transaction *t, uint8_t token[16],
                         struct nzd_err *err)
{
    const struct nzd_options *options = &t->context->options;
    struct nzd_recall recall;
    struct nzd_node_begin begin = {
        .uuid = nzd_journal_uuid(t->journal),
        .adopt = options->adopt,
        .kill = options->kill,
        .kill_count = options->kill_count,
        .recall = &recall,
    };
    nzd_recall_make(t->context, &t->q->target,
                    nzd_journal_directory(t->journal), &recall);
    return nzd_node_begin(t->q->node, &begin, token, err);
}

/* The agent opens the transaction under the number it will get, and a new
 * epoch; the token of the VM comes back. */
static int begin(struct nzd_transaction *t, struct nzd_err *err)
{
    struct nzd_journal_stat stat;
    struct nzd_fence fence = {0};
    uint64_t epoch = 0;
    int code = nzd_journal_stat(t->journal, &stat, err);
    if (!code)
        code = nzd_journal_epoch(t->journal, &epoch, err);
    if (code)
        return code;
    if (t->q->hello.epoch > epoch)
        epoch = t->q->hello.epoch;
    fence.txn = t->txn.id = stat.last + 1;
    fence.epoch = t->txn.epoch = epoch + 1;
    nzd_node_set_fence(t->q->node, &fence);
    code = open_in_agent(t, fence.token, err);
    if (code)
        return code;
    nzd_node_set_fence(t->q->node, &fence);
    memcpy(t->txn.vm.token, fence.token, 16);
    t->begun = true;
    return 0;
}

/* The node compiles while the snapshot is written. */
static int prepare_code(struct nzd_transaction *t, struct nzd_err *err)
{
    int code = nzd_snapshot_send(t, err);
    if (!code)
        code = nzd_snapshot_store(t, err);
    if (!code)
        code = nzd_node_collect(t->q->node, err);
    struct nzd_node_way way =
        nzd_migrate_way(&t->txn, t->context->options.timeout_us);
    way.extras = &t->q->extras;
    return code ? code : nzd_node_put_sets(t->q->node, &t->q->plan, &way, err);
}

static int prepare(struct nzd_transaction *t, struct nzd_err *err)
{
    const struct nzd_plan *plan = &t->q->plan;
    uint64_t begin_us = nzd_clock_us();
    int code = nzd_snapshot_rows(t, err);
    if (!code)
        code = nzd_live_config_prepare(t, err);
    if (!code)
        code = nzd_extras_add_row(t, err);
    if (!code)
        code = t->way ? nzd_snapshot_store(t, err) : prepare_code(t, err);
    if (!code)
        code = nzd_erts_try(t, err);
    if (code)
        return code;
    uint64_t took = nzd_clock_us() - begin_us;
    nzd_timeline_add(&t->timeline, NZD_EVENT_PREPARE, "prepare", took,
                     "%" PRIu32 " new, %" PRIu32 " old",
                     plan->changed + plan->added,
                     plan->changed + plan->removed);
    nzd_output_step(&t->context->output, "prepare", took, NULL,
                    "%" PRIu32 " new, %" PRIu32 " old",
                    plan->changed + plan->added, plan->changed + plan->removed);
    return 0;
}

static int arm(struct nzd_transaction *t, struct nzd_err *err)
{
    char bytes[32];
    uint64_t begin_us = nzd_clock_us();
    uint64_t reserve = RESERVE_BASE + (uint64_t)t->row_count * RESERVE_PER_ROW;
    if (t->txn.hooks)
        reserve += RESERVE_MOVES * strlen(t->txn.hooks);
    uint64_t expected = t->txn.id;
    nzd_format_bytes(bytes, t->txn.written);
    nzd_timeline_add(&t->timeline, NZD_EVENT_MOVE, "ARMED", 0,
                     "%s written, synced", bytes);
    t->txn.armed_us = nzd_wall_us();
    /* Else a full disk keeps the next boot from counting it. */
    int code =
        t->q->target.local
            ? nzd_attempts_reserve(nzd_journal_directory(t->journal), err)
            : 0;
    if (!code)
        code = nzd_transaction_move(t, NZD_STATE_ARMED, reserve, err);
    if (code)
        return code;
    if (t->txn.id != expected)
        return nzd_err_set(err, NZD_EINTERNAL,
                           "the journal gave number %" PRIu64
                           ", the agent has %" PRIu64,
                           t->txn.id, expected);
    nzd_output_step(&t->context->output, "armed", nzd_clock_us() - begin_us,
                    json_pack("{s:I}", "txn", (json_int_t)t->txn.id),
                    "transaction %" PRIu64, t->txn.id);
    return 0;
}

/* Nothing is loaded: the agent forgets, and the number that the hooks may
 * have seen is recorded as aborted. */
static int abort_before_armed(struct nzd_transaction *t, int code,
                              struct nzd_err *err)
{
    struct nzd_err ignored = NZD_ERR_INIT;
    /* Of a node that is lost nobody can say what it runs. */
    if (code == NZD_ENODE)
        nzd_err_untouched(err, "no code was loaded");
    else
        nzd_err_untouched(err, "no code was loaded; %s runs what it ran",
                          nzd_node_name(t->q->node));
    if (!t->begun)
        return code;
    nzd_interrupt_clear();
    if (!nzd_link_is_dead(nzd_node_link(t->q->node)))
        nzd_node_act(t->q->node, "forget", &ignored);
    if (code != NZD_EJOURNAL && !nzd_journal_is_broken(t->journal)) {
        nzd_transaction_finish(t, nzd_err_exit(code));
        t->txn.why = strdup(err->message);
        nzd_timeline_add(&t->timeline, NZD_EVENT_MOVE, "ABORTED", 0, "%s",
                         err->message);
        nzd_err_clear(&ignored);
        if (nzd_transaction_move(t, NZD_STATE_ABORTED, 0, &ignored))
            nzd_output_warn(&t->context->output, "not recorded: %s",
                            ignored.message);
    }
    return code;
}

int nzd_transaction_arm(struct nzd_transaction *t, struct nzd_err *err)
{
    int code = begin(t, err);
    if (!code)
        code = prepare(t, err);
    if (!code)
        code = nzd_transaction_hooks(t, NZD_HOOK_PRE, NULL, err);
    if (code == NZD_EROLLEDBACK)
        err->code = code = NZD_EREFUSED;
    if (!code)
        code = nzd_soak_before(t, err);
    if (!code)
        code = nzd_transaction_interrupted(err);
    if (!code)
        code = arm(t, err);
    if (code == NZD_ELOST || code == NZD_ETIMEOUT)
        err->code = code = NZD_ENODE;
    return code ? abort_before_armed(t, code, err) : 0;
}
