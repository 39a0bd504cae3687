/* SPDX-License-Identifier: Apache-2.0 */
#include "carrier.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* --- journals of many kinds ------------------------------------------ */

static void test_empty(void **state)
{
    struct pair *pair = *state;

    pair_check_carried(pair);
    /* The first transaction of it works. */
    ledger_apply_one(&pair->to, "m", "old", "new");
    assert_int_equal(pair->to.txn.id, 1);
}

static void test_all_kinds(void **state)
{
    struct pair *pair = *state;
    struct nzd_journal_stat stat_;
    struct nzd_txn txn;

    ledger_fill(&pair->from);
    ledger_ok(&pair->from,
              nzd_journal_stat(pair->from.journal, &stat_, &pair->from.err));
    assert_true(stat_.first > 1);
    pair_check_carried(pair);
    ledger_ok(&pair->to,
              nzd_journal_open_txn(pair->to.journal, &txn, &pair->to.err));
    assert_int_equal(txn.vm.token[3], 0xA5);
    assert_int_equal(txn.id, stat_.last);
    nzd_txn_clear(&txn);
    assert_string_equal(ledger_live(&pair->to), "added=new gone=- m=code 9");
}

/* What was carried over goes on as if it had always been there. */
static void test_goes_on(void **state)
{
    struct pair *pair = *state;

    ledger_apply_numbered(&pair->from, 0, 3);
    pair_check_carried(pair);
    ledger_apply_numbered(&pair->to, 3, 5);
    assert_int_equal(pair->to.txn.id, 5);
    assert_string_equal(ledger_live(&pair->to), "m=code 5");
    ledger_verify(&pair->to);
}

/* More rows than one reader copies, more bytes than one batch, a name past
 * the bound of a key, a blob past that of a batch. */
static void test_many(void **state)
{
    struct pair *pair = *state;
    enum { COUNT = 700 };
    struct change *changes = calloc(COUNT, sizeof(*changes));
    char(*names)[1024] = calloc(COUNT, sizeof(*names));
    struct nzd_buf large = {0};

    assert_non_null(changes);
    assert_non_null(names);
    for (unsigned i = 0; i < 200000; i++)
        nzd_buf_printf(&large, "%08x", i * 2654435761u);
    for (int i = 0; i < COUNT; i++) {
        memset(names[i], 'n', i % 3 ? 20 : 900);
        (void)snprintf(names[i] + strlen(names[i]), 32, "%04d", i);
        changes[i] = (struct change){names[i], "before", names[i]};
    }
    changes[5].after = nzd_buf_string(&large);
    ledger_apply(&pair->from, changes, COUNT);
    pair_check_carried(pair);
    assert_true(ledger_has(&pair->to, nzd_buf_string(&large)));
    nzd_buf_clear(&large);
    free(names);
    free(changes);
}

/* --- the target ------------------------------------------------------ */

static void test_target_is_a_journal(void **state)
{
    struct pair *pair = *state;
    struct carrier carrier = {0};
    int rc;

    ledger_open(&pair->to, NZD_JOURNAL_CREATE);
    ledger_apply_one(&pair->to, "kept", "1", "2");
    ledger_close(&pair->to);
    rc = pair_carry_over(pair, &carrier);
    assert_non_null(strstr(pair->to.err.message, "there is a journal in"));
    ledger_fails(&pair->to, rc, NZD_EBUSY);
    assert_string_equal(pair_around(pair), "journal ");
    ledger_open(&pair->to, NZD_JOURNAL_READ);
    assert_string_equal(ledger_live(&pair->to), "kept=2");
}

/* One that appears while it is built is not written over either. */
static void test_target_appears(void **state)
{
    struct pair *pair = *state;
    struct carrier carrier = {0};
    int rc;

    ledger_ok(&pair->to,
              nzd_rebuild_begin(pair->to.directory, &pair->to.options,
                                &carrier.rebuild, &pair->to.err));
    ledger_ok(&pair->to, nzd_transfer_each(pair->from.journal, carrier_add,
                                           &carrier, &pair->to.err));
    tree_text(&pair->to.tree, "a/journal/lock", "");
    rc = nzd_rebuild_finish(carrier.rebuild, &pair->to.err);
    ledger_fails(&pair->to, rc, NZD_EBUSY);
    nzd_rebuild_end(carrier.rebuild);
    assert_string_equal(pair_around(pair), "journal ");
    assert_int_equal(
        access(tree_path(&pair->to.tree, "a/journal/data.mdb"), F_OK), -1);
}

static void test_target_holds_files(void **state)
{
    struct pair *pair = *state;
    struct carrier carrier = {0};
    int rc;

    tree_text(&pair->to.tree, "a/journal/photo.jpg", "x");
    rc = pair_carry_over(pair, &carrier);
    assert_non_null(strstr(pair->to.err.message, "photo.jpg"));
    ledger_fails(&pair->to, rc, NZD_EUSAGE);
    assert_string_equal(pair_around(pair), "journal ");
}

static void test_target_is_an_empty_folder(void **state)
{
    struct pair *pair = *state;

    tree_run(&pair->to.tree, "mkdir -p a/real && ln -s real a/journal");
    ledger_apply_numbered(&pair->from, 0, 1);
    pair->to.directory[strlen(pair->to.directory)] = '/';
    ledger_ok(&pair->to, pair_carry_over(pair, &(struct carrier){0}));
    pair_check_same(pair);
    ledger_close(&pair->to);
    assert_int_equal(access(tree_path(&pair->to.tree, "a/real/data.mdb"), F_OK),
                     0);
}

static void test_leftovers_go(void **state)
{
    struct pair *pair = *state;

    tree_text(&pair->to.tree, "a/journal.import-aB3xYz/data.mdb", "half");
    tree_text(&pair->to.tree, "a/journal.import-aB3xYz/lock.mdb", "");
    tree_text(&pair->to.tree, "a/journal.import-notes/mine.txt", "kept");
    tree_text(&pair->to.tree, "a/journal.import-mine/data.mdb", "kept");
    ledger_ok(&pair->to, pair_carry_over(pair, &(struct carrier){0}));
    assert_null(strstr(pair_around(pair), "aB3xYz"));
    tree_run(&pair->to.tree, "test -f a/journal.import-mine/data.mdb -a -f "
                             "a/journal.import-notes/mine.txt");
}

static void test_two_at_once(void **state)
{
    struct pair *pair = *state;
    struct nzd_rebuild *first = NULL;
    struct nzd_rebuild *second = NULL;
    int rc;

    ledger_ok(&pair->to, nzd_rebuild_begin(pair->to.directory, NULL, &first,
                                           &pair->to.err));
    rc = nzd_rebuild_begin(pair->to.directory, NULL, &second, &pair->to.err);
    assert_non_null(strstr(pair->to.err.message, "another journal is being"));
    ledger_fails(&pair->to, rc, NZD_EBUSY);
    assert_null(second);
    nzd_rebuild_end(first);
    assert_string_equal(pair_around(pair), "");
}

/* --- the other word size --------------------------------------------- */

/* The header of LMDB's first page as the other kind of machine writes it. */
static void test_other_words(void **state)
{
    struct pair *pair = *state;
    uint8_t page[8192] = {0};
    const uint32_t begin[] = {0xBEEFC0DE, 1};
    size_t at = sizeof(void *) == 8 ? 12 : 16;

    page[at - 6] = 0x08; /* of the flags: a meta page */
    memcpy(page + at, begin, sizeof(begin));
    tree_write(&pair->to.tree, "a/journal/data.mdb", page, sizeof(page));
    ledger_open_fails(&pair->to, NZD_JOURNAL_READ, NZD_EJOURNAL,
                      "was written on a machine of ");
    ledger_open_fails(&pair->to, NZD_JOURNAL_CREATE, NZD_EJOURNAL,
                      "was written on a machine of ");
    memset(page + at, 0, sizeof(begin));
    tree_write(&pair->to.tree, "a/journal/data.mdb", page, sizeof(page));
    ledger_open_fails(&pair->to, NZD_JOURNAL_READ, NZD_EJOURNAL, "is damaged");
}

int main(void)
{
#define CASE(name)                                                             \
    cmocka_unit_test_setup_teardown(name, pair_set_up, pair_tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_empty),
        CASE(test_all_kinds),
        CASE(test_goes_on),
        CASE(test_many),
        CASE(test_target_is_a_journal),
        CASE(test_target_appears),
        CASE(test_target_holds_files),
        CASE(test_target_is_an_empty_folder),
        CASE(test_leftovers_go),
        CASE(test_two_at_once),
        CASE(test_other_words),
    };

    return cmocka_run_group_tests_name("transfer", tests, NULL, NULL);
}
