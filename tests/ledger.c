/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void ledger_check(struct ledger *ledger, int rc, int expected, const char *call,
                  const char *file, int line)
{
    if (rc != expected) {
        print_error("%s gave %s, not %s: %s\n", call, nzd_err_name(rc),
                    nzd_err_name(expected), ledger->err.message);
        _fail(file, line);
    }
    if (rc != NZD_OK && ledger->err.code != rc) {
        print_error("%s gave %s but says %s\n", call, nzd_err_name(rc),
                    nzd_err_name(ledger->err.code));
        _fail(file, line);
    }
    nzd_err_clear(&ledger->err);
}

void ledger_make(struct ledger *ledger)
{
    memset(ledger, 0, sizeof(*ledger));
    tree_open(&ledger->tree);
    (void)snprintf(ledger->directory, sizeof(ledger->directory), "%s/a/journal",
                   ledger->tree.root);
    ledger->options.purpose = "test";
    ledger->options.no_sync = 1;
    ledger->base = nzd_digest_of(nzd_view_text("base"));
}

void ledger_drop(struct ledger *ledger)
{
    ledger_close(ledger);
    tree_close(&ledger->tree);
}

void ledger_open(struct ledger *ledger, enum nzd_journal_mode mode)
{
    ledger_ok(ledger,
              nzd_journal_open(ledger->directory, mode, &ledger->options,
                               &ledger->journal, &ledger->err));
}

void ledger_close(struct ledger *ledger)
{
    nzd_journal_close(ledger->journal);
    ledger->journal = NULL;
}

void ledger_reopen(struct ledger *ledger)
{
    ledger_close(ledger);
    ledger_open(ledger, NZD_JOURNAL_WRITE);
}

int ledger_set_up(void **state)
{
    struct ledger *ledger = calloc(1, sizeof(*ledger));

    assert_non_null(ledger);
    ledger_make(ledger);
    *state = ledger;
    return 0;
}

int ledger_set_up_open(void **state)
{
    (void)ledger_set_up(state);
    ledger_open(*state, NZD_JOURNAL_CREATE);
    return 0;
}

int ledger_tear_down(void **state)
{
    ledger_drop(*state);
    free(*state);
    return 0;
}

void ledger_open_fails(struct ledger *ledger, enum nzd_journal_mode mode,
                       int code, const char *part)
{
    int rc = nzd_journal_open(ledger->directory, mode, &ledger->options,
                              &ledger->journal, &ledger->err);

    if (rc != NZD_OK && !strstr(ledger->err.message, part))
        fail_msg("\"%s\" does not say \"%s\"", ledger->err.message, part);
    ledger_fails(ledger, rc, code);
    assert_null(ledger->journal);
}

struct nzd_digest ledger_put(struct ledger *ledger, const char *text)
{
    struct nzd_view view = nzd_view_text(text);
    struct nzd_digest digest = {{0}};

    ledger_ok(ledger, nzd_journal_put_blobs(ledger->journal, &view, 1, &digest,
                                            NULL, &ledger->err));
    return digest;
}

bool ledger_has(struct ledger *ledger, const char *text)
{
    struct nzd_digest digest = nzd_digest_of(nzd_view_text(text));
    struct nzd_buf out = {0};
    int rc = nzd_journal_get_blob(ledger->journal, &digest, &out, &ledger->err);

    if (rc == NZD_OK)
        assert_true(nzd_view_equal(nzd_buf_view(&out), nzd_view_text(text)));
    else
        ledger_fails(ledger, rc, NZD_ENOTFOUND);
    nzd_buf_clear(&out);
    return rc == NZD_OK;
}

struct nzd_digest ledger_md5(const char *text)
{
    struct nzd_view view = nzd_view_text(text);

    return nzd_md5_of(&view, 1);
}

struct nzd_digest ledger_file_md5(const char *name, const char *text)
{
    return strncmp(name, NZD_FILE_PRIV, strlen(NZD_FILE_PRIV)) == 0
               ? ledger_md5(text)
               : nzd_digest_of(nzd_view_text(text));
}

static bool is_of_base(const char *text)
{
    return strncmp(text, "base:", 5) == 0;
}

static void make_file(struct nzd_module_row *row, const struct change *change)
{
    static char none[] = "";

    row->application = row->new_path = none;
    if (change->before)
        row->old_md5 = ledger_file_md5(change->module, change->before);
    if (change->before && is_of_base(change->before))
        memset(&row->old_blob, 0, sizeof(row->old_blob));
    if (change->after)
        row->new_md5 = ledger_file_md5(change->module, change->after);
    if (change->after && is_of_base(change->after)) {
        memset(&row->new_blob, 0, sizeof(row->new_blob));
        row->flags |= NZD_ROW_TO_BASE;
    }
}

static struct nzd_module_row row_of(struct ledger *ledger,
                                    const struct change *change)
{
    struct nzd_module_row row = {
        .module = (char *)(uintptr_t)change->module,
        .application = (char *)(uintptr_t) "app",
        .change = NZD_MODULE_CHANGED,
        .new_path = (char *)(uintptr_t) "/lib/app/x.beam",
    };

    if (!change->before)
        row.change = NZD_MODULE_ADDED;
    if (!change->after)
        row.change = NZD_MODULE_REMOVED;
    if (change->before) {
        row.old_blob = ledger_put(ledger, change->before);
        row.old_md5 = ledger_md5(change->before);
        row.old_bytes = strlen(change->before);
    }
    if (change->after) {
        row.new_blob = ledger_put(ledger, change->after);
        row.new_md5 = ledger_md5(change->after);
        row.new_bytes = strlen(change->after);
    }
    if (nzd_row_is_file(change->module))
        make_file(&row, change);
    return row;
}

static struct nzd_event event_of(enum nzd_state state)
{
    struct nzd_event event = {
        .kind = NZD_EVENT_MOVE,
        .label = (char *)(uintptr_t)nzd_state_name(state),
    };

    return event;
}

int ledger_begin(struct ledger *ledger, enum nzd_state state,
                 const struct change *changes, size_t count)
{
    struct nzd_event event = event_of(state);
    struct nzd_module_row *rows = calloc(count + 1, sizeof(*rows));
    struct nzd_move move = {
        .txn = &ledger->txn,
        .modules = rows,
        .module_count = count,
        .events = &event,
        .event_count = 1,
    };
    int rc;

    assert_non_null(rows);
    for (size_t i = 0; i < count; i++)
        rows[i] = row_of(ledger, &changes[i]);
    memset(&ledger->txn, 0, sizeof(ledger->txn));
    ledger->txn.kind = NZD_TXN_APPLY;
    ledger->txn.base = ledger->base;
    ledger->txn.state = state;
    rc = nzd_journal_move(ledger->journal, &move, &ledger->err);
    free(rows);
    return rc;
}

int ledger_move(struct ledger *ledger, enum nzd_state state)
{
    struct nzd_event event = event_of(state);
    struct nzd_move move = {
        .txn = &ledger->txn, .events = &event, .event_count = 1};

    ledger->txn.state = state;
    return nzd_journal_move(ledger->journal, &move, &ledger->err);
}

uint64_t ledger_apply(struct ledger *ledger, const struct change *changes,
                      size_t count)
{
    ledger_ok(ledger, ledger_begin(ledger, NZD_STATE_ARMED, changes, count));
    ledger_ok(ledger, ledger_move(ledger, NZD_STATE_COMMITTED));
    return ledger->txn.id;
}

uint64_t ledger_apply_one(struct ledger *ledger, const char *module,
                          const char *before, const char *after)
{
    struct change change = {module, before, after};

    return ledger_apply(ledger, &change, 1);
}

void ledger_apply_numbered(struct ledger *ledger, int from, int to)
{
    char before[32];
    char after[32];

    for (int i = from; i < to; i++) {
        (void)snprintf(before, sizeof(before), "code %d", i);
        (void)snprintf(after, sizeof(after), "code %d", i + 1);
        ledger_apply_one(ledger, "m", before, after);
    }
}

uint64_t ledger_fail(struct ledger *ledger, const char *module,
                     const char *before, const char *after)
{
    struct change change = {module, before, after};

    ledger_ok(ledger, ledger_begin(ledger, NZD_STATE_ARMED, &change, 1));
    ledger_ok(ledger, ledger_move(ledger, NZD_STATE_UNDOING));
    ledger_ok(ledger, ledger_move(ledger, NZD_STATE_ROLLED_BACK));
    return ledger->txn.id;
}

struct listing {
    struct ledger *ledger;
    struct nzd_buf text;
};

static int list_live(void *context, const struct nzd_live_row *row)
{
    struct listing *listing = context;
    struct nzd_buf content = {0};
    struct nzd_err err = NZD_ERR_INIT;

    /* Another read inside the call back must be possible. */
    if (nzd_digest_is_zero(&row->blob))
        nzd_buf_text(&content, "-");
    else
        assert_int_equal(nzd_journal_get_blob(listing->ledger->journal,
                                              &row->blob, &content, &err),
                         NZD_OK);
    nzd_buf_printf(&listing->text, "%s%s=%s", listing->text.size ? " " : "",
                   row->module, nzd_buf_string(&content));
    nzd_buf_clear(&content);
    return 0;
}

static const char *take_text(struct listing *listing)
{
    static char text[1024];

    (void)snprintf(text, sizeof(text), "%s", nzd_buf_string(&listing->text));
    nzd_buf_clear(&listing->text);
    return text;
}

const char *ledger_live(struct ledger *ledger)
{
    struct listing listing = {.ledger = ledger};

    ledger_ok(ledger, nzd_journal_each_live(ledger->journal, &ledger->base,
                                            list_live, &listing, &ledger->err));
    return take_text(&listing);
}

const char *ledger_live_files(struct ledger *ledger)
{
    struct listing listing = {.ledger = ledger};

    ledger_ok(ledger,
              nzd_journal_each_live_file(ledger->journal, &ledger->base,
                                         list_live, &listing, &ledger->err));
    return take_text(&listing);
}

void ledger_verify(struct ledger *ledger)
{
    ledger_ok(ledger, nzd_journal_verify(ledger->journal, &ledger->err));
}

/* --- a journal of every kind --- */

/* No field is zero, texts hold what is no UTF-8, numbers are large. */
static void move_full(struct ledger *ledger, enum nzd_state state)
{
    static char text[] = "a \xFF \xC3\x28 \x01\x7F \xF0\x9F\x90\x8A";
    struct nzd_event event = {.kind = NZD_EVENT_HOOK,
                              .at_us = UINT64_MAX,
                              .mono_us = 1ull << 60,
                              .took_us = 3,
                              .label = text,
                              .text = text,
                              .output = text};
    struct nzd_module_row row = {.module = text,
                                 .application = text,
                                 .change = NZD_MODULE_CHANGED,
                                 .old_bytes = 1ull << 60,
                                 .new_bytes = 2,
                                 .flags = UINT32_MAX,
                                 .old_path = text,
                                 .new_path = text};
    struct nzd_txn *txn = &ledger->txn;
    struct nzd_move move = {.txn = txn,
                            .modules = &row,
                            .module_count = 1,
                            .events = &event,
                            .event_count = 1};

    row.old_blob = ledger_put(ledger, "before");
    row.new_blob = ledger_put(ledger, "after");
    row.old_md5 = ledger_md5("before");
    row.new_md5 = ledger_md5("after");
    row.old_attrs = row.new_md5;
    row.new_attrs = row.old_md5;
    memset(txn, 0xA5, sizeof(*txn));
    txn->id = 0;
    txn->kind = NZD_TXN_ROLLBACK;
    txn->state = state;
    txn->verdict = NZD_LEVEL_REBOOT;
    txn->max = NZD_LEVEL_RESTART_VM;
    txn->base = ledger->base;
    txn->outcome = -7;
    (void)snprintf(txn->vm.boot_id, sizeof(txn->vm.boot_id), "%s", text);
    memcpy(txn->trial.boot_id, txn->vm.boot_id, sizeof(txn->trial.boot_id));
    txn->release = txn->from_version = txn->to_version = text;
    txn->base_version = txn->base_path = txn->node = txn->source = text;
    txn->operator_name = txn->why = txn->options = txn->hooks = text;
    ledger_ok(ledger, nzd_journal_move(ledger->journal, &move, &ledger->err));
}

void ledger_fill(struct ledger *ledger)
{
    struct change changes[] = {
        {"added", NULL, "new"}, {"m", "code 8", "code 9"}, {"gone", "x", NULL}};
    struct change files[] = {
        {"m", "1", "2"},          {"/app/a", "1", "2"},
        {"/boot", "base:1", "2"}, {"/priv/a/x \xFF", "base:1", NULL},
        {"/priv/a/y", NULL, ""},  {"/priv/a/z", "2", "base:1"}};
    struct nzd_txn bad;

    ledger_close(ledger);
    ledger->options.keep = 6;
    ledger_open(ledger, NZD_JOURNAL_WRITE);
    ledger_apply_numbered(ledger, 0, 8);
    ledger_apply(ledger, changes, 3);
    bad = ledger->txn;
    ledger_fail(ledger, "m", "code 9", "never in force");
    ledger_ok(ledger, ledger_begin(ledger, NZD_STATE_ABORTED, changes, 2));
    ledger->txn = bad;
    ledger_ok(ledger, ledger_move(ledger, NZD_STATE_QUARANTINED));
    ledger->base = nzd_digest_of(nzd_view_text("second"));
    ledger_apply(ledger, files, 6);
    ledger->base = nzd_digest_of(nzd_view_text("third"));
    ledger_apply_one(ledger, "m", "1", "2");
    ledger_apply_one(ledger, "m", "2", "1");
    assert_string_equal(ledger_live(ledger), "");
    ledger->base = nzd_digest_of(nzd_view_text("base"));
    move_full(ledger, NZD_STATE_ARMED);
}
