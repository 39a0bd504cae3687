/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_SCRIPT_H
#define NZD_STAGING_SCRIPT_H

/*
 * A boot script by its meaning (script(4)): which applications it puts on
 * the code path, loads and starts, in which order and how and what
 * else it does, but for the modules it loads. Folder names and versions become
 * applications and versions; progress marks are gone.
 */

#include "term.h"

struct nzd_script_app {
    const char *name;
    const char *version;         /* "" not said */
    const struct nzd_term *spec; /* {application, Name, Keys}, or NULL */
    const char *start;           /* "permanent"; "" it is not started */
    uint32_t order;              /* of the start, from 1; 0: not started */
};

struct nzd_script {
    const char *release;
    const char *version;
    struct nzd_script_app *apps; /* as first named */
    uint32_t app_count;
    const char **paths; /* no application's, sorted, each once */
    uint32_t path_count;
    const struct nzd_term **rest; /* all other commands, in order */
    uint32_t rest_count;
};

/* What a boot does with an application. */
enum nzd_script_does {
    NZD_SCRIPT_NOTHING, /* but have its code at hand */
    NZD_SCRIPT_LOADS,   /* its specification: a library, or one included */
    NZD_SCRIPT_STARTS
};

/* All of it in the arena, or borrowed from the term. Fails NZD_EBUNDLE. */
int nzd_script_read(const struct nzd_term *term, struct nzd_arena *arena,
                    struct nzd_script *out, struct nzd_err *err);
const struct nzd_script_app *nzd_script_app(const struct nzd_script *script,
                                            const char *name);
/* NULL: the script does not name it. */
enum nzd_script_does nzd_script_does(const struct nzd_script_app *app);

#endif
