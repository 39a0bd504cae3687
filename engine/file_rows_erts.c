/* SPDX-License-Identifier: Apache-2.0 */
#include "file_rows_internal.h"

#include <string.h>

static const char *behind_head(const char *name)
{
    size_t size = strlen(NZD_FILE_RUNNING);
    return strncmp(name, NZD_FILE_RUNNING, size) == 0 ? name + size : NULL;
}

const struct nzd_file *nzd_file_rows_running(const struct nzd_inventory *new,
                                             const char *name)
{
    const char *path = behind_head(name);
    return path ? nzd_inventory_runtime(new, path) : NULL;
}

/* --- which one it is to be ----------------------------------------------- */

/* By their versions alone, as everywhere: of the same one no row changes. */
static bool is_in_force(struct making *m, const char *version)
{
    struct nzd_digest digest = nzd_digest_of(nzd_view_text(version));
    const struct nzd_file_side *live =
        m->runs ? nzd_file_set_find(&m->in_force, NZD_FILE_ERTS) : NULL;
    return live ? nzd_digest_equal(&live->md5, &digest)
                : strcmp(version, m->t->q->own.erts) == 0;
}

static bool is_base(const struct making *m)
{
    return strcmp(m->t->q->new.erts, m->t->q->own.erts) == 0;
}

/* --- its files ----------------------------------------------------------- */

static int too_large(struct making *m, const struct nzd_file *file)
{
    nzd_err_set(m->err, NZD_EREFUSED, "erts-%s/%s is too large for the journal",
                file->app, file->path);
    nzd_err_next(m->err, "install it the way the base was installed");
    return NZD_EREFUSED;
}

static int add_file(struct making *m, const char *name)
{
    const struct nzd_file *new =
        is_base(m) ? NULL : nzd_file_rows_running(&m->t->q->new, name);
    struct sides sides = {.name = name,
                          .app = "",
                          .in_force = nzd_file_set_find(&m->in_force, name)};
    if (sides.in_force && m->runs)
        sides.before = *sides.in_force;
    if (new &&nzd_digest_is_zero(&new->content))
        return too_large(m, new);
    if (new)
        sides.after = (struct nzd_file_side){.md5 = new->content,
                                             .blob = new->content,
                                             .bytes = new->size,
                                             .flags = NZD_ROW_EXECUTABLE};
    return nzd_file_rows_put(m, &sides);
}

static int note_new(struct making *m, struct nzd_file_set *names)
{
    const struct nzd_inventory *new = &m->t->q->new;
    int code = 0;
    for (uint32_t i = 0; i < new->runtime_count && !code; i++) {
        const struct nzd_file_side named = {
            .name = nzd_arena_printf(&names->arena, NZD_FILE_RUNNING "%s",
                                     new->runtime[i].path)};
        code = named.name ? nzd_file_set_put(names, &named, m->err)
                          : nzd_err_memory(m->err);
    }
    return code;
}

static int note_in_force(struct making *m, struct nzd_file_set *names)
{
    int code = 0;
    for (uint32_t i = 0; i < m->in_force.count && !code; i++)
        if (behind_head(m->in_force.items[i].name))
            code = nzd_file_set_put(names, &m->in_force.items[i], m->err);
    return code;
}

static int add_files(struct making *m)
{
    struct nzd_file_set names = {.count = 0};
    int code = is_base(m) ? 0 : note_new(m, &names);
    if (!code)
        code = note_in_force(m, &names);
    for (uint32_t i = 0; i < names.count && !code; i++)
        code = add_file(m, names.items[i].name);
    nzd_file_set_clear(&names);
    return code;
}

/* --- its version --------------------------------------------------------- */

static int add_version(struct making *m)
{
    const struct nzd_question *q = m->t->q;
    struct sides sides = {.name = NZD_FILE_ERTS,
                          .app = "",
                          .in_force =
                              nzd_file_set_find(&m->in_force, NZD_FILE_ERTS)};
    int code =
        nzd_file_side_of(&q->own, NZD_FILE_ERTS, NULL, &sides.base, m->err);
    if (!code)
        code = nzd_file_side_of(&q->new, NZD_FILE_ERTS, NULL, &sides.after,
                                m->err);
    memset(&sides.base.blob, 0, sizeof sides.base.blob);
    if (is_base(m))
        sides.after = sides.base;
    sides.before = sides.in_force && m->runs ? *sides.in_force : sides.base;
    return code ? code : nzd_file_rows_put(m, &sides);
}

int nzd_file_rows_add_erts(struct making *m)
{
    const struct nzd_inventory *new = &m->t->q->new;
    if (!nzd_file_rows_restarts(&m->t->q->plan) || !new->is_release ||
        !new->erts[0] || is_in_force(m, new->erts))
        return 0;
    int code = add_version(m);
    return code ? code : add_files(m);
}
