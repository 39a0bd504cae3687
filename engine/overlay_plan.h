/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_OVERLAY_PLAN_H
#define NZD_ENGINE_OVERLAY_PLAN_H

/*
 * What an overlay holds, before a file is written: the live rows of a base,
 * by the folder that each module lies in.
 */

#include "overlay.h"

struct nzd_overlay_module {
    const char *name;
    struct nzd_digest blob; /* zero: it is removed */
    bool added;             /* the base has none of this name */
    uint32_t folder;        /* index */
};

struct nzd_overlay_place {
    const char *base;   /* "/srv/counter/lib/counter-0.1.0/ebin" */
    const char *tail;   /* "counter-0.1.0/ebin" */
    const char *within; /* "lib/counter-0.2.0/ebin", below the overlay */
    const char *app;    /* "counter"; "" of consolidated protocols */
};

struct nzd_overlay_plan {
    struct nzd_arena arena;
    struct nzd_overlay_module *modules;
    uint32_t module_count;
    uint32_t module_capacity;
    struct nzd_overlay_place *places;
    uint32_t place_count;
    uint32_t place_capacity;
    const struct nzd_term **specs; /* {application, Name, Keys} */
    uint32_t spec_count;
    uint32_t spec_capacity;
};

/* What is in force over the base; or, where `generation` is an open transaction
 * over it, what its commit would put in force. NZD_EJOURNAL: rows that do not
 * hold. clear() is due in any case. */
int nzd_overlay_plan_read(struct nzd_journal *journal,
                          const struct nzd_digest *base, uint64_t generation,
                          struct nzd_overlay_plan *out, struct nzd_err *err);
void nzd_overlay_plan_clear(struct nzd_overlay_plan *plan);
/* The specification in force of an application, or NULL: the base's. */
const struct nzd_term *nzd_overlay_plan_spec(const struct nzd_overlay_plan *p,
                                             const char *app);

#endif
