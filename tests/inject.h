/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_INJECT_H
#define NZD_TESTS_INJECT_H

/*
 * System calls that fail: a command under strace, which has the N-th call of a
 * kind return an error instead of being made. Calls are counted for each
 * process by itself, its children included.
 */

#include "harness.h"

struct fault {
    const char *call;  /* "pwrite64" */
    const char *error; /* "EIO" */
    bool lasting;      /* the N-th and all behind it: a disk that has died */
    bool journal;      /* only calls on files of the journal count */
    unsigned stride;   /* a proof in full takes each so many-th N */
};

/* Whether processes may be traced here. */
bool inject_is_possible(struct harness *harness);

/* Runs it without a fault and counts the calls of its first process. */
struct harness_run inject_count(struct harness *harness,
                                const char *const *argv,
                                const struct fault *faults, size_t count,
                                unsigned *calls);
/* Runs it with the fault at call `at`, from 1; killed after `limit_ms`. `hit`
 * says whether the call came to pass. */
struct harness_run inject_run(struct harness *harness, const char *const *argv,
                              const struct fault *fault, unsigned at,
                              int limit_ms, bool *hit);
/* The log of the last one: the calls of that kind, one a line. */
const char *inject_log(struct harness *harness);

#endif
