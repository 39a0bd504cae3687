/* SPDX-License-Identifier: Apache-2.0 */
#include "node_switch.h"

#include "format.h"
#include "node_internal.h"

#include <stdlib.h>
#include <string.h>

/* {Tag, Module, Path, Bytes, How}, or with one element more. */
static struct nzd_buf *begin_code(struct nzd_node *node, const char *tag,
                                  const char *module, const char *path,
                                  struct nzd_view bytes, const char *how,
                                  uint32_t more)
{
    struct nzd_buf *request = nzd_node_begin_request(node);
    nzd_etf_tuple(request, 5 + more);
    nzd_etf_atom(request, tag);
    nzd_etf_atom(request, module);
    nzd_etf_binary(request, nzd_view_text(path));
    nzd_etf_binary(request, bytes);
    nzd_etf_atom(request, how);
    return request;
}

static int send_code(struct nzd_node *node, struct nzd_err *err)
{
    uint64_t number = 0;
    int code = nzd_node_send(node, &node->request, &number, err);
    if (code)
        return code;
    if (node->pending++ == 0)
        node->first_pending = number;
    return 0;
}

int nzd_node_put_old(struct nzd_node *node, const char *module,
                     const char *path, struct nzd_view bytes,
                     const struct nzd_digest *md5,
                     enum nzd_node_prepare prepare, struct nzd_err *err)
{
    static const char *const words[] = {
        [NZD_PREPARE_AT_UNDO] = "false",
        [NZD_PREPARE_NOW] = "true",
        [NZD_PREPARE_LATER] = "later",
    };
    struct nzd_buf *request =
        begin_code(node, "old", module, path, bytes, words[prepare], 1);
    nzd_etf_binary(request, nzd_view_of(md5->bytes, NZD_DIGEST_SIZE));
    return send_code(node, err);
}

int nzd_node_put_new(struct nzd_node *node, const char *module,
                     const char *path, struct nzd_view bytes, bool late,
                     struct nzd_err *err)
{
    begin_code(node, "new", module, path, bytes, late ? "true" : "false", 0);
    return send_code(node, err);
}

static int refused_code(struct nzd_node *node, const struct nzd_term *answer,
                        struct nzd_err *err)
{
    struct nzd_buf name = {0}, why = {0};
    const struct nzd_term *reason = nzd_node_reason(answer);
    if (!nzd_term_is_tagged(reason, NULL, 2) ||
        nzd_term_is_tagged(reason, "phase", 2))
        return nzd_node_unexpected(node, "prepare", answer, err);
    nzd_term_print(nzd_term_at(reason, 0), 300, &name);
    nzd_term_print(nzd_term_at(reason, 1), 200, &why);
    nzd_err_set(err, NZD_EREFUSED, "the VM of %s refuses module %s: %s",
                nzd_node_name(node), nzd_buf_string(&name),
                nzd_buf_string(&why));
    nzd_buf_clear(&name);
    nzd_buf_clear(&why);
    return NZD_EREFUSED;
}

int nzd_node_collect(struct nzd_node *node, struct nzd_err *err)
{
    const struct nzd_term *answer = NULL;
    uint64_t number = node->first_pending;
    uint32_t count = node->pending;
    int code = 0;
    node->pending = 0;
    for (uint32_t i = 0; i < count && !code; i++) {
        code = nzd_node_answer(node, number + i, 0, &answer, err);
        if (!code && !nzd_term_is_atom(answer, "ok") &&
            !nzd_term_is_atom(answer, "on_load"))
            code = refused_code(node, answer, err);
    }
    return code;
}

/* A loaded module outside the plan imports it (a gap the operator accepted):
 * then it stays. */
static bool is_still_named(const struct nzd_plan *plan, const char *module)
{
    for (uint32_t i = 0; i < plan->gap_count; i++)
        if (!plan->gaps[i].in_flight &&
            strcmp(plan->gaps[i].module, module) == 0)
            return true;
    return false;
}

static void put_leaving(struct nzd_buf *out, const struct nzd_plan *plan)
{
    const char **names = calloc(plan->step_count + 1, sizeof *names);
    uint32_t count = 0;
    for (uint32_t i = 0; names && i < plan->step_count; i++)
        if (plan->steps[i].change == NZD_STEP_REMOVED &&
            !is_still_named(plan, plan->steps[i].name))
            names[count++] = plan->steps[i].name;
    out->failed = out->failed || !names;
    if (names)
        nzd_node_put_atoms(out, names, count);
    free(names);
}

int nzd_node_put_sets(struct nzd_node *node, const struct nzd_plan *plan,
                      const struct nzd_node_way *way, struct nzd_err *err)
{
    struct nzd_buf *request = nzd_node_begin_request(node);
    nzd_etf_tuple(request, 5);
    nzd_etf_atom(request, "sets");
    nzd_node_put_steps(request, plan, 1u << NZD_STEP_ADDED);
    put_leaving(request, plan);
    nzd_node_put_lambdas(request, plan, false);
    nzd_node_put_lambdas(request, plan, true);
    int code = nzd_node_asked_ok(node, "sets", err);
    return code ? code : nzd_node_put_way(node, plan, way, err);
}

/* {in_the_way, Processes, Closures}. */
static int blocked(struct nzd_node *node, const struct nzd_term *reason,
                   struct nzd_arena *arena, struct nzd_occupant_list *out,
                   struct nzd_err *err)
{
    int code = nzd_node_read_occupants(nzd_term_at(reason, 1),
                                       NZD_OCCUPANT_LINGERING, arena, out, err);
    if (!code)
        code = nzd_node_read_holders(nzd_term_at(reason, 2),
                                     NZD_OCCUPANT_CLOSURE, arena, out, err);
    if (code)
        return code;
    if (out->count == 0)
        return nzd_err_set(err, NZD_EREFUSED, "old code in %s is in use",
                           nzd_node_name(node));
    const struct nzd_occupant *first = &out->items[0];
    if (first->kind == NZD_OCCUPANT_CLOSURE)
        return nzd_err_set(err, NZD_EREFUSED,
                           "old code of %s is held by %" PRIu32 " closure%s",
                           first->module, first->count,
                           first->count == 1 ? "" : "s");
    return nzd_err_set(err, NZD_EREFUSED, "%s %s is in old code of %s",
                       first->pid, first->name, first->module);
}

/* {suspend, Rows, Ms}, {started, Rows} and {migrate, Pid, Name, Module, Why};
 * false where it is something else. */
static bool not_migrated(const struct nzd_term *reason, struct nzd_arena *arena,
                         struct nzd_err *err)
{
    const struct nzd_term *row = nzd_term_at(nzd_term_at(reason, 1), 0);
    const char *pid = nzd_term_text(nzd_term_at(row, 0), arena);
    const char *name = nzd_term_text(nzd_term_at(row, 1), arena);
    const char *module = nzd_term_text(nzd_term_at(row, 2), arena);
    bool named = pid && name && module;
    int64_t ms = 0;
    if (nzd_term_is_tagged(reason, "migrate", 5)) {
        const char *text = nzd_node_failed_change(arena, reason);
        nzd_err_set(err, NZD_EREFUSED, "%s",
                    text ? text : "code_change failed");
    } else if (nzd_term_is_tagged(reason, "child", 5)) {
        const char *text = nzd_node_failed_child(arena, reason);
        nzd_err_set(err, NZD_EREFUSED, "%s",
                    text ? text : "a child did not start");
    } else if (nzd_term_is_tagged(reason, "suspend", 3) && named) {
        nzd_term_integer(nzd_term_at(reason, 2), &ms);
        nzd_err_set(err, NZD_EREFUSED,
                    "%s %s%sruns %s and could not be suspended within "
                    "%" PRId64 " ms",
                    pid, name, name[0] ? " " : "", module, ms);
    } else if (nzd_term_is_tagged(reason, "started", 2) && named) {
        nzd_err_set(err, NZD_EREFUSED,
                    "%s %s%swas started while %s was loaded, and may have the "
                    "other code's state",
                    pid, name, name[0] ? " " : "", module);
    } else {
        return false;
    }
    return true;
}

/* What else a switch changes fails with a text. */
static int said(const struct nzd_term *why, struct nzd_err *err)
{
    struct nzd_buf text = {0};
    if (why->kind == NZD_TERM_BINARY && why->text.size > 0)
        nzd_printable(&text, why->text);
    else
        nzd_buf_text(&text, "no reason");
    nzd_err_set(err, NZD_EREFUSED, "%s", nzd_buf_string(&text));
    nzd_buf_clear(&text);
    return NZD_EREFUSED;
}

static int failed_act(struct nzd_node *node, const char *what,
                      const struct nzd_term *answer, struct nzd_arena *arena,
                      struct nzd_occupant_list *blockers, struct nzd_err *err)
{
    struct nzd_buf text = {0};
    const struct nzd_term *reason = nzd_node_reason(answer);
    if (nzd_term_is_tagged(reason, "in_the_way", 3))
        return blocked(node, reason, arena, blockers, err);
    if (nzd_term_is_tagged(reason, "live", 2))
        return said(nzd_term_at(reason, 1), err);
    if (!reason || nzd_term_is_atom(reason, "fenced") ||
        nzd_term_is_atom(reason, "ended") ||
        nzd_term_is_tagged(reason, "phase", 2))
        return nzd_node_unexpected(node, what, answer, err);
    if (not_migrated(reason, arena, err))
        return NZD_EREFUSED;
    nzd_term_print(reason, 300, &text);
    nzd_err_set(err, NZD_EREFUSED, "%s in %s: %s", what, nzd_node_name(node),
                nzd_buf_string(&text));
    nzd_buf_clear(&text);
    return NZD_EREFUSED;
}

int nzd_node_switch(struct nzd_node *node, uint64_t *pause_us,
                    struct nzd_arena *arena, struct nzd_occupant_list *blockers,
                    struct nzd_err *err)
{
    const struct nzd_term *answer = NULL;
    int64_t pause = 0;
    nzd_etf_atom(nzd_node_begin_request(node), "switch");
    int code = nzd_node_asked(node, &answer, err);
    if (code)
        return code;
    if (!nzd_term_is_tagged(answer, "ok", 3) ||
        !nzd_term_integer(nzd_term_at(answer, 1), &pause))
        return failed_act(node, "switch", answer, arena, blockers, err);
    *pause_us = (uint64_t)pause;
    return nzd_node_read_occupants(nzd_term_at(answer, 2),
                                   NZD_OCCUPANT_RESIDENT, arena, blockers, err);
}

int nzd_node_undo(struct nzd_node *node, uint64_t *took_us, uint32_t *left,
                  struct nzd_arena *arena, struct nzd_occupant_list *blockers,
                  struct nzd_err *err)
{
    const struct nzd_term *answer = NULL;
    int64_t took = 0;
    nzd_etf_atom(nzd_node_begin_request(node), "undo");
    int code = nzd_node_asked(node, &answer, err);
    if (code)
        return code;
    if (!nzd_term_is_tagged(answer, "ok", 3) ||
        !nzd_term_integer(nzd_term_at(answer, 1), &took))
        return failed_act(node, "undo", answer, arena, blockers, err);
    *took_us = (uint64_t)took;
    *left = nzd_term_length(nzd_term_at(answer, 2));
    return 0;
}

int nzd_node_ended(struct nzd_node *node, struct nzd_arena *arena,
                   struct nzd_occupant_list *out, struct nzd_err *err)
{
    const struct nzd_term *answer = NULL;
    nzd_etf_atom(nzd_node_begin_request(node), "ended");
    int code = nzd_node_asked(node, &answer, err);
    if (code)
        return code;
    if (!nzd_term_is_tagged(answer, "ended", 2))
        return nzd_node_unexpected(node, "ended", answer, err);
    return nzd_node_read_occupants(nzd_term_at(answer, 1),
                                   NZD_OCCUPANT_LINGERING, arena, out, err);
}

int nzd_node_validate(struct nzd_node *node, struct nzd_err *err)
{
    const struct nzd_term *answer = NULL;
    struct nzd_buf text = {0};
    nzd_etf_atom(nzd_node_begin_request(node), "validate");
    int code = nzd_node_asked(node, &answer, err);
    if (code || nzd_term_is_atom(answer, "ok"))
        return code;
    if (!nzd_term_is_tagged(answer, "missing", 3))
        return nzd_node_unexpected(node, "validate", answer, err);
    nzd_node_join_names(&text, "application", nzd_term_at(answer, 1));
    nzd_node_join_names(&text, "registered name", nzd_term_at(answer, 2));
    nzd_err_set(err, NZD_EROLLEDBACK, "%s gone after the switch",
                nzd_buf_string(&text));
    nzd_buf_clear(&text);
    return NZD_EROLLEDBACK;
}
