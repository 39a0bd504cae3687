/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_TESTS_HOOKED_H
#define NZD_TESTS_HOOKED_H

/*
 * What an apply of counter 0.2.0 with hooks must leave behind, of each outcome:
 * exit, what is printed, the code that runs, the record; and nothing else.
 */

#include "scene.h"

/* `why` is what is printed of the hook and kept in the record. */
void assert_rolled_back(struct scene *scene, const struct harness_run *run,
                        unsigned id, const char *why);
void assert_committed(struct scene *scene, const struct harness_run *run,
                      unsigned id);
/* The agent forgot what it had prepared: nothing of a transaction is left. */
void assert_aborted(struct scene *scene, const struct harness_run *run,
                    unsigned id);
/* The outputs of the events of this label begin so; the size of the last. */
size_t hooked_output_of(const char *record, const char *label,
                        const char *begins);

#endif
