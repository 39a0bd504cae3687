/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A program of an ERTS that a bundle brings. Besides memory errors: what is
 * whole stays so with more behind it, and its loader's name has an end.
 */

#include "../staging/elf.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct nzd_elf elf, again;
    struct nzd_buf more = {0};
    int rc = nzd_elf_read(nzd_view_of(data, size), &elf, NULL);

    require(rc == 0 || rc == NZD_EBUNDLE || rc == NZD_ENOTFOUND);
    if (rc != 0)
        return 0;
    require(memchr(elf.interpreter, '\0', sizeof(elf.interpreter)) != NULL);
    nzd_buf_bytes(&more, data, size);
    nzd_buf_text(&more, "more");
    require(nzd_elf_read(nzd_buf_view(&more), &again, NULL) == 0);
    require(memcmp(&elf, &again, sizeof(elf)) == 0);
    nzd_buf_clear(&more);
    return 0;
}
