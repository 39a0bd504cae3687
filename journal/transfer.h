/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_JOURNAL_TRANSFER_H
#define NZD_JOURNAL_TRANSFER_H

/*
 * A journal as a sequence of records: all it holds, from which rebuild.h makes
 * the same journal on a machine of any word size. The order is
 *
 *   journal
 *   for each transaction, by number: it, its modules by name, its events
 *   for each base that had a commit: it, its live rows by module
 *   blobs by digest
 *
 * The table boot holds nothing yet; a journal in which it does is refused.
 */

#include "journal.h"
#include "meta.h"

enum nzd_transfer_kind {
    NZD_TRANSFER_JOURNAL = 1,
    NZD_TRANSFER_TXN = 2,
    NZD_TRANSFER_MODULE = 3,
    NZD_TRANSFER_EVENT = 4,
    NZD_TRANSFER_BASE = 5,
    NZD_TRANSFER_LIVE = 6,
    NZD_TRANSFER_BLOB = 7
};
#define NZD_TRANSFER_KIND_COUNT 8

struct nzd_transfer_journal {
    uint8_t uuid[16];
    struct nzd_heads heads;
};

struct nzd_transfer {
    enum nzd_transfer_kind kind;
    uint64_t id;              /* the transaction of a module or an event */
    uint32_t sequence;        /* of an event */
    struct nzd_digest digest; /* of a base or a live row the base, of a blob
                                 its content */
    union {
        struct nzd_transfer_journal journal;
        struct nzd_txn txn;
        struct nzd_module_row module;
        struct nzd_event event;
        struct nzd_live_set base;
        struct nzd_live_row live;
        struct nzd_buf blob; /* its content */
    };
};

/* Frees what the record owns. */
void nzd_transfer_clear(struct nzd_transfer *record);

/*
 * Calls `each` for every record, in order. The whole journal is proved first
 * (nzd_journal_verify), so a damaged one is NZD_EJOURNAL before the first
 * call. No LMDB reader is open during a call, however long it takes, and no
 * more is held in memory than one blob or some rows. All records are of one
 * state of the journal: when another process writes in between, it ends in
 * NZD_EBUSY. `each` returns 0 to go on.
 */
int nzd_transfer_each(struct nzd_journal *journal,
                      int (*each)(void *context,
                                  const struct nzd_transfer *record,
                                  struct nzd_err *err),
                      void *context, struct nzd_err *err);

#endif
