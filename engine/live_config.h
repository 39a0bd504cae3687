/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_LIVE_CONFIG_H
#define NZD_ENGINE_LIVE_CONFIG_H

/*
 * What a switch changes besides code: the environment of applications, files
 * of their priv, which of them run, and which start anew
 * (beam/nzd_agent_live.erl does it). Before
 * armed the agent is told both sides; it finds the keys and says what an undo
 * needs: the values that are set now, with which start types what goes was
 * started. That is kept in the journal beside the rows, under a name of its
 * own, opaque, for an agent that has forgotten. It holds values of the
 * environment, as the journal's sys.config does.
 *
 * What a later boot takes are the rows of the files (file_rows.h), which such
 * a transaction has as one that goes through a restart has them.
 */

#include "transaction.h"

/* The plan changes such things in the running VM. */
bool nzd_live_config_is(const struct nzd_plan *plan);
/* Files of priv are among them: they are laid out before the switch
 * (code_path.h), which puts them on the code path, and the undo is told the
 * path that was. */
bool nzd_live_config_has_files(const struct nzd_plan *plan);
/* So did this transaction. */
bool nzd_live_config_was(const struct nzd_txn *txn);
/* Adds the words for the record's options: "live restarts=APP", or none. */
void nzd_live_config_put_words(const struct nzd_plan *plan,
                               struct nzd_buf *out);
/* On the way back over this transaction: what changes of the applications that
 * it started anew starts anew, too. */
int nzd_live_config_undo(struct nzd_question *q, const struct nzd_txn *txn,
                         struct nzd_err *err);
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
