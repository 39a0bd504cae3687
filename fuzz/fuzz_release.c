/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Two releases as lists of files, the second behind the part "=": .app, .rel,
 * start_erl.data, boot scripts, sys.config, vm.args, relup, hooks. Each is read
 * as a bundle, then planned from one to the other; the second one also before
 * it is known what is there. Besides memory errors: what is found is sorted and
 * named, both times the same, the verdict is that of its evidence, and nothing
 * differs from itself.
 */

#include "../staging/inventory.h"
#include "../staging/plan.h"
#include "../staging/spool.h"
#include "support.h"

#include <string.h>

static void check_inventory(const struct nzd_inventory *inventory)
{
    for (uint32_t i = 0; i < inventory->module_count; i++) {
        const struct nzd_module *module = &inventory->modules[i];

        fuzz_require(module->name && module->app && module->path);
        fuzz_require(i == 0 || strcmp(module[-1].name, module->name) < 0);
    }
    for (uint32_t i = 0; i < inventory->app_count; i++) {
        const struct nzd_app *app = &inventory->apps[i];

        fuzz_require(app->name && app->version);
        fuzz_require(i == 0 || strcmp(app[-1].name, app->name) <= 0);
    }
    fuzz_require(inventory->release && inventory->version && inventory->erts);
}

struct reading {
    struct nzd_release_options options;
    const struct nzd_inventory *known;
    struct nzd_spool *spool;
};

static void settle(void *context)
{
    struct reading *reading = context;

    reading->options.known = reading->known;
    reading->options.spool = reading->spool;
}

static bool read_side(const struct fuzz_parts *parts, unsigned first,
                      unsigned end, struct reading *reading,
                      struct nzd_inventory *out)
{
    struct nzd_source *source = NULL;
    struct nzd_err err = NZD_ERR_INIT;
    struct nzd_buf tar = {0};
    int rc;

    fuzz_tar(parts, first, end, &tar);
    rc = nzd_source_open(fuzz_file(0, nzd_buf_view(&tar)), &source, &err);
    nzd_buf_clear(&tar);
    if (rc == 0)
        rc = nzd_release_read(source, &reading->options, out, &err);
    nzd_source_close(source);
    fuzz_require(rc == 0 || (rc == NZD_EBUNDLE && err.message[0]));
    if (rc == 0)
        check_inventory(out);
    return rc == 0;
}

static void check_plan(const struct nzd_plan *plan)
{
    fuzz_require(plan->step_count ==
                 plan->changed + plan->added + plan->removed);
    for (uint32_t i = 0; i < plan->evidence.count; i++) {
        const struct nzd_evidence *item = &plan->evidence.items[i];

        fuzz_require(item->level <= plan->verdict);
        fuzz_require(item->subject && item->old && item->new && item->source);
    }
    for (uint32_t i = 0; i < plan->gap_count; i++)
        fuzz_require(plan->gaps[i].caller && plan->gaps[i].module);
}

static void plan_between(const struct nzd_inventory *old,
                         const struct nzd_inventory *new)
{
    struct nzd_beam_function *removed = NULL;
    struct nzd_plan plan;
    uint32_t count = 0;

    fuzz_require(nzd_plan_diff(old, new, &plan, NULL) == 0);
    fuzz_require(nzd_plan_judge(&plan, NULL) == 0);
    check_plan(&plan);
    fuzz_require(nzd_plan_removed_functions(&plan, &removed, &count, NULL) ==
                 0);
    (void)nzd_plan_need(&plan);
    if (old == new)
        fuzz_require(plan.step_count == 0);
    nzd_plan_clear(&plan);
}

static unsigned second_side(const struct fuzz_parts *parts)
{
    for (unsigned i = 1; i < parts->count; i++)
        if (strcmp(parts->items[i].name, "=") == 0)
            return i;
    return parts->count;
}

static void check_same(const struct nzd_inventory *a,
                       const struct nzd_inventory *b)
{
    fuzz_require(a->module_count == b->module_count &&
                 a->app_count == b->app_count &&
                 a->priv_count == b->priv_count);
    for (uint32_t i = 0; i < a->module_count; i++)
        fuzz_require(nzd_module_same(&a->modules[i], &b->modules[i]) &&
                     a->modules[i].flags == b->modules[i].flags &&
                     a->modules[i].bytes == b->modules[i].bytes);
    for (uint32_t i = 0; i < a->priv_count; i++)
        fuzz_require(nzd_digest_equal(&a->priv[i].md5, &b->priv[i].md5) &&
                     a->priv[i].spooled == b->priv[i].spooled);
}

static void read_second(const struct fuzz_parts *parts, unsigned first,
                        const struct nzd_inventory *old,
                        struct nzd_spool *spool)
{
    struct reading at_once = {.options = {.known = old, .spool = spool}};
    struct reading late = {.options = {.settle = settle, .context = &late},
                           .known = old,
                           .spool = spool};
    struct nzd_inventory new, again;
    bool read;

    nzd_inventory_init(&new);
    nzd_inventory_init(&again);
    read = read_side(parts, first, parts->count, &at_once, &new);
    fuzz_require(read_side(parts, first, parts->count, &late, &again) == read);
    if (read) {
        check_same(&new, &again);
        plan_between(old, &new);
        plan_between(&new, old);
    }
    nzd_inventory_clear(&new);
    nzd_inventory_clear(&again);
}

static void read_both(const struct fuzz_parts *parts, struct nzd_spool *spool)
{
    unsigned second = second_side(parts);
    struct reading nothing = {.known = NULL};
    struct nzd_inventory old;

    nzd_inventory_init(&old);
    if (read_side(parts, 1, second, &nothing, &old)) {
        plan_between(&old, &old);
        if (second < parts->count)
            read_second(parts, second + 1, &old, spool);
    }
    nzd_inventory_clear(&old);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nzd_spool *spool = NULL;
    struct fuzz_parts parts;

    if (nzd_spool_open("/tmp", 64u << 20, &spool, NULL) != 0)
        return 0;
    fuzz_split(nzd_view_of(data, size), &parts);
    read_both(&parts, spool);
    fuzz_parts_clear(&parts);
    nzd_spool_close(spool);
    return 0;
}
