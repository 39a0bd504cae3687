/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_LIVE_CONFIG_H
#define NZD_ENGINE_LIVE_CONFIG_H

/*
 * What a switch changes besides code: the environment of applications, and
 * which of them run (beam/nzd_agent_live.erl does it). Before armed the agent
 * is told both sides; it finds the keys and says what an undo needs: the
 * values that are set now, with which start types what goes was started. That
 * is kept in the journal beside the rows, under a name of its own, opaque,
 * for an agent that has forgotten. It holds values of the environment, as the
 * journal's sys.config does.
 *
 * What a later boot takes are the rows of the files (file_rows.h), which such
 * a transaction has as one that goes through a restart has them.
 */

#include "transaction.h"

/* The plan changes such things in the running VM. */
bool nzd_live_config_is(const struct nzd_plan *plan);
/* So did this transaction. */
bool nzd_live_config_was(const struct nzd_txn *txn);
/* The word for the record's options: "live", or "". */
const char *nzd_live_config_word(const struct nzd_plan *plan);
/* All that is over migrate is the operator's word that applications may stop,
 * which a switch can do. */
bool nzd_live_config_may_stop(const struct nzd_plan *plan);

/* Tells the agent and appends the row; nothing where nothing is live.
 * NZD_EREFUSED: runtime.exs fails, or changes what only a boot reads. */
int nzd_live_config_prepare(struct nzd_transaction *t, struct nzd_err *err);

/* Gives it to an agent that has forgotten; nothing where there is none. */
int nzd_live_config_resend(struct nzd_node *node, struct nzd_journal *journal,
                           uint64_t id, struct nzd_err *err);

#endif
