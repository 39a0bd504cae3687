/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_BEFORE_START_H
#define NZD_ENGINE_BEFORE_START_H

/* Settling at a time when no VM can run yet, as a step before its start. */

#include "command.h"

/*
 * Settles the open transaction of this host's journal where the VM that it was
 * armed in is proven gone; no node is asked. All of it, reading the
 * configuration included, happens in a child process that is ended at
 * `boot { timeout }`: a start waits for us, and must not wait for good. 0:
 * nothing is open (any more), durably. NZD_EUNSETTLED: that VM is not proven
 * gone, or the time was over. NZD_EJOURNAL, NZD_EBUSY, NZD_EUSAGE.
 */
int nzd_before_start(struct nzd_context *context, struct nzd_err *err);

#endif
