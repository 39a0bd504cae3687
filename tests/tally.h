/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_TALLY_H
#define NZD_TESTS_TALLY_H

/*
 * What the proofs of crash safety count. Each proof is a row:
 *
 *   points       different places at which something was interrupted
 *   runs         interruptions, each with all that was checked behind it
 *   violations   runs after which something did not hold
 *
 * A proof that a failing check leaves early is one violation, and its row
 * says so. tally_report() prints the rows and, where NZD_CRASH_REPORT names a
 * file, appends them to it for tests/crash.sh:
 * "NAME\tPOINTS\tRUNS\tVIOLATIONS".
 */

struct tally {
    const char *name;
    unsigned points;
    unsigned runs;
    unsigned violations;
    unsigned complete; /* tally_end() was reached */
};

/* The row of this name; the same one for the same name. Never freed. */
struct tally *tally_begin(const char *name);
void tally_end(struct tally *tally);
/* After all tests of a program; returns `failed` for main(). */
int tally_report(int failed);

#endif
