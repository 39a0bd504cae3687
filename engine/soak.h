/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_SOAK_H
#define NZD_ENGINE_SOAK_H

/*
 * A soak: the new code runs for a while, under the load that is there, before
 * it is kept; how the node does is compared with how it did just before. The
 * agent can undo all the while, and does so when this nzd is lost.
 *
 *   before ARMED   the node is watched for `before` (less in a shorter soak)
 *   behind hooks   it is watched for `for`; crashes and restarts of children
 *                  that go beyond the rate before (and what chance may add) end
 * it at once, the rest is judged at its end by the median of the last samples,
 * so that one spike condemns nobody; the hooks are run again
 *
 * Both readings become events of the transaction.
 */

#include "command.h"
#include "config.h"
#include "node.h"

struct nzd_transaction;

struct nzd_soak {
    uint64_t us;               /* 0: none */
    struct nzd_reading before; /* the medians of the time before */
};

/* How long an apply is to soak; 0: not at all. */
uint64_t nzd_soak_wanted(const struct nzd_context *context,
                         enum nzd_txn_kind kind);

/* With the transaction open in the agent, before ARMED. NZD_EREFUSED: what is
 * asked for cannot be watched. Does nothing where none is wanted. */
int nzd_soak_before(struct nzd_transaction *t, struct nzd_err *err);

/* Behind the validation. NZD_EROLLEDBACK: the node does worse, the message
 * says in what. Does nothing where none is wanted. */
int nzd_soak_run(struct nzd_transaction *t, struct nzd_err *err);

/* Whether a node that read `before` may read `now`. Else `why` says in what it
 * does worse, in at most `size` bytes. `ended`: the soak is over, and what is
 * judged by samples is judged too. */
bool nzd_soak_judge(const struct nzd_soak_limits *limits,
                    const struct nzd_reading *before,
                    const struct nzd_reading *now, bool ended, char *why,
                    size_t size);

/* The median of each value that is sampled; counts, times and names are those
 * of the last one. `count` is at least 1. */
void nzd_soak_median(const struct nzd_reading *samples, unsigned count,
                     struct nzd_reading *out);

/* "0 crashes, 0 restarts in 5.0 s; 214 processes, 31.2 MB, queue 3 ..." */
void nzd_soak_describe(const struct nzd_reading *reading, char *out,
                       size_t size);

#endif
