/* SPDX-License-Identifier: Apache-2.0 */
#include "names.h"

#include "../journal/digest.h"

#include <stdlib.h>

static const char **slot_of(const char **table, uint32_t size,
                            struct nzd_view text)
{
    uint32_t i = (uint32_t)nzd_checksum_of(text) & (size - 1);

    while (table[i] && !nzd_view_equal(nzd_view_text(table[i]), text))
        i = (i + 1) & (size - 1);
    return &table[i];
}

static bool grow(struct nzd_names *names)
{
    uint32_t size = names->size ? 2 * names->size : 4096;
    const char **table = calloc(size, sizeof(*table));

    if (!table)
        return false;
    for (uint32_t i = 0; i < names->size; i++)
        if (names->table[i])
            *slot_of(table, size, nzd_view_text(names->table[i])) =
                names->table[i];
    free(names->table);
    names->table = table;
    names->size = size;
    return true;
}

const char *nzd_names_view(struct nzd_names *names, struct nzd_view view)
{
    const char **slot;

    if (2 * names->count >= names->size && !grow(names))
        return NULL;
    slot = slot_of(names->table, names->size, view);
    if (!*slot) {
        *slot =
            nzd_arena_text(names->arena, (const char *)view.data, view.size);
        names->count += *slot != NULL;
    }
    return *slot;
}

void nzd_names_clear(struct nzd_names *names)
{
    free(names->table);
    names->table = NULL;
    names->count = names->size = 0;
}
