/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_OVERLAY_INTERNAL_H
#define NZD_ENGINE_OVERLAY_INTERNAL_H

/* What the parts of an overlay are laid out with. */

#include "overlay_plan.h"

struct nzd_laying {
    struct nzd_journal *journal;
    const struct nzd_overlay_base *base;
    uint64_t generation;
    struct nzd_overlay_plan plan;
    char fresh[NZD_OVERLAY_PATH + 8]; /* the folder while it is made */
    struct nzd_overlay *out;
    struct nzd_err *err;
};

/* --- files (overlay_files.c) --------------------------------------------- */

/* NZD_EINTERNAL with errno's message and the path. */
int nzd_overlay_io(const char *path, struct nzd_err *err);
/* Makes all folders above the last '/' of the path. */
int nzd_overlay_parents(const char *path, struct nzd_err *err);
/* Links are removed, not followed. Never fails. */
void nzd_overlay_remove(const char *path);
/* A new file of this name in the folder. */
int nzd_overlay_write(int folder, const char *name, struct nzd_view bytes,
                      struct nzd_err *err);
/* The folder, made where it is not there; -1 with the error set. */
int nzd_overlay_open(const char *path, struct nzd_err *err);

/* --- the parts ----------------------------------------------------------- */

/* plan.places[index], with all that the base has around it. */
int nzd_overlay_lay_place(struct nzd_laying *all, uint32_t index);
/* start.boot and base; nothing where no script is known. */
int nzd_overlay_lay_boot(struct nzd_laying *all);

#endif
