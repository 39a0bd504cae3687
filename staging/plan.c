/* SPDX-License-Identifier: Apache-2.0 */
#include "plan.h"

#include "appup.h"

#include "plan_gaps.h"
#include "script.h"

#include <stdlib.h>
#include <string.h>

/* --- the steps --- */

/* What tells an application that is absent from one that is only not read. */
struct absent {
    struct nzd_script script; /* of the old release, when it has one */
    bool has_script;
    const bool *old_held;
    const bool *new_held;
};

static int read_absent(struct nzd_plan *plan, struct absent *out,
                       struct nzd_err *err)
{
    memset(out, 0, sizeof(*out));
    out->old_held = nzd_inventory_held(plan->old, &plan->arena);
    out->new_held = nzd_inventory_held(plan->new, &plan->arena);
    if (!out->old_held || !out->new_held)
        return nzd_err_memory(err);
    if (!plan->old->boot_script)
        return 0;
    out->has_script = true;
    return nzd_script_read(plan->old->boot_script, &plan->arena, &out->script,
                           err);
}

/*
 * What the new side does not have of an application that it holds is removed;
 * of one that it only names (an OTP that is installed) nothing is. An
 * application that is absent counts only when the new side is a whole release
 * and the old release had it: what somebody loaded by hand is not ours.
 */
static bool is_removed(const struct nzd_plan *plan, const struct absent *absent,
                       const struct nzd_module *old)
{
    const struct nzd_app *now = nzd_inventory_app(plan->new, old->app);
    const struct nzd_app *was = nzd_inventory_app(plan->old, old->app);

    if (!*old->app || (old->flags & NZD_MODULE_PRELOADED))
        return false;
    if (now)
        return absent->new_held[now - plan->new->apps];
    if (!plan->new->is_release)
        return false;
    if (absent->has_script)
        return nzd_script_app(&absent->script, old->app) != NULL;
    return was && was->in_script;
}

/* An application that the old side only names is an installed one: of the
 * same version it is what the new side brings along. */
static bool is_added(const struct nzd_plan *plan, const struct absent *absent,
                     const struct nzd_module *new)
{
    const struct nzd_app *was = nzd_inventory_app(plan->old, new->app);
    const struct nzd_app *now = nzd_inventory_app(plan->new, new->app);

    return !was || !now || absent->old_held[was - plan->old->apps] ||
           strcmp(was->version, now->version) != 0;
}

static void add_step(struct nzd_plan *plan, enum nzd_step_change change,
                     const struct nzd_module *old, const struct nzd_module *new)
{
    struct nzd_step *step = &plan->steps[plan->step_count++];
    const struct nzd_module *named = new ? new : old;

    step->change = change;
    step->name = named->name;
    step->app = *named->app || !old ? named->app : old->app;
    step->old = old;
    step->new = new;
    plan->changed += change == NZD_STEP_CHANGED;
    plan->added += change == NZD_STEP_ADDED;
    plan->removed += change == NZD_STEP_REMOVED;
}

/* One of both: the same name, or what only one side has. */
static void compare_modules(struct nzd_plan *plan, const struct absent *absent,
                            const struct nzd_module *old,
                            const struct nzd_module *new)
{
    enum nzd_step_change change = NZD_STEP_CHANGED;
    bool differs;

    if (new &&old) {
        differs = !nzd_module_same(old, new);
    } else if (new) {
        change = NZD_STEP_ADDED;
        differs = is_added(plan, absent, new);
    } else {
        change = NZD_STEP_REMOVED;
        differs = old && is_removed(plan, absent, old);
    }
    if (differs)
        add_step(plan, change, old, new);
    else
        plan->unchanged_modules++;
}

static int order_of(const struct nzd_module *old, const struct nzd_module *new)
{
    if (!old || !new)
        return old ? -1 : 1;
    return strcmp(old->name, new->name);
}

static void merge(struct nzd_plan *plan, const struct absent *absent)
{
    const struct nzd_inventory *old = plan->old;
    const struct nzd_inventory *new = plan->new;
    uint32_t i = 0, j = 0;

    while (i < old->module_count || j < new->module_count) {
        const struct nzd_module *left =
            i < old->module_count ? &old->modules[i] : NULL;
        const struct nzd_module *right =
            j < new->module_count ? &new->modules[j] : NULL;
        int order = order_of(left, right);

        compare_modules(plan, absent, order <= 0 ? left : NULL,
                        order >= 0 ? right : NULL);
        i += order <= 0;
        j += order >= 0;
    }
}

static int by_app(const void *a, const void *b)
{
    const struct nzd_step *left = a;
    const struct nzd_step *right = b;
    int order = strcmp(left->app, right->app);

    return order ? order : strcmp(left->name, right->name);
}

/* --- what people call it --- */

static bool has_step(const struct nzd_plan *plan, const char *app)
{
    for (uint32_t i = 0; i < plan->step_count; i++)
        if (strcmp(plan->steps[i].app, app) == 0)
            return true;
    return false;
}

/* The application that stands for a bundle that is no release: one with steps
 * and another version, else with steps, else the first that both have. */
static const struct nzd_app *main_app(const struct nzd_plan *plan)
{
    const struct nzd_app *best = NULL;
    int best_rank = -1;

    for (uint32_t i = 0; i < plan->new->app_count; i++) {
        const struct nzd_app *new = &plan->new->apps[i];
        const struct nzd_app *old = nzd_inventory_app(plan->old, new->name);
        int rank = (has_step(plan, new->name) ? 4 : 0) +
                   (old && strcmp(old->version, new->version) != 0 ? 2 : 0) +
                   (old ? 1 : 0);

        if (rank > best_rank) {
            best = new;
            best_rank = rank;
        }
    }
    return best;
}

static void name_plan(struct nzd_plan *plan)
{
    const struct nzd_app *new, *old;

    plan->release = plan->from_version = plan->to_version = "";
    if (*plan->new->release) {
        plan->release = plan->new->release;
        plan->from_version = plan->old->version;
        plan->to_version = plan->new->version;
        return;
    }
    new = main_app(plan);
    if (!new)
        return;
    old = nzd_inventory_app(plan->old, new->name);
    plan->release = new->name;
    plan->from_version = old ? old->version : "";
    plan->to_version = new->version;
}

static void count_apps(struct nzd_plan *plan)
{
    for (uint32_t i = 0; i < plan->old->app_count; i++)
        if (!has_step(plan, plan->old->apps[i].name))
            plan->unchanged_apps++;
}

int nzd_plan_diff(const struct nzd_inventory *old,
                  const struct nzd_inventory *new, struct nzd_plan *out,
                  struct nzd_err *err)
{
    struct absent absent;
    size_t most = (size_t)old->module_count + new->module_count;
    int code;

    memset(out, 0, sizeof(*out));
    out->old = old;
    out->new = new;
    out->steps = nzd_arena_alloc(&out->arena, (most + 1) * sizeof(*out->steps));
    code = out->steps ? read_absent(out, &absent, err) : nzd_err_memory(err);
    if (code < 0 || !out->steps) {
        nzd_plan_clear(out);
        return code;
    }
    merge(out, &absent);
    if (out->step_count > 1)
        qsort(out->steps, out->step_count, sizeof(*out->steps), by_app);
    count_apps(out);
    name_plan(out);
    out->verdict = out->step_count > 0 ? NZD_LEVEL_HOT : NZD_LEVEL_NOTHING;
    return 0;
}

/* --- evidence --- */

int nzd_plan_add_evidence(struct nzd_plan *plan,
                          const struct nzd_evidence *evidence,
                          struct nzd_err *err)
{
    int code = nzd_evidence_add(&plan->evidence, &plan->arena, evidence, err);

    if (code == 0 && evidence->level > plan->verdict)
        plan->verdict = evidence->level;
    return code;
}

static void raise_verdict(struct nzd_plan *plan)
{
    for (uint32_t i = 0; i < plan->evidence.count; i++)
        if (plan->evidence.items[i].level > plan->verdict)
            plan->verdict = plan->evidence.items[i].level;
}

enum nzd_need nzd_plan_need(const struct nzd_plan *plan)
{
    enum nzd_need need = NZD_NEED_SWITCH;

    for (uint32_t i = 0; i < plan->evidence.count; i++)
        if (plan->evidence.items[i].need > need)
            need = plan->evidence.items[i].need;
    return need;
}

/* --- modules that cannot change hot --- */

/* The VM's own applications: their processes cannot do without them. */
static bool is_core(const char *app)
{
    return strcmp(app, "kernel") == 0 || strcmp(app, "stdlib") == 0 ||
           strcmp(app, "compiler") == 0 || strcmp(app, "erts") == 0;
}

/* It is part of the emulator, not of a file. */
static bool is_preloaded(const struct nzd_step *step)
{
    return strcmp(step->app, "erts") == 0 ||
           (step->old && (step->old->flags & NZD_MODULE_PRELOADED));
}

static int say_core(struct nzd_plan *plan, uint32_t *at, struct nzd_err *err)
{
    const char *name = plan->steps[*at].app;
    const struct nzd_app *old = nzd_inventory_app(plan->old, name);
    const struct nzd_app *new = nzd_inventory_app(plan->new, name);
    struct nzd_evidence evidence = {.level = NZD_LEVEL_RESTART_VM,
                                    .subject = name,
                                    .old = old ? old->version : "",
                                    .new = new ? new->version : "",
                                    .need = NZD_NEED_RESTART};
    uint32_t count = 0;

    while (*at < plan->step_count && strcmp(plan->steps[*at].app, name) == 0) {
        if (is_preloaded(&plan->steps[*at]))
            evidence.need = NZD_NEED_BASE;
        count++;
        (*at)++;
    }
    evidence.source =
        nzd_arena_printf(&plan->arena, "%u module%s of the VM's own code",
                         count, count == 1 ? "" : "s");
    if (!evidence.source)
        return nzd_err_memory(err);
    return nzd_plan_add_evidence(plan, &evidence, err);
}

static bool loads_nif(const struct nzd_module *module)
{
    return module && module->beam && module->beam->loads_nif;
}

static const char *native(const struct nzd_module *module)
{
    if (!module || !module->beam)
        return "";
    return module->beam->loads_nif     ? "loads a native library"
           : module->beam->has_on_load ? "on_load"
                                       : "no native library";
}

static int judge_step(struct nzd_plan *plan, struct nzd_step *step,
                      struct nzd_err *err)
{
    struct nzd_evidence evidence = {.level = NZD_LEVEL_RESTART_VM,
                                    .subject = step->name,
                                    .need = NZD_NEED_RESTART};

    step->after_others =
        step->new && step->new->beam && step->new->beam->has_on_load;
    if (is_preloaded(step)) {
        evidence.need = NZD_NEED_BASE;
        evidence.source = "part of the emulator";
    } else if (step->old && (step->old->flags & NZD_MODULE_STICKY)) {
        evidence.source = "sticky directory";
    } else if (step->change == NZD_STEP_CHANGED &&
               (loads_nif(step->old) || loads_nif(step->new))) {
        evidence.old = native(step->old);
        evidence.new = native(step->new);
        evidence.source =
            "a native library cannot be proved to upgrade in place";
    } else {
        return 0;
    }
    return nzd_plan_add_evidence(plan, &evidence, err);
}

/* Both sides of what changes must have been read. */
static int check_details(const struct nzd_step *step, struct nzd_err *err)
{
    if ((step->old && !step->old->beam) || (step->new && !step->new->beam))
        return nzd_err_set(
            err, NZD_EINTERNAL, "plan: the %s code of %s was not read",
            step->old && !step->old->beam ? "old" : "new", step->name);
    return 0;
}

int nzd_plan_judge(struct nzd_plan *plan, struct nzd_err *err)
{
    int code = nzd_settings_compare(plan->old, plan->new, &plan->arena,
                                    &plan->evidence, err);

    if (code == 0)
        code = nzd_appup_judge(plan->old, plan->new, &plan->arena,
                               &plan->evidence, err);
    for (uint32_t i = 0; code == 0 && i < plan->step_count;) {
        code = check_details(&plan->steps[i], err);
        if (code < 0)
            break;
        if (is_core(plan->steps[i].app))
            code = say_core(plan, &i, err);
        else
            code = judge_step(plan, &plan->steps[i++], err);
    }
    if (code == 0)
        code = plan_find_gaps(plan, err);
    if (code == 0)
        raise_verdict(plan);
    return code;
}

void nzd_plan_clear(struct nzd_plan *plan)
{
    nzd_evidence_clear(&plan->evidence);
    free(plan->gaps);
    nzd_arena_clear(&plan->arena);
    memset(plan, 0, sizeof(*plan));
}
