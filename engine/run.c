/* SPDX-License-Identifier: Apache-2.0 */
#include "run.h"

#include "check.h"
#include "interrupt.h"
#include "migrate.h"
#include "owner.h"
#include "plan_view.h"
#include "rehearse.h"
#include "settle.h"
#include "settle_agent.h"
#include "snapshot.h"
#include "structs.h"
#include "trial.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STARTING_US 30000000u /* for a node that starts; --timeout */

void nzd_run_share(struct nzd_context *context, const char *directory)
{
    const char *group = context->config.journal_group;
    struct nzd_err err = NZD_ERR_INIT;
    if (group && nzd_owner_share(directory, group, &err) < 0)
        nzd_output_warn(&context->output, "%s%s%s", err.message,
                        err.next[0] ? "; " : "", err.next);
}

int nzd_run_open_journal(struct nzd_context *context,
                         const struct nzd_target *target,
                         enum nzd_journal_mode mode,
                         struct nzd_journal_options *options,
                         struct nzd_journal **out, struct nzd_err *err)
{
    const char *directory = nzd_journal_path(context, target);
    if (!directory)
        return nzd_err_memory(err);
    memset(options, 0, sizeof *options);
    options->max_bytes = context->config.journal_max;
    options->keep = context->config.keep;
    options->wait_us = context->options.wait_us;
    options->purpose = "nzd";
    int code = nzd_journal_open(directory, mode, options, out, err);
    if (!code && mode != NZD_JOURNAL_READ)
        nzd_run_share(context, directory);
    return code;
}

/* --- what is printed
 * ----------------------------------------------------------- */

static void show_plan_step(struct nzd_context *context,
                           const struct nzd_question *q, uint64_t took)
{
    const struct nzd_plan *plan = &q->plan;
    nzd_output_step(&context->output, "plan", took, NULL,
                    "%s %s -> %s, %" PRIu32 " module%s, %s", plan->release,
                    plan->from_version, plan->to_version, plan->step_count,
                    plan->step_count == 1 ? "" : "s",
                    nzd_level_name(plan->verdict));
    for (uint32_t i = 0; i < q->users.count; i++) {
        const struct nzd_occupant *who = &q->users.items[i];
        if (who->kind == NZD_OCCUPANT_LAST_USER)
            nzd_output_step(&context->output, "stays", 0, NULL,
                            "%s is removed, and goes after %s %s", who->module,
                            who->pid, who->name);
    }
}

static void show_outcome_json(struct nzd_context *context,
                              const struct nzd_transaction *t, int exit_code)
{
    nzd_output_json(&context->output,
                    json_pack("{s:s, s:s, s:I, s:i, s:I, s:I}", "event",
                              "outcome", "state", nzd_state_name(t->txn.state),
                              "txn", (json_int_t)t->txn.id, "exit", exit_code,
                              "pause_us", (json_int_t)t->txn.pause_us,
                              "took_us", (json_int_t)t->txn.took_us));
}

static void warn_of_restart(struct nzd_output *output,
                            const struct nzd_transaction *t)
{
    const struct nzd_question *q = t->q;
    if (!t->txn.new_set.count || (q->hello.by_nzd_boot && q->target.local))
        return;
    nzd_output_warn(output, "%s boots the base again: %s %s%s%s",
                    t->in_place ? "nzd boot did not start this VM: "
                                  "init:restart/0 keeps the new code, a new "
                                  "start"
                                : "a restart of the VM",
                    q->base.name, q->base.version,
                    q->base.path[0] ? " in " : "", q->base.path);
}

static void show_runs(struct nzd_output *output,
                      const struct nzd_transaction *t, char color,
                      const char *how)
{
    char took[32], pause[32];
    nzd_format_duration(took, t->txn.took_us);
    nzd_format_duration(pause, t->txn.pause_us);
    nzd_output_line(
        output, "%s%s %" PRIu64 "%s: %s %s runs on %s (%s, paused %s)",
        nzd_color(output, color), how, t->txn.id, nzd_color(output, '0'),
        t->txn.release, t->txn.to_version, t->txn.node, took, pause);
}

/* A line of text is there as soon as it holds; the outcome of --json is the
 * last event. */
static void show_committed(struct nzd_transaction *t)
{
    struct nzd_output *output = &t->context->output;
    if (output->json)
        return;
    show_runs(output, t, 'g', "committed");
    nzd_output_flush(output);
}

static void show_end(struct nzd_context *context, struct nzd_transaction *t)
{
    if (context->output.json) {
        show_outcome_json(context, t, 0);
        return;
    }
    if (t->way)
        show_committed(t);
    warn_of_restart(&context->output, t);
}

static void show_trial(struct nzd_context *context,
                       const struct nzd_transaction *t)
{
    struct nzd_output *output = &context->output;
    char until[96];
    uint64_t left = nzd_trial_left(&t->txn);
    if (left == NZD_TRIAL_UNKNOWN)
        left = t->trial_us;
    if (output->json) {
        nzd_output_json(output,
                        json_pack("{s:s, s:s, s:I, s:i, s:I, s:I, s:o}",
                                  "event", "outcome", "state", "trial", "txn",
                                  (json_int_t)t->txn.id, "exit", 0, "pause_us",
                                  (json_int_t)t->txn.pause_us, "took_us",
                                  (json_int_t)t->txn.took_us, "trial",
                                  nzd_trial_json(t->txn.id, left)));
        return;
    }
    nzd_trial_until(left, until);
    show_runs(output, t, 'y', "on trial");
    nzd_output_line(output,
                    "  until %s, then %s %s; so it does when the VM "
                    "restarts",
                    until + strlen("until "), t->txn.from_version,
                    t->way ? "boots again" : "comes back");
    nzd_output_line(output, "  next  nzd confirm keeps it, nzd rollback ends "
                            "it");
}

/* What a rollback has found on trial, and undone. */
static int show_ended(struct nzd_context *context, struct nzd_journal *journal,
                      const struct nzd_trial_word *word, struct nzd_err *err)
{
    struct nzd_output *output = &context->output;
    struct nzd_txn txn;
    int code = nzd_journal_txn(journal, word->id, &txn, err);
    if (code)
        return code;
    if (output->json)
        nzd_output_json(output,
                        json_pack("{s:s, s:s, s:I, s:i}", "event", "outcome",
                                  "state", nzd_state_name(txn.state), "txn",
                                  (json_int_t)txn.id, "exit", 0));
    else
        nzd_output_line(output,
                        "%srolled back %" PRIu64 "%s: the trial of %s %s is "
                        "over%s",
                        nzd_color(output, 'y'), txn.id, nzd_color(output, '0'),
                        txn.release, txn.to_version,
                        word->restarted ? ", its VM was restarted" : "");
    if (!output->json && !word->restarted)
        nzd_output_line(output, "  now   %s %s runs on %s, as before",
                        txn.release, txn.from_version, txn.node);
    nzd_txn_clear(&txn);
    return 0;
}

static int show_rolled_back(struct nzd_context *context,
                            const struct nzd_transaction *t,
                            const struct nzd_err *err)
{
    struct nzd_output *output = &context->output;
    int exit_code = nzd_err_exit(NZD_EROLLEDBACK);
    if (output->json) {
        nzd_output_error(output, err);
        show_outcome_json(context, t, exit_code);
        return exit_code;
    }
    if (t->restarted && !t->way)
        nzd_output_line(output,
                        "%srolled back %" PRIu64 "%s: the VM of %s is gone, "
                        "and the new code with it; it boots %s %s",
                        nzd_color(output, 'y'), t->txn.id,
                        nzd_color(output, '0'), t->txn.node, t->q->base.name,
                        t->q->base.version);
    else
        nzd_output_line(
            output, "%srolled back %" PRIu64 "%s: %s %s runs on %s, as before",
            nzd_color(output, 'y'), t->txn.id, nzd_color(output, '0'),
            t->txn.release, t->txn.from_version, t->txn.node);
    nzd_output_line(output, "  why   %s", err->message);
    nzd_output_line(output, "  more  nzd journal show %" PRIu64, t->txn.id);
    return exit_code;
}

static int show_nothing(struct nzd_context *context,
                        const struct nzd_question *q)
{
    struct nzd_output *output = &context->output;
    if (output->json)
        nzd_output_json(output, json_pack("{s:s, s:s, s:i}", "event", "outcome",
                                          "state", "nothing", "exit", 0));
    else
        nzd_output_line(output,
                        "nothing to do: %s %s runs on %s (%" PRIu32
                        " modules are the same)",
                        q->plan.release, q->plan.to_version,
                        nzd_node_name(q->node), q->plan.unchanged_modules);
    return 0;
}

/* --- the command
 * ------------------------------------------------------------------ */

/* Before anything is planned: what a foreign node runs this journal cannot
 * know. */
static int check_owner(const struct nzd_context *context,
                       const struct nzd_journal *journal,
                       const struct nzd_question *q, struct nzd_err *err)
{
    struct nzd_digest owner;
    if (!q->hello.has_owner || context->options.adopt ||
        (journal &&
         !memcmp(q->hello.owner, nzd_journal_uuid(journal), NZD_DIGEST_SIZE)))
        return 0;
    memcpy(owner.bytes, q->hello.owner, NZD_DIGEST_SIZE);
    return nzd_node_foreign(q->node, &owner, err);
}

struct other_node {
    const struct nzd_target *target;
    char *name; /* NULL: it is the target's */
};

/* The newest transaction tells whose journal it is. */
static int compare_node(void *context, const struct nzd_txn *txn)
{
    struct other_node *other = context;
    if (txn->node && txn->node[0] &&
        strcmp(txn->node, other->target->node) != 0)
        other->name = strdup(txn->node);
    return 1;
}

/* A journal is of one node: two that shared one would settle each other's
 * transactions. */
static int check_whose(struct nzd_context *context, struct nzd_journal *journal,
                       const struct nzd_target *target, struct nzd_err *err)
{
    struct other_node other = {.target = target};
    if (!journal || context->options.adopt)
        return 0;
    int code = nzd_journal_each_txn(journal, compare_node, &other, err);
    if (code < 0)
        return code;
    if (!other.name)
        return 0;
    nzd_err_set(err, NZD_EBUSY, "journal %s is that of %s, not of %s",
                nzd_journal_directory(journal), other.name, target->node);
    nzd_err_next(err, "give each node its own (--journal DIR); --adopt where "
                      "the node was renamed");
    free(other.name);
    return NZD_EBUSY;
}

/* Half of its modules and of its code path would be taken for all. */
static int wait_until_started(struct nzd_context *context,
                              struct nzd_question *q, struct nzd_err *err)
{
    uint64_t limit = context->options.timeout_us;
    uint64_t deadline = nzd_clock_deadline(limit ? limit : STARTING_US);
    while (q->hello.starting) {
        if (nzd_clock_left(deadline) == 0 || nzd_interrupt_pending())
            return nzd_err_set(err, NZD_ENODE, "%s is still starting",
                               nzd_node_name(q->node));
        nzd_link_wait(nzd_node_link(q->node), -1, 50000, NULL);
        int code = nzd_node_hello(q->node, &q->hello, err);
        if (code)
            return code;
    }
    return 0;
}

/* Whether a rollback has ended a trial, and was asked for nothing else. */
static bool is_ended(const struct nzd_context *context,
                     const struct nzd_trial_word *word)
{
    return word->tried && word->state == NZD_STATE_ROLLED_BACK &&
           !context->options.has_to;
}

/* A rollback ends a trial; what would begin another is refused. */
static int settle(struct nzd_context *context, const struct nzd_run *run,
                  struct nzd_transaction *t, struct nzd_trial_word *word,
                  struct nzd_err *err)
{
    bool ends = run->kind == NZD_TXN_ROLLBACK && !context->options.has_confirm;
    if (context->options.dry_run)
        return nzd_settle_none_open(t->journal, err);
    word->wish = NZD_TRIAL_END;
    return nzd_settle_open(context, t->journal, &t->q->target,
                           ends ? word : NULL, err);
}

static int open_all(struct nzd_context *context, const struct nzd_run *run,
                    struct nzd_transaction *t, struct nzd_trial_word *word,
                    struct nzd_err *err)
{
    struct nzd_question *q = t->q;
    enum nzd_journal_mode mode =
        run->kind == NZD_TXN_APPLY ? NZD_JOURNAL_CREATE : NZD_JOURNAL_WRITE;
    if (context->options.dry_run)
        mode = NZD_JOURNAL_READ;
    int code = nzd_question_target(context, &q->target, err);
    if (!code)
        code = nzd_run_open_journal(context, &q->target, mode,
                                    &t->journal_options, &t->journal, err);
    if (code == NZD_ENOTFOUND && mode == NZD_JOURNAL_READ &&
        run->kind == NZD_TXN_APPLY) {
        nzd_err_clear(err);
        code = 0;
    }
    if (code == NZD_ENOTFOUND && run->kind == NZD_TXN_ROLLBACK)
        err->code = code = NZD_EREFUSED;
    if (!code)
        code = settle(context, run, t, word, err);
    if (!code && is_ended(context, word))
        return 0;
    if (!code)
        code = check_whose(context, t->journal, &q->target, err);
    if (!code)
        code = nzd_question_connect(context, q, err);
    if (!code)
        code = wait_until_started(context, q, err);
    if (!code)
        code = check_owner(context, t->journal, q, err);
    if (!code && mode != NZD_JOURNAL_READ)
        code = nzd_settle_agent(context, t->journal, q, err);
    if (!code)
        code = nzd_question_node(context, q, err);
    return code;
}

static int check_only(struct nzd_context *context, struct nzd_transaction *t,
                      struct nzd_err *err)
{
    struct nzd_journal_stat stat;
    struct nzd_plan_view view = {
        .plan = &t->q->plan,
        .question = t->q,
        .max = nzd_check_max(context),
        .options = &context->options,
    };
    if (t->journal && !nzd_journal_stat(t->journal, &stat, NULL))
        view.journal = &stat;
    int code = nzd_transaction_check(t, err);
    if (context->output.json)
        nzd_output_json(&context->output, nzd_plan_json(&view));
    else
        nzd_plan_show(&context->output, &view);
    return code;
}

static int run_plan(struct nzd_context *context, const struct nzd_run *run,
                    struct nzd_transaction *t, struct nzd_trial_word *word,
                    struct nzd_err *err)
{
    struct nzd_question *q = t->q;
    int code = open_all(context, run, t, word, err);
    if (!code && !is_ended(context, word))
        code = run->plan(context, q, t->journal, t, err);
    if (!code)
        code = nzd_check_raise(t, err);
    if (code == NZD_ELOST || code == NZD_ETIMEOUT)
        err->code = code = NZD_ENODE;
    if (code)
        nzd_err_untouched(err, "nothing was touched");
    return code;
}

/* The node holds what it should. A journal that has something else in force,
 * as after a restart of the VM, is still to be told; and --min asks for more
 * than nothing: the checks refuse it. */
static int is_nothing(struct nzd_transaction *t, bool *nothing,
                      struct nzd_err *err)
{
    const struct nzd_options *options = &t->context->options;
    *nothing = t->q->plan.verdict == NZD_LEVEL_NOTHING &&
               !(options->has_min && options->min > NZD_LEVEL_MIGRATE);
    if (!*nothing || options->dry_run || !t->journal)
        return 0;
    int code = nzd_snapshot_rows(t, err);
    *nothing = t->row_count == 0;
    nzd_snapshot_clear_rows(t);
    return code;
}

static bool goes_down(const struct nzd_transaction *t)
{
    const struct nzd_txn txn = {
        .kind = t->kind,
        .from_generation = nzd_question_running(t->q, t->journal),
        .to_generation = t->to_generation,
    };
    return nzd_migrate_is_down(&t->q->plan, &txn, t->journal);
}

int nzd_run_command(struct nzd_context *context, const struct nzd_run *run)
{
    struct nzd_question q = {0};
    struct nzd_err err = NZD_ERR_INIT;
    struct nzd_transaction t = {
        .context = context,
        .q = &q,
        .kind = run->kind,
        .source = run->source,
        .soak = {.us = nzd_soak_wanted(context, run->kind)},
        .trial_us = nzd_trial_wanted(context, run->kind),
        .committed = show_committed,
    };
    struct nzd_trial_word word = {.id = 0};
    context->changed = !context->options.dry_run;
    nzd_timeline_open(&t.timeline);
    int code = run_plan(context, run, &t, &word, &err);
    bool nothing = false, ended = !code && is_ended(context, &word);
    if (!code && ended)
        code = show_ended(context, t.journal, &word, &err);
    else if (!code)
        code = is_nothing(&t, &nothing, &err);
    if (!code && !nothing && !ended) {
        show_plan_step(context, &q, nzd_clock_us() - t.timeline.opened_us);
        nzd_structs_warn(&context->output, &q.structs, &t.timeline);
        if (context->options.rehearse)
            code = nzd_rehearse(context, &q, goes_down(&t), &t.timeline, &err);
        if (!code)
            code = context->options.dry_run ? check_only(context, &t, &err)
                                            : nzd_transaction_run(&t, &err);
    }
    int status = nzd_err_exit(code);
    if (nothing)
        status = show_nothing(context, &q);
    else if (!code && t.txn.state == NZD_STATE_TRIAL)
        show_trial(context, &t);
    else if (!code && !context->options.dry_run && !ended)
        show_end(context, &t);
    else if (code == NZD_EROLLEDBACK)
        status = show_rolled_back(context, &t, &err);
    else if (code)
        nzd_output_error(&context->output, &err);
    nzd_transaction_clear(&t);
    nzd_question_clear(&q);
    nzd_journal_close(t.journal);
    return status;
}
