/* SPDX-License-Identifier: Apache-2.0 */
#include "live_config.h"

#include "../staging/script.h"
#include "file_rows.h"

#include <stdlib.h>
#include <string.h>

#define WORD  "live"
#define AGAIN "restarts="

static bool is_live(const struct nzd_plan *plan, bool files)
{
    for (uint32_t i = 0; i < plan->evidence.count; i++)
        if (plan->evidence.items[i].live &&
            plan->evidence.items[i].files == files)
            return plan->verdict < NZD_LEVEL_RESTART_VM;
    return false;
}

bool nzd_live_config_has_files(const struct nzd_plan *plan)
{
    return is_live(plan, true);
}

bool nzd_live_config_is(const struct nzd_plan *plan)
{
    return is_live(plan, false) || is_live(plan, true);
}

bool nzd_live_config_was(const struct nzd_txn *txn)
{
    const char *word = txn->options ? txn->options : "";
    for (size_t size; *word; word += size + (word[size] == ' ')) {
        size = strcspn(word, " ");
        if (size == strlen(WORD) && memcmp(word, WORD, size) == 0)
            return true;
    }
    return false;
}

bool nzd_live_config_may_stop(const struct nzd_plan *plan)
{
    if (plan->verdict != NZD_LEVEL_RESTART_APP)
        return false;
    for (uint32_t i = 0; i < plan->evidence.count; i++)
        if (plan->evidence.items[i].level == NZD_LEVEL_RESTART_APP &&
            !plan->evidence.items[i].live)
            return false;
    return true;
}

/* --- applications that start anew ---------------------------------------- */

static bool is_first(const struct nzd_plan *plan, uint32_t i)
{
    const char *app = plan->evidence.items[i].restarts;
    for (uint32_t k = 0; app && k < i; k++)
        if (plan->evidence.items[k].restarts &&
            strcmp(plan->evidence.items[k].restarts, app) == 0)
            return false;
    return app != NULL;
}

void nzd_live_config_put_words(const struct nzd_plan *plan, struct nzd_buf *out)
{
    if (!nzd_live_config_is(plan))
        return;
    nzd_buf_printf(out, "%s" WORD, out->size ? " " : "");
    for (uint32_t i = 0; i < plan->evidence.count; i++)
        /* A name must not end its word. */
        if (is_first(plan, i) && !strchr(plan->evidence.items[i].restarts, ' '))
            nzd_buf_printf(out, " " AGAIN "%s",
                           plan->evidence.items[i].restarts);
}

static bool changes(const struct nzd_plan *plan, const char *app)
{
    for (uint32_t i = 0; i < plan->step_count; i++)
        if (strcmp(plan->steps[i].app, app) == 0)
            return true;
    return false;
}

static int again(struct nzd_question *q, const char *app, size_t size,
                 struct nzd_err *err)
{
    struct nzd_evidence evidence = {.level = NZD_LEVEL_RESTART_APP,
                                    .source = "it started anew on the way here",
                                    .live = true};
    evidence.restarts = nzd_arena_text(&q->plan.arena, app, size);
    if (!evidence.restarts)
        return nzd_err_memory(err);
    evidence.subject = evidence.restarts;
    if (!changes(&q->plan, evidence.restarts))
        return 0;
    for (uint32_t i = 0; i < q->plan.evidence.count; i++)
        if (q->plan.evidence.items[i].restarts &&
            !strcmp(q->plan.evidence.items[i].restarts, evidence.restarts))
            return 0;
    return nzd_plan_add_evidence(&q->plan, &evidence, err);
}

int nzd_live_config_undo(struct nzd_question *q, const struct nzd_txn *txn,
                         struct nzd_err *err)
{
    const char *word = txn->options ? txn->options : "";
    int code = 0;
    for (size_t size; *word && !code; word += size + (word[size] == ' ')) {
        size = strcspn(word, " ");
        if (strncmp(word, AGAIN, strlen(AGAIN)) == 0)
            code = again(q, word + strlen(AGAIN), size - strlen(AGAIN), err);
    }
    return code;
}

/* --- both sides ---------------------------------------------------------- */

static void put_term(struct nzd_buf *out, const struct nzd_term *term)
{
    if (term)
        nzd_term_encode(term, out);
    else
        nzd_etf_list(out, 0);
}

/* {Config, Runtime} */
static void put_side(struct nzd_buf *out, const struct nzd_inventory *side)
{
    nzd_etf_tuple(out, 2);
    put_term(out, nzd_term_at(side->sys_config, 0));
    nzd_etf_binary(out, side->runtime_config);
}

static const struct nzd_term *environment(const struct nzd_app *app)
{
    return app && app->spec ? nzd_term_get(nzd_term_at(app->spec, 2), "env")
                            : NULL;
}

static void put_env(struct nzd_buf *out, const char *name,
                    const struct nzd_app *old, const struct nzd_app *new)
{
    nzd_etf_tuple(out, 3);
    nzd_etf_atom(out, name);
    put_term(out, environment(old));
    put_term(out, environment(new &&new->spec ? new : old));
}

/* [{Name, OldEnv, NewEnv}]; what one side lacks has the same on both, but for
 * what is added. */
static void put_envs(struct nzd_buf *out, const struct nzd_inventory *old,
                     const struct nzd_inventory *new)
{
    uint32_t count = new->app_count;
    for (uint32_t i = 0; i < old->app_count; i++)
        count += !nzd_inventory_app(new, old->apps[i].name);
    nzd_etf_list(out, count);
    for (uint32_t i = 0; i < new->app_count; i++)
        put_env(out, new->apps[i].name,
                nzd_inventory_app(old, new->apps[i].name), &new->apps[i]);
    for (uint32_t i = 0; i < old->app_count; i++)
        if (!nzd_inventory_app(new, old->apps[i].name))
            put_env(out, old->apps[i].name, &old->apps[i], NULL);
    if (count)
        nzd_etf_nil(out);
}

/* --- applications that come and go --------------------------------------- */

struct listed {
    const struct nzd_script_app **items;
    uint32_t count;
};

struct exchanged {
    struct nzd_script old;
    struct nzd_script new;
    struct listed more; /* the new side does more with them */
    struct listed less;
    struct listed typed; /* of another start type */
};

static int by_start(const void *a, const void *b)
{
    const struct nzd_script_app *left =
        *(const struct nzd_script_app *const *)a;
    const struct nzd_script_app *right =
        *(const struct nzd_script_app *const *)b;
    return (left->order > right->order) - (left->order < right->order);
}

static bool does_more(const struct nzd_script_app *app,
                      const struct nzd_script_app *other)
{
    return nzd_script_does(app) > nzd_script_does(other);
}

/* Without keys it is not to be loaded. */
static bool begins(const struct nzd_script_app *app,
                   const struct nzd_script_app *other)
{
    return app->spec && does_more(app, other);
}

static bool is_typed(const struct nzd_script_app *app,
                     const struct nzd_script_app *other)
{
    return nzd_script_does(app) == NZD_SCRIPT_STARTS &&
           nzd_script_does(other) == NZD_SCRIPT_STARTS &&
           strcmp(app->start, other->start) != 0;
}

/* As `script` starts them. */
static int find(const struct nzd_script *script, const struct nzd_script *other,
                bool (*is)(const struct nzd_script_app *app,
                           const struct nzd_script_app *other),
                struct nzd_arena *arena, struct listed *out,
                struct nzd_err *err)
{
    out->items =
        nzd_arena_alloc(arena, (script->app_count + 1) * sizeof(void *));
    if (!out->items)
        return nzd_err_memory(err);
    for (uint32_t i = 0; i < script->app_count; i++)
        if (is(&script->apps[i], nzd_script_app(other, script->apps[i].name)))
            out->items[out->count++] = &script->apps[i];
    if (out->count > 1)
        qsort(out->items, out->count, sizeof(void *), by_start);
    return 0;
}

static int find_exchanged(const struct nzd_question *q, struct nzd_arena *arena,
                          struct exchanged *out, struct nzd_err *err)
{
    struct nzd_script *old = &out->old, *new = &out->new;
    if (!q->new.is_release || !q->old.boot_script || !q->new.boot_script)
        return 0;
    int code = nzd_script_read(q->old.boot_script, arena, old, err);
    if (!code)
        code = nzd_script_read(q->new.boot_script, arena, new, err);
    if (!code)
        code = find(new, old, begins, arena, &out->more, err);
    if (!code)
        code = find(old, new, does_more, arena, &out->less, err);
    if (!code)
        code = find(new, old, is_typed, arena, &out->typed, err);
    return code;
}

/* [{{application, Name, Keys}, Type}] */
static void put_more(struct nzd_buf *out, const struct listed *more)
{
    nzd_etf_list(out, more->count);
    for (uint32_t i = 0; i < more->count; i++) {
        const struct nzd_script_app *app = more->items[i];
        nzd_etf_tuple(out, 2);
        nzd_term_encode(app->spec, out);
        nzd_etf_atom(out, *app->start ? app->start : "none");
    }
    if (more->count)
        nzd_etf_nil(out);
}

/* [{Name, Stays}], those that were started last first. */
static void put_less(struct nzd_buf *out, const struct exchanged *apps)
{
    nzd_etf_list(out, apps->less.count);
    for (uint32_t i = apps->less.count; i > 0; i--) {
        const char *name = apps->less.items[i - 1]->name;
        bool stays = nzd_script_does(nzd_script_app(&apps->new, name)) !=
                     NZD_SCRIPT_NOTHING;
        nzd_etf_tuple(out, 2);
        nzd_etf_atom(out, name);
        nzd_etf_atom(out, stays ? "true" : "false");
    }
    if (apps->less.count)
        nzd_etf_nil(out);
}

/* [{Name, Type}] */
static void put_typed(struct nzd_buf *out, const struct listed *typed)
{
    nzd_etf_list(out, typed->count);
    for (uint32_t i = 0; i < typed->count; i++) {
        nzd_etf_tuple(out, 2);
        nzd_etf_atom(out, typed->items[i]->name);
        nzd_etf_atom(out, typed->items[i]->start);
    }
    if (typed->count)
        nzd_etf_nil(out);
}

/* What starts anew does so with what a boot would load. */
static const struct nzd_term *spec_of(const struct nzd_question *q,
                                      const struct exchanged *apps,
                                      const char *name)
{
    const struct nzd_script_app *named = nzd_script_app(&apps->new, name);
    const struct nzd_app *new = nzd_inventory_app(&q->new, name);
    const struct nzd_app *old = nzd_inventory_app(&q->old, name);
    return named && named->spec ? named->spec
           : new &&new->spec    ? new->spec
           : old                ? old->spec
                                : NULL;
}

/* [{application, Name, Keys} | Name] */
static void put_again(struct nzd_buf *out, const struct nzd_question *q,
                      const struct exchanged *apps)
{
    const struct nzd_plan *plan = &q->plan;
    uint32_t count = 0;
    for (uint32_t i = 0; i < plan->evidence.count; i++)
        count += is_first(plan, i);
    nzd_etf_list(out, count);
    for (uint32_t i = 0; i < plan->evidence.count; i++) {
        const char *name = plan->evidence.items[i].restarts;
        const struct nzd_term *spec =
            is_first(plan, i) ? spec_of(q, apps, name) : NULL;
        if (spec)
            nzd_term_encode(spec, out);
        else if (is_first(plan, i))
            nzd_etf_atom(out, name);
    }
    if (count)
        nzd_etf_nil(out);
}

/* --- what the agent says ------------------------------------------------- */

static void join(struct nzd_buf *out, const struct nzd_term *names)
{
    for (uint32_t i = 0; i < nzd_term_length(names); i++) {
        const struct nzd_term *name = nzd_term_at(names, i);
        if (name->kind == NZD_TERM_BINARY && out->size < 400)
            nzd_buf_printf(out, "%s%.*s", out->size ? ", " : "",
                           (int)name->text.size, (const char *)name->text.data);
    }
}

/* Values are nobody's business here. */
static void tell(struct nzd_transaction *t, const struct nzd_term *names,
                 const struct nzd_term *held)
{
    struct nzd_buf keys = {0}, of_vm = {0};
    join(&keys, names);
    join(&of_vm, held);
    if (keys.size)
        nzd_timeline_add(&t->timeline, NZD_EVENT_PREPARE, "configure", 0, "%s",
                         nzd_buf_string(&keys));
    if (keys.size)
        nzd_output_step(&t->context->output, "configure", 0, NULL, "%s",
                        nzd_buf_string(&keys));
    if (of_vm.size)
        nzd_timeline_add(&t->timeline, NZD_EVENT_NOTE, "note", 0,
                         "%s holds what no file can, a boot makes it anew",
                         nzd_buf_string(&of_vm));
    if (of_vm.size)
        nzd_output_step(&t->context->output, "note", 0, NULL,
                        "%s holds what no file can, a boot makes it anew",
                        nzd_buf_string(&of_vm));
    nzd_buf_clear(&keys);
    nzd_buf_clear(&of_vm);
}

static int append(struct nzd_transaction *t, struct nzd_view kept,
                  struct nzd_err *err)
{
    nzd_buf_bytes(&t->kept, kept.data, kept.size);
    if (t->kept.failed)
        return nzd_err_memory(err);
    return nzd_file_rows_add_kept(t, NZD_FILE_KEPT, kept, err);
}

static int take(struct nzd_transaction *t, const struct nzd_term *answer,
                struct nzd_err *err)
{
    const struct nzd_term *kept = nzd_term_at(answer, 1);
    const struct nzd_term *why = nzd_term_at(answer, 1);
    if (nzd_term_is_tagged(answer, "live", 4) &&
        kept->kind == NZD_TERM_BINARY) {
        tell(t, nzd_term_at(answer, 2), nzd_term_at(answer, 3));
        return append(t, kept->text, err);
    }
    if (!nzd_term_is_tagged(answer, "error", 2) ||
        !nzd_term_is_tagged(why, "live", 2) ||
        nzd_term_at(why, 1)->kind != NZD_TERM_BINARY)
        return nzd_node_unexpected(t->q->node, "live", answer, err);
    why = nzd_term_at(why, 1);
    return nzd_err_set(err, NZD_EREFUSED, "%.*s", (int)why->text.size,
                       (const char *)why->text.data);
}

/* For files alone no configuration is made: what runs in runtime.exs is not
 * asked for nothing. */
static void put_request(struct nzd_buf *out, const struct nzd_question *q,
                        const struct exchanged *apps)
{
    static const struct nzd_inventory none;
    bool configures = is_live(&q->plan, false);
    const struct nzd_inventory *old = configures ? &q->old : &none;
    const struct nzd_inventory *new = configures ? &q->new : &none;
    nzd_etf_tuple(out, 6);
    nzd_etf_atom(out, "live");
    put_side(out, old);
    put_side(out, new->is_release ? new : old);
    put_envs(out, old, new);
    nzd_etf_tuple(out, 4);
    put_more(out, &apps->more);
    put_less(out, apps);
    put_again(out, q, apps);
    put_typed(out, &apps->typed);
    nzd_etf_atom(out, is_live(&q->plan, true) ? "true" : "false");
}

int nzd_live_config_prepare(struct nzd_transaction *t, struct nzd_err *err)
{
    struct nzd_question *q = t->q;
    struct nzd_arena arena = {0};
    struct nzd_buf request = {0};
    struct exchanged apps;
    const struct nzd_term *answer = NULL;
    int code = 0;
    if (!nzd_live_config_is(&q->plan))
        return 0;
    memset(&apps, 0, sizeof apps);
    if (is_live(&q->plan, false))
        code = find_exchanged(q, &arena, &apps, err);
    put_request(&request, q, &apps);
    if (!code)
        code = nzd_node_ask(q->node, &request, 0, &answer, err);
    if (!code)
        code = take(t, answer, err);
    nzd_buf_clear(&request);
    nzd_arena_clear(&arena);
    return code;
}

/* --- an agent that has forgotten ------------------------------------------ */

static int find_kept(void *context, const struct nzd_module_row *row)
{
    struct nzd_digest *blob = context;
    if (strcmp(row->module, NZD_FILE_KEPT) != 0)
        return 0;
    *blob = row->old_blob;
    return 1;
}

int nzd_live_config_resend(struct nzd_node *node, struct nzd_journal *journal,
                           uint64_t id, struct nzd_err *err)
{
    struct nzd_digest blob = {.bytes = {0}};
    struct nzd_buf bytes = {0}, request = {0};
    const struct nzd_term *answer = NULL;
    int code = nzd_journal_each_file(journal, id, find_kept, &blob, err);
    if (code <= 0)
        return code;
    code = nzd_journal_get_blob(journal, &blob, &bytes, err);
    nzd_etf_tuple(&request, 2);
    nzd_etf_atom(&request, "kept");
    nzd_etf_binary(&request, nzd_buf_view(&bytes));
    if (!code)
        code = nzd_node_ask(node, &request, 0, &answer, err);
    if (!code && !nzd_term_is_atom(answer, "ok"))
        code = nzd_node_unexpected(node, "kept", answer, err);
    nzd_buf_clear(&bytes);
    nzd_buf_clear(&request);
    return code;
}
