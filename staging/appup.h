/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_APPUP_H
#define NZD_STAGING_APPUP_H

/*
 * Where a release has the instructions for its change from one version to
 * another (instruction.h): releases/VSN/relup for all of it, which counts where
 * it leads from the one to the other, and ebin/NAME.appup for each application.
 * Those of the higher version count, whichever way it goes: a downgrade is told
 * by the version that runs, not by the one that comes.
 */

#include "settings.h"

/* Below 0: `a` is the lower version by its numbers ("0.9.1" and "0.10.0-rc1");
 * what follows a sign other than a dot is not compared. */
int nzd_version_compare(const char *a, const char *b);

/* Is this {Version, [Up...], [Down...]}, as both of them are? */
bool nzd_appup_is(const struct nzd_term *term);

/*
 * The instructions that lead to the appup's version from `version` (`down`:
 * from the appup's version to that one); NULL: it has none for it. A version
 * that is a binary is a regular expression, read as POSIX extended ones are,
 * with \d, \w and \s besides; one with {} or back references matches none.
 */
const struct nzd_term *nzd_appup_find(const struct nzd_term *appup,
                                      const char *version, bool down);

/* The same of a relup, where a version stands for itself alone. */
const struct nzd_term *nzd_relup_find(const struct nzd_term *relup,
                                      const char *version, bool down);

/* Adds a line for each instruction that needs more than code and state of
 * processes: of the relup, else of the appups of the applications that
 * change their version. */
int nzd_appup_judge(const struct nzd_inventory *old,
                    const struct nzd_inventory *new, struct nzd_arena *arena,
                    struct nzd_evidence_list *out, struct nzd_err *err);

/* What is handed to code_change as Extra for a module of this application on
 * the way from `old` to `new` (`back`: from `new` to `old`); NULL: nothing is
 * said. The term is of the inventory of the higher version. */
const struct nzd_term *nzd_appup_extra(const struct nzd_inventory *old,
                                       const struct nzd_inventory *new,
                                       bool back, const char *app,
                                       const char *module);

#endif
