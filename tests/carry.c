/* SPDX-License-Identifier: Apache-2.0 */
#include "carry.h"

#include "../engine/base.h"
#include "../engine/host.h"
#include "../engine/launch.h"
#include "../staging/inventory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ROWS_MAX 2000

struct side {
    const char *folder;
    struct nzd_inventory has;
};

struct carrying {
    struct harness *harness;
    struct nzd_journal *journal;
    struct nzd_arena arena;
    struct nzd_err err;
    struct side base, from, to;
    struct nzd_module_row *rows;
    size_t count;
};

static void must(struct carrying *c, int code, const char *what)
{
    if (code)
        harness_fail("%s: %s", what, c->err.message);
}

static char *text(struct carrying *c, const char *format, ...)
{
    char line[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    return nzd_arena_printf(&c->arena, "%s", line);
}

/* --- releases ------------------------------------------------------------ */

static void read_release(struct carrying *c, const char *folder,
                         struct side *out)
{
    const struct nzd_release_options options = {.known = NULL};
    struct nzd_source *source = NULL;
    char real[4096];
    if (!realpath(folder, real))
        harness_fail("%s is not there", folder);
    out->folder = text(c, "%s", real);
    nzd_inventory_init(&out->has);
    must(c, nzd_source_open(folder, &source, &c->err), folder);
    must(c, nzd_release_read(source, &options, &out->has, &c->err), folder);
    nzd_source_close(source);
}

static const char *version_of(struct harness *harness, const char *release)
{
    char version[128];
    const char *data = harness_read_file(
        harness, harness_text(harness, "%s/releases/start_erl.data", release));
    if (sscanf(data, "%*s %127s", version) != 1)
        harness_fail("%s has no start_erl.data", release);
    return harness_text(harness, "%s", version);
}

struct nzd_digest carry_base(struct harness *harness, const char *release)
{
    struct nzd_err err = NZD_ERR_INIT;
    struct nzd_arena arena = {0};
    struct nzd_buf script = {0}, elf = {0};
    struct nzd_launch launch;
    const struct nzd_term *term = NULL;
    char *argv[] = {
        (char *)(uintptr_t) "erl", (char *)(uintptr_t) "-boot",
        (char *)(uintptr_t)harness_text(harness, "%s/releases/%s/start",
                                        release, version_of(harness, release)),
        NULL};
    struct nzd_digest identity = {{0}};
    if (nzd_launch_read(argv, &launch, &err) ||
        nzd_host_read(launch.boot, 1u << 24, &script) ||
        nzd_host_read(launch.emulator, NZD_BASE_ELF, &elf) ||
        nzd_term_decode(nzd_buf_view(&script), &arena, &term, &err))
        harness_fail("%s: %s", release, err.message);
    const struct nzd_term *id = nzd_term_at(term, 1);
    const struct nzd_base_parts parts = {
        .name = nzd_term_text(nzd_term_at(id, 0), &arena),
        .version = nzd_term_text(nzd_term_at(id, 1), &arena),
        .script = nzd_buf_view(&script),
        .erts = launch.erts,
        .elf = nzd_buf_view(&elf)};
    identity = nzd_base_identity(&parts);
    nzd_buf_clear(&script);
    nzd_buf_clear(&elf);
    nzd_arena_clear(&arena);
    return identity;
}

/* --- rows ---------------------------------------------------------------- */

static struct nzd_digest put(struct carrying *c, struct nzd_view bytes)
{
    struct nzd_digest digest = {{0}};
    must(c,
         nzd_journal_put_blobs(c->journal, &bytes, 1, &digest, NULL, &c->err),
         "a blob");
    return digest;
}

static struct nzd_digest put_file(struct carrying *c, const char *path,
                                  uint64_t *size)
{
    struct nzd_buf bytes = {0};
    if (nzd_host_read(path, 1u << 25, &bytes))
        harness_fail("%s cannot be read", path);
    struct nzd_digest digest = put(c, nzd_buf_view(&bytes));
    *size = bytes.size;
    nzd_buf_clear(&bytes);
    return digest;
}

static struct nzd_module_row *add_row(struct carrying *c, const char *name,
                                      const char *app, bool old, bool new)
{
    if (c->count == ROWS_MAX)
        harness_fail("more than %d rows", ROWS_MAX);
    struct nzd_module_row *row = &c->rows[c->count++];
    memset(row, 0, sizeof *row);
    row->change = !old   ? NZD_MODULE_ADDED
                  : !new ? NZD_MODULE_REMOVED
                         : NZD_MODULE_CHANGED;
    row->module = text(c, "%s", name);
    row->application = text(c, "%s", app);
    row->old_path = row->new_path = text(c, "");
    return row;
}

/* The folder of the base that an application's modules lie in. */
static const char *home_of(struct carrying *c, const struct nzd_module *module)
{
    const struct nzd_inventory *base = &c->base.has;
    bool consolidated = module->flags & NZD_MODULE_CONSOLIDATED;
    for (uint32_t i = 0; i < base->module_count; i++) {
        const struct nzd_module *other = &base->modules[i];
        bool among = other->flags & NZD_MODULE_CONSOLIDATED;
        if (among == consolidated &&
            (consolidated || strcmp(other->app, module->app) == 0))
            return text(c, "%s/%.*s", c->base.folder,
                        (int)(strrchr(other->path, '/') - other->path),
                        other->path);
    }
    return text(c, "%s/%.*s", c->base.folder,
                (int)(strrchr(module->path, '/') - module->path), module->path);
}

static void add_module(struct carrying *c, const struct nzd_module *old,
                       const struct nzd_module *new)
{
    const struct nzd_module *one = new ? new : old;
    if (old && new &&nzd_module_same(old, new))
        return;
    struct nzd_module_row *row = add_row(c, one->name, one->app, old, new);
    char *path = text(c, "%s/%s.beam", home_of(c, old ? old : new), one->name);
    if (old) {
        row->old_md5 = old->md5;
        row->old_attrs = old->attrs;
        row->old_path = path;
        row->old_blob = put_file(c, text(c, "%s/%s", c->from.folder, old->path),
                                 &row->old_bytes);
    }
    if (new) {
        row->new_md5 = new->md5;
        row->new_attrs = new->attrs;
        row->new_path = path;
        row->new_blob = put_file(c, text(c, "%s/%s", c->to.folder, new->path),
                                 &row->new_bytes);
    }
}

static void add_modules(struct carrying *c)
{
    const struct nzd_inventory *from = &c->from.has, *to = &c->to.has;
    for (uint32_t i = 0; i < from->module_count; i++)
        add_module(c, &from->modules[i],
                   nzd_inventory_module(to, from->modules[i].name));
    for (uint32_t i = 0; i < to->module_count; i++)
        if (!nzd_inventory_module(from, to->modules[i].name))
            add_module(c, NULL, &to->modules[i]);
}

/* A file that is small enough to be held on both sides. */
static void add_text(struct carrying *c, const char *name, struct nzd_view old,
                     struct nzd_view new)
{
    if (nzd_view_equal(old, new))
        return;
    struct nzd_module_row *row = add_row(c, name, "", old.size, new.size);
    if (old.size) {
        row->old_blob = row->old_md5 = put(c, old);
        row->old_bytes = old.size;
    }
    if (new.size) {
        row->new_blob = row->new_md5 = put(c, new);
        row->new_bytes = new.size;
    }
}

static struct nzd_view encoded(struct carrying *c, const struct nzd_term *term)
{
    struct nzd_buf bytes = {0};
    if (!term)
        return nzd_view_of(NULL, 0);
    nzd_etf_version(&bytes);
    nzd_term_encode(term, &bytes);
    const char *kept =
        nzd_arena_text(&c->arena, (const char *)bytes.data, bytes.size);
    struct nzd_view view = nzd_view_of(kept, bytes.size);
    nzd_buf_clear(&bytes);
    return view;
}

static void add_spec(struct carrying *c, const char *app)
{
    const struct nzd_app *old = nzd_inventory_app(&c->from.has, app);
    const struct nzd_app *new = nzd_inventory_app(&c->to.has, app);
    add_text(c, text(c, "/app/%s", app), encoded(c, old ? old->spec : NULL),
             encoded(c, new ? new->spec : NULL));
}

static void add_specs(struct carrying *c)
{
    const struct nzd_inventory *from = &c->from.has, *to = &c->to.has;
    for (uint32_t i = 0; i < from->app_count; i++)
        add_spec(c, from->apps[i].name);
    for (uint32_t i = 0; i < to->app_count; i++)
        if (!nzd_inventory_app(from, to->apps[i].name))
            add_spec(c, to->apps[i].name);
}

/* Folders are named as the release has them, with the version. */
static const char *priv_file(struct carrying *c, const struct side *side,
                             const struct nzd_file *file)
{
    return text(c, "%s/lib/%s-%s/%s", side->folder, file->app,
                nzd_inventory_app(&side->has, file->app)->version, file->path);
}

static bool is_same(const struct nzd_file *a, const struct nzd_file *b)
{
    return a && b && nzd_digest_equal(&a->md5, &b->md5);
}

/* `one` is either. The old side is the base's own file where it is that one,
 * and not held. */
static void add_priv(struct carrying *c, const struct nzd_file *one,
                     const struct nzd_file *old, const struct nzd_file *new)
{
    const struct nzd_file *base =
        nzd_inventory_priv(&c->base.has, one->app, one->path);
    if (is_same(old, new))
        return;
    struct nzd_module_row *row = add_row(
        c, text(c, "/priv/%s/%s", one->app, one->path + 5), one->app, old, new);
    if (old) {
        row->old_md5 = old->md5;
        row->old_bytes = old->size;
        if (!base || !nzd_digest_equal(&base->md5, &old->md5))
            row->old_blob =
                put_file(c, priv_file(c, &c->from, old), &row->old_bytes);
    }
    if (new) {
        row->new_md5 = new->md5;
        row->new_bytes = new->size;
        row->flags = new->executable ? NZD_ROW_EXECUTABLE : 0;
        if (base && nzd_digest_equal(&base->md5, &new->md5))
            row->flags |= NZD_ROW_TO_BASE;
        else
            row->new_blob =
                put_file(c, priv_file(c, &c->to, new), &row->new_bytes);
    }
}

static void add_privs(struct carrying *c)
{
    const struct nzd_inventory *from = &c->from.has, *to = &c->to.has;
    for (uint32_t i = 0; i < from->priv_count; i++)
        if (nzd_inventory_app(to, from->priv[i].app))
            add_priv(
                c, &from->priv[i], &from->priv[i],
                nzd_inventory_priv(to, from->priv[i].app, from->priv[i].path));
    for (uint32_t i = 0; i < to->priv_count; i++)
        if (!nzd_inventory_priv(from, to->priv[i].app, to->priv[i].path))
            add_priv(c, &to->priv[i], NULL, &to->priv[i]);
}

/* --- the transaction ----------------------------------------------------- */

static struct nzd_journal *open_journal(const char *folder, struct nzd_err *err)
{
    static const struct nzd_journal_options options = {.purpose = "test"};
    struct nzd_journal *journal = NULL;
    if (nzd_journal_open(folder, NZD_JOURNAL_CREATE, &options, &journal, err))
        harness_fail("%s: %s", folder, err->message);
    return journal;
}

static uint64_t arm(struct carrying *c)
{
    struct nzd_txn txn = {.kind = NZD_TXN_APPLY,
                          .state = NZD_STATE_ARMED,
                          .verdict = NZD_LEVEL_RESTART_VM,
                          .max = NZD_LEVEL_RESTART_VM,
                          .base = carry_base(c->harness, c->base.folder),
                          .epoch = 1};
    struct nzd_event event = {.kind = NZD_EVENT_MOVE,
                              .label = text(c, "ARMED")};
    const struct nzd_move move = {.txn = &txn,
                                  .modules = c->rows,
                                  .module_count = c->count,
                                  .events = &event,
                                  .event_count = 1};
    must(c, nzd_journal_move(c->journal, &move, &c->err), "armed");
    return txn.id;
}

void carry_commit(struct harness *harness, const char *journal, uint64_t id)
{
    struct nzd_err err = NZD_ERR_INIT;
    struct nzd_journal *open = open_journal(journal, &err);
    struct nzd_txn txn;
    const struct nzd_move move = {.txn = &txn};
    (void)harness;
    if (nzd_journal_txn(open, id, &txn, &err))
        harness_fail("%s", err.message);
    txn.state = NZD_STATE_COMMITTED;
    if (nzd_journal_move(open, &move, &err))
        harness_fail("%s", err.message);
    nzd_txn_clear(&txn);
    nzd_journal_close(open);
}

uint64_t carry_over(struct harness *harness, const struct carry *carry)
{
    struct carrying c = {.harness = harness};
    c.rows = calloc(ROWS_MAX, sizeof *c.rows);
    assert_non_null(c.rows);
    c.journal = open_journal(carry->journal, &c.err);
    read_release(&c, carry->base, &c.base);
    read_release(&c, carry->from ? carry->from : carry->base, &c.from);
    read_release(&c, carry->to, &c.to);
    add_modules(&c);
    add_specs(&c);
    add_privs(&c);
    add_text(&c, "/boot", encoded(&c, c.from.has.boot_script),
             encoded(&c, c.to.has.boot_script));
    add_text(&c, "/sys.config", c.from.has.sys_config_text,
             c.to.has.sys_config_text);
    add_text(&c, "/vm.args", c.from.has.vm_args, c.to.has.vm_args);
    add_text(&c, "/runtime.exs", c.from.has.runtime_config,
             c.to.has.runtime_config);
    uint64_t id = arm(&c);
    nzd_journal_close(c.journal);
    if (!carry->open)
        carry_commit(harness, carry->journal, id);
    nzd_inventory_clear(&c.base.has);
    nzd_inventory_clear(&c.from.has);
    nzd_inventory_clear(&c.to.has);
    nzd_arena_clear(&c.arena);
    free(c.rows);
    return id;
}
