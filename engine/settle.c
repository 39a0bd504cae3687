/* SPDX-License-Identifier: Apache-2.0 */
#include "settle.h"

#include "interrupt.h"
#include "migrate.h"
#include "node_act.h"
#include "node_rows.h"
#include "node_switch.h"
#include "restarting.h"
#include "trial.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* How long a lost node is tried again, and a blocked undo, before the
 * transaction is left for the next nzd. */
#define RECONNECT_US 10000000u
#define BLOCKED_US   10000000u

/* The record as it is now, and the events since the last move. */
static int write_down(struct nzd_settle *s, struct nzd_err *err)
{
    struct nzd_move durable = {
        .txn = s->txn,
        .events = s->timeline->items,
        .event_count = s->timeline->count,
    };
    int code = nzd_journal_move(s->journal, &durable, err);
    if (!code)
        nzd_timeline_written(s->timeline);
    return code;
}

static const char *move_label(enum nzd_state state)
{
    switch (state) {
    case NZD_STATE_UNDOING:
        return "UNDOING";
    case NZD_STATE_RESTARTING:
        return "RESTARTING";
    case NZD_STATE_REBOOT_PENDING:
        return "REBOOT PENDING";
    case NZD_STATE_COMMITTED:
        return "COMMITTED";
    default:
        return "ROLLED BACK";
    }
}

static void finish_record(struct nzd_settle *s)
{
    bool committed = s->txn->state == NZD_STATE_COMMITTED;
    s->txn->ended_us = nzd_wall_us();
    s->txn->took_us = nzd_clock_us() - s->timeline->opened_us;
    s->txn->outcome = nzd_err_exit(committed ? 0 : NZD_EROLLEDBACK);
}

int nzd_settle_move(struct nzd_settle *s, enum nzd_state state,
                    struct nzd_err *err)
{
    enum nzd_state before = s->txn->state;
    bool told = s->why && (state == NZD_STATE_UNDOING ||
                           state == NZD_STATE_REBOOT_PENDING);
    nzd_timeline_add(s->timeline, NZD_EVENT_MOVE, move_label(state), 0, "%s",
                     told ? s->why : "");
    s->txn->state = state;
    if (!nzd_state_is_open(state))
        finish_record(s);
    if (s->why && !(s->txn->why && s->txn->why[0])) {
        free(s->txn->why);
        s->txn->why = strdup(s->why);
    }
    int code = write_down(s, err);
    if (code)
        s->txn->state = before;
    else
        nzd_log_move(s->txn);
    return code;
}

/* --- what became of the VM --------------------------------------------------
 */

/* The very process is proven gone: another boot, no such pid, or the pid
 * belongs to a process that started at another time. */
bool nzd_settle_is_gone(const struct nzd_vm *vm)
{
    char boot[40];
    uint64_t start = 0;
    struct nzd_err ignored = NZD_ERR_INIT;
    if (!vm->boot_id[0] || !vm->pid)
        return false;
    if (nzd_host_boot_id(boot, &ignored))
        return false;
    if (strcmp(boot, vm->boot_id) != 0)
        return true;
    int code = nzd_host_process_start((int64_t)vm->pid, &start, &ignored);
    return code == NZD_ENOTFOUND || (code == 0 && start != vm->start_time);
}

static enum nzd_vm_fate fate_of_session(struct nzd_settle *s,
                                        struct nzd_node *node,
                                        struct nzd_err *err)
{
    struct nzd_hello hello;
    if (nzd_node_hello(node, &hello, err))
        return NZD_VM_UNKNOWN;
    s->agent_epoch = hello.epoch;
    if (hello.has_token && !memcmp(hello.token, s->txn->vm.token, 16))
        return NZD_VM_SAME;
    return NZD_VM_RESTARTED;
}

static void pause_briefly(void)
{
    struct timespec time = {.tv_nsec = 200000000};
    nanosleep(&time, NULL); /* a signal may end it early */
}

/* Connects again, for a while; the session is left in *out. */
static enum nzd_vm_fate reconnect(struct nzd_settle *s, struct nzd_node **out,
                                  struct nzd_err *err)
{
    uint64_t deadline = nzd_clock_us() + RECONNECT_US;
    enum nzd_vm_fate fate = NZD_VM_UNKNOWN;
    for (;;) {
        struct nzd_err lost = NZD_ERR_INIT;
        if (nzd_settle_is_gone(&s->txn->vm))
            return NZD_VM_RESTARTED;
        if (!nzd_node_open(s->target, s->context->options.timeout_us, out,
                           &lost)) {
            fate = fate_of_session(s, *out, &lost);
            if (fate != NZD_VM_UNKNOWN)
                return fate;
            nzd_node_close(*out);
            *out = NULL;
        }
        if (nzd_clock_us() >= deadline || nzd_interrupt_pending() ||
            lost.code == NZD_EBUSY) {
            *err = lost;
            return fate;
        }
        pause_briefly();
    }
}

static enum nzd_vm_fate find_fate(struct nzd_settle *s, struct nzd_node **own,
                                  struct nzd_err *err)
{
    if (s->node && !nzd_link_is_dead(nzd_node_link(s->node))) {
        struct nzd_err ignored = NZD_ERR_INIT;
        enum nzd_vm_fate fate = fate_of_session(s, s->node, &ignored);
        if (fate != NZD_VM_UNKNOWN)
            return fate;
    }
    s->node = NULL;
    enum nzd_vm_fate fate = reconnect(s, own, err);
    return fate;
}

/* --- the undo
 * ------------------------------------------------------------------ */

/* The agent knows its own last epoch: one that was killed between the takeover
 * and the move is followed all the same. */
int nzd_settle_take_over(struct nzd_settle *s, struct nzd_node *node,
                         char phase[16], struct nzd_err *err)
{
    struct nzd_fence fence = {.txn = s->txn->id};
    if (s->agent_epoch > s->txn->epoch)
        s->txn->epoch = s->agent_epoch;
    fence.epoch = ++s->txn->epoch;
    memcpy(fence.token, s->txn->vm.token, 16);
    nzd_node_set_fence(node, &fence);
    int code =
        nzd_node_takeover(node, nzd_journal_uuid(s->journal), phase, err);
    if (!code)
        nzd_timeline_add(s->timeline, NZD_EVENT_RECOVERY, "takeover", 0,
                         "epoch %" PRIu64 ", the agent was %s", fence.epoch,
                         phase);
    return code;
}

/* A new session takes over; an agent that forgot is given the old code from
 * the journal. */
static int take_over(struct nzd_settle *s, struct nzd_node *node,
                     struct nzd_err *err)
{
    char phase[16];
    int code = nzd_settle_take_over(s, node, phase, err);
    if (!code)
        code = nzd_node_allow_kill(node, s->txn->options, err);
    if (code)
        return code;
    if (!strcmp(phase, "idle"))
        return nzd_rows_resend(node, s->journal, s->txn->id, err);
    if (!strcmp(phase, "open"))
        return nzd_node_act(node, "forget", err);
    return 0;
}

void nzd_settle_note_ended(struct nzd_context *context, struct nzd_node *node,
                           struct nzd_timeline *timeline)
{
    struct nzd_err ignored = NZD_ERR_INIT;
    struct nzd_arena arena = {0};
    struct nzd_occupant_list ended = {0};
    /* The answer would not be waited for; the undo asks again. */
    if (nzd_interrupt_pending())
        return;
    int code = nzd_node_ended(node, &arena, &ended, &ignored);
    for (uint32_t i = 0; !code && i < ended.count; i++) {
        const struct nzd_occupant *who = &ended.items[i];
        const char *space = who->name[0] ? " " : "";
        nzd_timeline_add(timeline, NZD_EVENT_NOTE, "ended", 0,
                         "%s %s%sin %s:%s/%" PRIu32 ", by --kill", who->pid,
                         who->name, space, who->module, who->function,
                         who->arity);
        nzd_output_step(&context->output, "ended", 0, NULL,
                        "%s %s%sin %s:%s/%" PRIu32 ", by --kill", who->pid,
                        who->name, space, who->module, who->function,
                        who->arity);
    }
    free(ended.items);
    nzd_arena_clear(&arena);
}

static int undo_once(struct nzd_settle *s, struct nzd_node *node,
                     uint64_t *took, uint32_t *left, struct nzd_err *err)
{
    struct nzd_arena arena = {0};
    struct nzd_occupant_list blockers = {0};
    struct nzd_moved_notes notes = {.moved = {0}};
    int code = nzd_node_act(node, "resume_undo", err);
    if (!code)
        code = nzd_node_undo(node, took, left, &arena, &blockers, err);
    if (!code)
        nzd_migrate_begin(&s->context->output, node, s->timeline, true, &notes);
    nzd_migrate_end(&s->context->output, s->timeline, &notes);
    if (!code || code == NZD_EREFUSED)
        nzd_settle_note_ended(s->context, node, s->timeline);
    free(blockers.items);
    nzd_arena_clear(&arena);
    return code;
}

/* Who blocks, and who was ended meanwhile, is kept for whoever goes on. */
static int leave_blocked(struct nzd_settle *s, struct nzd_err *err)
{
    struct nzd_err unwritten = NZD_ERR_INIT;
    nzd_timeline_add(s->timeline, NZD_EVENT_NOTE, "blocked", BLOCKED_US, "%s",
                     err->message);
    if (write_down(s, &unwritten))
        nzd_output_warn(&s->context->output, "not recorded: %s",
                        unwritten.message);
    err->code = NZD_EUNSETTLED;
    nzd_err_prefix(err, "the undo is blocked");
    nzd_err_next(err,
                 "transaction %" PRIu64 " stays undoing; the next nzd command "
                 "tries again",
                 s->txn->id);
    return NZD_EUNSETTLED;
}

/* Who blocks may leave: tried again for a while. */
static int undo(struct nzd_settle *s, struct nzd_node *node,
                struct nzd_err *err)
{
    uint64_t deadline = nzd_clock_us() + BLOCKED_US, took = 0;
    uint32_t left = 0;
    int code;
    for (;;) {
        struct nzd_err one = NZD_ERR_INIT;
        code = undo_once(s, node, &took, &left, &one);
        if (code != NZD_EREFUSED || nzd_clock_us() >= deadline ||
            nzd_interrupt_pending()) {
            if (code)
                *err = one;
            break;
        }
        nzd_link_wait(nzd_node_link(node), -1, 100000, NULL);
    }
    if (code == NZD_EREFUSED)
        code = leave_blocked(s, err);
    if (!code)
        code = nzd_rows_prove_old(node, s->journal, s->txn->id, left, err);
    if (code)
        return code;
    uint32_t back = s->txn->changed;
    const char *many = back == 1 ? "" : "s";
    nzd_timeline_add(s->timeline, NZD_EVENT_UNDO, "undo", took,
                     "%" PRIu32 " module%s back, md5s match", back, many);
    nzd_output_step(&s->context->output, "undo", took, NULL,
                    "%" PRIu32 " module%s back, md5s match", back, many);
    if (left)
        nzd_timeline_add(s->timeline, NZD_EVENT_NOTE, "note", 0,
                         "%" PRIu32 " added module%s when no process is left "
                         "in the undone code",
                         left, left == 1 ? " goes" : "s go");
    return 0;
}

int nzd_settle_undo(struct nzd_settle *s, struct nzd_node *node,
                    bool new_session, struct nzd_err *err)
{
    int code = new_session ? take_over(s, node, err) : 0;
    if (!code)
        code = nzd_settle_move(s, NZD_STATE_UNDOING, err);
    if (!code)
        code = undo(s, node, err);
    if (!code)
        code = nzd_settle_move(s, NZD_STATE_ROLLED_BACK, err);
    if (code && code != NZD_EJOURNAL && code != NZD_EBUSY) {
        err->code = code = NZD_EUNSETTLED;
        nzd_err_next(err,
                     "transaction %" PRIu64 " is not settled; the next "
                     "nzd command goes on",
                     s->txn->id);
    }
    return code;
}

static int unsettled(struct nzd_settle *s, struct nzd_err *err)
{
    char why[NZD_ERR_MESSAGE];
    memcpy(why, err->message, sizeof why);
    nzd_err_clear(err);
    nzd_err_set(err, NZD_EUNSETTLED,
                "transaction %" PRIu64 " is not settled: %s cannot be asked "
                "(%.300s)",
                s->txn->id, s->target->node, why);
    nzd_err_untouched(err, "the journal says %s and was not written",
                      nzd_state_name(s->txn->state));
    nzd_err_next(err, "when the node answers again or is proven gone, the "
                      "next nzd command settles it");
    return NZD_EUNSETTLED;
}

int nzd_settle_txn(struct nzd_settle *s, struct nzd_err *err)
{
    struct nzd_node *own = NULL;
    struct nzd_err lost = NZD_ERR_INIT;
    if (nzd_restarting_is(s->txn))
        return s->target->node[0] ? nzd_restarting_settle(s, err)
                                  : nzd_restarting_gone(s, err);
    enum nzd_vm_fate fate = find_fate(s, &own, &lost);
    struct nzd_node *node = own ? own : s->node;
    int code;
    switch (nzd_state_recovery(s->txn->state, fate)) {
    case NZD_RECOVERY_UNDO:
        code = nzd_settle_undo(s, node, own != NULL, err);
        break;
    case NZD_RECOVERY_LEAVE_TRIAL:
        code = nzd_trial_settle(s, node, own != NULL, err);
        break;
    case NZD_RECOVERY_ROLLED_BACK:
    case NZD_RECOVERY_JUDGE_BOOT:
        s->restarted = true;
        if (s->txn->state == NZD_STATE_TRIAL)
            s->why = NZD_TRIAL_RESTARTED;
        nzd_timeline_add(s->timeline, NZD_EVENT_RECOVERY, "restarted", 0,
                         "the VM is another one: its memory is gone, and "
                         "the new code with it");
        code = nzd_settle_move(s, NZD_STATE_ROLLED_BACK, err);
        break;
    case NZD_RECOVERY_NOTHING:
        code = 0;
        break;
    default:
        *err = lost;
        code = unsettled(s, err);
    }
    if (!code && own && s->wish == NZD_TRIAL_CONFIRM &&
        s->txn->state == NZD_STATE_COMMITTED)
        s->kept = own;
    else
        nzd_node_close(own);
    return code;
}

/* Only the node it was armed in can say what became of it. */
static bool is_elsewhere(const struct nzd_txn *txn,
                         const struct nzd_target *target)
{
    return txn->node && txn->node[0] && strcmp(txn->node, target->node) != 0;
}

static int elsewhere(const struct nzd_txn *txn, const struct nzd_target *target,
                     struct nzd_err *err)
{
    nzd_err_set(err, NZD_EUNSETTLED,
                "transaction %" PRIu64 " is %s on %s, not on %s", txn->id,
                nzd_state_name(txn->state), txn->node, target->node);
    nzd_err_untouched(err, "nothing was touched");
    nzd_err_next(err,
                 "nzd recover --node %s; or give this node a journal of "
                 "its own (--journal DIR)",
                 txn->node);
    return NZD_EUNSETTLED;
}

static int settle_left(struct nzd_context *context, struct nzd_journal *journal,
                       const struct nzd_target *target, struct nzd_txn *txn,
                       struct nzd_trial_word *word, struct nzd_err *err)
{
    struct nzd_timeline timeline;
    nzd_timeline_open(&timeline);
    *word = (struct nzd_trial_word){
        .wish = word->wish, .id = txn->id, .tried = txn->trial.us > 0};
    if (txn->state != NZD_STATE_TRIAL)
        nzd_output_step(&context->output, "recover", 0, NULL,
                        "transaction %" PRIu64 " was left %s", txn->id,
                        nzd_state_name(txn->state));
    struct nzd_settle settle = {
        .context = context,
        .journal = journal,
        .target = target,
        .txn = txn,
        .timeline = &timeline,
        .why = "nzd ended before it was finished",
        .wish = word->wish,
    };
    int code = nzd_settle_txn(&settle, err);
    word->state = txn->state;
    word->left_us = settle.left_us;
    word->restarted = settle.restarted;
    word->node = settle.kept;
    if (!code && txn->state != NZD_STATE_TRIAL)
        nzd_output_step(&context->output, "recover", 0, NULL,
                        "transaction %" PRIu64 " %s", txn->id,
                        nzd_state_name(txn->state));
    nzd_timeline_clear(&timeline);
    return code;
}

int nzd_settle_open(struct nzd_context *context, struct nzd_journal *journal,
                    const struct nzd_target *target,
                    struct nzd_trial_word *word, struct nzd_err *err)
{
    struct nzd_trial_word leave = {.wish = NZD_TRIAL_LEAVE};
    struct nzd_txn txn;
    int code = nzd_journal_open_txn(journal, &txn, NULL);
    if (code == NZD_ENOTFOUND)
        return 0;
    if (code)
        return nzd_journal_open_txn(journal, &txn, err);
    code = is_elsewhere(&txn, target)
               ? elsewhere(&txn, target, err)
               : settle_left(context, journal, target, &txn,
                             word ? word : &leave, err);
    if (!code && !word && txn.state == NZD_STATE_TRIAL)
        code = nzd_trial_refuse(&txn, leave.left_us, err);
    nzd_txn_clear(&txn);
    return code;
}

int nzd_settle_gone(struct nzd_context *context, struct nzd_journal *journal,
                    struct nzd_err *err)
{
    static const struct nzd_target nobody;
    struct nzd_trial_word word = {.wish = NZD_TRIAL_LEAVE};
    struct nzd_txn txn;
    int code = nzd_journal_open_txn(journal, &txn, NULL);
    if (code == NZD_ENOTFOUND)
        return 0;
    if (code)
        return nzd_journal_open_txn(journal, &txn, err);
    if (nzd_settle_is_gone(&txn.vm))
        code = settle_left(context, journal, &nobody, &txn, &word, err);
    else
        code = nzd_err_set(err, NZD_EUNSETTLED,
                           "transaction %" PRIu64 " is %s, and the VM it was "
                           "armed in is not proven gone",
                           txn.id, nzd_state_name(txn.state));
    nzd_txn_clear(&txn);
    return code;
}

int nzd_settle_none_open(struct nzd_journal *journal, struct nzd_err *err)
{
    struct nzd_txn txn;
    struct nzd_err ignored = NZD_ERR_INIT;
    int code =
        journal ? nzd_journal_open_txn(journal, &txn, &ignored) : NZD_ENOTFOUND;
    if (code == NZD_ENOTFOUND)
        return 0;
    if (code) {
        *err = ignored;
        return code;
    }
    if (txn.state == NZD_STATE_TRIAL && nzd_trial_left(&txn)) {
        code = nzd_trial_refuse(&txn, nzd_trial_left(&txn), err);
    } else {
        code =
            nzd_err_set(err, NZD_EBUSY, "transaction %" PRIu64 " is %s on %s",
                        txn.id, nzd_state_name(txn.state), txn.node);
        nzd_err_next(err, "wait for the nzd that is at work, or, where it was "
                          "interrupted, nzd recover");
    }
    nzd_txn_clear(&txn);
    return code;
}
