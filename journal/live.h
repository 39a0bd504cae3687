/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_JOURNAL_LIVE_H
#define NZD_JOURNAL_LIVE_H

/*
 * The live rows of a base: made from the module rows of a transaction when it
 * is committed, and foretold when it begins.
 */

#include "record.h"
#include "store.h"

/*
 * Fills old_set and new_set of `record`, whose module rows are in the store.
 * With `apply` the live rows are changed and the base's set is noted. Fails
 * NZD_EJOURNAL when the rows there are not what the last commit left.
 */
int nzd_live_change(struct nzd_store_txn *txn, struct nzd_txn *record,
                    bool apply, struct nzd_err *err);
/* The live rows of the base of `record`, whose rows are in the store, as they
 * will be once it is committed, as blocks; checked against its new_set. */
int nzd_live_target(struct nzd_store_txn *txn, const struct nzd_txn *record,
                    struct nzd_buf *out, struct nzd_err *err);
/* The live rows of a base as blocks, checked against what was noted. */
int nzd_live_copy(struct nzd_store_txn *txn, const struct nzd_digest *base,
                  struct nzd_buf *out, struct nzd_err *err);

#endif
