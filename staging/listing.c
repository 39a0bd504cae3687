/* SPDX-License-Identifier: Apache-2.0 */
#include "listing.h"

struct encoder {
    const struct nzd_inventory *from;
    nzd_listing_emit *emit;
    void *context;
    struct nzd_buf record;
    struct nzd_buf term;
    struct nzd_err *err;
};

static void put_text(struct encoder *e, const char *text)
{
    nzd_buf_block(&e->record, nzd_view_text(text ? text : ""));
}

/* An empty block stands for none. */
static void put_term(struct encoder *e, const struct nzd_term *term)
{
    nzd_buf_reset(&e->term);
    if (term) {
        nzd_etf_version(&e->term);
        nzd_term_encode(term, &e->term);
    }
    nzd_buf_block(&e->record, nzd_buf_view(&e->term));
}

static void put_digest(struct encoder *e, const struct nzd_digest *digest)
{
    nzd_buf_bytes(&e->record, digest->bytes, sizeof(digest->bytes));
}

static int emit(struct encoder *e, enum nzd_listing_kind kind)
{
    if (e->record.failed || e->term.failed)
        return nzd_err_memory(e->err);
    if (e->record.size > NZD_LISTING_BYTES)
        return nzd_err_set(e->err, NZD_EBUNDLE,
                           "it says more than %u bytes of one thing",
                           NZD_LISTING_BYTES);
    return e->emit(e->context, kind, nzd_buf_view(&e->record), e->err);
}

static int give_release(struct encoder *e)
{
    const struct nzd_inventory *from = e->from;
    const struct nzd_view texts[] = {from->sys_config_text, from->vm_args,
                                     from->runtime_config, from->env_script,
                                     from->hooks};

    nzd_buf_reset(&e->record);
    nzd_buf_u8(&e->record, from->is_release);
    put_text(e, from->release);
    put_text(e, from->version);
    put_text(e, from->erts);
    put_text(e, from->erts_lack);
    nzd_buf_bytes(&e->record, from->machine, sizeof(from->machine));
    put_term(e, from->boot_script);
    put_term(e, from->relup);
    put_term(e, from->sys_config);
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        nzd_buf_block(&e->record, texts[i]);
    nzd_buf_u8(&e->record, from->sys_config_is_source);
    nzd_buf_u8(&e->record, from->vm_args_is_source);
    return emit(e, NZD_LISTING_RELEASE);
}

static int give_app(struct encoder *e, const struct nzd_app *app)
{
    nzd_buf_reset(&e->record);
    put_text(e, app->name);
    put_text(e, app->version);
    put_term(e, app->spec);
    put_term(e, app->appup);
    nzd_buf_u8(&e->record, app->in_script);
    return emit(e, NZD_LISTING_APP);
}

static void put_functions(struct encoder *e,
                          const struct nzd_beam_function *items, uint32_t count,
                          bool imported)
{
    nzd_buf_u32(&e->record, count);
    for (uint32_t i = 0; i < count; i++) {
        if (imported)
            put_text(e, items[i].module);
        put_text(e, items[i].name);
        nzd_buf_u32(&e->record, items[i].arity);
    }
}

static void put_beam(struct encoder *e, const struct nzd_beam *beam)
{
    put_term(e, beam->attributes);
    put_text(e, beam->compiler);
    nzd_buf_u8(&e->record, beam->has_on_load);
    nzd_buf_u8(&e->record, beam->loads_nif);
    nzd_buf_u8(&e->record, beam->has_code_change);
    put_functions(e, beam->exports, beam->export_count, false);
    put_functions(e, beam->imports, beam->import_count, true);
    nzd_buf_u32(&e->record, beam->lambda_count);
    for (uint32_t i = 0; i < beam->lambda_count; i++) {
        put_text(e, beam->lambdas[i].name);
        nzd_buf_u32(&e->record, beam->lambdas[i].arity);
        nzd_buf_u32(&e->record, beam->lambdas[i].index);
        nzd_buf_u32(&e->record, beam->lambdas[i].free_count);
        nzd_buf_u32(&e->record, beam->lambdas[i].old_uniq);
    }
}

static int give_module(struct encoder *e, const struct nzd_module *module,
                       bool brief)
{
    const struct nzd_beam *beam = brief ? NULL : module->beam;

    nzd_buf_reset(&e->record);
    put_text(e, module->name);
    put_text(e, brief ? "" : module->app);
    put_text(e, brief ? "" : module->path);
    put_digest(e, &module->md5);
    put_digest(e, &module->attrs);
    nzd_buf_u64(&e->record, module->bytes);
    nzd_buf_u32(&e->record, brief ? 0 : module->flags);
    nzd_buf_u64(&e->record, module->spool_offset);
    nzd_buf_u8(&e->record, beam != NULL);
    if (beam)
        put_beam(e, beam);
    return emit(e, NZD_LISTING_MODULE);
}

static int give_file(struct encoder *e, enum nzd_listing_kind kind,
                     const struct nzd_file *file)
{
    nzd_buf_reset(&e->record);
    put_text(e, file->app);
    put_text(e, file->path);
    nzd_buf_u64(&e->record, file->size);
    put_digest(e, &file->md5);
    nzd_buf_u8(&e->record, file->executable);
    nzd_buf_u8(&e->record, file->spooled);
    nzd_buf_u64(&e->record, file->spool_offset);
    return emit(e, kind);
}

static int give_brief(struct encoder *e)
{
    struct nzd_inventory all;
    const struct nzd_inventory *from = e->from;
    int code;

    nzd_inventory_init(&all);
    all.erts = from->erts;
    e->from = &all;
    code = give_release(e);
    e->from = from;
    return code;
}

int nzd_listing_encode(const struct nzd_inventory *inventory, bool brief,
                       nzd_listing_emit *take, void *context,
                       struct nzd_err *err)
{
    struct encoder e = {
        .from = inventory, .emit = take, .context = context, .err = err};
    int code = brief ? give_brief(&e) : give_release(&e);

    for (uint32_t i = 0; code == 0 && !brief && i < inventory->app_count; i++)
        code = give_app(&e, &inventory->apps[i]);
    for (uint32_t i = 0; code == 0 && i < inventory->module_count; i++)
        code = give_module(&e, &inventory->modules[i], brief);
    for (uint32_t i = 0; code == 0 && i < inventory->priv_count; i++)
        code = give_file(&e, NZD_LISTING_PRIV, &inventory->priv[i]);
    for (uint32_t i = 0; code == 0 && !brief && i < inventory->runtime_count;
         i++)
        code = give_file(&e, NZD_LISTING_RUNTIME, &inventory->runtime[i]);
    nzd_buf_clear(&e.record);
    nzd_buf_clear(&e.term);
    return code;
}
