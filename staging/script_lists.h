/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_SCRIPT_LISTS_H
#define NZD_STAGING_SCRIPT_LISTS_H

/*
 * What a boot script loads, brought up to what is there: a script that stays
 * in force while code changes under it lists the modules that its own release
 * had, and one that is not there keeps the VM from booting.
 */

#include "term.h"

/* Names, sorted by strcmp(). */
struct nzd_script_names {
    const char *const *items;
    uint32_t count;
};

/*
 * In each list below a path of one folder: what the base's script lists there
 * or `held` names stays, all else goes; what the base lists there and no list
 * has comes, unless `removed` names it. `script` is over the base's folders
 * (script_rebase.h). Terms of both are shared by the result. NZD_EBUNDLE: one
 * is no boot script.
 */
int nzd_script_lists(const struct nzd_term *script, const struct nzd_term *base,
                     const struct nzd_script_names *held,
                     const struct nzd_script_names *removed,
                     struct nzd_arena *arena, const struct nzd_term **out,
                     struct nzd_err *err);

#endif
