/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd_journal.h"

#include "describe.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define HEAD_ENDS   76u /* columns */
#define TIMES_END   78u
#define FIELD_WIDTH 80u
#define NAME_WIDEST 40u /* of a module, before its columns give way */
#define NAME_LEAST  16u

/* --- the record ------------------------------------------------------ */

static bool given(const char *text)
{
    return text && text[0];
}

static const char *text_of(const char *text)
{
    return text ? text : "";
}

/* Whole texts are made printable here, so that not even our own colours come
 * out of a record. */
static void put_row(const struct nzd_journal_view *view, const char *lead,
                    const char *text, const char *right, unsigned column)
{
    struct nzd_buf safe = {0};

    nzd_printable(&safe, nzd_view_text(text));
    nzd_output_row(view->output, lead, nzd_buf_string(&safe), right, column);
    nzd_buf_clear(&safe);
}

static const char *file_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash && slash[1] ? slash + 1 : path;
}

static void print_head(const struct nzd_journal_view *view,
                       const struct nzd_txn *txn)
{
    struct nzd_buf lead = {0};
    struct nzd_buf text = {0};

    nzd_buf_printf(&lead, "transaction %" PRIu64 "   ", txn->id);
    nzd_buf_printf(&text, "%-7s %s %s -> %s", nzd_describe_kind(txn->kind),
                   text_of(txn->release), text_of(txn->from_version),
                   text_of(txn->to_version));
    put_row(view, nzd_buf_string(&lead), nzd_buf_string(&text),
            nzd_describe_state(txn->state), HEAD_ENDS);
    nzd_buf_clear(&lead);
    nzd_buf_clear(&text);
}

static void print_field(const struct nzd_journal_view *view, const char *name,
                        struct nzd_buf *text)
{
    char lead[16];

    snprintf(lead, sizeof(lead), "  %-9s", name);
    put_row(view, lead, nzd_buf_string(text), "", FIELD_WIDTH);
    nzd_buf_clear(text);
}

static void print_node(const struct nzd_journal_view *view,
                       const struct nzd_txn *txn)
{
    struct nzd_buf text = {0};
    char digest[9];

    nzd_describe_digest(digest, &txn->base);
    nzd_buf_text(&text, text_of(txn->node));
    if (txn->vm.boot_id[0])
        nzd_buf_printf(&text, ", boot %.4s", txn->vm.boot_id);
    nzd_buf_printf(&text, ", base %s %s %s", text_of(txn->release),
                   text_of(txn->base_version), digest);
    print_field(view, "node", &text);
}

static void print_bundle(const struct nzd_journal_view *view,
                         const struct nzd_txn *txn)
{
    struct nzd_buf text = {0};
    char digest[9];
    char size[32];

    if (given(txn->source)) {
        nzd_describe_digest(digest, &txn->bundle);
        nzd_format_bytes(size, txn->bundle_bytes);
        nzd_buf_printf(&text, "%s, %s, xxh3 %s", file_of(txn->source), size,
                       digest);
        if (given(txn->operator_name))
            nzd_buf_printf(&text, ", by %s", txn->operator_name);
        print_field(view, "bundle", &text);
    } else if (given(txn->operator_name)) {
        nzd_buf_text(&text, txn->operator_name);
        print_field(view, "by", &text);
    }
}

/* Why it failed, and what leads away from here. */
static void print_ways(const struct nzd_journal_view *view,
                       const struct nzd_txn *txn, bool in_force)
{
    struct nzd_buf text = {0};

    if (given(txn->why)) {
        nzd_buf_text(&text, txn->why);
        print_field(view, "why", &text);
    }
    if (txn->state != NZD_STATE_COMMITTED)
        return;
    if (in_force) {
        nzd_buf_text(&text, "nzd rollback");
        print_field(view, "undo", &text);
    } else {
        nzd_buf_printf(&text, "nzd rollback --to %" PRIu64, txn->id);
        print_field(view, "back to", &text);
    }
}

/* --- the timeline ---------------------------------------------------- */

struct timeline {
    const struct nzd_journal_view *view;
    bool begun;
    json_t *json;
};

/* The first event and those of a later process, which knows no time since
 * the opening, stand at their time of day. */
static void time_of(char out[40], const struct nzd_event *event, bool begun)
{
    uint64_t ms = (event->mono_us + 500) / 1000;

    if (!begun || event->mono_us == 0)
        nzd_format_clock(out, event->at_us);
    else if (ms < 1000)
        snprintf(out, 40, "+%" PRIu64 " ms", ms);
    else if (ms < 600000)
        snprintf(out, 40, "+%" PRIu64 ".%" PRIu64 " s", ms / 1000,
                 ms % 1000 / 100);
    else
        snprintf(out, 40, "+%" PRIu64 " s", ms / 1000);
}

static void print_output_line(const struct nzd_journal_view *view,
                              const char *text, size_t size)
{
    struct nzd_buf line = {0};

    if (size > 0 && text[size - 1] == '\r')
        size--;
    while (size > 0) {
        const char *tab = memchr(text, '\t', size);
        size_t run = tab ? (size_t)(tab - text) : size;

        nzd_printable(&line, nzd_view_of(text, run));
        if (tab)
            nzd_buf_text(&line, "    ");
        run += tab != NULL;
        text += run;
        size -= run;
    }
    nzd_output_line(view->output, "%26s| %s", "", nzd_buf_string(&line));
    nzd_buf_clear(&line);
}

static void print_output(const struct nzd_journal_view *view, const char *text)
{
    while (*text) {
        size_t size = strcspn(text, "\n");

        print_output_line(view, text, size);
        text += size;
        if (*text == '\n')
            text++;
    }
}

static int print_event(void *context, const struct nzd_event *event)
{
    struct timeline *timeline = context;
    struct nzd_buf lead = {0};
    char took[32] = "";
    char at[40];

    time_of(at, event, timeline->begun);
    timeline->begun = true;
    if (event->took_us > 0)
        nzd_format_took(took, event->took_us);
    nzd_buf_printf(&lead, "  %12s  ", at);
    nzd_printable(&lead, nzd_view_text(text_of(event->label)));
    nzd_buf_u8(&lead, ' ');
    while (lead.size < 26 && !lead.failed)
        nzd_buf_u8(&lead, ' ');
    put_row(timeline->view, nzd_buf_string(&lead), text_of(event->text), took,
            TIMES_END);
    nzd_buf_clear(&lead);
    print_output(timeline->view, text_of(event->output));
    return 0;
}

static int append_event(void *context, const struct nzd_event *event)
{
    struct timeline *timeline = context;

    return json_array_append_new(timeline->json, nzd_json_event(event)) == 0
               ? 0
               : NZD_EINTERNAL;
}

/* --- the modules and files ------------------------------------------- */

struct table {
    const struct nzd_journal_view *view;
    size_t width;
    size_t count;
    json_t *json;
};

static void name_of(const struct nzd_module_row *row, struct nzd_buf *out)
{
    nzd_printable(out, nzd_view_text(text_of(row->module)));
}

static int measure(void *context, const struct nzd_module_row *row)
{
    struct table *table = context;
    struct nzd_buf name = {0};
    size_t columns;

    name_of(row, &name);
    columns = nzd_columns(nzd_buf_string(&name)) + 2;
    nzd_buf_clear(&name);
    if (columns > table->width)
        table->width = columns < NAME_WIDEST ? columns : NAME_WIDEST;
    table->count++;
    return 0;
}

static int print_module(void *context, const struct nzd_module_row *row)
{
    struct table *table = context;
    struct nzd_buf name = {0};
    struct nzd_buf application = {0};
    char old_md5[9];
    char new_md5[9];
    size_t columns;

    name_of(row, &name);
    columns = nzd_columns(nzd_buf_string(&name));
    nzd_printable(&application, nzd_view_text(text_of(row->application)));
    nzd_describe_digest(old_md5, &row->old_md5);
    nzd_describe_digest(new_md5, &row->new_md5);
    nzd_output_line(table->view->output, "  %c %s%*s%-8s  %-8s  %s",
                    nzd_describe_sign(row->change), nzd_buf_string(&name),
                    columns < table->width ? (int)(table->width - columns) : 1,
                    "", old_md5, new_md5, nzd_buf_string(&application));
    nzd_buf_clear(&application);
    nzd_buf_clear(&name);
    return 0;
}

static int append_module(void *context, const struct nzd_module_row *row)
{
    struct table *table = context;

    return json_array_append_new(table->json, nzd_json_module(row)) == 0
               ? 0
               : NZD_EINTERNAL;
}

/* What a reader looks for: a specification says nothing beside its modules. */
static bool is_listed(const struct nzd_module_row *row)
{
    return strncmp(row->module, NZD_FILE_APP, strlen(NZD_FILE_APP)) != 0 &&
           strcmp(row->module, NZD_FILE_KEPT) != 0 &&
           strcmp(row->module, NZD_FILE_EXTRAS) != 0;
}

static int measure_file(void *context, const struct nzd_module_row *row)
{
    return is_listed(row) ? measure(context, row) : 0;
}

static int print_file(void *context, const struct nzd_module_row *row)
{
    return is_listed(row) ? print_module(context, row) : 0;
}

typedef int each_row(struct nzd_journal *journal, uint64_t id,
                     int (*each)(void *context,
                                 const struct nzd_module_row *row),
                     void *context, struct nzd_err *err);

static int print_table(const struct nzd_journal_view *view, uint64_t id,
                       bool files, struct nzd_err *err)
{
    struct table table = {.view = view, .width = NAME_LEAST};
    each_row *each = files ? nzd_journal_each_file : nzd_journal_each_module;
    int rc =
        each(view->journal, id, files ? measure_file : measure, &table, err);

    if (rc < 0 || table.count == 0)
        return rc;
    nzd_output_line(view->output, "%s", "");
    nzd_output_line(view->output, "  %-*s%-8s  %-8s  %s", (int)table.width + 2,
                    files ? "FILE" : "MODULE", "OLD", "NEW", "APPLICATION");
    return each(view->journal, id, files ? print_file : print_module, &table,
                err);
}

/* --- together -------------------------------------------------------- */

static int entry_text(const struct nzd_journal_view *view,
                      const struct nzd_txn *txn, bool in_force,
                      struct nzd_err *err)
{
    struct timeline timeline = {.view = view};
    int rc;

    print_head(view, txn);
    print_node(view, txn);
    print_bundle(view, txn);
    print_ways(view, txn, in_force);
    nzd_output_line(view->output, "%s", "");
    rc = nzd_journal_each_event(view->journal, txn->id, print_event, &timeline,
                                err);
    if (rc == 0)
        rc = print_table(view, txn->id, false, err);
    return rc ? rc : print_table(view, txn->id, true, err);
}

static int entry_json(const struct nzd_journal_view *view,
                      const struct nzd_txn *txn, bool in_force,
                      struct nzd_err *err)
{
    json_t *object = nzd_json_txn(txn, in_force);
    struct timeline timeline = {.view = view, .json = json_array()};
    struct table table = {.view = view, .json = json_array()};
    struct table files = {.view = view, .json = json_array()};
    int rc = nzd_journal_each_event(view->journal, txn->id, append_event,
                                    &timeline, err);

    if (rc == 0)
        rc = nzd_journal_each_module(view->journal, txn->id, append_module,
                                     &table, err);
    if (rc == 0)
        rc = nzd_journal_each_file(view->journal, txn->id, append_module,
                                   &files, err);
    json_object_set_new(object, "events", timeline.json);
    json_object_set_new(object, "modules", table.json);
    json_object_set_new(object, "files", files.json);
    if (rc == 0)
        nzd_output_json(view->output, object);
    else
        json_decref(object);
    return rc < 0 && err->code == NZD_OK ? nzd_err_memory(err) : rc;
}

/* The record that was asked for is not there. */
static int not_held(const struct nzd_journal_view *view, uint64_t id,
                    struct nzd_err *err)
{
    struct nzd_journal_stat stat;
    int rc;

    nzd_err_clear(err);
    rc = nzd_journal_stat(view->journal, &stat, err);
    if (rc < 0)
        return rc;
    if (stat.transactions == 0)
        return nzd_err_set(err, NZD_EUSAGE,
                           "transaction %" PRIu64 " is not held, nor any other",
                           id);
    nzd_err_next(err, "nzd journal show");
    return nzd_err_set(err, NZD_EUSAGE,
                       "transaction %" PRIu64 " is not held: %" PRIu64
                       " to %" PRIu64 " are",
                       id, stat.first, stat.last);
}

int nzd_journal_view_entry(const struct nzd_journal_view *view, uint64_t id,
                           struct nzd_err *err)
{
    struct nzd_txn txn = {0};
    uint64_t force = 0;
    int rc = nzd_journal_txn(view->journal, id, &txn, err);

    if (rc == NZD_ENOTFOUND)
        return not_held(view, id, err);
    if (rc == 0)
        rc = nzd_journal_view_force(view, &txn.base, &force, err);
    if (rc == 0)
        rc = view->output->json ? entry_json(view, &txn, force == id, err)
                                : entry_text(view, &txn, force == id, err);
    nzd_txn_clear(&txn);
    return rc;
}
