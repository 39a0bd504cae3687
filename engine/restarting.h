/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_RESTARTING_H
#define NZD_ENGINE_RESTARTING_H

/*
 * A change that the node cannot take while it runs goes forward through
 * another boot of its VM. What is true when anybody is killed behind each
 * step:
 *
 *   ARMED           nothing was done: recovery records rolled_back
 *   RESTARTING      whatever nzd boot starts is the new generation, once; a
 *                   second start of it finds it spent, and boots the old one
 *   the restart     the next nzd asks the VM what it has booted, and goes on
 *   COMMITTED       validated by the hooks
 *   REBOOT_PENDING  it failed: whatever nzd boot starts is the old generation
 *   the restart     the next nzd asks again
 *   ROLLED_BACK     the old generation runs
 *
 * Where a trial is wanted, validated is not committed:
 *
 *   the way back    init:restart/0 boots the old generation from now on
 *   try out         the agent has the deadline: then it calls `nzd recover`,
 * and where init:restart/0 is the way restarts the VM if nobody comes. Until
 * `begun` the loss of nzd has it call, too TRIAL           whatever boots is
 * the old generation: any restart ends it begun, keeper   as of any trial
 * (trial.h) confirm         the agent holds it; whoever comes next commits
 *   COMMITTED       the target is in force
 *   done            init:restart/0 boots it
 *
 * The deadline, `nzd rollback`, or a VM that has the target booted once more:
 * REBOOT_PENDING, and on as above.
 *
 * What a VM has booted it says itself (staging/script_mark.h). The same code
 * runs while nzd carries the change out and when a later nzd recovers it.
 */

#include "settle.h"

/* The word for it in the options of a record, "" for none; and whether a
 * transaction has one. */
const char *nzd_restarting_word(enum nzd_restart_way way);
bool nzd_restarting_is(const struct nzd_txn *txn);

/*
 * Goes on from where the record is: armed, restarting, on trial or
 * reboot_pending. s->node, a session that speaks for the transaction, or NULL,
 * is taken over and closed, unless the record is armed. Returns 0 with the
 * record committed, rolled_back or on trial, durably; s->kept and s->left_us
 * are set. NZD_EPENDING: the restart is under way, or somebody
 * else must do it; what boots is settled by the next nzd. NZD_EUNSETTLED: the
 * VM cannot be asked and is not proven gone. NZD_EJOURNAL: as the message says.
 */
int nzd_restarting_settle(struct nzd_settle *s, struct nzd_err *err);

/* The same where no VM runs and nzd boot has found the new generation
 * spent, or it is the old one's turn, as of any trial: rolled_back. */
int nzd_restarting_gone(struct nzd_settle *s, struct nzd_err *err);

#endif
