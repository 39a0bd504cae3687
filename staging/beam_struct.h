/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_BEAM_STRUCT_H
#define NZD_STAGING_BEAM_STRUCT_H

/*
 * The struct that an Elixir module defines: its keys, as the literal says that
 * its `__struct__/0` returns.
 */

#include "../journal/bytes.h"

struct nzd_beam_struct {
    bool found;        /* the module defines one */
    const char **keys; /* sorted, without `__struct__`; in the arena */
    uint32_t count;
};

/* `file` is a BEAM file. Fails NZD_EBUNDLE where it does not hold. */
int nzd_beam_struct_read(struct nzd_view file, struct nzd_arena *arena,
                         struct nzd_beam_struct *out, struct nzd_err *err);

bool nzd_beam_struct_has(const struct nzd_beam_struct *keys, const char *key);

#endif
