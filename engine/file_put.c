/* SPDX-License-Identifier: Apache-2.0 */
#include "file_put.h"

#include "file_rows.h"

#include <string.h>

const char *const nzd_file_put_names[NZD_FILE_PUT_NAMES] = {
    NZD_FILE_BOOT, NZD_FILE_RUNTIME, NZD_FILE_SYS_CONFIG, NZD_FILE_VM_ARGS};

static bool is_version(const char *name)
{
    return strcmp(name, NZD_FILE_ERTS) == 0;
}

struct putting {
    struct nzd_inventory *to;
    const struct nzd_inventory *own;
    struct nzd_journal *journal;
    struct nzd_err *err;
};

/* --- contents ------------------------------------------------------------ */

static int content(struct nzd_journal *journal, const struct nzd_digest *blob,
                   struct nzd_arena *arena, struct nzd_view *out,
                   struct nzd_err *err)
{
    struct nzd_buf bytes = {0};
    int code = nzd_journal_get_blob(journal, blob, &bytes, err);
    if (code == NZD_ENOTFOUND && err)
        err->code = code = NZD_EJOURNAL;
    const char *copy =
        code ? NULL
             : nzd_arena_text(arena, (const char *)bytes.data, bytes.size);
    if (!code && !copy)
        code = nzd_err_memory(err);
    *out = nzd_view_of(copy, copy ? bytes.size : 0);
    nzd_buf_clear(&bytes);
    return code;
}

static int as_journal(int code, const char *name, struct nzd_err *err)
{
    if (code == NZD_EBUNDLE && err)
        err->code = code = NZD_EJOURNAL;
    return code ? nzd_err_prefix(err, "%s", name) : 0;
}

int nzd_file_term(struct nzd_journal *journal, const struct nzd_digest *blob,
                  struct nzd_arena *arena, const struct nzd_term **out,
                  struct nzd_err *err)
{
    struct nzd_view bytes;
    int code = content(journal, blob, arena, &bytes, err);
    return code ? code : nzd_term_decode(bytes, arena, out, err);
}

/* --- one of the four ----------------------------------------------------- */

static bool is_script(const char *name)
{
    return strcmp(name, NZD_FILE_BOOT) == 0;
}

/* Of one of the others. */
static struct nzd_view *text_of(struct nzd_inventory *side, const char *name)
{
    if (strcmp(name, NZD_FILE_SYS_CONFIG) == 0)
        return &side->sys_config_text;
    if (strcmp(name, NZD_FILE_VM_ARGS) == 0)
        return &side->vm_args;
    return &side->runtime_config;
}

static int take_script(struct putting *p, const struct nzd_term *script)
{
    struct nzd_inventory *to = p->to;
    const struct nzd_term *id = nzd_term_at(script, 1);
    const struct nzd_term *name = nzd_term_at(id, 0);
    const struct nzd_term *version = nzd_term_at(id, 1);
    if (!nzd_term_is_tagged(script, "script", 3) || !name || !version)
        return nzd_err_set(p->err, NZD_EJOURNAL, "it is no boot script");
    const char *release = nzd_term_text(name, &to->arena);
    const char *number = nzd_term_text(version, &to->arena);
    if (!release || !number)
        return nzd_err_memory(p->err);
    to->boot_script = script;
    to->release = release;
    to->version = number;
    return 0;
}

static int put_script(struct putting *p, const struct nzd_file_side *side)
{
    const struct nzd_term *script = p->own->boot_script;
    int code = 0;
    if (!nzd_digest_is_zero(&side->blob))
        code = nzd_file_term(p->journal, &side->blob, &p->to->arena, &script,
                             p->err);
    if (!code)
        code = take_script(p, script);
    return as_journal(code, side->name, p->err);
}

static int put_text(struct putting *p, const struct nzd_file_side *side,
                    struct nzd_view *text)
{
    bool is_config = text == &p->to->sys_config_text;
    struct nzd_inventory own = *p->own;
    int code = 0;
    *text = *text_of(&own, side->name);
    if (nzd_digest_is_zero(&side->md5))
        *text = nzd_view_of(NULL, 0);
    else if (!nzd_digest_is_zero(&side->blob))
        code = content(p->journal, &side->blob, &p->to->arena, text, p->err);
    if (!code && is_config)
        p->to->sys_config = NULL;
    if (!code && is_config && text->size)
        code = nzd_term_parse(*text, &p->to->arena, &p->to->sys_config, p->err);
    return as_journal(code, side->name, p->err);
}

static int not_now(struct putting *p, const char *name)
{
    nzd_err_set(p->err, NZD_EREFUSED,
                "%s of the base is not what it was: the journal knows it by "
                "its digest alone",
                name + 1);
    nzd_err_next(p->err, "put the base's own file back");
    return NZD_EREFUSED;
}

static int put_file(struct putting *p, const struct nzd_file_side *side)
{
    struct nzd_file_side own;
    int code = nzd_file_side_of(p->own, side->name, NULL, &own, p->err);
    if (code)
        return code;
    if (nzd_digest_is_zero(&side->blob) &&
        !nzd_digest_equal(&own.md5, &side->md5) &&
        !nzd_digest_is_zero(&side->md5))
        return not_now(p, side->name);
    if (is_script(side->name))
        return put_script(p, side);
    return put_text(p, side, text_of(p->to, side->name));
}

/* --- specifications ------------------------------------------------------ */

static int put_spec(struct putting *p, const struct nzd_file_side *side,
                    struct nzd_app *app)
{
    const struct nzd_term *spec = NULL, *version;
    int code = 0;
    if (!app || nzd_digest_is_zero(&side->blob))
        return 0;
    code = nzd_file_term(p->journal, &side->blob, &p->to->arena, &spec, p->err);
    if (code)
        return as_journal(code, side->name, p->err);
    app->spec = spec;
    version = nzd_term_get(nzd_term_at(spec, 2), "vsn");
    const char *text = version ? nzd_term_text(version, &p->to->arena) : NULL;
    if (text)
        app->version = text;
    return 0;
}

/* --- priv ---------------------------------------------------------------- */

static void fill_priv(struct nzd_file *file, const struct nzd_file_side *side)
{
    file->size = side->bytes;
    file->md5 = side->md5;
    file->content = side->blob;
    file->executable = (side->flags & NZD_ROW_EXECUTABLE) != 0;
    file->link = file->spooled = false;
}

static void remove_priv(struct nzd_inventory *from, struct nzd_file *file)
{
    struct nzd_file *end = from->priv + from->priv_count--;
    memmove(file, file + 1, (size_t)(end - file - 1) * sizeof *file);
}

static int add_priv(struct putting *p, const struct nzd_file_side *side,
                    const char *app, const char *path)
{
    struct nzd_file *file = nzd_inventory_add_priv(p->to);
    if (!file)
        return nzd_err_memory(p->err);
    fill_priv(file, side);
    file->app = nzd_arena_text(&p->to->arena, app, strlen(app));
    file->path = nzd_arena_text(&p->to->arena, path, strlen(path));
    return file->app && file->path ? 0 : nzd_err_memory(p->err);
}

/* What is added comes behind what is there, so that it still can be searched:
 * the first pass leaves it out, the second takes nothing else. */
static int put_priv(struct putting *p, const struct nzd_file_side *side,
                    uint32_t sorted, bool add)
{
    char app[NZD_FILE_ROWS_APP_MAX], path[NZD_FILE_ROWS_APP_MAX];
    struct nzd_inventory there = *p->to;
    if (!nzd_file_rows_priv(side->name, app, path))
        return 0;
    there.priv_count = sorted;
    struct nzd_file *file = nzd_inventory_priv(&there, app, path);
    bool gone = nzd_digest_is_zero(&side->md5);
    if (add)
        return file || gone ? 0 : add_priv(p, side, app, path);
    if (file && gone)
        remove_priv(p->to, file);
    else if (file)
        fill_priv(file, side);
    return 0;
}

/* --- ERTS ---------------------------------------------------------------- */

static int put_version(struct putting *p, const struct nzd_file_side *side)
{
    struct nzd_view text;
    struct nzd_digest own = nzd_digest_of(nzd_view_text(p->own->erts));
    int code;
    if (nzd_digest_is_zero(&side->blob)) {
        p->to->erts = p->own->erts;
        return nzd_digest_equal(&own, &side->md5) ? 0 : not_now(p, side->name);
    }
    code = content(p->journal, &side->blob, &p->to->arena, &text, p->err);
    if (!code)
        p->to->erts =
            nzd_arena_text(&p->to->arena, (const char *)text.data, text.size);
    if (!code && !p->to->erts)
        code = nzd_err_memory(p->err);
    return as_journal(code, side->name, p->err);
}

/* Before any is put there is none. */
static int put_running(struct putting *p, const struct nzd_file_side *side)
{
    const char *path = side->name + strlen(NZD_FILE_RUNNING);
    struct nzd_file *file;
    if (nzd_digest_is_zero(&side->md5))
        return 0;
    file = nzd_inventory_add_runtime(p->to);
    if (!file)
        return nzd_err_memory(p->err);
    fill_priv(file, side);
    file->path = nzd_arena_text(&p->to->arena, path, strlen(path));
    return file->path ? 0 : nzd_err_memory(p->err);
}

static bool is_running(const char *name)
{
    return strncmp(name, NZD_FILE_RUNNING, strlen(NZD_FILE_RUNNING)) == 0;
}

/* --- all ----------------------------------------------------------------- */

static bool is_one_of_four(const char *name)
{
    for (size_t i = 0; i < NZD_FILE_PUT_NAMES; i++)
        if (strcmp(name, nzd_file_put_names[i]) == 0)
            return true;
    return false;
}

static int put_one(struct putting *p, const struct nzd_file_side *side)
{
    const char *app = nzd_file_rows_app(side->name);
    if (app)
        return put_spec(p, side, nzd_inventory_app(p->to, app));
    if (is_one_of_four(side->name))
        return put_file(p, side);
    if (is_version(side->name))
        return put_version(p, side);
    if (is_running(side->name))
        return put_running(p, side);
    return put_priv(p, side, p->to->priv_count, false);
}

int nzd_file_put_all(struct nzd_inventory *to, const struct nzd_inventory *own,
                     struct nzd_journal *journal,
                     const struct nzd_file_set *set, struct nzd_err *err)
{
    struct putting p = {to, own, journal, err};
    int code = 0;
    to->runtime_count = 0;
    for (uint32_t i = 0; i < set->count && !code; i++)
        code = put_one(&p, &set->items[i]);
    uint32_t sorted = to->priv_count;
    for (uint32_t i = 0; i < set->count && !code; i++)
        code = put_priv(&p, &set->items[i], sorted, true);
    return code ? code : nzd_inventory_sort(to, err);
}

int nzd_file_side_of(const struct nzd_inventory *from, const char *name,
                     struct nzd_buf *bytes, struct nzd_file_side *out,
                     struct nzd_err *err)
{
    struct nzd_buf script = {0};
    struct nzd_inventory all = *from;
    struct nzd_view view = nzd_view_of(NULL, 0);
    memset(out, 0, sizeof *out);
    out->name = name;
    if (is_version(name)) {
        view = nzd_view_text(from->erts);
    } else if (!is_script(name)) {
        view = *text_of(&all, name);
    } else if (from->boot_script) {
        nzd_etf_version(&script);
        nzd_term_encode(from->boot_script, &script);
        view = nzd_buf_view(&script);
    }
    if (view.size) {
        out->blob = out->md5 = nzd_digest_of(view);
        out->bytes = view.size;
    }
    if (bytes)
        nzd_buf_bytes(bytes, view.data, view.size);
    bool failed = script.failed || (bytes && bytes->failed);
    nzd_buf_clear(&script);
    return failed ? nzd_err_memory(err) : 0;
}
