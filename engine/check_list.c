/* SPDX-License-Identifier: Apache-2.0 */
#include "check_list.h"

#include <stdarg.h>
#include <stdio.h>

#define TEXT_COLUMN 80u

static const char *const states[] = {"ok", "warn", "fail"};

/* --- lines --------------------------------------------------------------- */

/* There is room for each check that there is; more would be our bug. */
static struct nzd_check_item *add(struct nzd_check_list *list, const char *name,
                                  enum nzd_check_state state)
{
    struct nzd_check_item *item = &list->items[list->count];
    if (list->count < NZD_CHECK_ITEMS - 1)
        list->count++;
    *item = (struct nzd_check_item){.name = name, .state = state};
    return item;
}

void nzd_check_ok(struct nzd_check_list *list, const char *name,
                  const char *format, ...)
{
    struct nzd_check_item *item = add(list, name, NZD_CHECK_OK);
    va_list args;
    va_start(args, format);
    vsnprintf(item->text, sizeof item->text, format, args);
    va_end(args);
}

void nzd_check_warn(struct nzd_check_list *list, const char *name,
                    const char *format, ...)
{
    struct nzd_check_item *item = add(list, name, NZD_CHECK_WARN);
    va_list args;
    va_start(args, format);
    vsnprintf(item->text, sizeof item->text, format, args);
    va_end(args);
}

void nzd_check_fail(struct nzd_check_list *list, const char *name,
                    const struct nzd_err *err)
{
    struct nzd_check_item *item = add(list, name, NZD_CHECK_FAIL);
    item->code = err->code;
    snprintf(item->text, sizeof item->text, "%s", err->message);
    snprintf(item->next, sizeof item->next, "%s", err->next);
}

void nzd_check_next(struct nzd_check_list *list, const char *format, ...)
{
    struct nzd_check_item *item = &list->items[list->count - 1];
    va_list args;
    if (item->next[0])
        return;
    va_start(args, format);
    vsnprintf(item->next, sizeof item->next, format, args);
    va_end(args);
}

/* --- the answer ---------------------------------------------------------- */

int nzd_check_exit(const struct nzd_check_list *list)
{
    static const int order[] = {2, 8, 4, 9, 10};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++)
        for (unsigned k = 0; k < list->count; k++)
            if (nzd_err_exit(list->items[k].code) == order[i])
                return order[i];
    for (unsigned k = 0; k < list->count; k++)
        if (list->items[k].state == NZD_CHECK_FAIL)
            return nzd_err_exit(list->items[k].code);
    return 0;
}

static json_t *items_json(const struct nzd_check_list *list)
{
    json_t *items = json_array();
    for (unsigned i = 0; i < list->count; i++) {
        const struct nzd_check_item *item = &list->items[i];
        json_array_append_new(
            items,
            json_pack("{s:s, s:s, s:o, s:o}", "name", item->name, "state",
                      states[item->state], "text", nzd_json_text(item->text),
                      "next", nzd_json_text(item->next)));
    }
    return items;
}

static void print_item(struct nzd_output *output,
                       const struct nzd_check_item *item)
{
    static const char roles[] = {'g', 'y', 'r'};
    char lead[80];
    snprintf(lead, sizeof lead, "%-13s  %s%-4s%s  ", item->name,
             nzd_color(output, roles[item->state]), states[item->state],
             nzd_color(output, '0'));
    nzd_output_row(output, lead, item->text, "", TEXT_COLUMN);
    if (item->next[0])
        nzd_output_row(output, "                 next  ", item->next, "",
                       TEXT_COLUMN);
}

void nzd_check_print(struct nzd_output *output,
                     const struct nzd_check_list *list)
{
    if (output->json) {
        nzd_output_json(output,
                        json_pack("{s:o, s:i}", "checks", items_json(list),
                                  "exit", nzd_check_exit(list)));
        return;
    }
    for (unsigned i = 0; i < list->count; i++)
        print_item(output, &list->items[i]);
}
