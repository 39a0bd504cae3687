/* SPDX-License-Identifier: Apache-2.0 */
#include "../staging/term.h"
#include "interrupt.h"
#include "link_internal.h"

#include <string.h>

/*
 * Calls through `rex`, as a gen_server call under a tag of our own: replies of
 * rpc's form for C nodes carry no tag and could not be told apart. `user`
 * as group leader is what rpc has for C nodes.
 */
struct call {
    struct nzd_link *link;
    uint64_t timeout_us;
    int64_t tag;
    struct nzd_arena arena; /* of the last reply */
    struct nzd_buf request;
    struct nzd_buf message;
};

static void put_head(struct call *call, const char *module,
                     const char *function)
{
    struct nzd_buf *out = &call->request;

    nzd_buf_reset(out);
    nzd_etf_version(out);
    nzd_etf_tuple(out, 3);
    nzd_etf_atom(out, "$gen_call");
    nzd_etf_tuple(out, 2);
    nzd_link_put_self(call->link, out);
    nzd_etf_integer(out, ++call->tag);
    nzd_etf_tuple(out, 5);
    nzd_etf_atom(out, "call");
    nzd_etf_atom(out, module);
    nzd_etf_atom(out, function);
}

static int refuse(const struct call *call, const char *what,
                  const struct nzd_term *reply, struct nzd_err *err)
{
    struct nzd_buf text = {0};
    int code;

    nzd_term_print(reply, 200, &text);
    code = nzd_err_set(err, NZD_ENODE, "%s: %s gave %s", call->link->node, what,
                       nzd_buf_string(&text));
    nzd_buf_clear(&text);
    return code;
}

/* What is not the reply to this call is a late reply to nobody. */
static const struct nzd_term *match(struct call *call)
{
    const struct nzd_term *term = NULL;
    struct nzd_err ignored = NZD_ERR_INIT;
    int64_t tag = 0;

    nzd_arena_clear(&call->arena);
    if (nzd_term_decode(nzd_buf_view(&call->message), &call->arena, &term,
                        &ignored) != 0)
        return NULL;
    if (!nzd_term_is_tagged(term, NULL, 2) ||
        !nzd_term_integer(nzd_term_at(term, 0), &tag) || tag != call->tag)
        return NULL;
    return nzd_term_at(term, 1);
}

static int await(struct call *call, const char *what, uint64_t deadline,
                 const struct nzd_term **out, struct nzd_err *err)
{
    struct nzd_link *link = call->link;

    for (;;) {
        uint64_t left = nzd_clock_left(deadline);
        int bits = nzd_link_wait(link, -1, left, err);
        int code;

        if (bits < 0)
            return bits;
        if (bits == 0 && nzd_interrupt_pending())
            return nzd_err_set(err, NZD_EREFUSED, "interrupted");
        if (bits == 0 && left == 0) {
            nzd_err_set(err, NZD_ENODE,
                        "%s is connected but does not answer (%s)", link->node,
                        what);
            return nzd_link_silent(err);
        }
        if (bits == 0)
            continue;
        code = nzd_link_receive(link, 0, &call->message, err);
        if (code != 0)
            return code;
        *out = match(call);
        if (*out)
            return 0;
    }
}

/* Sends what put_head() began and the caller completed by the argument list;
 * the reply holds until the next call. */
static int finish(struct call *call, const char *what,
                  const struct nzd_term **out, struct nzd_err *err)
{
    const struct nzd_view nobody = {NULL, 0};
    uint64_t deadline = nzd_clock_deadline(call->timeout_us);
    int code;

    nzd_etf_atom(&call->request, "user");
    if (call->request.failed)
        return nzd_err_memory(err);
    code = call->link->backend->send(
        call->link, nobody, "rex", nzd_buf_view(&call->request), deadline, err);
    if (code == 0)
        code = await(call, what, deadline, out, err);
    if (code == 0 && nzd_term_is_tagged(*out, "badrpc", 2))
        code = refuse(call, what, *out, err);
    return code;
}

static void put_fun(struct nzd_buf *out, const char *module,
                    const char *function, unsigned arity)
{
    nzd_buf_u8(out, 113); /* EXPORT_EXT */
    nzd_etf_atom(out, module);
    nzd_etf_atom(out, function);
    nzd_etf_unsigned(out, arity);
}

/* The names of the agent's modules that are there, until the next call. */
static int ask_loaded(struct call *call, const struct nzd_link_options *options,
                      const struct nzd_term **loaded, struct nzd_err *err)
{
    put_head(call, "lists", "filter");
    nzd_etf_list(&call->request, 2);
    put_fun(&call->request, "erlang", "module_loaded", 1);
    nzd_etf_list(&call->request, options->agent_count);
    for (unsigned i = 0; i < options->agent_count; i++)
        nzd_etf_atom(&call->request, options->agent[i].name);
    nzd_etf_nil(&call->request);
    nzd_etf_nil(&call->request);
    return finish(call, "erlang:module_loaded/1", loaded, err);
}

static bool is_loaded(const struct nzd_term *loaded, const char *name)
{
    for (uint32_t i = 0; i < nzd_term_length(loaded); i++)
        if (nzd_term_is_atom(nzd_term_at(loaded, i), name))
            return true;
    return false;
}

static int refused(struct call *call, const struct nzd_link_options *options,
                   const struct nzd_term *reply, struct nzd_err *err)
{
    struct nzd_err why = NZD_ERR_INIT;
    const struct nzd_term *loaded = NULL;
    int code = refuse(call, "loading the agent", reply, &why);

    if (ask_loaded(call, options, &loaded, err) == 0 &&
        nzd_term_length(loaded) == options->agent_count)
        return 0;
    *err = why;
    return code;
}

static void put_missing(struct nzd_buf *out,
                        const struct nzd_link_options *options,
                        const struct nzd_term *loaded)
{
    nzd_etf_list(out, 1);
    nzd_etf_list(out, options->agent_count - nzd_term_length(loaded));
    for (unsigned i = 0; i < options->agent_count; i++) {
        const struct nzd_link_module *module = &options->agent[i];

        if (is_loaded(loaded, module->name))
            continue;
        nzd_etf_tuple(out, 3);
        nzd_etf_atom(out, module->name);
        nzd_etf_string(out, "nzd_agent.beam");
        nzd_etf_binary(out, module->beam);
    }
    nzd_etf_nil(out);
    nzd_etf_nil(out);
}

/* All that is missing at one instant, so a push that is cut off leaves nothing
 * or all; of what is there none is replaced. Another nzd may push at the same
 * time, or a dead one's push arrive late. Where the agent has been loaded twice
 * already this refuses; load_binary/3 would end the agent that runs. */
static int load(struct call *call, const struct nzd_link_options *options,
                const struct nzd_term *loaded, struct nzd_err *err)
{
    const struct nzd_term *reply = NULL;
    int code;

    put_head(call, "code", "atomic_load");
    put_missing(&call->request, options, loaded);
    code = finish(call, "loading the agent", &reply, err);
    if (code == 0 && !nzd_term_is_atom(reply, "ok"))
        code = refused(call, options, reply, err);
    return code;
}

static int keep_pid(struct call *call, const struct nzd_term *reply,
                    struct nzd_err *err)
{
    const struct nzd_term *pid = nzd_term_at(reply, 1);

    if (pid->kind != NZD_TERM_OTHER)
        return refuse(call, "starting the agent", reply, err);
    nzd_buf_bytes(&call->link->agent, pid->text.data, pid->text.size);
    return call->link->agent.failed ? nzd_err_memory(err) : 0;
}

static int start(struct call *call, const char *agent, struct nzd_err *err)
{
    const struct nzd_term *reply = NULL;
    const struct nzd_term *why;
    const char *text = NULL;
    int code;

    put_head(call, agent, "start");
    nzd_etf_list(&call->request, 1);
    nzd_link_put_self(call->link, &call->request);
    nzd_etf_nil(&call->request);
    code = finish(call, "starting the agent", &reply, err);
    if (code != 0)
        return code;
    if (nzd_term_is_tagged(reply, "ok", 2))
        return keep_pid(call, reply, err);
    why = nzd_term_is_tagged(reply, "error", 2) ? nzd_term_at(reply, 1) : NULL;
    if (why && nzd_term_is_tagged(why, "busy", 2))
        text = nzd_term_text(nzd_term_at(why, 1), &call->arena);
    if (text)
        return nzd_err_set(err, NZD_EBUSY, "%s: %s", call->link->node, text);
    return refuse(call, "starting the agent", reply, err);
}

int nzd_link_push(struct nzd_link *link, const struct nzd_link_options *options,
                  uint64_t timeout_us, struct nzd_err *err)
{
    struct call call = {.link = link, .timeout_us = timeout_us};
    const struct nzd_term *loaded = NULL;
    int code = ask_loaded(&call, options, &loaded, err);

    if (code == 0 && nzd_term_length(loaded) < options->agent_count)
        code = load(&call, options, loaded, err);
    if (code == 0)
        code = start(&call, options->agent[0].name, err);
    nzd_arena_clear(&call.arena);
    nzd_buf_clear(&call.request);
    nzd_buf_clear(&call.message);
    return code;
}
