/* SPDX-License-Identifier: Apache-2.0 */
#include "run.h"

#include <inttypes.h>

/* Undoing the last commit is going to the generation it came from. */
static int find_generation(struct nzd_context *context, struct nzd_question *q,
                           struct nzd_journal *journal, uint64_t *to,
                           struct nzd_err *err)
{
    struct nzd_txn in_force, wanted;
    int code =
        nzd_journal_in_force(journal, &q->base.identity, &in_force, NULL);
    if (code == NZD_ENOTFOUND) {
        nzd_err_set(err, NZD_EREFUSED,
                    "nothing is committed over the base %s %s: there is "
                    "nothing to roll back",
                    q->base.name, q->base.version);
        return NZD_EREFUSED;
    }
    if (code)
        return nzd_journal_in_force(journal, &q->base.identity, &in_force, err);
    uint64_t newest = in_force.id;
    /* After a restart the base runs: the last commit is undone already, and
     * the journal is told. */
    if (context->options.has_to)
        *to = context->options.to;
    else
        *to = nzd_question_runs(q, journal, &in_force)
                  ? in_force.from_generation
                  : 0;
    nzd_txn_clear(&in_force);
    if (*to == 0)
        return 0;
    if (*to > newest)
        return nzd_err_set(err, NZD_EUSAGE,
                           "generation %" PRIu64 " does not exist; the "
                           "newest is %" PRIu64,
                           *to, newest);
    code = nzd_journal_txn(journal, *to, &wanted, NULL);
    /* The last commit knows what it replaced, held or not. */
    if (code == NZD_ENOTFOUND && !context->options.has_to)
        return 0;
    if (code == NZD_ENOTFOUND)
        return nzd_err_set(err, NZD_EUSAGE,
                           "generation %" PRIu64 " is not held any more", *to);
    if (code)
        return nzd_journal_txn(journal, *to, &wanted, err);
    bool committed = wanted.state == NZD_STATE_COMMITTED &&
                     nzd_digest_equal(&wanted.base, &q->base.identity);
    nzd_txn_clear(&wanted);
    return committed ? 0
                     : nzd_err_set(err, NZD_EUSAGE,
                                   "transaction %" PRIu64 " was not "
                                   "committed over this base",
                                   *to);
}

static int plan_generation(struct nzd_context *context, struct nzd_question *q,
                           struct nzd_journal *journal,
                           struct nzd_transaction *t, struct nzd_err *err)
{
    int code = find_generation(context, q, journal, &t->to_generation, err);
    if (!code)
        code =
            nzd_question_generation(context, q, journal, t->to_generation, err);
    return code;
}

int nzd_cmd_rollback(struct nzd_context *context)
{
    struct nzd_run run = {
        .kind = NZD_TXN_ROLLBACK,
        .source = "",
        .plan = plan_generation,
    };
    return nzd_run_command(context, &run);
}
