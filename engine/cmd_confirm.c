/* SPDX-License-Identifier: Apache-2.0 */
#include "hook.h"
#include "run.h"
#include "settle.h"
#include "settle_agent.h"
#include "trial.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The keeper, or the agent's own nzd, may be at the journal for a moment. */
#define LOCK_WAIT_US 10000000u

struct confirming {
    struct nzd_context *context;
    struct nzd_question q;
    struct nzd_journal *journal;
    struct nzd_trial_word word;
    struct nzd_txn txn; /* it, as it is in the end */
};

/* --- nothing is on trial ------------------------------------------------- */

static int take_newest(void *context, const struct nzd_txn *txn)
{
    struct nzd_txn *newest = context;
    newest->id = txn->id;
    newest->state = txn->state;
    newest->trial = txn->trial;
    newest->why = txn->why ? strdup(txn->why) : NULL;
    return 1;
}

static int none_open(struct nzd_journal *journal, struct nzd_err *err)
{
    struct nzd_txn newest = {.id = 0};
    int code = nzd_journal_each_txn(journal, take_newest, &newest, err);
    if (code < 0)
        return code;
    if (newest.trial.us && newest.state == NZD_STATE_COMMITTED)
        nzd_err_set(err, NZD_EREFUSED,
                    "no trial is open: transaction %" PRIu64 " is confirmed "
                    "already",
                    newest.id);
    else if (newest.trial.us && newest.state == NZD_STATE_ROLLED_BACK)
        nzd_err_set(err, NZD_EREFUSED,
                    "no trial is open: transaction %" PRIu64 " was rolled "
                    "back, %s",
                    newest.id, newest.why ? newest.why : "");
    else
        nzd_err_set(err, NZD_EREFUSED, "no trial is open");
    nzd_err_untouched(err, "nothing was touched");
    nzd_txn_clear(&newest);
    return NZD_EREFUSED;
}

/* --- confirming ---------------------------------------------------------- */

static int open_journal(struct confirming *c, enum nzd_journal_mode mode,
                        struct nzd_err *err)
{
    struct nzd_context *context = c->context;
    struct nzd_journal_options options;
    int code = nzd_question_target(context, &c->q.target, err);
    if (code)
        return code;
    if (!context->options.wait_us)
        context->options.wait_us = LOCK_WAIT_US;
    code = nzd_run_open_journal(context, &c->q.target, mode, &options,
                                &c->journal, err);
    if (code != NZD_ENOTFOUND)
        return code;
    nzd_err_clear(err);
    nzd_err_set(err, NZD_EREFUSED, "no trial is open: there is no journal");
    nzd_err_untouched(err, "nothing was touched");
    return NZD_EREFUSED;
}

/* Too late, or its VM is gone; or it was left by an nzd before its trial. */
static int not_confirmed(struct confirming *c, struct nzd_err *err)
{
    if (c->word.tried)
        return nzd_err_set(err, NZD_EROLLEDBACK, "%s",
                           c->txn.why ? c->txn.why : "");
    nzd_err_set(err, NZD_EREFUSED,
                "no trial is open: transaction %" PRIu64 " was left open, and "
                "is %s now",
                c->txn.id, nzd_state_name(c->txn.state));
    return NZD_EREFUSED;
}

/* The session that has confirmed it, or a new one. */
static int connect_node(struct confirming *c, struct nzd_err *err)
{
    if (!c->word.node)
        return nzd_question_connect(c->context, &c->q, err);
    c->q.node = c->word.node;
    c->word.node = NULL;
    return nzd_node_hello(c->q.node, &c->q.hello, err);
}

/* The rest of a commit: the code path, and the word that it is done. What
 * cannot be said now the next nzd says. */
static void tell_node(struct confirming *c)
{
    struct nzd_output *output = &c->context->output;
    struct nzd_err err = NZD_ERR_INIT;
    struct nzd_timeline timeline;
    if (connect_node(c, &err) ||
        nzd_settle_agent(c->context, c->journal, &c->q, &err))
        nzd_output_warn(output, "the agent was not told that it is done: %s",
                        err.message);
    const struct nzd_hook_run run = {
        .config = &c->context->config,
        .output = output,
        .timeline = &timeline,
        .node = err.code ? NULL : c->q.node,
        .bundle = c->txn.source,
        .txn = c->txn.id,
        .outcome = nzd_state_name(c->txn.state),
    };
    nzd_timeline_open(&timeline);
    nzd_err_clear(&err);
    nzd_hooks_recall(&c->context->config, &c->txn, &err);
    nzd_err_clear(&err);
    nzd_hooks_run(&run, NZD_HOOK_OUTCOME, &err);
    nzd_timeline_clear(&timeline);
}

static int confirm(struct confirming *c, struct nzd_err *err)
{
    int code = open_journal(c, NZD_JOURNAL_WRITE, err);
    if (!code)
        code = nzd_settle_open(c->context, c->journal, &c->q.target, &c->word,
                               err);
    if (!code && !c->word.id)
        return none_open(c->journal, err);
    if (!code)
        code = nzd_journal_txn(c->journal, c->word.id, &c->txn, err);
    if (code)
        return code;
    if (c->txn.state != NZD_STATE_COMMITTED)
        return not_confirmed(c, err);
    tell_node(c);
    return 0;
}

/* --dry-run: whether there is something to be confirmed, by the journal. */
static int look(struct confirming *c, struct nzd_err *err)
{
    int code = open_journal(c, NZD_JOURNAL_READ, err);
    if (!code)
        code = nzd_journal_open_txn(c->journal, &c->txn, NULL);
    if (c->journal && code == NZD_ENOTFOUND)
        return none_open(c->journal, err);
    if (!code && c->txn.state != NZD_STATE_TRIAL)
        return nzd_err_set(err, NZD_EREFUSED,
                           "no trial is open: transaction %" PRIu64 " is %s",
                           c->txn.id, nzd_state_name(c->txn.state));
    if (!code && nzd_trial_left(&c->txn) == 0)
        return nzd_err_set(err, NZD_EREFUSED,
                           "the trial of transaction %" PRIu64 " is over: its "
                           "deadline has passed",
                           c->txn.id);
    return code && !err->code ? nzd_journal_open_txn(c->journal, &c->txn, err)
                              : code;
}

/* --- what is printed ----------------------------------------------------- */

static void show_json(struct confirming *c, int status)
{
    nzd_output_json(&c->context->output,
                    json_pack("{s:s, s:s, s:I, s:i}", "event", "outcome",
                              "state", nzd_state_name(c->txn.state), "txn",
                              (json_int_t)c->txn.id, "exit", status));
}

static int show_rolled_back(struct confirming *c, const struct nzd_err *err)
{
    struct nzd_output *output = &c->context->output;
    int status = nzd_err_exit(NZD_EROLLEDBACK);
    if (output->json) {
        nzd_output_error(output, err);
        show_json(c, status);
        return status;
    }
    nzd_output_line(output,
                    "%srolled back %" PRIu64 "%s: too late to confirm %s %s%s",
                    nzd_color(output, 'y'), c->txn.id, nzd_color(output, '0'),
                    c->txn.release, c->txn.to_version,
                    c->word.restarted ? "; its VM was restarted" : "");
    if (!c->word.restarted)
        nzd_output_line(output, "  now   %s %s runs on %s, as before",
                        c->txn.release, c->txn.from_version, c->txn.node);
    nzd_output_line(output, "  why   %s", err->message);
    nzd_output_line(output, "  more  nzd journal show %" PRIu64, c->txn.id);
    return status;
}

static void show(struct confirming *c)
{
    struct nzd_output *output = &c->context->output;
    char until[96];
    if (output->json) {
        show_json(c, 0);
        return;
    }
    if (c->context->options.dry_run) {
        nzd_trial_until(nzd_trial_left(&c->txn), until);
        nzd_output_line(
            output, "would commit %" PRIu64 ": %s %s is on trial on %s %s",
            c->txn.id, c->txn.release, c->txn.to_version, c->txn.node, until);
        return;
    }
    nzd_output_line(output,
                    "%scommitted %" PRIu64 "%s: %s %s is confirmed on %s",
                    nzd_color(output, 'g'), c->txn.id, nzd_color(output, '0'),
                    c->txn.release, c->txn.to_version, c->txn.node);
}

int nzd_cmd_confirm(struct nzd_context *context)
{
    struct confirming c = {.context = context,
                           .word = {.wish = NZD_TRIAL_CONFIRM}};
    struct nzd_err err = NZD_ERR_INIT;
    context->changed = !context->options.dry_run;
    int code = context->options.dry_run ? look(&c, &err) : confirm(&c, &err);
    int status = nzd_err_exit(code);
    if (code == NZD_EROLLEDBACK)
        status = show_rolled_back(&c, &err);
    else if (code)
        nzd_output_error(&context->output, &err);
    else
        show(&c);
    nzd_txn_clear(&c.txn);
    nzd_node_close(c.word.node);
    nzd_question_clear(&c.q);
    nzd_journal_close(c.journal);
    return status;
}
