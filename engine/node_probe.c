/* SPDX-License-Identifier: Apache-2.0 */
#include "node_internal.h"

#include "node_act.h"

#include <stdio.h>
#include <string.h>

static uint64_t number(const struct nzd_term *map, const char *key)
{
    int64_t value = 0;
    return nzd_term_integer(nzd_term_get(map, key), &value) && value > 0
               ? (uint64_t)value
               : 0;
}

static void text(const struct nzd_term *map, const char *key, char *out,
                 size_t size)
{
    const struct nzd_term *term = nzd_term_get(map, key);
    struct nzd_buf shown = {0};
    if (term && term->kind == NZD_TERM_BINARY)
        nzd_printable(&shown, term->text);
    snprintf(out, size, "%s", nzd_buf_string(&shown));
    nzd_buf_clear(&shown);
}

int nzd_node_readings(struct nzd_node *node, struct nzd_reading *out,
                      struct nzd_err *err)
{
    const struct nzd_term *answer = NULL;
    memset(out, 0, sizeof *out);
    nzd_etf_atom(nzd_node_begin_request(node), "readings");
    int code = nzd_node_asked(node, &answer, err);
    if (code)
        return code;
    if (!nzd_term_is_tagged(answer, "readings", 2))
        return nzd_node_unexpected(node, "readings", answer, err);
    const struct nzd_term *map = nzd_term_at(answer, 1);
    out->us = number(map, "us");
    out->crashes = number(map, "crashes");
    out->restarts = number(map, "restarts");
    out->processes = number(map, "processes");
    out->memory = number(map, "memory");
    out->queue = number(map, "queue");
    out->run_queue = number(map, "run_queue");
    out->latency_us = number(map, "latency_us");
    out->reports = nzd_term_is_atom(nzd_term_get(map, "reports"), "true");
    text(map, "queue_of", out->queue_of, sizeof out->queue_of);
    text(map, "said", out->said, sizeof out->said);
    return 0;
}

int nzd_node_watch(struct nzd_node *node, struct nzd_err *err)
{
    return nzd_node_act(node, "watch", err);
}
