/* SPDX-License-Identifier: Apache-2.0 */
#include "code_path.h"

#include "../journal/point.h"
#include "../staging/script.h"
#include "file_rows_live.h"
#include "node_act.h"
#include "overlay.h"

#include <stdio.h>
#include <string.h>

/* Of a node that was only connected to, nothing is known yet. */
static int know_base(struct nzd_question *q, struct nzd_inventory *own,
                     const struct nzd_term **script, struct nzd_err *err)
{
    *script = q->own.boot_script;
    if (q->base.name[0])
        return 0;
    int code = nzd_node_base(q->node, &q->hello, own, &q->base, err);
    *script = own->boot_script;
    return code;
}

/* Without ".boot", as the VM's flag has it; "": it is left as it is. */
static void boot_of(const struct nzd_question *q,
                    const struct nzd_overlay *overlay,
                    char out[NZD_OVERLAY_PATH])
{
    size_t size = strlen(q->base.boot_file);
    out[0] = '\0';
    if (overlay->folder[0] && overlay->has_boot)
        snprintf(out, NZD_OVERLAY_PATH, "%.500scurrent/start", overlay->root);
    else if (size > 5 && size < NZD_OVERLAY_PATH)
        snprintf(out, NZD_OVERLAY_PATH, "%.*s", (int)(size - 5),
                 q->base.boot_file);
}

/* The script that init:restart/0 takes must be there at any time: without it
 * the VM ends. It may be restarting while it is told of another one, so
 * `current` is never taken away here. */
static int put(struct nzd_question *q, const struct nzd_overlay *overlay,
               struct nzd_err *err)
{
    char boot[NZD_OVERLAY_PATH];
    boot_of(q, overlay, boot);
    bool boots_it = overlay->folder[0] && overlay->has_boot;
    int code = boots_it ? nzd_overlay_set_current(overlay, err) : 0;
    if (!code)
        code = nzd_node_put_paths(q->node, overlay, boot, err);
    return code;
}

static int put_overlay(struct nzd_journal *journal, struct nzd_question *q,
                       const struct nzd_txn *txn, const struct nzd_term *script,
                       bool *restarts, struct nzd_err *err)
{
    struct nzd_overlay overlay = {.folder_count = 0};
    const struct nzd_overlay_base over = {.identity = &txn->base,
                                          .script = script,
                                          .boot_file = q->base.boot_file};
    int code = nzd_overlay_make(journal, &over, txn->id, &overlay, err);
    if (!code)
        code = put(q, &overlay, err);
    if (!code) {
        *restarts = overlay.has_boot;
        nzd_overlay_sweep(&overlay, txn->id, txn->from_generation);
    }
    nzd_overlay_clear(&overlay);
    return code;
}

/* --- before the switch --------------------------------------------------- */

static uint64_t in_force(struct nzd_journal *journal, const struct nzd_txn *txn)
{
    struct nzd_txn found;
    struct nzd_err ignored = NZD_ERR_INIT;
    if (nzd_journal_in_force(journal, &txn->base, &found, &ignored))
        return 0;
    uint64_t id = found.id;
    nzd_txn_clear(&found);
    return id;
}

static int lay(struct nzd_journal *journal, struct nzd_question *q,
               const struct nzd_txn *txn, struct nzd_err *err)
{
    struct nzd_overlay overlay = {.folder_count = 0};
    const struct nzd_overlay_base over = {.identity = &txn->base,
                                          .script = q->own.boot_script,
                                          .boot_file = q->base.boot_file};
    int code = nzd_overlay_make(journal, &over, txn->id, &overlay, err);
    nzd_point("the files of an open transaction are laid out");
    if (!code)
        nzd_overlay_sweep_undone(&overlay, txn->id, in_force(journal, txn));
    if (!code)
        code = nzd_node_lay(q->node, &overlay, err);
    nzd_point("the agent knows the files of an open transaction");
    nzd_overlay_clear(&overlay);
    return code;
}

int nzd_code_path_lay(struct nzd_journal *journal, struct nzd_question *q,
                      const struct nzd_txn *txn, struct nzd_err *err)
{
    struct nzd_err ignored = NZD_ERR_INIT;
    int code = lay(journal, q, txn, err);
    if (code && !nzd_link_is_dead(nzd_node_link(q->node)))
        nzd_node_act(q->node, "forget", &ignored);
    return code ? nzd_err_prefix(err, "priv") : 0;
}

/* --- what is told of applications ---------------------------------------- */

/* Of an application that is the base's again, what the base's boot script
 * loads; its .app file may say less. */
static void take_from_script(struct nzd_file_specs *specs,
                             const struct nzd_term *term,
                             struct nzd_arena *arena)
{
    struct nzd_script script;
    struct nzd_err ignored = NZD_ERR_INIT;
    if (!term || nzd_script_read(term, arena, &script, &ignored))
        return;
    for (uint32_t i = specs->in_force; i < specs->count; i++) {
        const char *name =
            nzd_term_text(nzd_term_at(specs->items[i], 1), arena);
        const struct nzd_script_app *app =
            name ? nzd_script_app(&script, name) : NULL;
        if (app && app->spec)
            specs->items[i] = app->spec;
    }
}

static int put_apps(struct nzd_journal *journal, struct nzd_question *q,
                    const struct nzd_txn *txn, const struct nzd_term *script,
                    struct nzd_err *err)
{
    struct nzd_arena arena = {0};
    struct nzd_file_specs specs;
    struct nzd_buf left = {0};
    int code =
        nzd_file_rows_specs(journal, &txn->base, txn->id, &arena, &specs, err);
    if (!code) {
        take_from_script(&specs, script, &arena);
        code = nzd_node_put_apps(q->node, specs.items, specs.count, &left, err);
    }
    if (!code && left.size)
        code = nzd_err_set(err, NZD_EREFUSED,
                           "OTP %s keeps it in a form that is not known (%s)",
                           q->hello.otp, nzd_buf_string(&left));
    nzd_buf_clear(&left);
    nzd_arena_clear(&arena);
    return code;
}

/* --- both ---------------------------------------------------------------- */

bool nzd_code_path_put(struct nzd_context *context, struct nzd_journal *journal,
                       struct nzd_question *q, const struct nzd_txn *txn)
{
    struct nzd_inventory own;
    const struct nzd_term *script = NULL;
    struct nzd_err paths = NZD_ERR_INIT, apps = NZD_ERR_INIT;
    bool restarts = false;
    nzd_inventory_init(&own);
    int code = know_base(q, &own, &script, &paths);
    if (!code && q->target.local)
        code = put_overlay(journal, q, txn, script, &restarts, &paths);
    if (code)
        nzd_output_warn(&context->output,
                        "the code path was left as it is, a module loaded "
                        "again from its file comes from the base: %s",
                        paths.message);
    if (put_apps(journal, q, txn, script, &apps))
        nzd_output_warn(&context->output,
                        "application:which_applications/0 and get_key/2 tell "
                        "what they told before: %s",
                        apps.message);
    nzd_inventory_clear(&own);
    return restarts;
}
