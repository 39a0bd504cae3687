/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_BEAM_CODE_H
#define NZD_STAGING_BEAM_CODE_H

/*
 * Looks through the instructions of a module for the one thing that only they
 * tell: the compiler turns the attribute on_load into an instruction.
 */

#include "../journal/bytes.h"

enum nzd_on_load {
    NZD_ON_LOAD_NONE,
    NZD_ON_LOAD_FOUND,
    NZD_ON_LOAD_UNKNOWN /* an instruction of a newer VM is in the way */
};

/* `code` is the Code chunk. Fails NZD_EBUNDLE when it does not hold. */
int nzd_code_on_load(struct nzd_view code, enum nzd_on_load *out,
                     struct nzd_err *err);

#endif
