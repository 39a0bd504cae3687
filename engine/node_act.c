/* SPDX-License-Identifier: Apache-2.0 */
#include "node_act.h"

#include "node_internal.h"

#include <stdio.h>
#include <string.h>

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
    code = busy_node(node, nzd_node_reason(answer), err);
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
        code = busy_node(node, nzd_node_reason(answer), err);
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
    nzd_etf_atom(nzd_node_begin_request(node), act);
    return nzd_node_asked_ok(node, act, err);
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
    return nzd_node_asked_ok(node, "allow_kill", err);
}

int nzd_node_try_out(struct nzd_node *node, uint64_t us, struct nzd_err *err)
{
    struct nzd_buf *request = nzd_node_begin_request(node);
    nzd_etf_tuple(request, 2);
    nzd_etf_atom(request, "trial");
    nzd_etf_unsigned(request, us / 1000 + (us % 1000 > 0));
    return nzd_node_asked_ok(node, "trial", err);
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
    return nzd_node_asked_ok(node, "trial", err);
}

int nzd_node_confirm(struct nzd_node *node, struct nzd_err *err)
{
    const struct nzd_term *answer = NULL;
    nzd_etf_atom(nzd_node_begin_request(node), "confirm");
    int code = nzd_node_asked(node, &answer, err);
    if (code || nzd_term_is_atom(answer, "ok"))
        return code;
    if (nzd_term_is_tagged(nzd_node_reason(answer), "phase", 2))
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
    return nzd_node_asked_ok(node, "paths", err);
}

int nzd_node_lay(struct nzd_node *node, const struct nzd_overlay *overlay,
                 struct nzd_err *err)
{
    struct nzd_buf *request = nzd_node_begin_request(node);
    nzd_etf_tuple(request, 2);
    nzd_etf_atom(request, "lay");
    put_folders(request, overlay);
    return nzd_node_asked_ok(node, "lay", err);
}

int nzd_node_restart(struct nzd_node *node, const char *boot,
                     struct nzd_err *err)
{
    struct nzd_buf *request = nzd_node_begin_request(node);
    nzd_etf_tuple(request, 2);
    nzd_etf_atom(request, "restart");
    nzd_etf_binary(request, nzd_view_text(boot));
    return nzd_node_asked_ok(node, "restart", err);
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
    nzd_node_join_names(left, "", nzd_term_at(answer, 1));
    return left->failed ? nzd_err_memory(err) : 0;
}

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
