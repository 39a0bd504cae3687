/* SPDX-License-Identifier: Apache-2.0 */
#include "restarting.h"

#include "../journal/point.h"
#include "hook.h"
#include "interrupt.h"
#include "node_act.h"
#include "node_rows.h"
#include "overlay.h"
#include "restart.h"
#include "restarting_internal.h"
#include "trial.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* How long somebody who did not ask for the restart looks for a VM that is
 * not proven gone. */
#define LOOK_US   10000000u
#define BACK_MOST 2u /* restarts back that one nzd asks for */

/* --- ways ---------------------------------------------------------------- */

#define WORD_IN_PLACE "restart=in-place"
#define WORD_COMMAND  "restart=command"

const char *nzd_restarting_word(enum nzd_restart_way way)
{
    return way == NZD_RESTART_IN_PLACE  ? WORD_IN_PLACE
           : way == NZD_RESTART_COMMAND ? WORD_COMMAND
                                        : "";
}

static enum nzd_restart_way way_of(const struct nzd_txn *txn)
{
    const char *words = txn->options ? txn->options : "";
    if (strstr(words, WORD_COMMAND))
        return NZD_RESTART_COMMAND;
    return strstr(words, WORD_IN_PLACE) ? NZD_RESTART_IN_PLACE
                                        : NZD_RESTART_NONE;
}

bool nzd_restarting_is(const struct nzd_txn *txn)
{
    return way_of(txn) != NZD_RESTART_NONE;
}

/* --- moves --------------------------------------------------------------- */

/* Nothing was restarted, or what was before has booted again. */
int nzd_restarting_roll_back(struct nzd_going *g, const char *why,
                             struct nzd_err *err)
{
    if (why && !g->s->why)
        g->s->why = why;
    return nzd_settle_move(g->s, NZD_STATE_ROLLED_BACK, err);
}

static int runs_hooks(struct nzd_going *g, enum nzd_hook_phase phase,
                      const char *outcome, struct nzd_err *err)
{
    const struct nzd_hook_run run = {
        .config = &g->s->context->config,
        .output = &g->s->context->output,
        .timeline = g->s->timeline,
        .node = g->q.node,
        .bundle = g->s->txn->source,
        .txn = g->s->txn->id,
        .outcome = outcome,
    };
    return nzd_hooks_run(&run, phase, err);
}

/* What is told behind the last move is not waited for. */
static void tell_outcome(struct nzd_going *g)
{
    struct nzd_err ignored = NZD_ERR_INIT;
    bool committed = g->s->txn->state == NZD_STATE_COMMITTED;
    nzd_interrupt_clear();
    runs_hooks(g, NZD_HOOK_OUTCOME, committed ? "committed" : "rolled_back",
               &ignored);
    if (g->q.node && nzd_node_fence(g->q.node)->epoch)
        nzd_node_act(g->q.node, "forget", &ignored);
}

/* --- forward ------------------------------------------------------------- */

/* The very VM that was found still answers, and has not started again. */
static int check_alive(struct nzd_going *g, struct nzd_err *err)
{
    struct nzd_hello now;
    int code = nzd_node_hello(g->q.node, &now, err);
    if (code)
        return code;
    if (now.starting || !now.has_token ||
        memcmp(now.token, g->q.hello.token, 16) != 0)
        return nzd_err_set(err, NZD_EROLLEDBACK, "the VM started once more");
    return 0;
}

static int validate(struct nzd_going *g, struct nzd_err *err)
{
    /* What is not validated by all of them does not stay. */
    if (g->unheard.code)
        return nzd_err_set(err, NZD_EROLLEDBACK,
                           "the hooks of its bundle cannot be run: %.300s",
                           g->unheard.message);
    int code = nzd_restarting_speak(g, err);
    if (!code)
        code = nzd_rows_prove_new(g->q.node, g->s->journal, g->s->txn->id, err);
    if (!code)
        nzd_timeline_add(g->s->timeline, NZD_EVENT_CHECK, "check", 0,
                         "generation %" PRIu64 " booted, md5s match",
                         g->s->txn->id);
    if (!code)
        code = runs_hooks(g, NZD_HOOK_POST, NULL, err);
    if (!code && nzd_interrupt_pending() == SIGINT)
        code = nzd_err_set(err, NZD_EROLLEDBACK, "interrupted by a signal");
    return code ? code : check_alive(g, err);
}

static int commit(struct nzd_going *g, struct nzd_err *err)
{
    struct nzd_txn *txn = g->s->txn;
    struct nzd_vm before = txn->vm;
    nzd_restarting_take_vm(g);
    int code = nzd_settle_move(g->s, NZD_STATE_COMMITTED, err);
    if (!code)
        return 0;
    txn->vm = before;
    nzd_err_untouched(err, "the new generation runs; whether it is committed "
                           "stands in the journal");
    nzd_err_next(err, "mend the journal's disk, then `nzd recover` settles it");
    return code;
}

/* What goes back to the base boots no overlay. */
bool nzd_restarting_has_booted_it(const struct nzd_going *g)
{
    const struct nzd_txn *txn = g->s->txn;
    uint64_t expected = txn->new_set.count ? txn->id : 0;
    return g->q.hello.nzd_booted == expected &&
           nzd_digest_equal(&g->q.base.identity, &g->s->txn->base);
}

/* Another VM than the one of the record is up. */
static int judge(struct nzd_going *g, struct nzd_err *err)
{
    struct nzd_settle *s = g->s;
    int code = nzd_restarting_know_base(g, err);
    if (code)
        return code;
    s->restarted = true;
    if (g->down_us)
        s->txn->pause_us = nzd_clock_us() - g->down_us;
    nzd_timeline_add(s->timeline, NZD_EVENT_SWITCH, "booted", s->txn->pause_us,
                     "generation %" PRIu64, g->q.hello.nzd_booted);
    nzd_output_step(&s->context->output, "booted", s->txn->pause_us, NULL,
                    "generation %" PRIu64, g->q.hello.nzd_booted);
    if (!nzd_restarting_has_booted_it(g))
        return nzd_restarting_roll_back(
            g, "the VM booted the generation before", err);
    code = validate(g, err);
    if (code)
        return code;
    return s->txn->trial.us ? nzd_restarting_try_out(g, err) : commit(g, err);
}

static bool waits_for_nobody(const struct nzd_going *g)
{
    return !g->down_us && !nzd_settle_is_gone(&g->s->txn->vm);
}

int nzd_restarting_unsettled(struct nzd_going *g, const struct nzd_err *why,
                             struct nzd_err *err)
{
    const struct nzd_txn *txn = g->s->txn;
    nzd_err_set(err, NZD_EUNSETTLED,
                "transaction %" PRIu64 " is not settled: %s cannot be asked "
                "(%.300s)",
                txn->id, g->s->target->node, why->message);
    nzd_err_untouched(err, "the journal says %s and was not written",
                      nzd_state_name(txn->state));
    nzd_err_next(err, "when the node answers again or is proven gone, the "
                      "next nzd command settles it");
    return NZD_EUNSETTLED;
}

static int pending(const struct nzd_going *g, const char *what,
                   struct nzd_err *err)
{
    const struct nzd_txn *txn = g->s->txn;
    bool forward = txn->state == NZD_STATE_RESTARTING;
    nzd_err_clear(err);
    nzd_err_set(err, NZD_EPENDING, "transaction %" PRIu64 " is %s: %s", txn->id,
                nzd_state_name(txn->state), what);
    nzd_err_next(err,
                 "the next start of the VM boots the %s generation; "
                 "then `nzd recover` settles it",
                 forward ? "new" : "old");
    return NZD_EPENDING;
}

/* The act was not done: the VM runs what it ran. */
static int back_out(struct nzd_going *g, struct nzd_err *err)
{
    struct nzd_err unwritten = NZD_ERR_INIT;
    char why[NZD_ERR_MESSAGE];
    memcpy(why, err->message, sizeof why);
    int code = nzd_restarting_roll_back(g, why, &unwritten);
    g->s->why = NULL;
    if (!code)
        return 0;
    *err = unwritten;
    return code;
}

/* What failed to restart the VM may have ended it all the same, and nzd boot
 * started the new generation: only a VM that runs on was not restarted. `err`
 * has the failure then. */
static enum nzd_found restart(struct nzd_going *g, uint64_t limit,
                              struct nzd_err *why, struct nzd_err *err)
{
    bool failed = nzd_restarting_act(g, true, err) != 0;
    enum nzd_found found = nzd_restarting_find(g, !failed, limit, why);
    if (failed && found != NZD_FOUND_SAME)
        nzd_timeline_add(g->s->timeline, NZD_EVENT_NOTE, "restart", 0,
                         "%s, but the VM has ended", err->message);
    return found;
}

/* 0: settled. Else the new generation is not to stay, or nobody can say. */
static int forward(struct nzd_going *g, struct nzd_err *err)
{
    struct nzd_settle *s = g->s;
    struct nzd_err why = NZD_ERR_INIT;
    uint64_t limit = s->context->config.restart_timeout_us;
    enum nzd_found found = nzd_restarting_find(
        g, false, waits_for_nobody(g) && limit > LOOK_US ? LOOK_US : limit,
        &why);
    if (found == NZD_FOUND_SAME)
        found = restart(g, limit, &why, err);
    if (found == NZD_FOUND_SAME && err->code)
        return back_out(g, err);
    nzd_err_clear(err);
    if (found == NZD_FOUND_OTHER)
        return judge(g, err);
    if (found == NZD_FOUND_SIGNAL && nzd_interrupt_pending() != SIGINT)
        return pending(g, "a signal ended nzd while it waited", err);
    if (found == NZD_FOUND_NONE && waits_for_nobody(g))
        return nzd_restarting_unsettled(g, &why, err);
    return nzd_err_set(err, NZD_EROLLEDBACK, "%s",
                       found == NZD_FOUND_SIGNAL ? "interrupted by a signal"
                                                 : why.message);
}

/* --- back ---------------------------------------------------------------- */

/* Whatever boots from now on is the old generation. */
static int turn_back(struct nzd_going *g, struct nzd_err *err)
{
    nzd_interrupt_clear();
    if (g->q.node && !nzd_link_is_dead(nzd_node_link(g->q.node)))
        nzd_restarting_take_vm(g);
    return nzd_settle_move(g->s, NZD_STATE_REBOOT_PENDING, err);
}

int nzd_restarting_proven_back(struct nzd_going *g, struct nzd_err *err)
{
    struct nzd_err why = NZD_ERR_INIT;
    struct nzd_settle *s = g->s;
    s->restarted = true;
    if (nzd_rows_prove_old(g->q.node, s->journal, s->txn->id, 0, &why))
        nzd_timeline_add(s->timeline, NZD_EVENT_NOTE, "note", 0,
                         "the VM has booted another generation, but %s",
                         why.message);
    else
        nzd_timeline_add(s->timeline, NZD_EVENT_CHECK, "check", 0,
                         "generation %" PRIu64 " booted, md5s match",
                         g->q.hello.nzd_booted);
    return nzd_restarting_roll_back(g, NULL, err);
}

static int back(struct nzd_going *g, struct nzd_err *err)
{
    uint64_t limit = g->s->context->config.restart_timeout_us;
    for (unsigned asked = 0;; asked++) {
        struct nzd_err why = NZD_ERR_INIT, away = NZD_ERR_INIT;
        bool look = asked == 0 && limit > LOOK_US;
        enum nzd_found found =
            nzd_restarting_find(g, asked > 0, look ? LOOK_US : limit, &away);
        int code = found == NZD_FOUND_NONE || found == NZD_FOUND_SIGNAL
                       ? NZD_ENODE
                       : nzd_restarting_know_base(g, &away);
        if (!code && !nzd_restarting_has_booted_it(g) &&
            !nzd_restarting_in_its_process(g))
            return nzd_restarting_proven_back(g, err);
        if (asked == BACK_MOST || found == NZD_FOUND_SIGNAL)
            return pending(g, away.code ? away.message : "it runs on", err);
        if (nzd_restarting_act(g, false, &why))
            return pending(g, why.message, err);
    }
}

/* --- both ---------------------------------------------------------------- */

static bool is_on_its_way_back(enum nzd_state state)
{
    return state == NZD_STATE_REBOOT_PENDING || state == NZD_STATE_UNDOING;
}

static int go(struct nzd_going *g, struct nzd_err *err)
{
    struct nzd_settle *s = g->s;
    char why[NZD_ERR_MESSAGE];
    int code = 0;
    if (s->txn->state == NZD_STATE_RESTARTING)
        code = forward(g, err);
    if (!code && s->txn->state == NZD_STATE_TRIAL)
        code = nzd_restarting_on_trial(g, err);
    if (!code && !is_on_its_way_back(s->txn->state))
        return 0;
    if (code && (code == NZD_EPENDING || code == NZD_EUNSETTLED ||
                 code == NZD_EJOURNAL || code == NZD_EBUSY))
        return code;
    if (code || s->txn->state == NZD_STATE_UNDOING) {
        memcpy(why, err->message, sizeof why);
        nzd_err_clear(err);
        s->why = why[0] ? why : NULL;
        code = turn_back(g, err);
    }
    if (!code)
        code = back(g, err);
    s->why = NULL;
    return code;
}

/* Of a confirmation the rest is said by who asked for it. */
static void keep_session(struct nzd_going *g)
{
    struct nzd_settle *s = g->s;
    if (s->wish != NZD_TRIAL_CONFIRM || s->txn->state != NZD_STATE_COMMITTED)
        return;
    s->kept = g->q.node;
    g->q.node = NULL;
}

int nzd_restarting_settle(struct nzd_settle *s, struct nzd_err *err)
{
    struct nzd_going g = {.s = s, .way = way_of(s->txn)};
    if (s->txn->state == NZD_STATE_ARMED)
        return nzd_restarting_roll_back(&g, "nzd ended before the restart",
                                        err);
    g.q.target = *s->target;
    g.q.node = s->node;
    s->node = NULL;
    bool tried = s->txn->state == NZD_STATE_TRIAL;
    unsigned hooks = s->context->config.hook_count;
    nzd_hooks_recall(&s->context->config, s->txn, &g.unheard);
    int code = go(&g, err);
    bool committed = s->txn->state == NZD_STATE_COMMITTED;
    if (!code && s->txn->state != NZD_STATE_TRIAL && !(tried && committed))
        tell_outcome(&g);
    /* A later bundle may bring others. */
    s->context->config.hook_count = hooks;
    keep_session(&g);
    nzd_question_clear(&g.q);
    return code;
}

int nzd_restarting_gone(struct nzd_settle *s, struct nzd_err *err)
{
    struct nzd_going g = {.s = s};
    s->restarted = true;
    if (s->txn->state == NZD_STATE_TRIAL)
        s->why = NZD_TRIAL_RESTARTED;
    return nzd_restarting_roll_back(&g, NULL, err);
}
