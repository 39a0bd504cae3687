/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_SCRIPT_TOUCH_H
#define NZD_STAGING_SCRIPT_TOUCH_H

/*
 * A boot script (script(4)) made anew for code that lies elsewhere: folders
 * of the code path replaced, modules added to and removed from what is loaded
 * in embedded mode, application specifications replaced, applications taken
 * from the code path. Everything else stays as it is and where it is.
 */

#include "term.h"

/* One folder of the code path. */
struct nzd_script_folder {
    const char *tail;    /* how its path ends: "counter-0.1.0/ebin" */
    const char *instead; /* the folder that is named in its place */
    const char *const *added;
    uint32_t added_count;
    const char *const *removed;
    uint32_t removed_count;
};

struct nzd_script_touch {
    const struct nzd_script_folder *folders;
    uint32_t folder_count;
    const struct nzd_term *const *specs; /* {application, Name, Keys} */
    uint32_t spec_count;
    /* Applications that the script does not name but a folder lib may hold: in
     * interactive mode all of those in $ROOT/lib are on the path. */
    const char *const *gone;
    uint32_t gone_count;
};

/*
 * Terms of `script` are shared by the result. NZD_EBUNDLE: it is no boot
 * script, or a folder that modules are added to is in none of its paths: the
 * message names it. An added module that the script loads already, and a
 * specification of an application that it does not load, are passed over.
 */
int nzd_script_touch(const struct nzd_term *script,
                     const struct nzd_script_touch *touch,
                     struct nzd_arena *arena, const struct nzd_term **out,
                     struct nzd_err *err);

#endif
