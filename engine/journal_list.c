/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd_journal.h"

#include "describe.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHAT_LEAST  28u /* columns */
#define RIGHT_WIDTH 20  /* "reboot pending 48 ms" */

struct line {
    uint64_t id;
    enum nzd_state state;
    struct nzd_digest base;
    char when[40];
    const char *what;
    char took[32];
    const char *on; /* "counter 0.1.0 (/srv/counter)" */
    bool marked;    /* in force over its base */
    uint64_t force; /* on the newest line of a base: what is, or 0 */
    json_t *json;
};

struct list {
    struct nzd_arena arena;
    bool json;
    struct line *lines;
    size_t count;
    size_t capacity;
};

static struct line *add_line(struct list *list)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 32;
        struct line *lines =
            realloc(list->lines, capacity * sizeof(*list->lines));

        if (!lines)
            return NULL;
        list->lines = lines;
        list->capacity = capacity;
    }
    memset(&list->lines[list->count], 0, sizeof(*list->lines));
    return &list->lines[list->count++];
}

static const char *text_of(const char *text)
{
    return text ? text : "";
}

/* In the arena, NULL without memory; clears `buf`. */
static const char *keep(struct nzd_arena *arena, struct nzd_buf *buf)
{
    const char *text =
        buf->failed ? NULL
                    : nzd_arena_text(arena, nzd_buf_string(buf), buf->size);

    nzd_buf_clear(buf);
    return text;
}

static const char *what_of(struct nzd_arena *arena, const struct nzd_txn *txn)
{
    struct nzd_buf what = {0};

    nzd_buf_printf(&what, "%-9s", nzd_describe_kind(txn->kind));
    nzd_printable(&what, nzd_view_text(text_of(txn->from_version)));
    nzd_buf_text(&what, " -> ");
    nzd_printable(&what, nzd_view_text(text_of(txn->to_version)));
    return keep(arena, &what);
}

static const char *base_of(struct nzd_arena *arena, const struct nzd_txn *txn)
{
    struct nzd_buf on = {0};

    nzd_printable(&on, nzd_view_text(text_of(txn->release)));
    nzd_buf_text(&on, " ");
    nzd_printable(&on, nzd_view_text(text_of(txn->base_version)));
    if (txn->base_path && txn->base_path[0]) {
        nzd_buf_text(&on, " (");
        nzd_printable(&on, nzd_view_text(txn->base_path));
        nzd_buf_text(&on, ")");
    }
    return keep(arena, &on);
}

static int collect(void *context, const struct nzd_txn *txn)
{
    struct list *list = context;
    struct line *line = add_line(list);

    if (!line)
        return NZD_EINTERNAL;
    line->id = txn->id;
    line->state = txn->state;
    line->base = txn->base;
    nzd_format_time(line->when, txn->opened_us);
    if (!nzd_state_is_open(txn->state))
        nzd_format_duration(line->took, txn->took_us);
    line->what = what_of(&list->arena, txn);
    line->on = base_of(&list->arena, txn);
    if (list->json)
        line->json = nzd_json_txn(txn, false);
    return line->what && line->on ? 0 : NZD_EINTERNAL;
}

int nzd_journal_view_force(const struct nzd_journal_view *view,
                           const struct nzd_digest *base, uint64_t *out,
                           struct nzd_err *err)
{
    struct nzd_err none = NZD_ERR_INIT;
    struct nzd_txn txn = {0};
    int rc = nzd_journal_in_force(view->journal, base, &txn, &none);

    *out = rc == 0 ? txn.id : 0;
    nzd_txn_clear(&txn);
    if (rc < 0 && rc != NZD_ENOTFOUND)
        return nzd_err_set(err, rc, "%s", none.message);
    return 0;
}

static bool seen_before(const struct list *list, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (nzd_digest_equal(&list->lines[i].base, &list->lines[at].base))
            return true;
    }
    return false;
}

/* For every base: which transaction is in force over it. */
static int mark(const struct nzd_journal_view *view, struct list *list,
                struct nzd_err *err)
{
    for (size_t i = 0; i < list->count; i++) {
        struct line *line = &list->lines[i];
        int rc;

        if (seen_before(list, i))
            continue;
        rc = nzd_journal_view_force(view, &line->base, &line->force, err);
        if (rc < 0)
            return rc;
        for (size_t j = i; line->force != 0 && j < list->count; j++) {
            if (list->lines[j].id == line->force)
                list->lines[j].marked = true;
        }
    }
    return 0;
}

static char color_of(enum nzd_state state)
{
    switch (state) {
    case NZD_STATE_COMMITTED:
        return 'g';
    case NZD_STATE_FAILED:
    case NZD_STATE_QUARANTINED:
        return 'r';
    case NZD_STATE_ABORTED:
        return 'd';
    default:
        return 'y';
    }
}

static void print_line(const struct nzd_journal_view *view,
                       const struct line *line, size_t width)
{
    const char *outcome = nzd_describe_state(line->state);
    char lead[64];
    struct nzd_buf text = {0};

    snprintf(lead, sizeof(lead), "%c %3" PRIu64 "  %s  ",
             line->marked ? '*' : ' ', line->id, line->when);
    nzd_buf_printf(&text, "%s%*s", line->what,
                   (int)(width - nzd_columns(line->what)), "");
    nzd_buf_printf(&text, "%s%s%s",
                   nzd_color(view->output, color_of(line->state)), outcome,
                   nzd_color(view->output, '0'));
    nzd_buf_printf(&text, "%*s", RIGHT_WIDTH - (int)strlen(outcome),
                   line->took);
    nzd_output_line(view->output, "%s%s", lead, nzd_buf_string(&text));
    nzd_buf_clear(&text);
}

static void print_list(const struct nzd_journal_view *view,
                       const struct list *list)
{
    size_t width = WHAT_LEAST;

    for (size_t i = 0; i < list->count; i++) {
        size_t columns = nzd_columns(list->lines[i].what) + 2;

        width = columns > width ? columns : width;
    }
    nzd_output_line(view->output,
                    "  TXN  WHEN (UTC)           WHAT%*sOUTCOME%*s",
                    (int)width - 4, "", RIGHT_WIDTH - 7, "TOOK");
    for (size_t i = 0; i < list->count; i++)
        print_line(view, &list->lines[i], width);
    for (size_t i = 0; i < list->count; i++) {
        if (list->lines[i].force != 0)
            nzd_output_line(view->output, "* in force, on base %s",
                            list->lines[i].on);
    }
}

static void list_json(const struct nzd_journal_view *view,
                      const struct list *list)
{
    json_t *object = json_object();
    json_t *rows = json_array();

    for (size_t i = 0; i < list->count; i++) {
        const struct line *line = &list->lines[i];

        if (line->marked)
            json_object_set_new(line->json, "in_force", json_true());
        json_array_append(rows, line->json);
    }
    json_object_set_new(object, "journal", nzd_json_text(view->directory));
    json_object_set_new(object, "transactions", rows);
    nzd_output_json(view->output, object);
}

int nzd_journal_view_list(const struct nzd_journal_view *view,
                          struct nzd_err *err)
{
    struct list list = {.json = view->output->json};
    int rc = nzd_journal_each_txn(view->journal, collect, &list, err);

    if (rc < 0) {
        rc = nzd_err_memory(err);
        goto out;
    }
    rc = mark(view, &list, err);
    if (rc < 0)
        goto out;
    if (view->output->json)
        list_json(view, &list);
    else if (list.count == 0)
        nzd_output_line(view->output, "no transactions in %s", view->directory);
    else
        print_list(view, &list);
out:
    for (size_t i = 0; i < list.count; i++)
        json_decref(list.lines[i].json);
    free(list.lines);
    nzd_arena_clear(&list.arena);
    return rc;
}
