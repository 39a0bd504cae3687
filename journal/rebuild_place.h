/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_JOURNAL_REBUILD_PLACE_H
#define NZD_JOURNAL_REBUILD_PLACE_H

/*
 * Where a journal is built and where it goes: a folder beside its place,
 * locked against another one who builds there, and the rename into place.
 */

#include "err.h"

#include <stdbool.h>

struct nzd_rebuild_place {
    char *target; /* of the journal */
    char *parent;
    char *path; /* where it is built; NULL: nowhere */
    int lock;   /* on the parent; -1 */
};

/*
 * Checks that nothing is at `directory`, makes and syncs its parents, locks
 * the last of them, removes what interrupted ones left and makes a folder to
 * build in. Zeros and lock -1 before; leave() after it, also where it fails.
 */
int nzd_rebuild_place_take(struct nzd_rebuild_place *place,
                           const char *directory, struct nzd_err *err);
/* What was built is the journal, durably. NZD_EBUSY where there is one now. */
int nzd_rebuild_place_fill(struct nzd_rebuild_place *place,
                           struct nzd_err *err);
/* Removes what was not put in place. */
void nzd_rebuild_place_leave(struct nzd_rebuild_place *place);

#endif
