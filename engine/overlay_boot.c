/* SPDX-License-Identifier: Apache-2.0 */
#include "overlay_internal.h"

#include "../staging/script.h"
#include "../staging/script_lists.h"
#include "../staging/script_mark.h"
#include "../staging/script_rebase.h"
#include "../staging/script_touch.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Names of the modules of one folder, added or removed, in the plan's arena. */
static const char *const *names(struct nzd_overlay_plan *plan, uint32_t place,
                                bool added, uint32_t *count)
{
    const char **list =
        nzd_arena_alloc(&plan->arena, (plan->module_count + 1) * sizeof *list);
    *count = 0;
    for (uint32_t i = 0; list && i < plan->module_count; i++) {
        const struct nzd_overlay_module *module = &plan->modules[i];
        bool removed = nzd_digest_is_zero(&module->blob);
        if (module->folder == place && !module->moved &&
            (added ? module->added && !removed : removed))
            list[(*count)++] = module->name;
    }
    return list;
}

static const struct nzd_term **specs(struct nzd_overlay_plan *plan,
                                     uint32_t *count)
{
    const struct nzd_term **list = nzd_arena_alloc(
        &plan->arena, (plan->app_count + 1) * sizeof(const struct nzd_term *));
    *count = 0;
    for (uint32_t i = 0; list && i < plan->app_count; i++)
        if (plan->apps[i].spec)
            list[(*count)++] = plan->apps[i].spec;
    return list;
}

static const char *const *gone(struct nzd_overlay_plan *plan, uint32_t *count)
{
    const char **list =
        nzd_arena_alloc(&plan->arena, (plan->app_count + 1) * sizeof *list);
    *count = 0;
    for (uint32_t i = 0; list && i < plan->app_count; i++)
        if (!plan->apps[i].spec)
            list[(*count)++] = plan->apps[i].name;
    return list;
}

/* The names are those that the folders have once they are in place. */
static int touch(struct nzd_laying *all, const struct nzd_term **script)
{
    struct nzd_overlay_plan *plan = &all->plan;
    struct nzd_script_folder *folders = nzd_arena_alloc(
        &plan->arena, (plan->place_count + 1) * sizeof *folders);
    struct nzd_script_touch what = {.folders = folders,
                                    .folder_count = plan->place_count};
    what.specs = specs(plan, &what.spec_count);
    what.gone = gone(plan, &what.gone_count);
    if (!folders || !what.specs || !what.gone)
        return nzd_err_memory(all->err);
    for (uint32_t i = 0; i < plan->place_count; i++) {
        struct nzd_script_folder *folder = &folders[i];
        folder->tail = plan->places[i].tail;
        folder->instead = all->out->folders[i].instead;
        folder->added = names(plan, i, true, &folder->added_count);
        folder->removed = names(plan, i, false, &folder->removed_count);
        if (!folder->added || !folder->removed)
            return nzd_err_memory(all->err);
    }
    return nzd_script_touch(*script, &what, &plan->arena, script, all->err);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names of all modules that the generation has, or lacks, unlike the base. */
static bool all_names(struct nzd_overlay_plan *plan, bool held,
                      struct nzd_script_names *out)
{
    const char **list =
        nzd_arena_alloc(&plan->arena, (plan->module_count + 1) * sizeof *list);
    uint32_t count = 0;
    for (uint32_t i = 0; list && i < plan->module_count; i++)
        if (nzd_digest_is_zero(&plan->modules[i].blob) != held)
            list[count++] = plan->modules[i].name;
    if (list)
        qsort(list, count, sizeof *list, compare);
    *out = (struct nzd_script_names){list, count};
    return list != NULL;
}

static bool has_spec(const struct nzd_overlay_plan *plan, const char *name)
{
    for (uint32_t i = 0; i < plan->app_count; i++)
        if (strcmp(plan->apps[i].name, name) == 0)
            return true;
    return false;
}

/* Of applications that are the base's again. */
static int base_specs(struct nzd_laying *all, const struct nzd_term **script)
{
    struct nzd_overlay_plan *plan = &all->plan;
    struct nzd_script_touch what = {.folder_count = 0};
    struct nzd_script base;
    int code =
        nzd_script_read(all->base->script, &plan->arena, &base, all->err);
    if (code)
        return code;
    const struct nzd_term **list = nzd_arena_alloc(
        &plan->arena, (base.app_count + 1) * sizeof(const struct nzd_term *));
    if (!list)
        return nzd_err_memory(all->err);
    for (uint32_t i = 0; i < base.app_count; i++)
        if (base.apps[i].spec && !has_spec(plan, base.apps[i].name))
            list[what.spec_count++] = base.apps[i].spec;
    what.specs = list;
    return nzd_script_touch(*script, &what, &plan->arena, script, all->err);
}

/* It came with a restart; code that was loaded since is another one. */
static int bring_up(struct nzd_laying *all, const struct nzd_term **script)
{
    struct nzd_overlay_plan *plan = &all->plan;
    struct nzd_script_names held, removed;
    if (!all_names(plan, true, &held) || !all_names(plan, false, &removed))
        return nzd_err_memory(all->err);
    int code = nzd_script_lists(*script, all->base->script, &held, &removed,
                                &plan->arena, script, all->err);
    return code ? code : base_specs(all, script);
}

/* The generation's own, over the base's folders; else the base's. */
static int read_script(struct nzd_laying *all, const struct nzd_term **out)
{
    const struct nzd_overlay_own *own = &all->plan.texts[NZD_OVERLAY_SCRIPT];
    struct nzd_arena *arena = &all->plan.arena;
    struct nzd_buf bytes = {0};
    const char *kept = NULL;
    *out = all->base->script;
    if (!own->differs || nzd_digest_is_zero(&own->blob))
        return 0;
    int code = nzd_overlay_blob(all, &own->blob, &bytes);
    if (!code)
        kept = nzd_arena_text(arena, (const char *)bytes.data, bytes.size);
    if (!code)
        code = kept ? nzd_term_decode(nzd_view_of(kept, bytes.size), arena, out,
                                      all->err)
                    : nzd_err_memory(all->err);
    nzd_buf_clear(&bytes);
    if (!code)
        code = nzd_script_rebase(*out, all->base->script, arena, out, all->err);
    return code ? code : bring_up(all, out);
}

static int write_script(struct nzd_laying *all, const struct nzd_term *script)
{
    struct nzd_buf bytes = {0};
    int code = 0;
    nzd_etf_version(&bytes);
    nzd_term_encode(script, &bytes);
    int folder = nzd_overlay_open(all->fresh, all->err);
    if (folder < 0 || bytes.failed)
        code = folder < 0 ? all->err->code : nzd_err_memory(all->err);
    if (!code)
        code = nzd_overlay_write(folder, "start.boot", nzd_buf_view(&bytes),
                                 all->err);
    if (!code)
        code = nzd_overlay_write(folder, "base",
                                 nzd_view_text(all->base->boot_file), all->err);
    if (folder >= 0)
        close(folder);
    nzd_buf_clear(&bytes);
    return code;
}

int nzd_overlay_lay_boot(struct nzd_laying *all)
{
    const struct nzd_term *script;
    if (!nzd_overlay_has_base(all))
        return 0;
    int code = read_script(all, &script);
    if (!code)
        code = touch(all, &script);
    if (!code)
        code = nzd_script_mark(script, all->generation, &all->plan.arena,
                               &script, all->err);
    if (code)
        nzd_err_prefix(all->err, "boot script");
    if (!code)
        code = write_script(all, script);
    all->out->has_boot = code == 0;
    return code;
}
