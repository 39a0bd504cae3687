/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_PROGRAM_CHILD_H
#define NZD_ENGINE_PROGRAM_CHILD_H

/*
 * The other side of a program's run: a supervising process between nzd and
 * the program. It outlives nzd by the moment it takes to end the program and
 * all that the program started, also what went to a session of its own.
 */

#include <stdint.h>
#include <sys/types.h>

/* The supervisor's words to nzd over `report`, one after the other. */
enum nzd_program_word {
    NZD_PROGRAM_STARTED = 1, /* value: pid, which is the process group's too */
    NZD_PROGRAM_FAILED = 2,  /* value: errno of exec */
    NZD_PROGRAM_ENDED = 3    /* value: wait status; all of the group is gone */
};

struct nzd_program_report {
    int32_t word;
    int32_t value;
};

/* How long a program has from TERM to KILL. */
#define NZD_PROGRAM_GRACE_MS 500
/* How long what was killed may take to go. */
#define NZD_PROGRAM_REAP_MS 1000

struct nzd_program_fds {
    int output; /* write end: stdout and stderr of the program */
    int report; /* write end */
    int leash;  /* read end: a byte asks for an end, its closing kills */
};

/* Never returns. Only for a child that fork() just made. */
void nzd_program_supervise(const struct nzd_program_fds *fds,
                           const char *const *argv, char *const *environment)
    __attribute__((noreturn));

#endif
