/* SPDX-License-Identifier: Apache-2.0 */
#include "settings_compare.h"

#include "limits.h"

#include <string.h>

static const char *short_md5(struct settings_compare *compare,
                             const struct nzd_file *file)
{
    char hex[NZD_DIGEST_HEX];
    const char *text;

    if (!file)
        return "";
    nzd_digest_hex(hex, &file->md5);
    text = nzd_arena_text(&compare->scratch, hex, 8);
    if (!text)
        settings_memory(compare);
    return text ? text : "";
}

static bool is_held(const struct nzd_inventory *side, const bool *held,
                    const char *app)
{
    const struct nzd_app *found = nzd_inventory_app(side, app);

    return found && held[found - side->apps];
}

/* What comes with an application that is added is said by its name alone. A
 * link that a bundle cannot hold is no file that was taken away. */
static bool is_said(const struct settings_compare *compare, const char *app,
                    const struct nzd_file *old, const struct nzd_file *new,
                    bool large)
{
    if (new ? old &&nzd_digest_equal(&old->md5, &new->md5) : old->link)
        return false;
    return (large || nzd_inventory_app(compare->old, app)) &&
           is_held(compare->new, compare->new_held, app);
}

/* Why it cannot change while the VM runs, or NULL. */
static const char *why_fixed(const struct settings_compare *compare,
                             const struct nzd_file *old, const char *app)
{
    const struct nzd_app *owner = nzd_inventory_app(compare->old, app);

    if (owner && owner->priv_fixed)
        return owner->priv_fixed;
    return old ? old->use : NULL;
}

/* What differs is spooled, as far as there is room for all of it; of two
 * bundles nothing is. */
static bool has_spooled(const struct nzd_inventory *side)
{
    for (uint32_t i = 0; i < side->priv_count; i++)
        if (side->priv[i].spooled)
            return true;
    return false;
}

/* Why a file that differs cannot be applied, or NULL. */
static const char *why_large(bool spools, const struct nzd_file *file)
{
    if (file && file->size > NZD_LIMIT_PRIV_BYTES)
        return "too large for a journal";
    return file && spools && !file->spooled
               ? "too large for a journal, with the others"
               : NULL;
}

static void say_file(struct settings_compare *compare, bool spools,
                     const struct nzd_file *old, const struct nzd_file *new)
{
    const struct nzd_file *file = old ? old : new;
    const char *large = why_large(spools, new);
    const char *subject, *source, *why;

    if (!file || !is_said(compare, file->app, old, new, large != NULL))
        return;
    why = large ? large : why_fixed(compare, old, file->app);
    subject = nzd_arena_printf(&compare->scratch, "%s priv", file->app);
    source = nzd_arena_printf(&compare->scratch, "%s%s%s", file->path,
                              why ? ", "
                              : new &&new->executable
                                  ? ", for its next start or load"
                                  : "",
                              why ? why : "");
    if (!subject || !source)
        settings_memory(compare);
    else
        settings_say(compare,
                     large ? NZD_NEED_BASE
                     : why ? NZD_NEED_RESTART
                           : NZD_NEED_SWITCH,
                     subject, short_md5(compare, old), short_md5(compare, new),
                     source);
}

static int order_of(const struct nzd_file *old, const struct nzd_file *new)
{
    int order;

    if (!old || !new)
        return old ? -1 : 1;
    order = strcmp(old->app, new->app);
    return order ? order : strcmp(old->path, new->path);
}

/* Of all of them at once: nobody is made to open a file anew. */
static void say_readers(struct settings_compare *compare, uint32_t before)
{
    bool live = false;

    for (uint32_t i = before; i < compare->out->count; i++)
        live = live || compare->out->items[i].live;
    if (live)
        settings_say(compare, NZD_NEED_SWITCH, "priv", "", "",
                     "code:priv_dir/1 leads to the new files; who has one "
                     "open, or keeps a path from before, reads the old ones");
    settings_end(compare, "priv");
}

void settings_priv(struct settings_compare *compare)
{
    const struct nzd_inventory *old = compare->old;
    const struct nzd_inventory *new = compare->new;
    uint32_t i = 0, j = 0;
    uint32_t before = compare->out->count;
    bool spools = has_spooled(new);

    compare->files = true;
    while (i < old->priv_count || j < new->priv_count) {
        const struct nzd_file *left =
            i < old->priv_count ? &old->priv[i] : NULL;
        const struct nzd_file *right =
            j < new->priv_count ? &new->priv[j] : NULL;
        int order = order_of(left, right);

        say_file(compare, spools, order <= 0 ? left : NULL,
                 order >= 0 ? right : NULL);
        i += order <= 0;
        j += order >= 0;
    }
    settings_end(compare, "priv");
    say_readers(compare, before);
    compare->files = false;
}
