/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_JOURNAL_LOCK_H
#define NZD_JOURNAL_LOCK_H

/*
 * The writer's lock of a journal: flock(2) on DIRECTORY/lock, closed on exec,
 * so that no program that outlives its parent keeps it. The holder writes who
 * it is into the file; a text whose process is gone is not believed.
 */

#include "err.h"

#include <stdint.h>

/*
 * Takes the lock, waiting up to `wait_us` microseconds. `purpose` is what a
 * second one is told ("nzd apply"); NULL is fine. Stores a descriptor to give
 * to nzd_lock_release(). Fails: NZD_EBUSY (held; the message says by whom),
 * NZD_EREFUSED (a signal came while waiting), NZD_EJOURNAL.
 */
int nzd_lock_take(const char *directory, const char *purpose, uint64_t wait_us,
                  int *out, struct nzd_err *err);
/*
 * For whoever cannot wait: SIGKILL to the process that holds the lock. Only
 * where it is proven that the one named in the file is meant: its pid, its
 * start time, that it has this very file open, and that it is an nzd. Returns
 * 0 with its pid; the lock is free once it is gone. NZD_EBUSY: nobody holds
 * it, or it is not proven; nobody was signalled.
 */
int nzd_lock_end_holder(const char *directory, int64_t *pid,
                        struct nzd_err *err);
/* Who holds it now, without taking it: 0 nobody, or it cannot be told;
 * NZD_EBUSY with the message that a second one gets. */
int nzd_lock_look(const char *directory, struct nzd_err *err);
/* -1 is fine. */
void nzd_lock_release(int lock);

#endif
