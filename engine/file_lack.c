/* SPDX-License-Identifier: Apache-2.0 */
#include "file_lack.h"

#include "../staging/script.h"
#include "../staging/settings.h"
#include "file_rows.h"

#include <stdio.h>
#include <string.h>

struct lacking {
    const struct nzd_question *q;
    struct nzd_journal *journal;
    const struct nzd_txn *in_force;
    char *out;
    size_t size;
    struct nzd_err *err;
};

/* As much of a release as its boot script tells. */
static int tell(struct nzd_inventory *out, const struct nzd_term *script,
                const char *version, struct nzd_err *err)
{
    struct nzd_script read;
    int code = nzd_script_read(script, &out->arena, &read, err);
    out->is_release = true;
    out->version = version;
    out->boot_script = script;
    for (uint32_t i = 0; i < read.app_count && !code; i++) {
        struct nzd_app *app = nzd_inventory_add_app(out);
        if (!app)
            return nzd_err_memory(err);
        app->name = read.apps[i].name;
        app->version = read.apps[i].version;
        app->spec = read.apps[i].spec;
        app->in_script = true;
    }
    return code ? code : nzd_inventory_sort(out, err);
}

static int compare(const struct lacking *all, const struct nzd_term *in_force,
                   bool *differs)
{
    const struct nzd_question *q = all->q;
    struct nzd_inventory is, was;
    struct nzd_evidence_list evidence = {0};
    nzd_inventory_init(&is);
    nzd_inventory_init(&was);
    int code = tell(&was, in_force, all->in_force->to_version, all->err);
    if (!code)
        code = tell(&is, q->old.boot_script, q->base.version, all->err);
    if (!code)
        code = nzd_settings_compare(&was, &is, &is.arena, &evidence, all->err);
    *differs = evidence.count;
    nzd_evidence_clear(&evidence);
    nzd_inventory_clear(&is);
    nzd_inventory_clear(&was);
    return code;
}

static int look_at_boot(const struct lacking *all,
                        const struct nzd_live_row *row)
{
    struct nzd_arena arena = {0};
    struct nzd_buf bytes = {0};
    const struct nzd_term *script = NULL;
    bool differs = false;
    int code = 0;
    if (!all->q->old.boot_script || nzd_digest_is_zero(&row->blob))
        return 0;
    code = nzd_journal_get_blob(all->journal, &row->blob, &bytes, all->err);
    if (!code)
        code = nzd_term_decode(nzd_buf_view(&bytes), &arena, &script, all->err);
    if (!code)
        code = compare(all, script, &differs);
    if (code == NZD_EBUNDLE)
        all->err->code = code = NZD_EJOURNAL;
    if (!code && differs)
        snprintf(all->out, all->size, "boot script");
    nzd_buf_clear(&bytes);
    nzd_arena_clear(&arena);
    return code;
}

static int note(void *context, const struct nzd_live_row *row)
{
    const struct lacking *all = context;
    if (nzd_file_rows_app(row->module))
        return 0;
    if (strcmp(row->module, NZD_FILE_BOOT) == 0)
        return look_at_boot(all, row);
    snprintf(all->out, all->size, "%s", row->module + 1);
    return 1;
}

int nzd_file_lack(const struct nzd_question *q, struct nzd_journal *journal,
                  const struct nzd_txn *in_force, char *out, size_t size,
                  struct nzd_err *err)
{
    struct lacking all = {q, journal, in_force, out, size, err};
    out[0] = '\0';
    if (!in_force->id || nzd_question_runs(q, journal, in_force))
        return 0;
    int code =
        nzd_journal_each_live_file(journal, &q->base.identity, note, &all, err);
    return code < 0 ? code : 0;
}
