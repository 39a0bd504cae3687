/* SPDX-License-Identifier: Apache-2.0 */
#include "file_rows_live.h"
#include "priv_use.h"
#include "question_internal.h"

#include "../staging/appup.h"
#include "../staging/script.h"

#include <stdlib.h>
#include <string.h>

/* --- files of the node --------------------------------------------------- */

/* LIB of the base's release: three steps up from its boot script. */
const char *nzd_question_lib(const struct nzd_question *q,
                             struct nzd_arena *arena)
{
    const char *boot = q->base.boot_file;
    const char *end = boot + strlen(boot);
    for (int up = 0; up < 3 && end; up++)
        end = memrchr(boot, '/', (size_t)(end - boot));
    if (!end || end == boot)
        return NULL;
    return nzd_arena_printf(arena, "%.*s/lib", (int)(end - boot), boot);
}

struct asking {
    struct nzd_question *q;
    struct nzd_node_folder *items;
    uint32_t count;
};

static void ask_for(struct asking *asking, const char *app, const char *folder)
{
    asking->items[asking->count++] = (struct nzd_node_folder){app, folder};
}

/* One of the base that a generation has taken away is not on the code path. */
static int ask_for_gone(struct asking *asking, const struct nzd_script *script,
                        struct nzd_err *err)
{
    struct nzd_question *q = asking->q;
    const char *lib = nzd_question_lib(q, &q->arena);
    for (uint32_t i = 0; lib && i < script->app_count; i++) {
        const struct nzd_script_app *app = &script->apps[i];
        const char *folder;
        if (nzd_inventory_app(&q->old, app->name) || !app->version[0])
            continue;
        folder = nzd_arena_printf(&q->arena, "%s/%s-%s", lib, app->name,
                                  app->version);
        if (!folder)
            return nzd_err_memory(err);
        ask_for(asking, app->name, folder);
    }
    return 0;
}

static int ask_priv(struct nzd_question *q, struct nzd_err *err)
{
    struct asking asking = {.q = q};
    struct nzd_script script = {0};
    int code = 0;
    if (q->old.boot_script)
        code = nzd_script_read(q->old.boot_script, &q->arena, &script, err);
    if (code)
        return code;
    size_t most = (size_t)q->old.app_count + script.app_count + 1;
    asking.items = calloc(most, sizeof *asking.items);
    if (!asking.items)
        return nzd_err_memory(err);
    for (uint32_t i = 0; i < q->old.app_count; i++)
        ask_for(&asking, q->old.apps[i].name, "");
    code = ask_for_gone(&asking, &script, err);
    if (!code)
        code = nzd_node_priv(q->node, asking.items, asking.count, &q->old, err);
    free(asking.items);
    return code ? code : nzd_inventory_sort(&q->old, err);
}

int nzd_question_files(struct nzd_question *q, struct nzd_journal *journal,
                       struct nzd_err *err)
{
    int code = ask_priv(q, err);
    if (!code)
        code = nzd_file_rows_live(q, journal, err);
    return code ? code : nzd_priv_use(q, err);
}

/* --- files of the bundle ------------------------------------------------- */

static void add_name(struct nzd_digester *digester, const char *name)
{
    nzd_digester_add(digester, nzd_view_of(name, strlen(name) + 1));
}

static void add_digest(struct nzd_digester *digester,
                       const struct nzd_digest *digest)
{
    nzd_digester_add(digester, nzd_view_of(digest->bytes, NZD_DIGEST_SIZE));
}

static void add_term(struct nzd_digester *digester, const struct nzd_term *term)
{
    if (!term)
        return;
    const struct nzd_digest digest = nzd_term_digest(term);
    add_digest(digester, &digest);
}

static void add_modules(struct nzd_digester *digester,
                        const struct nzd_inventory *new)
{
    for (uint32_t i = 0; i < new->module_count; i++) {
        add_name(digester, new->modules[i].name);
        add_digest(digester, &new->modules[i].md5);
        add_digest(digester, &new->modules[i].attrs);
    }
}

static void add_files(struct nzd_digester *digester,
                      const struct nzd_inventory *new)
{
    const struct nzd_view texts[] = {new->sys_config_text, new->vm_args,
                                     new->runtime_config, new->env_script};
    for (uint32_t i = 0; i < new->priv_count; i++) {
        add_name(digester, new->priv[i].app);
        add_name(digester, new->priv[i].path);
        add_digest(digester, &new->priv[i].md5);
    }
    for (uint32_t i = 0; i < new->runtime_count; i++) {
        add_name(digester, new->runtime[i].path);
        add_digest(digester, &new->runtime[i].content);
    }
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const struct nzd_digest digest = nzd_digest_of(texts[i]);
        add_digest(digester, &digest);
    }
    add_term(digester, new->boot_script);
    add_term(digester, new->relup);
    for (uint32_t i = 0; i < new->app_count; i++)
        add_term(digester, new->apps[i].appup);
}

/* The same release packed anew, with other times in its archive, is the same
 * bundle; with a mended hook or another configuration it is another. */
int nzd_question_digest(struct nzd_question *q, struct nzd_err *err)
{
    struct nzd_digester *digester = nzd_digester_begin();
    if (!digester)
        return nzd_err_memory(err);
    add_modules(digester, &q->new);
    add_files(digester, &q->new);
    nzd_digester_add(digester, q->new.hooks);
    q->bundle = nzd_digester_end(digester);
    return 0;
}

/* --- instructions -------------------------------------------------------- */

int nzd_question_appups(struct nzd_question *q, struct nzd_err *err)
{
    const char **names =
        nzd_arena_alloc(&q->arena, (q->old.app_count + 1u) * sizeof *names);
    uint32_t count = 0;
    if (!names)
        return nzd_err_memory(err);
    for (uint32_t i = 0; i < q->old.app_count; i++) {
        const struct nzd_app *old = &q->old.apps[i];
        const struct nzd_app *new = nzd_inventory_app(&q->new, old->name);
        if (new &&nzd_version_compare(new->version, old->version) < 0)
            names[count++] = old->name;
    }
    return count ? nzd_node_appups(q->node, names, count, &q->old, err) : 0;
}
