/* SPDX-License-Identifier: Apache-2.0 */
#include "plan_view.h"

#include "plan_view_internal.h"
#include "restart.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Modules listed per application before the rest is counted. */
#define LISTED_MAX 40u

/* Columns of a module's name. */
#define NAME_LEAST 20u
#define NAME_MOST  40u

const char *nzd_plan_occupant_kind(enum nzd_occupant_kind kind)
{
    static const char *const names[] = {
        [NZD_OCCUPANT_LINGERING] = "lingering",
        [NZD_OCCUPANT_RESIDENT] = "resident",
        [NZD_OCCUPANT_CLOSURE] = "closure",
        [NZD_OCCUPANT_HOLDER] = "holder",
        [NZD_OCCUPANT_USER] = "user",
        [NZD_OCCUPANT_LAST_USER] = "last_user",
    };
    return names[kind];
}

/* How a change that no switch can carry comes into force. */
static const char *way_of(const struct nzd_plan *plan)
{
    static const char *const ways[] = {
        [NZD_NEED_SWITCH] = "",
        [NZD_NEED_RESTART] = ", by a restart in place",
        [NZD_NEED_START] = ", by a new start of the VM",
        [NZD_NEED_BASE] = ", needs a new base",
    };
    return plan->verdict < NZD_LEVEL_RESTART_VM ? ""
                                                : ways[nzd_plan_need(plan)];
}

static void show_head(struct nzd_output *output,
                      const struct nzd_plan_view *view)
{
    const struct nzd_plan *plan = view->plan;
    struct nzd_buf line = {0};
    nzd_buf_printf(&line, "%s %s -> %s", plan->release, plan->from_version,
                   plan->to_version);
    if (view->question)
        nzd_buf_printf(&line, " on %s", nzd_node_name(view->question->node));
    const char *role = plan->verdict <= NZD_LEVEL_HOT ? "g" : "y";
    nzd_output_line(output, "%-57s verdict: %s%s%s%s", nzd_buf_string(&line),
                    nzd_color(output, *role), nzd_level_name(plan->verdict),
                    nzd_color(output, '0'), way_of(plan));
    nzd_buf_clear(&line);
}

/* --- modules, an application at a time ---------------------------------------
 */

static const char *version_of(const struct nzd_inventory *inventory,
                              const char *app)
{
    const struct nzd_app *found = nzd_inventory_app(inventory, app);
    return found && found->version[0] ? found->version : "-";
}

static void show_app(struct nzd_output *output, const struct nzd_plan *plan,
                     uint32_t first, uint32_t end)
{
    uint32_t counts[3] = {0};
    const char *app = plan->steps[first].app;
    struct nzd_buf line = {0};
    for (uint32_t i = first; i < end; i++)
        counts[plan->steps[i].change]++;
    const char *old = version_of(plan->old, app);
    const char *new = version_of(plan->new, app);
    nzd_buf_printf(&line, "  %s  ", app[0] ? app : "(no application)");
    if (strcmp(old, new) != 0)
        nzd_buf_printf(&line, "%s -> %s    ", old, new);
    else
        nzd_buf_printf(&line, "%s    ", new);
    const char *words[] = {"changed", "added", "removed"};
    bool begun = false;
    for (int i = 0; i < 3; i++) {
        if (!counts[i])
            continue;
        nzd_buf_printf(&line, "%s%" PRIu32 " %s", begun ? ", " : "", counts[i],
                       words[i]);
        begun = true;
    }
    nzd_output_line(output, "%s", nzd_buf_string(&line));
    nzd_buf_clear(&line);
}

static void short_md5(char out[NZD_DIGEST_HEX], const struct nzd_module *module)
{
    out[0] = '\0';
    if (module)
        nzd_digest_hex(out, &module->md5);
}

static void show_step(struct nzd_output *output, const struct nzd_step *step,
                      size_t width)
{
    static const char marks[] = {'~', '+', '-'};
    char old[NZD_DIGEST_HEX], new[NZD_DIGEST_HEX], bytes[32] = "";
    struct nzd_buf name = {0};
    short_md5(old, step->old);
    short_md5(new, step->new);
    if (step->new)
        nzd_format_bytes(bytes, step->new->bytes);
    nzd_output_name(output, step->name, width, &name);
    nzd_output_line(output, "    %c %s %-8.8s %s %-8.8s %8s%s",
                    marks[step->change], nzd_buf_string(&name), old,
                    step->change == NZD_STEP_CHANGED ? "->" : "  ", new, bytes,
                    step->after_others ? "  on_load, after the others" : "");
    nzd_buf_clear(&name);
}

/* Of the names of these steps. */
static size_t name_width(const struct nzd_output *output,
                         const struct nzd_step *steps, uint32_t count)
{
    struct nzd_buf name = {0};
    size_t width = NAME_LEAST;
    for (uint32_t i = 0; i < count; i++) {
        nzd_buf_reset(&name);
        nzd_output_name(output, steps[i].name, 0, &name);
        size_t columns = nzd_columns(nzd_buf_string(&name));
        if (columns > width)
            width = columns < NAME_MOST ? columns : NAME_MOST;
    }
    nzd_buf_clear(&name);
    return width;
}

static void show_steps(struct nzd_output *output, const struct nzd_plan *plan)
{
    for (uint32_t first = 0; first < plan->step_count;) {
        uint32_t end = first;
        while (end < plan->step_count &&
               !strcmp(plan->steps[end].app, plan->steps[first].app))
            end++;
        show_app(output, plan, first, end);
        uint32_t shown = end - first;
        if (shown > LISTED_MAX && !output->verbose)
            shown = LISTED_MAX;
        size_t width = name_width(output, &plan->steps[first], shown);
        for (uint32_t i = first; i < first + shown; i++)
            show_step(output, &plan->steps[i], width);
        if (first + shown < end)
            nzd_output_line(
                output, "    ... and %" PRIu32 " more (--verbose lists them)",
                end - first - shown);
        first = end;
    }
    nzd_output_line(
        output, "  %" PRIu32 " application%s, %" PRIu32 " module%s unchanged",
        plan->unchanged_apps, plan->unchanged_apps == 1 ? "" : "s",
        plan->unchanged_modules, plan->unchanged_modules == 1 ? "" : "s");
}

/* --- reasons
 * ------------------------------------------------------------------ */

/* Of a plan that needs more than most of its reasons do. */
static const char *need_of(const struct nzd_plan *plan,
                           const struct nzd_evidence *item)
{
    enum nzd_need all = nzd_plan_need(plan);
    if (item->need != all || all < NZD_NEED_START)
        return "";
    return all == NZD_NEED_BASE ? "   (needs a new base)"
                                : "   (needs a new start)";
}

static void show_evidence(struct nzd_output *output,
                          const struct nzd_plan *plan)
{
    if (plan->evidence.count || plan->gap_count)
        nzd_output_line(output, "%s", "");
    for (uint32_t i = 0; i < plan->evidence.count; i++) {
        const struct nzd_evidence *item = &plan->evidence.items[i];
        const char *arrow = item->old[0] && item->new[0] ? " -> " : "";
        nzd_output_line(output, "  %-12s %s %s%s%s%s%s%s",
                        nzd_level_name(item->level), item->subject, item->old,
                        arrow, item->new, item->source[0] ? "   " : "",
                        item->source, need_of(plan, item));
    }
    for (uint32_t i = 0; i < plan->gap_count; i++) {
        const struct nzd_gap *gap = &plan->gaps[i];
        nzd_output_line(output,
                        "  %-12s %s%s calls %s:%s/%" PRIu32
                        ", gone in the new code",
                        "gap", gap->in_flight ? "old code of " : "",
                        gap->caller, gap->module, gap->function, gap->arity);
    }
}

/* Those whose module changes are evidence. */
static void show_last_users(struct nzd_output *output,
                            const struct nzd_occupant_list *users)
{
    for (uint32_t i = 0; i < users->count;) {
        const struct nzd_occupant *who = &users->items[i];
        uint32_t end = i;
        while (end < users->count && users->items[end].kind == who->kind &&
               !strcmp(users->items[end].module, who->module))
            end++;
        if (who->kind == NZD_OCCUPANT_LAST_USER)
            nzd_output_line(output,
                            "  %-12s %s %" PRIu32 " process%s   %s %s%s"
                            "runs it; the module goes after it",
                            "stays", who->module, end - i,
                            end - i > 1 ? "es" : "", who->pid, who->name,
                            who->name[0] ? " " : "");
        i = end;
    }
}

static void show_occupant(struct nzd_output *output, const char *label,
                          const struct nzd_occupant *who)
{
    switch (who->kind) {
    case NZD_OCCUPANT_CLOSURE:
    case NZD_OCCUPANT_HOLDER:
        nzd_output_line(output, "  %-12s %" PRIu32 " closure%s of %s%s (%s)",
                        label, who->count, who->count > 1 ? "s" : "",
                        who->kind == NZD_OCCUPANT_CLOSURE ? "old code of " : "",
                        who->module, who->function);
        break;
    default:
        nzd_output_line(output, "  %-12s %s %s%s%s %s:%s/%" PRIu32, label,
                        who->pid, who->name, who->name[0] ? " " : "",
                        who->kind == NZD_OCCUPANT_LINGERING ? "is in old code,"
                                                            : "stays in",
                        who->module, who->function, who->arity);
    }
}

static void show_in_the_way(struct nzd_output *output,
                            const struct nzd_plan_view *view)
{
    const struct nzd_occupant_list *list = &view->question->occupants;
    bool blocking = false, held = false;
    for (uint32_t i = 0; i < list->count; i++) {
        const struct nzd_occupant *who = &list->items[i];
        if (who->kind == NZD_OCCUPANT_HOLDER) {
            show_occupant(output, "held", who);
            held = true;
            continue;
        }
        bool ends = nzd_occupant_may_be_killed(who, view->options);
        blocking = blocking || !ends;
        show_occupant(output, ends ? "would end" : "in the way", who);
    }
    if (held)
        nzd_output_line(output,
                        "  %-12s calls of these fail for a moment in an undo; "
                        "a load does not touch them",
                        "");
    if (blocking)
        nzd_output_line(output,
                        "  %-12s apply waits for them (--drain), then "
                        "refuses; none is ended without --kill",
                        "");
}

static void show_restart(struct nzd_output *output,
                         const struct nzd_plan_view *view)
{
    const struct nzd_question *q = view->question;
    const char *version = view->plan->to_version;
    if (q->hello.by_nzd_boot && q->target.local)
        nzd_output_line(output, "  %-12s %s boots again (nzd boot is set up)",
                        "at restart", version);
    else
        nzd_output_line(output, "  %-12s the base boots: %s %s%s%s",
                        "at restart", q->base.name, q->base.version,
                        q->base.path[0] ? " in " : "", q->base.path);
    if (!q->hello.by_nzd_boot && nzd_restart_in_place(q))
        nzd_output_line(output, "  %-12s but init:restart/0 boots %s again", "",
                        version);
}

static void show_costs(struct nzd_output *output,
                       const struct nzd_plan_view *view)
{
    const struct nzd_question *q = view->question;
    char writes[32], room[32];
    if (!view->plan->step_count)
        return;
    nzd_format_bytes(writes, q->old_bytes + q->new_bytes);
    nzd_output_line(output, "%s", "");
    if (view->journal) {
        nzd_format_bytes(room, view->journal->free_bytes);
        nzd_output_line(output, "  %-12s at most %s to the journal (%s free)",
                        "writes", writes, room);
    } else {
        nzd_output_line(output, "  %-12s at most %s to a new journal", "writes",
                        writes);
    }
    show_restart(output, view);
}

void nzd_plan_show(struct nzd_output *output, const struct nzd_plan_view *view)
{
    show_head(output, view);
    nzd_output_line(output, "%s", "");
    show_steps(output, view->plan);
    show_evidence(output, view->plan);
    if (!view->question)
        return;
    show_last_users(output, &view->question->users);
    nzd_plan_show_structs(output, &view->question->structs);
    nzd_plan_show_rehearsal(output, &view->question->rehearsal);
    show_in_the_way(output, view);
    show_costs(output, view);
}
