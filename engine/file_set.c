/* SPDX-License-Identifier: Apache-2.0 */
#include "file_set.h"

#include <stdlib.h>
#include <string.h>

/* Where it is, or belongs. Rows come in order, so mostly that is the end. */
static uint32_t place_of(const struct nzd_file_set *set, const char *name)
{
    uint32_t low = 0, high = set->count;
    if (set->count && strcmp(set->items[set->count - 1].name, name) < 0)
        return set->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (strcmp(set->items[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_at(const struct nzd_file_set *set, uint32_t at, const char *name)
{
    return at < set->count && strcmp(set->items[at].name, name) == 0;
}

static int make_room(struct nzd_file_set *set, struct nzd_err *err)
{
    if (set->count < set->capacity)
        return 0;
    uint32_t capacity = set->capacity ? 2 * set->capacity : 32;
    void *items = realloc(set->items, capacity * sizeof *set->items);
    if (!items)
        return nzd_err_memory(err);
    set->items = items;
    set->capacity = capacity;
    return 0;
}

int nzd_file_set_put(struct nzd_file_set *set, const struct nzd_file_side *side,
                     struct nzd_err *err)
{
    uint32_t at = place_of(set, side->name);
    const char *name;
    if (is_at(set, at, side->name)) {
        name = set->items[at].name;
    } else {
        name = nzd_arena_text(&set->arena, side->name, strlen(side->name));
        if (!name || make_room(set, err))
            return nzd_err_memory(err);
        memmove(set->items + at + 1, set->items + at,
                (set->count - at) * sizeof *set->items);
        set->count++;
    }
    set->items[at] = *side;
    set->items[at].name = name;
    return 0;
}

const struct nzd_file_side *nzd_file_set_find(const struct nzd_file_set *set,
                                              const char *name)
{
    uint32_t at = place_of(set, name);
    return is_at(set, at, name) ? &set->items[at] : NULL;
}

void nzd_file_set_clear(struct nzd_file_set *set)
{
    free(set->items);
    nzd_arena_clear(&set->arena);
    memset(set, 0, sizeof *set);
}

/* --- sides --------------------------------------------------------------- */

struct nzd_file_side nzd_file_side_live(const struct nzd_live_row *row)
{
    return (struct nzd_file_side){row->module, row->md5, row->blob, row->bytes,
                                  row->flags & NZD_ROW_EXECUTABLE};
}

struct nzd_file_side nzd_file_side_base(const struct nzd_live_row *row)
{
    return (struct nzd_file_side){row->module, row->base_md5, row->base_blob,
                                  row->base_bytes, 0};
}

struct nzd_file_side nzd_file_side_old(const struct nzd_module_row *row)
{
    return (struct nzd_file_side){row->module, row->old_md5, row->old_blob,
                                  row->old_bytes,
                                  row->flags & NZD_ROW_EXECUTABLE};
}

struct nzd_file_side nzd_file_side_new(const struct nzd_module_row *row)
{
    return (struct nzd_file_side){row->module, row->new_md5, row->new_blob,
                                  row->new_bytes,
                                  row->flags & NZD_ROW_EXECUTABLE};
}

/* --- what is in force ---------------------------------------------------- */

struct reading {
    struct nzd_file_set *in_force;
    struct nzd_file_set *of_base;
    struct nzd_err *err;
};

static int keep(void *context, const struct nzd_live_row *row)
{
    struct reading *reading = context;
    const struct nzd_file_side live = nzd_file_side_live(row);
    const struct nzd_file_side base = nzd_file_side_base(row);
    int code = nzd_file_set_put(reading->in_force, &live, reading->err);
    if (!code && reading->of_base)
        code = nzd_file_set_put(reading->of_base, &base, reading->err);
    return code;
}

int nzd_file_set_read(struct nzd_journal *journal,
                      const struct nzd_digest *base,
                      struct nzd_file_set *in_force,
                      struct nzd_file_set *of_base, struct nzd_err *err)
{
    struct reading reading = {in_force, of_base, err};
    return nzd_journal_each_live_file(journal, base, keep, &reading, err);
}
