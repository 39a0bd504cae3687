/* SPDX-License-Identifier: Apache-2.0 */
#include "file_rows_internal.h"

#include "../journal/file_row.h"
#include "../staging/script.h"
#include "live_config.h"

#include <stdlib.h>
#include <string.h>

bool nzd_file_rows_restarts(const struct nzd_plan *plan)
{
    enum nzd_need need = nzd_plan_need(plan);
    return plan->verdict == NZD_LEVEL_RESTART_VM &&
           (need == NZD_NEED_RESTART || need == NZD_NEED_START);
}

/* --- a row --------------------------------------------------------------- */

static bool same(const struct nzd_file_side *a, const struct nzd_file_side *b)
{
    return nzd_digest_equal(&a->md5, &b->md5);
}

static void fill_sides(struct nzd_module_row *row, const struct sides *sides)
{
    const struct nzd_file_side *after = &sides->after;
    const struct nzd_file_side *before = &sides->before;
    row->old_md5 = before->md5;
    row->old_blob = before->blob;
    row->old_bytes = before->bytes;
    row->new_md5 = after->md5;
    row->new_blob = after->blob;
    row->new_bytes = after->bytes;
    row->flags = nzd_digest_is_zero(&after->md5) ? before->flags : after->flags;
    if (nzd_digest_is_zero(&after->blob) && !nzd_digest_is_zero(&after->md5))
        row->flags |= NZD_ROW_TO_BASE;
    row->change = nzd_file_row_change(&row->old_md5, &row->new_md5);
}

/* The next row, its sides empty; NULL without memory. */
static struct nzd_module_row *append(struct nzd_transaction *t,
                                     const char *name, const char *app)
{
    void *rows = realloc(t->rows, (t->row_count + 1) * sizeof *t->rows);
    if (!rows)
        return NULL;
    t->rows = rows;
    struct nzd_module_row *row = &t->rows[t->row_count++];
    memset(row, 0, sizeof *row);
    row->module = strdup(name);
    row->application = strdup(app);
    row->old_path = strdup("");
    row->new_path = strdup("");
    return row->module && row->application && row->old_path && row->new_path
               ? row
               : NULL;
}

int nzd_file_rows_put(struct making *m, const struct sides *sides)
{
    const struct nzd_file_side named = {.name = sides->name};
    const struct nzd_file_side *in_force =
        sides->in_force ? sides->in_force : &sides->base;
    if (nzd_file_set_put(&m->done, &named, m->err))
        return m->err->code;
    if (same(&sides->before, &sides->after) && same(in_force, &sides->after))
        return 0;
    struct nzd_module_row *row = append(m->t, sides->name, sides->app);
    if (!row)
        return nzd_err_memory(m->err);
    fill_sides(row, sides);
    return 0;
}

int nzd_file_rows_add_kept(struct nzd_transaction *t, const char *name,
                           struct nzd_view bytes, struct nzd_err *err)
{
    struct nzd_module_row *row = append(t, name, "");
    if (!row)
        return nzd_err_memory(err);
    row->change = NZD_MODULE_CHANGED;
    row->old_blob = row->new_blob = row->old_md5 = row->new_md5 =
        nzd_digest_of(bytes);
    row->old_bytes = row->new_bytes = bytes.size;
    return 0;
}

/* --- specifications ------------------------------------------------------ */

static struct nzd_file_side side_of_spec(const struct nzd_term *spec,
                                         struct nzd_buf *bytes)
{
    struct nzd_file_side side = {.name = NULL};
    nzd_buf_reset(bytes);
    if (!spec)
        return side;
    nzd_etf_version(bytes);
    nzd_term_encode(spec, bytes);
    if (!bytes->failed)
        side.md5 = side.blob = nzd_digest_of(nzd_buf_view(bytes));
    side.bytes = bytes->size;
    return side;
}

/* NULL without memory. */
static const struct nzd_file_side *find_spec(struct making *m, const char *app,
                                             struct nzd_buf *name)
{
    nzd_buf_reset(name);
    nzd_buf_printf(name, NZD_FILE_APP "%s", app);
    return name->failed ? NULL
                        : nzd_file_set_find(&m->in_force, nzd_buf_string(name));
}

/* What the node says it has comes from its disk; where the journal holds
 * another one in force, that is what runs, unless the VM was restarted. */
static int add_spec(struct making *m, const char *app,
                    const struct nzd_term *old, const struct nzd_term *new)
{
    struct nzd_buf name = {0};
    struct sides sides = {.app = app, .in_force = find_spec(m, app, &name)};
    sides.name = nzd_buf_string(&name);
    sides.base = sides.before = side_of_spec(old, &m->scratch);
    if (sides.in_force && m->runs)
        sides.before = *sides.in_force;
    sides.after = side_of_spec(new, &m->scratch);
    int code = name.failed || m->scratch.failed ? nzd_err_memory(m->err) : 0;
    /* One that nobody could read is none of ours. */
    bool known = !nzd_digest_is_zero(&sides.before.md5) || !old;
    if (!code && known)
        code = nzd_file_rows_put(m, &sides);
    nzd_buf_clear(&name);
    return code;
}

static const struct nzd_term *old_spec(struct making *m, const char *app)
{
    const struct nzd_app *old = nzd_inventory_app(&m->t->q->old, app);
    return old ? old->spec : NULL;
}

static int add_kept_specs(struct making *m)
{
    const struct nzd_inventory *new = &m->t->q->new;
    int code = 0;
    for (uint32_t i = 0; i < new->app_count && !code; i++) {
        const struct nzd_app *app = &new->apps[i];
        const struct nzd_term *old = old_spec(m, app->name);
        if (app->spec && old)
            code = add_spec(m, app->name, old, app->spec);
    }
    return code;
}

/* What one boot script names and the other does not; an application that both
 * name need not be loaded. */
static int add_exchanged(struct making *m, const struct nzd_script *script)
{
    const struct nzd_question *q = m->t->q;
    int code = 0;
    for (uint32_t i = 0; i < q->new.app_count && !code; i++) {
        const struct nzd_app *app = &q->new.apps[i];
        if (app->spec && !nzd_inventory_app(&q->old, app->name) &&
            !nzd_script_app(script, app->name))
            code = add_spec(m, app->name, NULL, app->spec);
    }
    for (uint32_t i = 0; i < script->app_count && !code; i++) {
        const char *app = script->apps[i].name;
        const struct nzd_term *spec = old_spec(m, app);
        if (spec && !nzd_inventory_app(&q->new, app))
            code = add_spec(m, app, spec, NULL);
    }
    return code;
}

static int add_specs(struct making *m)
{
    const struct nzd_question *q = m->t->q;
    struct nzd_arena arena = {0};
    struct nzd_script script = {0};
    int code = add_kept_specs(m);
    if (code || !m->whole || !q->new.is_release || !q->old.boot_script)
        return code;
    code = nzd_script_read(q->old.boot_script, &arena, &script, m->err);
    if (!code)
        code = add_exchanged(m, &script);
    nzd_arena_clear(&arena);
    return code;
}

/* --- boot script and configuration --------------------------------------- */

/* The base's own content needs no bytes, what is in force is held. */
static void settle_after(struct sides *sides)
{
    if (same(&sides->after, &sides->base))
        sides->after.blob = sides->base.blob;
    else if (sides->in_force && same(&sides->after, sides->in_force))
        sides->after.blob = sides->in_force->blob;
}

/* What the command line names must be there on both sides; of vm.args nothing
 * comes into force without another process. */
static bool is_exchanged(const struct making *m, const struct sides *sides)
{
    bool args = strcmp(sides->name, NZD_FILE_VM_ARGS) == 0;
    if (args && nzd_plan_need(&m->t->q->plan) != NZD_NEED_START)
        return false;
    if (args || strcmp(sides->name, NZD_FILE_SYS_CONFIG) == 0)
        return !nzd_digest_is_zero(&sides->base.md5) &&
               !nzd_digest_is_zero(&sides->after.md5);
    return true;
}

static int add_setting(struct making *m, const char *name)
{
    const struct nzd_question *q = m->t->q;
    struct sides sides = {.name = name,
                          .app = "",
                          .in_force = nzd_file_set_find(&m->in_force, name)};
    int code = nzd_file_side_of(&q->own, name, NULL, &sides.base, m->err);
    if (!code)
        code = nzd_file_side_of(&q->new, name, NULL, &sides.after, m->err);
    if (code)
        return code;
    memset(&sides.base.blob, 0, sizeof sides.base.blob);
    sides.before = sides.in_force && m->runs ? *sides.in_force : sides.base;
    settle_after(&sides);
    return is_exchanged(m, &sides) ? nzd_file_rows_put(m, &sides) : 0;
}

static int add_settings(struct making *m)
{
    int code = 0;
    if (!m->whole || !m->t->q->new.is_release)
        return 0;
    for (size_t i = 0; i < NZD_FILE_PUT_NAMES && !code; i++)
        code = add_setting(m, nzd_file_put_names[i]);
    return code;
}

/* --- priv ---------------------------------------------------------------- */

static struct nzd_file_side side_of_file(const struct nzd_file *file)
{
    struct nzd_file_side side = {.name = NULL};
    if (!file)
        return side;
    side.md5 = file->md5;
    side.blob = file->content;
    side.bytes = file->size;
    side.flags = file->executable ? NZD_ROW_EXECUTABLE : 0;
    return side;
}

static int too_large(struct making *m, const struct nzd_file *file)
{
    nzd_err_set(m->err, NZD_EREFUSED,
                "%s of %s is too large for the journal, or what changes in "
                "priv is, all in all",
                file->path, file->app);
    nzd_err_next(m->err, "install it the way the base was installed");
    return NZD_EREFUSED;
}

/* An application that goes takes its files along. */
static bool is_leaving(const struct making *m, const char *app)
{
    const struct nzd_inventory *new = &m->t->q->new;
    return new->is_release && !nzd_inventory_app(new, app);
}

static int add_file(struct making *m, const char *name, const char *app,
                    const char *path)
{
    const struct nzd_question *q = m->t->q;
    const struct nzd_file *new = nzd_inventory_priv(&q->new, app, path);
    const struct nzd_file *own = nzd_inventory_priv(&q->own, app, path);
    struct sides sides = {.name = name,
                          .app = app,
                          .in_force = nzd_file_set_find(&m->in_force, name),
                          .base = side_of_file(own),
                          .after = side_of_file(new)};
    memset(&sides.base.blob, 0, sizeof sides.base.blob);
    sides.before = sides.in_force && m->runs ? *sides.in_force : sides.base;
    /* What a bundle cannot hold is not taken away. */
    if (is_leaving(m, app) || (!new &&own && own->link))
        sides.after = sides.base;
    settle_after(&sides);
    if (!same(&sides.after, &sides.base) &&
        new &&nzd_digest_is_zero(&sides.after.blob))
        return too_large(m, new);
    return nzd_file_rows_put(m, &sides);
}

/* The application is there, and not only named. */
static bool is_held(const struct making *m, const bool *held, const char *app)
{
    const struct nzd_inventory *new = &m->t->q->new;
    const struct nzd_app *found = nzd_inventory_app(new, app);
    return found && held[found - new->apps];
}

static int note_files(struct making *m, const struct nzd_inventory *side,
                      const bool *held, struct nzd_file_set *names)
{
    struct nzd_buf name = {0};
    int code = 0;
    for (uint32_t i = 0; i < side->priv_count && !code; i++) {
        const struct nzd_file *file = &side->priv[i];
        struct nzd_file_side named;
        if (!is_held(m, held, file->app))
            continue;
        code = nzd_file_rows_priv_name(file->app, file->path, &name, m->err);
        named = (struct nzd_file_side){.name = nzd_buf_string(&name)};
        if (!code)
            code = nzd_file_set_put(names, &named, m->err);
    }
    nzd_buf_clear(&name);
    return code;
}

static int note_in_force(struct making *m, const bool *held,
                         struct nzd_file_set *names)
{
    char app[NZD_FILE_ROWS_APP_MAX], path[NZD_FILE_ROWS_APP_MAX];
    int code = 0;
    for (uint32_t i = 0; i < m->in_force.count && !code; i++)
        if (nzd_file_rows_priv(m->in_force.items[i].name, app, path) &&
            (is_held(m, held, app) || is_leaving(m, app)))
            code = nzd_file_set_put(names, &m->in_force.items[i], m->err);
    return code;
}

static int add_priv(struct making *m)
{
    char app[NZD_FILE_ROWS_APP_MAX], path[NZD_FILE_ROWS_APP_MAX];
    struct nzd_file_set names = {.count = 0};
    const struct nzd_question *q = m->t->q;
    if (!m->whole)
        return 0;
    const bool *held = nzd_inventory_held(&q->new, &names.arena);
    if (!held)
        return nzd_err_memory(m->err);
    int code = note_files(m, &q->new, held, &names);
    if (!code)
        code = note_files(m, &q->old, held, &names);
    if (!code)
        code = note_in_force(m, held, &names);
    for (uint32_t i = 0; i < names.count && !code; i++)
        if (nzd_file_rows_priv(names.items[i].name, app, path))
            code = add_file(m, names.items[i].name, app, path);
    nzd_file_set_clear(&names);
    return code;
}

/* --- what the node does not have ------------------------------------------ */

/* The base runs, and stays: then the base's files are in force too. */
static int restate(struct making *m)
{
    char app[NZD_FILE_ROWS_APP_MAX], path[NZD_FILE_ROWS_APP_MAX];
    int code = 0;
    for (uint32_t i = 0; i < m->in_force.count && !code && !m->runs; i++) {
        const struct nzd_file_side *live = &m->in_force.items[i];
        const char *spec = nzd_file_rows_app(live->name);
        const struct nzd_file_side *base =
            nzd_file_set_find(&m->of_base, live->name);
        struct sides sides = {.name = live->name, .in_force = live};
        if (!base || nzd_file_set_find(&m->done, live->name))
            continue;
        sides.base = sides.before = sides.after = *base;
        sides.app = spec                                        ? spec
                    : nzd_file_rows_priv(live->name, app, path) ? app
                                                                : "";
        code = nzd_file_rows_put(m, &sides);
    }
    return code;
}

int nzd_file_rows_add(struct nzd_transaction *t, struct nzd_err *err)
{
    struct making m = {.t = t,
                       .runs = nzd_question_runs_in_force(t->q, t->journal),
                       .whole = nzd_file_rows_restarts(&t->q->plan) ||
                                nzd_live_config_is(&t->q->plan),
                       .err = err};
    int code = nzd_file_set_read(t->journal, &t->q->base.identity, &m.in_force,
                                 &m.of_base, err);
    if (!code)
        code = add_specs(&m);
    if (!code)
        code = add_settings(&m);
    if (!code)
        code = nzd_file_rows_add_erts(&m);
    if (!code)
        code = add_priv(&m);
    if (!code)
        code = restate(&m);
    nzd_file_set_clear(&m.in_force);
    nzd_file_set_clear(&m.of_base);
    nzd_file_set_clear(&m.done);
    nzd_buf_clear(&m.scratch);
    return code;
}

/* --- blobs --------------------------------------------------------------- */

static int read_spooled(const struct nzd_question *q,
                        const struct nzd_file *file, struct nzd_buf *bytes,
                        struct nzd_err *err)
{
    if (!file->spooled)
        return 0;
    int code = nzd_spool_read(q->spool, file->spool_offset, file->size,
                              &file->content, bytes, err);
    return code ? code : 1;
}

static int read_priv(const struct nzd_question *q, const char *name,
                     struct nzd_buf *bytes, struct nzd_err *err)
{
    char app[NZD_FILE_ROWS_APP_MAX], path[NZD_FILE_ROWS_APP_MAX];
    const struct nzd_file *file = nzd_file_rows_priv(name, app, path)
                                      ? nzd_inventory_priv(&q->new, app, path)
                                      : NULL;
    return file ? read_spooled(q, file, bytes, err) : 0;
}

static int read_setting(const struct nzd_question *q, const char *name,
                        struct nzd_buf *bytes, struct nzd_err *err)
{
    struct nzd_file_side side;
    bool known = strcmp(name, NZD_FILE_ERTS) == 0;
    for (size_t i = 0; i < NZD_FILE_PUT_NAMES && !known; i++)
        known = strcmp(name, nzd_file_put_names[i]) == 0;
    if (known) {
        int code = nzd_file_side_of(&q->new, name, bytes, &side, err);
        return code ? code : 1;
    }
    const struct nzd_file *file = nzd_file_rows_running(&q->new, name);
    return file ? read_spooled(q, file, bytes, err)
                : read_priv(q, name, bytes, err);
}

int nzd_file_rows_bytes(const struct nzd_transaction *t,
                        const struct nzd_module_row *row, bool old,
                        struct nzd_buf *bytes, struct nzd_err *err)
{
    const struct nzd_digest *wanted = old ? &row->old_blob : &row->new_blob;
    const struct nzd_inventory *side = old ? &t->q->old : &t->q->new;
    const char *name = nzd_file_rows_app(row->module);
    int code = 0;
    nzd_buf_reset(bytes);
    if (nzd_digest_is_zero(wanted))
        return 0;
    if (strcmp(row->module, NZD_FILE_KEPT) == 0) {
        nzd_buf_bytes(bytes, t->kept.data, t->kept.size);
        return bytes->failed ? nzd_err_memory(err) : old;
    }
    if (strcmp(row->module, NZD_FILE_EXTRAS) == 0) {
        nzd_buf_bytes(bytes, t->extras.data, t->extras.size);
        return bytes->failed ? nzd_err_memory(err) : old;
    }
    if (name) {
        const struct nzd_app *app = nzd_inventory_app(side, name);
        side_of_spec(app ? app->spec : NULL, bytes);
        code = bytes->failed ? nzd_err_memory(err) : 1;
    } else if (!old && nzd_row_is_file(row->module)) {
        code = read_setting(t->q, row->module, bytes, err);
    }
    if (code <= 0)
        return code;
    /* Another one is what is in force, and held. */
    struct nzd_digest digest = nzd_digest_of(nzd_buf_view(bytes));
    return nzd_digest_equal(&digest, wanted);
}
