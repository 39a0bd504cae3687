/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_JOURNAL_META_H
#define NZD_JOURNAL_META_H

/*
 * The table meta. Its keys: "format", "uuid", "heads" and, for each base that
 * ever had a commit, "live" followed by the base's digest.
 */

#include "record.h"
#include "store.h"

#define NZD_JOURNAL_FORMAT 1

/* Fails NZD_EJOURNAL on another format; `uuid` gets 16 bytes. */
int nzd_meta_identity(struct nzd_store_txn *txn, uint8_t *uuid,
                      struct nzd_err *err);

/*
 * Counters and the ends of the event chain. Transactions first..last are all
 * there; so are the events first_event..next_event - 1, whatever transaction
 * each belongs to.
 */
struct nzd_heads {
    uint64_t first; /* lowest id held, 0 if none */
    uint64_t last;  /* highest id given, 0 if none */
    uint64_t epoch; /* highest that a record held */
    uint32_t first_event;
    uint32_t next_event;
    struct nzd_digest anchor; /* of the event before the first one held */
    struct nzd_digest head;   /* of the last one */
};
int nzd_meta_heads(struct nzd_store_txn *txn, struct nzd_heads *out,
                   struct nzd_err *err);
int nzd_meta_put_heads(struct nzd_store_txn *txn, const struct nzd_heads *heads,
                       struct nzd_err *err);

/* What a journal is, written once: a new one, and one of that uuid. */
int nzd_meta_create(struct nzd_store_txn *txn, struct nzd_err *err);
int nzd_meta_restore(struct nzd_store_txn *txn, const uint8_t *uuid,
                     const struct nzd_heads *heads, struct nzd_err *err);

/* The live rows of a base, as its last commit left them; {0} before one. */
struct nzd_live_set {
    uint64_t txn; /* that made them */
    struct nzd_set set;
};
int nzd_meta_live(struct nzd_store_txn *txn, const struct nzd_digest *base,
                  struct nzd_live_set *out, struct nzd_err *err);
int nzd_meta_put_live(struct nzd_store_txn *txn, const struct nzd_digest *base,
                      const struct nzd_live_set *live, struct nzd_err *err);
/* For whoever walks all bases: the keys are nzd_meta_live_base() ones. */
struct nzd_view nzd_meta_live_prefix(void);
bool nzd_meta_live_base(struct nzd_view key, struct nzd_digest *out);

#endif
