/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_CMD_JOURNAL_H
#define NZD_ENGINE_CMD_JOURNAL_H

/* What the journal looks like to people and programs: cmd_journal.c opens
 * it, journal_list.c shows all transactions, journal_entry.c one of them,
 * journal_gc.c what it lets go; journal_export.c and journal_import.c carry
 * it over, by the lines of journal_line.h. */

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
/* All of it as lines of JSON: to the file, which is there whole or not at
 * all, or with NULL to stdout. NZD_EBUSY when it changed meanwhile. */
int nzd_journal_view_export(const struct nzd_journal_view *view,
                            const char *path, struct nzd_err *err);
/* Makes the journal of such lines ("-": from stdin) in view->directory, where
 * none may be; view->journal is not used. */
int nzd_journal_view_import(const struct nzd_journal_view *view,
                            const struct nzd_journal_options *options,
                            const char *path, bool *changed,
                            struct nzd_err *err);

#endif
