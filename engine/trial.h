/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_TRIAL_H
#define NZD_ENGINE_TRIAL_H

/*
 * A trial: the new code runs, and is committed only when somebody confirms it
 * before the deadline. What is done in which order, and what is true when nzd
 * is killed right after each:
 *
 *   try out      the agent has the deadline, and undoes by itself when it
 * comes; until `begun` the loss of nzd has it call `nzd recover`, which finds
 * ARMED and undoes TRIAL        recovery leaves it until the deadline, and does
 * the next two begun        the agent waits without a link keeper       a
 * process of this host that has it undone at the deadline, too
 *
 *   confirm      the agent has no deadline any more: whoever comes next commits
 *   COMMITTED    the new code is in force
 *   done         as of every commit
 *
 * Who confirms and who undoes both ask the agent, which does either, never
 * both: as long as this VM lives, what the agent holds is the truth behind
 * TRIAL. When the VM is gone, the journal's is: rolled back, or COMMITTED.
 *
 * An undo may begin at the deadline of either clock, the journal's or the
 * agent's; a confirmation needs both before it. The agent's stands still while
 * the host sleeps, the journal's is CLOCK_BOOTTIME of the node's host.
 */

#include "settle.h"

/* Why a trial ended that was not undone in the node. */
#define NZD_TRIAL_RESTARTED "the VM was restarted before it was confirmed"

/* How long the transaction is to be on trial; 0: not at all. */
uint64_t nzd_trial_wanted(const struct nzd_context *context,
                          enum nzd_txn_kind kind);

/* Behind the validation: up to TRIAL. What fails is for the caller to undo. */
int nzd_trial_begin(struct nzd_transaction *t, struct nzd_err *err);
/* Behind TRIAL. 0: it is on trial, and attended. NZD_EROLLEDBACK: it was over
 * before it had begun. NZD_EUNSETTLED: the node was lost. */
int nzd_trial_begun(struct nzd_transaction *t, struct nzd_err *err);

/* For nzd_settle_txn(): the VM is the same, `s->txn` is on trial. */
int nzd_trial_settle(struct nzd_settle *s, struct nzd_node *node,
                     bool new_session, struct nzd_err *err);

/* Until the deadline by the clock of this host, in microseconds. UNKNOWN where
 * it is another host's, or was another boot of it. */
#define NZD_TRIAL_UNKNOWN UINT64_MAX
uint64_t nzd_trial_left(const struct nzd_txn *txn);

/* "until 2025-03-04 09:48:11 UTC (9 min left)" */
void nzd_trial_until(uint64_t left_us, char out[96]);
/* {"txn", "left_us", "deadline"} */
json_t *nzd_trial_json(uint64_t id, uint64_t left_us);
/* Nothing else goes while it lasts. NZD_EREFUSED. */
int nzd_trial_refuse(const struct nzd_txn *txn, uint64_t left_us,
                     struct nzd_err *err);

#endif
