/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_EXPORTED_H
#define NZD_TESTS_EXPORTED_H

/*
 * A journal to be exported and a place to import it to, for the tests of
 * `nzd journal export` and `import`.
 */

#include "harness.h"
#include "ledger.h"

struct exported {
    struct harness *harness;
    struct ledger from;
    const char *to;   /* where it goes */
    const char *file; /* the export */
};

int exported_set_up(void **state);

int exported_tear_down(void **state);

/* nzd journal WHAT MORE on the journal in `directory`. */
struct harness_run exported_journal(struct exported *place,
                                    const char *directory, const char *what,
                                    const char *more);

/* Three commits, closed. */
void exported_fill(struct exported *place);

/* The export, which succeeded, as `file` and as a text. */
const char *exported_text(struct exported *place);

/* Names beside the target, "" also where the folder is not there. */
const char *exported_beside(struct exported *place);

/* The words of `format`: nzd, a, b, c. */
struct harness_run exported_shell(struct exported *place, const char *format,
                                  const char *a, const char *b, const char *c);

#endif
