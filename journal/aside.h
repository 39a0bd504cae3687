/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_JOURNAL_ASIDE_H
#define NZD_JOURNAL_ASIDE_H

/*
 * A journal that is proven to be damaged, put out of the way so that a new one
 * can begin in its place. Nothing of it is changed or deleted: its directory
 * gets another name, DIRECTORY.bad-1 or the next number that is free.
 */

#include "err.h"

#include <stddef.h>
#include <stdint.h>

/*
 * The proof is made here, once more: under the writer's lock (waited for up to
 * `wait_us`), with nobody else having the store open, the store is walked and
 * verified, and what does not hold must be damage (nzd_err_damage()), not an
 * error of the system, a newer format or a want of memory.
 *
 * Returns 0 with the new name in `to`; durable. Else nothing was changed:
 * NZD_EREFUSED (it holds, or cannot be proven not to; the message says), or
 * NZD_EBUSY, or NZD_EJOURNAL (the directory cannot be renamed).
 */
int nzd_journal_set_aside(const char *directory, uint64_t wait_us, char *to,
                          size_t to_size, struct nzd_err *err);

#endif
