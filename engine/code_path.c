/* SPDX-License-Identifier: Apache-2.0 */
#include "code_path.h"

int nzd_code_path_put(struct nzd_journal *journal, struct nzd_question *q,
                      const struct nzd_digest *base, uint64_t generation,
                      struct nzd_err *err)
{
    char folder[NZD_OVERLAY_PATH], root[NZD_OVERLAY_PATH];
    if (q->hello.embedded || !q->target.local)
        return 0;
    int code = nzd_overlay_make(journal, base, generation, folder, root, err);
    if (!code)
        code = nzd_node_put_paths(q->node, folder, root, err);
    if (!code)
        nzd_overlay_sweep(root, generation);
    return code;
}
