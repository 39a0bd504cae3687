/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_CMD_JOURNAL_H
#define NZD_ENGINE_CMD_JOURNAL_H

/* What the journal looks like to people and programs: cmd_journal.c opens
 * it, journal_list.c shows all transactions, journal_entry.c one of them,
 * journal_gc.c what it lets go. */

#include "../journal/journal.h"
#include "output.h"

struct nzd_journal_view {
    struct nzd_output *output;
    struct nzd_journal *journal;
    const char *directory;
};

int nzd_journal_view_list(const struct nzd_journal_view *view,
                          struct nzd_err *err);
/* NZD_EUSAGE when `id` is not held, with the range that is. */
int nzd_journal_view_entry(const struct nzd_journal_view *view, uint64_t id,
                           struct nzd_err *err);
/* The id of the transaction in force over `base`, 0 none. */
int nzd_journal_view_force(const struct nzd_journal_view *view,
                           const struct nzd_digest *base, uint64_t *out,
                           struct nzd_err *err);
/* Drops and collects, or says with `dry_run` what would go. NZD_EBUSY while
 * a transaction is open. `changed` is set once it is done. */
int nzd_journal_view_collect(const struct nzd_journal_view *view, bool dry_run,
                             bool *changed, struct nzd_err *err);

#endif
