/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_BEAM_REACH_INTERNAL_H
#define NZD_STAGING_BEAM_REACH_INTERNAL_H

/* What beam_reach.c, which follows, and beam_reach_read.c, which reads what is
 * to be followed, share; no other room includes it. */

#include "beam.h"
#include "beam_literal.h"

enum nzd_reach_edge_kind {
    NZD_EDGE_LOCAL,   /* a label */
    NZD_EDGE_IMPORT,  /* index of an import */
    NZD_EDGE_LAMBDA,  /* index of a lambda */
    NZD_EDGE_LITERAL, /* index of a literal */
    NZD_EDGE_FUN,     /* calls a fun */
    NZD_EDGE_DYNAMIC, /* calls a module that it holds in a register */
    NZD_EDGE_MESSAGE  /* sends or waits for one */
};

struct nzd_reach_edge {
    enum nzd_reach_edge_kind kind;
    uint32_t target;
};

struct nzd_reach_function {
    const char *name;
    uint32_t arity;
    uint32_t label;      /* behind func_info's: where calls lead; 0: none yet */
    uint32_t first, end; /* of the module's edges */
    uint64_t seen;       /* the run that came here last */
};

struct nzd_reach_module {
    struct nzd_reach_module *next;
    struct nzd_arena arena;
    const char *name;
    bool missing;
    bool native; /* loads a NIF: its code says nothing */
    bool of_set;
    bool used;
    uint64_t seen;
    struct nzd_beam beam;
    struct nzd_literals *literals;
    struct nzd_reach_function *functions;
    uint32_t function_count, function_capacity;
    struct nzd_reach_edge *edges;
    uint32_t edge_count, edge_capacity;
};

/* Fills name, beam, literals, functions and edges; `missing` where it is more
 * than is followed, or of a newer VM. */
int nzd_reach_module_read(struct nzd_view file, struct nzd_reach_module *module,
                          struct nzd_err *err);
void nzd_reach_module_free(struct nzd_reach_module *module); /* NULL is fine */

/* Room for one item more; NULL without memory, the items stay. */
void *nzd_reach_grown(void *items, uint32_t count, uint32_t *capacity,
                      size_t size);

#endif
