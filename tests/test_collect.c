/* SPDX-License-Identifier: Apache-2.0 */

/* What a journal lets go: foretold, done and told alike. */
#include "../journal/journal.h"
#include "ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* With another `keep` than the moves before had. */
static void reopen(struct ledger *ledger, enum nzd_journal_mode mode,
                   uint32_t keep)
{
    ledger_close(ledger);
    ledger->options.keep = keep;
    ledger_open(ledger, mode);
}

static struct nzd_collection look(struct ledger *ledger)
{
    struct nzd_collection found;

    ledger_ok(ledger,
              nzd_journal_collect_look(ledger->journal, &found, &ledger->err));
    return found;
}

static void check_held(struct ledger *ledger, uint64_t first, uint64_t last)
{
    struct nzd_journal_stat stat_;

    ledger_ok(ledger, nzd_journal_stat(ledger->journal, &stat_, &ledger->err));
    assert_int_equal(stat_.first, first);
    assert_int_equal(stat_.last, last);
}

static void test_nothing_to_drop(void **state)
{
    struct ledger *ledger = *state;
    struct nzd_collection found = look(ledger);

    assert_int_equal(found.dropped, 0);
    assert_int_equal(found.held, 0);
    assert_int_equal(found.held_blobs, 0);
    ledger_apply_numbered(ledger, 0, 2);
    found = look(ledger);
    assert_int_equal(found.dropped, 0);
    assert_int_equal(found.loose_blobs, 0);
    assert_int_equal(found.held, 2);
    assert_int_equal(found.in_force, 1);
    assert_int_equal(found.kept, 1);
    assert_int_equal(found.held_blobs, 3);
    assert_int_equal(found.live_blobs, 2);
}

/* What is foretold by a reader is what a writer does. */
static void test_look_and_collect_agree(void **state)
{
    struct ledger *ledger = *state;
    struct nzd_collection foretold;
    struct nzd_collection done;

    ledger_apply_numbered(ledger, 0, 8);
    ledger_put(ledger, "of an interrupted snapshot");
    reopen(ledger, NZD_JOURNAL_READ, 3);
    foretold = look(ledger);
    assert_int_equal(foretold.first, 1);
    assert_int_equal(foretold.dropped, 4);
    assert_int_equal(foretold.held, 4);
    assert_int_equal(foretold.in_force, 1);
    assert_int_equal(foretold.kept, 3);
    assert_int_equal(foretold.open, 0);
    /* Codes 1 to 3, and the stray one; 0 is the base's. */
    assert_int_equal(foretold.loose_blobs, 4);
    assert_true(foretold.loose_bytes > 4 * 6);
    assert_int_equal(foretold.held_blobs, 6);
    check_held(ledger, 1, 8);

    reopen(ledger, NZD_JOURNAL_WRITE, 3);
    ledger_ok(ledger,
              nzd_journal_collect(ledger->journal, &done, &ledger->err));
    assert_memory_equal(&done, &foretold, sizeof(done));
    check_held(ledger, 5, 8);
    assert_false(ledger_has(ledger, "code 3"));
    assert_true(ledger_has(ledger, "code 4"));
    ledger_verify(ledger);
    done = look(ledger);
    assert_int_equal(done.dropped, 0);
    assert_int_equal(done.loose_blobs, 0);
    assert_int_equal(done.held_bytes, foretold.held_bytes);
}

static void test_reasons(void **state)
{
    struct ledger *ledger = *state;
    struct nzd_collection found;

    ledger_apply_numbered(ledger, 0, 1);
    ledger->base = nzd_digest_of(nzd_view_text("second"));
    ledger_apply_numbered(ledger, 1, 5);
    ledger_ok(ledger, ledger_begin(ledger, NZD_STATE_ARMED, NULL, 0));
    reopen(ledger, NZD_JOURNAL_READ, 2);
    found = look(ledger);
    /* 1 is in force over the first base: all that is newer stays. */
    assert_int_equal(found.dropped, 0);
    assert_int_equal(found.held, 6);
    assert_int_equal(found.in_force, 2);
    assert_int_equal(found.open, 1);
    assert_int_equal(found.kept, 2);
}

/* More than half of LITTLE, packed. */
#define LITTLE (256u << 10)

static void write_numbers(struct nzd_buf *code, unsigned from, unsigned count)
{
    for (unsigned i = from; i < from + count; i++)
        nzd_buf_printf(code, "%08x", i * 2654435761u);
}

static void write_code(struct nzd_buf *code)
{
    write_numbers(code, 0, 40000);
}

/* Of data.mdb: each transaction that writes changes one of its first pages. */
static void read_head(const struct ledger *ledger, char head[8192])
{
    char path[160];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/data.mdb", ledger->directory);
    file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fread(head, 1, 8192, file), 8192);
    (void)fclose(file);
}

static void test_opening_writes_nothing_for_nothing(void **state)
{
    struct ledger *ledger = *state;
    struct nzd_buf code = {0};
    char before[8192];
    char after[8192];

    write_code(&code);
    ledger_apply_one(ledger, "large", "old", nzd_buf_string(&code));
    nzd_buf_clear(&code);
    ledger_close(ledger);
    ledger->options.max_bytes = LITTLE;
    ledger_open(ledger, NZD_JOURNAL_WRITE);
    assert_int_equal(look(ledger).loose_blobs, 0);
    ledger_close(ledger);
    read_head(ledger, before);
    ledger_open(ledger, NZD_JOURNAL_WRITE);
    read_head(ledger, after);
    assert_memory_equal(after, before, sizeof(before));
}

/* A fifth of what half of LITTLE holds, packed. */
#define NUMBERS 6000u

static void apply_large(struct ledger *ledger, unsigned version)
{
    struct nzd_buf before = {0};
    struct nzd_buf after = {0};

    write_numbers(&before, version * NUMBERS, NUMBERS);
    write_numbers(&after, (version + 1) * NUMBERS, NUMBERS);
    ledger_apply_one(ledger, "m", nzd_buf_string(&before),
                     nzd_buf_string(&after));
    nzd_buf_clear(&before);
    nzd_buf_clear(&after);
}

static void test_large_ones_do_not_fill_it(void **state)
{
    struct ledger *ledger = *state;
    struct nzd_collection found;

    ledger->options.max_bytes = LITTLE;
    for (unsigned i = 0; i < 30; i++) {
        reopen(ledger, NZD_JOURNAL_WRITE, 20);
        apply_large(ledger, i);
    }
    reopen(ledger, NZD_JOURNAL_WRITE, 20);
    ledger_verify(ledger);
    found = look(ledger);
    assert_int_equal(found.in_force, 1);
    assert_in_range(found.kept, NZD_JOURNAL_KEEP_LEAST, 5);
    assert_int_equal(found.loose_blobs, 0);
    check_held(ledger, 30 - found.kept, 30);
}

/* However little room there is. */
static void test_the_last_ones_stay(void **state)
{
    struct ledger *ledger = *state;

    for (unsigned i = 0; i < 8; i++)
        apply_large(ledger, i);
    ledger->options.max_bytes = LITTLE / 4;
    reopen(ledger, NZD_JOURNAL_WRITE, 20);
    check_held(ledger, 8 - NZD_JOURNAL_KEEP_LEAST, 8);
    ledger_verify(ledger);
}

static void test_opening_leaves_it_alone(void **state)
{
    struct ledger *ledger = *state;
    struct nzd_buf code = {0};
    struct nzd_collection found;

    write_code(&code);
    ledger_put(ledger, nzd_buf_string(&code));
    nzd_buf_clear(&code);
    ledger_close(ledger);
    ledger->options.max_bytes = LITTLE;
    ledger->options.no_tidy = true;
    ledger_open(ledger, NZD_JOURNAL_WRITE);
    found = look(ledger);
    assert_int_equal(found.loose_blobs, 1);
    ledger_close(ledger);
    ledger->options.no_tidy = false;
    ledger_open(ledger, NZD_JOURNAL_WRITE);
    found = look(ledger);
    assert_int_equal(found.loose_blobs, 0);
}

int main(void)
{
#define CASE(name)                                                             \
    cmocka_unit_test_setup_teardown(name, ledger_set_up_open, ledger_tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_nothing_to_drop),
        CASE(test_look_and_collect_agree),
        CASE(test_reasons),
        CASE(test_opening_writes_nothing_for_nothing),
        CASE(test_large_ones_do_not_fill_it),
        CASE(test_the_last_ones_stay),
        CASE(test_opening_leaves_it_alone),
    };

    return cmocka_run_group_tests_name("collect", tests, NULL, NULL);
}
