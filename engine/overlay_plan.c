/* SPDX-License-Identifier: Apache-2.0 */
#include "overlay_plan.h"

#include <stdlib.h>
#include <string.h>

#define APP  "/app/"
#define PRIV "/priv/"

struct planning {
    struct nzd_journal *journal;
    const struct nzd_overlay_base *base;
    struct nzd_overlay_plan *plan;
    struct nzd_err *err;
};

static const char *keep(struct planning *p, const char *text, size_t size)
{
    return nzd_arena_text(&p->plan->arena, text, size);
}

static const char *behind(const char *name, const char *head)
{
    size_t size = strlen(head);
    return strncmp(name, head, size) == 0 ? name + size : NULL;
}

const struct nzd_overlay_app *
nzd_overlay_plan_app(const struct nzd_overlay_plan *plan, const char *name)
{
    for (uint32_t i = 0; i < plan->app_count; i++)
        if (strcmp(plan->apps[i].name, name) == 0)
            return &plan->apps[i];
    return NULL;
}

/* --- files --------------------------------------------------------------- */

static int note_app(struct planning *p, const char *name,
                    const struct nzd_live_row *row)
{
    struct nzd_overlay_plan *plan = p->plan;
    void *apps = nzd_overlay_plan_grow(plan->apps, plan->app_count,
                                       &plan->app_capacity, sizeof *plan->apps);
    if (!apps)
        return nzd_err_memory(p->err);
    plan->apps = apps;
    plan->apps[plan->app_count] =
        (struct nzd_overlay_app){.name = keep(p, name, strlen(name)),
                                 .blob = row->blob,
                                 .added = nzd_digest_is_zero(&row->base_md5)};
    return plan->apps[plan->app_count++].name ? 0 : nzd_err_memory(p->err);
}

/* "static/app.js": nothing that would lead out of its folder. */
static bool is_plain(const char *path)
{
    while (*path) {
        size_t size = strcspn(path, "/");
        bool dots = (size == 1 && path[0] == '.') ||
                    (size == 2 && path[0] == '.' && path[1] == '.');
        if (size == 0 || dots)
            return false;
        path += size;
        if (*path == '/' && !*++path)
            return false;
    }
    return true;
}

static int note_priv(struct planning *p, const char *name,
                     const struct nzd_live_row *row)
{
    struct nzd_overlay_plan *plan = p->plan;
    const char *path = strchr(name, '/');
    if (!path || path == name || !path[1] || !is_plain(path + 1))
        return nzd_err_set(p->err, NZD_EJOURNAL, "%.200s is no file of priv",
                           row->module);
    void *files =
        nzd_overlay_plan_grow(plan->files, plan->file_count,
                              &plan->file_capacity, sizeof *plan->files);
    if (!files)
        return nzd_err_memory(p->err);
    plan->files = files;
    struct nzd_overlay_file *file = &plan->files[plan->file_count++];
    *file = (struct nzd_overlay_file){
        .app = keep(p, name, (size_t)(path - name)),
        .path = keep(p, path + 1, strlen(path + 1)),
        .blob = row->blob,
        .executable = row->flags & NZD_ROW_EXECUTABLE};
    return file->app && file->path ? 0 : nzd_err_memory(p->err);
}

/* One that is removed has no content. */
static int note_program(struct planning *p, const char *path,
                        const struct nzd_live_row *row)
{
    struct nzd_overlay_plan *plan = p->plan;
    if (!path[0] || !is_plain(path))
        return nzd_err_set(p->err, NZD_EJOURNAL, "%.200s is no file of ERTS",
                           row->module);
    if (nzd_digest_is_zero(&row->blob))
        return 0;
    void *programs =
        nzd_overlay_plan_grow(plan->programs, plan->program_count,
                              &plan->program_capacity, sizeof *plan->programs);
    if (!programs)
        return nzd_err_memory(p->err);
    plan->programs = programs;
    struct nzd_overlay_program *program = &plan->programs[plan->program_count];
    program->path = keep(p, path, strlen(path));
    program->blob = row->blob;
    plan->program_count++;
    return program->path ? 0 : nzd_err_memory(p->err);
}

static int note_text(struct planning *p, const struct nzd_live_row *row)
{
    static const char *const names[NZD_OVERLAY_TEXTS] = {
        [NZD_OVERLAY_SCRIPT] = "/boot",
        [NZD_OVERLAY_SYS_CONFIG] = "/sys.config",
        [NZD_OVERLAY_VM_ARGS] = "/vm.args",
        [NZD_OVERLAY_RUNTIME] = "/runtime.exs",
        [NZD_OVERLAY_ERTS] = "/erts"};
    for (int i = 0; i < NZD_OVERLAY_TEXTS; i++)
        if (strcmp(row->module, names[i]) == 0) {
            p->plan->texts[i] =
                (struct nzd_overlay_own){.differs = true, .blob = row->blob};
            return 0;
        }
    return nzd_err_set(p->err, NZD_EJOURNAL,
                       "%.200s in force is no file of a release", row->module);
}

static int note_file(void *context, const struct nzd_live_row *row)
{
    struct planning *p = context;
    const char *name = behind(row->module, APP);
    p->plan->differs = true;
    if (name)
        return note_app(p, name, row);
    name = behind(row->module, NZD_FILE_RUNNING);
    if (name)
        return note_program(p, name, row);
    name = behind(row->module, PRIV);
    return name ? note_priv(p, name, row) : note_text(p, row);
}

static int read_spec(struct planning *p, struct nzd_overlay_app *app)
{
    struct nzd_buf bytes = {0};
    const char *kept = NULL;
    int code = nzd_journal_get_blob(p->journal, &app->blob, &bytes, p->err);
    if (!code)
        kept = keep(p, (const char *)bytes.data, bytes.size);
    if (!code && !kept)
        code = nzd_err_memory(p->err);
    if (!code)
        code = nzd_term_decode(nzd_view_of(kept, bytes.size), &p->plan->arena,
                               &app->spec, p->err);
    nzd_buf_clear(&bytes);
    if (!code && !nzd_term_is_tagged(app->spec, "application", 3))
        code = nzd_err_set(p->err, NZD_EJOURNAL,
                           "the specification of %.100s in force is none",
                           app->name);
    return code;
}

static int read_specs(struct planning *p)
{
    int code = 0;
    for (uint32_t i = 0; i < p->plan->app_count && !code; i++)
        if (!nzd_digest_is_zero(&p->plan->apps[i].blob))
            code = read_spec(p, &p->plan->apps[i]);
    return code;
}

static bool is_removed(const struct nzd_overlay_plan *plan, const char *app)
{
    const struct nzd_overlay_app *own = nzd_overlay_plan_app(plan, app);
    return own && !own->spec;
}

/* --- modules ------------------------------------------------------------- */

static int add_module(struct planning *p, const struct nzd_live_row *row,
                      uint32_t folder, bool moved)
{
    static const struct nzd_digest none;
    struct nzd_overlay_plan *plan = p->plan;
    void *modules =
        nzd_overlay_plan_grow(plan->modules, plan->module_count,
                              &plan->module_capacity, sizeof *plan->modules);
    if (!modules)
        return nzd_err_memory(p->err);
    plan->modules = modules;
    struct nzd_overlay_module *module = &plan->modules[plan->module_count++];
    *module = (struct nzd_overlay_module){
        .name = keep(p, row->module, strlen(row->module)),
        .blob = moved ? none : row->blob,
        .added = nzd_digest_is_zero(&row->base_md5),
        .moved = moved,
        .folder = folder};
    return module->name ? 0 : nzd_err_memory(p->err);
}

/* A boot script of its own loads each module from the folder of the
 * application that it belongs to there; in the base it may be another's. */
static bool is_moved(const struct planning *p, const struct nzd_live_row *row,
                     const char *owner)
{
    return p->plan->texts[NZD_OVERLAY_SCRIPT].differs && owner[0] &&
           row->application[0] && strcmp(owner, row->application) != 0 &&
           !nzd_digest_is_zero(&row->blob);
}

static int move_module(struct planning *p, const struct nzd_live_row *row)
{
    uint32_t home =
        nzd_overlay_plan_home(p->plan, p->base, row->application, p->err);
    return home == NZD_OVERLAY_NOWHERE ? p->err->code
                                       : add_module(p, row, home, false);
}

static int note_module(void *context, const struct nzd_live_row *row)
{
    struct planning *p = context;
    const char *path = row->base_path[0] ? row->base_path : row->path;
    const char *slash = strrchr(path, '/');
    p->plan->differs = true;
    if (path[0] != '/' || strchr(row->module, '/'))
        return nzd_err_set(p->err, NZD_EJOURNAL,
                           "module %.100s in force names no folder of the base",
                           row->module);
    const char *folder = keep(p, path, (size_t)(slash - path));
    const char *owner = folder ? nzd_overlay_plan_owner(p->plan, folder) : NULL;
    if (!owner)
        return nzd_err_memory(p->err);
    bool moved = is_moved(p, row, owner);
    int code = moved ? move_module(p, row) : 0;
    if (code || is_removed(p->plan, owner))
        return code;
    uint32_t place = nzd_overlay_plan_folder(p->plan, folder);
    return place == NZD_OVERLAY_NOWHERE ? nzd_err_memory(p->err)
                                        : add_module(p, row, place, moved);
}

/* --- applications without modules that differ ---------------------------- */

static int find_homes(struct planning *p)
{
    struct nzd_overlay_plan *plan = p->plan;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < plan->app_count; i++)
        if (plan->apps[i].added && plan->apps[i].spec &&
            nzd_overlay_plan_home(plan, p->base, plan->apps[i].name, p->err) ==
                NZD_OVERLAY_NOWHERE)
            return p->err->code;
    for (uint32_t i = 0; i < plan->file_count; i++) {
        struct nzd_overlay_file *file = &plan->files[i];
        if (is_removed(plan, file->app))
            continue;
        file->folder = nzd_overlay_plan_home(plan, p->base, file->app, p->err);
        if (file->folder == NZD_OVERLAY_NOWHERE)
            return p->err->code;
        plan->files[kept++] = *file;
    }
    plan->file_count = kept;
    return 0;
}

/* --- all of it ----------------------------------------------------------- */

static bool is_open(struct nzd_journal *journal,
                    const struct nzd_overlay_base *base, uint64_t generation)
{
    struct nzd_txn txn;
    if (nzd_journal_open_txn(journal, &txn, NULL))
        return false;
    bool open =
        txn.id == generation && nzd_digest_equal(&txn.base, base->identity);
    nzd_txn_clear(&txn);
    return open;
}

static int read_rows(struct planning *p, uint64_t generation, bool open)
{
    const struct nzd_digest *base = p->base->identity;
    int code = open ? nzd_journal_each_target_file(p->journal, generation,
                                                   note_file, p, p->err)
                    : nzd_journal_each_live_file(p->journal, base, note_file, p,
                                                 p->err);
    if (!code)
        code = read_specs(p);
    if (code)
        return code;
    return open ? nzd_journal_each_target(p->journal, generation, note_module,
                                          p, p->err)
                : nzd_journal_each_live(p->journal, base, note_module, p,
                                        p->err);
}

int nzd_overlay_plan_read(struct nzd_journal *journal,
                          const struct nzd_overlay_base *base,
                          uint64_t generation, struct nzd_overlay_plan *out,
                          struct nzd_err *err)
{
    struct planning p = {
        .journal = journal, .base = base, .plan = out, .err = err};
    memset(out, 0, sizeof *out);
    int code = read_rows(&p, generation, is_open(journal, base, generation));
    if (!code)
        code = find_homes(&p);
    return code ? code : nzd_overlay_plan_name(out, err);
}

void nzd_overlay_plan_clear(struct nzd_overlay_plan *plan)
{
    free(plan->modules);
    free(plan->files);
    free(plan->programs);
    free(plan->places);
    free(plan->apps);
    nzd_arena_clear(&plan->arena);
    memset(plan, 0, sizeof *plan);
}
