/* SPDX-License-Identifier: Apache-2.0 */
#include "../journal/journal.h"
#include "ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* --- opening --- */

static void test_absent(void **state)
{
    struct ledger *ledger = *state;
    struct stat stat_;

    ledger_open_fails(ledger, NZD_JOURNAL_READ, NZD_ENOTFOUND, "no journal");
    ledger_open_fails(ledger, NZD_JOURNAL_WRITE, NZD_ENOTFOUND, "no journal");
    assert_int_not_equal(stat(tree_path(&ledger->tree, "a"), &stat_), 0);
}

static void test_create(void **state)
{
    struct ledger *ledger = *state;
    struct nzd_journal_stat stat_;
    struct stat directory;
    uint8_t uuid[16];

    ledger_open(ledger, NZD_JOURNAL_CREATE);
    memcpy(uuid, nzd_journal_uuid(ledger->journal), 16);
    assert_string_equal(nzd_journal_directory(ledger->journal),
                        ledger->directory);
    assert_int_equal(stat(ledger->directory, &directory), 0);
    assert_int_equal(directory.st_mode & 0777, 0700);
    ledger_ok(ledger, nzd_journal_stat(ledger->journal, &stat_, &ledger->err));
    assert_int_equal(stat_.transactions, 0);
    assert_int_equal(stat_.last, 0);
    assert_int_equal(stat_.max_bytes, 64 << 20);
    assert_true(stat_.used_bytes > 0 && stat_.free_bytes > 0);
    ledger_verify(ledger);
    ledger_close(ledger);

    ledger_open(ledger, NZD_JOURNAL_CREATE);
    assert_memory_equal(nzd_journal_uuid(ledger->journal), uuid, 16);
    ledger_close(ledger);
    ledger_open(ledger, NZD_JOURNAL_READ);
    assert_memory_equal(nzd_journal_uuid(ledger->journal), uuid, 16);
}

static void test_interrupted_creation(void **state)
{
    struct ledger *ledger = *state;

    tree_text(&ledger->tree, "a/journal/lock", "");
    tree_text(&ledger->tree, "a/journal/data.mdb.new", "half");
    ledger_open_fails(ledger, NZD_JOURNAL_READ, NZD_ENOTFOUND, "no journal");
    ledger_open(ledger, NZD_JOURNAL_CREATE);
    assert_int_equal(
        access(tree_path(&ledger->tree, "a/journal/data.mdb.new"), F_OK), -1);
    ledger_verify(ledger);
}

static void test_other_files(void **state)
{
    struct ledger *ledger = *state;

    tree_text(&ledger->tree, "a/journal/photo.jpg", "x");
    ledger_open_fails(ledger, NZD_JOURNAL_CREATE, NZD_EJOURNAL, "photo.jpg");
    ledger_open_fails(ledger, NZD_JOURNAL_READ, NZD_EJOURNAL, "photo.jpg");
    assert_int_equal(access(tree_path(&ledger->tree, "a/journal/lock"), F_OK),
                     -1);
}

static void test_not_a_directory(void **state)
{
    struct ledger *ledger = *state;

    tree_text(&ledger->tree, "a/journal", "x");
    ledger_open_fails(ledger, NZD_JOURNAL_CREATE, NZD_EJOURNAL,
                      "Not a directory");
}

static void test_read_only_handle(void **state)
{
    struct ledger *ledger = *state;
    struct nzd_view view = nzd_view_text("x");
    struct nzd_digest digest = {{0}};

    ledger_reopen(ledger);
    ledger_apply_one(ledger, "m", "old", "new");
    ledger_close(ledger);
    ledger_open(ledger, NZD_JOURNAL_READ);
    assert_string_equal(ledger_live(ledger), "m=new");
    ledger_fails(ledger,
                 nzd_journal_put_blobs(ledger->journal, &view, 1, &digest, NULL,
                                       &ledger->err),
                 NZD_EINTERNAL);
    ledger_fails(ledger, ledger_move(ledger, NZD_STATE_QUARANTINED),
                 NZD_EINTERNAL);
}

/* In a process of its own: one opens a journal once at a time. */
static void test_reader_beside_writer(void **state)
{
    struct ledger *ledger = *state;
    struct ledger reader = *ledger;
    int status = 0;
    pid_t child;

    ledger_apply_one(ledger, "m", "old", "new");
    child = fork();
    if (child == 0) {
        if (nzd_journal_open(reader.directory, NZD_JOURNAL_READ,
                             &reader.options, &reader.journal,
                             &reader.err) != NZD_OK)
            _exit(1);
        _exit(strcmp(ledger_live(&reader), "m=new") == 0 ? 0 : 2);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    ledger_apply_one(ledger, "m", "new", "newer");
}

/* --- moves --- */

static void test_first_move(void **state)
{
    struct ledger *ledger = *state;
    struct change changes[] = {{"b", "old b", "new b"}, {"a", NULL, "new a"}};
    struct nzd_txn txn;

    ledger_ok(ledger, ledger_begin(ledger, NZD_STATE_ARMED, changes, 2));
    assert_int_equal(ledger->txn.id, 1);
    assert_int_equal(ledger->txn.rows.count, 2);
    assert_int_equal(ledger->txn.old_set.count, 0);
    assert_int_equal(ledger->txn.new_set.count, 2);
    assert_int_equal(ledger->txn.events, 1);
    ledger_reopen(ledger);
    ledger_ok(ledger,
              nzd_journal_open_txn(ledger->journal, &txn, &ledger->err));
    assert_int_equal(txn.id, 1);
    assert_int_equal(txn.state, NZD_STATE_ARMED);
    assert_memory_equal(&txn.new_set, &ledger->txn.new_set,
                        sizeof(txn.new_set));
    nzd_txn_clear(&txn);
    ledger_verify(ledger);
    assert_string_equal(ledger_live(ledger), "");
}

static void test_illegal_moves(void **state)
{
    struct ledger *ledger = *state;
    struct nzd_module_row row = {0};
    struct nzd_move move = {
        .txn = &ledger->txn, .modules = &row, .module_count = 1};

    ledger_fails(ledger, ledger_begin(ledger, NZD_STATE_COMMITTED, NULL, 0),
                 NZD_EINTERNAL);
    ledger_ok(ledger, ledger_begin(ledger, NZD_STATE_ARMED, NULL, 0));
    ledger_fails(ledger, ledger_move(ledger, NZD_STATE_ARMED), NZD_EINTERNAL);
    ledger_fails(ledger, ledger_move(ledger, NZD_STATE_FAILED), NZD_EINTERNAL);
    ledger->txn.state = NZD_STATE_COMMITTED;
    ledger_fails(ledger, nzd_journal_move(ledger->journal, &move, &ledger->err),
                 NZD_EINTERNAL);
    ledger->txn.base.bytes[0] ^= 1;
    ledger_fails(ledger, ledger_move(ledger, NZD_STATE_COMMITTED),
                 NZD_EINTERNAL);
    ledger->txn.base.bytes[0] ^= 1;
    ledger->txn.id = 9;
    ledger_fails(ledger, ledger_move(ledger, NZD_STATE_COMMITTED),
                 NZD_EINTERNAL);
    ledger->txn.id = 1;
    ledger_ok(ledger, ledger_move(ledger, NZD_STATE_COMMITTED));
    ledger_fails(ledger, ledger_move(ledger, NZD_STATE_COMMITTED),
                 NZD_EINTERNAL);
    assert_false(nzd_journal_is_broken(ledger->journal));
    ledger_verify(ledger);
}

/* What is in memory may be stale: the disk says what a record moves from. */
static void test_state_on_disk_counts(void **state)
{
    struct ledger *ledger = *state;
    struct nzd_txn stale;

    ledger_ok(ledger, ledger_begin(ledger, NZD_STATE_ARMED, NULL, 0));
    stale = ledger->txn;
    ledger_ok(ledger, ledger_move(ledger, NZD_STATE_ROLLED_BACK));
    ledger->txn = stale;
    ledger_fails(ledger, ledger_move(ledger, NZD_STATE_COMMITTED),
                 NZD_EINTERNAL);
}

static void test_one_open_at_a_time(void **state)
{
    struct ledger *ledger = *state;
    struct nzd_txn first;

    ledger_ok(ledger, ledger_begin(ledger, NZD_STATE_ARMED, NULL, 0));
    first = ledger->txn;
    ledger_fails(ledger, ledger_begin(ledger, NZD_STATE_ARMED, NULL, 0),
                 NZD_EINTERNAL);
    ledger_ok(ledger, ledger_begin(ledger, NZD_STATE_ABORTED, NULL, 0));
    assert_int_equal(ledger->txn.id, 2);
    ledger->txn = first;
    ledger_ok(ledger, ledger_move(ledger, NZD_STATE_COMMITTED));
    ledger_verify(ledger);
}

static void test_bad_rows(void **state)
{
    struct ledger *ledger = *state;
    struct change twice[] = {{"m", "old", "new"}, {"m", "old", "other"}};
    struct change nameless = {"", "old", "new"};
    struct nzd_module_row row = {.change = NZD_MODULE_ADDED};
    struct nzd_move move = {
        .txn = &ledger->txn, .modules = &row, .module_count = 1};

    ledger_fails(ledger, ledger_begin(ledger, NZD_STATE_ARMED, twice, 2),
                 NZD_EINTERNAL);
    ledger_fails(ledger, ledger_begin(ledger, NZD_STATE_ARMED, &nameless, 1),
                 NZD_EINTERNAL);
    row.module = strdup("m");
    row.new_blob = ledger_md5("never put");
    ledger_fails(ledger, nzd_journal_move(ledger->journal, &move, &ledger->err),
                 NZD_EINTERNAL);
    free(row.module);
    assert_int_equal(ledger->txn.id, 0);
}

static int count_txn(void *context, const struct nzd_txn *txn)
{
    uint64_t *ids = context;

    ids[++ids[0]] = txn->id;
    return txn->id == ids[9] ? 77 : 0;
}

static void test_reading(void **state)
{
    struct ledger *ledger = *state;
    struct nzd_digest other = nzd_digest_of(nzd_view_text("other"));
    struct nzd_txn txn;
    uint64_t ids[10] = {0};
    uint64_t epoch = 1;

    ledger_apply_one(ledger, "m", "1", "2");
    ledger_fail(ledger, "m", "2", "3");
    ledger_ok(ledger, nzd_journal_in_force(ledger->journal, &ledger->base, &txn,
                                           &ledger->err));
    assert_int_equal(txn.id, 1);
    nzd_txn_clear(&txn);
    ledger_fails(
        ledger,
        nzd_journal_in_force(ledger->journal, &other, &txn, &ledger->err),
        NZD_ENOTFOUND);
    ledger_fails(ledger,
                 nzd_journal_txn(ledger->journal, 3, &txn, &ledger->err),
                 NZD_ENOTFOUND);
    ledger_fails(ledger,
                 nzd_journal_open_txn(ledger->journal, &txn, &ledger->err),
                 NZD_ENOTFOUND);
    ledger_ok(ledger, nzd_journal_each_txn(ledger->journal, count_txn, ids,
                                           &ledger->err));
    assert_int_equal(ids[0], 2);
    assert_int_equal(ids[1], 2);
    assert_int_equal(ids[2], 1);
    ids[0] = 0;
    ids[9] = 2;
    assert_int_equal(
        nzd_journal_each_txn(ledger->journal, count_txn, ids, &ledger->err),
        77);
    assert_int_equal(ids[0], 1);
    ledger_ok(ledger, nzd_journal_epoch(ledger->journal, &epoch, &ledger->err));
    assert_int_equal(epoch, 0);
}

static void test_epoch_grows(void **state)
{
    struct ledger *ledger = *state;
    uint64_t epoch = 0;

    ledger_ok(ledger, ledger_begin(ledger, NZD_STATE_ARMED, NULL, 0));
    ledger->txn.epoch = 7;
    ledger_ok(ledger, ledger_move(ledger, NZD_STATE_UNDOING));
    ledger->txn.epoch = 5;
    ledger_ok(ledger, ledger_move(ledger, NZD_STATE_UNDOING));
    ledger_reopen(ledger);
    ledger_ok(ledger, nzd_journal_epoch(ledger->journal, &epoch, &ledger->err));
    assert_int_equal(epoch, 7);
}

static int join_events(void *context, const struct nzd_event *event)
{
    nzd_buf_printf(context, "%s ", event->label);
    return 0;
}

static int join_modules(void *context, const struct nzd_module_row *row)
{
    nzd_buf_printf(context, "%s ", row->module);
    return 0;
}

static void test_rows_and_events(void **state)
{
    struct ledger *ledger = *state;
    struct change changes[] = {
        {"b", "1", "2"}, {"a", "3", NULL}, {"aa", NULL, "4"}};
    struct nzd_buf text = {0};

    ledger_apply(ledger, changes, 3);
    assert_int_equal(ledger->txn.events, 2);
    ledger_ok(ledger, nzd_journal_each_event(ledger->journal, 1, join_events,
                                             &text, &ledger->err));
    assert_string_equal(nzd_buf_string(&text), "armed committed ");
    nzd_buf_reset(&text);
    ledger_ok(ledger, nzd_journal_each_module(ledger->journal, 1, join_modules,
                                              &text, &ledger->err));
    assert_string_equal(nzd_buf_string(&text), "a aa b ");
    nzd_buf_clear(&text);
    ledger_fails(ledger,
                 nzd_journal_each_event(ledger->journal, 2, join_events, &text,
                                        &ledger->err),
                 NZD_ENOTFOUND);
}

/* Names of up to 1020 bytes do not fit a key. */
static void test_long_names(void **state)
{
    struct ledger *ledger = *state;
    char name[1021];
    char other[1021];
    struct change changes[] = {{name, NULL, "1"}, {other, NULL, "2"}};
    struct nzd_buf text = {0};

    memset(name, 'x', 1020);
    name[1020] = '\0';
    memcpy(other, name, sizeof(name));
    other[1019] = 'y';
    ledger_apply(ledger, changes, 2);
    ledger_ok(ledger, nzd_journal_each_module(ledger->journal, 1, join_modules,
                                              &text, &ledger->err));
    assert_int_equal(text.size, 2 * 1021);
    nzd_buf_clear(&text);
    ledger_verify(ledger);
}

/* --- blobs --- */

static void test_lock(void **state)
{
    struct ledger *ledger = *state;
    struct ledger second = *ledger;

    second.journal = NULL;
    ledger_open_fails(&second, NZD_JOURNAL_WRITE, NZD_EBUSY, "(test)");
    second.options.wait_us = 50000;
    ledger_open_fails(&second, NZD_JOURNAL_CREATE, NZD_EBUSY, "held by pid");
}

#define ON(test)                                                               \
    cmocka_unit_test_setup_teardown(test, ledger_set_up_open, ledger_tear_down)

#define BARE(test)                                                             \
    cmocka_unit_test_setup_teardown(test, ledger_set_up, ledger_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BARE(test_absent),
        BARE(test_create),
        BARE(test_interrupted_creation),
        BARE(test_other_files),
        BARE(test_not_a_directory),
        ON(test_read_only_handle),
        ON(test_reader_beside_writer),
        ON(test_first_move),
        ON(test_illegal_moves),
        ON(test_state_on_disk_counts),
        ON(test_one_open_at_a_time),
        ON(test_bad_rows),
        ON(test_reading),
        ON(test_epoch_grows),
        ON(test_rows_and_events),
        ON(test_long_names),
        ON(test_lock),
    };

    return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
