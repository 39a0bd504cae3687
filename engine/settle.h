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

enum nzd_trial_wish {
    NZD_TRIAL_LEAVE,   /* until its deadline */
    NZD_TRIAL_CONFIRM, /* commit it, where the deadline has not passed */
    NZD_TRIAL_END      /* undo it now */
};

/* What is wanted of a trial that is found open, and what became of it. */
struct nzd_trial_word {
    enum nzd_trial_wish wish;
    uint64_t id;           /* of the open transaction; 0: none was open */
    bool tried;            /* that one was on trial */
    enum nzd_state state;  /* of it now; TRIAL: it was left */
    uint64_t left_us;      /* then, until its deadline */
    bool restarted;        /* its VM is another one, or gone */
    struct nzd_node *node; /* of one that was confirmed; the caller closes it */
};

struct nzd_settle {
    struct nzd_context *context;
    struct nzd_journal *journal;
    const struct nzd_target *target;
    struct nzd_node *node; /* a session that speaks for the transaction, or
                              NULL; a session made here is closed here */
    struct nzd_txn *txn;   /* as it is in the journal; updated */
    struct nzd_timeline *timeline;
    const char *why;          /* recorded with the outcome */
    enum nzd_trial_wish wish; /* where it is on trial */
    /* Results. */
    bool restarted; /* the VM is another one, or gone: nothing was undone */
    uint64_t agent_epoch;  /* the last one the agent knew */
    uint64_t left_us;      /* until the deadline of a trial that was left */
    struct nzd_node *kept; /* of one that was confirmed: the session that speaks
                              for it, since its loss has the agent call nzd;
                              the caller closes it */
};

/* Notes who was ended by the operator's word since the last time, and prints
 * it. Silent where the node does not say. */
void nzd_settle_note_ended(struct nzd_context *context, struct nzd_node *node,
                           struct nzd_timeline *timeline);

/* One durable move of the record, with the events since the last one. */
int nzd_settle_move(struct nzd_settle *settle, enum nzd_state state,
                    struct nzd_err *err);

/*
 * Returns 0 when it is settled, durably; txn->state says: rolled_back; where
 * the change goes through a restart (restarting.h) also committed; of a trial
 * as `wish` has it, also committed, or left as it is, on trial. NZD_EUNSETTLED:
 * the node cannot be asked and is not proven gone, or an undo is blocked; the
 * journal holds armed or undoing and the next nzd goes on. NZD_EJOURNAL: the
 * old code may be back, but that could not be written; the message says.
 */
int nzd_settle_txn(struct nzd_settle *settle, struct nzd_err *err);

/* Has the old code put back in the same VM, proves it, and moves to
 * rolled_back. `new_session`: `node` does not speak for it yet. */
int nzd_settle_undo(struct nzd_settle *settle, struct nzd_node *node,
                    bool new_session, struct nzd_err *err);
/* The session speaks for the transaction from here on, with an epoch above
 * all; `phase` is where the agent was. NZD_EBUSY: another journal's. */
int nzd_settle_take_over(struct nzd_settle *settle, struct nzd_node *node,
                         char phase[16], struct nzd_err *err);

/* Whether it is proven that this VM no longer runs. */
bool nzd_settle_is_gone(const struct nzd_vm *vm);

/* Settles the open transaction of the journal, when there is one: every
 * command that writes does this first. 0 also when there was none. `word` NULL:
 * one that stays on trial is NZD_EREFUSED with its deadline. */
int nzd_settle_open(struct nzd_context *context, struct nzd_journal *journal,
                    const struct nzd_target *target,
                    struct nzd_trial_word *word, struct nzd_err *err);

/* The same without asking a node, before a VM is started: NZD_EUNSETTLED,
 * nothing written, where the one it was armed in is not proven gone. */
int nzd_settle_gone(struct nzd_context *context, struct nzd_journal *journal,
                    struct nzd_err *err);

/* For who only asks: NZD_EBUSY while a transaction is open, NZD_EREFUSED while
 * it is on trial, since what the node runs then may still be undone. `journal`
 * may be NULL. */
int nzd_settle_none_open(struct nzd_journal *journal, struct nzd_err *err);

#endif
