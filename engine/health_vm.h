/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_HEALTH_VM_H
#define NZD_ENGINE_HEALTH_VM_H

/*
 * Which generation the VM of this host has booted, for who speaks of its
 * health. The VM itself says so. What nzd boot noted down when it started the
 * process (overlay.h) is right only until init:restart/0: it is taken where
 * the VM cannot be asked, and nothing else can have been booted in place.
 */

#include "../journal/attempts.h"
#include "../journal/journal.h"
#include "command.h"

struct nzd_health_vm {
    uint64_t generation;    /* never 0 */
    struct nzd_digest base; /* that it lies over */
    bool open;              /* it is an open transaction's: not committed yet */
    bool in_force;          /* it is the newest one that is committed */
};

/* NZD_EREFUSED: the base runs, or it cannot be told; the message says which.
 * NZD_EJOURNAL as any reader of it. Nothing is written. */
int nzd_health_vm_find(struct nzd_context *context, struct nzd_journal *journal,
                       struct nzd_health_vm *out, struct nzd_err *err);

/* The generation over its base that was healthy last, by a count of any of
 * them: what was never committed is none. */
uint64_t nzd_health_vm_last(struct nzd_journal *journal,
                            const struct nzd_attempts *attempts);

#endif
