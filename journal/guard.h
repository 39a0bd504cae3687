/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_JOURNAL_GUARD_H
#define NZD_JOURNAL_GUARD_H

/*
 * Runs a function in a child process, so that what a damaged file does to the
 * one who reads it (SIGBUS, SIGSEGV, a loop without end) happens there.
 */

#include "err.h"

struct nzd_guard {
    const char *what;     /* for messages: "journal /data/nzd/journal" */
    unsigned cpu_seconds; /* a child that took more is ended */
    int lock;             /* closed in the child, which must not keep it; -1 */
};

/*
 * `body` runs in the child with a fresh error, which comes back as it left
 * it. A child that died by a signal is NZD_EJOURNAL "damaged"; one that ran
 * out of CPU time is NZD_EJOURNAL too, with a message that does not call it
 * damage. A child that cannot be made, or cannot report, is NZD_EJOURNAL that
 * says so: no proof of damage either.
 */
int nzd_guard_run(const struct nzd_guard *guard,
                  int (*body)(void *context, struct nzd_err *err),
                  void *context, struct nzd_err *err);

#endif
