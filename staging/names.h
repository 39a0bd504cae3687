/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_NAMES_H
#define NZD_STAGING_NAMES_H

/*
 * Names kept once. Those of a release repeat: every module imports erlang,
 * lists, Elixir.Enum. Who makes them up cannot have them meet in one place: it
 * is told by a key of this table's own.
 */

#include "../journal/bytes.h"

/* Initialised by zeros but for `arena`, where the names live. */
struct nzd_names {
    struct nzd_arena *arena;
    const char **table; /* open addressing, at most half full */
    uint32_t count;
    uint32_t size;
    uint64_t key[2]; /* drawn with the table */
    bool refused;    /* there were more than NZD_LIMIT_NAMES */
};

/* The name in the arena, NUL-terminated; NULL without memory, or `refused`. */
const char *nzd_names_view(struct nzd_names *names, struct nzd_view view);
/* Frees the table; the names stay. */
void nzd_names_clear(struct nzd_names *names);

#endif
