/* SPDX-License-Identifier: Apache-2.0 */
#include "../journal/journal.h"
#include "ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- live rows --- */

static void test_live_follows_commits(void **state)
{
    struct ledger *ledger = *state;
    struct change first[] = {
        {"a", "a0", "a1"}, {"b", "b0", NULL}, {"c", NULL, "c1"}};
    struct change second[] = {
        {"a", "a1", "a2"}, {"b", NULL, "b2"}, {"d", "d0", "d1"}};
    struct change third[] = {
        {"a", "a2", "a0"}, {"b", "b2", "b0"}, {"c", "c1", NULL}};
    struct nzd_txn txn;

    ledger_apply(ledger, first, 3);
    assert_string_equal(ledger_live(ledger), "a=a1 b=- c=c1");
    ledger_fail(ledger, "a", "a1", "ax");
    assert_string_equal(ledger_live(ledger), "a=a1 b=- c=c1");
    ledger_apply(ledger, second, 3);
    assert_string_equal(ledger_live(ledger), "a=a2 b=b2 c=c1 d=d1");
    ledger_verify(ledger);
    /* Again what the base holds: no row. */
    ledger_apply(ledger, third, 3);
    assert_string_equal(ledger_live(ledger), "d=d1");
    ledger_apply_one(ledger, "d", "d1", "d0");
    assert_string_equal(ledger_live(ledger), "");
    ledger_reopen(ledger);
    ledger_verify(ledger);
    ledger_ok(ledger, nzd_journal_txn(ledger->journal, 4, &txn, &ledger->err));
    assert_int_equal(txn.old_set.count, 4);
    assert_int_equal(txn.new_set.count, 1);
    nzd_txn_clear(&txn);
}

static void test_new_set_is_foretold(void **state)
{
    struct ledger *ledger = *state;
    struct change change = {"b", "1", "3"};
    struct nzd_set foretold;

    ledger_apply_one(ledger, "c", "1", "2");
    ledger_apply_one(ledger, "a", "1", "2");
    ledger_ok(ledger, ledger_begin(ledger, NZD_STATE_ARMED, &change, 1));
    foretold = ledger->txn.new_set;
    memset(&ledger->txn.new_set, 0, sizeof(foretold));
    ledger_ok(ledger, ledger_move(ledger, NZD_STATE_COMMITTED));
    assert_memory_equal(&ledger->txn.new_set, &foretold, sizeof(foretold));
    assert_int_equal(foretold.count, 3);
}

static void test_bases_are_apart(void **state)
{
    struct ledger *ledger = *state;
    struct nzd_digest first = ledger->base;

    ledger_apply_one(ledger, "m", "1", "2");
    ledger->base = nzd_digest_of(nzd_view_text("second"));
    assert_string_equal(ledger_live(ledger), "");
    ledger_apply_one(ledger, "m", "1", "3");
    assert_string_equal(ledger_live(ledger), "m=3");
    ledger->base = first;
    assert_string_equal(ledger_live(ledger), "m=2");
    ledger_verify(ledger);
}

/* --- dropping and collecting --- */

static void check_held(struct ledger *ledger, uint64_t first, uint64_t last)
{
    struct nzd_journal_stat stat_;

    ledger_ok(ledger, nzd_journal_stat(ledger->journal, &stat_, &ledger->err));
    assert_int_equal(stat_.first, first);
    assert_int_equal(stat_.last, last);
    assert_int_equal(stat_.transactions, last - first + 1);
}

static void test_old_ones_go(void **state)
{
    struct ledger *ledger = *state;

    ledger->options.keep = 3;
    ledger_reopen(ledger);
    ledger_apply_numbered(ledger, 0, 4);
    check_held(ledger, 1, 4);
    ledger_apply_numbered(ledger, 4, 6);
    check_held(ledger, 3, 6);
    ledger_verify(ledger);
    /* 2 is the old side of 3, the oldest one held. */
    assert_false(ledger_has(ledger, "code 1"));
    assert_true(ledger_has(ledger, "code 2"));
    assert_true(ledger_has(ledger, "code 6"));
    assert_string_equal(ledger_live(ledger), "m=code 6");
    ledger_reopen(ledger);
    ledger_verify(ledger);
}

static void test_in_force_stays(void **state)
{
    struct ledger *ledger = *state;
    struct nzd_digest second = nzd_digest_of(nzd_view_text("second"));
    struct nzd_txn txn;

    ledger->options.keep = 1;
    ledger_reopen(ledger);
    ledger_apply_one(ledger, "n", "n0", "n1");
    ledger_apply_numbered(ledger, 0, 1);
    ledger->base = second;
    ledger_apply_numbered(ledger, 1, 9);
    /* 2 is in force over the first base: nothing from it on goes. */
    check_held(ledger, 2, 10);
    ledger->base = nzd_digest_of(nzd_view_text("base"));
    assert_string_equal(ledger_live(ledger), "m=code 1 n=n1");
    ledger_ok(ledger, nzd_journal_in_force(ledger->journal, &ledger->base, &txn,
                                           &ledger->err));
    assert_int_equal(txn.id, 2);
    nzd_txn_clear(&txn);
    ledger_verify(ledger);
}

static void test_quarantine(void **state)
{
    struct ledger *ledger = *state;
    struct nzd_txn bad;
    struct nzd_txn txn;

    ledger->options.keep = 1;
    ledger_reopen(ledger);
    ledger_apply_numbered(ledger, 0, 2);
    bad = ledger->txn;
    ledger_fail(ledger, "m", "code 2", "x");
    ledger->txn = bad;
    ledger_ok(ledger, ledger_move(ledger, NZD_STATE_QUARANTINED));
    ledger_ok(ledger, nzd_journal_in_force(ledger->journal, &ledger->base, &txn,
                                           &ledger->err));
    assert_int_equal(txn.id, 1);
    nzd_txn_clear(&txn);
    ledger_verify(ledger);
    /* The late event of 2 binds the chain of 2 and 3. */
    ledger_apply_numbered(ledger, 2, 5);
    ledger_verify(ledger);
    check_held(ledger, 5, 6);
}

static void test_lifted(void **state)
{
    struct ledger *ledger = *state;

    ledger_apply_numbered(ledger, 0, 2);
    ledger_ok(ledger, ledger_move(ledger, NZD_STATE_QUARANTINED));
    ledger_ok(ledger, ledger_move(ledger, NZD_STATE_COMMITTED));
    assert_string_equal(ledger_live(ledger), "m=code 2");
    ledger_verify(ledger);
}

static void test_stray_blobs_go(void **state)
{
    struct ledger *ledger = *state;
    struct change change = {"o", "o0", "o1"};

    ledger_put(ledger, "of an interrupted snapshot");
    ledger_fail(ledger, "m", "code 0", "of a failed one");
    assert_true(ledger_has(ledger, "of a failed one"));
    ledger_ok(ledger, ledger_begin(ledger, NZD_STATE_ABORTED, &change, 1));
    ledger_apply_numbered(ledger, 0, 1);
    assert_false(ledger_has(ledger, "of an interrupted snapshot"));
    assert_false(ledger_has(ledger, "of a failed one"));
    assert_false(ledger_has(ledger, "o1"));
    assert_true(ledger_has(ledger, "code 0"));
    ledger_verify(ledger);
}

/* --- blobs --- */

static void test_blobs(void **state)
{
    struct ledger *ledger = *state;
    char *large = calloc(1, 100001);
    struct nzd_view views[3];
    struct nzd_digest digests[3];
    struct nzd_buf out = {0};
    uint64_t written = 5;

    assert_non_null(large);
    memset(large, 'z', 100000);
    views[0] = nzd_view_text(large);
    views[1] = nzd_view_of(NULL, 0);
    views[2] = nzd_view_text("x");
    ledger_ok(ledger, nzd_journal_put_blobs(ledger->journal, views, 3, digests,
                                            &written, &ledger->err));
    assert_in_range(written, 6, 1000);
    written = 0;
    ledger_ok(ledger, nzd_journal_put_blobs(ledger->journal, views, 3, digests,
                                            &written, &ledger->err));
    assert_int_equal(written, 0);
    for (int i = 0; i < 3; i++) {
        nzd_buf_reset(&out);
        nzd_buf_text(&out, "before ");
        ledger_ok(ledger, nzd_journal_get_blob(ledger->journal, &digests[i],
                                               &out, &ledger->err));
        assert_int_equal(out.size, 7 + views[i].size);
        assert_true(
            nzd_view_equal(nzd_view_of(out.data + 7, out.size - 7), views[i]));
    }
    nzd_buf_clear(&out);
    free(large);
}

static void test_growth(void **state)
{
    struct ledger *ledger = *state;
    size_t size = 5 << 20;
    uint32_t *noise = calloc(1, size);
    struct nzd_view view = nzd_view_of(noise, size);
    struct nzd_digest digest = {{0}};
    struct nzd_journal_stat stat_;
    struct nzd_buf out = {0};

    assert_non_null(noise);
    for (size_t i = 0; i < size / 4; i++)
        noise[i] = (uint32_t)nzd_checksum_of(nzd_view_of(&i, sizeof(i)));
    ledger_ok(ledger, nzd_journal_put_blobs(ledger->journal, &view, 1, &digest,
                                            NULL, &ledger->err));
    ledger_ok(ledger, nzd_journal_stat(ledger->journal, &stat_, &ledger->err));
    assert_true(stat_.used_bytes > size);
    ledger_reopen(ledger);
    ledger_ok(ledger, nzd_journal_get_blob(ledger->journal, &digest, &out,
                                           &ledger->err));
    assert_true(nzd_view_equal(nzd_buf_view(&out), view));
    nzd_buf_clear(&out);
    free(noise);
}

#define ON(test)                                                               \
    cmocka_unit_test_setup_teardown(test, ledger_set_up_open, ledger_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON(test_live_follows_commits),
        ON(test_new_set_is_foretold),
        ON(test_bases_are_apart),
        ON(test_old_ones_go),
        ON(test_in_force_stays),
        ON(test_quarantine),
        ON(test_lifted),
        ON(test_stray_blobs_go),
        ON(test_blobs),
        ON(test_growth),
    };

    return cmocka_run_group_tests_name("journal keep", tests, NULL, NULL);
}
