/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_LANES_H
#define NZD_TESTS_LANES_H

/*
 * A proof that mostly waits, in full: copies of the test program run side by
 * side, each with every N-th point.
 */

#include <stdbool.h>

/* The exit status for main() when the copies have run; what they printed was
 * printed. Negative: this is one of them, or a sample; go on. */
int lanes_run(unsigned count);
/* Whether this copy is the one for this point, from 1. */
bool lanes_take(unsigned point);

#endif
