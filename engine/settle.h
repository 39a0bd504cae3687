/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_SETTLE_H
#define NZD_ENGINE_SETTLE_H

/*
 * Settling an open transaction: the same code for a failure while nzd still
 * runs and for one that an earlier nzd left behind. It finds out whether
 * the VM is the one the transaction was armed in, takes the agent over with a
 * higher epoch where the link is a new one, has the old code put back, proves
 * it by md5 and attributes, and records rolled_back.
 */

#include "transaction.h"

struct nzd_settle {
    struct nzd_context *context;
    struct nzd_journal *journal;
    const struct nzd_target *target;
    struct nzd_node *node; /* a session that speaks for the transaction, or
                              NULL; a session made here is closed here */
    struct nzd_txn *txn;   /* as it is in the journal; updated */
    struct nzd_timeline *timeline;
    const char *why; /* recorded with the outcome */
    /* Results. */
    bool restarted; /* the VM is another one, or gone: nothing was undone */
    uint64_t agent_epoch; /* the last one the agent knew */
};

/* Notes who was ended by the operator's word since the last time, and prints
 * it. Silent where the node does not say. */
void nzd_settle_note_ended(struct nzd_context *context, struct nzd_node *node,
                           struct nzd_timeline *timeline);

/* One durable move of the record, with the events since the last one. */
int nzd_settle_move(struct nzd_settle *settle, enum nzd_state state,
                    struct nzd_err *err);

/*
 * Returns 0 when it is settled, durably: as rolled_back, or, where the change
 * goes through a restart (restarting.h), as committed; txn->state says.
 * NZD_EUNSETTLED: the node cannot be asked and is not proven gone, or an undo
 * is blocked; the journal holds armed or undoing and the next nzd goes on.
 * NZD_EJOURNAL: the old code may be back, but that could not be written; the
 * message says.
 */
int nzd_settle_txn(struct nzd_settle *settle, struct nzd_err *err);

/* Whether it is proven that this VM no longer runs. */
bool nzd_settle_is_gone(const struct nzd_vm *vm);

/* Settles the open transaction of the journal, when there is one: every
 * command that writes does this first. 0 also when there was none. */
int nzd_settle_open(struct nzd_context *context, struct nzd_journal *journal,
                    const struct nzd_target *target, struct nzd_err *err);

/* The same without asking a node, before a VM is started: NZD_EUNSETTLED,
 * nothing written, where the one it was armed in is not proven gone. */
int nzd_settle_gone(struct nzd_context *context, struct nzd_journal *journal,
                    struct nzd_err *err);

/* For who only asks: NZD_EBUSY while a transaction is open, since what the
 * node runs then may still be undone. `journal` may be NULL. */
int nzd_settle_none_open(struct nzd_journal *journal, struct nzd_err *err);

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

#endif
