/* SPDX-License-Identifier: Apache-2.0 */
#include "plan_view_internal.h"

#include "structs.h"

#include <inttypes.h>

static void show_change(struct nzd_output *output,
                        const struct nzd_struct_change *change)
{
    struct nzd_buf line = {0};
    nzd_structs_line(change, &line);
    nzd_output_line(output, "  %-12s %s", "struct", nzd_buf_string(&line));
    for (uint32_t i = 0; i < change->named_count; i++) {
        nzd_structs_holder_line(&change->named[i], &line);
        nzd_output_line(output, "  %-12s %s", "", nzd_buf_string(&line));
    }
    if (change->holders > change->named_count)
        nzd_output_line(output, "  %-12s and %" PRIu32 " more", "",
                        change->holders - change->named_count);
    nzd_buf_clear(&line);
}

void nzd_plan_show_structs(struct nzd_output *output,
                           const struct nzd_structs *structs)
{
    struct nzd_buf line = {0};
    for (uint32_t i = 0; i < structs->count; i++)
        show_change(output, &structs->items[i]);
    if (!structs->count)
        return;
    nzd_structs_looked_line(structs, &line);
    nzd_output_line(output, "  %-12s %s", "", nzd_buf_string(&line));
    nzd_buf_clear(&line);
}

static json_t *keys_json(const char *const *keys, uint32_t count)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < count; i++)
        json_array_append_new(list, nzd_json_text(keys[i]));
    return list;
}

static json_t *holders_json(const struct nzd_struct_change *change)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < change->named_count; i++) {
        const struct nzd_struct_holder *who = &change->named[i];
        json_array_append_new(list, json_pack("{s:o, s:o, s:o, s:b}", "pid",
                                              nzd_json_text(who->pid), "name",
                                              nzd_json_text(who->name), "where",
                                              nzd_json_text(who->where),
                                              "migrates", who->migrates));
    }
    return list;
}

static json_t *looked_json(const struct nzd_structs *all)
{
    if (!all->told)
        return json_null();
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "processes",
                     (json_int_t)all->looked, "large", (json_int_t)all->large,
                     "asleep", (json_int_t)all->asleep, "timed",
                     (json_int_t)all->timed, "silent", (json_int_t)all->silent,
                     "left", (json_int_t)all->left);
}

json_t *nzd_plan_structs_json(const struct nzd_structs *all)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < all->count; i++) {
        const struct nzd_struct_change *change = &all->items[i];
        json_array_append_new(
            list,
            json_pack("{s:o, s:b, s:o, s:o, s:I, s:o, s:o}", "module",
                      nzd_json_text(change->module), "gone", change->gone,
                      "added", keys_json(change->added, change->added_count),
                      "removed",
                      keys_json(change->removed, change->removed_count),
                      "count", (json_int_t)change->holders, "holders",
                      holders_json(change), "looked_at", looked_json(all)));
    }
    return list;
}
