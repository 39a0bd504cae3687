/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_BOOT_FALLBACK_H
#define NZD_ENGINE_BOOT_FALLBACK_H

/* A generation that does not become healthy, put out of force without a
 * node: no VM runs yet. */

#include "../journal/journal.h"

/*
 * Makes a transaction of kind rollback that goes back one generation from
 * `bad`, the one in force over its base, and commits it; then `bad` is
 * quarantined. What is gone back to is never what was there later: where `bad`
 * is itself a rollback, it is the generation before the one it went back to.
 * Durable, in this order; an interruption in between leaves the first undone
 * or both done but the mark. `out` is the transaction in force then, to be
 * cleared. NZD_EREFUSED where another transaction is open, NZD_ENOTFOUND where
 * the journal no longer holds the way back.
 */
int nzd_boot_fall_back(struct nzd_journal *journal, const struct nzd_txn *bad,
                       const char *why, struct nzd_txn *out,
                       struct nzd_err *err);

#endif
