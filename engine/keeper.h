/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_KEEPER_H
#define NZD_ENGINE_KEEPER_H

/*
 * The keeper: a small process outside the VM that outlives the command, has no
 * terminal, and keeps nothing open. One waits whether the VM that nzd boot
 * starts stays up, and then writes down that the generation is healthy; the
 * other is a program, for a trial (attend.h).
 */

#include "../journal/digest.h"

struct nzd_keeper {
    const char *journal; /* the journal's folder */
    struct nzd_digest base;
    uint64_t generation; /* over it, that is booted */
    uint64_t healthy_us; /* how long the VM must stay up */
    /* This program's arguments, run where it stays up in place of writing it
     * down: the generation is not committed yet, and nobody may be left to do
     * so. NULL: it is. */
    char *const *settle;
};

/*
 * Leaves one behind that watches this process, which is to become the VM by
 * exec. Returns what dismisses it, or -1: without one the generation is not
 * found healthy by itself.
 */
int nzd_keeper_leave(const struct nzd_keeper *keeper);
/* It was not executed: another thing will be this process. -1 is fine. */
void nzd_keeper_dismiss(int keeper);

/* Leaves this program behind with another command line, argv[0] its path.
 * 0 when it is executed, else an errno. */
int nzd_keeper_start(const char *const *argv);

#endif
