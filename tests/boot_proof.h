/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_BOOT_PROOF_H
#define NZD_TESTS_BOOT_PROOF_H

/*
 * What the proofs around boot_stub.h share: a journal that a real node has
 * made, with generation 1 in force, kept to begin each case with.
 */

#include "boot_stub.h"
#include "sweep.h"

struct boot_proof {
    struct sweep *sweep; /* its node is down but where a proof starts it */
    struct boot_stub *stub;
    const char *kept;  /* the journal as a case begins */
    const char *older; /* the same before an apply over it that failed */
    const char *root;  /* of the overlay */
};

/* For cmocka: *state is a proof; generation 1 is counter 0.2.0. */
int boot_proof_setup(void **state);
int boot_proof_teardown(void **state);

/* nzd boot --journal ... -- COMMAND. */
const char *const *boot_proof_argv(struct boot_proof *proof);
/* Stops the VM; the journal as it is now is what cases begin with. */
void boot_proof_keep(struct boot_proof *proof);
/* The journal alone: what earlier cases left in RAM stays. */
void boot_proof_begin_again(struct boot_proof *proof);
/* One without a journal, and with a node that runs 0.1.0. */
void boot_proof_begin_fresh(struct boot_proof *proof);
/* The overlay that boots now is the whole one. */
void boot_proof_learn(struct boot_proof *proof);
/* A number of a point of the operation between its first durable move and
 * its last, where things are now. */
unsigned boot_proof_midway(struct boot_proof *proof,
                           const struct operation *operation);

#endif
