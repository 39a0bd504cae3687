/* SPDX-License-Identifier: Apache-2.0 */
#include "restarting_internal.h"

#include "../journal/point.h"
#include "attend.h"
#include "host.h"
#include "interrupt.h"
#include "node_act.h"
#include "trial.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LOOK_US 10000000u /* for a VM that is not proven gone */

/* A move with a text of its own. */
static int move(struct nzd_going *g, enum nzd_state state, const char *label,
                const char *text, struct nzd_err *err)
{
    struct nzd_settle *s = g->s;
    struct nzd_move durable = {.txn = s->txn};
    enum nzd_state before = s->txn->state;
    nzd_timeline_add(s->timeline, NZD_EVENT_MOVE, label, 0, "%s", text);
    durable.events = s->timeline->items;
    durable.event_count = s->timeline->count;
    s->txn->state = state;
    int code = nzd_journal_move(s->journal, &durable, err);
    if (code) {
        s->txn->state = before;
        return code;
    }
    nzd_timeline_written(s->timeline);
    nzd_log_move(s->txn);
    return 0;
}

/* --- beginning ----------------------------------------------------------- */

/* From here on it is the old side's turn, whoever restarts the VM. */
static int put_on_trial(struct nzd_going *g, uint64_t left_us,
                        struct nzd_err *err)
{
    char boot[NZD_OVERLAY_PATH];
    int code = nzd_restarting_way_back(g, boot, err);
    nzd_point("the way back is laid out");
    return code ? code
                : nzd_node_try_boot(g->q.node, left_us, boot,
                                    g->way == NZD_RESTART_IN_PLACE, err);
}

static int move_to_trial(struct nzd_going *g, struct nzd_err *err)
{
    struct nzd_txn *txn = g->s->txn;
    const struct nzd_vm before = txn->vm;
    char lasts[32], text[160];
    nzd_format_duration(lasts, txn->trial.us);
    snprintf(text, sizeof text,
             "for %s, then the generation before boots unless it is confirmed",
             lasts);
    txn->took_us = nzd_clock_us() - g->s->timeline->opened_us;
    nzd_restarting_take_vm(g);
    int code = move(g, NZD_STATE_TRIAL, "TRIAL", text, err);
    if (!code)
        return 0;
    txn->vm = before;
    txn->trial.boot_id[0] = '\0';
    nzd_err_untouched(err, "the new generation runs; whether it is on trial "
                           "stands in the journal");
    nzd_err_next(err, "mend the journal's disk, then `nzd recover` settles it");
    return code;
}

int nzd_restarting_try_out(struct nzd_going *g, struct nzd_err *err)
{
    struct nzd_trial *trial = &g->s->txn->trial;
    char lasts[32];
    uint64_t asked_us = nzd_clock_us();
    int code = put_on_trial(g, trial->us, err);
    if (!code)
        code = nzd_host_boot_id(trial->boot_id, err);
    if (code)
        return code;
    trial->deadline_us = asked_us + trial->us;
    nzd_format_duration(lasts, trial->us);
    nzd_timeline_add(g->s->timeline, NZD_EVENT_KEEP, "keep", 0,
                     "the agent has the deadline, in %s; init:restart/0 boots "
                     "the generation before",
                     lasts);
    code = move_to_trial(g, err);
    /* It is on disk: a signal that came until now changes nothing. */
    if (!code)
        nzd_interrupt_clear();
    return code;
}

/* --- the VM runs it ------------------------------------------------------ */

static int expired(struct nzd_going *g, struct nzd_err *err)
{
    char lasts[32];
    nzd_format_duration(lasts, g->s->txn->trial.us);
    return nzd_err_set(err, NZD_EROLLEDBACK, "it was not confirmed within %s",
                       lasts);
}

static bool is_in(const struct nzd_going *g, const char *phase)
{
    const struct nzd_hello *hello = &g->q.hello;
    return hello->txn == g->s->txn->id && strcmp(hello->phase, phase) == 0;
}

/* By both clocks; an agent that forgot has none. */
static uint64_t left_of(const struct nzd_going *g)
{
    uint64_t left = nzd_trial_left(g->s->txn);
    if (is_in(g, "expired"))
        return 0;
    if (is_in(g, "trial") && g->q.hello.left_us < left)
        return g->q.hello.left_us;
    return left == NZD_TRIAL_UNKNOWN ? 0 : left;
}

/* An agent that was not told that the journal has it, or has forgotten. */
static int tell_begun(struct nzd_going *g, uint64_t left_us,
                      struct nzd_err *err)
{
    bool held = is_in(g, "trial");
    int code = nzd_restarting_speak(g, err);
    if (!code && !held)
        code = put_on_trial(g, left_us, err);
    nzd_point("before the trial has begun");
    if (!code)
        code = nzd_node_act(g->q.node, "begun", err);
    return code;
}

static int leave(struct nzd_going *g, uint64_t left_us, struct nzd_err *err)
{
    struct nzd_settle *s = g->s;
    s->left_us = left_us;
    if (is_in(g, "trial") && g->q.hello.begun)
        return 0;
    int code = tell_begun(g, left_us, err);
    if (code)
        return code;
    nzd_point("before the keeper is left");
    nzd_attend_leave(s->context, s->target, nzd_journal_directory(s->journal));
    nzd_point("after the keeper is left");
    return 0;
}

static int commit(struct nzd_going *g, const char *how, struct nzd_err *err)
{
    struct nzd_txn *txn = g->s->txn;
    txn->ended_us = nzd_wall_us();
    txn->outcome = 0;
    int code = move(g, NZD_STATE_COMMITTED, "COMMITTED", how, err);
    if (!code)
        return 0;
    nzd_err_untouched(err, "the new generation runs and is confirmed: its "
                           "agent waits for the commit");
    nzd_err_next(err, "mend the journal's disk, then `nzd recover` commits it");
    return code;
}

static int confirm(struct nzd_going *g, uint64_t left_us, struct nzd_err *err)
{
    int code = is_in(g, "trial") ? nzd_restarting_speak(g, err)
                                 : tell_begun(g, left_us, err);
    if (!code)
        code = nzd_node_confirm(g->q.node, err);
    if (code == NZD_EROLLEDBACK) {
        nzd_err_clear(err);
        return expired(g, err);
    }
    if (code)
        return code;
    nzd_timeline_add(g->s->timeline, NZD_EVENT_KEEP, "confirm", 0,
                     "the agent keeps the new code");
    return commit(g, "confirmed", err);
}

static int go_on(struct nzd_going *g, struct nzd_err *err)
{
    if (is_in(g, "keeping"))
        return commit(g, "confirmed, and nzd was interrupted", err);
    uint64_t left_us = left_of(g);
    if (!left_us)
        return expired(g, err);
    if (g->s->wish == NZD_TRIAL_END)
        return nzd_err_set(err, NZD_EROLLEDBACK, "ended by nzd rollback");
    if (g->s->wish == NZD_TRIAL_LEAVE)
        return leave(g, left_us, err);
    /* From here on it is done, whatever signal comes. */
    nzd_interrupt_clear();
    return confirm(g, left_us, err);
}

/* --- it does not --------------------------------------------------------- */

/* Another one answers: by what it has booted. */
static int judge(struct nzd_going *g, struct nzd_err *err)
{
    struct nzd_settle *s = g->s;
    int code = nzd_restarting_know_base(g, err);
    if (code)
        return code;
    nzd_timeline_add(s->timeline, NZD_EVENT_RECOVERY, "restarted", 0,
                     "the VM has booted generation %" PRIu64,
                     g->q.hello.nzd_booted);
    if (nzd_restarting_has_booted_it(g) || nzd_restarting_in_its_process(g))
        return nzd_err_set(err, NZD_EROLLEDBACK, NZD_TRIAL_RESTARTED);
    s->why = NZD_TRIAL_RESTARTED;
    return nzd_restarting_proven_back(g, err);
}

/* Of one that is gone nothing is left but the record, and what boots next is
 * the old side. A command needs no answer of the VM that it restarts. */
static int nobody(struct nzd_going *g, const struct nzd_err *why,
                  struct nzd_err *err)
{
    struct nzd_settle *s = g->s;
    if (nzd_settle_is_gone(&s->txn->vm)) {
        s->restarted = true;
        s->why = NZD_TRIAL_RESTARTED;
        nzd_timeline_add(s->timeline, NZD_EVENT_RECOVERY, "restarted", 0,
                         "the VM is gone, and boots the generation before");
        return nzd_restarting_roll_back(g, NULL, err);
    }
    if (g->way == NZD_RESTART_COMMAND && nzd_trial_left(s->txn) == 0)
        return expired(g, err);
    return nzd_restarting_unsettled(g, why, err);
}

static int look_at_it(struct nzd_going *g, struct nzd_err *err)
{
    struct nzd_err why = NZD_ERR_INIT;
    switch (nzd_restarting_find(g, false, LOOK_US, &why)) {
    case NZD_FOUND_SAME:
        return go_on(g, err);
    case NZD_FOUND_OTHER:
        return judge(g, err);
    default:
        return nobody(g, &why, err);
    }
}

int nzd_restarting_on_trial(struct nzd_going *g, struct nzd_err *err)
{
    int code = look_at_it(g, err);
    /* It may have ended just now. */
    if (code == NZD_ELOST) {
        nzd_err_clear(err);
        code = look_at_it(g, err);
    }
    if (!code || code == NZD_EROLLEDBACK || code == NZD_EJOURNAL ||
        code == NZD_EBUSY || code == NZD_EUNSETTLED)
        return code;
    err->code = NZD_EUNSETTLED;
    nzd_err_next(err,
                 "transaction %" PRIu64 " stays on trial; its deadline, or a "
                 "restart, ends it, and the next nzd command goes on",
                 g->s->txn->id);
    return NZD_EUNSETTLED;
}
