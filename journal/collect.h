/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_JOURNAL_COLLECT_H
#define NZD_JOURNAL_COLLECT_H

/*
 * What a journal lets go: old transactions, and blobs without a root.
 *
 * Kept are `keep` settled transactions besides those in force (the last
 * committed one over each base), all open ones, and everything newer than
 * one that is kept. Roots of blobs are the live rows of every base and the
 * module rows, both sides, of held transactions that are open, committed,
 * quarantined or failed.
 */

#include "journal.h"
#include "meta.h"

/*
 * Drops and collects; `heads` follows. With a `report` damage is an error and
 * nothing is written. Without one it is no reason to fail the commit that runs
 * this: then what cannot be read stays, and verify tells.
 */
int nzd_collect(struct nzd_store_txn *txn, struct nzd_heads *heads,
                uint32_t keep, struct nzd_collection *report,
                struct nzd_err *err);
/* The same decision and report; nothing is written. */
int nzd_collect_look(struct nzd_store_txn *txn, const struct nzd_heads *heads,
                     uint32_t keep, struct nzd_collection *report,
                     struct nzd_err *err);
/* Whether the module rows of a transaction in this state hold their blobs. */
bool nzd_collect_is_root(enum nzd_state state);

#endif
