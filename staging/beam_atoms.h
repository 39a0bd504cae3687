/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_BEAM_ATOMS_H
#define NZD_STAGING_BEAM_ATOMS_H

/*
 * The atoms of a module: the chunk AtU8, as OTP 20 to 27 and as OTP 28 write
 * it. Counted from 1; the first is the name of the module.
 */

#include "beam_file.h"

/* Initialised by zeros and `arena`. A name goes to the arena when it is first
 * asked for, and is the same from then on. */
struct nzd_atoms {
    uint32_t count;
    bool compact;           /* a length is a compact term, not a byte: OTP 28 */
    struct nzd_view *views; /* into the chunk */
    const char **names;
    struct nzd_arena *arena;
};

/* All atoms, or only the first. Fails NZD_EBUNDLE where the chunk does not
 * hold; clear() is due all the same. */
int nzd_atoms_read(struct nzd_view chunk, bool all, struct nzd_atoms *atoms,
                   struct nzd_err *err);
void nzd_atoms_clear(struct nzd_atoms *atoms);

/* The name of one that is asked for in `chunk`. Fails NZD_EBUNDLE where it is
 * not there, or no UTF-8. */
int nzd_atoms_name(struct nzd_atoms *atoms, uint64_t index,
                   enum nzd_chunk chunk, const char **out, struct nzd_err *err);

#endif
