/* SPDX-License-Identifier: Apache-2.0 */
#include "plan_gaps.h"

#include <stdlib.h>
#include <string.h>

/* What people read; more than these say no more. */
#define GAPS_MAX 10000u

/* An export that the old code has and the new side does not. */
struct lost {
    const char *module;
    const char *name;
    uint32_t arity;
    bool removed; /* with its whole module, which stays while it is called */
    const char *caller; /* that was seen to call it last */
};

struct losses {
    struct lost *items; /* sorted */
    uint32_t count;
};

static bool is_module_info(const struct nzd_beam_function *function)
{
    return strcmp(function->name, "module_info") == 0 && function->arity <= 1;
}

static int by_function(const void *a, const void *b)
{
    const struct lost *left = a;
    const struct lost *right = b;
    int order = strcmp(left->module, right->module);

    if (order == 0)
        order = strcmp(left->name, right->name);
    if (order == 0)
        order = (left->arity > right->arity) - (left->arity < right->arity);
    return order;
}

/* --- what is lost --- */

struct entry {
    const struct nzd_beam_function *function;
};

/* Of the new side. Both mostly have theirs in the same order: looked at first
 * is what follows the one before. */
struct exported {
    const struct nzd_beam *beam;
    uint32_t next;
    struct entry *sorted; /* once one was not there */
};

static int compare_functions(const struct nzd_beam_function *left,
                             const struct nzd_beam_function *right)
{
    if (left->arity != right->arity)
        return left->arity < right->arity ? -1 : 1;
    return strcmp(left->name, right->name);
}

static int by_name(const void *a, const void *b)
{
    const struct entry *left = a;
    const struct entry *right = b;

    return compare_functions(left->function, right->function);
}

static bool sort_them(struct exported *e)
{
    uint32_t count = e->beam->export_count;

    if (e->sorted)
        return true;
    e->sorted = calloc(count + 1, sizeof(*e->sorted));
    if (!e->sorted)
        return false;
    for (uint32_t i = 0; i < count; i++)
        e->sorted[i].function = &e->beam->exports[i];
    qsort(e->sorted, count, sizeof(*e->sorted), by_name);
    return true;
}

/* 1, 0; -1: no memory. */
static int is_exported(struct exported *e,
                       const struct nzd_beam_function *function)
{
    const struct entry key = {function};
    const struct entry *found;

    if (e->next < e->beam->export_count &&
        compare_functions(&e->beam->exports[e->next], function) == 0) {
        e->next++;
        return 1;
    }
    if (!sort_them(e))
        return -1;
    found = bsearch(&key, e->sorted, e->beam->export_count, sizeof(*e->sorted),
                    by_name);
    if (found)
        e->next = (uint32_t)(found->function - e->beam->exports) + 1;
    return found != NULL;
}

static bool may_lose(const struct nzd_step *step)
{
    return step->old && step->old->beam &&
           (step->change == NZD_STEP_REMOVED || (step->new && step->new->beam));
}

static bool find_losses_of(const struct nzd_step *step, struct losses *out)
{
    const bool removed = step->change == NZD_STEP_REMOVED;
    struct exported exported = {removed ? NULL : step->new->beam, 0, NULL};
    int is = 0;

    for (uint32_t i = 0; is >= 0 && i < step->old->beam->export_count; i++) {
        const struct nzd_beam_function *function = &step->old->beam->exports[i];

        if (is_module_info(function))
            continue;
        is = removed ? 0 : is_exported(&exported, function);
        if (is == 0)
            out->items[out->count++] = (struct lost){
                step->name, function->name, function->arity, removed, NULL};
    }
    free(exported.sorted);
    return is >= 0;
}

static int find_losses(struct nzd_plan *plan, struct losses *out,
                       struct nzd_err *err)
{
    size_t most = 1;

    memset(out, 0, sizeof(*out));
    for (uint32_t i = 0; i < plan->step_count; i++)
        if (may_lose(&plan->steps[i]))
            most += plan->steps[i].old->beam->export_count;
    out->items = calloc(most, sizeof(*out->items));
    if (!out->items)
        return nzd_err_memory(err);
    for (uint32_t i = 0; i < plan->step_count; i++) {
        if (!may_lose(&plan->steps[i]) || find_losses_of(&plan->steps[i], out))
            continue;
        free(out->items);
        memset(out, 0, sizeof(*out));
        return nzd_err_memory(err);
    }
    if (out->count > 1)
        qsort(out->items, out->count, sizeof(*out->items), by_function);
    return 0;
}

/* --- who calls it --- */

static const struct nzd_gap *find_gap(const struct nzd_plan *plan,
                                      const struct nzd_gap *gap)
{
    for (uint32_t i = 0; i < plan->gap_count; i++)
        if (plan->gaps[i].arity == gap->arity &&
            strcmp(plan->gaps[i].caller, gap->caller) == 0 &&
            strcmp(plan->gaps[i].module, gap->module) == 0 &&
            strcmp(plan->gaps[i].function, gap->function) == 0)
            return &plan->gaps[i];
    return NULL;
}

static const char *copy(struct nzd_plan *plan, const char *text)
{
    return text ? nzd_arena_text(&plan->arena, text, strlen(text)) : "";
}

/* Power of two: the room is known from the count. */
static bool make_room(struct nzd_plan *plan)
{
    uint32_t count = plan->gap_count;
    struct nzd_gap *grown;

    if (count & (count - 1))
        return true;
    grown =
        realloc(plan->gaps, (count ? 2 * (size_t)count : 1) * sizeof(*grown));
    if (grown)
        plan->gaps = grown;
    return grown != NULL;
}

/* Nobody is in flight over a restart; and a whole release that is booted anew
 * calls what it calls wherever it is installed. */
static bool is_bridged(const struct nzd_plan *plan, const struct nzd_gap *gap)
{
    enum nzd_need need = nzd_plan_need(plan);

    return (need == NZD_NEED_RESTART || need == NZD_NEED_START) &&
           (gap->in_flight || plan->new->is_release);
}

int nzd_plan_add_gap(struct nzd_plan *plan, const struct nzd_gap *gap,
                     struct nzd_err *err)
{
    struct nzd_gap added = *gap;

    if (plan->gap_count >= GAPS_MAX || is_bridged(plan, gap) ||
        find_gap(plan, gap))
        return 0;
    added.caller = copy(plan, gap->caller);
    added.module = copy(plan, gap->module);
    added.function = copy(plan, gap->function);
    if (!added.caller || !added.module || !added.function || !make_room(plan))
        return nzd_err_memory(err);
    plan->gaps[plan->gap_count++] = added;
    return 0;
}

/* A module that is removed stays in memory as long as old code knows it, so
 * nobody in flight misses it. */
static int judge_call(struct nzd_plan *plan, const struct losses *losses,
                      const char *caller, const struct nzd_beam_function *call,
                      bool in_flight, struct nzd_err *err)
{
    const struct lost key = {call->module, call->name, call->arity, false,
                             NULL};
    struct lost *found = losses->count == 0 || strcmp(call->module, caller) == 0
                             ? NULL
                             : bsearch(&key, losses->items, losses->count,
                                       sizeof(key), by_function);
    const struct nzd_gap gap = {caller, call->module, call->name, call->arity,
                                in_flight};

    if (!found || found->caller == caller || (found->removed && in_flight))
        return 0;
    found->caller = caller;
    return nzd_plan_add_gap(plan, &gap, err);
}

/* The calls of one body of code that lose their target, and the funs in its
 * literals that would. */
static int judge_calls(struct nzd_plan *plan, const struct losses *losses,
                       const struct nzd_module *caller, bool in_flight,
                       struct nzd_err *err)
{
    const struct nzd_beam *beam = caller ? caller->beam : NULL;
    int code = 0;

    for (uint32_t i = 0; beam && code == 0 && i < beam->import_count; i++)
        code = judge_call(plan, losses, caller->name, &beam->imports[i],
                          in_flight, err);
    for (uint32_t i = 0; beam && code == 0 && i < beam->fun_count; i++)
        code = judge_call(plan, losses, caller->name, &beam->funs[i], in_flight,
                          err);
    return code;
}

/* Steps are sorted by application, then by module. */
static bool has_step(const struct nzd_plan *plan, const struct nzd_module *old)
{
    uint32_t low = 0, high = plan->step_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct nzd_step *step = &plan->steps[middle];
        int order = strcmp(step->app, old->app);

        if (order == 0)
            order = strcmp(step->name, old->name);
        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* Modules outside the steps, where their calls are known. */
static int judge_unchanged(struct nzd_plan *plan, const struct losses *losses,
                           struct nzd_err *err)
{
    int code = 0;

    for (uint32_t i = 0; code == 0 && i < plan->old->module_count; i++) {
        const struct nzd_module *old = &plan->old->modules[i];
        const struct nzd_module *new =
            nzd_inventory_module(plan->new, old->name);

        if (new ? nzd_module_same(old, new) : !has_step(plan, old))
            code = judge_calls(plan, losses, old->beam ? old : new, false, err);
    }
    return code;
}

int plan_find_gaps(struct nzd_plan *plan, struct nzd_err *err)
{
    struct losses losses;
    int code = find_losses(plan, &losses, err);

    if (code == 0 && losses.count > 0)
        code = judge_unchanged(plan, &losses, err);
    for (uint32_t i = 0; code == 0 && i < plan->step_count; i++)
        code = judge_calls(plan, &losses, plan->steps[i].new, false, err);
    for (uint32_t i = 0; code == 0 && i < plan->step_count; i++)
        code = judge_calls(plan, &losses, plan->steps[i].old, true, err);
    free(losses.items);
    return code;
}

int nzd_plan_removed_functions(struct nzd_plan *plan,
                               struct nzd_beam_function **out, uint32_t *count,
                               struct nzd_err *err)
{
    struct nzd_beam_function *list;
    struct losses losses;
    uint32_t used = 0;
    int code = find_losses(plan, &losses, err);

    if (code < 0)
        return code;
    list = nzd_arena_alloc(&plan->arena,
                           (losses.count + plan->removed + 1) * sizeof(*list));
    for (uint32_t i = 0; list && i < losses.count; i++)
        if (!losses.items[i].removed)
            list[used++] = (struct nzd_beam_function){losses.items[i].module,
                                                      losses.items[i].name,
                                                      losses.items[i].arity};
    for (uint32_t i = 0; list && i < plan->step_count; i++)
        if (plan->steps[i].change == NZD_STEP_REMOVED)
            list[used++] =
                (struct nzd_beam_function){plan->steps[i].name, NULL, 0};
    free(losses.items);
    if (!list)
        return nzd_err_memory(err);
    *out = list;
    *count = used;
    return 0;
}
