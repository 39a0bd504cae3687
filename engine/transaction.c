/* SPDX-License-Identifier: Apache-2.0 */
#include "transaction.h"

#include "../journal/attempts.h"
#include "check.h"
#include "code_path.h"
#include "erts_try.h"
#include "extras.h"
#include "hook.h"
#include "interrupt.h"
#include "live_config.h"
#include "migrate.h"
#include "restarting.h"
#include "settle.h"
#include "snapshot.h"
#include "trial.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Room for the commit, an undo and a reboot record: a few records and events
 * of at most some KiB, and one live row for each module row. */
#define RESERVE_BASE    (128u << 10)
#define RESERVE_PER_ROW 512u
#define RESERVE_MOVES   5u /* each writes the record with its hooks */

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

/* --- the record -------------------------------------------------------------
 */

static char *copy(const char *text)
{
    return strdup(text ? text : "");
}

/* Words that recovery needs: how it is restarted, what may be killed. */
static char *option_words(const struct nzd_transaction *t)
{
    const struct nzd_options *options = &t->context->options;
    struct nzd_buf words = {0};
    const char *states = nzd_migrate_word(
        !t->way && nzd_migrate_is_down(&t->q->plan, &t->txn, t->journal));
    nzd_buf_text(&words, nzd_restarting_word(t->way));
    nzd_live_config_put_words(&t->q->plan, &words);
    if (states)
        nzd_buf_printf(&words, "%s%s", words.size ? " " : "", states);
    for (unsigned i = 0; i < options->kill_count; i++)
        nzd_buf_printf(&words, "%skill=%s", words.size ? " " : "",
                       options->kill[i]);
    char *text = copy(nzd_buf_string(&words));
    nzd_buf_clear(&words);
    return text;
}

static char *operator_name(void)
{
    struct nzd_buf text = {0};
    const char *user = getenv("SUDO_USER");
    if (!user)
        user = getenv("USER");
    if (!user)
        user = getenv("LOGNAME");
    nzd_buf_printf(&text, "%s%s", user ? user : "root",
                   getenv("SSH_CONNECTION") ? " from ssh" : "");
    char *name = copy(nzd_buf_string(&text));
    nzd_buf_clear(&text);
    return name;
}

/* What another nzd may have to run: behind a restart, or a trial. */
static int keep_hooks(struct nzd_transaction *t, struct nzd_err *err)
{
    const struct nzd_view hooks = t->q->new.hooks;
    if (!hooks.size || (!t->way && !t->trial_us))
        return 0;
    t->txn.hooks = strndup((const char *)hooks.data, hooks.size);
    return t->txn.hooks ? 0 : nzd_err_memory(err);
}

/* Which process the VM is, where that can be told from here. */
static void describe_vm(struct nzd_transaction *t)
{
    struct nzd_vm *vm = &t->txn.vm;
    const struct nzd_target *target = &t->q->target;
    struct nzd_err ignored = NZD_ERR_INIT;
    if (!target->local || target->pid <= 0 ||
        (uint64_t)target->pid != t->q->hello.os_pid)
        return;
    if (nzd_host_process_start(target->pid, &vm->start_time, &ignored) ||
        nzd_host_boot_id(vm->boot_id, &ignored))
        vm->boot_id[0] = '\0';
    else
        vm->pid = (uint64_t)target->pid;
}

static int describe(struct nzd_transaction *t, struct nzd_err *err)
{
    struct nzd_txn *txn = &t->txn, in_force;
    const struct nzd_question *q = t->q;
    txn->kind = t->kind;
    txn->verdict = q->plan.verdict;
    txn->max = t->context->options.has_max ? t->context->options.max
                                           : t->context->config.max;
    txn->base = q->base.identity;
    txn->bundle = q->bundle;
    txn->bundle_bytes = q->bundle_bytes;
    txn->changed = q->plan.changed;
    txn->added = q->plan.added;
    txn->removed = q->plan.removed;
    txn->opened_us = nzd_wall_us();
    txn->to_generation = t->to_generation;
    txn->release = copy(q->plan.release);
    txn->from_version = copy(q->plan.from_version);
    txn->to_version = copy(q->plan.to_version);
    txn->base_version = copy(q->base.version);
    txn->base_path = copy(q->base.path);
    txn->node = copy(nzd_node_name(q->node));
    txn->source = copy(t->source);
    txn->operator_name = operator_name();
    describe_vm(t);
    if (keep_hooks(t, err))
        return err->code;
    int code = nzd_journal_in_force(t->journal, &txn->base, &in_force, NULL);
    if (code == 0) {
        txn->from_generation =
            nzd_question_runs(q, t->journal, &in_force) ? in_force.id : 0;
        nzd_txn_clear(&in_force);
    }
    if (code && code != NZD_ENOTFOUND)
        return nzd_journal_in_force(t->journal, &txn->base, &in_force, err);
    txn->options = option_words(t);
    /* A word that is cut could name somebody else. */
    if (txn->options && strlen(txn->options) > NZD_RECORD_TEXT_MAX)
        return nzd_err_set(err, NZD_EUSAGE,
                           "all --kill together take more than %d bytes",
                           NZD_RECORD_TEXT_MAX);
    return 0;
}

/* --- before armed
 * -------------------------------------------------------------- */

static int interrupted(struct nzd_err *err)
{
    if (!nzd_interrupt_pending())
        return 0;
    return nzd_err_set(err, NZD_EREFUSED, "interrupted by a signal");
}

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
    nzd_output_step(output_of(t), "prepare", took, NULL,
                    "%" PRIu32 " new, %" PRIu32 " old",
                    plan->changed + plan->added, plan->changed + plan->removed);
    return 0;
}

static int run_hooks(struct nzd_transaction *t, enum nzd_hook_phase phase,
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
    nzd_output_step(output_of(t), "armed", nzd_clock_us() - begin_us,
                    json_pack("{s:I}", "txn", (json_int_t)t->txn.id),
                    "transaction %" PRIu64, t->txn.id);
    return 0;
}

static void finish_record(struct nzd_transaction *t, int outcome)
{
    t->txn.ended_us = nzd_wall_us();
    t->txn.took_us = nzd_clock_us() - t->timeline.opened_us;
    t->txn.outcome = outcome;
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
        finish_record(t, nzd_err_exit(code));
        t->txn.why = copy(err->message);
        nzd_timeline_add(&t->timeline, NZD_EVENT_MOVE, "ABORTED", 0, "%s",
                         err->message);
        nzd_err_clear(&ignored);
        if (nzd_transaction_move(t, NZD_STATE_ABORTED, 0, &ignored))
            nzd_output_warn(output_of(t), "not recorded: %s", ignored.message);
    }
    return code;
}

static int up_to_armed(struct nzd_transaction *t, struct nzd_err *err)
{
    int code = begin(t, err);
    if (!code)
        code = prepare(t, err);
    if (!code)
        code = run_hooks(t, NZD_HOOK_PRE, NULL, err);
    if (code == NZD_EROLLEDBACK)
        err->code = code = NZD_EREFUSED;
    if (!code)
        code = nzd_soak_before(t, err);
    if (!code)
        code = interrupted(err);
    if (!code)
        code = arm(t, err);
    if (code == NZD_ELOST || code == NZD_ETIMEOUT)
        err->code = code = NZD_ENODE;
    return code ? abort_before_armed(t, code, err) : 0;
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
        code = run_hooks(t, NZD_HOOK_POST, NULL, err);
    if (!code)
        code = interrupted(err);
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
    finish_record(t, 0);
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
    run_hooks(t, NZD_HOOK_OUTCOME, "rolled_back", &ignored);
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
    run_hooks(t, NZD_HOOK_OUTCOME, "committed", &err);
    nzd_err_clear(&err);
    /* A signal may end the hooks, not the word that the agent waits for. */
    nzd_interrupt_clear();
    if (nzd_node_act(t->q->node, "done", &err))
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
        code = describe(t, err);
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
    code = up_to_armed(t, err);
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
