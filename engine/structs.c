/* SPDX-License-Identifier: Apache-2.0 */
#include "structs.h"

#include "../staging/beam_struct.h"

#include <inttypes.h>
#include <string.h>

struct pair {
    struct nzd_beam_struct old;
    struct nzd_beam_struct new;
};

/* --- which --------------------------------------------------------------- */

static bool defines(const struct nzd_module *module)
{
    return module && module->beam &&
           nzd_beam_exports(module->beam, "__struct__", 0);
}

static int read_side(struct nzd_question *q, const struct nzd_module *module,
                     struct nzd_buf *bytes, struct nzd_beam_struct *out,
                     struct nzd_err *err)
{
    int code;
    memset(out, 0, sizeof *out);
    if (!defines(module))
        return 0;
    code = nzd_spool_read(q->spool, module->spool_offset, module->bytes,
                          &module->content, bytes, err);
    if (!code)
        code = nzd_beam_struct_read(nzd_buf_view(bytes), &q->arena, out, err);
    return code ? nzd_err_prefix(err, "module %s", module->name) : 0;
}

/* The keys of `a` that `b` has not. */
static int lacking(const struct nzd_beam_struct *a,
                   const struct nzd_beam_struct *b, struct nzd_arena *arena,
                   const char *const **out, uint32_t *count,
                   struct nzd_err *err)
{
    const char **keys = nzd_arena_alloc(arena, (a->count + 1u) * sizeof *keys);
    if (!keys)
        return nzd_err_memory(err);
    *count = 0;
    for (uint32_t i = 0; i < a->count; i++)
        if (!nzd_beam_struct_has(b, a->keys[i]))
            keys[(*count)++] = a->keys[i];
    *out = keys;
    return 0;
}

static int compare(struct nzd_question *q, const struct nzd_step *step,
                   struct nzd_buf *bytes, struct nzd_struct_change *out,
                   struct nzd_err *err)
{
    struct pair pair = {.old = {.found = false}};
    memset(out, 0, sizeof *out);
    out->module = step->name;
    int code = read_side(q, step->old, bytes, &pair.old, err);
    if (!code && pair.old.found)
        code = read_side(q, step->new, bytes, &pair.new, err);
    /* Of what is written in another way nothing is known. */
    if (code || !pair.old.found || (defines(step->new) && !pair.new.found))
        return code;
    out->gone = !pair.new.found;
    code = lacking(&pair.new, &pair.old, &q->arena, &out->added,
                   &out->added_count, err);
    return code ? code
                : lacking(&pair.old, &pair.new, &q->arena, &out->removed,
                          &out->removed_count, err);
}

static int find_changes(struct nzd_question *q, struct nzd_err *err)
{
    struct nzd_structs *all = &q->structs;
    struct nzd_buf bytes = {0};
    int code = 0;
    all->items = nzd_arena_alloc(&q->arena, (q->plan.step_count + 1u) *
                                                sizeof *all->items);
    if (!all->items)
        return nzd_err_memory(err);
    for (uint32_t i = 0; i < q->plan.step_count && !code; i++) {
        struct nzd_struct_change *change = &all->items[all->count];
        if (!defines(q->plan.steps[i].old))
            continue;
        code = compare(q, &q->plan.steps[i], &bytes, change, err);
        all->count += !code && (change->gone || change->added_count ||
                                change->removed_count);
    }
    nzd_buf_clear(&bytes);
    return code;
}

/* --- who ----------------------------------------------------------------- */

/* Its state is converted. */
static bool migrates(const struct nzd_question *q, const char *pid)
{
    for (uint32_t i = 0; i < q->users.count; i++)
        if (q->users.items[i].kind == NZD_OCCUPANT_USER &&
            !strcmp(q->users.items[i].pid, pid))
            return true;
    return false;
}

int nzd_structs_find(struct nzd_question *q, struct nzd_err *err)
{
    struct nzd_structs *all = &q->structs;
    memset(all, 0, sizeof *all);
    if (q->plan.verdict >= NZD_LEVEL_RESTART_VM)
        return 0;
    int code = find_changes(q, err);
    if (!code && all->count)
        code = nzd_node_holders(q->node, all, &q->arena, err);
    for (uint32_t i = 0; i < all->count && !code; i++)
        for (uint32_t k = 0; k < all->items[i].named_count; k++)
            all->items[i].named[k].migrates =
                migrates(q, all->items[i].named[k].pid);
    return code;
}

/* --- what is said -------------------------------------------------------- */

static void put_keys(struct nzd_buf *out, const char *const *keys,
                     uint32_t count, const char *what)
{
    if (!count)
        return;
    nzd_buf_printf(out, "%skey%s ",
                   out->size && out->data[out->size - 1] != ' ' ? ", " : "",
                   count > 1 ? "s" : "");
    for (uint32_t i = 0; i < count; i++)
        nzd_buf_printf(out, "%s%s", i ? " and " : "", keys[i]);
    nzd_buf_printf(out, " %s", what);
}

void nzd_structs_line(const struct nzd_struct_change *change,
                      struct nzd_buf *out)
{
    nzd_buf_reset(out);
    nzd_buf_printf(out, "%s: ", change->module);
    if (change->gone) {
        nzd_buf_text(out, "is no struct any more");
        return;
    }
    put_keys(out, change->added, change->added_count, "added");
    put_keys(out, change->removed, change->removed_count, "removed");
}

void nzd_structs_holder_line(const struct nzd_struct_holder *holder,
                             struct nzd_buf *out)
{
    nzd_buf_reset(out);
    nzd_buf_printf(out, "%s%s%s holds one in its %s%s", holder->pid,
                   holder->name[0] ? " " : "", holder->name, holder->where,
                   holder->migrates && !strcmp(holder->where, "state")
                       ? ", which its code_change converts"
                       : "");
}

static void put_left(struct nzd_buf *out, uint32_t count, const char *which)
{
    if (count)
        nzd_buf_printf(out, ", %" PRIu32 " %s", count, which);
}

void nzd_structs_looked_line(const struct nzd_structs *structs,
                             struct nzd_buf *out)
{
    nzd_buf_reset(out);
    if (!structs->told) {
        nzd_buf_text(out, "who holds one could not be told");
        return;
    }
    nzd_buf_printf(out, "looked at %" PRIu32 " process%s; not at ETS, messages",
                   structs->looked, structs->looked == 1 ? "" : "es");
    put_left(out, structs->large, "with large heaps");
    put_left(out, structs->asleep, "that hibernate");
    put_left(out, structs->timed, "that wait with a timeout");
    put_left(out, structs->silent, "that did not tell");
    put_left(out, structs->left, "for lack of time");
}

/* The first who holds one, and how many more there are. */
static void put_first(const struct nzd_struct_change *change,
                      struct nzd_buf *out)
{
    struct nzd_buf holder = {0};
    if (change->named_count) {
        nzd_structs_holder_line(&change->named[0], &holder);
        nzd_buf_printf(out, "; %s", nzd_buf_string(&holder));
    } else {
        nzd_buf_text(out, "; nobody was seen to hold one");
    }
    if (change->holders > 1)
        nzd_buf_printf(out, ", and so do%s %" PRIu32 " more",
                       change->holders == 2 ? "es" : "", change->holders - 1);
    nzd_buf_clear(&holder);
}

void nzd_structs_warn(struct nzd_output *output, const struct nzd_structs *all,
                      struct nzd_timeline *timeline)
{
    struct nzd_buf line = {0}, looked = {0};
    nzd_structs_looked_line(all, &looked);
    for (uint32_t i = 0; i < all->count; i++) {
        nzd_structs_line(&all->items[i], &line);
        put_first(&all->items[i], &line);
        nzd_output_warn(output, "struct %s (%s)", nzd_buf_string(&line),
                        nzd_buf_string(&looked));
        nzd_timeline_add(timeline, NZD_EVENT_CHECK, "struct", 0, "%s",
                         nzd_buf_string(&line));
    }
    nzd_buf_clear(&line);
    nzd_buf_clear(&looked);
}
