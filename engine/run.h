/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_RUN_H
#define NZD_ENGINE_RUN_H

/*
 * What apply and rollback share: from the command line to the outcome that is
 * printed. The only difference is how the new side of the plan is found.
 */

#include "transaction.h"

struct nzd_run {
    enum nzd_txn_kind kind;
    const char *source; /* the bundle, "" for a rollback */
    /* Finds the new side and makes the plan. */
    int (*plan)(struct nzd_context *context, struct nzd_question *q,
                struct nzd_journal *journal, struct nzd_transaction *t,
                struct nzd_err *err);
};

/* Returns the exit status; everything is printed. */
int nzd_run_command(struct nzd_context *context, const struct nzd_run *run);

/* Lets the group of the configuration read a journal that was opened to write,
 * or has just been made. A failure is a warning: whoever cannot read it finds
 * out, and what is to be done here goes on. */
void nzd_run_share(struct nzd_context *context, const char *directory);

/* Opens the journal of a target as --journal, --wait and the configuration
 * say; shares it where it is written. */
int nzd_run_open_journal(struct nzd_context *context,
                         const struct nzd_target *target,
                         enum nzd_journal_mode mode,
                         struct nzd_journal_options *options,
                         struct nzd_journal **out, struct nzd_err *err);

#endif
