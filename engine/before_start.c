/* SPDX-License-Identifier: Apache-2.0 */
#include "before_start.h"

#include "bounded_child.h"
#include "run.h"
#include "settle.h"

#include <string.h>

#define LOCK_WAIT_US 2000000u /* where --wait does not say */

/* --- the child ----------------------------------------------------------- */

/* NZD_ENOTFOUND: nothing is open, or it goes forward through the start that
 * comes now. */
static int find_open(struct nzd_journal *journal, struct nzd_err *err)
{
    struct nzd_txn txn;
    int code = nzd_journal_open_txn(journal, &txn, err);
    if (code)
        return code;
    if (txn.state == NZD_STATE_RESTARTING)
        code = NZD_ENOTFOUND;
    nzd_txn_clear(&txn);
    return code;
}

/* Looked at before the lock is taken: mostly there is nothing to write. */
static int settle(struct nzd_context *context, struct nzd_journal **journal,
                  struct nzd_err *err)
{
    const struct nzd_target here = {.local = true};
    struct nzd_journal_options options;
    int code = nzd_run_open_journal(context, &here, NZD_JOURNAL_READ, &options,
                                    journal, err);
    if (!code)
        code = find_open(*journal, err);
    if (code)
        return code;
    nzd_journal_close(*journal);
    *journal = NULL;
    if (!context->options.wait_us)
        context->options.wait_us = LOCK_WAIT_US;
    code = nzd_run_open_journal(context, &here, NZD_JOURNAL_WRITE, &options,
                                journal, err);
    return code ? code : nzd_settle_gone(context, *journal, err);
}

static void settle_in_child(void *given, struct nzd_bounded_line *line,
                            void *answer)
{
    struct nzd_context *context = given;
    struct nzd_err *err = answer;
    struct nzd_journal *journal = NULL;
    int code = nzd_config_load(context->options.config, &context->config, err);
    if (!code) {
        nzd_bounded_limit(line, context->config.boot_timeout_us);
        code = settle(context, &journal, err);
    }
    if (code == NZD_ENOTFOUND)
        nzd_err_clear(err);
    if (err->code == NZD_EUNSETTLED)
        nzd_err_next(err, "nzd recover, once the node answers");
    nzd_journal_close(journal);
    nzd_output_flush(&context->output);
}

/* --- the parent ---------------------------------------------------------- */

/* What was written by a process that damage may have driven mad. */
static void end_texts(struct nzd_err *said)
{
    said->message[sizeof said->message - 1] = '\0';
    said->untouched[sizeof said->untouched - 1] = '\0';
    said->next[sizeof said->next - 1] = '\0';
}

static int not_told(const struct nzd_bounded_end *end, struct nzd_err *err)
{
    static const char unknown[] =
        "whether a transaction is open cannot be told";
    if (end->how == NZD_BOUNDED_LATE)
        nzd_err_set(err, NZD_EUNSETTLED, "the journal took too long: %s",
                    unknown);
    else if (end->how == NZD_BOUNDED_INTERRUPTED)
        nzd_err_set(err, NZD_EUNSETTLED, "told to end: %s", unknown);
    else if (end->how == NZD_BOUNDED_NOT_MADE)
        nzd_err_system(err, NZD_EUNSETTLED, end->number,
                       "no process to settle the journal; %s", unknown);
    else if (end->number)
        nzd_err_set(err, NZD_EUNSETTLED,
                    "settling the journal ended in signal %d: %s", end->number,
                    unknown);
    else
        nzd_err_set(err, NZD_EUNSETTLED, "nobody said how it went: %s",
                    unknown);
    nzd_err_next(err, "nzd recover, once the node answers");
    return err->code;
}

int nzd_before_start(struct nzd_context *context, struct nzd_err *err)
{
    struct nzd_err said;
    nzd_bounded_streams();
    struct nzd_bounded_end end =
        nzd_bounded_ask(settle_in_child, context, &said, sizeof said);
    if (end.how != NZD_BOUNDED_ANSWERED)
        return not_told(&end, err);
    end_texts(&said);
    *err = said;
    return err->code;
}
