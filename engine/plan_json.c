/* SPDX-License-Identifier: Apache-2.0 */
#include "plan_view.h"

#include "plan_view_internal.h"

#include <inttypes.h>
#include <stdio.h>

/* Text from a bundle or a node as a JSON string, whatever bytes it holds. */
static json_t *text(const char *raw)
{
    struct nzd_buf safe = {0};
    nzd_printable(&safe, nzd_view_text(raw ? raw : ""));
    json_t *value = json_string(nzd_buf_string(&safe));
    nzd_buf_clear(&safe);
    return value;
}

static json_t *md5_of(const struct nzd_module *module)
{
    char hex[NZD_DIGEST_HEX];
    if (!module)
        return json_null();
    nzd_digest_hex(hex, &module->md5);
    return json_string(hex);
}

static json_t *modules_json(const struct nzd_plan *plan)
{
    static const char *const words[] = {"changed", "added", "removed"};
    json_t *list = json_array();
    for (uint32_t i = 0; i < plan->step_count; i++) {
        const struct nzd_step *step = &plan->steps[i];
        json_array_append_new(
            list, json_pack("{s:o, s:o, s:s, s:o, s:o, s:I}", "name",
                            text(step->name), "app", text(step->app), "change",
                            words[step->change], "old_md5", md5_of(step->old),
                            "new_md5", md5_of(step->new), "bytes",
                            (json_int_t)(step->new ? step->new->bytes : 0)));
    }
    return list;
}

static json_t *evidence_json(const struct nzd_plan *plan)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < plan->evidence.count; i++) {
        const struct nzd_evidence *item = &plan->evidence.items[i];
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:o, s:o, s:o, s:o}", "level",
                            nzd_level_name(item->level), "need",
                            nzd_need_name(item->need), "subject",
                            text(item->subject), "old", text(item->old), "new",
                            text(item->new), "source", text(item->source)));
    }
    return list;
}

static json_t *gaps_json(const struct nzd_plan *plan)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < plan->gap_count; i++) {
        const struct nzd_gap *gap = &plan->gaps[i];
        char mfa[2200];
        snprintf(mfa, sizeof mfa, "%s:%s/%" PRIu32, gap->module, gap->function,
                 gap->arity);
        json_array_append_new(
            list, json_pack("{s:o, s:o, s:b}", "caller", text(gap->caller),
                            "mfa", text(mfa), "in_flight", gap->in_flight));
    }
    return list;
}

static void append_processes(json_t *list,
                             const struct nzd_occupant_list *occupants)
{
    for (uint32_t i = 0; i < occupants->count; i++) {
        const struct nzd_occupant *who = &occupants->items[i];
        char mfa[2200];
        if (who->kind == NZD_OCCUPANT_USER ||
            who->kind == NZD_OCCUPANT_LAST_USER)
            snprintf(mfa, sizeof mfa, "%s", who->module);
        else
            snprintf(mfa, sizeof mfa, "%s:%s/%" PRIu32, who->module,
                     who->function, who->arity);
        json_array_append_new(
            list, json_pack("{s:o, s:o, s:o, s:s}", "pid", text(who->pid),
                            "name", text(who->name), "mfa", text(mfa), "kind",
                            nzd_plan_occupant_kind(who->kind)));
    }
}

json_t *nzd_plan_json(const struct nzd_plan_view *view)
{
    const struct nzd_plan *plan = view->plan;
    const struct nzd_question *q = view->question;
    json_t *processes = json_array();
    if (q) {
        append_processes(processes, &q->occupants);
        append_processes(processes, &q->users);
    }
    json_t *object = json_pack(
        "{s:o, s:o, s:o, s:o, s:s, s:s, s:s, s:b, s:o, s:o, s:o, s:o, s:I, "
        "s:b}",
        "node", q ? text(nzd_node_name(q->node)) : json_null(), "release",
        text(plan->release), "from", text(plan->from_version), "to",
        text(plan->to_version), "verdict", nzd_level_name(plan->verdict),
        "need", nzd_need_name(nzd_plan_need(plan)), "max",
        nzd_level_name(view->max), "allowed", plan->verdict <= view->max,
        "modules", modules_json(plan), "evidence", evidence_json(plan), "gaps",
        gaps_json(plan), "processes", processes, "journal_bytes",
        (json_int_t)(q ? q->old_bytes + q->new_bytes : 0), "boot_integration",
        q && q->hello.by_nzd_boot && q->target.local);
    json_object_set_new(object, "rehearsal",
                        q ? nzd_plan_rehearsal_json(&q->rehearsal)
                          : json_null());
    json_object_set_new(object, "structs",
                        q ? nzd_plan_structs_json(&q->structs) : json_array());
    return object;
}
