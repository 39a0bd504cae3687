/* SPDX-License-Identifier: Apache-2.0 */
#include "overlay_internal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* --- what the generation has of its own ---------------------------------- */

/* Modules of this folder, changed or added. */
static int write_modules(struct nzd_laying *all, uint32_t place, int folder)
{
    const struct nzd_overlay_plan *plan = &all->plan;
    struct nzd_buf bytes = {0};
    char name[1100];
    int code = 0;
    for (uint32_t i = 0; i < plan->module_count && !code; i++) {
        const struct nzd_overlay_module *module = &plan->modules[i];
        if (module->folder != place || nzd_digest_is_zero(&module->blob))
            continue;
        nzd_buf_reset(&bytes);
        code = nzd_overlay_blob(all, &module->blob, &bytes);
        snprintf(name, sizeof name, "%s.beam", module->name);
        if (!code)
            code =
                nzd_overlay_write(folder, name, nzd_buf_view(&bytes), all->err);
    }
    nzd_buf_clear(&bytes);
    return code;
}

/* counter.app, as file:consult/1 reads it. */
static int write_spec(struct nzd_laying *all,
                      const struct nzd_overlay_place *place, int folder)
{
    const struct nzd_overlay_app *app =
        nzd_overlay_plan_app(&all->plan, place->app);
    struct nzd_buf text = {0};
    char name[1100];
    if (!app || !app->spec)
        return 0;
    nzd_buf_text(&text, "%% coding: utf-8\n");
    nzd_term_print(app->spec, SIZE_MAX, &text);
    nzd_buf_text(&text, ".\n");
    snprintf(name, sizeof name, "%.1000s.app", place->app);
    int code = text.failed ? nzd_err_memory(all->err)
                           : nzd_overlay_write(folder, name,
                                               nzd_buf_view(&text), all->err);
    nzd_buf_clear(&text);
    return code;
}

/* --- what the base has around it ----------------------------------------- */

struct around {
    const struct nzd_laying *all;
    uint32_t place;
};

/* A module that the generation has not, or has elsewhere. */
static bool skip_module(const void *context, const char *entry)
{
    const struct around *around = context;
    const struct nzd_overlay_plan *plan = &around->all->plan;
    size_t size = strlen(entry);
    if (entry[0] == '.')
        return true;
    if (size < 5 || strcmp(entry + size - 5, ".beam") != 0)
        return false;
    for (uint32_t i = 0; i < plan->module_count; i++) {
        const struct nzd_overlay_module *module = &plan->modules[i];
        if (nzd_digest_is_zero(&module->blob) &&
            strlen(module->name) == size - 5 &&
            memcmp(module->name, entry, size - 5) == 0)
            return true;
    }
    return false;
}

static bool skip_laid(const void *context, const char *entry)
{
    const struct around *around = context;
    return entry[0] == '.' || strcmp(entry, "ebin") == 0 ||
           (strcmp(entry, "priv") == 0 &&
            nzd_overlay_has_priv(around->all, around->place));
}

/* The application's folder has more than ebin: priv above all. */
static int lay_siblings(struct nzd_laying *all, const char *path,
                        uint32_t index)
{
    const struct nzd_overlay_place *place = &all->plan.places[index];
    const struct around around = {all, index};
    char base[PATH_MAX], above[NZD_OVERLAY_PATH * 2];
    if (!place->app[0])
        return 0;
    snprintf(base, sizeof base, "%.*s",
             (int)(strrchr(place->base, '/') - place->base), place->base);
    snprintf(above, sizeof above, "%.*s", (int)(strrchr(path, '/') - path),
             path);
    int folder = nzd_overlay_open(above, all->err);
    if (folder < 0)
        return all->err->code;
    int code = nzd_overlay_link_rest(base, folder, place->added, skip_laid,
                                     &around, all->err);
    close(folder);
    if (!code && nzd_overlay_has_priv(all, index))
        code = nzd_overlay_lay_priv(all, index, base, above);
    return code;
}

int nzd_overlay_lay_place(struct nzd_laying *all, uint32_t index)
{
    const struct nzd_overlay_place *place = &all->plan.places[index];
    const struct around around = {all, index};
    char path[NZD_OVERLAY_PATH * 2];
    int size = snprintf(path, sizeof path, "%s/%s", all->fresh, place->within);
    if (size < 0 || (size_t)size >= sizeof path - 2)
        return nzd_err_set(all->err, NZD_EINTERNAL, "overlay: %s is too long",
                           place->within);
    int folder = nzd_overlay_open(path, all->err);
    if (folder < 0)
        return all->err->code;
    int code = write_modules(all, index, folder);
    if (!code)
        code = write_spec(all, place, folder);
    if (!code)
        code = nzd_overlay_link(place->base, folder, ".base", all->err);
    if (!code)
        code = nzd_overlay_link_rest(place->base, folder, place->added,
                                     skip_module, &around, all->err);
    close(folder);
    return code ? code : lay_siblings(all, path, index);
}
