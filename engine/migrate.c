/* SPDX-License-Identifier: Apache-2.0 */
#include "migrate.h"

#include "../staging/appup.h"
#include "interrupt.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int compare_apps(const struct nzd_plan *plan)
{
    int order = 0;
    for (uint32_t i = 0; i < plan->step_count && !order; i++) {
        const char *app = plan->steps[i].app;
        const struct nzd_app *old = nzd_inventory_app(plan->old, app);
        const struct nzd_app *new = nzd_inventory_app(plan->new, app);
        if (old && new)
            order = nzd_version_compare(new->version, old->version);
    }
    return order;
}

#define DOWN_WORD "states=down"

const char *nzd_migrate_word(bool down)
{
    return down ? DOWN_WORD : NULL;
}

static bool says_down(const struct nzd_txn *txn)
{
    const char *at = txn->options ? strstr(txn->options, DOWN_WORD) : NULL;
    return at && (at == txn->options || at[-1] == ' ') &&
           (at[strlen(DOWN_WORD)] == ' ' || !at[strlen(DOWN_WORD)]);
}

uint64_t nzd_migrate_origin(struct nzd_journal *journal, uint64_t id,
                            bool *down)
{
    *down = false;
    for (uint64_t at = id; at;) {
        struct nzd_txn txn;
        if (nzd_journal_txn(journal, at, &txn, NULL))
            return id;
        bool rollback = txn.kind == NZD_TXN_ROLLBACK;
        uint64_t next = txn.to_generation;
        *down = !rollback && says_down(&txn);
        nzd_txn_clear(&txn);
        if (!rollback)
            return at;
        if (next >= at)
            return id;
        at = next;
    }
    return 0;
}

bool nzd_migrate_is_down(const struct nzd_plan *plan, const struct nzd_txn *txn,
                         struct nzd_journal *journal)
{
    bool from_down = false, to_down = false;
    int order = compare_apps(plan);
    if (order)
        return order < 0;
    if (txn->kind != NZD_TXN_ROLLBACK)
        return nzd_version_compare(plan->to_version, plan->from_version) < 0;
    uint64_t from =
        nzd_migrate_origin(journal, txn->from_generation, &from_down);
    uint64_t to = nzd_migrate_origin(journal, txn->to_generation, &to_down);
    return to < from ? !from_down : to_down;
}

struct nzd_node_way nzd_migrate_way(const struct nzd_txn *txn,
                                    uint64_t timeout_us)
{
    return (struct nzd_node_way){
        .down = says_down(txn),
        .limit_us = timeout_us ? timeout_us : NZD_MIGRATE_LIMIT_US,
    };
}

/* --- beforehand ---------------------------------------------------------- */

/* The attribute vsn; where the compiler has put the long digest there, the
 * beginning of the module's. */
static const char *version_of(const struct nzd_module *module,
                              struct nzd_arena *arena)
{
    struct nzd_buf text = {0};
    const char *version = "";
    const struct nzd_term *vsn =
        module && module->beam ? nzd_term_get(module->beam->attributes, "vsn")
                               : NULL;
    if (vsn && vsn->kind == NZD_TERM_STRING && vsn->text.size == 1 &&
        vsn->text.data[0] < ' ')
        nzd_buf_printf(&text, "%d", vsn->text.data[0]);
    else if (vsn && vsn->kind == NZD_TERM_LIST && nzd_term_length(vsn) == 1)
        nzd_term_print(nzd_term_at(vsn, 0), 40, &text);
    else if (vsn)
        nzd_term_print(vsn, 40, &text);
    if (vsn && text.size > 20) {
        char hex[NZD_DIGEST_HEX];
        nzd_digest_hex(hex, &module->md5);
        nzd_buf_reset(&text);
        nzd_buf_printf(&text, "%.8s", hex);
    }
    if (text.size)
        version = nzd_arena_text(arena, nzd_buf_string(&text), text.size);
    nzd_buf_clear(&text);
    return version ? version : "";
}

static int add_line(struct nzd_plan *plan, const struct nzd_occupant *first,
                    uint32_t count, struct nzd_err *err)
{
    const struct nzd_evidence evidence = {
        .level = NZD_LEVEL_MIGRATE,
        .subject = first->module,
        .old = version_of(nzd_inventory_module(plan->old, first->module),
                          &plan->arena),
        .new = version_of(nzd_inventory_module(plan->new, first->module),
                          &plan->arena),
        .source = nzd_arena_printf(
            &plan->arena, "%" PRIu32 " process%s run%s it, %s%s%s", count,
            count > 1 ? "es" : "", count > 1 ? "" : "s", first->pid,
            first->name[0] ? " " : "", first->name),
    };
    return evidence.source ? nzd_plan_add_evidence(plan, &evidence, err)
                           : nzd_err_memory(err);
}

static bool is_user(const struct nzd_occupant *who, const char *module)
{
    return who->kind == NZD_OCCUPANT_USER && !strcmp(who->module, module);
}

/* Named at its first one. */
static bool is_first(const struct nzd_occupant_list *users, uint32_t at)
{
    for (uint32_t i = 0; i < at; i++)
        if (is_user(&users->items[i], users->items[at].module))
            return false;
    return users->items[at].kind == NZD_OCCUPANT_USER;
}

int nzd_migrate_evidence(struct nzd_plan *plan,
                         const struct nzd_occupant_list *users,
                         struct nzd_err *err)
{
    int code = 0;
    for (uint32_t i = 0; i < users->count && !code; i++) {
        uint32_t count = 0;
        if (!is_first(users, i))
            continue;
        for (uint32_t j = i; j < users->count; j++)
            count += is_user(&users->items[j], users->items[i].module);
        code = add_line(plan, &users->items[i], count, err);
    }
    return code;
}

/* --- behind it ----------------------------------------------------------- */

static void tell(struct nzd_output *output, struct nzd_timeline *timeline,
                 const char *label, uint64_t took, const char *text)
{
    nzd_timeline_add(timeline, NZD_EVENT_NOTE, label, took, "%s", text);
    nzd_output_step(output, label, took, NULL, "%s", text);
}

static void tell_suspended(struct nzd_output *output,
                           struct nzd_timeline *timeline,
                           const struct nzd_moved *moved)
{
    struct nzd_buf text = {0};
    nzd_buf_printf(&text, "%" PRIu32 " process%s", moved->users,
                   moved->users == 1 ? "" : "es");
    if (moved->starters)
        nzd_buf_printf(&text, ", %" PRIu32 " supervisor%s that start%s them",
                       moved->starters, moved->starters > 1 ? "s" : "",
                       moved->starters > 1 ? "" : "s");
    tell(output, timeline, "suspend", moved->suspend_us, nzd_buf_string(&text));
    nzd_buf_clear(&text);
}

void nzd_migrate_begin(struct nzd_output *output, struct nzd_node *node,
                       struct nzd_timeline *timeline, bool undo,
                       struct nzd_moved_notes *notes)
{
    struct nzd_err ignored = NZD_ERR_INIT;
    memset(notes, 0, sizeof *notes);
    notes->moved.undo = undo;
    /* The answer would not be waited for; the undo asks again. */
    if (nzd_interrupt_pending() ||
        nzd_node_moved(node, &notes->arena, &notes->moved, &ignored) ||
        !notes->moved.users)
        return;
    tell_suspended(output, timeline, &notes->moved);
}

static void tell_changed(struct nzd_output *output,
                         struct nzd_timeline *timeline,
                         const struct nzd_moved *moved)
{
    struct nzd_buf text = {0};
    nzd_buf_printf(&text, "%" PRIu32 " state%s %s", moved->changed,
                   moved->changed == 1 ? "" : "s",
                   moved->put_back ? "begun, each is as it was again"
                                   : "converted");
    tell(output, timeline, "migrate", moved->change_us, nzd_buf_string(&text));
    nzd_buf_reset(&text);
    nzd_buf_printf(&text, "%" PRIu32 " process%s", moved->users,
                   moved->users == 1 ? "" : "es");
    tell(output, timeline, "resume", moved->held_us, nzd_buf_string(&text));
    nzd_buf_clear(&text);
}

void nzd_migrate_end(struct nzd_output *output, struct nzd_timeline *timeline,
                     struct nzd_moved_notes *notes)
{
    const struct nzd_moved *moved = &notes->moved;
    if (moved->users)
        tell_changed(output, timeline, moved);
    for (uint32_t i = 0; i < moved->note_count; i++)
        tell(output, timeline, moved->notes[i].label, 0, moved->notes[i].text);
    nzd_arena_clear(&notes->arena);
    memset(notes, 0, sizeof *notes);
}
