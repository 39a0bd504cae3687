/* SPDX-License-Identifier: Apache-2.0 */
#include "base.h"

#include "../staging/elf.h"

/* None where it is no ELF file. */
static struct nzd_view architecture(struct nzd_view elf,
                                    uint8_t out[NZD_ELF_MACHINE])
{
    return nzd_elf_machine(elf, out) ? nzd_view_of(out, NZD_ELF_MACHINE)
                                     : nzd_view_of(NULL, 0);
}

struct nzd_digest nzd_base_identity(const struct nzd_base_parts *parts)
{
    struct nzd_buf all = {0};
    struct nzd_digest digest = {{0}};
    uint8_t machine[NZD_ELF_MACHINE];
    nzd_buf_block(&all, nzd_view_text(parts->name));
    nzd_buf_block(&all, nzd_view_text(parts->version));
    nzd_buf_block(&all, parts->script);
    nzd_buf_block(&all, nzd_view_text(parts->erts));
    nzd_buf_block(&all, architecture(parts->elf, machine));
    if (!all.failed)
        digest = nzd_digest_of(nzd_buf_view(&all));
    nzd_buf_clear(&all);
    return digest;
}
