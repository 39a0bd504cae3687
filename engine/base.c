/* SPDX-License-Identifier: Apache-2.0 */
#include "base.h"

#include <elf.h>
#include <string.h>

/* Class, byte order and machine (elf(5)); none where it is no ELF file. */
static struct nzd_view architecture(struct nzd_view elf, uint8_t out[4])
{
    if (elf.size < NZD_BASE_ELF || memcmp(elf.data, ELFMAG, SELFMAG) != 0)
        return nzd_view_of(NULL, 0);
    out[0] = elf.data[EI_CLASS];
    out[1] = elf.data[EI_DATA];
    out[2] = elf.data[18];
    out[3] = elf.data[19];
    return nzd_view_of(out, 4);
}

struct nzd_digest nzd_base_identity(const struct nzd_base_parts *parts)
{
    struct nzd_buf all = {0};
    struct nzd_digest digest = {{0}};
    uint8_t machine[4];
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
