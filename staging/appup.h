/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_APPUP_H
#define NZD_STAGING_APPUP_H

/*
 * The instructions that an application brings for its change from one version
 * to another: ebin/NAME.appup (sasl, "appup"), high-level ones and those that
 * systools makes of them. nzd loads all modules at one instant, migrates who
 * runs them and purges softly by itself: what says only that is done. What it
 * cannot do, or could not undo, is a reason for a higher verdict.
 */

#include "settings.h"

/* Is this one {Version, [Up...], [Down...]}? */
bool nzd_appup_is(const struct nzd_term *term);

/*
 * The instructions that lead to the appup's version from `version` (`down`:
 * from the appup's version to that one); NULL: it has none for it. A version
 * that is a binary is a regular expression, read as POSIX extended ones are,
 * with \d, \w and \s besides; one with {} or back references matches none.
 */
const struct nzd_term *nzd_appup_find(const struct nzd_term *appup,
                                      const char *version, bool down);

/* Adds a line for each instruction of the applications that change their
 * version which needs more than code and state of processes. */
int nzd_appup_judge(const struct nzd_inventory *old,
                    const struct nzd_inventory *new, struct nzd_arena *arena,
                    struct nzd_evidence_list *out, struct nzd_err *err);

/* What `update` hands to code_change as Extra for a module of this
 * application, which changes from `old` to `new`; NULL: nothing is said. The
 * term is of the inventory whose appup it is. */
const struct nzd_term *nzd_appup_extra(const struct nzd_app *old,
                                       const struct nzd_app *new, bool down,
                                       const char *module);

#endif
