/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_STAGING_SYS_CONFIG_H
#define NZD_STAGING_SYS_CONFIG_H

/*
 * The sys.config of a Mix release, made to boot over another release's files.
 * Its config providers name files by {system, "RELEASE_ROOT",
 * "/releases/VSN/FILE"} (binaries; Config.Provider of Elixir, "config path"),
 * and what the environment calls the root is the other release's.
 */

#include "term.h"

struct nzd_sys_config_over {
    const char *version; /* the folder below releases/ that is there: "0.1.0" */
    const char *runtime; /* absolute path of the runtime.exs; NULL: none */
};

/*
 * Appends the file to `out`: as it is where it names no provider, else with
 * each runtime.exs of a release replaced by over->runtime. A file of the
 * version that is there stays named as it is. NZD_EBUNDLE: the text cannot
 * be parsed, or it names another file below another version's folder, or a
 * runtime.exs that is not there; the message says which.
 */
int nzd_sys_config_rebase(struct nzd_view text,
                          const struct nzd_sys_config_over *over,
                          struct nzd_buf *out, struct nzd_err *err);

#endif
