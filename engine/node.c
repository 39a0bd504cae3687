/* SPDX-License-Identifier: Apache-2.0 */
#include "node.h"

#include "../journal/point.h"
#include "agent.h"
#include "interrupt.h"
#include "node_internal.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_TIMEOUT_US 30000000u

int nzd_node_open(const struct nzd_target *target, uint64_t timeout_us,
                  struct nzd_node **out, struct nzd_err *err)
{
    struct nzd_link_options options = {
        .node = target->node,
        .cookie = target->cookie,
        .cookie_from = target->cookie_from,
        .port = target->port,
        .timeout_us = timeout_us,
        .agent = nzd_agent,
        .agent_count = nzd_agent_count,
    };
    struct nzd_node *node = calloc(1, sizeof *node);
    if (!node)
        return nzd_err_memory(err);
    node->timeout_us = timeout_us ? timeout_us : DEFAULT_TIMEOUT_US;
    int code = nzd_link_open(&options, &node->link, err);
    if (code) {
        free(node);
        return code;
    }
    *out = node;
    return 0;
}

void nzd_node_close(struct nzd_node *node)
{
    if (!node)
        return;
    nzd_link_close(node->link);
    nzd_arena_clear(&node->arena);
    nzd_buf_clear(&node->message);
    nzd_buf_clear(&node->envelope);
    nzd_buf_clear(&node->request);
    free(node);
}

struct nzd_link *nzd_node_link(struct nzd_node *node)
{
    return node->link;
}

const char *nzd_node_name(const struct nzd_node *node)
{
    return nzd_link_node(node->link);
}

void nzd_node_set_fence(struct nzd_node *node, const struct nzd_fence *fence)
{
    node->fence = *fence;
}

const struct nzd_fence *nzd_node_fence(const struct nzd_node *node)
{
    return &node->fence;
}

int nzd_node_send(struct nzd_node *node, const struct nzd_buf *request,
                  uint64_t *number, struct nzd_err *err)
{
    struct nzd_buf *out = &node->envelope;
    if (node->ended)
        return nzd_err_set(err, NZD_ENODE, "the agent in %s has ended",
                           nzd_node_name(node));
    nzd_buf_reset(out);
    nzd_etf_version(out);
    nzd_etf_tuple(out, 5);
    nzd_etf_atom(out, "nzd");
    nzd_link_put_self(node->link, out);
    nzd_etf_unsigned(out, ++node->last);
    nzd_etf_tuple(out, 3);
    nzd_etf_binary(out, nzd_view_of(node->fence.token, 16));
    nzd_etf_unsigned(out, node->fence.txn);
    nzd_etf_unsigned(out, node->fence.epoch);
    nzd_buf_bytes(out, request->data, request->size);
    if (out->failed || request->failed)
        return nzd_err_memory(err);
    *number = node->last;
    nzd_point("before a request to the node");
    return nzd_link_send(node->link, nzd_buf_view(out), node->timeout_us, err);
}

/* Takes the answer out of {nzd, Number, Answer}; NULL when it is another. */
static const struct nzd_term *match_answer(const struct nzd_term *message,
                                           uint64_t number)
{
    int64_t got = 0;
    if (!nzd_term_is_tagged(message, "nzd", 3) ||
        !nzd_term_integer(nzd_term_at(message, 1), &got) ||
        (uint64_t)got != number)
        return NULL;
    return nzd_term_at(message, 2);
}

static int lost(const struct nzd_node *node, int code, struct nzd_err *err)
{
    return nzd_err_set(err, code, "the link to %s is lost",
                       nzd_node_name(node));
}

static bool is_ended(const struct nzd_term *answer)
{
    return nzd_term_is_tagged(answer, "error", 2) &&
           nzd_term_is_atom(nzd_term_at(answer, 1), "ended");
}

/* The next message, whoever it is for. A signal ends the wait. */
static int next_message(struct nzd_node *node, uint64_t deadline,
                        uint64_t limit, struct nzd_err *err)
{
    for (;;) {
        uint64_t left = nzd_clock_left(deadline);
        if (nzd_interrupt_pending())
            return nzd_err_set(err, NZD_EREFUSED, "interrupted by a signal");
        if (!left)
            return nzd_err_set(err, NZD_ETIMEOUT,
                               "%s gave no answer within %" PRIu64 " ms",
                               nzd_node_name(node), limit / 1000);
        int bits = nzd_link_wait(node->link, -1, left, NULL);
        if (bits < 0)
            return lost(node, bits, err);
        if (!(bits & NZD_LINK_MESSAGE))
            continue;
        int code = nzd_link_receive(node->link, left, &node->message, NULL);
        if (code != NZD_ETIMEOUT)
            return code ? lost(node, code, err) : 0;
    }
}

/* {wait, Ms}: it is at work, and its next word comes within that. What it was
 * given before counts, where that is longer; told for each part of the work,
 * the sum of them is not waited for when it was killed in the first. */
static bool is_begun(const struct nzd_term *answer, uint64_t *deadline)
{
    int64_t ms = 0;
    if (!nzd_term_is_tagged(answer, "wait", 2) ||
        !nzd_term_integer(nzd_term_at(answer, 1), &ms) || ms < 0)
        return false;
    uint64_t until = nzd_clock_deadline((uint64_t)ms * 1000);
    *deadline = until > *deadline ? until : *deadline;
    nzd_point("while processes are suspended");
    return true;
}

int nzd_node_answer(struct nzd_node *node, uint64_t number, uint64_t timeout_us,
                    const struct nzd_term **answer, struct nzd_err *err)
{
    uint64_t limit = timeout_us ? timeout_us : node->timeout_us;
    uint64_t deadline = nzd_clock_deadline(limit);
    for (;;) {
        const struct nzd_term *message = NULL;
        int code = next_message(node, deadline, limit, err);
        if (code)
            return code;
        nzd_arena_clear(&node->arena);
        code = nzd_term_decode(nzd_buf_view(&node->message), &node->arena,
                               &message, err);
        if (code)
            return nzd_err_prefix(err, "a message of %s", nzd_node_name(node));
        *answer = match_answer(message, number);
        if (is_begun(*answer, &deadline))
            continue;
        if (*answer) {
            node->ended = node->ended || is_ended(*answer);
            nzd_point("after an answer of the node");
            return 0;
        }
    }
}

int nzd_node_ask(struct nzd_node *node, const struct nzd_buf *request,
                 uint64_t timeout_us, const struct nzd_term **answer,
                 struct nzd_err *err)
{
    uint64_t number = 0;
    int code = nzd_node_send(node, request, &number, err);
    if (code)
        return code;
    return nzd_node_answer(node, number, timeout_us, answer, err);
}

/* One that was killed is there again, and has forgotten what it was told. */
static bool is_of_another(const struct nzd_term *answer)
{
    return is_ended(answer) ||
           (nzd_term_is_tagged(answer, "error", 2) &&
            nzd_term_is_tagged(nzd_term_at(answer, 1), "phase", 2));
}

int nzd_node_unexpected(const struct nzd_node *node, const char *what,
                        const struct nzd_term *answer, struct nzd_err *err)
{
    struct nzd_buf text = {0};
    int code = NZD_EINTERNAL;
    if (nzd_term_is_tagged(answer, "error", 2) &&
        nzd_term_is_atom(nzd_term_at(answer, 1), "fenced"))
        return nzd_err_set(err, NZD_EUNSETTLED,
                           "%s: another nzd speaks for %s now", what,
                           nzd_node_name(node));
    if (is_of_another(answer))
        return nzd_err_set(err, NZD_ENODE,
                           "%s: the agent in %s was ended in the middle of it",
                           what, nzd_node_name(node));
    nzd_term_print(answer, 300, &text);
    nzd_err_set(err, code, "%s: %s answered %s", what, nzd_node_name(node),
                nzd_buf_string(&text));
    nzd_buf_clear(&text);
    return code;
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

const struct nzd_term *nzd_node_reason(const struct nzd_term *answer)
{
    return nzd_term_is_tagged(answer, "error", 2) ? nzd_term_at(answer, 1)
                                                  : NULL;
}

int nzd_node_asked_ok(struct nzd_node *node, const char *what,
                      struct nzd_err *err)
{
    const struct nzd_term *answer = NULL;
    int code = nzd_node_asked(node, &answer, err);
    if (!code && !nzd_term_is_atom(answer, "ok"))
        code = nzd_node_unexpected(node, what, answer, err);
    return code;
}

struct nzd_buf *nzd_node_begin_request(struct nzd_node *node)
{
    nzd_buf_reset(&node->request);
    return &node->request;
}

void nzd_node_put_atoms(struct nzd_buf *out, const char *const *names,
                        uint32_t count)
{
    nzd_etf_list(out, count);
    for (uint32_t i = 0; i < count; i++)
        nzd_etf_atom(out, names[i]);
    if (count)
        nzd_etf_nil(out);
}

void nzd_node_put_texts(struct nzd_buf *out, const char *const *names,
                        uint32_t count)
{
    nzd_etf_list(out, count);
    for (uint32_t i = 0; i < count; i++)
        nzd_etf_binary(out, nzd_view_text(names[i]));
    if (count)
        nzd_etf_nil(out);
}

void nzd_node_join_names(struct nzd_buf *out, const char *what,
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

bool nzd_node_digest(const struct nzd_term *term, struct nzd_digest *out)
{
    if (!term || term->kind != NZD_TERM_BINARY ||
        term->text.size != NZD_DIGEST_SIZE)
        return false;
    memcpy(out->bytes, term->text.data, NZD_DIGEST_SIZE);
    return true;
}

int nzd_node_attributes(const struct nzd_term *term, struct nzd_digest *out,
                        struct nzd_err *err)
{
    struct nzd_arena arena = {0};
    const struct nzd_term *attributes = NULL;
    if (!term || term->kind != NZD_TERM_BINARY)
        return nzd_err_set(err, NZD_EINTERNAL, "attributes are no binary");
    int code = nzd_term_decode(term->text, &arena, &attributes, err);
    if (!code)
        *out = nzd_term_digest(attributes);
    nzd_arena_clear(&arena);
    return code;
}
