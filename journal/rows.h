/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_JOURNAL_ROWS_H
#define NZD_JOURNAL_ROWS_H

/* Rows under a prefix, as sets and as copies, and transactions by number. */

#include "record.h"
#include "store.h"

/* Count, and XXH3-128 over the values in the order of their keys. */
int nzd_rows_set(struct nzd_store_txn *txn, enum nzd_store_table table,
                 struct nzd_view prefix, struct nzd_set *out,
                 struct nzd_err *err);
bool nzd_set_equal(const struct nzd_set *a, const struct nzd_set *b);
/* Appends each value as a block of nzd_buf_block(); `set` may be NULL. */
int nzd_rows_copy(struct nzd_store_txn *txn, enum nzd_store_table table,
                  struct nzd_view prefix, struct nzd_buf *out,
                  struct nzd_set *set, struct nzd_err *err);
int nzd_rows_delete(struct nzd_store_txn *txn, enum nzd_store_table table,
                    struct nzd_view prefix, struct nzd_err *err);
/* Deletes the keys that `keys` holds as blocks. */
int nzd_rows_delete_keys(struct nzd_store_txn *txn, enum nzd_store_table table,
                         struct nzd_view keys, struct nzd_err *err);

/* NZD_ENOTFOUND, without an error. The record must bear its number. */
int nzd_rows_txn(struct nzd_store_txn *txn, uint64_t id, struct nzd_txn *out,
                 struct nzd_err *err);
/* The same for one that must be there: NZD_EJOURNAL where it is not. */
int nzd_rows_txn_held(struct nzd_store_txn *txn, uint64_t id,
                      struct nzd_txn *out, struct nzd_err *err);

#endif
