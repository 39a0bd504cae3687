/* SPDX-License-Identifier: Apache-2.0 */
#include "node_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct nzd_occupant *grow(struct nzd_occupant_list *list)
{
    if (list->count == list->capacity) {
        uint32_t capacity = list->capacity ? 2 * list->capacity : 16;
        void *items =
            realloc(list->items, capacity * sizeof(struct nzd_occupant));
        if (!items)
            return NULL;
        list->items = items;
        list->capacity = capacity;
    }
    struct nzd_occupant *item = &list->items[list->count++];
    memset(item, 0, sizeof *item);
    item->name = item->module = item->function = "";
    return item;
}

static const char *text_in(struct nzd_arena *arena, const struct nzd_term *term)
{
    const char *text = nzd_term_text(term, arena);
    char *copy = text ? nzd_arena_text(arena, text, strlen(text)) : NULL;
    return copy ? copy : "";
}

static uint32_t count_of(const struct nzd_term *term)
{
    int64_t value = 0;
    return nzd_term_integer(term, &value) && value > 0 ? (uint32_t)value : 0;
}

int nzd_node_read_occupants(const struct nzd_term *list,
                            enum nzd_occupant_kind kind,
                            struct nzd_arena *arena,
                            struct nzd_occupant_list *out, struct nzd_err *err)
{
    for (uint32_t i = 0; i < nzd_term_length(list); i++) {
        const struct nzd_term *row = nzd_term_at(list, i);
        struct nzd_occupant *item = grow(out);
        if (!item)
            return nzd_err_memory(err);
        item->kind = kind;
        snprintf(item->pid, sizeof item->pid, "%s",
                 text_in(arena, nzd_term_at(row, 0)));
        item->name = text_in(arena, nzd_term_at(row, 1));
        item->module = text_in(arena, nzd_term_at(row, 2));
        item->function = text_in(arena, nzd_term_at(row, 3));
        item->arity = count_of(nzd_term_at(row, 4));
    }
    return 0;
}

/* {Module, Function, Count}. */
int nzd_node_read_holders(const struct nzd_term *list,
                          enum nzd_occupant_kind kind, struct nzd_arena *arena,
                          struct nzd_occupant_list *out, struct nzd_err *err)
{
    for (uint32_t i = 0; i < nzd_term_length(list); i++) {
        const struct nzd_term *row = nzd_term_at(list, i);
        struct nzd_occupant *item = grow(out);
        if (!item)
            return nzd_err_memory(err);
        item->kind = kind;
        item->module = text_in(arena, nzd_term_at(row, 0));
        item->function = text_in(arena, nzd_term_at(row, 1));
        item->count = count_of(nzd_term_at(row, 2));
    }
    return 0;
}

/* [{Module, Md5, [{Name, Arity, Index, Free, Uniq}]}] of one side. */
static void put_side(struct nzd_buf *out, const struct nzd_module *module)
{
    const struct nzd_beam *beam = module->beam;
    nzd_etf_tuple(out, 3);
    nzd_etf_atom(out, module->name);
    nzd_etf_binary(out, nzd_view_of(module->md5.bytes, NZD_DIGEST_SIZE));
    nzd_etf_list(out, beam->lambda_count);
    for (uint32_t i = 0; i < beam->lambda_count; i++) {
        const struct nzd_beam_lambda *fun = &beam->lambdas[i];
        nzd_etf_tuple(out, 5);
        nzd_etf_atom(out, fun->name);
        nzd_etf_unsigned(out, fun->arity);
        nzd_etf_unsigned(out, fun->index);
        nzd_etf_unsigned(out, fun->free_count);
        nzd_etf_unsigned(out, fun->old_uniq);
    }
    if (beam->lambda_count)
        nzd_etf_nil(out);
}

static const struct nzd_module *with_lambdas(const struct nzd_module *module)
{
    return module && module->beam && module->beam->lambda_count ? module : NULL;
}

void nzd_node_put_lambdas(struct nzd_buf *out, const struct nzd_plan *plan,
                          bool new_side)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < plan->step_count; i++) {
        const struct nzd_step *step = &plan->steps[i];
        if (with_lambdas(new_side ? step->new : step->old))
            count++;
    }
    nzd_etf_list(out, count);
    for (uint32_t i = 0; i < plan->step_count; i++) {
        const struct nzd_step *step = &plan->steps[i];
        const struct nzd_module *side =
            with_lambdas(new_side ? step->new : step->old);
        if (side)
            put_side(out, side);
    }
    if (count)
        nzd_etf_nil(out);
}

void nzd_node_put_steps(struct nzd_buf *out, const struct nzd_plan *plan,
                        unsigned changes)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < plan->step_count; i++)
        count += (changes >> plan->steps[i].change) & 1;
    nzd_etf_list(out, count);
    for (uint32_t i = 0; i < plan->step_count; i++)
        if ((changes >> plan->steps[i].change) & 1)
            nzd_etf_atom(out, plan->steps[i].name);
    if (count)
        nzd_etf_nil(out);
}

int nzd_node_occupants(struct nzd_node *node, const struct nzd_plan *plan,
                       struct nzd_arena *arena, struct nzd_occupant_list *out,
                       struct nzd_err *err)
{
    static const enum nzd_occupant_kind kinds[] = {
        0, NZD_OCCUPANT_LINGERING, NZD_OCCUPANT_RESIDENT, NZD_OCCUPANT_CLOSURE,
        NZD_OCCUPANT_HOLDER};
    const struct nzd_term *answer = NULL;
    struct nzd_buf *request = nzd_node_begin_request(node);
    nzd_etf_tuple(request, 4);
    nzd_etf_atom(request, "occupants");
    nzd_node_put_steps(request, plan, NZD_STEPS_OLD);
    nzd_node_put_lambdas(request, plan, false);
    nzd_node_put_migrating(request, plan);
    int code = nzd_node_asked(node, &answer, err);
    if (code)
        return code;
    if (!nzd_term_is_tagged(answer, "occupants", 5))
        return nzd_node_unexpected(node, "occupants", answer, err);
    for (uint32_t i = 1; i <= 4 && !code; i++)
        code = (i <= 2 ? nzd_node_read_occupants : nzd_node_read_holders)(
            nzd_term_at(answer, i), kinds[i], arena, out, err);
    return code;
}

int nzd_node_users(struct nzd_node *node, const struct nzd_plan *plan,
                   struct nzd_arena *arena, struct nzd_occupant_list *out,
                   struct nzd_err *err)
{
    const struct nzd_term *answer = NULL;
    struct nzd_buf *request = nzd_node_begin_request(node);
    nzd_etf_tuple(request, 3);
    nzd_etf_atom(request, "users");
    nzd_node_put_steps(request, plan, 1u << NZD_STEP_REMOVED);
    nzd_node_put_migrating(request, plan);
    int code = nzd_node_asked(node, &answer, err);
    if (code)
        return code;
    if (!nzd_term_is_tagged(answer, "users", 3))
        return nzd_node_unexpected(node, "users", answer, err);
    code = nzd_node_read_occupants(nzd_term_at(answer, 1),
                                   NZD_OCCUPANT_LAST_USER, arena, out, err);
    return code ? code
                : nzd_node_read_occupants(nzd_term_at(answer, 2),
                                          NZD_OCCUPANT_USER, arena, out, err);
}

/* --- callers of what is removed ---------------------------------------- */

static void put_targets(struct nzd_buf *out,
                        const struct nzd_beam_function *targets, uint32_t count)
{
    nzd_etf_list(out, count);
    for (uint32_t i = 0; i < count; i++) {
        nzd_etf_tuple(out, 3);
        nzd_etf_atom(out, targets[i].module);
        nzd_etf_atom(out, targets[i].name ? targets[i].name : "");
        nzd_etf_unsigned(out, targets[i].name ? targets[i].arity : 0);
    }
    nzd_etf_nil(out);
}

static int add_gap(struct nzd_plan *plan, const struct nzd_term *row,
                   struct nzd_err *err)
{
    struct nzd_gap gap = {
        .caller = text_in(&plan->arena, nzd_term_at(row, 0)),
        .module = text_in(&plan->arena, nzd_term_at(row, 1)),
        .function = text_in(&plan->arena, nzd_term_at(row, 2)),
        .arity = count_of(nzd_term_at(row, 3)),
    };
    return nzd_plan_add_gap(plan, &gap, err);
}

static void put_except(struct nzd_buf *out, const struct nzd_plan *plan,
                       const char *const *except, uint32_t count)
{
    nzd_etf_list(out, plan->step_count + count);
    for (uint32_t i = 0; i < plan->step_count; i++)
        nzd_etf_atom(out, plan->steps[i].name);
    for (uint32_t i = 0; i < count; i++)
        nzd_etf_atom(out, except[i]);
    if (plan->step_count + count)
        nzd_etf_nil(out);
}

int nzd_node_callers(struct nzd_node *node, struct nzd_plan *plan,
                     const char *const *except, uint32_t except_count,
                     struct nzd_err *err)
{
    const struct nzd_term *answer = NULL;
    struct nzd_beam_function *targets = NULL;
    uint32_t count = 0;
    int code = nzd_plan_removed_functions(plan, &targets, &count, err);
    if (code || !count)
        return code;
    struct nzd_buf *request = nzd_node_begin_request(node);
    nzd_etf_tuple(request, 3);
    nzd_etf_atom(request, "callers");
    put_targets(request, targets, count);
    put_except(request, plan, except, except_count);
    code = nzd_node_asked(node, &answer, err);
    if (code)
        return code;
    if (!nzd_term_is_tagged(answer, "callers", 2))
        return nzd_node_unexpected(node, "callers", answer, err);
    const struct nzd_term *rows = nzd_term_at(answer, 1);
    for (uint32_t i = 0; i < nzd_term_length(rows) && !code; i++)
        code = add_gap(plan, nzd_term_at(rows, i), err);
    return code;
}
