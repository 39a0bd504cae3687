/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_PROGRAM_H
#define NZD_ENGINE_PROGRAM_H

/*
 * Programs that nzd starts (hooks): their own process group, standard input
 * /dev/null, output bounded and kept, ended as a group at the time limit
 * (TERM, 500 ms, KILL) and when nzd dies (PR_SET_PDEATHSIG in the child of
 * a small supervising fork that kills the group, so that grandchildren
 * die too). No file descriptor but 0, 1, 2 is passed on. While it waits the
 * link's ticks are answered.
 */

#include "link.h"

struct nzd_program {
    const char *const *argv; /* argv[0] an absolute path or found in PATH */
    const char *const *environment; /* NAME=VALUE, added to ours; NULL ends */
    uint64_t timeout_us;
    size_t output_max; /* bytes of stdout and stderr together */
};

enum nzd_program_end {
    NZD_PROGRAM_EXITED,    /* status is the exit status */
    NZD_PROGRAM_SIGNALLED, /* status is the signal */
    NZD_PROGRAM_TIMED_OUT,
    NZD_PROGRAM_NOT_STARTED, /* status is errno */
    NZD_PROGRAM_INTERRUPTED  /* nzd was told to stop (see interrupt.h) */
};

struct nzd_program_result {
    enum nzd_program_end end;
    int status;
    uint64_t took_us;
    bool cut;              /* output went over output_max */
    struct nzd_buf output; /* the caller clears; UTF-8 made printable is the
                              printer's affair */
};

/* `link` may be NULL. Returns 0 for every end above; an error only when the
 * link was lost meanwhile (NZD_ELOST, the program is ended) or we are out of
 * resources. */
int nzd_program_run(const struct nzd_program *program, struct nzd_link *link,
                    struct nzd_program_result *out, struct nzd_err *err);

#endif
