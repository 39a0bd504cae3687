/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NZD_ENGINE_CONFIG_INTERNAL_H
#define NZD_ENGINE_CONFIG_INTERNAL_H

/* Shared by config.c (what is done with it), config_keys.c (what may be said)
 * and config_hook.c only, those that see confuse.h. */

#include "config.h"

#include <confuse.h>

#define NZD_HOOKS_MAX          64u /* of the configuration */
#define NZD_HOOKS_BUNDLE       16u /* more of a bundle */
#define NZD_HOOK_NAME          64u /* bytes */
#define NZD_HOOK_ARG_BYTES     8192u
#define NZD_HOOK_TIMEOUT_US    10000000u
#define NZD_HOOK_TIMEOUT_LIMIT 60000000u /* of a bundle's */

/* Where a text comes from, for messages and for what it may say. */
struct nzd_config_source {
    const char *name; /* "/etc/nzd.conf" */
    int code;         /* NZD_EUSAGE, NZD_EBUNDLE */
    bool bundle;
    struct nzd_err *err;
};

/* "NAME:LINE: ..." with the code of the source; returns that code. */
int nzd_config_fail(const struct nzd_config_source *source, int line,
                    const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Duration of a hook or setting: a unit, above 0, at most a year. */
bool nzd_config_duration(const char *text, uint64_t *out_us);

/* The text with every value checked, of a bundle only its hooks; the caller
 * frees *out with cfg_free(). NULL where it fails, with "NAME:LINE: ..." */
int nzd_config_parse(const struct nzd_config_source *source,
                     struct nzd_view text, cfg_t **out);

/* Appends the hook of a `hook` section to the configuration. */
int nzd_config_hook(const struct nzd_config_source *source, cfg_t *section,
                    struct nzd_config *config);

#endif
