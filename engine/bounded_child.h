/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_BOUNDED_CHILD_H
#define NZD_ENGINE_BOUNDED_CHILD_H

/*
 * Work that a start of the VM waits for, done in a child process with a time
 * limit: what a damaged file, a hung disk, a lock that nobody lets go of or a
 * bug of ours does to the one who looks happens there. Only an answer that
 * comes back whole through a pipe counts.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NZD_BOUNDED_FIRST_US 10000000u  /* until the child has named a limit */
#define NZD_BOUNDED_MAX_US   120000000u /* whatever limit it names */

struct nzd_bounded_line; /* of the child to whoever asked */

/*
 * In the child: fills `answer`, which is zeros before; its bytes go to the
 * parent as they are, so it holds no pointers. The child leads a process group
 * of its own, dies with the parent, notes INT, TERM and HUP, and what it says
 * on stdout and stderr waits for no reader.
 */
typedef void nzd_bounded_work(void *context, struct nzd_bounded_line *line,
                              void *answer);

/* In the child, once: how long it may take, from its start on. */
void nzd_bounded_limit(struct nzd_bounded_line *line, uint64_t limit_us);

struct nzd_bounded_end {
    enum nzd_bounded_how {
        NZD_BOUNDED_ANSWERED,
        NZD_BOUNDED_LATE,        /* the limit came first */
        NZD_BOUNDED_INTERRUPTED, /* we were told to end: nzd_interrupt_pending
                                  */
        NZD_BOUNDED_DIED,        /* `number`: of the signal, 0: of none */
        NZD_BOUNDED_NOT_MADE     /* `number`: errno */
    } how;
    int number;
};

/*
 * Never fails and returns a second after the limit at the latest, with the
 * child ended: but for one that the kernel does not let go of, which is left.
 * Without an answer `answer` is zeros.
 */
struct nzd_bounded_end nzd_bounded_ask(nzd_bounded_work *work, void *context,
                                       void *answer, size_t size);

/* This process' stdout and stderr, where they are no files, wait for no
 * reader from now on: a terminal may be stopped, a pipe full. */
void nzd_bounded_streams(void);

#endif
