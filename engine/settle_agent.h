/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_SETTLE_AGENT_H
#define NZD_ENGINE_SETTLE_AGENT_H

/*
 * An agent that waits for a word: its transaction ended durably, and nzd ended
 * before it had told the agent. Nothing is written to the journal.
 */

#include "transaction.h"

/*
 * An agent that was not told how its transaction ended, because nzd was killed
 * right after the last durable move, is told now: done where the journal says
 * committed, undo where it says rolled_back. So is a new agent in a VM where
 * the one that made the last commit has died: old code and removed modules are
 * still to go. Another journal's agent, or one with nothing to do, is left
 * alone.
 */
int nzd_settle_agent(struct nzd_context *context, struct nzd_journal *journal,
                     struct nzd_question *q, struct nzd_err *err);

/* The agent is told that its transaction is committed; what the node has still
 * to do by itself is warned of. */
int nzd_settle_done(struct nzd_context *context, struct nzd_node *node,
                    struct nzd_err *err);

#endif
