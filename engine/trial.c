/* SPDX-License-Identifier: Apache-2.0 */
#include "trial.h"

#include "../journal/point.h"
#include "attend.h"
#include "hook.h"
#include "interrupt.h"
#include "node_act.h"
#include "node_rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t nzd_trial_wanted(const struct nzd_context *context,
                          enum nzd_txn_kind kind)
{
    if (context->options.has_confirm)
        return context->options.confirm_us;
    /* Whoever rolls back by hand means it. */
    return kind == NZD_TXN_APPLY ? context->config.trial_confirm_us : 0;
}

/* --- time ---------------------------------------------------------------- */

static bool is_of_this_boot(const char *boot_id)
{
    char ours[NZD_BOOT_ID];
    struct nzd_err ignored = NZD_ERR_INIT;
    return boot_id[0] && !nzd_host_boot_id(ours, &ignored) &&
           strcmp(ours, boot_id) == 0;
}

static uint64_t between(uint64_t now, uint64_t deadline)
{
    return deadline > now ? deadline - now : 0;
}

uint64_t nzd_trial_left(const struct nzd_txn *txn)
{
    return is_of_this_boot(txn->trial.boot_id)
               ? between(nzd_clock_us(), txn->trial.deadline_us)
               : NZD_TRIAL_UNKNOWN;
}

/* The deadline on the clock of the node's host. It is never later than the
 * agent's own where that host is ours. */
static int fix_deadline(struct nzd_transaction *t, uint64_t asked_us,
                        struct nzd_err *err)
{
    struct nzd_trial *trial = &t->txn.trial;
    struct nzd_node_clock clock;
    int code = nzd_node_clock(t->q->node, &clock, err);
    if (code)
        return code;
    trial->us = t->trial_us;
    trial->deadline_us = clock.now_us ? clock.now_us + clock.left_us : 0;
    memcpy(trial->boot_id, clock.boot_id, sizeof trial->boot_id);
    if (is_of_this_boot(trial->boot_id))
        trial->deadline_us = asked_us + t->trial_us;
    return 0;
}

/* What both clocks leave, of an agent in this phase. */
static int ask_left(const struct nzd_txn *txn, struct nzd_node *node,
                    const char *phase, uint64_t *left, struct nzd_err *err)
{
    struct nzd_node_clock clock;
    uint64_t by_journal = nzd_trial_left(txn);
    int code = nzd_node_clock(node, &clock, err);
    if (code)
        return code;
    if (by_journal == NZD_TRIAL_UNKNOWN && clock.boot_id[0] &&
        strcmp(clock.boot_id, txn->trial.boot_id) == 0)
        by_journal = between(clock.now_us, txn->trial.deadline_us);
    if (!strcmp(phase, "trial"))
        *left = clock.left_us < by_journal ? clock.left_us : by_journal;
    else if (!strcmp(phase, "idle") && by_journal != NZD_TRIAL_UNKNOWN)
        *left = by_journal; /* it forgot */
    else
        *left = 0;
    return 0;
}

/* --- beginning ----------------------------------------------------------- */

int nzd_trial_begin(struct nzd_transaction *t, struct nzd_err *err)
{
    char lasts[32];
    uint64_t asked_us = nzd_clock_us();
    int code = nzd_node_try_out(t->q->node, t->trial_us, err);
    if (!code)
        code = fix_deadline(t, asked_us, err);
    if (code)
        return code;
    nzd_format_duration(lasts, t->trial_us);
    nzd_timeline_add(&t->timeline, NZD_EVENT_KEEP, "keep", 0,
                     "the agent undoes it by itself in %s", lasts);
    nzd_timeline_add(&t->timeline, NZD_EVENT_MOVE, "TRIAL", 0,
                     "for %s, then undone unless it is confirmed", lasts);
    t->txn.took_us = nzd_clock_us() - t->timeline.opened_us;
    return nzd_transaction_conclude(t, NZD_STATE_TRIAL, err);
}

/* The word could not be given: what became of it is found out as after any
 * other interruption. */
static int find_out(struct nzd_transaction *t, struct nzd_err *err)
{
    char why[NZD_ERR_MESSAGE];
    struct nzd_settle settle = {
        .context = t->context,
        .journal = t->journal,
        .target = &t->q->target,
        .node = t->q->node,
        .txn = &t->txn,
        .timeline = &t->timeline,
        .wish = NZD_TRIAL_LEAVE,
    };
    nzd_err_clear(err);
    int code = nzd_settle_txn(&settle, err);
    if (code || t->txn.state == NZD_STATE_TRIAL)
        return code;
    t->restarted = settle.restarted;
    snprintf(why, sizeof why, "%s", t->txn.why ? t->txn.why : "");
    nzd_err_set(err, NZD_EROLLEDBACK, "%s", why);
    return NZD_EROLLEDBACK;
}

int nzd_trial_begun(struct nzd_transaction *t, struct nzd_err *err)
{
    /* It is on disk: a signal that came until now changes nothing. */
    nzd_interrupt_clear();
    int code = nzd_node_act(t->q->node, "begun", err);
    if (code)
        return find_out(t, err);
    nzd_point("before the keeper is left");
    nzd_attend_leave(t->context, &t->q->target,
                     nzd_journal_directory(t->journal));
    nzd_point("after the keeper is left");
    return 0;
}

/* --- settling ------------------------------------------------------------ */

static int commit(struct nzd_settle *s, const char *how, struct nzd_err *err)
{
    struct nzd_move move = {.txn = s->txn};
    enum nzd_state before = s->txn->state;
    nzd_timeline_add(s->timeline, NZD_EVENT_MOVE, "COMMITTED", 0, "%s", how);
    move.events = s->timeline->items;
    move.event_count = s->timeline->count;
    s->txn->state = NZD_STATE_COMMITTED;
    s->txn->ended_us = nzd_wall_us();
    s->txn->outcome = 0;
    int code = nzd_journal_move(s->journal, &move, err);
    if (code) {
        s->txn->state = before;
        nzd_err_untouched(err, "the new code runs and is confirmed: its agent "
                               "waits for the commit");
        nzd_err_next(err, "mend the journal's disk, then `nzd recover` "
                          "commits it");
        return code;
    }
    nzd_timeline_written(s->timeline);
    nzd_log_move(s->txn);
    return 0;
}

/* The old code from the journal, and what may be ended for it. */
static int remind(struct nzd_settle *s, struct nzd_node *node,
                  struct nzd_err *err)
{
    int code = nzd_node_allow_kill(node, s->txn->options, err);
    return code ? code : nzd_rows_resend(node, s->journal, s->txn->id, err);
}

static int confirm(struct nzd_settle *s, struct nzd_node *node,
                   bool new_session, struct nzd_err *err)
{
    char phase[16] = "trial";
    int code = new_session ? nzd_settle_take_over(s, node, phase, err) : 0;
    if (!code && !strcmp(phase, "idle")) {
        code = remind(s, node, err);
        if (!code)
            code = nzd_node_act(node, "resume_keep", err);
    } else if (!code) {
        code = nzd_node_confirm(node, err);
    }
    if (!code)
        nzd_timeline_add(s->timeline, NZD_EVENT_KEEP, "confirm", 0,
                         "the agent keeps the new code");
    return code ? code : commit(s, "confirmed", err);
}

/* An agent that was not told that the journal has it, or has forgotten. */
static int tell_begun(struct nzd_settle *s, struct nzd_node *node,
                      bool new_session, uint64_t left, struct nzd_err *err)
{
    char phase[16] = "trial";
    int code = new_session ? nzd_settle_take_over(s, node, phase, err) : 0;
    if (!code && !strcmp(phase, "idle")) {
        code = remind(s, node, err);
        if (!code)
            code = nzd_node_try_out(node, left, err);
    }
    if (!code)
        code = nzd_node_act(node, "begun", err);
    if (!code)
        nzd_attend_leave(s->context, s->target,
                         nzd_journal_directory(s->journal));
    return code;
}

/* What is told behind the last move is not waited for by the journal. */
static void tell_undone(struct nzd_settle *s, struct nzd_node *node)
{
    struct nzd_err ignored = NZD_ERR_INIT;
    unsigned hooks = s->context->config.hook_count;
    const struct nzd_hook_run run = {
        .config = &s->context->config,
        .output = &s->context->output,
        .timeline = s->timeline,
        .node = node,
        .bundle = s->txn->source,
        .txn = s->txn->id,
        .outcome = "rolled_back",
    };
    nzd_hooks_recall(&s->context->config, s->txn, &ignored);
    nzd_err_clear(&ignored);
    nzd_hooks_run(&run, NZD_HOOK_OUTCOME, &ignored);
    s->context->config.hook_count = hooks; /* a later bundle may bring others */
    nzd_interrupt_clear();
    nzd_err_clear(&ignored);
    nzd_node_act(node, "forget", &ignored);
}

static int undo(struct nzd_settle *s, struct nzd_node *node, bool new_session,
                const char *why, struct nzd_err *err)
{
    s->why = why;
    int code = nzd_settle_undo(s, node, new_session, err);
    if (!code)
        tell_undone(s, node);
    return code;
}

static int expired(struct nzd_settle *s, struct nzd_node *node,
                   bool new_session, const char *phase, struct nzd_err *err)
{
    char lasts[32], why[64];
    nzd_format_duration(lasts, s->txn->trial.us);
    if (!strcmp(phase, "idle") && nzd_trial_left(s->txn))
        snprintf(why, sizeof why,
                 "its agent was lost, and with it the deadline");
    else
        snprintf(why, sizeof why, "it was not confirmed within %s", lasts);
    return undo(s, node, new_session, why, err);
}

/* As with any lost node: it is not known what it made of what was asked. */
static int unsettled(struct nzd_settle *s, int code, struct nzd_err *err)
{
    if (!code || code == NZD_EJOURNAL || code == NZD_EBUSY)
        return code;
    err->code = NZD_EUNSETTLED;
    nzd_err_next(err,
                 "transaction %" PRIu64 " stays on trial, and is undone at "
                 "its deadline; the next nzd command goes on",
                 s->txn->id);
    return NZD_EUNSETTLED;
}

/* It runs, and the deadline has not passed. */
static int settle_running(struct nzd_settle *s, struct nzd_node *node,
                          bool new_session, const struct nzd_hello *hello,
                          uint64_t left, struct nzd_err *err)
{
    int code = 0;
    if (s->wish == NZD_TRIAL_END)
        return undo(s, node, new_session, "ended by nzd rollback", err);
    if (s->wish == NZD_TRIAL_CONFIRM) {
        /* From here on it is done, whatever signal comes. */
        nzd_interrupt_clear();
        code = confirm(s, node, new_session, err);
        if (code != NZD_EROLLEDBACK)
            return unsettled(s, code, err);
        nzd_err_clear(err);
        return expired(s, node, new_session, hello->phase, err);
    }
    if (!hello->begun || strcmp(hello->phase, "trial") != 0)
        code = tell_begun(s, node, new_session, left, err);
    s->left_us = left;
    return unsettled(s, code, err);
}

int nzd_trial_settle(struct nzd_settle *s, struct nzd_node *node,
                     bool new_session, struct nzd_err *err)
{
    struct nzd_hello hello;
    uint64_t left = 0;
    int code = nzd_node_hello(node, &hello, err);
    if (!code && hello.txn == s->txn->id && !strcmp(hello.phase, "keeping"))
        return commit(s, "confirmed, and nzd was interrupted", err);
    if (!code)
        code = ask_left(s->txn, node, hello.phase, &left, err);
    if (code)
        return unsettled(s, code, err);
    return left ? settle_running(s, node, new_session, &hello, left, err)
                : expired(s, node, new_session, hello.phase, err);
}

/* --- what is told of it -------------------------------------------------- */

void nzd_trial_until(uint64_t left_us, char out[96])
{
    char at[40], left[32];
    if (left_us == NZD_TRIAL_UNKNOWN) {
        snprintf(out, 96, "until its deadline");
        return;
    }
    nzd_format_time(at, nzd_wall_us() + left_us);
    nzd_format_duration(left, left_us);
    snprintf(out, 96, "until %s UTC (%s left)", at, left);
}

json_t *nzd_trial_json(uint64_t id, uint64_t left_us)
{
    if (left_us == NZD_TRIAL_UNKNOWN)
        return json_pack("{s:I, s:n, s:n}", "txn", (json_int_t)id, "left_us",
                         "deadline");
    return json_pack("{s:I, s:I, s:o}", "txn", (json_int_t)id, "left_us",
                     (json_int_t)left_us, "deadline",
                     nzd_json_time(nzd_wall_us() + left_us));
}

int nzd_trial_refuse(const struct nzd_txn *txn, uint64_t left_us,
                     struct nzd_err *err)
{
    char until[96];
    nzd_trial_until(left_us, until);
    nzd_err_set(err, NZD_EREFUSED,
                "transaction %" PRIu64 " is on trial on %s %s", txn->id,
                txn->node ? txn->node : "the node", until);
    nzd_err_untouched(err, "nothing was touched");
    nzd_err_next(err, "nzd confirm keeps it, nzd rollback ends it");
    return NZD_EREFUSED;
}
