/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The hooks of a bundle. Besides memory errors: nothing of the environment
 * ever comes out, no hook of a bundle starts a program, and a text that
 * fails adds nothing.
 */

#include "../engine/config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_hook(const struct nzd_hook *hook)
{
    require(hook->from_bundle && hook->name[0]);
    require(hook->module && hook->module[0]);
    require(hook->function && hook->function[0]);
    require(hook->timeout_us > 0 && hook->timeout_us <= 60000000);
    require(hook->arg_count <= NZD_HOOK_ARGS);
    require(!strstr(hook->name, "leaked") && !strstr(hook->module, "leaked"));
    for (unsigned i = 0; i < hook->arg_count; i++)
        require(!strstr(hook->args[i], "leaked"));
}

static bool names_the_secret(const uint8_t *data, size_t size)
{
    return memmem(data, size, "leak", 4) != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nzd_config config;
    struct nzd_err err = NZD_ERR_INIT;
    int rc;

    if (names_the_secret(data, size))
        return 0;
    setenv("A", "leaked", 1);
    setenv("HOME", "/leaked", 1);
    require(nzd_config_load("/dev/null", &config, &err) == 0);
    rc = nzd_config_add_bundle_hooks(&config, nzd_view_of(data, size), &err);
    require(rc == 0 || rc == NZD_EBUNDLE || rc == NZD_EINTERNAL);
    require((rc == 0) == (err.message[0] == '\0'));
    require(rc == 0 || config.hook_count == 0);
    require(!strstr(err.message, "leaked"));
    for (unsigned i = 0; i < config.hook_count; i++)
        check_hook(&config.hooks[i]);
    nzd_config_clear(&config);
    return 0;
}
