/* SPDX-License-Identifier: Apache-2.0 */

/*
 * /etc/nzd.conf, which a boot reads too. Besides memory errors: nothing of the
 * environment comes out, and every value is within its bounds.
 */

#include "../engine/config.h"
#include "support.h"

#include <string.h>

static void check_text(const char *text)
{
    fuzz_require(!text || !strstr(text, "leaked"));
}

static void check_hook(const struct nzd_hook *hook)
{
    fuzz_require(hook->name[0] && !hook->from_bundle);
    fuzz_require(hook->timeout_us > 0 && hook->arg_count <= NZD_HOOK_ARGS);
    fuzz_require(!hook->args[hook->arg_count]);
    check_text(hook->name);
    for (unsigned i = 0; i < hook->arg_count; i++)
        check_text(hook->args[i]);
}

static void check(const struct nzd_config *config)
{
    check_text(config->node);
    check_text(config->cookie_file);
    check_text(config->journal);
    fuzz_require(config->keep > 0 && config->boot_tries > 0);
    fuzz_require(config->trial_confirm_us <= NZD_TRIAL_MOST_US);
    fuzz_require(config->soak_us <= NZD_SOAK_MOST_US);
    fuzz_require(config->restart_words <= NZD_HOOK_ARGS);
    fuzz_require(!config->restart_command[config->restart_words]);
    for (unsigned i = 0; i < config->restart_words; i++)
        check_text(config->restart_command[i]);
    for (unsigned i = 0; i < config->hook_count; i++)
        check_hook(&config->hooks[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nzd_config config;
    struct nzd_err err = NZD_ERR_INIT;
    int rc;

    if (memmem(data, size, "leak", 4))
        return 0;
    setenv("A", "leaked", 1);
    setenv("HOME", "/leaked", 1);
    rc = nzd_config_load(fuzz_file(0, nzd_view_of(data, size)), &config, &err);
    fuzz_require(rc == 0 || rc == NZD_EUSAGE || rc == NZD_EINTERNAL);
    fuzz_require((rc == 0) == (err.message[0] == '\0'));
    check_text(err.message);
    if (rc == 0)
        check(&config);
    nzd_config_clear(&config);
    return 0;
}
