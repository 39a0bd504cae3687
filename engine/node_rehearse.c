/* SPDX-License-Identifier: Apache-2.0 */
#include "node_internal.h"

#include <stdlib.h>
#include <string.h>

/* What the agent adds to the time it is given, and what its answer takes. */
#define SLACK_US 15000000u

static void put_parts(struct nzd_buf *out, const struct nzd_rehearse_job *job)
{
    nzd_etf_list(out, job->part_count);
    for (uint32_t i = 0; i < job->part_count; i++) {
        const struct nzd_rehearse_part *part = &job->parts[i];
        nzd_etf_tuple(out, 5);
        nzd_etf_atom(out, part->module);
        nzd_etf_atom(out, part->shadow);
        if (part->attributes) {
            struct nzd_buf term = {0};
            nzd_etf_version(&term);
            nzd_term_encode(part->attributes, &term);
            nzd_etf_tuple(out, 2);
            nzd_etf_atom(out, "down");
            nzd_etf_binary(out, nzd_buf_view(&term));
            out->failed = out->failed || term.failed;
            nzd_buf_clear(&term);
        } else {
            nzd_etf_atom(out, "up");
        }
        nzd_etf_atom(out, part->calls_funs ? "true" : "false");
        if (part->extra)
            nzd_term_encode(part->extra, out);
        else
            nzd_etf_list(out, 0);
    }
    if (job->part_count)
        nzd_etf_nil(out);
}

static void put_job(struct nzd_buf *out, const struct nzd_rehearse_job *job)
{
    nzd_etf_tuple(out, 4);
    nzd_etf_atom(out, "rehearse");
    put_parts(out, job);
    nzd_etf_list(out, job->code_count);
    for (uint32_t i = 0; i < job->code_count; i++) {
        nzd_etf_tuple(out, 2);
        nzd_etf_atom(out, job->code[i].shadow);
        nzd_etf_binary(out, job->code[i].bytes);
    }
    if (job->code_count)
        nzd_etf_nil(out);
    nzd_etf_tuple(out, 5);
    nzd_etf_unsigned(out, job->processes);
    nzd_etf_unsigned(out, job->read_us / 1000);
    nzd_etf_unsigned(out, job->change_us / 1000);
    nzd_etf_unsigned(out, job->all_us / 1000);
    nzd_etf_unsigned(out, job->bytes);
}

/* --- the answer ---------------------------------------------------------- */

static const char *text_in(struct nzd_arena *arena, const struct nzd_term *term)
{
    const char *text = nzd_term_text(term, arena);
    char *copy = text ? nzd_arena_text(arena, text, strlen(text)) : NULL;
    return copy ? copy : "";
}

static const char *stack_in(struct nzd_arena *arena,
                            const struct nzd_term *frames)
{
    struct nzd_buf text = {0};
    for (uint32_t i = 0; i < nzd_term_length(frames); i++)
        nzd_buf_printf(&text, "%s%s", i ? ", from " : "",
                       text_in(arena, nzd_term_at(frames, i)));
    const char *line = nzd_buf_string(&text);
    char *copy = line ? nzd_arena_text(arena, line, strlen(line)) : NULL;
    nzd_buf_clear(&text);
    return copy ? copy : "";
}

static uint64_t count_of(const struct nzd_term *term)
{
    int64_t value = 0;
    return nzd_term_integer(term, &value) && value > 0 ? (uint64_t)value : 0;
}

static int read_notes(const struct nzd_term *rows, struct nzd_arena *arena,
                      struct nzd_rehearsal_part *out, struct nzd_err *err)
{
    uint32_t count = nzd_term_length(rows);
    out->notes = nzd_arena_alloc(arena, (count + 1) * sizeof *out->notes);
    if (!out->notes)
        return nzd_err_memory(err);
    for (uint32_t i = 0; i < count; i++) {
        const struct nzd_term *row = nzd_term_at(rows, i);
        out->notes[out->note_count++] = (struct nzd_rehearsal_note){
            .failed = nzd_term_is_tagged(row, "failed", 6),
            .pid = text_in(arena, nzd_term_at(row, 1)),
            .name = text_in(arena, nzd_term_at(row, 2)),
            .why = text_in(arena, nzd_term_at(row, 3)),
            .shape = text_in(arena, nzd_term_at(row, 4)),
            .stack = stack_in(arena, nzd_term_at(row, 5)),
        };
    }
    return 0;
}

static int read_parts(struct nzd_node *node, const struct nzd_rehearse_job *job,
                      const struct nzd_term *answer, struct nzd_arena *arena,
                      struct nzd_rehearsal_part *out, struct nzd_err *err)
{
    const struct nzd_term *rows = nzd_term_at(answer, 1);
    int code = 0;
    if (nzd_term_length(rows) != job->part_count)
        return nzd_node_unexpected(node, "rehearse", answer, err);
    for (uint32_t i = 0; i < job->part_count && !code; i++) {
        const struct nzd_term *row = nzd_term_at(rows, i);
        out[i] = (struct nzd_rehearsal_part){
            .module = job->parts[i].module,
            .processes = (uint32_t)count_of(nzd_term_at(row, 1)),
            .well = (uint32_t)count_of(nzd_term_at(row, 2)),
            .us = count_of(nzd_term_at(row, 3)),
        };
        code = read_notes(nzd_term_at(row, 4), arena, &out[i], err);
    }
    return code;
}

/* {error, {busy | rehearsal, Text}}: it did not come to an end. */
static int refused(struct nzd_node *node, const struct nzd_term *answer,
                   struct nzd_arena *arena, struct nzd_err *err)
{
    const struct nzd_term *why = nzd_term_at(answer, 1);
    if (!nzd_term_is_tagged(answer, "error", 2) ||
        !(nzd_term_is_tagged(why, "busy", 2) ||
          nzd_term_is_tagged(why, "rehearsal", 2)))
        return nzd_node_unexpected(node, "rehearse", answer, err);
    return nzd_err_set(err, NZD_EREFUSED, "the rehearsal on %s failed: %s",
                       nzd_node_name(node),
                       text_in(arena, nzd_term_at(why, 1)));
}

int nzd_node_rehearse(struct nzd_node *node, const struct nzd_rehearse_job *job,
                      struct nzd_arena *arena, struct nzd_rehearsal_part *out,
                      struct nzd_err *err)
{
    const struct nzd_term *answer = NULL;
    struct nzd_buf *request = nzd_node_begin_request(node);
    put_job(request, job);
    int code =
        nzd_node_ask(node, request, job->all_us + SLACK_US, &answer, err);
    if (code)
        return code;
    if (!nzd_term_is_tagged(answer, "rehearsed", 2))
        return refused(node, answer, arena, err);
    return read_parts(node, job, answer, arena, out, err);
}
