/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_INSTRUCTION_H
#define NZD_STAGING_INSTRUCTION_H

/*
 * Instructions of a release upgrade (sasl, "appup" and "relup"), high-level
 * ones and those that systools makes of them. nzd loads all modules at one
 * instant, migrates who runs them, starts and stops the children of
 * supervisors and purges softly by itself: what says only that is done. An
 * application that starts anew is restart-app. What nzd cannot do, or could
 * not undo, is a reason for restart-vm.
 */

#include "settings.h"

struct nzd_instructions {
    const struct nzd_term *way; /* a list; else there is nothing in it */
    const char *file;           /* "counter.appup", "relup" */
    const char *old;            /* the versions it leads from and to */
    const char *new;
};

/* Adds a line for each that needs more than code and state of processes. */
int nzd_instructions_judge(const struct nzd_instructions *instructions,
                           const struct nzd_inventory *old,
                           const struct nzd_inventory *new,
                           struct nzd_arena *arena,
                           struct nzd_evidence_list *out, struct nzd_err *err);

/* What code_change of this module is handed as Extra, in the way's memory;
 * NULL: nothing is said. */
const struct nzd_term *nzd_instructions_extra(const struct nzd_term *way,
                                              const char *module);

#endif
