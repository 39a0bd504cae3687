/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_HOLD_H
#define NZD_TESTS_HOLD_H

/*
 * An nzd that is held at one of its points, so that the test does something
 * to the node at that very instant; and what nzd claims by its exit status,
 * held against the journal.
 */

#include "sweep.h"

/* Operations that wait two seconds for each answer. */
extern const struct operation quick_apply;
extern const struct operation quick_rollback;
extern const struct operation quick_failing;
extern const struct operation quick_trial;
extern const struct operation quick_confirm;

/* Begins the operation; returns when it stands at point `at`. */
struct harness_job *hold_at(struct sweep *sweep,
                            const struct operation *operation, unsigned at);
/* Where it may come to its end before: whether it stands there. */
struct harness_job *hold_begin(struct sweep *sweep,
                               const struct operation *operation, unsigned at,
                               bool *held);
/* Lets it go on, and waits for its end. */
struct harness_run hold_release(struct sweep *sweep, struct harness_job *job);
/* The first of both alone; harness_end() waits for its end. */
void hold_continue(struct harness_job *job);

/* The number of the journal's last transaction; 0: there is none. */
unsigned claim_last(struct sweep *sweep);
/* The number of the one before that which the operation is about. */
unsigned claim_before(struct sweep *sweep, const struct operation *operation);
/* The state of that one: "committed", or "none". */
const char *claim_state(struct sweep *sweep, unsigned id);

/*
 * What the run says by its exit status is what the journal says of the
 * transaction behind `last`: 0 committed or on trial, 6 rolled back, 10 open, 4
 * and 5 not begun, or on trial as it was before; and it said why, and came to
 * its end within the limit. A run that is not true fails the test and names
 * `after`.
 */
void claim_check(struct sweep *sweep, const struct operation *operation,
                 unsigned last, struct harness_run run, int limit_ms,
                 const char *after);

#endif
