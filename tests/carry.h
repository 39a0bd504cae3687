/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_CARRY_H
#define NZD_TESTS_CARRY_H

/*
 * A transaction from one release's folder to another's, as one that goes
 * through a restart has it: rows of modules, specifications, priv, the boot
 * script and the configuration, written by the journal's own functions.
 * Nothing of what makes them from a bundle is used.
 */

#include "../journal/journal.h"
#include "harness.h"

struct carry {
    const char *journal; /* the folder; made where it is not there */
    const char *base;    /* the release that boots */
    const char *from;    /* what is in force; NULL: the base */
    const char *to;
    bool open; /* it is left armed, and the VM it was armed in runs */
};

/* Returns the number of the transaction. What cannot be done fails the test.
 */
uint64_t carry_over(struct harness *harness, const struct carry *carry);
/* Commits it. */
void carry_commit(struct harness *harness, const char *journal, uint64_t id);
/* The identity of a base. */
struct nzd_digest carry_base(struct harness *harness, const char *release);

#endif
