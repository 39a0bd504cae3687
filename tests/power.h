/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_POWER_H
#define NZD_TESTS_POWER_H

/*
 * What must hold of a journal that a power cut left, whatever was cut. Each
 * look runs in a child process with a time limit: one that crashes or hangs is
 * a finding.
 */

#include <stdbool.h>

struct power_finding {
    char text[2048]; /* what the journal holds, see power_look() */
    char why[640];   /* what does not hold, or "" */
};

/*
 * Opens it to read, verifies it and tells its transactions from the newest
 * down and what is in force over the newest one's base:
 * "2:rolled_back 1:committed | 1 of 5 3f2a…"; "none" where there is no journal.
 */
struct power_finding power_look(const char *directory);

/*
 * The same, then goes on as after a restart of the device. To write, as
 * `nzd recover` does, it holds the same; an open transaction, which there can
 * be one of, is rolled back, and what is in force does not change by that. It
 * opens as `nzd apply` does, which makes a journal where there is none, and a
 * transaction is armed, committed and found again. Verified after each.
 */
struct power_finding power_go_on(const char *directory);

#endif
