/* SPDX-License-Identifier: Apache-2.0 */
#include "node_internal.h"

#include <string.h>

/* What the agent takes at most, and some. */
#define LIMIT_US 10000000u

static void put_modules(struct nzd_buf *out, const struct nzd_structs *structs)
{
    nzd_etf_tuple(out, 2);
    nzd_etf_atom(out, "holders");
    nzd_etf_list(out, structs->count);
    for (uint32_t i = 0; i < structs->count; i++)
        nzd_etf_atom(out, structs->items[i].module);
    if (structs->count)
        nzd_etf_nil(out);
}

static uint32_t count_of(const struct nzd_term *term)
{
    int64_t value = 0;
    return nzd_term_integer(term, &value) && value > 0 && value < UINT32_MAX
               ? (uint32_t)value
               : 0;
}

static const char *text_in(struct nzd_arena *arena, const struct nzd_term *term)
{
    const char *text = nzd_term_text(term, arena);
    char *copy = text ? nzd_arena_text(arena, text, strlen(text)) : NULL;
    return copy ? copy : "";
}

/* {Module, Count, [{Pid, Name, Where}]} */
static int read_row(const struct nzd_term *row, struct nzd_arena *arena,
                    struct nzd_struct_change *out, struct nzd_err *err)
{
    const struct nzd_term *named = nzd_term_at(row, 2);
    uint32_t count = nzd_term_length(named);
    out->holders = count_of(nzd_term_at(row, 1));
    out->named = nzd_arena_alloc(arena, (count + 1u) * sizeof *out->named);
    if (!out->named)
        return nzd_err_memory(err);
    for (uint32_t i = 0; i < count; i++) {
        const struct nzd_term *who = nzd_term_at(named, i);
        out->named[out->named_count++] = (struct nzd_struct_holder){
            .pid = text_in(arena, nzd_term_at(who, 0)),
            .name = text_in(arena, nzd_term_at(who, 1)),
            .where = text_in(arena, nzd_term_at(who, 2)),
        };
    }
    return 0;
}

static int read_rows(const struct nzd_term *rows, struct nzd_arena *arena,
                     struct nzd_structs *structs, struct nzd_err *err)
{
    int code = 0;
    for (uint32_t i = 0; i < nzd_term_length(rows) && !code; i++) {
        const struct nzd_term *row = nzd_term_at(rows, i);
        for (uint32_t k = 0; k < structs->count && !code; k++)
            if (nzd_term_is_atom(nzd_term_at(row, 0), structs->items[k].module))
                code = read_row(row, arena, &structs->items[k], err);
    }
    return code;
}

int nzd_node_holders(struct nzd_node *node, struct nzd_structs *structs,
                     struct nzd_arena *arena, struct nzd_err *err)
{
    const struct nzd_term *answer = NULL;
    struct nzd_buf *request = nzd_node_begin_request(node);
    put_modules(request, structs);
    int code = nzd_node_ask(node, request, LIMIT_US, &answer, err);
    if (code || nzd_term_is_tagged(answer, "holders", 2))
        return code;
    if (!nzd_term_is_tagged(answer, "holders", 3))
        return nzd_node_unexpected(node, "holders", answer, err);
    const struct nzd_term *counts = nzd_term_at(answer, 2);
    structs->told = true;
    structs->looked = count_of(nzd_term_at(counts, 0));
    structs->large = count_of(nzd_term_at(counts, 1));
    structs->asleep = count_of(nzd_term_at(counts, 2));
    structs->timed = count_of(nzd_term_at(counts, 3));
    structs->silent = count_of(nzd_term_at(counts, 4));
    structs->left = count_of(nzd_term_at(counts, 5));
    return read_rows(nzd_term_at(answer, 1), arena, structs, err);
}
