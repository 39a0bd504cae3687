/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_TRANSACTION_H
#define NZD_ENGINE_TRANSACTION_H

/*
 * One run of a plan: apply and rollback are the same steps over another new
 * side. The order of acts and durable moves, and what is true when nzd or the
 * VM is killed right after each:
 *
 *   checks           nothing was touched
 *   begin            the agent holds prepared code; it forgets it
 *   watch            (with a soak) the same
 *   snapshot         blobs nobody refers to; the next commit collects them
 *   ARMED            recovery undoes (nothing is loaded yet: that is quick)
 *   (lay out         changed files of priv; as after ARMED)
 *   switch           the agent undoes by itself; recovery finishes it
 *   validate, hooks  the same
 *   soak             the same
 *   keep             the agent waits; recovery undoes
 *   (of a trial, instead: trial.h)
 *   COMMITTED        the new code is in force
 *   done             old code is purged, removed modules go
 *
 * A change that needs a restart goes another way behind ARMED; restarting.h
 * has it. Capitals are durable moves. A failure after ARMED goes through
 * nzd_settle_txn(), which is what recovery runs too.
 */

#include "question.h"
#include "restart.h"
#include "soak.h"
#include "timeline.h"

struct nzd_transaction {
    /* Set by the caller, borrowed. */
    struct nzd_context *context;
    struct nzd_question *q;
    enum nzd_txn_kind kind;
    const char *source; /* the bundle as the operator named it, or "" */
    uint64_t to_generation;
    uint64_t trial_us; /* 0: it is committed at once */
    struct nzd_soak soak;
    /* Called as soon as it is durably committed in the running VM, before what
     * follows that; may be NULL. */
    void (*committed)(struct nzd_transaction *t);
    /* Owned by the caller; closed and opened again when a move fails. */
    struct nzd_journal *journal;
    struct nzd_journal_options journal_options;
    /* Results; cleared by nzd_transaction_clear(). */
    struct nzd_txn txn;
    struct nzd_timeline timeline;
    struct nzd_module_row *rows;
    uint32_t row_count;
    struct nzd_buf kept;      /* what live_config.h keeps for an undo */
    struct nzd_buf extras;    /* what extras.h keeps for a rollback */
    enum nzd_restart_way way; /* NONE: the change is made in the running VM */
    bool begun;
    bool restarted; /* rolled back because the VM that ran it is gone */
    bool in_place;  /* committed, and init:restart/0 boots it */
    bool undecided; /* the commit failed and the journal cannot be read */
};

/*
 * Runs it. Returns 0 when it is durably committed, or, with `trial_us`, durably
 * on trial; NZD_EREFUSED nothing was
 * touched (an `aborted` record where it had a number); NZD_EROLLEDBACK the old
 * code runs, durably so; NZD_EUNSETTLED, NZD_EJOURNAL, NZD_EBUSY, NZD_ENODE
 * as their exit codes say. `err` has the reason in each case.
 */
int nzd_transaction_run(struct nzd_transaction *t, struct nzd_err *err);
void nzd_transaction_clear(struct nzd_transaction *t);

/* The checks alone (--dry-run, plan): what would be refused is refused. */
int nzd_transaction_check(struct nzd_transaction *t, struct nzd_err *err);

/* Looks whether all is there, and runs the hooks: NZD_EROLLEDBACK. */
int nzd_transaction_validate(struct nzd_transaction *t, struct nzd_err *err);

/* One durable move with the events since the last one. */
int nzd_transaction_move(struct nzd_transaction *t, enum nzd_state state,
                         uint64_t reserve_bytes, struct nzd_err *err);

/* The same behind armed: a move whose write failed is there all the same when
 * it is read back (0). With `undecided` set, nobody can read it. */
int nzd_transaction_conclude(struct nzd_transaction *t, enum nzd_state state,
                             struct nzd_err *err);

#endif
