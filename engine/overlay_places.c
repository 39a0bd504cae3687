/* SPDX-License-Identifier: Apache-2.0 */
#include "overlay_internal.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What the generation has of its own in this folder, added or removed. */
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
        code =
            nzd_journal_get_blob(all->journal, &module->blob, &bytes, all->err);
        if (code == NZD_ENOTFOUND)
            all->err->code = code = NZD_EJOURNAL;
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
    const struct nzd_term *spec = nzd_overlay_plan_spec(&all->plan, place->app);
    struct nzd_buf text = {0};
    char name[1100];
    if (!spec)
        return 0;
    nzd_buf_text(&text, "%% coding: utf-8\n");
    nzd_term_print(spec, SIZE_MAX, &text);
    nzd_buf_text(&text, ".\n");
    snprintf(name, sizeof name, "%.1000s.app", place->app);
    int code = text.failed ? nzd_err_memory(all->err)
                           : nzd_overlay_write(folder, name,
                                               nzd_buf_view(&text), all->err);
    nzd_buf_clear(&text);
    return code;
}

static bool is_removed(const struct nzd_overlay_plan *plan, const char *entry)
{
    size_t size = strlen(entry);
    if (size < 5 || strcmp(entry + size - 5, ".beam") != 0)
        return false;
    for (uint32_t i = 0; i < plan->module_count; i++)
        if (nzd_digest_is_zero(&plan->modules[i].blob) &&
            strlen(plan->modules[i].name) == size - 5 &&
            memcmp(plan->modules[i].name, entry, size - 5) == 0)
            return true;
    return false;
}

/* Links to what the base has in a folder and the generation has not. */
static int nzd_overlay_link_rest(struct nzd_laying *all, const char *base,
                                 int folder, const char *but)
{
    char target[PATH_MAX];
    DIR *entries = opendir(base);
    const struct dirent *entry;
    int code = 0;
    if (!entries)
        return nzd_overlay_io(base, all->err);
    while (!code && (errno = 0, entry = readdir(entries))) {
        const char *name = entry->d_name;
        if (name[0] == '.' || (but && !strcmp(name, but)) ||
            is_removed(&all->plan, name))
            continue;
        int size = snprintf(target, sizeof target, "%s/%s", base, name);
        if (size < 0 || (size_t)size >= sizeof target)
            code = nzd_err_set(all->err, NZD_EINTERNAL,
                               "overlay: %.200s is too long", base);
        else if (symlinkat(target, folder, name) != 0 && errno != EEXIST)
            code = nzd_overlay_io(target, all->err);
    }
    /* A folder that lacks what could not be listed would be another release. */
    if (!code && errno)
        code = nzd_overlay_io(base, all->err);
    closedir(entries);
    return code;
}

/* The application's folder has more than ebin: priv above all. */
static int link_siblings(struct nzd_laying *all, const char *path,
                         const struct nzd_overlay_place *place)
{
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
    int code = nzd_overlay_link_rest(all, base, folder, "ebin");
    close(folder);
    return code;
}

int nzd_overlay_lay_place(struct nzd_laying *all, uint32_t index)
{
    const struct nzd_overlay_place *place = &all->plan.places[index];
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
    if (!code && symlinkat(place->base, folder, ".base") != 0)
        code = nzd_overlay_io(path, all->err);
    if (!code)
        code = nzd_overlay_link_rest(all, place->base, folder, NULL);
    close(folder);
    return code ? code : link_siblings(all, path, place);
}
