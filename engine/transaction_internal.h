/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_TRANSACTION_INTERNAL_H
#define NZD_ENGINE_TRANSACTION_INTERNAL_H

/* What the files of a transaction share: its run (transaction.c), its record
 * (transaction_record.c), and what comes before armed (transaction_arm.c). */

#include "hook.h"
#include "transaction.h"

/* Fills t->txn with all that is known before anything is done. */
int nzd_transaction_describe(struct nzd_transaction *t, struct nzd_err *err);

/* From the first word to the agent to the durable ARMED. After a failure the
 * agent has forgotten it, and a number that hooks may have seen is recorded as
 * aborted. */
int nzd_transaction_arm(struct nzd_transaction *t, struct nzd_err *err);

/* `outcome`: of the hooks of the end, else NULL. */
int nzd_transaction_hooks(struct nzd_transaction *t, enum nzd_hook_phase phase,
                          const char *outcome, struct nzd_err *err);
/* The times and the outcome that the last move writes. */
void nzd_transaction_finish(struct nzd_transaction *t, int outcome);
/* NZD_EREFUSED where a signal is pending. */
int nzd_transaction_interrupted(struct nzd_err *err);

#endif
