/* SPDX-License-Identifier: Apache-2.0 */
#include "settings_compare.h"

#include <string.h>

/*
 * Elixir's protocols. A consolidated one knows its implementations, and looks
 * for no other: it changes with them, or it does not see them come and go.
 */

static bool is_consolidated(const struct nzd_module *module)
{
    return (module->flags & NZD_MODULE_CONSOLIDATED) ||
           strstr(module->path, "/consolidated/");
}

/* One that changed because one side is consolidated and the other is not: its
 * implementations are found in another way, not merely changed. */
static void compare_protocols(struct settings_compare *compare)
{
    static const char *const names[] = {"as compiled", "consolidated"};

    for (uint32_t i = 0; i < compare->new->module_count; i++) {
        const struct nzd_module *new = &compare->new->modules[i];
        const struct nzd_module *old =
            nzd_inventory_module(compare->old, new->name);

        if (old && !nzd_module_same(old, new) &&
            is_consolidated(old) != is_consolidated(new))
            settings_say(compare, NZD_NEED_BASE, "protocol consolidation",
                         names[is_consolidated(old)],
                         names[is_consolidated(new)], new->name);
    }
}

/* "Elixir.Inspect.Greeter" may be of Elixir.Inspect: the consolidated protocol
 * that runs on as it is, or NULL. */
static const struct nzd_module *
protocol_of(struct settings_compare *compare,
            const struct nzd_module *implementation)
{
    const char *name = implementation->name;

    for (size_t size = strlen(name); size > 0; size--) {
        const char *part;
        const struct nzd_module *old, *new;

        if (name[size] != '.')
            continue;
        part = nzd_arena_text(&compare->scratch, name, size);
        if (!part) {
            settings_memory(compare);
            return NULL;
        }
        old = nzd_inventory_module(compare->old, part);
        new = nzd_inventory_module(compare->new, part);
        if (old && is_consolidated(old))
            return !new || nzd_module_same(old, new) ? old : NULL;
    }
    return NULL;
}

/* What only one side has, of those whose code was read. */
static void compare_implementations(struct settings_compare *compare,
                                    const struct nzd_inventory *side,
                                    const struct nzd_inventory *other)
{
    bool comes = side == compare->new;

    for (uint32_t i = 0; i < side->module_count; i++) {
        const struct nzd_module *module = &side->modules[i];
        const struct nzd_module *protocol;
        const char *why;

        if (!module->beam || nzd_inventory_module(other, module->name) ||
            !nzd_beam_exports(module->beam, "__impl__", 1) ||
            !(protocol = protocol_of(compare, module)))
            continue;
        why = nzd_arena_printf(
            &compare->scratch, "the consolidated %s %s", protocol->name,
            comes ? "does not know it" : "still leads to it");
        if (!why)
            settings_memory(compare);
        else
            settings_say(compare, NZD_NEED_BASE, "protocol consolidation",
                         comes ? "" : module->name, comes ? module->name : "",
                         why);
    }
}

void settings_protocols(struct settings_compare *compare)
{
    compare_protocols(compare);
    compare_implementations(compare, compare->new, compare->old);
    compare_implementations(compare, compare->old, compare->new);
    settings_end(compare, "protocol consolidation");
}
