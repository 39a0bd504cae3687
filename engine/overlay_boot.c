/* SPDX-License-Identifier: Apache-2.0 */
#include "overlay_internal.h"

#include "../staging/script_mark.h"
#include "../staging/script_touch.h"

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
        if (module->folder == place &&
            (added ? module->added && !removed : removed))
            list[(*count)++] = module->name;
    }
    return list;
}

/* The names are those that the folders have once they are in place. */
static int touch(struct nzd_laying *all, const struct nzd_term **out)
{
    struct nzd_overlay_plan *plan = &all->plan;
    struct nzd_script_folder *folders = nzd_arena_alloc(
        &plan->arena, (plan->place_count + 1) * sizeof *folders);
    struct nzd_script_touch what = {.folders = folders,
                                    .folder_count = plan->place_count,
                                    .specs = plan->specs,
                                    .spec_count = plan->spec_count};
    for (uint32_t i = 0; folders && i < plan->place_count; i++) {
        struct nzd_script_folder *folder = &folders[i];
        folder->tail = plan->places[i].tail;
        folder->instead = all->out->folders[i].instead;
        folder->added = names(plan, i, true, &folder->added_count);
        folder->removed = names(plan, i, false, &folder->removed_count);
        if (!folder->added || !folder->removed)
            return nzd_err_memory(all->err);
    }
    return folders ? nzd_script_touch(all->base->script, &what, &plan->arena,
                                      out, all->err)
                   : nzd_err_memory(all->err);
}

int nzd_overlay_lay_boot(struct nzd_laying *all)
{
    const struct nzd_term *script = NULL;
    struct nzd_buf bytes = {0};
    if (!all->base->script || all->base->boot_file[0] != '/')
        return 0;
    int code = touch(all, &script);
    if (!code)
        code = nzd_script_mark(script, all->generation, &all->plan.arena,
                               &script, all->err);
    if (code)
        return code;
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
    all->out->has_boot = code == 0;
    return code;
}
