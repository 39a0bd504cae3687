/* SPDX-License-Identifier: Apache-2.0 */
#include "../journal/key.h"
#include "../journal/store.h"
#include "ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* What an open transaction would put in force, before it is committed. */

/* Rows as they are encoded: nothing of one is left out. */
static int add_row(void *context, const struct nzd_live_row *row)
{
    struct nzd_err err = NZD_ERR_INIT;
    struct nzd_buf *rows = context;
    struct nzd_buf one = {0};

    assert_int_equal(nzd_live_row_encode(row, &one, &err), NZD_OK);
    nzd_buf_block(rows, nzd_buf_view(&one));
    nzd_buf_clear(&one);
    return rows->failed ? 1 : 0;
}

static int add_name(void *context, const struct nzd_live_row *row)
{
    nzd_buf_printf(context, "%s ", row->module);
    return 0;
}

typedef int each_row(void *context, const struct nzd_live_row *row);

static void read_target(struct ledger *ledger, each_row *each,
                        struct nzd_buf *modules, struct nzd_buf *files)
{
    uint64_t id = ledger->txn.id;

    ledger_ok(ledger, nzd_journal_each_target(ledger->journal, id, each,
                                              modules, &ledger->err));
    ledger_ok(ledger, nzd_journal_each_target_file(ledger->journal, id, each,
                                                   files, &ledger->err));
}

/* The same rows are in force once it is committed. */
static void check_target(struct ledger *ledger, uint32_t count)
{
    struct nzd_buf modules = {0}, files = {0}, live = {0}, live_files = {0};

    read_target(ledger, add_row, &modules, &files);
    ledger_ok(ledger, ledger_move(ledger, NZD_STATE_COMMITTED));
    assert_int_equal(ledger->txn.new_set.count, count);
    ledger_ok(ledger, nzd_journal_each_live(ledger->journal, &ledger->base,
                                            add_row, &live, &ledger->err));
    ledger_ok(ledger,
              nzd_journal_each_live_file(ledger->journal, &ledger->base,
                                         add_row, &live_files, &ledger->err));
    assert_true(nzd_view_equal(nzd_buf_view(&modules), nzd_buf_view(&live)));
    assert_true(
        nzd_view_equal(nzd_buf_view(&files), nzd_buf_view(&live_files)));
    nzd_buf_clear(&modules);
    nzd_buf_clear(&files);
    nzd_buf_clear(&live);
    nzd_buf_clear(&live_files);
}

static void begin(struct ledger *ledger, const struct change *changes,
                  size_t count)
{
    ledger_ok(ledger, ledger_begin(ledger, NZD_STATE_ARMED, changes, count));
}

static void test_over_the_base(void **state)
{
    struct ledger *ledger = *state;
    struct change changes[] = {{"m", "1", "2"},
                               {"new", NULL, "3"},
                               {"gone", "4", NULL},
                               {"/priv/app/file", "5", "6"}};

    begin(ledger, changes, 4);
    check_target(ledger, 4);
}

/* Kept, replaced, back to the base's, behind the last and before the first. */
static void test_over_what_is_in_force(void **state)
{
    struct ledger *ledger = *state;
    struct change first[] = {
        {"d", "1", "2"}, {"f", "1", "2"}, {"h", "1", "2"}, {"/boot", "1", "2"}};
    struct change second[] = {{"a", NULL, "1"},
                              {"d", "2", "1"},
                              {"f", "2", NULL},
                              {"z", "1", "3"},
                              {"/sys.config", NULL, "x"}};

    ledger_apply(ledger, first, 4);
    begin(ledger, second, 5);
    check_target(ledger, 6);
    ledger_verify(ledger);
}

static void test_files_apart(void **state)
{
    struct ledger *ledger = *state;
    struct change changes[] = {
        {"m", "1", "2"}, {"/app/a", "1", "2"}, {"n", "1", "2"}};
    struct nzd_buf modules = {0}, files = {0};

    begin(ledger, changes, 3);
    read_target(ledger, add_name, &modules, &files);
    assert_string_equal(nzd_buf_string(&modules), "m n ");
    assert_string_equal(nzd_buf_string(&files), "/app/a ");
    nzd_buf_clear(&modules);
    nzd_buf_clear(&files);
}

/* Of one that is settled it is no longer a question. */
static void test_not_open(void **state)
{
    struct ledger *ledger = *state;
    struct nzd_buf names = {0};
    uint64_t id = ledger_apply_one(ledger, "m", "1", "2");

    ledger_fails(ledger,
                 nzd_journal_each_target(ledger->journal, id, add_name, &names,
                                         &ledger->err),
                 NZD_EINTERNAL);
    ledger_fails(ledger,
                 nzd_journal_each_target(ledger->journal, id + 1, add_name,
                                         &names, &ledger->err),
                 NZD_ENOTFOUND);
    assert_int_equal(names.size, 0);
    nzd_buf_clear(&names);
}

static int lose(struct nzd_store_txn *txn, void *context, struct nzd_err *err)
{
    const struct nzd_key *key = context;

    return nzd_store_delete(txn, NZD_STORE_MODULE, nzd_key_view(key), err);
}

static void test_a_lost_row(void **state)
{
    struct ledger *ledger = *state;
    struct change changes[] = {{"m", "1", "2"}, {"n", "1", "2"}};
    struct nzd_store_options options = {.max_bytes = 1u << 24};
    struct nzd_key key;
    struct nzd_store *store = NULL;
    struct nzd_buf names = {0};

    begin(ledger, changes, 2);
    key = nzd_key_module(ledger->txn.id, "n");
    ledger_close(ledger);
    ledger_ok(ledger, nzd_store_open(ledger->directory, &options, &store,
                                     &ledger->err));
    ledger_ok(ledger, nzd_store_write(store, false, lose, &key, &ledger->err));
    nzd_store_close(store);
    ledger_open(ledger, NZD_JOURNAL_WRITE);
    ledger_fails(ledger,
                 nzd_journal_each_target(ledger->journal, ledger->txn.id,
                                         add_name, &names, &ledger->err),
                 NZD_EJOURNAL);
    assert_int_equal(names.size, 0);
    nzd_buf_clear(&names);
}

#define ON(test)                                                               \
    cmocka_unit_test_setup_teardown(test, ledger_set_up_open, ledger_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON(test_over_the_base), ON(test_over_what_is_in_force),
        ON(test_files_apart),   ON(test_not_open),
        ON(test_a_lost_row),
    };

    return cmocka_run_group_tests_name("target", tests, NULL, NULL);
}
