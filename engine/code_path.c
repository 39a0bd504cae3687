/* SPDX-License-Identifier: Apache-2.0 */
#include "code_path.h"

#include <stdio.h>
#include <string.h>

/* Of a node that was only connected to, nothing is known yet. */
static int know_base(struct nzd_question *q, struct nzd_inventory *own,
                     const struct nzd_term **script, struct nzd_err *err)
{
    *script = q->old.boot_script;
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
    else if (!overlay->folder[0] && size > 5 && size < NZD_OVERLAY_PATH)
        snprintf(out, NZD_OVERLAY_PATH, "%.*s", (int)(size - 5),
                 q->base.boot_file);
}

static int put(struct nzd_question *q, const struct nzd_overlay *overlay,
               struct nzd_err *err)
{
    char boot[NZD_OVERLAY_PATH];
    boot_of(q, overlay, boot);
    int code = nzd_overlay_set_current(overlay, err);
    return code ? code : nzd_node_put_paths(q->node, overlay, boot, err);
}

int nzd_code_path_put(struct nzd_journal *journal, struct nzd_question *q,
                      const struct nzd_digest *base, uint64_t generation,
                      struct nzd_err *err)
{
    struct nzd_inventory own;
    struct nzd_overlay overlay = {.folder_count = 0};
    struct nzd_overlay_base over = {.identity = base};
    if (!q->target.local)
        return 0;
    nzd_inventory_init(&own);
    int code = know_base(q, &own, &over.script, err);
    over.boot_file = q->base.boot_file;
    if (!code)
        code = nzd_overlay_make(journal, &over, generation, &overlay, err);
    if (!code)
        code = put(q, &overlay, err);
    if (!code)
        nzd_overlay_sweep(overlay.root, generation);
    nzd_overlay_clear(&overlay);
    nzd_inventory_clear(&own);
    return code;
}
