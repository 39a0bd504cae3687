/* SPDX-License-Identifier: Apache-2.0 */
#include "node_internal.h"

#include "../staging/appup.h"

#include <string.h>

/* What does not parse, or is of another version, says nothing. */
static int add_appup(struct nzd_inventory *out, const struct nzd_term *row,
                     struct nzd_err *err)
{
    struct nzd_err ignored = NZD_ERR_INIT;
    const struct nzd_term *terms = NULL;
    const char *name = nzd_term_text(nzd_term_at(row, 0), &out->arena);
    const struct nzd_term *text = nzd_term_at(row, 1);
    struct nzd_app *app = name ? nzd_inventory_app(out, name) : NULL;
    if (!app || !text || text->kind != NZD_TERM_BINARY)
        return 0;
    /* Its texts borrow from it. */
    char *copy = nzd_arena_text(&out->arena, (const char *)text->text.data,
                                text->text.size);
    if (!copy)
        return nzd_err_memory(err);
    int code = nzd_term_parse(nzd_view_of(copy, text->text.size), &out->arena,
                              &terms, &ignored);
    const struct nzd_term *appup = nzd_term_at(terms, 0);
    if (code || nzd_term_length(terms) != 1 || !nzd_appup_is(appup))
        return 0;
    const char *version = nzd_term_text(nzd_term_at(appup, 0), &out->arena);
    if (version && strcmp(version, app->version) == 0)
        app->appup = appup;
    return 0;
}

int nzd_node_appups(struct nzd_node *node, const char *const *apps,
                    uint32_t count, struct nzd_inventory *out,
                    struct nzd_err *err)
{
    const struct nzd_term *answer = NULL;
    struct nzd_buf *request = nzd_node_begin_request(node);
    nzd_etf_tuple(request, 2);
    nzd_etf_atom(request, "appups");
    nzd_node_put_texts(request, apps, count);
    int code = nzd_node_asked(node, &answer, err);
    if (code)
        return code;
    if (!nzd_term_is_tagged(answer, "appups", 2))
        return nzd_node_unexpected(node, "appups", answer, err);
    const struct nzd_term *rows = nzd_term_at(answer, 1);
    for (uint32_t i = 0; i < nzd_term_length(rows) && !code; i++)
        code = add_appup(out, nzd_term_at(rows, i), err);
    return code;
}
