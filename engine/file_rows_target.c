/* SPDX-License-Identifier: Apache-2.0 */
#include "file_rows_target.h"

#include "../staging/script.h"
#include "file_put.h"
#include "file_rows.h"

#include <stdlib.h>
#include <string.h>

/* --- what stays ---------------------------------------------------------- */

int nzd_file_rows_keep(struct nzd_question *q, struct nzd_err *err)
{
    const struct nzd_inventory *old = &q->old;
    struct nzd_inventory *new = &q->new;
    new->is_release = old->is_release;
    new->release = old->release;
    new->version = old->version;
    new->erts = old->erts;
    memcpy(new->machine, old->machine, sizeof new->machine);
    new->boot_script = old->boot_script;
    new->sys_config = old->sys_config;
    new->sys_config_text = old->sys_config_text;
    new->vm_args = old->vm_args;
    new->runtime_config = old->runtime_config;
    new->env_script = old->env_script;
    for (uint32_t i = 0; i < old->priv_count; i++) {
        struct nzd_file *copy = nzd_inventory_add_priv(new);
        if (!copy)
            return nzd_err_memory(err);
        *copy = old->priv[i];
    }
    return nzd_inventory_sort(new, err);
}

/* --- a generation's ------------------------------------------------------ */

struct targets {
    struct nzd_file_set found;
    enum { IN_FORCE, OF_BASE, UNDONE, REDONE } side;
    struct nzd_err *err;
};

static int target_live(void *context, const struct nzd_live_row *row)
{
    struct targets *all = context;
    const struct nzd_file_side side = all->side == OF_BASE
                                          ? nzd_file_side_base(row)
                                          : nzd_file_side_live(row);
    return nzd_file_set_put(&all->found, &side, all->err);
}

static int target_row(void *context, const struct nzd_module_row *row)
{
    struct targets *all = context;
    const struct nzd_file_side side =
        all->side == UNDONE ? nzd_file_side_old(row) : nzd_file_side_new(row);
    return nzd_file_set_put(&all->found, &side, all->err);
}

/* As the walk of the modules in question_code.c, and for the same reasons. */
static int find(struct targets *all, struct nzd_question *q,
                struct nzd_journal *journal, uint64_t to, const uint64_t *ids,
                uint32_t count, uint32_t after)
{
    const struct nzd_digest *base = &q->base.identity;
    struct nzd_err *err = all->err;
    int code = nzd_journal_each_live_file(journal, base, target_live, all, err);
    all->side = UNDONE;
    for (uint32_t i = 0; i < after && !code; i++)
        code = nzd_journal_each_file(journal, ids[i], target_row, all, err);
    all->side = REDONE;
    for (uint32_t i = count; i > after && !code; i--)
        code = nzd_journal_each_file(journal, ids[i - 1], target_row, all, err);
    all->side = OF_BASE;
    if (!to && !code)
        code = nzd_journal_each_live_file(journal, base, target_live, all, err);
    return code;
}

/* --- applications that come and go --------------------------------------- */

static bool is_gone(const struct nzd_script *old, const struct nzd_script *new,
                    const char *app)
{
    return nzd_script_app(old, app) && !nzd_script_app(new, app);
}

static void drop_apps(struct nzd_inventory *new, const struct nzd_script *was,
                      const struct nzd_script *is)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < new->app_count; i++)
        if (!is_gone(was, is, new->apps[i].name))
            new->apps[kept++] = new->apps[i];
    new->app_count = kept;
    kept = 0;
    for (uint32_t i = 0; i < new->priv_count; i++)
        if (!is_gone(was, is, new->priv[i].app))
            new->priv[kept++] = new->priv[i];
    new->priv_count = kept;
}

static int add_apps(struct nzd_inventory *new, const struct nzd_script *is,
                    struct nzd_err *err)
{
    uint32_t count = new->app_count;
    for (uint32_t i = 0; i < is->app_count; i++) {
        const struct nzd_script_app *named = &is->apps[i];
        bool there = false;
        for (uint32_t k = 0; k < count && !there; k++)
            there = strcmp(new->apps[k].name, named->name) == 0;
        struct nzd_app *app = there ? NULL : nzd_inventory_add_app(new);
        if (!there && !app)
            return nzd_err_memory(err);
        if (!app)
            continue;
        app->name = named->name;
        app->version = named->version;
        app->spec = named->spec;
        app->in_script = true;
    }
    return nzd_inventory_sort(new, err);
}

static int follow_script(struct nzd_question *q, struct nzd_err *err)
{
    struct nzd_inventory *new = &q->new;
    struct nzd_script was, is;
    if (!q->old.boot_script || !new->boot_script ||
        nzd_term_equal(q->old.boot_script, new->boot_script))
        return 0;
    int code = nzd_script_read(q->old.boot_script, &new->arena, &was, err);
    if (!code)
        code = nzd_script_read(new->boot_script, &new->arena, &is, err);
    if (code)
        return code;
    drop_apps(new, &was, &is);
    return add_apps(new, &is, err);
}

/* --- both ---------------------------------------------------------------- */

/* The boot script first: a specification is put where its application is. */
static int put_script(struct nzd_question *q, struct nzd_journal *journal,
                      const struct nzd_file_set *found, struct nzd_err *err)
{
    const struct nzd_file_side *side = nzd_file_set_find(found, NZD_FILE_BOOT);
    struct nzd_file_set alone = {.count = 0};
    int code = side ? nzd_file_set_put(&alone, side, err) : 0;
    if (!code)
        code = nzd_file_put_all(&q->new, &q->own, journal, &alone, err);
    nzd_file_set_clear(&alone);
    return code ? code : follow_script(q, err);
}

int nzd_file_rows_target(struct nzd_question *q, struct nzd_journal *journal,
                         uint64_t to, const uint64_t *ids, uint32_t count,
                         uint32_t after, struct nzd_err *err)
{
    struct targets all = {.side = IN_FORCE, .err = err};
    int code = find(&all, q, journal, to, ids, count, after);
    if (!code)
        code = put_script(q, journal, &all.found, err);
    if (!code)
        code = nzd_file_put_all(&q->new, &q->own, journal, &all.found, err);
    nzd_file_set_clear(&all.found);
    return code;
}
