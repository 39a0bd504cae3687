/* SPDX-License-Identifier: Apache-2.0 */
#include "appup.h"
#include "layout.h"
#include "limits.h"
#include "listing.h"

#include <string.h>

/* All that one inventory may take, as in the reader of bundles. */
#define KEPT_BYTES (256u << 20)

#define NAME_BYTES     (4u * NZD_LIMIT_ATOM_CHARS)
#define COMPILER_BYTES 4096u
#define LACK_BYTES     (2u * NZD_LIMIT_PATH)

struct decoder {
    struct nzd_listing_reader *to;
    struct nzd_reader in;
    const char *bad; /* the first that does not hold */
    struct nzd_err *err;
    int code; /* without memory */
};

static void refuse(struct decoder *d, const char *what)
{
    if (!d->bad)
        d->bad = what;
}

/* Without memory, or with more of it than one inventory may take. */
static void need(struct decoder *d, const void *memory)
{
    if (memory)
        return;
    if (d->to->out->arena.refused || d->to->names.refused)
        refuse(d, "its size");
    else if (d->code == 0)
        d->code = nzd_err_memory(d->err);
}

static bool going(const struct decoder *d)
{
    return !d->bad && d->code == 0 && !d->in.failed;
}

static const char *take_text(struct decoder *d, size_t limit)
{
    struct nzd_view text = nzd_read_block(&d->in, limit);
    const char *kept;

    if (text.size == 0)
        return "";
    if (memchr(text.data, 0, text.size)) {
        refuse(d, "a text");
        return "";
    }
    kept = nzd_names_view(&d->to->names, text);
    need(d, kept);
    return kept ? kept : "";
}

/* Of a folder or file, or none. */
static const char *take_name(struct decoder *d, const char *what)
{
    const char *name = take_text(d, NAME_BYTES);

    if (*name && !d->to->any_names && !nzd_layout_is_name(nzd_view_text(name)))
        refuse(d, what);
    return name;
}

static const char *take_path(struct decoder *d)
{
    const char *path = take_text(d, NZD_LIMIT_PATH);

    if (!d->to->any_names && !nzd_layout_is_clean(path))
        refuse(d, "a path");
    return path;
}

static bool take_bool(struct decoder *d)
{
    uint8_t value = nzd_read_u8(&d->in);

    if (value > 1)
        refuse(d, "a flag");
    return value == 1;
}

static void take_digest(struct decoder *d, struct nzd_digest *out)
{
    struct nzd_view bytes = nzd_read_bytes(&d->in, sizeof(out->bytes));

    if (bytes.size == sizeof(out->bytes))
        memcpy(out->bytes, bytes.data, sizeof(out->bytes));
}

static struct nzd_view take_view(struct decoder *d, size_t limit)
{
    struct nzd_view from = nzd_read_block(&d->in, limit);
    const char *copy;

    if (from.size == 0)
        return (struct nzd_view){NULL, 0};
    copy =
        nzd_arena_text(&d->to->out->arena, (const char *)from.data, from.size);
    need(d, copy);
    return nzd_view_of(copy, copy ? from.size : 0);
}

/* NULL where none was sent. Binaries borrow, so the bytes are kept. */
static const struct nzd_term *take_term(struct decoder *d)
{
    struct nzd_view bytes = take_view(d, NZD_LISTING_BYTES);
    const struct nzd_term *term = NULL;
    struct nzd_err why = NZD_ERR_INIT;
    int code;

    if (bytes.size == 0)
        return NULL;
    code = nzd_term_decode(bytes, &d->to->out->arena, &term, &why);
    if (d->to->out->arena.refused)
        refuse(d, "its size");
    else if (code == NZD_EBUNDLE)
        refuse(d, "a term");
    else if (code < 0 && d->code == 0)
        d->code = nzd_err_set(d->err, code, "%s", why.message);
    return code < 0 ? NULL : term;
}

/* --- what is there once --- */

static void take_release(struct decoder *d)
{
    struct nzd_inventory *out = d->to->out;
    struct nzd_view machine;

    out->is_release = take_bool(d);
    out->release = take_text(d, NZD_LIMIT_PATH);
    out->version = take_name(d, "the version of the release");
    out->erts = take_name(d, "the version of ERTS");
    out->erts_lack = take_text(d, LACK_BYTES);
    machine = nzd_read_bytes(&d->in, sizeof(out->machine));
    if (machine.size == sizeof(out->machine))
        memcpy(out->machine, machine.data, sizeof(out->machine));
    out->boot_script = take_term(d);
    out->relup = take_term(d);
    out->sys_config = take_term(d);
    out->sys_config_text = take_view(d, NZD_LIMIT_TEXT_BYTES);
    out->vm_args = take_view(d, NZD_LIMIT_TEXT_BYTES);
    out->runtime_config = take_view(d, NZD_LIMIT_TEXT_BYTES);
    out->env_script = take_view(d, NZD_LIMIT_TEXT_BYTES);
    out->hooks = take_view(d, NZD_LIMIT_TEXT_BYTES);
    out->sys_config_is_source = take_bool(d);
    out->vm_args_is_source = take_bool(d);
    if (out->boot_script && !nzd_term_is_tagged(out->boot_script, "script", 3))
        refuse(d, "the boot script");
    if (out->relup && !nzd_appup_is(out->relup))
        refuse(d, "the relup");
    if (out->sys_config && out->sys_config->kind != NZD_TERM_LIST)
        refuse(d, "sys.config");
}

/* --- applications and files --- */

static bool is_spec(const struct nzd_term *spec, const char *app)
{
    return nzd_term_is_tagged(spec, "application", 3) &&
           nzd_term_is_atom(nzd_term_at(spec, 1), app) &&
           nzd_term_at(spec, 2)->kind == NZD_TERM_LIST;
}

static void take_app(struct decoder *d)
{
    struct nzd_inventory *out = d->to->out;
    struct nzd_app *app = NULL;

    if (out->app_count >= NZD_LIMIT_APPS)
        refuse(d, "the number of applications");
    else
        need(d, app = nzd_inventory_add_app(out));
    if (!app)
        return;
    app->name = take_name(d, "the name of an application");
    app->version = take_name(d, "the version of an application");
    app->spec = take_term(d);
    app->appup = take_term(d);
    app->in_script = take_bool(d);
    if (!*app->name || (app->spec && !is_spec(app->spec, app->name)))
        refuse(d, "an application");
    if (app->appup && !nzd_appup_is(app->appup))
        refuse(d, "an appup");
}

static void take_file(struct decoder *d, struct nzd_file *file, size_t limit)
{
    if (!file)
        return;
    file->app = take_name(d, "the name of an application");
    file->path = take_path(d);
    file->size = nzd_read_u64(&d->in);
    take_digest(d, &file->md5);
    file->executable = take_bool(d);
    file->spooled = take_bool(d);
    file->spool_offset = nzd_read_u64(&d->in);
    if (file->size > NZD_LIMIT_BUNDLE_BYTES ||
        (file->spooled && file->size > limit))
        refuse(d, "the size of a file");
}

static void take_priv(struct decoder *d)
{
    struct nzd_inventory *out = d->to->out;
    struct nzd_file *file = NULL;

    if (out->priv_count >= NZD_LIMIT_ENTRIES)
        refuse(d, "the number of files");
    else
        need(d, file = nzd_inventory_add_priv(out));
    take_file(d, file, NZD_LIMIT_PRIV_BYTES);
    if (file && (!*file->app || strncmp(file->path, "priv/", 5) != 0) &&
        !d->to->any_names)
        refuse(d, "a file of priv");
}

static void take_runtime(struct decoder *d)
{
    struct nzd_inventory *out = d->to->out;
    struct nzd_file *file = NULL;

    if (out->runtime_count >= NZD_LIMIT_ENTRIES)
        refuse(d, "the number of files");
    else
        need(d, file = nzd_inventory_add_runtime(out));
    take_file(d, file, NZD_LIMIT_PRIV_BYTES);
    if (file && strncmp(file->path, "bin/", 4) != 0)
        refuse(d, "a file of ERTS");
}

/* --- modules --- */

/* A count of items that take so many bytes at least: no more than are left. */
static uint32_t take_count(struct decoder *d, size_t least)
{
    uint32_t count = nzd_read_u32(&d->in);

    if (count > NZD_LIMIT_BEAM_ENTRIES || count > d->in.left / least) {
        refuse(d, "a number of functions");
        return 0;
    }
    return count;
}

static const struct nzd_beam_function *
take_functions(struct decoder *d, bool imported, uint32_t *out)
{
    uint32_t count = take_count(d, imported ? 12 : 8);
    struct nzd_beam_function *items;

    *out = 0;
    if (count == 0)
        return NULL;
    need(d,
         items = nzd_arena_alloc(&d->to->out->arena, count * sizeof(*items)));
    if (!items)
        return NULL;
    for (uint32_t i = 0; going(d) && i < count; i++) {
        if (imported)
            items[i].module = take_text(d, NAME_BYTES);
        items[i].name = take_text(d, NAME_BYTES);
        items[i].arity = nzd_read_u32(&d->in);
    }
    *out = count;
    return items;
}

static void take_lambdas(struct decoder *d, struct nzd_beam *beam)
{
    uint32_t count = take_count(d, 20);
    struct nzd_beam_lambda *items;

    if (count == 0)
        return;
    need(d,
         items = nzd_arena_alloc(&d->to->out->arena, count * sizeof(*items)));
    if (!items)
        return;
    for (uint32_t i = 0; going(d) && i < count; i++) {
        items[i].name = take_text(d, NAME_BYTES);
        items[i].arity = nzd_read_u32(&d->in);
        items[i].index = nzd_read_u32(&d->in);
        items[i].free_count = nzd_read_u32(&d->in);
        items[i].old_uniq = nzd_read_u32(&d->in);
    }
    beam->lambdas = items;
    beam->lambda_count = count;
}

static const struct nzd_beam *take_beam(struct decoder *d,
                                        const struct nzd_module *module)
{
    struct nzd_beam *beam;

    need(d, beam = nzd_arena_alloc(&d->to->out->arena, sizeof(*beam)));
    if (!beam)
        return NULL;
    beam->module = module->name;
    beam->md5 = module->md5;
    beam->attrs = module->attrs;
    beam->attributes = take_term(d);
    beam->compiler = take_text(d, COMPILER_BYTES);
    beam->has_on_load = take_bool(d);
    beam->loads_nif = take_bool(d);
    beam->has_code_change = take_bool(d);
    beam->exports = take_functions(d, false, &beam->export_count);
    beam->imports = take_functions(d, true, &beam->import_count);
    take_lambdas(d, beam);
    if (!beam->attributes)
        refuse(d, "the attributes of a module");
    return beam;
}

static void take_module(struct decoder *d)
{
    const uint32_t known =
        NZD_MODULE_CONSOLIDATED | NZD_MODULE_DETAILED | NZD_MODULE_SPOOLED;
    struct nzd_inventory *out = d->to->out;
    struct nzd_module *module = NULL;

    if (out->module_count >= NZD_LIMIT_MODULES)
        refuse(d, "the number of modules");
    else
        need(d, module = nzd_inventory_add_module(out));
    if (!module)
        return;
    module->name = take_name(d, "the name of a module");
    module->app = take_name(d, "the name of an application");
    module->path =
        d->to->any_names ? take_text(d, NZD_LIMIT_PATH) : take_path(d);
    take_digest(d, &module->md5);
    take_digest(d, &module->attrs);
    module->bytes = nzd_read_u64(&d->in);
    module->flags = nzd_read_u32(&d->in);
    module->spool_offset = nzd_read_u64(&d->in);
    if (take_bool(d))
        module->beam = take_beam(d, module);
    if (!*module->name || module->flags & ~known ||
        (!d->to->any_names && module->bytes > NZD_LIMIT_MODULE_BYTES) ||
        !(module->flags & NZD_MODULE_DETAILED) != !module->beam)
        refuse(d, "a module");
}

/* --- one record --- */

int nzd_listing_decode(struct nzd_listing_reader *reader,
                       enum nzd_listing_kind kind, struct nzd_view record,
                       struct nzd_err *err)
{
    struct decoder d = {.to = reader, .err = err};
    struct nzd_arena *arena = &reader->out->arena;

    /* While it is read: a term takes many times the bytes it comes in. */
    arena->most = KEPT_BYTES;
    reader->names.arena = arena;
    nzd_reader_init(&d.in, record);
    switch (kind) {
    case NZD_LISTING_RELEASE:
        take_release(&d);
        break;
    case NZD_LISTING_APP:
        take_app(&d);
        break;
    case NZD_LISTING_MODULE:
        take_module(&d);
        break;
    case NZD_LISTING_PRIV:
        take_priv(&d);
        break;
    case NZD_LISTING_RUNTIME:
        take_runtime(&d);
        break;
    default:
        refuse(&d, "the kind of a record");
    }
    arena->most = 0;
    if (d.code < 0)
        return d.code;
    if (!nzd_reader_done(&d.in))
        refuse(&d, "the length of a record");
    return d.bad ? nzd_err_set(err, NZD_EBUNDLE, "%s does not hold", d.bad) : 0;
}

void nzd_listing_clear(struct nzd_listing_reader *reader)
{
    nzd_names_clear(&reader->names);
}
