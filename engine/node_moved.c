/* SPDX-License-Identifier: Apache-2.0 */
#include "node_internal.h"

#include "node_switch.h"

#include <stdio.h>
#include <string.h>

/* Whose processes may have to be suspended, and why. A supervisor has no
 * code_change but its init/1. */
static bool converts(const struct nzd_step *step)
{
    const struct nzd_beam *old = step->old ? step->old->beam : NULL;
    const struct nzd_beam *new = step->new ? step->new->beam : NULL;
    return old && new && (old->has_code_change || new->has_code_change);
}

static bool may_migrate(const struct nzd_step *step)
{
    return step->change == NZD_STEP_CHANGED && step->new && step->new->beam &&
           (converts(step) || nzd_beam_exports(step->new->beam, "init", 1));
}

void nzd_node_put_migrating(struct nzd_buf *out, const struct nzd_plan *plan)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < plan->step_count; i++)
        count += may_migrate(&plan->steps[i]);
    nzd_etf_list(out, count);
    for (uint32_t i = 0; i < plan->step_count; i++) {
        const struct nzd_step *step = &plan->steps[i];
        if (!may_migrate(step))
            continue;
        nzd_etf_tuple(out, 2);
        nzd_etf_atom(out, step->name);
        nzd_etf_atom(out, converts(step) ? "true" : "false");
    }
    if (count)
        nzd_etf_nil(out);
}

static void put_extra(struct nzd_buf *out, const struct nzd_term *extra)
{
    if (extra)
        nzd_term_encode(extra, out);
    else
        nzd_etf_list(out, 0);
}

void nzd_node_put_extras(struct nzd_buf *out, const struct nzd_extras *extras)
{
    nzd_etf_list(out, extras->count);
    for (uint32_t i = 0; i < extras->count; i++) {
        nzd_etf_tuple(out, 3);
        nzd_etf_atom(out, extras->items[i].module);
        put_extra(out, extras->items[i].up);
        put_extra(out, extras->items[i].down);
    }
    if (extras->count)
        nzd_etf_nil(out);
}

static int ask_extras(struct nzd_node *node, const struct nzd_extras *extras,
                      struct nzd_err *err)
{
    const struct nzd_term *answer = NULL;
    struct nzd_buf *request;
    if (!extras || !extras->count)
        return 0;
    request = nzd_node_begin_request(node);
    nzd_etf_tuple(request, 2);
    nzd_etf_atom(request, "extras");
    nzd_node_put_extras(request, extras);
    int code = nzd_node_asked(node, &answer, err);
    if (!code && !nzd_term_is_atom(answer, "ok"))
        code = nzd_node_unexpected(node, "extras", answer, err);
    return code;
}

int nzd_node_put_way(struct nzd_node *node, const struct nzd_plan *plan,
                     const struct nzd_node_way *way, struct nzd_err *err)
{
    const struct nzd_term *answer = NULL;
    struct nzd_buf *request = nzd_node_begin_request(node);
    nzd_etf_tuple(request, 4);
    nzd_etf_atom(request, "migrate");
    nzd_etf_atom(request, way->down ? "down" : "up");
    nzd_etf_unsigned(request, way->limit_us / 1000 + 1);
    nzd_node_put_migrating(request, plan);
    int code = nzd_node_asked(node, &answer, err);
    if (!code && !nzd_term_is_atom(answer, "ok"))
        code = nzd_node_unexpected(node, "migrate", answer, err);
    return code ? code : ask_extras(node, way->extras, err);
}

/* --- what became of them ------------------------------------------------- */

static uint64_t number(const struct nzd_term *map, const char *key)
{
    int64_t value = 0;
    return nzd_term_integer(nzd_term_get(map, key), &value) && value > 0
               ? (uint64_t)value
               : 0;
}

static const char *text_of(struct nzd_arena *arena, const struct nzd_term *term)
{
    const char *text = nzd_term_text(term, arena);
    char *copy = text ? nzd_arena_text(arena, text, strlen(text)) : NULL;
    return copy ? copy : "";
}

/* "PID NAME", the fields `at` and `at` + 1 of a row. */
static const char *who_of(struct nzd_arena *arena, const struct nzd_term *row,
                          uint32_t at)
{
    const char *pid = text_of(arena, nzd_term_at(row, at));
    const char *name = text_of(arena, nzd_term_at(row, at + 1));
    const char *who =
        nzd_arena_printf(arena, "%s%s%s", pid, name[0] ? " " : "", name);
    return who ? who : pid;
}

static void add_note(struct nzd_moved *out, const char *label, const char *text)
{
    if (!text || out->note_count == NZD_MOVED_NOTES)
        return;
    out->notes[out->note_count].label = label;
    out->notes[out->note_count++].text = text;
}

static void read_foreign(const struct nzd_term *list, struct nzd_arena *arena,
                         struct nzd_moved *out)
{
    for (uint32_t i = 0; i < nzd_term_length(list); i++)
        add_note(out, "suspended",
                 nzd_arena_printf(arena,
                                  "%s was suspended by somebody else, and is "
                                  "left so",
                                  who_of(arena, nzd_term_at(list, i), 0)));
}

/* {migrate, Pid, Name, Module, Reason}. */
const char *nzd_node_failed_change(struct nzd_arena *arena,
                                   const struct nzd_term *row)
{
    return nzd_arena_printf(arena, "%s: code_change of %s: %s",
                            who_of(arena, row, 1),
                            text_of(arena, nzd_term_at(row, 3)),
                            text_of(arena, nzd_term_at(row, 4)));
}

const char *nzd_node_failed_child(struct nzd_arena *arena,
                                  const struct nzd_term *row)
{
    return nzd_arena_printf(arena, "%s: its new child %s was not to be had: %s",
                            who_of(arena, row, 1),
                            text_of(arena, nzd_term_at(row, 3)),
                            text_of(arena, nzd_term_at(row, 4)));
}

static void read_failed(const struct nzd_term *list, struct nzd_arena *arena,
                        struct nzd_moved *out)
{
    for (uint32_t i = 0; i < nzd_term_length(list); i++) {
        const char *why = nzd_node_failed_change(arena, nzd_term_at(list, i));
        add_note(
            out, "not converted",
            nzd_arena_printf(arena, "%s; it keeps its state", why ? why : ""));
    }
}

/* {What, Pid, Name, Child, Why} of a supervisor. */
static void read_child(const struct nzd_term *row, struct nzd_arena *arena,
                       struct nzd_moved *out)
{
    const struct nzd_term *what = nzd_term_at(row, 0);
    const char *who = who_of(arena, row, 1);
    const char *child = text_of(arena, nzd_term_at(row, 3));
    const char *why = text_of(arena, nzd_term_at(row, 4));
    if (nzd_term_is_atom(what, "unknown"))
        add_note(out, "children",
                 nzd_arena_printf(arena,
                                  "of %s: left as they are, its init/1 cannot "
                                  "be called from outside",
                                  who));
    else if (nzd_term_is_atom(what, "failed"))
        add_note(out, "children",
                 nzd_arena_printf(arena, "of %s: %s was not to be had: %s", who,
                                  child, why));
    else
        add_note(out, "children",
                 nzd_arena_printf(arena, "of %s: %s %s", who, child,
                                  nzd_term_is_atom(what, "started")
                                      ? "was started"
                                      : "was stopped"));
}

static void read_children(const struct nzd_term *list, struct nzd_arena *arena,
                          struct nzd_moved *out)
{
    for (uint32_t i = 0; i < nzd_term_length(list); i++)
        read_child(nzd_term_at(list, i), arena, out);
}

int nzd_node_moved(struct nzd_node *node, struct nzd_arena *arena,
                   struct nzd_moved *out, struct nzd_err *err)
{
    const struct nzd_term *answer = NULL;
    nzd_etf_atom(nzd_node_begin_request(node), "moved");
    int code = nzd_node_asked(node, &answer, err);
    if (code)
        return code;
    if (!nzd_term_is_tagged(answer, "moved", 2))
        return nzd_node_unexpected(node, "moved", answer, err);
    const struct nzd_term *moved = nzd_term_at(answer, 1);
    out->users = (uint32_t)number(moved, "users");
    out->starters = (uint32_t)number(moved, "starters");
    out->changed = (uint32_t)number(moved, "changed");
    out->suspend_us = number(moved, "suspend_us");
    out->change_us = number(moved, "change_us");
    out->held_us = number(moved, "held_us");
    out->put_back = nzd_term_is_atom(nzd_term_get(moved, "put_back"), "true");
    read_foreign(nzd_term_get(moved, "foreign"), arena, out);
    read_failed(nzd_term_get(moved, "failed"), arena, out);
    read_children(nzd_term_get(moved, "children"), arena, out);
    return 0;
}
