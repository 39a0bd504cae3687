/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_JOURNAL_INTERNAL_H
#define NZD_JOURNAL_INTERNAL_H

/* What journal.c, move.c, read.c, verify.c and transfer.c share. */

#include "blob.h"
#include "journal.h"
#include "meta.h"
#include "store.h"
#include "store_copy.h"

struct nzd_journal {
    char *directory;
    struct nzd_store *store;
    struct nzd_blob_coder coder;
    uint8_t uuid[16];
    uint32_t keep;
    int lock; /* -1 when only read */
    struct nzd_store_copy copy;
};

/* What a public function returns: on NZD_EJOURNAL the message then names the
 * journal and there is something to do next. */
int nzd_journal_told(const struct nzd_journal *journal, int rc,
                     struct nzd_err *err);
/* NZD_EJOURNAL: root would come to it through a folder that others may write,
 * so it is not `done`, as "made"; see way.h. It need not be there. */
int nzd_journal_judge_way(const char *directory, const char *done,
                          struct nzd_err *err);
int nzd_journal_look(struct nzd_journal *journal, nzd_store_body *body,
                     void *context, struct nzd_err *err);
/* NZD_EINTERNAL where the journal was opened to read. */
int nzd_journal_change(struct nzd_journal *journal, bool headroom,
                       nzd_store_body *body, void *context,
                       struct nzd_err *err);
/* All that nzd_journal_verify() proves; the context is not used. */
int nzd_journal_prove(struct nzd_store_txn *txn, void *context,
                      struct nzd_err *err);

#endif
