/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_ATTEND_H
#define NZD_ENGINE_ATTEND_H

/*
 * The keeper of a trial: `nzd recover --attend`, a process of the host where
 * the journal is. It sleeps until the deadline (CLOCK_BOOTTIME, so that a host
 * that slept is late by nothing) or until the journal says that the trial has
 * ended, holding neither lock nor link. From the deadline on it runs `nzd
 * recover` until nothing is open, each time as another process. It ends with
 * the transaction it came for, or with the journal.
 *
 * It is not the only one who ends a trial: the agent has the deadline too. But
 * that one cannot in a VM that hangs, or that was started anew.
 */

#include "command.h"

/* Leaves one behind. Where that cannot be it warns: the agent alone ends the
 * trial then, and the next nzd settles the journal. */
void nzd_attend_leave(struct nzd_context *context,
                      const struct nzd_target *target, const char *journal);

/* To be one. 0: no trial is open any more, or a signal came. `other`: another
 * transaction is, and was before. */
int nzd_attend(struct nzd_context *context, bool *other, struct nzd_err *err);

#endif
