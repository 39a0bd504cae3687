/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd_journal.h"

#include "trial.h"

#include <inttypes.h>
#include <stdio.h>

#define LABEL_WIDTH 12 /* "would drop" and a rest */

static void line(const struct nzd_journal_view *view, const char *label,
                 struct nzd_buf *text)
{
    nzd_output_line(view->output, "%-*s%s", LABEL_WIDTH, label,
                    nzd_buf_string(text));
    nzd_buf_clear(text);
}

static void count_of(struct nzd_buf *out, uint64_t count, const char *what)
{
    nzd_buf_printf(out, "%" PRIu64 " %s%s", count, what, count == 1 ? "" : "s");
}

static void blobs_of(struct nzd_buf *out, uint64_t count, uint64_t bytes)
{
    char size[32];

    nzd_format_bytes(size, bytes);
    count_of(out, count, "blob");
    nzd_buf_printf(out, ", %s", size);
}

static void print_dropped(const struct nzd_journal_view *view, bool dry_run,
                          const struct nzd_collection *found)
{
    const char *label = dry_run ? "would drop" : "dropped";
    struct nzd_buf text = {0};

    if (found->dropped == 0 && found->loose_blobs == 0) {
        nzd_buf_text(&text, "nothing");
        line(view, label, &text);
        return;
    }
    count_of(&text, found->dropped, "transaction");
    if (found->dropped == 1)
        nzd_buf_printf(&text, " (%" PRIu64 ")", found->first);
    else if (found->dropped > 1)
        nzd_buf_printf(&text, " (%" PRIu64 " to %" PRIu64 ")", found->first,
                       found->first + found->dropped - 1);
    nzd_buf_text(&text, ", ");
    blobs_of(&text, found->loose_blobs, found->loose_bytes);
    line(view, label, &text);
}

/* "1 in force, 20 newest" as far as there are any. */
static void reason(struct nzd_buf *out, const char **before, uint64_t count,
                   const char *what)
{
    if (count == 0)
        return;
    nzd_buf_printf(out, "%s%" PRIu64 " %s", *before, count, what);
    *before = ", ";
}

static uint64_t between(const struct nzd_collection *found)
{
    return found->held - found->in_force - found->open - found->kept;
}

static void print_held(const struct nzd_journal_view *view,
                       const struct nzd_collection *found)
{
    struct nzd_buf text = {0};
    const char *before = ": ";

    count_of(&text, found->held, "transaction");
    reason(&text, &before, found->in_force, "in force");
    reason(&text, &before, found->open, "open");
    reason(&text, &before, found->kept, "of the newest");
    reason(&text, &before, between(found), "since an older one that stays");
    line(view, "held", &text);
    before = ": ";
    blobs_of(&text, found->held_blobs, found->held_bytes);
    reason(&text, &before, found->live_blobs, "in force or of the base");
    reason(&text, &before, found->held_blobs - found->live_blobs,
           "to undo or go back");
    line(view, "", &text);
}

static uint64_t reusable(const struct nzd_journal_stat *stat)
{
    return stat->file_bytes > stat->used_bytes
               ? stat->file_bytes - stat->used_bytes
               : 0;
}

static void print_file(const struct nzd_journal_view *view,
                       const struct nzd_journal_stat *stat)
{
    struct nzd_buf text = {0};
    char file[32];
    char again[32];

    nzd_format_bytes(file, stat->file_bytes);
    nzd_format_bytes(again, reusable(stat));
    nzd_buf_printf(&text, "%s, %s of it free for reuse; it does not shrink",
                   file, again);
    line(view, "file", &text);
}

static void set(json_t *object, const char *key, uint64_t value)
{
    json_object_set_new(object, key, json_integer((json_int_t)value));
}

static json_t *dropped_json(const struct nzd_collection *found)
{
    json_t *object = json_object();

    set(object, "transactions", found->dropped);
    set(object, "first", found->dropped ? found->first : 0);
    set(object, "last", found->dropped ? found->first + found->dropped - 1 : 0);
    set(object, "blobs", found->loose_blobs);
    set(object, "blob_bytes", found->loose_bytes);
    return object;
}

static json_t *held_json(const struct nzd_collection *found)
{
    json_t *object = json_object();

    set(object, "transactions", found->held);
    set(object, "in_force", found->in_force);
    set(object, "open", found->open);
    set(object, "newest", found->kept);
    set(object, "since_older", between(found));
    set(object, "blobs", found->held_blobs);
    set(object, "blob_bytes", found->held_bytes);
    set(object, "blobs_live", found->live_blobs);
    return object;
}

static void answer_json(const struct nzd_journal_view *view, bool dry_run,
                        const struct nzd_collection *found,
                        const struct nzd_journal_stat *stat)
{
    json_t *object = json_object();

    json_object_set_new(object, "journal", nzd_json_text(view->directory));
    json_object_set_new(object, "dry_run", json_boolean(dry_run));
    json_object_set_new(object, "dropped", dropped_json(found));
    json_object_set_new(object, "held", held_json(found));
    set(object, "file_bytes", stat->file_bytes);
    set(object, "used_bytes", stat->used_bytes);
    set(object, "reusable_bytes", reusable(stat));
    nzd_output_json(view->output, object);
}

/* An open transaction needs what it has, and says so itself when settled. */
static int refuse_open(const struct nzd_journal_view *view, struct nzd_err *err)
{
    struct nzd_txn txn = {0};
    int rc = nzd_journal_open_txn(view->journal, &txn, err);

    if (rc == NZD_ENOTFOUND) {
        nzd_err_clear(err);
        return 0;
    }
    if (rc == 0 && txn.state == NZD_STATE_TRIAL) {
        rc = nzd_trial_refuse(&txn, nzd_trial_left(&txn), err);
    } else if (rc == 0) {
        rc = nzd_err_set(err, NZD_EBUSY, "transaction %" PRIu64 " is open (%s)",
                         txn.id, nzd_state_name(txn.state));
        nzd_err_untouched(err, "the journal");
        nzd_err_next(err, "nzd recover");
    }
    nzd_txn_clear(&txn);
    return rc;
}

int nzd_journal_view_collect(const struct nzd_journal_view *view, bool dry_run,
                             bool *changed, struct nzd_err *err)
{
    struct nzd_collection found = {0};
    struct nzd_journal_stat stat = {0};
    int rc = refuse_open(view, err);

    if (rc == 0)
        rc = dry_run ? nzd_journal_collect_look(view->journal, &found, err)
                     : nzd_journal_collect(view->journal, &found, err);
    if (rc < 0)
        return rc;
    *changed = !dry_run;
    rc = nzd_journal_stat(view->journal, &stat, err);
    if (rc < 0)
        return rc;
    if (view->output->json) {
        answer_json(view, dry_run, &found, &stat);
        return 0;
    }
    print_dropped(view, dry_run, &found);
    print_held(view, &found);
    print_file(view, &stat);
    return 0;
}
