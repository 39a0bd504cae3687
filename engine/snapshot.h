/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_SNAPSHOT_H
#define NZD_ENGINE_SNAPSHOT_H

/*
 * From the plan to what the journal and the agent need of it: module rows,
 * blobs of both sides in batches, code sent to be prepared.
 */

#include "transaction.h"

/* Makes t->rows from the plan, sorted as the plan is. Rows that restate what
 * runs are added where the journal holds something else in force, so that
 * a committed generation is always what the node really runs. */
int nzd_snapshot_rows(struct nzd_transaction *t, struct nzd_err *err);

/* Forgets the rows. */
void nzd_snapshot_clear_rows(struct nzd_transaction *t);

/* Sends old and new code to the agent, old code first, without waiting. */
int nzd_snapshot_send(struct nzd_transaction *t, struct nzd_err *err);

/* Stores both sides as blobs, about 512 KiB a batch; fills the rows' digests
 * and t->txn.written. Durable when it returns 0. */
int nzd_snapshot_store(struct nzd_transaction *t, struct nzd_err *err);

#endif
