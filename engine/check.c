/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "interrupt.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum nzd_level nzd_check_max(const struct nzd_context *context)
{
    return context->options.has_max ? context->options.max
                                    : context->config.max;
}

static const struct nzd_evidence *worst(const struct nzd_plan *plan)
{
    for (uint32_t i = 0; i < plan->evidence.count; i++)
        if (plan->evidence.items[i].level == plan->verdict)
            return &plan->evidence.items[i];
    return NULL;
}

static int check_verdict(struct nzd_transaction *t, struct nzd_err *err)
{
    const struct nzd_plan *plan = &t->q->plan;
    const struct nzd_evidence *why = worst(plan);
    enum nzd_level max = nzd_check_max(t->context);
    bool over = plan->verdict > max;
    if (!over && plan->verdict <= NZD_CHECK_CARRIED_OUT)
        return 0;
    nzd_err_set(err, NZD_EREFUSED, "verdict %s is over %s%s: %s%s%s%s%s",
                nzd_level_name(plan->verdict),
                over ? "the limit " : "what nzd carries out, ",
                nzd_level_name(over ? max : NZD_CHECK_CARRIED_OUT),
                why ? why->subject : "", why && why->old[0] ? " " : "",
                why ? why->old : "", why && why->new[0] ? " -> " : "",
                why ? why->new : "");
    nzd_err_untouched(err, "nothing was touched");
    nzd_err_next(err, "`nzd plan` names every reason; install it the way the "
                      "base was installed, and restart");
    return NZD_EREFUSED;
}

static int check_min(struct nzd_transaction *t, struct nzd_err *err)
{
    const struct nzd_options *options = &t->context->options;
    if (!options->has_min || options->min <= NZD_CHECK_CARRIED_OUT)
        return 0;
    nzd_err_set(err, NZD_EREFUSED, "--min %s: nzd carries out changes up to %s",
                nzd_level_name(options->min),
                nzd_level_name(NZD_CHECK_CARRIED_OUT));
    nzd_err_untouched(err, "nothing was touched");
    return NZD_EREFUSED;
}

static int check_gaps(struct nzd_transaction *t, struct nzd_err *err)
{
    const struct nzd_plan *plan = &t->q->plan;
    if (!plan->gap_count || t->context->options.accept_gap)
        return 0;
    const struct nzd_gap *gap = &plan->gaps[0];
    nzd_err_set(err, NZD_EREFUSED,
                "%s %s calls %s:%s/%" PRIu32
                ", which the new code does not have%s",
                gap->in_flight ? "code in flight of" : "module", gap->caller,
                gap->module, gap->function, gap->arity,
                plan->gap_count > 1 ? " (and others)" : "");
    nzd_err_untouched(err, "nothing was touched");
    nzd_err_next(err, "keep the function for one release, or --accept-gap");
    return NZD_EREFUSED;
}

/* --- in the way --------------------------------------------------------------
 */

static const struct nzd_occupant *first_blocker(struct nzd_transaction *t)
{
    const struct nzd_question *q = t->q;
    for (uint32_t i = 0; i < q->occupants.count; i++) {
        const struct nzd_occupant *who = &q->occupants.items[i];
        if (who->kind != NZD_OCCUPANT_HOLDER &&
            !nzd_occupant_may_be_killed(who, &t->context->options))
            return who;
    }
    return NULL;
}

static int refuse_blocked(struct nzd_transaction *t, uint64_t drain,
                          struct nzd_err *err)
{
    const struct nzd_occupant *who = first_blocker(t);
    uint32_t others = nzd_question_blocking(t->q, &t->context->options) - 1;
    char more[48] = "", waited[32];
    nzd_format_duration(waited, drain);
    if (others)
        snprintf(more, sizeof more, " (and %" PRIu32 " other%s)", others,
                 others > 1 ? "s" : "");
    if (who->kind == NZD_OCCUPANT_CLOSURE)
        nzd_err_set(err, NZD_EREFUSED,
                    "%" PRIu32 " closure%s of old code of %s (%s) %s still "
                    "held after %s%s",
                    who->count, who->count > 1 ? "s" : "", who->module,
                    who->function, who->count > 1 ? "are" : "is", waited, more);
    else
        nzd_err_set(err, NZD_EREFUSED,
                    "%s %s%sis %s %s:%s/%" PRIu32 " after %s%s", who->pid,
                    who->name, who->name[0] ? " " : "",
                    who->kind == NZD_OCCUPANT_LINGERING ? "still in old code,"
                                                        : "still in",
                    who->module, who->function, who->arity, waited, more);
    nzd_err_untouched(err, "nothing was touched, no process was ended");
    nzd_err_next(err,
                 "wait longer (--drain 60s), or let it be ended: --kill "
                 "%s",
                 who->kind == NZD_OCCUPANT_CLOSURE ? who->module : who->pid);
    return NZD_EREFUSED;
}

static int check_in_the_way(struct nzd_transaction *t, struct nzd_err *err)
{
    const struct nzd_options *options = &t->context->options;
    uint64_t drain =
        options->has_drain ? options->drain_us : t->context->config.drain_us;
    uint64_t deadline = nzd_clock_us() + drain;
    bool told = false;
    for (;;) {
        int code = nzd_question_occupants(t->q, err);
        if (code || !nzd_question_blocking(t->q, options))
            return code;
        if (nzd_interrupt_pending())
            return nzd_err_set(err, NZD_EREFUSED, "interrupted by a signal");
        if (nzd_clock_us() >= deadline)
            return refuse_blocked(t, drain, err);
        if (!told)
            nzd_output_step(&t->context->output, "drain", 0, NULL,
                            "waiting for %s to leave %s", first_blocker(t)->pid,
                            first_blocker(t)->module);
        told = true;
        nzd_link_wait(nzd_node_link(t->q->node), -1, 30000, NULL);
    }
}

/* --- failed before
 * ------------------------------------------------------------ */

struct earlier {
    const struct nzd_digest *bundle;
    uint64_t id;
    char why[200];
};

static int find_failure(void *context, const struct nzd_txn *txn)
{
    struct earlier *earlier = context;
    if (txn->kind != NZD_TXN_APPLY ||
        !nzd_digest_equal(&txn->bundle, earlier->bundle))
        return 0;
    if (txn->state == NZD_STATE_COMMITTED)
        return 1;
    if (txn->state != NZD_STATE_ROLLED_BACK && txn->state != NZD_STATE_FAILED)
        return 0;
    earlier->id = txn->id;
    snprintf(earlier->why, sizeof earlier->why, "%s", txn->why ? txn->why : "");
    return 1;
}

/* An updater that nobody watches must not install the same failure for
 * ever; a person at a terminal knows what they do. */
static int check_failed_before(struct nzd_transaction *t, struct nzd_err *err)
{
    struct earlier earlier = {.bundle = &t->q->bundle};
    if (t->kind != NZD_TXN_APPLY || t->context->options.retry || !t->journal ||
        isatty(STDIN_FILENO))
        return 0;
    int code = nzd_journal_each_txn(t->journal, find_failure, &earlier, err);
    if (code < 0)
        return code;
    if (!earlier.id)
        return 0;
    nzd_err_set(err, NZD_EREFUSED,
                "this bundle failed before, in transaction %" PRIu64 ": %s",
                earlier.id, earlier.why);
    nzd_err_untouched(err, "nothing was touched");
    nzd_err_next(err, "apply it again with --retry");
    return NZD_EREFUSED;
}

int nzd_transaction_check(struct nzd_transaction *t, struct nzd_err *err)
{
    int code = check_verdict(t, err);
    if (!code)
        code = check_min(t, err);
    if (!code)
        code = check_gaps(t, err);
    if (!code)
        code = check_failed_before(t, err);
    if (!code)
        code = check_in_the_way(t, err);
    if (code == NZD_ELOST || code == NZD_ETIMEOUT)
        err->code = code = NZD_ENODE;
    return code;
}
