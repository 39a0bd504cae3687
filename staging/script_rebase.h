/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_SCRIPT_REBASE_H
#define NZD_STAGING_SCRIPT_REBASE_H

/*
 * The boot script of a release, made to boot over another one's files: a
 * folder of its code path that belongs to an application of the base, or
 * to its consolidated protocols, is named as the base's script names it,
 * variables such as $ROOT included. A folder that the base has none for stays
 * as it is; so does everything else.
 */

#include "term.h"

/* Terms of both are shared by the result. NZD_EBUNDLE: one is no boot script.
 */
int nzd_script_rebase(const struct nzd_term *script,
                      const struct nzd_term *base, struct nzd_arena *arena,
                      const struct nzd_term **out, struct nzd_err *err);

#endif
