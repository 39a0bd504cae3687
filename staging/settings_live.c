/* SPDX-License-Identifier: Apache-2.0 */
#include "settings_compare.h"

#include <string.h>

#define READER "Elixir.Config.Reader"

/* Mix puts them into the environment of elixir, in sys.config. */
static const struct nzd_term *providers(const struct nzd_inventory *side)
{
    const struct nzd_term *config = nzd_term_at(side->sys_config, 0);
    const struct nzd_term *elixir =
        config ? nzd_term_get(config, "elixir") : NULL;
    const struct nzd_term *init =
        elixir ? nzd_term_get(elixir, "config_provider_init") : NULL;

    return init ? nzd_term_get(init, "providers") : NULL;
}

/* The node can make the configuration that a boot of this side would. */
static bool can_provide(const struct settings_compare *compare,
                        const struct nzd_inventory *side)
{
    const struct nzd_term *list = providers(side);
    uint32_t count = nzd_term_length(list);

    for (uint32_t i = 0; i < count; i++)
        if (!nzd_term_is_tagged(nzd_term_at(list, i), READER, 2))
            return false;
    return count == 0 || (count == 1 && side->runtime_config.size > 0 &&
                          nzd_inventory_module(compare->old, READER));
}

enum nzd_need settings_config_need(const struct settings_compare *compare)
{
    return can_provide(compare, compare->old) &&
                   can_provide(compare, compare->new)
               ? NZD_NEED_SWITCH
               : NZD_NEED_RESTART;
}

bool settings_is_of_boot(const char *app)
{
    static const char *const boot[] = {"kernel", "stdlib", "sasl"};

    for (size_t i = 0; i < sizeof(boot) / sizeof(*boot); i++)
        if (strcmp(app, boot[i]) == 0)
            return true;
    return false;
}

enum nzd_need settings_env_need(const struct settings_compare *compare,
                                const char *app)
{
    return settings_is_of_boot(app) ? NZD_NEED_RESTART : compare->config;
}
