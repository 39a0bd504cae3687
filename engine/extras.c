/* SPDX-License-Identifier: Apache-2.0 */
#include "extras.h"

#include "../staging/appup.h"
#include "file_rows.h"
#include "migrate.h"

#include <stdlib.h>
#include <string.h>

/* --- of a step ----------------------------------------------------------- */

/* `down`: so the states go, and what is said for it is for the way there. */
static struct nzd_extra of_step(const struct nzd_plan *plan,
                                const struct nzd_step *step, bool down)
{
    struct nzd_extra extra = {.module = step->name};
    if (step->change != NZD_STEP_CHANGED)
        return extra;
    extra.up =
        nzd_appup_extra(plan->old, plan->new, down, step->app, step->name);
    extra.down =
        nzd_appup_extra(plan->old, plan->new, !down, step->app, step->name);
    return extra;
}

static int make_room(struct nzd_question *q, struct nzd_err *err)
{
    size_t most = q->plan.step_count + 1u;
    q->extras.count = 0;
    q->extras.items =
        nzd_arena_alloc(&q->arena, most * sizeof *q->extras.items);
    return q->extras.items ? 0 : nzd_err_memory(err);
}

/* --- the row ------------------------------------------------------------- */

int nzd_extras_add_row(struct nzd_transaction *t, struct nzd_err *err)
{
    if (t->way || !t->q->extras.count)
        return 0;
    nzd_buf_reset(&t->extras);
    nzd_etf_version(&t->extras);
    nzd_node_put_extras(&t->extras, &t->q->extras);
    if (t->extras.failed)
        return nzd_err_memory(err);
    return nzd_file_rows_add_kept(t, NZD_FILE_EXTRAS, nzd_buf_view(&t->extras),
                                  err);
}

static int find_row(void *context, const struct nzd_module_row *row)
{
    struct nzd_digest *blob = context;
    if (strcmp(row->module, NZD_FILE_EXTRAS) != 0)
        return 0;
    *blob = row->old_blob;
    return 1;
}

static int take(const struct nzd_term *list, struct nzd_arena *arena,
                struct nzd_extras *out, struct nzd_err *err)
{
    uint32_t count = nzd_term_length(list);
    out->items = nzd_arena_alloc(arena, (count + 1u) * sizeof *out->items);
    if (!out->items)
        return nzd_err_memory(err);
    for (uint32_t i = 0; i < count; i++) {
        const struct nzd_term *each = nzd_term_at(list, i);
        const char *module = nzd_term_text(nzd_term_at(each, 0), arena);
        if (!module || !nzd_term_is_tagged(each, NULL, 3))
            return nzd_err_set(err, NZD_EJOURNAL,
                               NZD_FILE_EXTRAS " of the journal does not hold");
        out->items[out->count++] = (struct nzd_extra){
            module, nzd_term_at(each, 1), nzd_term_at(each, 2)};
    }
    return 0;
}

int nzd_extras_read(struct nzd_journal *journal, uint64_t id,
                    struct nzd_arena *arena, struct nzd_extras *out,
                    struct nzd_err *err)
{
    struct nzd_digest blob = {.bytes = {0}};
    struct nzd_buf bytes = {0};
    const struct nzd_term *list = NULL;
    memset(out, 0, sizeof *out);
    int code = nzd_journal_each_file(journal, id, find_row, &blob, err);
    if (code <= 0)
        return code;
    code = nzd_journal_get_blob(journal, &blob, &bytes, err);
    /* Binaries borrow from it. */
    char *copy =
        code ? NULL
             : nzd_arena_text(arena, (const char *)bytes.data, bytes.size);
    if (!code && !copy)
        code = nzd_err_memory(err);
    if (!code)
        code =
            nzd_term_decode(nzd_view_of(copy, bytes.size), arena, &list, err);
    if (code == NZD_EBUNDLE)
        err->code = code = NZD_EJOURNAL;
    nzd_buf_clear(&bytes);
    return code ? code : take(list, arena, out, err);
}

/* --- of the way to a generation ------------------------------------------ */

struct way {
    struct nzd_journal *journal;
    uint64_t *ids; /* of the applies that it leads over */
    uint32_t count;
    struct nzd_err *err;
};

static int add_hop(struct way *way, uint64_t id)
{
    void *ids = realloc(way->ids, (way->count + 1) * sizeof *way->ids);
    if (!ids)
        return nzd_err_memory(way->err);
    way->ids = ids;
    way->ids[way->count++] = id;
    return 0;
}

/* What it was applied to; the same where the journal has dropped it. */
static uint64_t parent_of(const struct way *way, uint64_t id)
{
    struct nzd_txn txn;
    bool down;
    if (nzd_journal_txn(way->journal, id, &txn, NULL))
        return id;
    uint64_t from = txn.from_generation;
    nzd_txn_clear(&txn);
    return from < id ? nzd_migrate_origin(way->journal, from, &down) : id;
}

/* Both sides climb to where they meet. A rollback made nothing: it stands for
 * the apply that made what it put in force. */
static int find_way(struct way *way, uint64_t from, uint64_t to)
{
    bool down;
    int code = 0;
    from = nzd_migrate_origin(way->journal, from, &down);
    to = nzd_migrate_origin(way->journal, to, &down);
    while (from != to && !code) {
        uint64_t *later = from > to ? &from : &to;
        uint64_t parent = parent_of(way, *later);
        if (parent == *later)
            break;
        code = add_hop(way, *later);
        *later = parent;
    }
    return code;
}

struct search {
    const char *module;
    bool found;
};

static int match(void *context, const struct nzd_module_row *row)
{
    struct search *search = context;
    search->found = strcmp(row->module, search->module) == 0;
    return search->found;
}

/* Another one that the way leads over changed it, too. */
static int is_of_another(const struct way *way, uint32_t hop,
                         const char *module, bool *out)
{
    struct search search = {.module = module};
    int code = 0;
    for (uint32_t i = 0; i < way->count && !search.found && code >= 0; i++)
        if (i != hop)
            code = nzd_journal_each_module(way->journal, way->ids[i], match,
                                           &search, way->err);
    *out = search.found;
    return code < 0 ? code : 0;
}

static const struct nzd_step *changed_step(const struct nzd_plan *plan,
                                           const char *module)
{
    for (uint32_t i = 0; i < plan->step_count; i++)
        if (strcmp(plan->steps[i].name, module) == 0 &&
            plan->steps[i].change == NZD_STEP_CHANGED)
            return &plan->steps[i];
    return NULL;
}

static bool has(const struct nzd_extras *extras, const char *module)
{
    for (uint32_t i = 0; i < extras->count; i++)
        if (strcmp(extras->items[i].module, module) == 0)
            return true;
    return false;
}

static int take_hop(struct nzd_context *context, struct nzd_question *q,
                    const struct way *way, uint32_t hop)
{
    struct nzd_extras all;
    int code =
        nzd_extras_read(way->journal, way->ids[hop], &q->arena, &all, way->err);
    for (uint32_t i = 0; i < all.count && !code; i++) {
        const struct nzd_extra *extra = &all.items[i];
        bool other = false;
        if (!changed_step(&q->plan, extra->module) ||
            has(&q->extras, extra->module))
            continue;
        code = is_of_another(way, hop, extra->module, &other);
        if (!code && !other)
            q->extras.items[q->extras.count++] = *extra;
        else if (!code)
            nzd_output_warn(&context->output,
                            "code_change of %s is handed [] as Extra: the way "
                            "leads over more than one transaction that changed "
                            "it",
                            extra->module);
    }
    return code;
}

/* --- of a bundle --------------------------------------------------------- */

struct origin {
    const struct nzd_step *step;
    bool found;
};

static int match_origin(void *context, const struct nzd_module_row *row)
{
    struct origin *origin = context;
    if (strcmp(row->module, origin->step->name) != 0)
        return 0;
    origin->found = nzd_digest_equal(&row->old_md5, &origin->step->new->md5);
    return 1;
}

/* What brought the generation that runs has changed a module from just the code
 * that it now goes to: what was said then of the way back down. */
static int of_running(struct nzd_question *q, struct nzd_journal *journal,
                      struct nzd_err *err)
{
    struct nzd_extras all = {.count = 0};
    bool down = false;
    uint64_t id = journal ? nzd_question_running(q, journal) : 0;
    id = id ? nzd_migrate_origin(journal, id, &down) : 0;
    if (!id || down)
        return 0;
    int code = nzd_extras_read(journal, id, &q->arena, &all, err);
    for (uint32_t i = 0; i < all.count && code >= 0; i++) {
        const struct nzd_extra *extra = &all.items[i];
        struct origin origin = {.step = changed_step(&q->plan, extra->module)};
        if (!origin.step || has(&q->extras, extra->module))
            continue;
        code = nzd_journal_each_module(journal, id, match_origin, &origin, err);
        if (code >= 0 && origin.found)
            q->extras.items[q->extras.count++] = *extra;
    }
    return code < 0 ? code : 0;
}

int nzd_extras_of_bundle(struct nzd_question *q, struct nzd_journal *journal,
                         struct nzd_err *err)
{
    const struct nzd_txn apply = {.kind = NZD_TXN_APPLY};
    bool down = nzd_migrate_is_down(&q->plan, &apply, journal);
    int code = make_room(q, err);
    for (uint32_t i = 0; i < q->plan.step_count && !code; i++) {
        const struct nzd_extra extra =
            of_step(&q->plan, &q->plan.steps[i], down);
        if (extra.up || extra.down)
            q->extras.items[q->extras.count++] = extra;
    }
    return !code && down ? of_running(q, journal, err) : code;
}

int nzd_extras_of_generation(struct nzd_context *context,
                             struct nzd_question *q,
                             struct nzd_journal *journal, uint64_t to,
                             struct nzd_err *err)
{
    struct way way = {.journal = journal, .err = err};
    int code = make_room(q, err);
    if (!code)
        code = find_way(&way, nzd_question_running(q, journal), to);
    for (uint32_t i = 0; i < way.count && !code; i++)
        code = take_hop(context, q, &way, i);
    free(way.ids);
    return code;
}
