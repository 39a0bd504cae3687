/* SPDX-License-Identifier: Apache-2.0 */
#include "node_internal.h"

#include "format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A term with an error reason inside {error, Reason}. */
static const struct nzd_term *reason_of(const struct nzd_term *answer)
{
    return nzd_term_is_tagged(answer, "error", 2) ? nzd_term_at(answer, 1)
                                                  : NULL;
}

int nzd_node_foreign(const struct nzd_node *node,
                     const struct nzd_digest *owner, struct nzd_err *err)
{
    char hex[NZD_DIGEST_HEX];
    nzd_digest_hex(hex, owner);
    nzd_err_set(err, NZD_EBUSY, "%s belongs to another journal, %.8s",
                nzd_node_name(node), hex);
    nzd_err_next(err, "use that journal (--journal DIR), or --adopt to take "
                      "the node over");
    return NZD_EBUSY;
}

static int busy_node(struct nzd_node *node, const struct nzd_term *reason,
                     struct nzd_err *err)
{
    struct nzd_digest owner;
    if (nzd_term_is_tagged(reason, "owner", 2) &&
        nzd_node_digest(nzd_term_at(reason, 1), &owner))
        return nzd_node_foreign(node, &owner, err);
    if (nzd_term_is_tagged(reason, "busy", 3)) {
        int64_t txn = 0;
        nzd_term_integer(nzd_term_at(reason, 1), &txn);
        nzd_err_set(err, NZD_EBUSY,
                    "transaction %" PRId64 " is open in %s, and this journal "
                    "does not know it",
                    txn, nzd_node_name(node));
        nzd_err_next(err, "run nzd with the journal it was armed in");
        return NZD_EBUSY;
    }
    return 0;
}

/* {recover, Words, [{Name, Value}]} */
static void put_recall(struct nzd_buf *request, const struct nzd_recall *recall)
{
    unsigned pairs = recall->environment_count / 2;
    nzd_etf_tuple(request, 3);
    nzd_etf_atom(request, "recover");
    nzd_node_put_texts(request, recall->words, recall->count);
    nzd_etf_list(request, pairs);
    for (unsigned i = 0; i < pairs; i++) {
        nzd_etf_tuple(request, 2);
        nzd_etf_binary(request, nzd_view_text(recall->environment[2 * i]));
        nzd_etf_binary(request, nzd_view_text(recall->environment[2 * i + 1]));
    }
    if (pairs)
        nzd_etf_nil(request);
}

static void put_begin(struct nzd_buf *request,
                      const struct nzd_node_begin *begin)
{
    bool offered = begin->recall->count > 0;
    nzd_etf_tuple(request, 3);
    nzd_etf_atom(request, "open");
    nzd_etf_binary(request, nzd_view_of(begin->uuid, 16));
    nzd_etf_list(request, offered ? 3 : 2);
    nzd_etf_tuple(request, 2);
    nzd_etf_atom(request, "adopt");
    nzd_etf_atom(request, begin->adopt ? "true" : "false");
    nzd_etf_tuple(request, 2);
    nzd_etf_atom(request, "kill");
    nzd_node_put_texts(request, begin->kill, begin->kill_count);
    if (offered)
        put_recall(request, begin->recall);
    nzd_etf_nil(request);
}

int nzd_node_begin(struct nzd_node *node, const struct nzd_node_begin *begin,
                   uint8_t token[16], struct nzd_err *err)
{
    const struct nzd_term *answer = NULL;
    struct nzd_digest got;
    put_begin(nzd_node_begin_request(node), begin);
    int code = nzd_node_asked(node, &answer, err);
    if (code)
        return code;
    if (nzd_term_is_tagged(answer, "ok", 2) &&
        nzd_node_digest(nzd_term_at(answer, 1), &got)) {
        memcpy(token, got.bytes, 16);
        return 0;
    }
    code = busy_node(node, reason_of(answer), err);
    return code ? code : nzd_node_unexpected(node, "open", answer, err);
}

int nzd_node_takeover(struct nzd_node *node, const uint8_t uuid[16],
                      char *phase, struct nzd_err *err)
{
    const struct nzd_term *answer = NULL;
    struct nzd_buf *request = nzd_node_begin_request(node);
    nzd_etf_tuple(request, 2);
    nzd_etf_atom(request, "takeover");
    nzd_etf_binary(request, nzd_view_of(uuid, 16));
    int code = nzd_node_asked(node, &answer, err);
    if (!code)
        code = busy_node(node, reason_of(answer), err);
    if (code)
        return code;
    const struct nzd_term *name = nzd_term_at(answer, 1);
    if (!nzd_term_is_tagged(answer, "ok", 2) || name->kind != NZD_TERM_ATOM)
        return nzd_node_unexpected(node, "takeover", answer, err);
    snprintf(phase, 16, "%s", (const char *)name->text.data);
    return 0;
}

int nzd_node_act(struct nzd_node *node, const char *act, struct nzd_err *err)
{
    const struct nzd_term *answer = NULL;
    nzd_etf_atom(nzd_node_begin_request(node), act);
    int code = nzd_node_asked(node, &answer, err);
    if (!code && !nzd_term_is_atom(answer, "ok"))
        code = nzd_node_unexpected(node, act, answer, err);
    return code;
}

int nzd_node_done(struct nzd_node *node, struct nzd_buf *left,
                  struct nzd_err *err)
{
    const struct nzd_term *answer = NULL;
    nzd_etf_atom(nzd_node_begin_request(node), "done");
    int code = nzd_node_asked(node, &answer, err);
    if (code || nzd_term_is_atom(answer, "ok"))
        return code;
    const struct nzd_term *why = nzd_term_at(answer, 1);
    if (!nzd_term_is_tagged(answer, "unsettled", 2) ||
        why->kind != NZD_TERM_BINARY)
        return nzd_node_unexpected(node, "done", answer, err);
    nzd_buf_bytes(left, why->text.data, why->text.size);
    return left->failed ? nzd_err_memory(err) : 0;
}

/* --- code -------------------------------------------------------------- */

static int send_code(struct nzd_node *node, const char *tag, const char *module,
                     const char *path, struct nzd_view bytes, const char *how,
                     struct nzd_err *err)
{
    struct nzd_buf *request = nzd_node_begin_request(node);
    uint64_t number = 0;
    nzd_etf_tuple(request, 5);
    nzd_etf_atom(request, tag);
    nzd_etf_atom(request, module);
    nzd_etf_binary(request, nzd_view_text(path));
    nzd_etf_binary(request, bytes);
    nzd_etf_atom(request, how);
    int code = nzd_node_send(node, request, &number, err);
    if (code)
        return code;
    if (node->pending++ == 0)
        node->first_pending = number;
    return 0;
}

int nzd_node_put_old(struct nzd_node *node, const char *module,
                     const char *path, struct nzd_view bytes,
                     enum nzd_node_prepare prepare, struct nzd_err *err)
{
    static const char *const words[] = {
        [NZD_PREPARE_AT_UNDO] = "false",
        [NZD_PREPARE_NOW] = "true",
        [NZD_PREPARE_LATER] = "later",
    };
    return send_code(node, "old", module, path, bytes, words[prepare], err);
}

int nzd_node_put_new(struct nzd_node *node, const char *module,
                     const char *path, struct nzd_view bytes, bool late,
                     struct nzd_err *err)
{
    return send_code(node, "new", module, path, bytes, late ? "true" : "false",
                     err);
}

static int refused_code(struct nzd_node *node, const struct nzd_term *answer,
                        struct nzd_err *err)
{
    struct nzd_buf name = {0}, why = {0};
    const struct nzd_term *reason = reason_of(answer);
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

static int asked_ok(struct nzd_node *node, const char *what,
                    struct nzd_err *err)
{
    const struct nzd_term *answer = NULL;
    int code = nzd_node_asked(node, &answer, err);
    if (!code && !nzd_term_is_atom(answer, "ok"))
        code = nzd_node_unexpected(node, what, answer, err);
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
    int code = asked_ok(node, "sets", err);
    return code ? code : nzd_node_put_way(node, plan, way, err);
}

/* The next word after "kill=", or an empty view. */
static struct nzd_view next_kill(const char **at)
{
    const char *word = *at;
    while (word && *word) {
        size_t size = strcspn(word, " ");
        *at = word[size] ? word + size + 1 : word + size;
        if (!strncmp(word, "kill=", 5) && size > 5)
            return nzd_view_of(word + 5, size - 5);
        word = *at;
    }
    return nzd_view_of(NULL, 0);
}

int nzd_node_allow_kill(struct nzd_node *node, const char *words,
                        struct nzd_err *err)
{
    struct nzd_buf *request = nzd_node_begin_request(node);
    const char *at = words;
    uint32_t count = 0;
    while (next_kill(&at).size)
        count++;
    nzd_etf_tuple(request, 2);
    nzd_etf_atom(request, "allow_kill");
    nzd_etf_list(request, count);
    at = words;
    for (uint32_t i = 0; i < count; i++)
        nzd_etf_binary(request, next_kill(&at));
    if (count)
        nzd_etf_nil(request);
    return asked_ok(node, "allow_kill", err);
}

int nzd_node_try_out(struct nzd_node *node, uint64_t us, struct nzd_err *err)
{
    struct nzd_buf *request = nzd_node_begin_request(node);
    nzd_etf_tuple(request, 2);
    nzd_etf_atom(request, "trial");
    nzd_etf_unsigned(request, us / 1000 + (us % 1000 > 0));
    return asked_ok(node, "trial", err);
}

int nzd_node_try_boot(struct nzd_node *node, uint64_t us, const char *boot,
                      bool alone, struct nzd_err *err)
{
    struct nzd_buf *request = nzd_node_begin_request(node);
    nzd_etf_tuple(request, 4);
    nzd_etf_atom(request, "trial");
    nzd_etf_unsigned(request, us / 1000 + (us % 1000 > 0));
    nzd_etf_binary(request, nzd_view_text(boot));
    nzd_etf_atom(request, alone ? "true" : "false");
    return asked_ok(node, "trial", err);
}

int nzd_node_confirm(struct nzd_node *node, struct nzd_err *err)
{
    const struct nzd_term *answer = NULL;
    nzd_etf_atom(nzd_node_begin_request(node), "confirm");
    int code = nzd_node_asked(node, &answer, err);
    if (code || nzd_term_is_atom(answer, "ok"))
        return code;
    if (nzd_term_is_tagged(reason_of(answer), "phase", 2))
        return nzd_err_set(err, NZD_EROLLEDBACK,
                           "the deadline has passed in %s",
                           nzd_node_name(node));
    return nzd_node_unexpected(node, "confirm", answer, err);
}

/* [{Base, Instead}] */
static void put_folders(struct nzd_buf *out, const struct nzd_overlay *overlay)
{
    nzd_etf_list(out, overlay->folder_count);
    for (uint32_t i = 0; i < overlay->folder_count; i++) {
        nzd_etf_tuple(out, 2);
        nzd_etf_binary(out, nzd_view_text(overlay->folders[i].base));
        nzd_etf_binary(out, nzd_view_text(overlay->folders[i].instead));
    }
    if (overlay->folder_count)
        nzd_etf_nil(out);
}

int nzd_node_put_paths(struct nzd_node *node, const struct nzd_overlay *overlay,
                       const char *boot, struct nzd_err *err)
{
    struct nzd_buf *request = nzd_node_begin_request(node);
    nzd_etf_tuple(request, 3);
    nzd_etf_atom(request, "paths");
    put_folders(request, overlay);
    nzd_etf_binary(request, nzd_view_text(boot));
    return asked_ok(node, "paths", err);
}

int nzd_node_lay(struct nzd_node *node, const struct nzd_overlay *overlay,
                 struct nzd_err *err)
{
    struct nzd_buf *request = nzd_node_begin_request(node);
    nzd_etf_tuple(request, 2);
    nzd_etf_atom(request, "lay");
    put_folders(request, overlay);
    return asked_ok(node, "lay", err);
}

int nzd_node_restart(struct nzd_node *node, const char *boot,
                     struct nzd_err *err)
{
    struct nzd_buf *request = nzd_node_begin_request(node);
    nzd_etf_tuple(request, 2);
    nzd_etf_atom(request, "restart");
    nzd_etf_binary(request, nzd_view_text(boot));
    return asked_ok(node, "restart", err);
}

static void put_names(struct nzd_buf *out, const char *what,
                      const struct nzd_term *names)
{
    for (uint32_t i = 0; i < nzd_term_length(names); i++) {
        const struct nzd_term *name = nzd_term_at(names, i);
        nzd_buf_printf(out, "%s%s%s", out->size ? ", " : "", what,
                       what[0] ? " " : "");
        if (name->kind == NZD_TERM_BINARY)
            nzd_buf_bytes(out, name->text.data, name->text.size);
    }
}

int nzd_node_put_apps(struct nzd_node *node,
                      const struct nzd_term *const *specs, uint32_t count,
                      struct nzd_buf *left, struct nzd_err *err)
{
    struct nzd_buf *request = nzd_node_begin_request(node);
    const struct nzd_term *answer = NULL;
    nzd_etf_tuple(request, 2);
    nzd_etf_atom(request, "apps");
    nzd_etf_list(request, count);
    for (uint32_t i = 0; i < count; i++)
        nzd_term_encode(specs[i], request);
    if (count)
        nzd_etf_nil(request);
    int code = nzd_node_asked(node, &answer, err);
    if (code)
        return code;
    if (!nzd_term_is_tagged(answer, "apps", 2))
        return nzd_node_unexpected(node, "apps", answer, err);
    put_names(left, "", nzd_term_at(answer, 1));
    return left->failed ? nzd_err_memory(err) : 0;
}

/* --- switch, undo, validate --------------------------------------------- */

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
                           "%" PRIu32 " closures of old code of %s are held",
                           first->count, first->module);
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
    const struct nzd_term *reason = reason_of(answer);
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
    put_names(&text, "application", nzd_term_at(answer, 1));
    put_names(&text, "registered name", nzd_term_at(answer, 2));
    nzd_err_set(err, NZD_EROLLEDBACK, "%s gone after the switch",
                nzd_buf_string(&text));
    nzd_buf_clear(&text);
    return NZD_EROLLEDBACK;
}

/* --- hooks -------------------------------------------------------------- */

/* Each argument travels as a binary in external format: a term a hook's
 * author wrote is no part of our own message. */
static int put_args(struct nzd_buf *request, const char *const *args,
                    unsigned count, struct nzd_err *err)
{
    int code = 0;
    nzd_etf_list(request, count);
    for (unsigned i = 0; i < count && !code; i++) {
        struct nzd_arena arena = {0};
        struct nzd_buf text = {0}, term = {0};
        const struct nzd_term *terms = NULL;
        nzd_buf_printf(&text, "%s .", args[i]);
        code = nzd_term_parse(nzd_buf_view(&text), &arena, &terms, err);
        if (!code) {
            nzd_etf_version(&term);
            nzd_term_encode(nzd_term_at(terms, 0), &term);
            nzd_etf_binary(request, nzd_buf_view(&term));
        }
        nzd_arena_clear(&arena);
        nzd_buf_clear(&text);
        nzd_buf_clear(&term);
    }
    if (count)
        nzd_etf_nil(request);
    return code;
}

static void read_called(const struct nzd_term *result,
                        const struct nzd_term *output,
                        struct nzd_call_result *out)
{
    const struct nzd_term *value = nzd_term_at(result, 1);
    out->timed_out = nzd_term_is_atom(result, "timeout");
    out->passed = nzd_term_is_tagged(result, "passed", 2);
    if (value && value->kind == NZD_TERM_BINARY)
        snprintf(out->value, sizeof out->value, "%.*s", (int)value->text.size,
                 (const char *)value->text.data);
    if (output && output->kind == NZD_TERM_BINARY)
        nzd_buf_bytes(&out->output, output->text.data, output->text.size);
}

int nzd_node_call(struct nzd_node *node, const char *module,
                  const char *function, const char *const *args, unsigned count,
                  uint64_t timeout_us, struct nzd_call_result *out,
                  struct nzd_err *err)
{
    const struct nzd_term *answer = NULL;
    struct nzd_buf *request = nzd_node_begin_request(node);
    memset(out, 0, sizeof *out);
    nzd_etf_tuple(request, 5);
    nzd_etf_atom(request, "call");
    nzd_etf_atom(request, module);
    nzd_etf_atom(request, function);
    int code = put_args(request, args, count, err);
    if (code)
        return code;
    nzd_etf_unsigned(request, timeout_us / 1000);
    code = nzd_node_ask(node, request, timeout_us + node->timeout_us, &answer,
                        err);
    if (code)
        return code;
    if (!nzd_term_is_tagged(answer, "called", 3))
        return nzd_node_unexpected(node, "hook", answer, err);
    read_called(nzd_term_at(answer, 1), nzd_term_at(answer, 2), out);
    return 0;
}
