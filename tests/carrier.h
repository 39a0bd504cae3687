/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_CARRIER_H
#define NZD_TESTS_CARRIER_H

/*
 * A journal as records, and the same journal made of them: the one in the one
 * folder, the other in another. What fails here fails the running test.
 */

#include "../journal/rebuild.h"
#include "ledger.h"

struct pair {
    struct ledger from;
    struct ledger to; /* in a scratch folder of its own */
};

/* Adds records to a rebuild, but for what a test has done to one of them. */
struct carrier {
    struct nzd_rebuild *rebuild;
    enum nzd_transfer_kind kind; /* of these */
    unsigned at;                 /* the n-th, from 1 */
    unsigned seen;
    bool left_out;
    bool twice;
    void (*spoil)(struct nzd_transfer *record);
};

int pair_set_up(void **state);
int pair_tear_down(void **state);
/* An nzd_transfer_fn, of a carrier. */
int carrier_add(void *context, const struct nzd_transfer *record,
                struct nzd_err *err);
/* From the one to the other; the code of it, which is in `to`. */
int pair_carry_over(struct pair *pair, struct carrier *carrier);
/* Names in the folder around the target. */
const char *pair_around(const struct pair *pair);
/* The same tables in both; closes both and opens the second. */
void pair_check_same(struct pair *pair);
/* Carries over, and checks that. */
void pair_check_carried(struct pair *pair);

#endif
