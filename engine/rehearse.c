/* SPDX-License-Identifier: Apache-2.0 */
#include "rehearse.h"

#include "../staging/beam_reach.h"
#include "../staging/beam_rename.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX    "nzd_shadow."
#define PROCESSES 100u /* of each module */
#define READ_US   1000000u
#define CHANGE_US 2000000u
#define ALL_US    30000000u
#define BYTES     (128u << 20)
/* Modules outside the plan that are read to see what they may do. */
#define FETCHED_MOST 64u

struct rehearsal {
    struct nzd_question *q;
    struct nzd_reach *reach;
    struct nzd_buf bytes;
    unsigned fetched;
    bool down; /* the code that is about to go converts the states */
    struct nzd_rehearsal_part *all; /* of each module that somebody runs */
    uint32_t count;
    struct nzd_rehearse_part *parts; /* those of them that are tried */
    uint32_t part_count;
    uint32_t *places; /* of each part, in `all` */
    struct nzd_rehearse_code *code;
    uint32_t code_count;
    struct nzd_err *err;
};

/* --- what may be tried --------------------------------------------------- */

static const struct nzd_step *find_step(const struct nzd_plan *plan,
                                        const char *name)
{
    for (uint32_t i = 0; i < plan->step_count; i++)
        if (!strcmp(plan->steps[i].name, name))
            return &plan->steps[i];
    return NULL;
}

/* The side of a step whose code converts states, NULL where it has none. */
static const struct nzd_module *side_of(const struct rehearsal *r,
                                        const struct nzd_step *step)
{
    return r->down ? step->old : step->new;
}

static int read_code(struct rehearsal *r, const struct nzd_module *module)
{
    return nzd_spool_read(r->q->spool, module->spool_offset, module->bytes,
                          &module->content, &r->bytes, r->err);
}

static int take_object(void *context, uint32_t index,
                       const struct nzd_object *object, struct nzd_err *err)
{
    struct rehearsal *r = context;
    (void)index;
    return object->state == NZD_OBJECT_FOUND
               ? nzd_reach_add(r->reach, object->bytes, false, err)
               : 0;
}

/* The code of a module that is called: the plan's, else what runs. */
static int add_called(struct rehearsal *r, const char *name)
{
    const struct nzd_step *step = find_step(&r->q->plan, name);
    struct nzd_err bad = NZD_ERR_INIT;
    int code = 0;
    if (step && side_of(r, step)) {
        code = read_code(r, side_of(r, step));
        return code ? code
                    : nzd_reach_add(r->reach, nzd_buf_view(&r->bytes), true,
                                    r->err);
    }
    if (!step && r->fetched++ < FETCHED_MOST)
        code = nzd_node_objects(r->q->node, &name, 1, take_object, r, &bad);
    if (code == NZD_EBUNDLE)
        code = 0;
    if (code) {
        *r->err = bad;
        return code;
    }
    return nzd_reach_add_missing(r->reach, name, r->err);
}

/* What one function may do, once all code that it comes to is there. */
static int follow(struct rehearsal *r, const char *module, const char *function,
                  uint32_t arity, struct nzd_reach_end *end)
{
    for (;;) {
        int code =
            nzd_reach_from(r->reach, module, function, arity, end, r->err);
        if (code || end->kind != NZD_REACH_WANTS)
            return code;
        code = add_called(r, end->module);
        if (code)
            return code;
    }
}

static int add_note(struct rehearsal *r, struct nzd_rehearsal_part *part,
                    const char *why)
{
    struct nzd_arena *arena = &r->q->arena;
    part->notes = nzd_arena_alloc(arena, sizeof *part->notes);
    if (!part->notes)
        return nzd_err_memory(r->err);
    part->note_count = 1;
    *part->notes = (struct nzd_rehearsal_note){
        .pid = "", .name = "", .shape = "", .stack = ""};
    part->notes->why = nzd_arena_text(arena, why, strlen(why));
    return part->notes->why ? 0 : nzd_err_memory(r->err);
}

static int add_effect(struct rehearsal *r, struct nzd_rehearsal_part *part,
                      const char *why)
{
    const char *text =
        nzd_arena_printf(&r->q->arena, "code_change may come to %s", why);
    return text ? add_note(r, part, text) : nzd_err_memory(r->err);
}

static const struct nzd_term *extra_of(const struct rehearsal *r,
                                       const char *module)
{
    const struct nzd_extras *all = &r->q->extras;
    for (uint32_t i = 0; i < all->count; i++)
        if (!strcmp(all->items[i].module, module))
            return r->down ? all->items[i].down : all->items[i].up;
    return NULL;
}

/* Whether a module is tried: whichever of the functions it has, a process may
 * be of the kind that calls it. */
static int judge(struct rehearsal *r, uint32_t place)
{
    static const struct {
        const char *name;
        uint32_t arity;
    } functions[] = {
        {"code_change", 3}, {"code_change", 4}, {"system_code_change", 4}};
    struct nzd_rehearsal_part *part = &r->all[place];
    struct nzd_reach_end end;
    const struct nzd_step *step = find_step(&r->q->plan, part->module);
    bool funs = false, any = false;
    int code = add_called(r, part->module);
    for (int i = 0; i < 3 && !code; i++) {
        code = follow(r, part->module, functions[i].name, functions[i].arity,
                      &end);
        if (!code && end.kind == NZD_REACH_EFFECT)
            return add_effect(r, part, end.why);
        any = any || end.kind == NZD_REACH_PURE;
        funs = funs || end.calls_funs;
    }
    if (!code && !any)
        code = add_note(r, part, "it has no code_change");
    if (code || !any)
        return code;
    r->places[r->part_count] = place;
    r->parts[r->part_count++] = (struct nzd_rehearse_part){
        .module = part->module,
        .shadow = nzd_arena_printf(&r->q->arena, PREFIX "%s", part->module),
        .calls_funs = funs,
        .attributes = r->down ? step->new->beam->attributes : NULL,
        .extra = extra_of(r, part->module),
    };
    return r->parts[r->part_count - 1].shadow ? 0 : nzd_err_memory(r->err);
}

static struct nzd_rehearsal_part *part_of(struct rehearsal *r,
                                          const char *module)
{
    for (uint32_t i = 0; i < r->count; i++)
        if (!strcmp(r->all[i].module, module))
            return &r->all[i];
    return NULL;
}

/* The modules that somebody runs. */
static int list_parts(struct rehearsal *r)
{
    const struct nzd_occupant_list *users = &r->q->users;
    size_t most = users->count + 1u;
    r->all = nzd_arena_alloc(&r->q->arena, most * sizeof *r->all);
    r->parts = nzd_arena_alloc(&r->q->arena, most * sizeof *r->parts);
    r->places = nzd_arena_alloc(&r->q->arena, most * sizeof *r->places);
    if (!r->all || !r->parts || !r->places)
        return nzd_err_memory(r->err);
    for (uint32_t i = 0; i < users->count; i++) {
        const struct nzd_occupant *who = &users->items[i];
        struct nzd_rehearsal_part *part = part_of(r, who->module);
        const struct nzd_step *step = find_step(&r->q->plan, who->module);
        if (who->kind != NZD_OCCUPANT_USER || !step || !step->new || !step->old)
            continue;
        if (!part) {
            part = &r->all[r->count++];
            part->module = who->module;
        }
        part->processes++;
    }
    return 0;
}

/* --- the code ------------------------------------------------------------ */

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int rename_one(struct rehearsal *r, const struct nzd_rename *rename,
                      const char *name)
{
    struct nzd_arena *arena = &r->q->arena;
    struct nzd_buf out = {0};
    int code = read_code(r, side_of(r, find_step(&r->q->plan, name)));
    if (!code)
        code = nzd_beam_rename(nzd_buf_view(&r->bytes), rename, &out, r->err);
    if (code) {
        nzd_err_prefix(r->err, "module %s", name);
    } else {
        char *bytes = nzd_arena_text(arena, (const char *)out.data, out.size);
        char *shadow = nzd_arena_printf(arena, PREFIX "%s", name);
        if (bytes && shadow)
            r->code[r->code_count++] = (struct nzd_rehearse_code){
                shadow, nzd_view_of(bytes, out.size)};
        else
            code = nzd_err_memory(r->err);
    }
    nzd_buf_clear(&out);
    return code;
}

/* What those that are tried come to, each under its other name. */
static int rename_all(struct rehearsal *r)
{
    const struct nzd_plan *plan = &r->q->plan;
    struct nzd_rename rename = {.prefix = PREFIX};
    const char **names =
        nzd_arena_alloc(&r->q->arena, (plan->step_count + 1) * sizeof *names);
    int code = 0;
    r->code =
        nzd_arena_alloc(&r->q->arena, (plan->step_count + 1) * sizeof *r->code);
    if (!names || !r->code)
        return nzd_err_memory(r->err);
    for (uint32_t i = 0; i < plan->step_count; i++)
        if (side_of(r, &plan->steps[i]) &&
            nzd_reach_used(r->reach, plan->steps[i].name))
            names[rename.count++] = plan->steps[i].name;
    qsort(names, rename.count, sizeof *names, compare);
    rename.modules = names;
    for (uint32_t i = 0; i < rename.count && !code; i++)
        code = rename_one(r, &rename, names[i]);
    return code;
}

/* --- trying -------------------------------------------------------------- */

static int try_out(struct rehearsal *r)
{
    struct nzd_rehearse_job job = {
        .parts = r->parts,
        .part_count = r->part_count,
        .processes = PROCESSES,
        .read_us = READ_US,
        .change_us = CHANGE_US,
        .all_us = ALL_US,
        .bytes = BYTES,
    };
    struct nzd_rehearsal_part *told =
        nzd_arena_alloc(&r->q->arena, (r->part_count + 1u) * sizeof *told);
    if (!told)
        return nzd_err_memory(r->err);
    int code = rename_all(r);
    job.code = r->code;
    job.code_count = r->code_count;
    if (!code)
        code = nzd_node_rehearse(r->q->node, &job, &r->q->arena, told, r->err);
    for (uint32_t i = 0; i < r->part_count && !code; i++)
        r->all[r->places[i]] = told[i];
    return code;
}

static int rehearse(struct rehearsal *r)
{
    int code = nzd_reach_open(&r->reach, r->err);
    if (!code)
        code = list_parts(r);
    for (uint32_t i = 0; i < r->count && !code; i++)
        code = judge(r, i);
    if (!code && r->part_count)
        code = try_out(r);
    nzd_reach_close(r->reach);
    nzd_buf_clear(&r->bytes);
    return code;
}

/* --- what is said -------------------------------------------------------- */

void nzd_rehearsal_note_line(const struct nzd_rehearsal_note *note,
                             struct nzd_buf *out)
{
    nzd_buf_reset(out);
    nzd_buf_printf(out, "%s%s%s%s%s", note->pid, note->pid[0] ? " " : "",
                   note->name, note->name[0] ? " " : "", note->why);
    if (note->stack[0])
        nzd_buf_printf(out, ", at %s", note->stack);
    if (note->shape[0])
        nzd_buf_printf(out, "; its state is %s", note->shape);
}

void nzd_rehearsal_line(const struct nzd_rehearsal_part *part,
                        struct nzd_buf *out)
{
    char took[32];
    bool failed = false;
    nzd_format_duration(took, part->us);
    for (uint32_t i = 0; i < part->note_count; i++)
        failed = failed || part->notes[i].failed;
    nzd_buf_reset(out);
    nzd_buf_printf(out, "%s: %" PRIu32 " process%s, ", part->module,
                   part->processes, part->processes == 1 ? "" : "es");
    if (failed)
        nzd_buf_printf(out, "FAILED in %s", took);
    else if (part->well && part->well == part->processes)
        nzd_buf_printf(out, "ok in %s", took);
    else if (part->well)
        nzd_buf_printf(out, "%" PRIu32 " of them ok in %s", part->well, took);
    else if (part->note_count && !part->notes[0].pid[0])
        nzd_buf_printf(out, "not tried: %s", part->notes[0].why);
    else
        nzd_buf_text(out, "none was tried");
}

bool nzd_rehearsal_refuse(const struct nzd_rehearsal *rehearsal,
                          struct nzd_err *err)
{
    for (uint32_t i = 0; i < rehearsal->part_count; i++) {
        const struct nzd_rehearsal_part *part = &rehearsal->parts[i];
        struct nzd_buf line = {0};
        if (!part->note_count || !part->notes[0].failed)
            continue;
        nzd_rehearsal_note_line(&part->notes[0], &line);
        nzd_err_set(err, NZD_EREFUSED, "rehearsal of %s: code_change of %s",
                    part->module, nzd_buf_string(&line));
        nzd_err_untouched(err, "nothing was touched");
        nzd_err_next(err, "mend code_change, or leave --rehearse away");
        nzd_buf_clear(&line);
        return true;
    }
    return false;
}

static void tell(struct nzd_output *output, struct nzd_timeline *timeline,
                 const struct nzd_rehearsal_part *part)
{
    struct nzd_buf line = {0};
    nzd_rehearsal_line(part, &line);
    nzd_output_step(output, "rehearse", part->us, NULL, "%s",
                    nzd_buf_string(&line));
    nzd_timeline_add(timeline, NZD_EVENT_CHECK, "rehearse", part->us, "%s",
                     nzd_buf_string(&line));
    for (uint32_t i = 0; i < part->note_count; i++) {
        const struct nzd_rehearsal_note *note = &part->notes[i];
        if (note->failed || !note->pid[0])
            continue;
        nzd_rehearsal_note_line(note, &line);
        nzd_output_step(output, "rehearse", 0, NULL, "not tried: %s",
                        nzd_buf_string(&line));
    }
    nzd_buf_clear(&line);
}

int nzd_rehearse(struct nzd_context *context, struct nzd_question *q, bool down,
                 struct nzd_timeline *timeline, struct nzd_err *err)
{
    struct rehearsal r = {.q = q, .down = down, .err = err};
    if (q->plan.verdict >= NZD_LEVEL_RESTART_VM) {
        nzd_output_warn(&context->output,
                        "nothing is rehearsed: %s converts no states",
                        nzd_level_name(q->plan.verdict));
        return 0;
    }
    int code = rehearse(&r);
    if (code) {
        nzd_err_untouched(err, "nothing was touched");
        return code;
    }
    q->rehearsal.parts = r.all;
    q->rehearsal.part_count = r.count;
    q->rehearsal.done = true;
    for (uint32_t i = 0; timeline && i < r.count; i++)
        tell(&context->output, timeline, &r.all[i]);
    return nzd_rehearsal_refuse(&q->rehearsal, err) ? NZD_EREFUSED : 0;
}
