/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_EXTRAS_H
#define NZD_ENGINE_EXTRAS_H

/*
 * What code_change is handed as Extra. The appup or relup of the higher version
 * says it, for the way up and the way back down. Both are kept beside the rows
 * of the transaction, under a name of their own with the same content on both
 * sides: so a later rollback, which has no bundle, hands over the same, and so
 * does the undo of an agent that has forgotten.
 *
 * Knows how generations descend from each other; which way states go is
 * migrate.h's.
 */

#include "node_switch.h"
#include "transaction.h"

/* Those of the way to the bundle that q->plan is made for, into q->extras: what
 * the bundle says, and on the way to a lower version what the running one says,
 * whose appups q->old has, or else the journal where it came from just that
 * code. `journal` may be NULL. */
int nzd_extras_of_bundle(struct nzd_question *q, struct nzd_journal *journal,
                         struct nzd_err *err);
/*
 * Those of the way from what runs to generation `to`, out of the transactions
 * that it leads over, back or forth. A module that more than one of them
 * changed gets none, for no instruction is for all of them at once: that is
 * warned of. What the journal has dropped counts as having said nothing.
 */
int nzd_extras_of_generation(struct nzd_context *context,
                             struct nzd_question *q,
                             struct nzd_journal *journal, uint64_t to,
                             struct nzd_err *err);

/* Appends the row to t->rows; nothing where there are none, or where the VM is
 * restarted. */
int nzd_extras_add_row(struct nzd_transaction *t, struct nzd_err *err);
/* Those of a transaction, out of its row; in the arena. */
int nzd_extras_read(struct nzd_journal *journal, uint64_t id,
                    struct nzd_arena *arena, struct nzd_extras *out,
                    struct nzd_err *err);

#endif
