/* SPDX-License-Identifier: Apache-2.0 */
#include "check.h"

#include "interrupt.h"
#include "live_config.h"

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

static int refuse_over(enum nzd_level verdict, const char *limit,
                       const struct nzd_evidence *why, struct nzd_err *err)
{
    bool sourced = why && why->source[0];
    nzd_err_set(err, NZD_EREFUSED, "verdict %s is over %s: %s%s%s%s%s%s%s%s",
                nzd_level_name(verdict), limit, why ? why->subject : "",
                why && why->old[0] ? " " : "", why ? why->old : "",
                why && why->new[0] ? " -> " : "", why ? why->new : "",
                sourced ? " (" : "", sourced ? why->source : "",
                sourced ? ")" : "");
    nzd_err_untouched(err, "nothing was touched");
    return NZD_EREFUSED;
}

/* The first reason that nothing but another base can carry. */
static const struct nzd_evidence *beyond(const struct nzd_plan *plan)
{
    for (uint32_t i = 0; i < plan->evidence.count; i++)
        if (plan->evidence.items[i].need == NZD_NEED_BASE)
            return &plan->evidence.items[i];
    return NULL;
}

/* Nobody would boot the new generation. */
static int refuse_restart(struct nzd_transaction *t, struct nzd_err *err)
{
    const struct nzd_question *q = t->q;
    const struct nzd_evidence *base = beyond(&q->plan);
    if (base) {
        refuse_over(q->plan.verdict, "what a restart can carry", base, err);
        nzd_err_next(err, "install it the way the base was installed");
        return NZD_EREFUSED;
    }
    refuse_over(q->plan.verdict, "what nzd can restart here", worst(&q->plan),
                err);
    if (!q->target.local)
        nzd_err_next(err, "run nzd on the node's own host");
    else if (!q->hello.by_nzd_boot)
        nzd_err_next(err, "start the VM by `nzd boot -- COMMAND`");
    else
        nzd_err_next(err, "the VM's process must start anew: say how, "
                          "restart { command = {...} } in the configuration");
    return NZD_EREFUSED;
}

/* A VM that has just booted fills its caches and has no load yet: what was read
 * of the one before says nothing of it. */
static int refuse_soak(struct nzd_err *err)
{
    nzd_err_set(err, NZD_EREFUSED,
                "a change that restarts the VM cannot soak: readings of the VM "
                "before do not hold for the one that boots");
    nzd_err_untouched(err, "nothing was touched");
    nzd_err_next(err, "--soak 0 --confirm 10m has it on trial instead, "
                      "--soak 0 commits it when its hooks have passed");
    return NZD_EREFUSED;
}

static int check_verdict(struct nzd_transaction *t, struct nzd_err *err)
{
    const struct nzd_plan *plan = &t->q->plan;
    enum nzd_level max = nzd_check_max(t->context);
    char limit[48];
    if (plan->verdict > max) {
        snprintf(limit, sizeof limit, "the limit %s", nzd_level_name(max));
        refuse_over(plan->verdict, limit, worst(plan), err);
        if (beyond(plan))
            nzd_err_next(err, "`nzd plan` names every reason; install it the "
                              "way the base was installed");
        else
            nzd_err_next(err,
                         "`nzd plan` names every reason; --max %s allows it",
                         nzd_level_name(plan->verdict));
        return NZD_EREFUSED;
    }
    if (plan->verdict <= NZD_LEVEL_MIGRATE || nzd_live_config_may_stop(plan))
        return 0;
    if (plan->verdict == NZD_LEVEL_RESTART_VM) {
        t->way = nzd_restart_way(t->context, t->q);
        if (t->way && t->soak.us)
            return refuse_soak(err);
        return t->way ? 0 : refuse_restart(t, err);
    }
    return refuse_over(plan->verdict, "what nzd carries out", worst(plan), err);
}

static int check_min(struct nzd_transaction *t, struct nzd_err *err)
{
    const struct nzd_options *options = &t->context->options;
    bool known = options->min <= NZD_LEVEL_MIGRATE ||
                 options->min == NZD_LEVEL_RESTART_VM;
    if (!options->has_min || options->min <= t->q->plan.verdict)
        return 0;
    if (known && t->q->plan.verdict != NZD_LEVEL_NOTHING)
        return 0;
    nzd_err_set(err, NZD_EREFUSED,
                known ? "--min %s: nothing differs, so there is nothing to boot"
                      : "--min %s: nzd carries out hot, migrate and restart-vm",
                nzd_level_name(options->min));
    nzd_err_untouched(err, "nothing was touched");
    return NZD_EREFUSED;
}

int nzd_check_raise(struct nzd_transaction *t, struct nzd_err *err)
{
    const struct nzd_options *options = &t->context->options;
    struct nzd_plan *plan = &t->q->plan;
    const struct nzd_evidence asked = {.level = NZD_LEVEL_RESTART_VM,
                                       .subject = NZD_RESTART_ASKED,
                                       .old = "",
                                       .new = "restart-vm",
                                       .source = "asked for",
                                       .need = NZD_NEED_RESTART};
    if (!options->has_min || options->min != NZD_LEVEL_RESTART_VM ||
        plan->verdict == NZD_LEVEL_NOTHING ||
        plan->verdict >= NZD_LEVEL_RESTART_VM)
        return 0;
    return nzd_plan_add_evidence(plan, &asked, err);
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
    /* What boots anew meets no code in flight. */
    if (!code && !t->way)
        code = check_gaps(t, err);
    if (!code)
        code = check_failed_before(t, err);
    if (!code && !t->way)
        code = check_in_the_way(t, err);
    if (code == NZD_ELOST || code == NZD_ETIMEOUT)
        err->code = code = NZD_ENODE;
    return code;
}
