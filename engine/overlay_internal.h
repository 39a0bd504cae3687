/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_OVERLAY_INTERNAL_H
#define NZD_ENGINE_OVERLAY_INTERNAL_H

/* What the parts of an overlay are laid out with. */

#include "overlay_plan.h"

#include <limits.h>

struct nzd_laying {
    struct nzd_journal *journal;
    const struct nzd_overlay_base *base;
    uint64_t generation;
    struct nzd_overlay_plan plan;
    char fresh[NZD_OVERLAY_PATH + 8]; /* the folder while it is made */
    struct nzd_overlay *out;
    struct nzd_err *err;
};

/* The release that it lies over is known, and so can be booted instead. */
bool nzd_overlay_has_base(const struct nzd_laying *all);

/* --- files (overlay_files.c) --------------------------------------------- */

/* NZD_EINTERNAL with errno's message and the path. */
int nzd_overlay_io(const char *path, struct nzd_err *err);
/* Makes all folders above the last '/' of the path. */
int nzd_overlay_parents(const char *path, struct nzd_err *err);
/*
 * NZD_EREFUSED where one of the last `count` folders of `path`, which ends in
 * a slash, is another user's (but root's), or could be changed by others: who
 * puts a file there has his code run. Sticky folders, as /tmp, hold what others
 * cannot change.
 */
int nzd_overlay_own(const char *path, unsigned count, struct nzd_err *err);
/* Links are removed, not followed. Never fails. */
void nzd_overlay_remove(const char *path);
/* A new file of this name in the folder. */
int nzd_overlay_write(int folder, const char *name, struct nzd_view bytes,
                      struct nzd_err *err);
/* The folder, made where it is not there; -1 with the error set. */
int nzd_overlay_open(const char *path, struct nzd_err *err);
/* A new link, but where there is something of the name. */
int nzd_overlay_link(const char *target, int folder, const char *name,
                     struct nzd_err *err);
/* The folder is then as private as what the absolute path `base` lies in. */
int nzd_overlay_hide(const char *folder, const char *base, struct nzd_err *err);
/* As nzd_overlay_write(), for those to read who may read `base`. */
int nzd_overlay_write_like(int folder, const char *name, struct nzd_view bytes,
                           const char *base, struct nzd_err *err);
/* Links in the folder to all that lies in `base`, but what skip() says, "."
 * and "..". ENOENT and ENOTDIR of `base` itself: nothing does, with `lacks`
 * set, else they fail. */
int nzd_overlay_link_rest(const char *base, int folder, bool lacks,
                          bool (*skip)(const void *context, const char *name),
                          const void *context, struct nzd_err *err);

/* --- content ------------------------------------------------------------- */

/* The journal's; NZD_EJOURNAL where it does not hold it. Appended. */
int nzd_overlay_blob(struct nzd_laying *all, const struct nzd_digest *blob,
                     struct nzd_buf *bytes);

/* --- the parts ----------------------------------------------------------- */

/* plan.places[index], with all that the base has around it. */
int nzd_overlay_lay_place(struct nzd_laying *all, uint32_t index);
/* Some file of its priv is not the base's. */
bool nzd_overlay_has_priv(const struct nzd_laying *all, uint32_t index);
/* The priv of such a place; `base` and `path` are the application's folders
 * in the base and in the overlay that is made. */
int nzd_overlay_lay_priv(struct nzd_laying *all, uint32_t index,
                         const char *base, const char *path);
/* What is to be loaded or run, beside the journal; see overlay.h. `within` is
 * its path below the overlay; `path` where it is then. */
int nzd_overlay_put_native(struct nzd_laying *all, const char *within,
                           struct nzd_view bytes, char path[PATH_MAX]);
/* The same of a file by its whole path, which is not a generation's own. */
int nzd_overlay_put_program(struct nzd_laying *all, const char *path,
                            struct nzd_view bytes);
/* erts, and where it leads; nothing where the base's is to run. */
int nzd_overlay_lay_erts(struct nzd_laying *all);
/* plan.programs as the ERTS of this version: out->erts. */
int nzd_overlay_lay_programs(struct nzd_laying *all, const char *version);
/* start.boot and base; nothing where no script is known. */
int nzd_overlay_lay_boot(struct nzd_laying *all);
/* sys.config, vm.args and runtime.exs. */
int nzd_overlay_lay_config(struct nzd_laying *all);

#endif
