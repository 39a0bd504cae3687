/* SPDX-License-Identifier: Apache-2.0 */
#include "transaction_internal.h"

#include "check.h"
#include "code_path.h"
#include "hook.h"
#include "interrupt.h"
#include "live_config.h"
#include "migrate.h"
#include "node_act.h"
#include "node_switch.h"
#include "restarting.h"
#include "settle.h"
#include "settle_agent.h"
#include "snapshot.h"
#include "trial.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static struct nzd_output *output_of(struct nzd_transaction *t)
{
    return &t->context->output;
}

void nzd_transaction_clear(struct nzd_transaction *t)
{
    nzd_snapshot_clear_rows(t);
    nzd_buf_clear(&t->kept);
    nzd_buf_clear(&t->extras);
    nzd_timeline_clear(&t->timeline);
    nzd_txn_clear(&t->txn);
}

int nzd_transaction_move(struct nzd_transaction *t, enum nzd_state state,
                         uint64_t reserve_bytes, struct nzd_err *err)
{
    bool first = state == NZD_STATE_ARMED || state == NZD_STATE_ABORTED;
    enum nzd_state before = t->txn.state;
    struct nzd_move move = {
        .txn = &t->txn,
        .modules = first ? t->rows : NULL,
        .module_count = first ? t->row_count : 0,
        .events = t->timeline.items,
        .event_count = t->timeline.count,
        .reserve_bytes = reserve_bytes,
    };
    uint64_t id = t->txn.id;
    t->txn.state = state;
    if (first)
        t->txn.id = 0;
    int code = nzd_journal_move(t->journal, &move, err);
    if (code) {
        t->txn.state = before;
        t->txn.id = id;
        return code;
    }
    nzd_timeline_written(&t->timeline);
    nzd_log_move(&t->txn);
    return 0;
}

int nzd_transaction_interrupted(struct nzd_err *err)
{
    if (!nzd_interrupt_pending())
        return 0;
    return nzd_err_set(err, NZD_EREFUSED, "interrupted by a signal");
}

int nzd_transaction_hooks(struct nzd_transaction *t, enum nzd_hook_phase phase,
                          const char *outcome, struct nzd_err *err)
{
    struct nzd_node *node = t->q->node;
    bool alive = node && !nzd_link_is_dead(nzd_node_link(node));
    struct nzd_hook_run run = {
        .config = &t->context->config,
        .output = output_of(t),
        .timeline = &t->timeline,
        .node = alive ? node : NULL,
        .bundle = t->source,
        .txn = t->txn.id,
        .outcome = outcome,
    };
    return nzd_hooks_run(&run, phase, err);
}

void nzd_transaction_finish(struct nzd_transaction *t, int outcome)
{
    t->txn.ended_us = nzd_wall_us();
    t->txn.took_us = nzd_clock_us() - t->timeline.opened_us;
    t->txn.outcome = outcome;
}

/* --- after armed
 * ------------------------------------------------------------------ */

static void note_blockers(struct nzd_transaction *t,
                          const struct nzd_occupant_list *blockers)
{
    for (uint32_t i = 0; i < blockers->count && i < 20; i++) {
        const struct nzd_occupant *who = &blockers->items[i];
        nzd_timeline_add(&t->timeline, NZD_EVENT_NOTE, "in old code", 0,
                         "%s %s in %s:%s/%" PRIu32, who->pid, who->name,
                         who->module, who->function, who->arity);
    }
}

static int switch_code(struct nzd_transaction *t, struct nzd_err *err)
{
    const struct nzd_plan *plan = &t->q->plan;
    struct nzd_arena arena = {0};
    struct nzd_occupant_list blockers = {0};
    struct nzd_moved_notes notes = {.moved = {0}};
    uint32_t loaded = plan->changed + plan->added;
    int code =
        nzd_node_switch(t->q->node, &t->txn.pause_us, &arena, &blockers, err);
    if (!code || code == NZD_EREFUSED)
        nzd_migrate_begin(output_of(t), t->q->node, &t->timeline, code != 0,
                          &notes);
    if (!code) {
        nzd_timeline_add(&t->timeline, NZD_EVENT_SWITCH, "switch",
                         t->txn.pause_us,
                         "%" PRIu32 " loaded at once, %" PRIu32 " to remove",
                         loaded, plan->removed);
        note_blockers(t, &blockers);
        nzd_output_step(output_of(t), "switch", t->txn.pause_us, NULL,
                        plan->removed ? "%" PRIu32 " loaded at once, %" PRIu32
                                        " to remove"
                                      : "%" PRIu32 " loaded at once",
                        loaded, plan->removed);
    }
    nzd_migrate_end(output_of(t), &t->timeline, &notes);
    if (!code || code == NZD_EREFUSED)
        nzd_settle_note_ended(t->context, t->q->node, &t->timeline);
    free(blockers.items);
    nzd_arena_clear(&arena);
    return code;
}

/* What the switch puts on the code path. */
static int lay_files(struct nzd_transaction *t, struct nzd_err *err)
{
    uint64_t begin_us = nzd_clock_us();
    if (!nzd_live_config_has_files(&t->q->plan))
        return 0;
    int code = nzd_code_path_lay(t->journal, t->q, &t->txn, err);
    if (!code)
        nzd_timeline_add(&t->timeline, NZD_EVENT_PREPARE, "lay out",
                         nzd_clock_us() - begin_us,
                         "files of priv, for the switch");
    return code;
}

static int check_alive(struct nzd_transaction *t, struct nzd_err *err)
{
    uint64_t begin_us = nzd_clock_us();
    int code = nzd_node_validate(t->q->node, err);
    nzd_timeline_add(
        &t->timeline, NZD_EVENT_CHECK, "check", nzd_clock_us() - begin_us, "%s",
        code ? err->message : "applications and registered names are there");
    return code;
}

/* Looked at again behind the hooks: what crashed meanwhile, or because of
 * them, is gone too. */
int nzd_transaction_validate(struct nzd_transaction *t, struct nzd_err *err)
{
    int code = check_alive(t, err);
    if (!code)
        code = nzd_transaction_hooks(t, NZD_HOOK_POST, NULL, err);
    if (!code)
        code = nzd_transaction_interrupted(err);
    if (!code)
        code = check_alive(t, err);
    return code;
}

static int keep(struct nzd_transaction *t, struct nzd_err *err)
{
    int code = nzd_node_act(t->q->node, "keep", err);
    if (!code)
        nzd_timeline_add(&t->timeline, NZD_EVENT_KEEP, "keep", 0,
                         "the agent keeps the new code");
    return code;
}

/* The store is closed and opened again, and what it says is true. */
static int reopen(struct nzd_transaction *t, struct nzd_err *err)
{
    struct nzd_txn found;
    uint64_t id = t->txn.id;
    char *directory = strdup(nzd_journal_directory(t->journal));
    if (!directory)
        return nzd_err_memory(err);
    nzd_journal_close(t->journal);
    t->journal = NULL;
    int code = nzd_journal_open(directory, NZD_JOURNAL_WRITE,
                                &t->journal_options, &t->journal, err);
    free(directory);
    if (!code)
        code = nzd_journal_txn(t->journal, id, &found, err);
    if (code)
        return code;
    t->txn.state = found.state;
    nzd_txn_clear(&found);
    return 0;
}

/* The commit may be on disk or not, and nobody can read which: putting the
 * old code back now could contradict it. The agent keeps the new code until
 * the next nzd that can read the journal tells it. */
static int leave_undecided(struct nzd_transaction *t, struct nzd_err *err)
{
    t->undecided = true;
    nzd_err_untouched(err,
                      "the new code runs%s; whether it is %s stands "
                      "in the journal, which cannot be read now",
                      t->trial_us ? " until its deadline" : "",
                      t->trial_us ? "on trial" : "committed");
    nzd_err_next(err,
                 "mend the journal's disk, then `nzd recover` settles "
                 "transaction %" PRIu64 " as the journal says",
                 t->txn.id);
    return err->code;
}

int nzd_transaction_conclude(struct nzd_transaction *t, enum nzd_state state,
                             struct nzd_err *err)
{
    struct nzd_err again = NZD_ERR_INIT;
    int code = nzd_transaction_move(t, state, 0, err);
    if (code != NZD_EJOURNAL)
        return code;
    if (reopen(t, &again))
        return leave_undecided(t, err);
    if (t->txn.state != state)
        return code;
    nzd_err_clear(err);
    return 0;
}

static int commit(struct nzd_transaction *t, struct nzd_err *err)
{
    nzd_transaction_finish(t, 0);
    nzd_timeline_add(&t->timeline, NZD_EVENT_MOVE, "COMMITTED", 0, "%s", "");
    return nzd_transaction_conclude(t, NZD_STATE_COMMITTED, err);
}

/* What is settled needs no agent that remembers it. */
static void forget(struct nzd_transaction *t)
{
    struct nzd_err ignored = NZD_ERR_INIT;
    if (!nzd_link_is_dead(nzd_node_link(t->q->node)))
        nzd_node_act(t->q->node, "forget", &ignored);
}

static int undo(struct nzd_transaction *t, struct nzd_err *err)
{
    struct nzd_err why = *err;
    nzd_interrupt_clear();
    struct nzd_settle settle = {
        .context = t->context,
        .journal = t->journal,
        .target = &t->q->target,
        .node = t->q->node,
        .txn = &t->txn,
        .timeline = &t->timeline,
        .why = why.message,
    };
    nzd_err_clear(err);
    int code = nzd_settle_txn(&settle, err);
    if (code == NZD_EJOURNAL)
        nzd_err_untouched(err,
                          "the agent puts the old code back by itself when "
                          "this nzd ends; nzd recover then ends transaction "
                          "%" PRIu64,
                          t->txn.id);
    if (code)
        return code;
    t->restarted = settle.restarted;
    struct nzd_err ignored = NZD_ERR_INIT;
    nzd_transaction_hooks(t, NZD_HOOK_OUTCOME, "rolled_back", &ignored);
    forget(t);
    nzd_err_set(err, NZD_EROLLEDBACK, "%s", why.message);
    return NZD_EROLLEDBACK;
}

/* The session goes with the VM. */
static int go_through_restart(struct nzd_transaction *t, struct nzd_err *err)
{
    struct nzd_settle settle = {
        .context = t->context,
        .journal = t->journal,
        .target = &t->q->target,
        .node = t->q->node,
        .txn = &t->txn,
        .timeline = &t->timeline,
    };
    t->txn.trial.us = t->trial_us;
    int code = nzd_settle_move(&settle, NZD_STATE_RESTARTING, err);
    if (code) {
        nzd_err_untouched(err, "nothing was restarted");
        nzd_err_next(err, "nzd recover settles transaction %" PRIu64,
                     t->txn.id);
        return code;
    }
    t->q->node = NULL;
    code = nzd_restarting_settle(&settle, err);
    t->restarted = settle.restarted;
    t->in_place = t->way == NZD_RESTART_IN_PLACE;
    if (code || t->txn.state == NZD_STATE_COMMITTED ||
        t->txn.state == NZD_STATE_TRIAL)
        return code;
    nzd_err_clear(err);
    return nzd_err_set(err, NZD_EROLLEDBACK, "%s",
                       t->txn.why ? t->txn.why : "");
}

static int after_armed(struct nzd_transaction *t, struct nzd_err *err)
{
    if (t->way)
        return go_through_restart(t, err);
    int code = lay_files(t, err);
    if (!code)
        code = switch_code(t, err);
    if (!code)
        code = nzd_transaction_validate(t, err);
    if (!code)
        code = nzd_soak_run(t, err);
    if (!code && t->trial_us)
        code = nzd_trial_begin(t, err);
    else if (!code)
        code = keep(t, err);
    if (!code && !t->trial_us)
        code = commit(t, err);
    if (!code || t->undecided)
        return code;
    return undo(t, err);
}

static void done(struct nzd_transaction *t)
{
    struct nzd_err err = NZD_ERR_INIT;
    /* It is committed: a signal that came until now changes nothing. */
    nzd_interrupt_clear();
    t->in_place = nzd_code_path_put(t->context, t->journal, t->q, &t->txn);
    nzd_interrupt_install();
    nzd_transaction_hooks(t, NZD_HOOK_OUTCOME, "committed", &err);
    nzd_err_clear(&err);
    /* A signal may end the hooks, not the word that the agent waits for. */
    nzd_interrupt_clear();
    if (nzd_settle_done(t->context, t->q->node, &err))
        nzd_output_warn(output_of(t),
                        "the agent was not told that it is done: %s",
                        err.message);
}

/* Whom the operator's word lets end is said before anything is touched. */
/* Between the purge and the load of an undo a closure of the code that comes
 * back is nobody's: a call of it then fails. That is said beforehand. */
static void announce_holders(struct nzd_transaction *t)
{
    for (uint32_t i = 0; i < t->q->occupants.count; i++) {
        const struct nzd_occupant *who = &t->q->occupants.items[i];
        if (who->kind != NZD_OCCUPANT_HOLDER)
            continue;
        nzd_timeline_add(&t->timeline, NZD_EVENT_NOTE, "held", 0,
                         "%" PRIu32 " of %s (%s): calls of it fail for a "
                         "moment in an undo",
                         who->count, who->module, who->function);
        nzd_output_step(output_of(t), "held", 0, NULL,
                        "%" PRIu32 " of %s (%s): calls of it fail for a "
                        "moment in an undo",
                        who->count, who->module, who->function);
    }
}

static void announce_ends(struct nzd_transaction *t)
{
    for (uint32_t i = 0; i < t->q->occupants.count; i++) {
        const struct nzd_occupant *who = &t->q->occupants.items[i];
        const char *held =
            who->kind == NZD_OCCUPANT_LINGERING ? "old code, " : "";
        if (who->kind == NZD_OCCUPANT_HOLDER || !who->pid[0] ||
            !nzd_occupant_may_be_killed(who, &t->context->options))
            continue;
        nzd_timeline_add(&t->timeline, NZD_EVENT_NOTE, "may end", 0,
                         "%s %s%sin %s%s:%s/%" PRIu32, who->pid, who->name,
                         who->name[0] ? " " : "", held, who->module,
                         who->function, who->arity);
        nzd_output_step(output_of(t), "may end", 0, NULL,
                        "%s %s%sin %s%s:%s/%" PRIu32, who->pid, who->name,
                        who->name[0] ? " " : "", held, who->module,
                        who->function, who->arity);
    }
}

int nzd_transaction_run(struct nzd_transaction *t, struct nzd_err *err)
{
    int code = nzd_transaction_check(t, err);
    if (!code)
        code = nzd_transaction_describe(t, err);
    if (code) {
        nzd_err_untouched(err, "nothing was touched");
        return code;
    }
    nzd_timeline_add(&t->timeline, NZD_EVENT_OPEN, "open", 0,
                     "verdict %s, limit %s", nzd_level_name(t->txn.verdict),
                     nzd_level_name(t->txn.max));
    if (!t->way) {
        announce_holders(t);
        announce_ends(t);
    }
    code = nzd_transaction_arm(t, err);
    if (!code)
        code = after_armed(t, err);
    if (!code && t->trial_us && !t->way)
        code = nzd_trial_begun(t, err);
    else if (!code && !t->way) {
        if (t->committed)
            t->committed(t);
        done(t);
    }
    return code;
}
