/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_SCRIPT_MARK_H
#define NZD_STAGING_SCRIPT_MARK_H

/*
 * A boot script that says which generation it boots: its first command puts
 * the number under {nzd, booted} in the VM's persistent_term, where it stays
 * until another script is booted (init:restart/0 erases all of them). So it
 * is known what a VM booted, whichever way it was started.
 */

#include "term.h"

/* Terms of `script` are shared by the result. NZD_EBUNDLE: it is no boot
 * script. */
int nzd_script_mark(const struct nzd_term *script, uint64_t generation,
                    struct nzd_arena *arena, const struct nzd_term **out,
                    struct nzd_err *err);

#endif
