/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a node answers. The first byte chooses what it is asked; behind it
 * stand the answers as source text of terms, each sent once, and then the link
 * is lost. Besides memory errors: every answer ends in a result or in an error
 * that says something.
 */

#include "../engine/link_internal.h"
#include "../engine/node_act.h"
#include "../engine/node_internal.h"
#include "support.h"

#include <string.h>

/* --- a link whose node answers from a list ----------------------------- */

struct peer {
    const struct nzd_term *answers; /* a list */
    uint32_t next;
    uint64_t numbers[64]; /* of the requests, oldest first */
    unsigned asked;
    unsigned answered;
};

static int peer_send(struct nzd_link *link, struct nzd_view to,
                     const char *name, struct nzd_view term, uint64_t deadline,
                     struct nzd_err *err)
{
    struct peer *peer = link->state;
    const struct nzd_term *request = NULL;
    struct nzd_arena arena = {0};
    int64_t number = 0;
    int at = name ? 1 : 2;

    (void)to;
    (void)deadline;
    fuzz_require(nzd_term_decode(term, &arena, &request, err) == 0);
    /* {'$gen_call', {Self, Tag}, ...} or {nzd, Self, Number, ...}. */
    request = nzd_term_at(request, (uint32_t)at);
    if (name)
        request = nzd_term_at(request, 1);
    fuzz_require(nzd_term_integer(request, &number));
    if (peer->asked < 64)
        peer->numbers[peer->asked++] = (uint64_t)number;
    nzd_arena_clear(&arena);
    return 0;
}

static void put_answer(const struct nzd_link *link, struct nzd_buf *out)
{
    struct peer *peer = link->state;
    unsigned at = peer->answered < peer->asked ? peer->answered : peer->asked;
    uint64_t number = at < peer->asked ? peer->numbers[at]
                      : at > 0         ? peer->numbers[at - 1]
                                       : 0;

    nzd_buf_reset(out);
    nzd_etf_version(out);
    nzd_etf_tuple(out, link->agent.size > 0 ? 3 : 2);
    if (link->agent.size > 0)
        nzd_etf_atom(out, "nzd");
    nzd_etf_unsigned(out, number);
    nzd_term_encode(nzd_term_at(peer->answers, peer->next++), out);
    peer->answered++;
}

static bool has_answer(const struct peer *peer)
{
    return peer->next < nzd_term_length(peer->answers);
}

static int peer_receive(struct nzd_link *link, uint64_t deadline,
                        struct nzd_buf *out, struct nzd_err *err)
{
    (void)deadline;
    if (!has_answer(link->state))
        return nzd_err_set(err, NZD_ELOST, "the link is lost");
    put_answer(link, out);
    return 0;
}

static int peer_wait(struct nzd_link *link, int fd, bool messages,
                     uint64_t deadline, struct nzd_err *err)
{
    (void)fd;
    (void)messages;
    (void)deadline;
    if (!has_answer(link->state))
        return nzd_err_set(err, NZD_ELOST, "the link is lost");
    return NZD_LINK_MESSAGE;
}

static void peer_put_self(const struct nzd_link *link, struct nzd_buf *out)
{
    (void)link;
    nzd_etf_atom(out, "self");
}

static bool peer_is_dead(const struct nzd_link *link)
{
    return !has_answer(link->state);
}

static const struct nzd_link_backend backend = {
    .name = "list",
    .send = peer_send,
    .receive = peer_receive,
    .wait = peer_wait,
    .put_self = peer_put_self,
    .is_dead = peer_is_dead,
};

/* --- what it is asked about -------------------------------------------- */

static const char *const names[] = {"a", "b", "c"};
static struct nzd_inventory before, after;
static struct nzd_plan plan;

static void add(struct nzd_inventory *inventory, const char *name,
                uint8_t digest)
{
    static const struct nzd_beam_lambda lambda = {.name = "-f/0-fun-0-"};
    static const struct nzd_beam beam = {
        .module = "a", .lambdas = &lambda, .lambda_count = 1};
    struct nzd_module *module = nzd_inventory_add_module(inventory);

    fuzz_require(module != NULL);
    *module = (struct nzd_module){
        .name = name,
        .app = "app",
        .path = "/lib/app/ebin",
        .beam = &beam,
        .flags = NZD_MODULE_LOADED | NZD_MODULE_DETAILED,
    };
    memset(module->md5.bytes, digest, NZD_DIGEST_SIZE);
    memset(module->attrs.bytes, digest, NZD_DIGEST_SIZE);
}

static void make_plan(void)
{
    static bool made;

    if (made)
        return;
    made = true;
    nzd_inventory_init(&before);
    nzd_inventory_init(&after);
    *nzd_inventory_add_app(&before) =
        (struct nzd_app){.name = "app", .version = "1"};
    *nzd_inventory_add_app(&after) =
        (struct nzd_app){.name = "app", .version = "2"};
    add(&before, "a", 1);
    add(&before, "c", 1);
    add(&after, "a", 2);
    add(&after, "b", 2);
    fuzz_require(nzd_inventory_sort(&before, NULL) == 0 &&
                 nzd_inventory_sort(&after, NULL) == 0);
    fuzz_require(nzd_plan_diff(&before, &after, &plan, NULL) == 0);
    fuzz_require(plan.step_count == 3);
}

/* --- the questions ----------------------------------------------------- */

struct asked {
    struct nzd_node *node;
    struct nzd_arena arena;
    struct nzd_err *err;
    uint8_t bytes[16];
};

static int ask_hello(struct asked *a)
{
    struct nzd_inventory files;
    struct nzd_hello hello;
    struct nzd_base base = {0};
    int rc = nzd_node_hello(a->node, &hello, a->err);

    if (rc)
        return rc;
    nzd_inventory_init(&files);
    rc = nzd_node_base(a->node, &hello, &files, &base, a->err);
    fuzz_require(memchr(base.version, 0, sizeof(base.version)) != NULL);
    nzd_inventory_clear(&files);
    return rc;
}

static int ask_clock(struct asked *a)
{
    struct nzd_node_clock clock;
    return nzd_node_clock(a->node, &clock, a->err);
}

static int ask_inventory(struct asked *a)
{
    static const struct nzd_node_folder folder = {"app", ""};
    struct nzd_inventory out;
    int rc = nzd_node_inventory(a->node, &out, a->err);

    if (rc)
        return rc;
    for (uint32_t i = 1; i < out.module_count; i++)
        fuzz_require(strcmp(out.modules[i - 1].name, out.modules[i].name) < 0);
    rc = nzd_node_on_disk(a->node, names, 3, &out, a->err);
    if (!rc)
        rc = nzd_node_priv(a->node, &folder, 1, &out, a->err);
    nzd_inventory_clear(&out);
    return rc;
}

static int ask_held(struct asked *a)
{
    struct nzd_inventory out;
    int rc = nzd_node_held(a->node, names, names, 3, &out, a->err);

    nzd_inventory_clear(&out);
    return rc;
}

static int ask_files(struct asked *a)
{
    struct nzd_inventory out;
    int rc = nzd_node_files(a->node, names, 3, &out, a->err);

    nzd_inventory_clear(&out);
    return rc;
}

static int each_name(void *context, const char *name)
{
    (void)context;
    fuzz_require(name != NULL);
    return 0;
}

static int ask_beams(struct asked *a)
{
    return nzd_node_beams(a->node, names, 3, each_name, NULL, a->err);
}

static int each_object(void *context, uint32_t index,
                       const struct nzd_object *object, struct nzd_err *err)
{
    (void)context;
    (void)err;
    fuzz_require(index < 3 && (object->state == NZD_OBJECT_FOUND ||
                               object->bytes.size == 0));
    return 0;
}

static int ask_objects(struct asked *a)
{
    return nzd_node_objects(a->node, names, 3, each_object, NULL, a->err);
}

static int ask_callers(struct asked *a)
{
    struct nzd_plan own;
    int rc = nzd_plan_diff(&before, &after, &own, NULL);

    fuzz_require(rc == 0);
    rc = nzd_node_callers(a->node, &own, names, 1, a->err);
    nzd_plan_clear(&own);
    return rc;
}

static int ask_occupants(struct asked *a)
{
    struct nzd_occupant_list list = {0};
    int rc = nzd_node_occupants(a->node, &plan, &a->arena, &list, a->err);

    for (uint32_t i = 0; i < list.count; i++)
        fuzz_require(list.items[i].name && list.items[i].module &&
                     list.items[i].function);
    if (!rc)
        rc = nzd_node_users(a->node, &plan, &a->arena, &list, a->err);
    free(list.items);
    return rc;
}

static int ask_rehearse(struct asked *a)
{
    static const struct nzd_rehearse_part parts[] = {
        {.module = "a", .shadow = "x.a"}, {.module = "b", .shadow = "x.b"}};
    struct nzd_rehearse_job job = {
        .parts = parts, .part_count = 2, .all_us = 1000};
    struct nzd_rehearsal_part out[2];

    return nzd_node_rehearse(a->node, &job, &a->arena, out, a->err);
}

static int ask_readings(struct asked *a)
{
    struct nzd_reading reading;
    int rc = nzd_node_readings(a->node, &reading, a->err);

    if (!rc)
        fuzz_require(memchr(reading.said, 0, sizeof(reading.said)) != NULL);
    return rc;
}

static int ask_md5s(struct asked *a)
{
    struct nzd_running out[3];
    return nzd_node_md5s(a->node, names, 3, out, a->err);
}

static int ask_begin(struct asked *a)
{
    struct nzd_recall recall = {.count = 0};
    struct nzd_node_begin begin = {
        .uuid = a->bytes, .kill = names, .kill_count = 1, .recall = &recall};
    uint8_t token[16];

    return nzd_node_begin(a->node, &begin, token, a->err);
}

static int ask_takeover(struct asked *a)
{
    char phase[16];
    return nzd_node_takeover(a->node, a->bytes, phase, a->err);
}

static int ask_code(struct asked *a)
{
    struct nzd_node_way way = {.limit_us = 1000};
    struct nzd_view bytes = nzd_view_text("code");
    struct nzd_digest md5 = {{0}};
    int rc = nzd_node_put_old(a->node, "a", "/a", bytes, &md5, true, a->err);

    if (!rc)
        rc = nzd_node_put_new(a->node, "a", "/a", bytes, false, a->err);
    if (!rc)
        rc = nzd_node_collect(a->node, a->err);
    return rc ? rc : nzd_node_put_sets(a->node, &plan, &way, a->err);
}

static int ask_switch(struct asked *a)
{
    struct nzd_occupant_list list = {0};
    uint64_t us;
    int rc = nzd_node_switch(a->node, &us, &a->arena, &list, a->err);

    free(list.items);
    return rc;
}

static int ask_undo(struct asked *a)
{
    struct nzd_occupant_list list = {0};
    uint64_t us;
    uint32_t left;
    int rc = nzd_node_undo(a->node, &us, &left, &a->arena, &list, a->err);

    free(list.items);
    return rc;
}

static int ask_moved(struct asked *a)
{
    struct nzd_moved moved = {0};
    int rc = nzd_node_moved(a->node, &a->arena, &moved, a->err);

    if (!rc)
        fuzz_require(moved.note_count <= NZD_MOVED_NOTES);
    return rc;
}

static int ask_ended(struct asked *a)
{
    struct nzd_occupant_list list = {0};
    int rc = nzd_node_ended(a->node, &a->arena, &list, a->err);

    free(list.items);
    return rc;
}

static int ask_validate(struct asked *a)
{
    return nzd_node_validate(a->node, a->err);
}

static int ask_acts(struct asked *a)
{
    int rc = nzd_node_allow_kill(a->node, "kill=a x kill=b", a->err);

    if (!rc)
        rc = nzd_node_try_out(a->node, 1000, a->err);
    if (!rc)
        rc = nzd_node_confirm(a->node, a->err);
    return rc ? rc : nzd_node_act(a->node, "keep", a->err);
}

static int ask_places(struct asked *a)
{
    static struct nzd_overlay_folder folder = {"/base", "/instead"};
    struct nzd_overlay overlay = {.folders = &folder, .folder_count = 1};
    int rc = nzd_node_put_paths(a->node, &overlay, "/boot", a->err);

    if (!rc)
        rc = nzd_node_lay(a->node, &overlay, a->err);
    return rc ? rc : nzd_node_try_boot(a->node, 1000, "/boot", true, a->err);
}

static int ask_apps(struct asked *a)
{
    struct nzd_buf left = {0};
    int rc = nzd_node_put_apps(a->node, NULL, 0, &left, a->err);

    nzd_buf_clear(&left);
    return rc ? rc : nzd_node_restart(a->node, "/boot", a->err);
}

static int ask_call(struct asked *a)
{
    static const char *const args[] = {"quick", "[{limit,100}]"};
    struct nzd_call_result result = {0};
    int rc = nzd_node_call(a->node, "m", "f", args, 2, 1000, &result, a->err);

    fuzz_require(memchr(result.value, 0, sizeof(result.value)) != NULL);
    nzd_buf_clear(&result.output);
    return rc;
}

static int ask_push(struct asked *a)
{
    static const struct nzd_link_module agent = {"nzd_agent_x",
                                                 {(const uint8_t *)"code", 4}};
    struct nzd_link_options options = {
        .node = "a@b", .agent = &agent, .agent_count = 1};

    nzd_buf_clear(&a->node->link->agent);
    return nzd_link_push(a->node->link, &options, 1000000, a->err);
}

static int (*const questions[])(struct asked *) = {
    ask_hello,    ask_clock,   ask_inventory, ask_held,      ask_files,
    ask_beams,    ask_objects, ask_callers,   ask_occupants, ask_rehearse,
    ask_readings, ask_md5s,    ask_begin,     ask_takeover,  ask_code,
    ask_switch,   ask_undo,    ask_moved,     ask_ended,     ask_validate,
    ask_acts,     ask_apps,    ask_call,      ask_push,      ask_places,
};
#define QUESTIONS (sizeof(questions) / sizeof(questions[0]))

/* 'A' is the first, so that a corpus can be read. */
static void ask(uint8_t which, const struct nzd_term *answers)
{
    struct peer peer = {.answers = answers};
    struct nzd_link link = {.backend = &backend, .state = &peer, .node = "a@b"};
    struct nzd_node node = {.link = &link, .timeout_us = 1000000};
    struct nzd_err err = NZD_ERR_INIT;
    struct asked asked = {.node = &node, .err = &err};
    int rc;

    nzd_etf_atom(&link.agent, "agent");
    rc = questions[(which - 'A') % QUESTIONS](&asked);
    fuzz_require(rc == 0 || err.message[0]);
    nzd_arena_clear(&asked.arena);
    nzd_arena_clear(&node.arena);
    nzd_buf_clear(&node.request);
    nzd_buf_clear(&node.envelope);
    nzd_buf_clear(&node.message);
    nzd_buf_clear(&link.agent);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nzd_arena arena = {0};
    const struct nzd_term *answers = NULL;

    make_plan();
    if (size > 1 && nzd_term_parse(nzd_view_of(data + 1, size - 1), &arena,
                                   &answers, NULL) == 0)
        ask(data[0], answers);
    nzd_arena_clear(&arena);
    return 0;
}
