/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_JOURNAL_STORE_COPY_H
#define NZD_JOURNAL_STORE_COPY_H

/*
 * A store for whoever may read its file and no more: a copy in memory. LMDB
 * keeps the pages that a reader sees for as long as he stands in lock.mdb; who
 * stands there can hold pages for ever, and who may write there can take the
 * writer's place. So lock.mdb is its owner's alone, and others copy. Root
 * copies what is another user's, too, and what lies behind a folder of theirs:
 * it opens nothing of theirs to write.
 *
 * LMDB gives pages back to a writer two transactions after the last state that
 * had them. A state is whole in the copy where no more than one transaction
 * has been committed since: that is looked at behind the copying.
 */

#include "err.h"

struct nzd_store_copy {
    int fd;        /* -1: none */
    char path[32]; /* what LMDB opens */
};

/* True where the store is to be read from a copy. */
bool nzd_store_copy_due(const char *directory);
/* NZD_EJOURNAL: it cannot be read, is no store, or changes all the while. */
int nzd_store_copy_make(const char *directory, struct nzd_store_copy *out,
                        struct nzd_err *err);
void nzd_store_copy_close(struct nzd_store_copy *copy);

#endif
